"""Errors point in the same direction long before activity has settled: trajectories of both phases.

Z. Liu et al. (2026), eLife 15:e108237, figure 3b and e: activity of a module of 1024 neurons that learns Fashion-MNIST,
in the inference and in the learning phase, iterations as samples of a principal component analysis. To be seen: with
short-trajectory errors (STE) both phases leave the same starting point and part; with error-perturbed errors (EPE) the
learning phase leaves the end of the inference phase. The vectors between the phases at equal iterations (STE), or from
the end of the first phase to the second one (EPE), approximate that between their ends. They are compared on the
neurons that receive inference, since these learn from them.

Nets are looked at after one epoch and after the last. Phases are then longer than in learning, so that they settle. The
image drawn is that with the largest error after learning. Criteria were set before the first run.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images, _modules, _shown
from neuroplast.traces import Traces, combine

PAPER = {"figure": "Liu et al. 2026, figure 3b, e", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "1 min on two idle cores"
FULL_TIME = "1 h on two idle cores"
TAU = 10 * ms
ERRORS = {"ste": "STE", "epe": "EPE"}


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(5, "times that a net sees all images", least=1)
    modules: int = parameter(1, "modules in a row, of which the first one is looked at", least=1)
    samples: int = parameter(20, "images that are shown", least=1)
    steps: int = parameter(16, "iterations of each phase while they are", least=8)
    from_step: int = parameter(4, "iterations of a phase after which its error should point to the end", least=2)


QUICK = {"rows": 1000, "epochs": 2, "block": 16, "samples": 5}
FULL = _modules.FULL


def experiment(parameters, run):
    """Learn by both kinds of errors; show images after one epoch and after the last."""
    p, images, learned = parameters, _modules.load(parameters, run), {}
    some = _shown.shown(images, range(p.samples))

    def keep(case, net, model):
        learned[case.coords["error"], case.coords["after"]] = _shown.weights(net.state)
        return {}

    cases = [
        _modules.Case(
            {"error": error, "after": after}, images, constants={"epe": error == "epe", "modules": p.modules}, nets=1,
            epochs=after,
        )
        for error in ERRORS
        for after in sorted({1, p.epochs})
    ]  # fmt: skip
    before = _modules.train(cases, p, run, part="learning", after=keep)
    phases, jobs, m = {"inference": p.steps * TAU, "learning": p.steps * TAU}, [], p.modules
    # The first module relaxes first in the inference phase, and last in the learning phase.
    spans = [(0, p.steps), ((2 * m - 1) * p.steps, 2 * m * p.steps)]
    for error in ERRORS:
        shower = _shown.model(p, some, ["module1.z"], run, epe=error == "epe", modules=m, **phases)
        for after in sorted({1, p.epochs}):
            place = {"error": error, "after": after}
            job = shower.job(f"{error}-{after}", place, 1, _images.seed(run, 0), state=learned[error, after])
            jobs.append(job)
    parts = []
    for net in run.train_many(jobs):
        z = Traces(net.dataset).rates["module1.z"].isel(trial=0).transpose("copy", "time", "neuron").values
        both = np.stack([z[:, a:b] for a, b in spans])
        parts.append((net.coords, net.dataset[["test_accuracy"]].isel(epoch=0).drop_vars(["epoch", "epoch_time"])))
        parts[-1][1]["z"] = ("phase", "image", "iteration", "neuron"), both, {"long_name": "activity of module 1"}
    found = combine([(coords, part.load()[["z"]]) for coords, part in parts])
    found = found.assign_coords(phase=["inference", "learning"], iteration=np.arange(1, p.steps + 1))
    found["test_accuracy"] = before.test_accuracy.isel(net=0, drop=True)
    return found.assign_attrs(before.attrs | _modules.size(p) | {"from_step": p.from_step})


def vectors(dataset, error, after):
    """Error in each iteration of the learning phase on the neurons that learn: array (image, iteration, neuron)."""
    inference, learning = (
        dataset.z.sel(error=error, after=after).transpose("phase", "image", "iteration", "neuron").values
    )
    return ((inference if error == "ste" else inference[:, -1:]) - learning)[..., : dataset.attrs["block"]]


def cosines(dataset, error, after):
    """Cosine between each iteration's error and the last one's, NaN while there is none: array (image, iteration)."""
    e = vectors(dataset, error, after)
    size = np.linalg.norm(e, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (e * e[:, -1:]).sum(-1) / (size * size[:, -1:])


def components(dataset, error, after, image, count=3):
    """Both phases of an image in their principal components: arrays (iteration, component), shares of the variance."""
    both = dataset.z.sel(error=error, after=after).isel(image=image).transpose("phase", "iteration", "neuron").values
    start = np.zeros_like(both[0, :1])
    paths = [np.concatenate([start, both[0]])]
    paths.append(np.concatenate([start if error == "ste" else both[0, -1:], both[1]]))
    together = np.concatenate(paths)
    centre = together.mean(0)
    _, sizes, axes = np.linalg.svd(together - centre, full_matrices=False)
    return [(path - centre) @ axes[:count].T for path in paths], (sizes**2 / (sizes**2).sum())[:count]


def _points(error):
    def check(dataset):
        since, texts, good = dataset.attrs["from_step"], [], []
        for after in dataset.after.values:
            mean = np.mean(cosines(dataset, error, after), 0)
            good.append((mean[since - 1 :] > 0.9).all())
            texts.append(f"after epoch {after}: {', '.join(f'{mean[t - 1]:.3f} at {t}' for t in (2, since, 8))}")
        return "; ".join(texts), holds(all(good))

    return check


def _start(dataset):
    """How large the error is from the second iteration on, in units of the last one."""
    apart = {}
    for error in dataset.error.values:
        e = np.linalg.norm(vectors(dataset, error, dataset.after.values[-1]), axis=-1)
        apart[error] = float(np.mean(e[:, 1:].min(1) / e[:, -1]))
    text = ", ".join(f"{ERRORS[error]} {value:.2f}" for error, value in apart.items())
    return f"least of the end's, from the second iteration on: {text}", holds(all(v > 0.5 for v in apart.values()))


EXPECTED = [
    _modules.used(),
    *(
        Claim(
            f"{ERRORS[error]}: errors on the way point where the last one does",
            "figure 3; here: mean cosine above 0.9 from iteration 4 on, after one epoch and after the last",
            _points(error),
        )
        for error in ERRORS
    ),
    Claim("they are large enough soon", "figure 3; here: from iteration 2 on more than half of the last one", _start),
]


def figure(dataset):
    """Trajectories of one image by kind of error and epoch, in three components; directions of errors on the way."""
    afters = list(dataset.after.values)
    places = [[*(f"{error} {after}" for after in afters), error] for error in ERRORS]
    solid = {tuple(name for row in places for name in row[:-1]): {"projection": "3d"}}
    fig, axes = figures.mosaic(places, width=3.6 * len(places[0]), height=6.4, per_subplot_kw=solid)
    for error, title in ERRORS.items():
        image = int(np.linalg.norm(vectors(dataset, error, afters[-1])[:, -1], axis=-1).argmax())
        ax = axes[error]
        for after, colour in zip(afters, figures.COLOURS, strict=False):
            epochs = f"{after} epoch" + ("s" if after > 1 else "")
            _trajectory(axes[f"{error} {after}"], *components(dataset, error, after, image), error)
            axes[f"{error} {after}"].set_title(f"{title}, after {epochs}")
            values = cosines(dataset, error, after)[:, 1:]  # the first iteration only loads the error
            figures.median_quartile_curve(ax, dataset.iteration.values[1:], values, f"after {epochs}", color=colour)
        ax.set(xlabel="iteration", ylabel="cosine to the last error (RI)", title=f"{title}: {len(values)} images")
        ax.legend(loc="lower right")
    return fig


def _trajectory(ax, paths, shares, error):
    first, second = paths
    ax.plot(*first.T, "o-", color=figures.COLOURS[0], markersize=2.5, linewidth=1, label="inference")
    ax.plot(*second.T, "o-", color=figures.COLOURS[1], markersize=2.5, linewidth=1, label="learning")
    for t in range(1, len(first)):
        begin = first[t] if error == "ste" else first[-1]
        ax.plot(*np.transpose([begin, second[t]]), color="0.7", linewidth=0.6)
    for number, (name, share) in enumerate(zip("xyz", shares, strict=True), 1):
        getattr(ax, f"set_{name}label")(f"PC{number}, {share:.0%}", labelpad=-12)
        getattr(ax, f"set_{name}ticklabels")([])
    ax.legend(loc="upper left", fontsize=7)
