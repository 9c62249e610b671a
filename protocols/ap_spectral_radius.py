"""Modules learn as long as their recurrent activity neither dies out nor becomes chaotic.

Z. Liu et al. (2026), eLife 15:e108237, figure 2c: test accuracy on Fashion-MNIST, maximal and finite-time (8 steps)
Lyapunov exponent against the spectral radius of the fixed recurrent weights. To be seen: exponents rise with the
radius, nearly alike, and cross 0 at a radius of about 1; the accuracy peaks around 0.1, is flat up to 0.5, and falls
where the exponents are below -2.5 (signals die out before they are sent) and in chaos.

Exponents are those of the trained nets from z = 0 on with an image clamped, means over images and modules; the maximal
one is the mean over the second half of 500 iterations. Criteria were set before the first run, which had 8 epochs of a
third of the images: nets with small radii were still learning then, the more slowly the smaller the radius. The usual
size now has 20, in which they may not have ended either.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.analysis.lyapunov import exponents
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules, _shown

PAPER = {"figure": "Liu et al. 2026, figure 2c", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "3 min on two idle cores"
FULL_TIME = "5 h on two idle cores"
#: Radii between which the accuracy is flat, in the paper.
PLATEAU = (0.1, 0.5)


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(20, "times that a net sees all images", least=1)
    radii: tuple = parameter((0.01, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0), "spectral radii", least=0.0)
    modules: int = parameter(2, "modules in a row", least=1)
    samples: int = parameter(50, "images over which exponents are averaged", least=1)
    steps: int = parameter(500, "iterations over which they are", least=16)


QUICK = {"rows": 1000, "epochs": 4, "block": 16, "samples": 20}
FULL = _modules.FULL | {"samples": 500}


def experiment(parameters, run):
    """Train a net at each radius; measure the exponents of its modules."""
    p, images = parameters, _modules.load(parameters, run)
    x = images.scale * images.test[: p.samples].astype(float)

    def measure(case, net, model):
        state, rng, found = net.state, np.random.default_rng(net.coords["net"]), []
        for i, current in enumerate(_shown.currents(state, x, p, p.modules), 1):
            direction = rng.standard_normal(current.shape[1])
            found.append(exponents(_shown.recurrent_of(state, i, p), current, direction, steps=p.steps))
        largest, early = np.transpose(found)
        return {"exponent": ("module", largest), "early_exponent": ("module", early)}

    cases = [_modules.Case({"radius": r}, images, constants={"radius": r, "modules": p.modules}) for r in p.radii]
    return _modules.train(cases, p, run, after=measure).sortby("radius").assign_attrs(_modules.size(p))


def _means(dataset):
    return dataset.exponent.mean(("net", "module")), dataset.early_exponent.mean(("net", "module"))


def _rise(dataset):
    largest, early = _means(dataset)
    text = f"{_modules.listed(largest, '.2f')}; over 8 steps {_modules.listed(early, '.2f')}"
    return text, holds((largest.diff("radius") > 0).all() and (early.diff("radius") > 0).all())


def _alike(dataset):
    largest, early = _means(dataset)
    apart = np.abs(largest - early)
    return f"at most {float(apart.max()):.2f} apart", holds((apart < 0.3).all())


def crossing(dataset):
    """Radius at which the maximal exponent crosses 0, between two that there are; NaN if it does not."""
    largest, _ = _means(dataset)
    below, radius = np.flatnonzero(largest.values < 0), dataset.radius.values
    if not len(below) or below[-1] == len(radius) - 1:
        return np.nan
    i = below[-1]
    a, b = largest.values[i : i + 2]
    return float(radius[i] - a * (radius[i + 1] - radius[i]) / (b - a))


def _crosses(dataset):
    at, radii = crossing(dataset), dataset.radius.values
    text = f"at {at:.2f}" if np.isfinite(at) else f"nowhere from {radii[0]:g} to {radii[-1]:g}"
    return text, holds(0.75 <= at <= 1.5)


def _peak(dataset):
    last = _modules.last(dataset)
    best = float(last.radius[np.argmax(last.values)])
    flat = last.where((last.radius >= PLATEAU[0]) & (last.radius <= PLATEAU[1]), drop=True)
    apart = float(flat.max() - flat.min()) if flat.size else np.nan
    text = f"{_modules.listed(last)}; best at {best:g}, {apart:.1f} points apart from {PLATEAU[0]} to {PLATEAU[1]}"
    return text, holds(PLATEAU[0] <= best <= PLATEAU[1] and apart < 2)


def _falls(dataset):
    last, (largest, _) = _modules.last(dataset), _means(dataset)
    dead, wild = last.where(largest < -2.5, drop=True), last.where(last.radius >= 2, drop=True)
    short = [
        f"{name} {float(last.max() - some.max()):.1f}" for name, some in (("dead", dead), ("wild", wild)) if some.size
    ]
    low = dead.size and (dead < last.max() - 1).all()
    return (
        f"points below the best: {', '.join(short) or 'no such radius'}",
        holds(low and (wild < last.max() - 2).all()) if dead.size and wild.size else "not run",
    )


EXPECTED = [
    _modules.used(),
    Claim("exponents rise with the radius", "figure 2c; here: both, at each radius", _rise),
    Claim("the maximal and the finite-time one are nearly alike", "figure 2c; here: less than 0.3 apart", _alike),
    Claim("the maximal exponent crosses 0 at 1", "figure 2c; here: between 0.75 and 1.5", _crosses),
    Claim(
        "the accuracy peaks around 0.1 and is flat up to 0.5",
        "figure 2c; here: best between 0.1 and 0.5, where it varies by less than 2 points",
        _peak,
    ),
    Claim(
        "it falls where signals die out, and in chaos",
        "figure 2c; here: exponent below -2.5 more than 1 point below the best, radius 2 more than 2 points",
        _falls,
    ),
]


def figure(dataset):
    """Accuracy, and both exponents, against the radius."""
    fig, axes = figures.subplots(1, 2)
    one = dataset.expand_dims(series=[0])
    _modules.lines(axes[0], one, "radius", "series", "last epoch (dotted: best)")
    for name, label, colour in zip(
        ("exponent", "early_exponent"), ("maximal", "first 8 steps"), figures.COLOURS, strict=False
    ):
        values = dataset[name].mean(("net", "module"))
        axes[1].plot(dataset.radius, values, "o-", color=colour, label=label, markersize=4)
    axes[1].axhline(0, color="0.5", linewidth=1)
    axes[1].axhline(-2.5, color="0.5", linewidth=1, linestyle=":")
    axes[0].set(xlabel="spectral radius", title=dataset.attrs["data"])
    axes[1].set(xlabel="spectral radius", ylabel="Lyapunov exponent", title="mean over modules, images")
    for ax in axes:
        ax.legend()
    return fig
