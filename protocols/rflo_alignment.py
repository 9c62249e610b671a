"""Under RFLO the readout weights turn towards the fixed random feedback weights; under BPTT they do not.

J. M. Murray (2019), eLife 8:e43299, figure 2c: the cosine between the readout weights W_out, transposed, and the
feedback weights B, trial by trial, in the task of figure 2a at T = 20, 40, 80 and 160 tau with the learning rates of
the paper. To be seen: under RFLO it rises from about 0 towards 1, which is why random feedback teaches the recurrent
weights something useful. Ours: BPTT, which does not use B, as a control.
"""

from dataclasses import dataclass

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _figure2 as figure2

PAPER = {"figure": "Murray 2019, figure 2c", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "4 min on two idle cores"


@dataclass(frozen=True)
class Parameters(figure2.Durations):
    """What figure 2c varies."""


QUICK = {"trials": 1000, "nets": 3}


def experiment(parameters, run):
    """Train every net by both rules on all durations."""
    return figure2.train(parameters.cases(run), parameters, run)


def _ends(dataset, rule):
    """For each duration the alignment after the first trial and at the end, medians over nets."""
    chosen = dataset.alignment.sel(rule=rule)
    first, last = chosen.isel(trial=0).median("net").values, final(chosen).median("net").values
    places = zip(dataset.period.values, first, last, strict=True)
    return first, last, "; ".join(f"{T} tau: {a:.2f} to {b:.2f}" for T, a, b in places)


def _rises(dataset):
    first, last, text = _ends(dataset, "rflo")
    return text, holds((abs(first) < 0.3).all() and (last > 0.7).all())


def _stays(dataset):
    _, last, text = _ends(dataset, "bptt")
    return text, holds((abs(last) < 0.3).all())


EXPECTED = [
    Claim(
        "RFLO aligns W_out with B",
        "from about 0 towards 1; here: at every T from within 0.3 to above 0.7",
        _rises,
        values={"alignment": 0.7},
    ),
    Claim("BPTT does not", "no such claim; here: at every T it ends within 0.3 of 0", _stays),
]


def figure(dataset):
    """Alignment against trial: a colour for each duration, BPTT in grey."""
    fig, ax = figures.subplots(width=4.4, height=3.2)
    for number, period in enumerate(dataset.period.values):
        here = dataset.alignment.sel(period=period).transpose("rule", "net", "trial")
        label = None if number else "BPTT, each T"
        ax.plot(here.trial + 1, here.sel(rule="bptt").median("net"), color="0.6", linewidth=1, label=label)
        options = {"color": figures.COLOURS[number % len(figures.COLOURS)]}
        figures.median_quartile_curve(ax, here.trial + 1, here.sel(rule="rflo"), f"RFLO, T = {period} τ", **options)
    ax.set(xscale="log", xlabel="trial", ylabel="alignment of $W_{out}^T$ and $B$ (cosine)", ylim=(-0.6, 1))
    ax.set_title("median, quartiles")
    ax.legend(loc="lower right", ncols=2)
    return fig
