"""Synapses that keep their signs (Dale's law) let RFLO learn a periodic output as well as free ones do.

J. M. Murray (2019), eLife 8:e43299, figure 2 - figure supplement 1: the task and the learning rates of figure 2. Half
of the units are excitatory, half inhibitory; a recurrent weight that an update would give the other sign is set to 0.
To be seen: with and without the constraint the loss falls at a similar rate, for short and for long outputs, and ends
similarly low at each duration.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _figure2 as figure2
from neuroplast.rules import RFLO, dale

PAPER = {"figure": "Murray 2019, figure 2 - figure supplement 1", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "4 min on two idle cores"
RULES = {"rflo": RFLO, "rflo_dale": dale(RFLO)}
LABELS = {"rflo": "RFLO", "rflo_dale": "RFLO + Dale"}


@dataclass(frozen=True)
class Parameters(figure2.Several):
    """What the supplement varies."""

    eta: tuple = parameter((), "learning rate for each duration, of both rules; the paper's if not given", like=0.03)

    def __post_init__(self):
        super().__post_init__()
        figure2.check_rates("eta", self)


QUICK = {"trials": 1000, "nets": 3}


def experiment(parameters, run):
    """Train every net with and without the constraint on all durations."""
    p = parameters
    cases = [
        figure2.Case({"period": period, "rule": name}, rule, period, eta)
        for name, rule in RULES.items()
        for period, eta in zip(p.durations(), p.etas("eta", "rflo", run), strict=True)
    ]
    return figure2.train(cases, p, run, diverged="omit").assign(target=figure2.target(p))


def _text(periods, free, signed):
    return "; ".join(
        f"{float(T):g} tau: RFLO {a:.3g}, Dale {b:.3g}" for T, a, b in zip(periods, free, signed, strict=True)
    )


def _alike(free, signed):
    return holds(np.all(np.isfinite(free) & np.isfinite(signed) & (signed < 2 * free) & (free < 2 * signed)))


def _halfway(dataset):
    """Trials until the median loss is halfway, on a log scale, from RFLO's first one to its last; inf for never."""
    ends, trials = dataset.period.values[[0, -1]], []
    for period in ends:
        curves = dataset.loss.sel(period=period).median("net")
        first, last = float(curves.sel(rule="rflo")[0]), float(final(curves).sel(rule="rflo"))
        passed = [curves.sel(rule=rule).values <= np.sqrt(first * last) for rule in RULES]
        trials.append([here.argmax() + 1 if here.any() and last < first else np.inf for here in passed])
    free, signed = np.array(trials, float).T
    return _text(ends, free, signed), _alike(free, signed)


def _final(dataset):
    free, signed = (final(dataset.loss.sel(rule=rule)).median("net").values for rule in RULES)
    return _text(dataset.period, free, signed), _alike(free, signed)


def _learns(dataset):
    """Whether the nets end below the untrained ones, and below an output that has only learned to be silent."""
    last, silent = final(dataset.loss).median("net"), figure2.silent(dataset.target)
    below = last / np.minimum(dataset.loss.isel(trial=0).median("net"), silent)
    return _text(dataset.period, *(below.sel(rule=rule).values for rule in RULES)), holds((below < 0.9).all())


EXPECTED = [
    Claim(
        "similar rate of decrease, shortest and longest period",
        "similar; here: trials until halfway (in log) from RFLO's first to its last loss within a factor of 2",
        _halfway,
    ),
    Claim("similar final loss at each period", "similar; here: medians within a factor of 2", _final),
    Claim("both learn at each period", "no such claim; here: to below 0.9 times untrained and silent", _learns),
]


def figure(dataset):
    """Learning curves at the shortest and the longest duration, final losses at all."""
    fig, axes = figures.subplots(1, 3, sharey=True)
    silent, ends = figure2.silent(dataset.target), dataset.period.values[[0, -1]]
    for rule, colour in zip(RULES, figures.COLOURS, strict=False):
        loss = figure2.drawable(dataset.loss.sel(rule=rule)).transpose("net", "period", "trial")
        label, options = LABELS[rule], {"color": colour, "linewidth": 1}
        for ax, period in zip(axes, ends, strict=False):
            figures.median_quartile_curve(ax, loss.trial + 1, loss.sel(period=period), label, **options)
        figures.median_quartile_curve(axes[2], loss.period, final(loss), label, marker="o", **options)
        untrained = loss.isel(trial=0).median("net")
        axes[2].plot(loss.period, untrained, linestyle=":", marker="o", markerfacecolor="white", **options)
    for ax, period in zip(axes, ends, strict=False):
        ax.set(xlabel="trial", title=f"T = {period} τ")
        ax.axhline(silent.sel(period=period), color=figures.TARGET_COLOUR, ls=":", lw=1, label="silent output")
    axes[0].set(yscale="log", ylabel="loss (median, quartiles)")
    figures.show_a_decade(axes[0], float(silent.max()), 4)
    axes[1].legend(loc="lower left")
    axes[2].set(xscale="log", xlabel="duration T (τ)", title="after learning (open: untrained)")
    axes[2].set_xticks(dataset.period.values, [str(period) for period in dataset.period.values])
    axes[2].set_xticks([], minor=True)
    return fig
