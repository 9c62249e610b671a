"""A readout that learns brings predictions to scale; what learning W adds to that is told by leaving W as it is.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section IV, did not try it: "If we had included a trainable output layer (for instance, if V was updated) then
the network would probably have been able to scale properly."

Ours: n = 32, centred inputs, larger weights and biases (`neuroplast.models.autapse.EXTENSION`); V, from zero, and an
offset learn by the delta rule and Adam under all rules. Two controls: the same readout learns while W stays as it is,
and ridge regression, the best that any linear readout of that frozen network could do. Each rule is trained at several
rates of W. The first three nets choose its rate (highest median skill); the others, which had no say, are what the
claims are about. Ridge regression on the states after learning tells what W has learned from what the readout has.
The figure also shows the skill of the best function of the present position, which is all that a network without memory
could learn.

The thresholds of the claims were set before the first run of full size.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.analysis import paired, prediction
from neuroplast.errors import InputError
from neuroplast.models import autapse
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _ball as ball
from neuroplast.rules import DELTA, FROZEN

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), section IV", "doi": ""}
EXPECTED_TIME = "3 min on two idle cores"
PENALTY = 1e-6  # of the ridge regression, per sample
#: Rates in the tests and in the training trajectories, after learning.
STATES = ("units.h:phase=test", "units.h:phase=fit")


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What is ours to choose."""

    nets: int = parameter(13, "nets, each with its own initial weights", least=2)
    choosers: int = parameter(3, "of these, the first ones that choose the rates and are not judged", least=1)
    epochs: int = parameter(300, "times that a net sees all trajectories", least=1)
    eta: tuple = parameter((3e-4, 1e-3, 3e-3, 1e-2), "learning rates of W that are tried, for Adam")
    every: int = parameter(5, "trajectories from change to change", least=1)

    def __post_init__(self):
        if self.choosers >= self.nets:
            raise InputError(f"choosers should be fewer than the {self.nets} nets. Got {self.choosers}.")


QUICK = {"nets": 9, "epochs": 60, "eta": (1e-3, 3e-3)}


def experiment(parameters, run):
    """Train nets by the four rules at all rates, and with W frozen."""
    p, constants = parameters, autapse.EXTENSION | {"every": parameters.every}
    same, options = {"task": {"centred": True}, "readout_rule": DELTA}, {"measure": measures, "record": STATES}
    cases = [
        ball.Case({"rule": name, "eta": eta}, rule, constants | {"eta_rec": eta}, **same)
        for name, rule in ball.RULES.items()
        for eta in p.eta
    ]
    learned = ball.train(cases, p, run, **options).drop_vars("w_recurrent")
    control = ball.train([ball.Case({"rule": "frozen"}, FROZEN, constants, **same)], p, run, part="control", **options)
    control = control.drop_vars(["w_recurrent", "train_mse"]).isel(rule=0, drop=True)
    control = control.rename({name: f"control_{name}" for name in control.data_vars})
    position = ball.by_position(ball.make_task(p, run.seed, centred=True), p.burn_in)
    return learned.merge(control, compat="override").assign_attrs(choosers=p.choosers, by_position=position)


def measures(found, task, burn_in):
    """Those of the ball; the error without calibration; the skill of the best linear readout of the same states."""
    found_mse = ball.measures(found, task, burn_in)
    (_, target), (_, fitted) = (prediction.trajectories(task, chosen) for chosen in (task.tests, task.order))
    states, training_states = found["units.h_test"].values, found["units.h_fit"].values
    weights, offset = prediction.ridge(training_states, fitted, PENALTY, burn_in)
    best = prediction.score(states @ weights + offset, training_states @ weights + offset, task, burn_in)
    return found_mse | {"raw": prediction.nmse(found.output.values, target, burn_in=burn_in), "ridge": best["skill"]}


def chosen(dataset, rule):
    """Results of a rule at the rate that the first nets choose, of the other nets; the rate is their ``eta``."""
    here, first = dataset.sel(rule=rule), dataset.attrs["choosers"]
    skill = here.skill.sel(stage="trained").isel(net=slice(first)).median("net")
    return here.sel(eta=float(dataset.eta[int(skill.argmax("eta"))])).isel(net=slice(first, None))


def _pair(dataset, rule, name="skill", than="control_skill", stage="trained"):
    here = chosen(dataset, rule)
    ours, theirs = here[name].sel(stage="trained"), here[than].sel(stage=stage)
    found = paired.compare(ours.clip(-1e6), theirs)
    text = f"{rule} {ball.spread(ours)} (p = {found.wilcoxon:.2g}, eta {float(here.eta):g})"
    return text, ball.spread(theirs), found.median > 0 and found.wilcoxon < 0.05


def _scales(dataset):
    ratio = {rule: chosen(dataset, rule).sel(stage="trained") for rule in dataset.rule.values}
    ratio = {rule: float((here.raw / here.nmse).median("net")) for rule, here in ratio.items()}
    return ", ".join(f"{rule} {value:.3g}" for rule, value in ratio.items()), holds(max(ratio.values()) < 1.1)


