"""An error that perturbs activity which has settled teaches the better, the longer it was given to settle.

Z. Liu et al. (2026), eLife 15:e108237, figure 3f: error-perturbed errors (EPE), where the learning phase of t2
iterations goes on from where the inference phase of t1 iterations ended; test accuracy on Fashion-MNIST. To be seen:
the longer the first phase, the better; a few further iterations are enough for the second one. At least two are needed:
the first loads the neurons that receive the error.

The combinations are ours, as the paper's text does not give them: t1 of 2, 4, 8 and 16, t2 of 2, 4 and 8. Criteria were
set before the first run.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, figure 3f", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "3 min on two idle cores"
FULL_TIME = "25 h on two idle cores"
TAU = 10 * ms


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(8, "times that a net sees all images", least=1)
    inference: tuple = parameter((2, 4, 8, 16), "iterations of the inference phase", least=2)
    learning: tuple = parameter((2, 4, 8), "iterations of the learning phase", least=2)
    radius: float = parameter(0.25, "spectral radius")


QUICK = {"rows": 1000, "epochs": 3, "block": 16, "inference": (2, 8), "learning": (2, 4)}
FULL = _modules.FULL | {"nets": 5}


def experiment(parameters, run):
    """Train a net with each pair of durations."""
    p, images = parameters, _modules.load(parameters, run)
    cases = [
        _modules.Case(
            {"inference": int(t1), "learning": int(t2)},
            images,
            constants={"epe": True, "radius": p.radius, "inference": t1 * TAU, "learning": t2 * TAU},
        )
        for t1 in p.inference
        for t2 in p.learning
    ]
    return _modules.train(cases, p, run).sortby(["inference", "learning"]).assign_attrs(_modules.size(p))


def _longer(dataset):
    last = _modules.last(dataset).mean("learning")
    steps = last.diff("inference")
    enough = last.sizes["inference"] > 1
    better = enough and (steps > -0.5).all() and last[-1] > last[0]
    return _modules.listed(last), holds(better) if enough else "not run"


def _few(dataset):
    last = _modules.last(dataset).isel(inference=-1)
    apart = float(np.ptp(last.values))
    return f"{_modules.listed(last)}; {apart:.1f} apart", holds(apart < 1) if last.size > 1 else "not run"


EXPECTED = [
    _modules.used(),
    Claim(
        "the longer the inference phase, the better",
        "figure 3f; here: mean over learning phases, no step down by 0.5 points or more, longest above shortest",
        _longer,
    ),
    Claim(
        "a short learning phase is enough",
        "figure 3f; here: after the longest inference phase less than 1 point apart",
        _few,
    ),
]


def figure(dataset):
    """Accuracy against the duration of the inference phase, a line for each duration of the learning phase."""
    fig, ax = figures.subplots()
    _modules.lines(ax, dataset, "inference", "learning", "{}")
    ax.set_xticks(dataset.inference.values)
    ax.set(xlabel="iterations of the inference phase", title=f"{dataset.attrs['data']}: EPE\n(dotted: best epoch)")
    ax.legend(title="learning phase")
    return fig
