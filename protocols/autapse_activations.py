"""Sigmoid, tanh, ReLU and softplus units: which of the report's findings are the sigmoid's.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section IV: "due to time constraints, we were unable to test different activations in the recurrent neural
network - all of these results were from a network with sigmoid activation."

Two networks. The report's (n = 2, U = V = I) passes the ball's position through the activation: the sigmoid's slope of
at most 1/4 makes it small, which tanh and ReLU should not. In the larger one (`neuroplast.models.autapse.EXTENSION`)
the readout learns; weights and biases are divided by four times the activation's largest slope, and activity is counted
from its value at zero, so that all begin with the same largest gain; beside it stands the same readout with W frozen.
Learning rates are those of the sigmoid. To be seen: whether the scale of the predictions is the activation's matter,
and whether the autapse rule, which leaves the slope out, learns with any of them.

The thresholds of the claims were set before the first run of full size. In that run weights were divided by the slope
at zero instead, which differs for softplus only: half of the largest one, so that its untrained network was unstable.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.analysis import paired, prediction
from neuroplast.models import autapse
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _ball as ball
from neuroplast.rules import DELTA, FROZEN

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), section IV", "doi": ""}
EXPECTED_TIME = "3 min on two idle cores"
#: Value at zero, and largest slope.
ACTIVATIONS = {"sigmoid": (0.5, 0.25), "tanh": (0.0, 1.0), "relu": (0.0, 1.0), "softplus": (np.log(2), 1.0)}
RULES = {"frozen": FROZEN, **ball.RULES}
LABELS = {"frozen": "W frozen", **ball.LABELS}
COLOURS = {"frozen": "0.45", **ball.COLOURS}


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What is ours to choose."""

    nets: int = parameter(8, "nets, each with its own initial weights", least=1)
    activations: tuple = parameter(tuple(ACTIVATIONS), "activations of the units", choices=tuple(ACTIVATIONS))
    learned_epochs: int = parameter(150, "epochs of the network whose readout learns", least=1)
    eta: float = parameter(autapse.EXTENSION["eta_rec"], "learning rate of W there, for Adam")
    every: int = parameter(5, "trajectories from change to change there", least=1)


QUICK = {"nets": 6, "epochs": 50, "learned_epochs": 30, "activations": ("sigmoid", "tanh", "relu")}


def experiment(parameters, run):
    """Train the report's network and the larger one with each activation by each rule."""
    p, fixed, learned = parameters, [], []
    for activation in p.activations:
        for name, rule in RULES.items():
            coords = {"activation": activation, "rule": name}
            if rule is not FROZEN:
                fixed.append(ball.Case(coords, rule, {"activation": activation, "eta_rec": ball.ETA[name]}))
            constants = larger(activation) | {"every": p.every, "eta_rec": p.eta}
            options = {"task": {"centred": True}, "readout_rule": DELTA, "epochs": p.learned_epochs}
            learned.append(ball.Case(coords, rule, constants, **options))
    parts = {
        name: ball.train(cases, p, run, measure=measures, part=name)[["mse", "nmse", "raw", "skill"]]
        for name, cases in {"fixed": fixed, "learned": learned}.items()
    }
    network = xr.IndexVariable("network", list(parts))
    return xr.concat(parts.values(), network, join="outer").reindex(rule=list(RULES), activation=list(p.activations))


def larger(activation):
    """Constants of the larger network, such that all activations begin with the same largest gain."""
    centre, slope = ACTIVATIONS[activation]
    gains = {name: autapse.EXTENSION[name] / (4 * slope) for name in ("g", "g_in", "g_bias", "g_back")}
    return autapse.EXTENSION | gains | {"activation": activation, "centre": centre}


def measures(found, task, burn_in):
    """Those of the ball, and the error without calibration."""
    target = prediction.trajectories(task, task.tests)[1]
    raw = prediction.nmse(found.output.values, target, burn_in=burn_in)
    return ball.measures(found, task, burn_in) | {"raw": raw}


def _each(check):
    """Check that goes through activations and gives a text for each of them, and whether it holds for all."""

    def whole(dataset):
        found = {activation: check(dataset.sel(activation=activation)) for activation in dataset.activation.values}
        return "; ".join(f"{name}: {text}" for name, (text, _) in found.items()), holds(
            all(ok for _, ok in found.values())
        )

    return whole


