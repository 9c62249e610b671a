"""Errors of short trajectories teach as well as those of long ones, unless activity is chaotic.

Z. Liu et al. (2026), eLife 15:e108237, figure 3c: short-trajectory errors (STE), where both phases begin at rest and
last t1 = t2 = 2, 4, 8 or 16 iterations, against the spectral radius; test accuracy on Fashion-MNIST, five nets. The
first iteration only loads the neurons that receive, so that in "2-2" the whole module is updated once. To be seen: at
small radii the accuracy hardly depends on the number of iterations; above 1 more iterations are worse, since activity
saturates and signals are lost. Criteria were set before the first run.
"""

from dataclasses import dataclass

from brian2 import ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, figure 3c", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "4 min on two idle cores"
FULL_TIME = "90 h on two idle cores"
TAU = 10 * ms


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(6, "times that a net sees all images", least=1)
    iterations: tuple = parameter((2, 4, 8, 16), "iterations of each phase", least=2)
    radii: tuple = parameter((0.1, 0.5, 1.0, 1.5, 2.0), "spectral radii", least=0.0)


QUICK = {"rows": 1000, "epochs": 3, "block": 16, "radii": (0.1, 2.0), "iterations": (2, 8)}
FULL = _modules.FULL | {"nets": 5, "radii": (0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)}


def experiment(parameters, run):
    """Train a net with each number of iterations at each radius."""
    p, images = parameters, _modules.load(parameters, run)
    cases = [
        _modules.Case(
            {"iterations": int(t), "radius": r},
            images,
            constants={"radius": r, "inference": t * TAU, "learning": t * TAU},
        )
        for t in p.iterations
        for r in p.radii
    ]
    return _modules.train(cases, p, run).sortby(["radius", "iterations"]).assign_attrs(_modules.size(p))


def _by_radius(last):
    return "; ".join(f"radius {r:g}: {_modules.listed(last.sel(radius=r))}" for r in last.radius.values)


def _flat(dataset):
    last = _modules.last(dataset)
    small = last.where(last.radius <= 0.5, drop=True)
    if not small.size:
        return "no radius up to 0.5", "not run"
    apart = small.max("iterations") - small.min("iterations")
    return f"{_by_radius(small)}; at most {float(apart.max()):.1f} apart", holds((apart < 2).all())


def _worse(dataset):
    last = _modules.last(dataset)
    large = last.where(last.radius > 1, drop=True)
    if not large.size:
        return "no radius above 1", "not run"
    first, end = large.isel(iterations=0), large.isel(iterations=-1)
    return _by_radius(large), holds((end < first - 1).all())


EXPECTED = [
    _modules.used(),
    Claim(
        "the number of iterations hardly matters at small radii",
        "figure 3c; here: at radii up to 0.5 less than 2 points apart",
        _flat,
    ),
    Claim(
        "above a radius of 1 more iterations are worse",
        "figure 3c; here: with the most iterations more than 1 point lower than with the fewest",
        _worse,
    ),
]


def figure(dataset):
    """Accuracy against the radius, a line for each number of iterations."""
    fig, ax = figures.subplots()
    _modules.lines(ax, dataset, "radius", "iterations", "{0}-{0}")
    ax.set(xlabel="spectral radius", title=f"{dataset.attrs['data']}: STE\n(dotted: best epoch)")
    ax.legend(title="iterations")
    return fig