def _beat(*rules):
    def check(dataset):
        found = [_pair(dataset, rule) for rule in rules]
        text = f"skill {', '.join(text for text, *_ in found)}; readout alone {found[0][1]}"
        return text, holds(all(beats for *_, beats in found))

    return check


def _beats_ridge(dataset):
    text, ridge, beats = _pair(dataset, "bptt", than="control_ridge")
    return f"skill {text}; ridge on the frozen net {ridge}", holds(beats)


def _better_states(dataset):
    found = [_pair(dataset, rule, "ridge", "control_ridge") for rule in dataset.rule.values]
    text = f"ridge on the learned net: {', '.join(text for text, *_ in found)}; on the frozen one {found[0][1]}"
    return text, holds(all(beats for *_, beats in found))


CRITERION = "skill above that of the same readout with W frozen (paired test, p < 0.05)"
EXPECTED = [
    Claim(
        "a readout that learns fixes the scaling",
        "would probably have been able to scale properly; here: error over error after calibration below 1.1",
        _scales,
    ),
    Claim(
        "BPTT learns more than the readout alone",
        f"capable of learning the dynamics; here: {CRITERION}",
        _beat("bptt"),
    ),
    Claim(
        "so does the autapse rule",
        f"capable of supporting learning in a recurrent neural network; here: {CRITERION}",
        _beat("autapse"),
    ),
    Claim("so do FA and DFA", f"capable of learning the dynamics; here: {CRITERION}", _beat("fa", "dfa")),
    Claim(
        "BPTT learns what no readout of the frozen net could",
        "no such claim; here: skill above that of ridge on the frozen net (p < 0.05)",
        _beats_ridge,
    ),
    Claim(
        "under all rules W learns states that tell more",
        "no such claim; here: skill of ridge on the learned net above that on the frozen one (p < 0.05)",
        _better_states,
    ),
]


def figure(dataset):
    """Skill against the rate of W; skill at the rate chosen, with ridge; learning curves."""
    fig, (rates, nets, curves) = figures.subplots(1, 3, width=3.5, height=3.3)
    control = dataset.sel(stage="trained")
    lines = {
        "readout alone (W frozen)": ("control_skill", "0.45", "--"),
        "ridge, W frozen": ("control_ridge", "0", ":"),
    }
    for label, (name, colour, line) in lines.items():
        for ax in (rates, nets):
            ax.axhline(float(control[name].median("net")), color=colour, linestyle=line, linewidth=1.2, label=label)
    position = dataset.attrs["by_position"]
    for ax in (rates, nets):
        ax.axhline(position, color=figures.COLOURS[5], linestyle="-.", linewidth=1.2, label="function of the position")
    for place, rule in enumerate(dataset.rule.values):
        colour, here = ball.COLOURS[rule], chosen(dataset, rule)
        skill = control.skill.sel(rule=rule).transpose("net", "eta").clip(-9)
        figures.median_quartile_curve(rates, dataset.eta, skill, ball.LABELS[rule], color=colour, marker="o")
        pair = here.sel(stage="trained")
        _columns(nets, place, pair.skill, pair.ridge, colour)
        curve = here.validation_mse.transpose("net", "epoch")
        figures.median_quartile_curve(curves, dataset.epoch + 1, curve, color=colour)
    _columns(nets, -1, control.control_skill, control.control_ridge, "0.45")
    curve = dataset.control_validation_mse.transpose("net", "epoch")
    figures.median_quartile_curve(curves, dataset.epoch + 1, curve, color="0.45", linestyle="--")
    lowest = min(float(chosen(dataset, rule).skill.sel(stage="trained").min()) for rule in dataset.rule.values)
    low = min(-0.1, float(control.control_skill.min()), lowest)
    for ax in (rates, nets):
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(ylim=(max(low, -2) - 0.1, 1))
    rates.set(xscale="log", xlabel="learning rate of W", ylabel="skill over persistence", title="all nets")
    names = ["W frozen", *(ball.LABELS[rule] for rule in dataset.rule.values)]
    nets.set_xticks(np.arange(len(names)) - 1, names, fontsize=8)
    nets.set(title="at the chosen rate (hollow: ridge)")
    curves.set(yscale="log", xlabel="epoch", ylabel="validation MSE", title="at the chosen rate")
    fig.legend(*rates.get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
    return fig


def _columns(ax, place, skill, ridge, colour):
    for at, values, fill in ((place - 0.15, skill, colour), (place + 0.15, ridge, "none")):
        ax.plot(
            np.full(values.size, at), values.clip(-9), "o", color=colour, markerfacecolor=fill, markersize=4, alpha=0.7
        )
        ax.hlines(float(values.median()), at - 0.13, at + 0.13, color=colour, linewidth=2.2)
