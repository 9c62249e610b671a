"""RFLO of recurrent and readout weights outperforms learning of the readout or of the recurrent weights alone.

J. M. Murray (2019), eLife 8:e43299, figure 2 - figure supplement 2: the task of figure 2, learned by RFLO; by the
readout weights alone, with the output fed back into the units through B, since otherwise the recurrent activity could
not be shaped; by the recurrent weights alone. To be seen: both together end far lower than the readout alone, and that
than the recurrent weights alone, which fail: a fixed readout cannot turn towards the feedback weights. Ours: the
duration, which the caption does not give.
"""

from dataclasses import dataclass

from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.analysis.curves import final
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _figure2 as figure2
from neuroplast.rules import READOUT_ONLY, RECURRENT_ONLY, RFLO

PAPER = {"figure": "Murray 2019, figure 2 - figure supplement 2", "doi": "10.7554/eLife.43299"}
EXPECTED_TIME = "40 s on two idle cores"
RULES = {"rflo": RFLO, "readout_only": READOUT_ONLY, "recurrent_only": RECURRENT_ONLY}
LABELS = {"rflo": "both", "readout_only": "readout only", "recurrent_only": "recurrent only"}


@dataclass(frozen=True)
class Parameters(figure2.Common):
    """What the supplement varies is fixed by the rules."""

    period: Quantity = parameter(200 * ms, "duration of the output")
    eta: float = parameter(0.03, "learning rate of what learns")


QUICK = {"trials": 2000, "nets": 5}


def experiment(parameters, run):
    """Train every net in the three ways."""
    p = parameters
    (period,) = p.durations()
    cases = [figure2.Case({"rule": name}, rule, period, p.eta) for name, rule in RULES.items()]
    target = figure2.target(p).isel(period=0, drop=True)
    return figure2.train(cases, p, run, diverged="omit").assign(target=target)


def _final(dataset):
    """Medians over nets of the final loss, in the order of `RULES`."""
    last = final(dataset.loss).median("net")
    return [float(last.sel(rule=rule)) for rule in RULES]


def _both_best(dataset):
    both, readout, recurrent = _final(dataset)
    return f"{both:.2g}; {readout:.2g}, {recurrent:.2g}", holds(3 * both < min(readout, recurrent))


def _readout_second(dataset):
    _, readout, recurrent = _final(dataset)
    return f"{readout:.2g}; {recurrent:.2g}", holds(3 * readout < recurrent)


def _recurrent_fails(dataset):
    recurrent = _final(dataset)[-1]
    untrained = float(dataset.loss.sel(rule="recurrent_only").isel(trial=0).median("net"))
    silent = float(figure2.silent(dataset.target))
    text = f"{recurrent:.2g} of {untrained:.2g} (silent {silent:.2g})"
    return text, holds(recurrent > 0.5 * min(untrained, silent))


EXPECTED = [
    Claim("both sets of weights end lowest", "outperforms either alone; here: by a factor of 3", _both_best),
    Claim("readout only ends below recurrent only", "far below; here: by a factor of 3", _readout_second),
    Claim(
        "recurrent only fails", "fails; here: ends above half the loss of untrained and of silence", _recurrent_fails
    ),
]


def figure(dataset):
    """Learning curves, and the outputs of all nets after learning."""
    fig, (left, right) = figures.subplots(1, 2, width=3.8, height=3.2)
    time, silent = (dataset.step + 1) * dataset.attrs["dt_ms"], float(figure2.silent(dataset.target))
    for rule, colour, offset in zip(RULES, figures.COLOURS, (4.0, 0.0, -4.0), strict=False):
        label, loss = LABELS[rule], figure2.drawable(dataset.loss.sel(rule=rule)).transpose("net", "trial")
        figures.median_quartile_curve(left, loss.trial + 1, loss, label, color=colour, linewidth=1)
        output = dataset.output.sel(rule=rule).isel(channel=0).transpose("net", "step") + offset
        lines = figures.traces_with_targets(right, time, output, dataset.target + offset, label, color=colour)
        place = {"xycoords": ("axes fraction", "data"), "va": "center"}
        right.annotate(label.replace(" ", "\n"), (1.0, offset), color=colour, **place)
    left.axhline(silent, color=figures.TARGET_COLOUR, linestyle=":", linewidth=1, label="silent output")
    left.set(yscale="log", xlabel="trial", ylabel="loss (median, quartiles)", title="learning")
    figures.show_a_decade(left, silent, 10)
    right.set(xlabel="time (ms)", ylabel="output (offset)", yticks=[], title="after learning, all nets")
    left.legend(loc="upper right", ncols=2)
    right.legend(handles=lines[-1:], loc="upper right")
    return fig
