"""With the spectral radius modules go over from activity that settles at once to activity that never does.

Z. Liu et al. (2026), eLife 15:e108237, figure 2d: activity of the neurons of a module, and its difference from step to
step, at five spectral radii, while an image is clamped. To be seen: at small radii activity settles within a few
iterations, the more slowly the larger the radius; well above 1 it goes on changing for ever.

The radii are ours, since the paper's text does not give them. Nets have learned Fashion-MNIST before, at their radius.
Criteria were set before the first run.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images, _modules, _shown
from neuroplast.traces import Traces, combine

PAPER = {"figure": "Liu et al. 2026, figure 2d", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "1 min on two idle cores"
FULL_TIME = "3 h on two idle cores"
#: Change in a step, relative to activity, at which a module counts as settled.
SETTLED = 0.01
NEURONS = 40  # that are drawn


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(3, "times that a net sees all images before", least=1)
    radii: tuple = parameter((0.1, 0.5, 1.0, 1.5, 2.0), "spectral radii", least=0.0)
    image: int = parameter(0, "number of the image of the test that is shown", least=0)
    steps: int = parameter(50, "iterations for which it is shown", least=8)


QUICK = {"rows": 1000, "epochs": 2, "block": 16}
FULL = _modules.FULL


def experiment(parameters, run):
    """Learn at each radius; then show an image and record the first module."""
    p, images, learned = parameters, _modules.load(parameters, run), {}
    one = _shown.shown(images, [p.image])

    def keep(case, net, model):
        learned[case.coords["radius"]] = _shown.weights(net.state)
        return {}

    cases = [_modules.Case({"radius": r}, images, constants={"radius": r}, nets=1) for r in sorted(set(p.radii))]
    before = _modules.train(cases, p, run, part="learning", after=keep)
    tau = 10 * ms
    shower = _shown.model(p, one, [f"module1.z:steps=0-{p.steps}"], run, inference=p.steps * tau)
    jobs = [
        shower.job(f"radius={r}", {"radius": r}, 1, _images.seed(run, 0), state=state) for r, state in learned.items()
    ]
    found = combine([(net.coords, net.dataset.drop_dims(["epoch", "snapshot"])) for net in run.train_many(jobs)])
    found["test_accuracy"] = before.test_accuracy.isel(net=0, drop=True)
    return found.assign_attrs(before.attrs | _modules.size(p))


def states(dataset, radius):
    """Activity of module 1 at rest and after each iteration: array (iteration, neuron)."""
    z = Traces(dataset.sel(radius=radius)).rates["module1.z"].isel(trial=0).values
    return np.concatenate([np.zeros_like(z[:1]), z])


def changes(dataset, radius):
    """Change in each iteration relative to the activity then: norms over neurons."""
    z = states(dataset, radius)
    return np.linalg.norm(np.diff(z, axis=0), axis=1) / np.linalg.norm(z[1:], axis=1)


def settling(dataset):
    """Iterations after which changes stay below `SETTLED`, by radius; NaN where they do not."""
    found = {}
    for radius in dataset.radius.values:
        moving = np.flatnonzero(changes(dataset, radius) >= SETTLED)
        since = moving[-1] + 1 if len(moving) else 0
        found[radius] = float(since) if since < len(changes(dataset, radius)) else np.nan
    return found


def _text(found):
    return ", ".join(f"{r:g}: {'never' if np.isnan(n) else f'{n:g}'}" for r, n in found.items())


def _settles(dataset):
    found = {r: n for r, n in settling(dataset).items() if r <= 0.5}
    return _text(found), holds(all(n <= 10 for n in found.values())) if found else "not run"


def _slower(dataset):
    found = settling(dataset)
    times = [n for n in found.values() if not np.isnan(n)]
    return _text(found), holds((np.diff(times) >= 0).all() and times[-1] > times[0]) if len(times) > 1 else "not run"


def _never(dataset):
    last = {r: changes(dataset, r)[-1] for r in dataset.radius.values if r >= 2}
    text = ", ".join(f"{r:g}: {value:.2g} in the last" for r, value in last.items())
    return text or "no radius of 2", holds(all(v >= SETTLED for v in last.values())) if last else "not run"


EXPECTED = [
    _modules.used(),
    Claim(
        "activity settles at small radii",
        f"figure 2d; here: up to 0.5 it changes by less than {SETTLED:.0%} in an iteration after 10 at most",
        _settles,
    ),
    Claim("the more slowly, the larger the radius", "figure 2d; here: as far as it settles", _slower),
    Claim("in chaos it never settles", f"figure 2d; here: at a radius of 2 {SETTLED:.0%} or more in the end", _never),
]


def figure(dataset):
    """Activity and its one-step differences against iterations, a column for each radius."""
    radii = dataset.radius.values
    fig, axes = figures.subplots(2, len(radii), squeeze=False, width=2.2, height=2.0, sharex=True, sharey="row")
    chosen = np.linspace(0, dataset.sizes["module1.z_neuron"] - 1, NEURONS).astype(int)
    for (top, bottom), radius in zip(axes.T, radii, strict=True):
        z = states(dataset, radius)[:, chosen]
        top.plot(np.arange(len(z)), z, linewidth=0.6)
        bottom.plot(np.arange(1, len(z)), np.diff(z, axis=0), linewidth=0.6)
        top.set_title(f"spectral radius {radius:g}")
        bottom.set_xlabel("iteration")
    axes[0, 0].set_ylabel("activity z")
    axes[1, 0].set_ylabel("difference")
    return fig
