"""RFLO learns a periodic output the better, the larger the network and its initial weights are.

J. M. Murray (2019), eLife 8:e43299, figure 2 - figure supplement 3: the task of figure 2. The loss after learning is
measured (a) against the number of units N, (b) against the gain g of the initial weights, W ~ N(0, g^2/N) and
W_out ~ g U(-1, 1)/sqrt(N). To be seen: it falls with N and with g.

Ours, since the caption does not say: the duration, the values of N and g, N = 30 in (b), and the learning rates: figure
2a's 0.03; for 200 units, which diverge at that, the next lower one of the paper's grid, 0.01. Their nine nets take two
thirds of the time: 2 M steps of 20 us each.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from brian2 import Quantity, ms
from scipy.stats import spearmanr

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.errors import InputError
from neuroplast.parameters import check_one_each, parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _figure2 as figure2
from neuroplast.rules import RFLO

PAPER = {"figure": "Murray 2019, figure 2 - figure supplement 3", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "6 min on two idle cores"


@dataclass(frozen=True)
class Parameters(figure2.Common):
    """What the supplement varies; ``N``, one of ``sizes``, is the number of units where the gain varies."""

    sizes: tuple = parameter((10, 20, 30, 50, 100, 200), "numbers of recurrent units")
    eta: tuple = parameter((0.03, 0.03, 0.03, 0.03, 0.03, 0.01), "learning rate for each number of units")
    gains: tuple = parameter((0.25, 0.5, 0.75, 1.0, 1.25, 1.5), "gains of the initial recurrent and readout weights")
    g: float = parameter(1.5, "gain where the number of units varies")
    period: Quantity = parameter(200 * ms, "duration of the output")

    def __post_init__(self):
        super().__post_init__()
        check_one_each("eta", self.eta, self.sizes)
        if self.N not in self.sizes:
            raise InputError(f"N should be one of the sizes {self.sizes}. Got {self.N}.")


QUICK = {"trials": 1000, "nets": 3, "sizes": (10, 30, 100), "eta": (0.03, 0.03, 0.03), "gains": (0.5, 1.0, 1.5)}


def experiment(parameters, run):
    """Train nets of all sizes, and of all gains; those that belong to both are trained once."""
    p, eta = parameters, dict(zip(parameters.sizes, parameters.eta, strict=True))
    (period,) = p.durations()
    # The largest first: two cores should not wait for one net in the end.
    chosen = sorted({(N, p.g) for N in p.sizes} | {(p.N, g) for g in p.gains}, reverse=True)
    cases = [figure2.Case({"N": N, "g": g}, RFLO, period, eta[N], {"N": N, "g": g, "g_out": g}) for N, g in chosen]
    loss = figure2.train(cases, p, run, diverged="omit").loss
    by_size, by_gain = loss.sel(g=p.g, N=list(p.sizes), drop=True), loss.sel(N=p.N, g=list(p.gains), drop=True)
    attrs = {"silent": figure2.silent(figure2.target(p)).item(), "N": p.N, "g": p.g}
    return xr.Dataset({"loss_by_N": by_size, "loss_by_g": by_gain}, attrs=attrs)


def _falls(along):
    """Check that the final loss falls along a dimension."""

    def check(dataset):
        last = final(dataset[f"loss_by_{along}"]).median("net")
        rank = float(spearmanr(last[along], last).statistic)
        text = ", ".join(f"{float(x):g}: {float(value):.2g}" for x, value in zip(last[along], last, strict=True))
        return f"rank correlation {rank:.2f} ({text})", holds(rank < -0.7 and np.isfinite(last).all())

    return check


CRITERION = "here: Spearman's rank correlation of the median loss below -0.7, none diverged"
EXPECTED = [
    Claim("the final loss falls with N", f"improves with larger networks; {CRITERION}", _falls("N")),
    Claim("the final loss falls with g", f"improves with larger initial weights; {CRITERION}", _falls("g")),
]


def figure(dataset):
    """Final and untrained loss against N and against g."""
    fig, axes = figures.subplots(1, 2, sharey=True)
    silent = dataset.attrs["silent"]
    for ax, along in zip(axes, ("N", "g"), strict=True):
        loss = figure2.drawable(dataset[f"loss_by_{along}"]).transpose("net", along, "trial")
        for label, values, colour in (
            ("after learning", final(loss), figures.COLOURS[1]),
            ("untrained", loss.isel(trial=0), figures.COLOURS[5]),
        ):
            figures.median_quartile_curve(ax, loss[along], values, label, color=colour, marker="o")
        ax.axhline(silent, color=figures.TARGET_COLOUR, linestyle=":", linewidth=1, label="silent output")
    axes[0].set(xscale="log", xlabel="recurrent units N", title=f"g = {dataset.attrs['g']:g}")
    axes[1].set(xlabel="gain of the initial weights g", title=f"N = {dataset.attrs['N']}")
    for ax, values in zip(axes, (dataset.N.values, dataset.g.values), strict=True):
        ax.set_xticks(values, [f"{value:g}" for value in values])
        ax.set_xticks([], minor=True)
    axes[0].set(yscale="log", ylabel="loss (median, quartiles)")
    figures.show_a_decade(axes[0], silent, 4)
    axes[0].legend(loc="lower left")
    return fig
