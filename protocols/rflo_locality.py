"""What RFLO loses to BPTT it loses by being local; random feedback costs nothing.

J. M. Murray (2019), eLife 8:e43299, figure 2d: the task of figure 2a at T = 80 tau, learned by BPTT, by RFLO, and by
two rules that have one of RFLO's approximations each: local with the readout's own weights as feedback (magenta), and
random feedback without locality (cyan). To be seen: the local rule ends like RFLO, the random one like BPTT.

The paper does not give the rates of the two hybrids. We choose them as it chose the others, as the best of
{1, 3} x 10^-4..-1, by three nets that are not among the results; ``rates=search`` does the same for all four rules. The
search runs for all 10,000 trials: 0.38 G steps and 0.29 G for the results, 0.7 us each, and 84 nets, 0.3 s each, take
5 min on two idle cores; a search for all four rules takes 7 min.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _figure2 as figure2
from neuroplast.rules import BPTT, BPTT_RANDOM, LOCAL, RFLO

PAPER = {"figure": "Murray 2019, figure 2d", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "5 min on two idle cores; 7 min with rates=search"
RULES = {rule.name: rule for rule in (BPTT, RFLO, LOCAL, BPTT_RANDOM)}
# Label, colour, line and marker of each rule; magenta and cyan as in the paper.
STYLES = {
    "bptt": ("BPTT", figures.COLOURS[0], "-", "o"),
    "rflo": ("RFLO", figures.COLOURS[1], "-", "s"),
    "local": ("local, no random feedback", figures.COLOURS[3], "--", "^"),
    "bptt_random": ("random feedback, not local", figures.COLOURS[5], "--", "v"),
}


@dataclass(frozen=True)
class Parameters(figure2.Common):
    """What figure 2d varies, and how rates are found."""

    period: Quantity = parameter(800 * ms, "duration of the output")
    eta_bptt: float = parameter(figure2.ETA["bptt"][80], "learning rate of BPTT")
    eta_rflo: float = parameter(figure2.ETA["rflo"][80], "learning rate of RFLO")
    rates: str = parameter("paper", "search for the hybrids' rates only, or for all", choices=("paper", "search"))
    grid_nets: int = parameter(3, "nets per rate of the search, others than those of the results", least=1)
    grid_trials: int = parameter(10_000, "trials per net of the search", least=1)


QUICK = {"trials": 1000, "nets": 3, "grid_trials": 300}


def experiment(parameters, run):
    """Search for rates, then train every net by the four rules."""
    p, (period,) = parameters, parameters.durations()
    known = {"bptt": p.eta_bptt, "rflo": p.eta_rflo} if p.rates == "paper" else {}
    given = [figure2.Case({"rule": name}, RULES[name], period, eta) for name, eta in known.items()]
    sought = [figure2.Case({"rule": name}, RULES[name], period, np.nan) for name in RULES if name not in known]
    found, losses = figure2.search(sought, p, run)
    target = figure2.target(p).isel(period=0, drop=True)
    results = figure2.train([*given, *found], p, run, diverged="omit")
    extra = {"grid_loss": losses, "rate": figure2.rates([*given, *found]), "target": target}
    return results.assign(extra).assign_attrs(period=period)


def _medians(dataset):
    last = final(dataset.loss).median("net")
    return {name: float(last.sel(rule=name)) for name in RULES}


def _gap(dataset):
    loss = _medians(dataset)
    return f"BPTT {loss['bptt']:.3g}, RFLO {loss['rflo']:.3g}", holds(1.5 * loss["bptt"] < loss["rflo"])


def _locality(dataset):
    """How far the local rule ends from RFLO, as a part of the way from RFLO down to BPTT."""
    loss = _medians(dataset)
    away, gap = abs(np.log(loss["local"] / loss["rflo"])), np.log(loss["rflo"] / loss["bptt"])
    text = f"local {loss['local']:.3g}, RFLO {loss['rflo']:.3g}, BPTT {loss['bptt']:.3g}"
    return text, holds(away < gap / 2)


def _feedback(dataset):
    loss = _medians(dataset)
    text = f"random feedback {loss['bptt_random']:.3g}, BPTT {loss['bptt']:.3g}"
    return text, holds(1 / 2 < loss["bptt_random"] / loss["bptt"] < 2)


EXPECTED = [
    Claim("there is a gap: BPTT ends below RFLO", "BPTT below RFLO; here: median by a factor of 1.5", _gap),
    Claim(
        "locality accounts for the gap",
        "the local rule ends like RFLO; here: medians (log) nearer to it than half the gap",
        _locality,
    ),
    Claim("random feedback costs nothing", "it ends like BPTT; here: medians within a factor of 2", _feedback),
]


def figure(dataset):
    """Learning curves, and the search: final loss against learning rate."""
    fig, (left, right) = figures.subplots(1, 2, width=3.8, height=3.4, sharey=True)
    silent, some = float(figure2.silent(dataset.target)), max(1, dataset.sizes["trial"] // 100)
    for name, (label, colour, line, marker) in STYLES.items():
        loss, rate = dataset.loss.sel(rule=name), float(dataset.rate.sel(rule=name))
        options = {"color": colour, "linestyle": line}
        curve = figure2.drawable(loss.coarsen(trial=some, boundary="trim").mean()).transpose("net", "trial")
        trial = some * (np.arange(curve.sizes["trial"]) + 0.5)
        figures.median_quartile_curve(left, trial, curve, f"{label}, η = {rate:g}", **options)
        last = float(figure2.drawable(final(loss)).median("net"))
        right.plot(rate, last, marker, color=colour, markersize=9, markerfacecolor="none")
        grid = figure2.drawable(dataset.grid_loss.sel(rule=name)).transpose("grid_net", "eta")
        if grid.notnull().any():  # else its rate was given
            figures.median_quartile_curve(right, grid.eta, grid, marker=marker, markersize=4, **options)
    for ax in (left, right):
        ax.axhline(silent, color="black", linestyle=":", linewidth=1, label="silent output")
    low = min(float(final(dataset.loss).min()), float(dataset.grid_loss.min()), silent / 10) / 1.5
    left.set(yscale="log", ylim=(low, 4 * silent), title=f"T = {dataset.attrs['period']} τ")
    left.set(xlabel=f"trial (means over {some})", ylabel="loss (median, quartiles)")
    right.set(xscale="log", xlabel="learning rate η", title="search (large: results)")
    fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return fig
