"""The slope of the neurons' response, which the rule leaves out, makes no visible difference to learning.

Z. Liu et al. (2026), eLife 15:e108237, appendix 1: test accuracy on Fashion-MNIST when the displacement of a neuron is
multiplied by the slope of its response, f' = 1 - z^2, as backpropagation would, and when it is not, as adjoint
propagation does. To be seen: the curves lie on each other. Criteria were set before the first run.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.analysis.paired import compare
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, appendix 1, figure 1", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "1 min on two idle cores"
FULL_TIME = "6 h on two idle cores"


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    nets: int = parameter(3, "nets, each with its own initial weights", least=1)
    modules: int = parameter(2, "modules in a row", least=1)


QUICK = {"rows": 1000, "epochs": 4, "block": 16, "nets": 2}
FULL = _modules.FULL | {"nets": 5}


def experiment(parameters, run):
    """Train every net by both rules."""
    p, images = parameters, _modules.load(parameters, run)
    rules = ("ap", "ap_derivative")
    cases = [_modules.Case({"rule": rule}, images, rule, {"modules": p.modules}) for rule in rules]
    return _modules.train(cases, p, run).assign_attrs(_modules.size(p))


def _same(dataset):
    last = 100 * dataset.test_accuracy.isel(epoch=-1)
    difference = compare(last.sel(rule="ap_derivative").values, last.sel(rule="ap").values)
    text = "; ".join(
        f"{_modules.LABELS[rule]} {_modules.ends(dataset.test_accuracy.sel(rule=rule))}" for rule in dataset.rule.values
    )
    return f"{text}; difference {difference.text}", holds(abs(difference.mean) < 1)


def _curves(dataset):
    mean = 100 * dataset.test_accuracy.mean("net").isel(epoch=slice(dataset.sizes["epoch"] // 2, None))
    apart = np.abs(mean.sel(rule="ap") - mean.sel(rule="ap_derivative"))
    return f"at most {float(apart.max()):.2f} points apart", holds((apart < 2).all())


EXPECTED = [
    _modules.used(),
    Claim("no difference in the end", "appendix 1; here: mean difference after the last epoch below 1 point", _same),
    Claim(
        "nor on the way",
        "appendix 1; here: means less than 2 points apart in each of the second half of the epochs",
        _curves,
    ),
]


def figure(dataset):
    """Accuracy and loss by epoch under both rules."""
    fig, axes = figures.subplots(1, 2)
    for rule in dataset.rule.values:
        colour, label = _modules.COLOURS[rule], _modules.LABELS[rule]
        _modules.curve(axes[0], 100 * dataset.test_accuracy.sel(rule=rule), label, color=colour)
        _modules.curve(axes[1], dataset.test_loss.sel(rule=rule), label, color=colour)
    axes[0].set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{dataset.attrs['data']} (median, quartiles)")
    axes[1].set(xlabel="epoch", ylabel="cross entropy of the test")
    axes[0].legend(loc="lower right")
    return fig
