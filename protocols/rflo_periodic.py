"""RFLO learns a short periodic output as well as BPTT does, and a long one less well.

J. M. Murray (2019), eLife 8:e43299, figure 2a (and 2c): a recurrent network without input learns to produce one period
of a sum of sines, T = 20 tau or T = 160 tau long, by RFLO or by BPTT. One trial is one period; the weights change after
each. To be seen: the loss of both rules falls far below that of the untrained network; at T = 20 tau they end alike, at
T = 160 tau BPTT ends lower; under RFLO the readout weights turn towards the feedback weights.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import ms

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.parameters import parameter
from neuroplast.protocol import VERDICTS, Claim, holds
from neuroplast.protocols import _figure2 as figure2

PAPER = {"figure": "Murray 2019, figure 2a", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "2 min on two idle cores"


@dataclass(frozen=True)
class Parameters(figure2.Durations):
    """What figure 2a varies."""

    periods: tuple = parameter((200 * ms, 1600 * ms), "durations of the output")


QUICK = {"trials": 3000, "nets": 5}


def experiment(parameters, run):
    """Train every net by both rules on all durations."""
    p = parameters
    return figure2.train(p.cases(run), p, run).assign(target=figure2.target(p))


def _final(dataset, period):
    """Medians over nets: final losses of BPTT and RFLO, loss of the first trial."""
    loss = dataset.loss.sel(period=period)
    last = final(loss).median("net")
    return (*(float(last.sel(rule=rule)) for rule in figure2.RULES), float(loss.isel(trial=0).median("net").max()))


def _ends(dataset):
    """Shortest and longest duration; a single one is that of the paper's two to which it is nearer, None the other."""
    if dataset.period.size > 1:
        return dataset.period.min(), dataset.period.max()
    (period,) = dataset.period
    return (period, None) if period < np.sqrt(20 * 160) else (None, period)


def _alike(dataset):
    shortest, _ = _ends(dataset)
    if shortest is None:
        return "no short duration in this run", VERDICTS[2]
    bptt, learned, _ = _final(dataset, shortest)
    return f"BPTT {bptt:.2g}, RFLO {learned:.2g}", holds(1 / 3 < learned / bptt < 3)


def _unlike(dataset):
    _, longest = _ends(dataset)
    if longest is None:
        return "no long duration in this run", VERDICTS[2]
    bptt, learned, _ = _final(dataset, longest)
    return f"BPTT {bptt:.3g}, RFLO {learned:.3g}", holds(bptt < learned / 1.5)


def _learns(dataset):
    """Whether the nets end below the untrained ones, and below an output that has only learned to be silent."""
    texts, learned = [], []
    for period in dataset.period:
        *finals, untrained = _final(dataset, period)
        silent = float((dataset.target.sel(period=period) ** 2).mean() / 2)
        texts.append(
            f"{period.item():g} tau: {finals[0]:.2g}, {finals[1]:.2g} of {untrained:.2g} (silent {silent:.2g})"
        )
        learned.append(max(finals) < 0.9 * min(untrained, silent))
    return "; ".join(texts), holds(all(learned))


def _aligns(dataset):
    chosen = dataset.alignment.sel(rule="rflo", period=dataset.period.min()).median("net")
    first, last = float(chosen[0]), float(chosen[-1])
    return f"{first:.2f} to {last:.2f}", holds(abs(first) < 0.3 and last > 0.7)


EXPECTED = [
    Claim("shortest period: RFLO ends as low as BPTT", "about equal; here: within a factor of 3", _alike),
    Claim("longest period: BPTT ends lower", "BPTT below RFLO; here: by a factor of 1.5", _unlike),
    Claim(
        "both end below the untrained network", "final loss of BPTT, RFLO below it; here: and below silence", _learns
    ),
    Claim(
        "RFLO aligns W_out with B (figure 2c)",
        "from about 0 towards 1; here: to above 0.7",
        _aligns,
        values={"alignment": 0.7},
    ),
]


def figure(dataset):
    """Learning curves and final outputs: a row for each duration."""
    fig, axes = figures.subplots(dataset.period.size, 2, squeeze=False)
    for (left, right), period in zip(axes, dataset.period.values, strict=True):
        here = dataset.sel(period=period)
        for rule, colour, offset in (("bptt", figures.COLOURS[0], 2.0), ("rflo", figures.COLOURS[1], -2.0)):
            label = rule.upper()
            loss = here.loss.sel(rule=rule)
            figures.median_quartile_curve(left, loss.trial + 1, loss.transpose("net", "trial"), label, color=colour)
            output = here.output.sel(rule=rule).isel(channel=0).transpose("net", "step").dropna("step", how="all")
            time = (output.step + 1) * dataset.attrs["dt_ms"]
            target = here.target.sel(step=output.step) + offset
            lines = figures.traces_with_targets(right, time, output + offset, target, label, color=colour)
            right.annotate(label, (1.0, offset), xycoords=("axes fraction", "data"), color=colour, va="center")
        left.set(yscale="log", xlabel="trial", ylabel="loss (median, quartiles)", title=f"T = {period} τ")
        figures.show_a_decade(left, left.get_ylim()[1])
        right.set(xlabel="time (ms)", ylabel="output (offset)", yticks=[], title="after learning")
        left.legend()
        right.legend(handles=lines[-1:], loc="upper right")
    return fig