def _falls(here):
    mse = here.mse.sel(network="fixed")
    fails = [rule for rule in ball.RULES if not ball.falls(mse.sel(rule=rule))]
    before, after = (mse.sel(stage=stage, rule=list(ball.RULES)).median("net") for stage in ball.STAGES)
    text = f"{float(before.isel(rule=0)):.2g} to {float(after.min()):.2g}-{float(after.max()):.2g}"
    return text + (f", not by {', '.join(fails)}" if fails else ""), not fails


def _scale(dataset):
    """Whether only under the sigmoid, of those that were run, the untrained network is off by a scale."""
    here = dataset.sel(network="fixed", rule="bptt", stage="untrained")
    ratio = (here.raw / here.nmse).median("net")
    ratio = {str(name): float(ratio.sel(activation=name)) for name in ratio.activation.values}
    squashed = ratio.pop("sigmoid", np.nan)
    text = f"sigmoid {squashed:.3g}, " + ", ".join(f"{name} {value:.3g}" for name, value in ratio.items())
    return text, holds(squashed > 3 * max(ratio.values(), default=np.inf))


def _dynamics(here):
    skill = here.skill.sel(network="fixed")
    fails = [rule for rule in ball.RULES if not ball.learned(skill.sel(rule=rule))]
    after = skill.sel(stage="trained", rule=list(ball.RULES)).median("net")
    text = f"skill {float(after.min()):.2f} to {float(after.max()):.2f}"
    return text + (f", not by {', '.join(fails)}" if fails else ""), not fails


def _autapse(here):
    skill = here.skill.sel(network="learned", stage="trained").clip(-1e6)
    ours, control = skill.sel(rule="autapse"), skill.sel(rule="frozen")
    found = paired.compare(ours, control)
    text = f"{ball.spread(ours)}, W frozen {ball.spread(control)} (p = {found.wilcoxon:.2g})"
    return text, found.median > 0 and found.wilcoxon < 0.05


EXPECTED = [
    Claim(
        "the MSE falls with every activation",
        "not tested; the report's network, here: by each rule (paired test, p < 0.05)",
        _each(_falls),
    ),
    Claim(
        "predictions are off by a scale because of the sigmoid",
        "due to a single layer, the authors believe; here, untrained: error over error after calibration, three times "
        "that of the other activations",
        _scale,
    ),
    Claim(
        "all rules learn the dynamics with every activation",
        "not tested; the report's network, here: skill positive and above the untrained network's (p < 0.05)",
        _each(_dynamics),
    ),
    Claim(
        "without the slope, the autapse rule learns with every activation",
        "not tested; readout learns, here: skill above that with W frozen (p < 0.05)",
        _each(_autapse),
    ),
]


def figure(dataset):
    """Error and skill of the report's network; skill of the one whose readout learns."""
    fig, axes = figures.subplots(1, 3, width=3.7, height=3.4)
    shown = (("fixed", "mse", "validation MSE"), ("fixed", "skill", "skill over persistence"),
             ("learned", "skill", "skill over persistence"))  # fmt: skip
    for ax, (network, name, label) in zip(axes, shown, strict=True):
        rules = [rule for rule in RULES if network == "learned" or rule != "frozen"]
        low, high = (-3.0, 1.0) if name == "skill" else (0.01, 2.0)
        for place, activation in enumerate(dataset.activation.values):
            for number, rule in enumerate(rules):
                values = dataset[name].sel(network=network, activation=activation, rule=rule).clip(low, high)
                at = place + 0.16 * (number - (len(rules) - 1) / 2)
                if name == "mse" or network == "fixed":
                    ball.dots(ax, values, at, COLOURS[rule], width=0.07)
                else:
                    trained = values.sel(stage="trained")
                    ax.plot(np.full(trained.size, at), trained, "o", color=COLOURS[rule], markersize=3.5, alpha=0.6)
                    ax.hlines(float(trained.median()), at - 0.06, at + 0.06, color=COLOURS[rule], linewidth=2.5)
        ax.set_xticks(range(dataset.sizes["activation"]), dataset.activation.values)
        ax.set_ylabel(label)
        if name == "skill":
            ax.axhline(0, color="black", linewidth=0.8)
            ax.set_ylim(low - 0.1, 1)
    axes[0].set(yscale="log", title="report's network (grey: untrained)")
    axes[1].set(title="report's network (at the edge: beyond it)")
    axes[2].set(title="readout learns (at the edge: beyond it)")
    handles = [axes[2].plot([], [], "o", color=COLOURS[rule], label=LABELS[rule])[0] for rule in RULES]
    fig.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8)
    return fig
