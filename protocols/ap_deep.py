"""Errors on their way down: too weak a feedback and they vanish, too strong and they explode.

Z. Liu et al. (2026), eLife 15:e108237, appendix 3, Fashion-MNIST. Figure 1: test accuracy of networks of 3, 5 and 10
modules against beta, the strength of the fed-back error, and the spectral radius of the recurrent weights (100 epochs,
two nets each). Figures 2 and 3: mean absolute error of each SI neuron (from first module to output), in the last
batch of a network of five, by beta and by radius (50 epochs). To be seen: with a small beta the errors of the first
modules are weak (they vanish); with a larger one they and the accuracy grow; an excessive one makes them explode and
the accuracy fall. A larger spectral radius acts as a larger beta does. The values of beta and radius are ours, the
paper's are not in our source.

The last batch is a batch of the training images, presented once more to the net as it ended, without learning. Errors
of neurons lie between -2 and 2, since activity lies between -1 and 1: they explode towards the first module until they
saturate. The usual size has 32 neurons of each role, few epochs, and a tenth of the images in batches of 50. Where an
error vanishes depends on the number of neurons: feedback weights between modules are not scaled by it. Criteria were
set before the first run.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, appendix 3", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "3 min on two idle cores"
FULL_TIME = "9 days on two idle cores"
#: Beta and radius at which the other one is varied in the figures of errors.
BETA, RADIUS = 1.0, 0.25
#: Points of per cent by which one accuracy is clearly above another.
CLEARLY = 5


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """Depths, strengths of the feedback, spectral radii."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    block: int = parameter(32, "neurons of each role, of which a module has four", least=1)
    epochs: int = parameter(6, "times that a net sees all images", least=1)
    layers: tuple = parameter((3, 5, 10), "numbers of modules", least=1)
    betas: tuple = parameter((0.01, 0.1, 1.0, 10.0, 100.0), "strengths of the fed-back error, 1 among them", least=0)
    radii: tuple = parameter((0.05, 0.25, 0.5, 1.0, 1.5), "spectral radii, 0.25 among them", least=0)
    profile: int = parameter(5, "modules of the network whose errors are shown", least=1)

    def __post_init__(self):
        for name, value in {"betas": BETA, "radii": RADIUS, "layers": self.profile}.items():
            found = getattr(self, name)
            if value not in found or len(set(found)) < len(found):
                raise InputError(f"{name} should be different numbers, {value:g} among them. Got {found}.")


QUICK = {"data": "digits", "rows": 0, "batch": 20, "block": 8, "epochs": 2, "layers": (3,), "profile": 3}
FULL = _modules.FULL | {"nets": 2}


def experiment(parameters, run):
    """Train a network at each depth, beta and radius; look at the errors in the last batch."""
    p = parameters
    images = _modules.load(p, run)
    cases = [
        _modules.Case(
            {"layers": depth, "beta": beta, "radius": radius},
            images,
            constants={"modules": depth, "beta": beta, "radius": radius},
        )
        for depth in sorted(p.layers)
        for beta in sorted(p.betas)
        for radius in sorted(p.radii)
    ]

    def after(case, net, model):
        return {"error": ("neuron", errors(net, model))} if case.coords["layers"] == p.profile else {}

    found = _modules.train(cases, p, run, after=after, diverged="omit")
    return found.assign_attrs(_modules.size(p), profile=p.profile, chance=1 / images.classes)


def errors(net, model):
    """Mean absolute errors of the SI neurons of all modules, and of the outputs, in a batch of a net that has learned.

    Parameters
    ----------
    net : Trained
    model : Model

    Returns
    -------
    array, shape (modules*block + outputs,)
    """
    p, counts, schedule = model.parameters, model.counts(1), model.simulation.schedule
    state = {name: 0.0 if name.endswith(".eta") else values for name, values in net.state.items()}  # it learns no more
    stop = schedule.length(counts, schedule.body[0].body[0].body)
    state = model.simulation.run(state, stop=stop, counts=counts, seed=model.seed).state
    found = []
    for i in range(1, p.modules + 1):
        each = np.abs(state[f"module{i}.z_0"] - state[f"module{i}.z"]).reshape(-1, p.batch).mean(axis=1)
        found.append(each[adjoint.Roles(p.block, p.merged).place("SI")])
    return np.concatenate([*found, np.abs(state["outputs.err"]).reshape(-1, p.batch).mean(axis=1)])


def by_module(dataset, **place):
    """Mean absolute error of each module's SI neurons, mean over nets."""
    found = dataset.error.sel(layers=dataset.attrs["profile"], **place).mean("net").values
    modules = dataset.attrs["profile"]
    return found[: modules * dataset.attrs["block"]].reshape(modules, -1).mean(axis=1)


def best(dataset):
    """Best test accuracy in per cent, mean over nets; chance where one diverged."""
    found = dataset.test_accuracy.max("epoch", skipna=False)
    return 100 * found.fillna(dataset.attrs["chance"]).mean("net")


def _profiles(dataset, name, fixed):
    """Errors of the first and the last module, and the best accuracy, along beta or radius."""
    values = dataset[name].values
    errors = np.array([by_module(dataset, **{name: value}, **fixed) for value in values])
    accuracy = best(dataset).sel(layers=dataset.attrs["profile"], **fixed).transpose(name).values
    rows = zip(values, errors, accuracy, strict=True)
    text = "; ".join(f"{v:g}: errors {e[0]:.2g} to {e[-1]:.2g}, {a:.1f} %" for v, e, a in rows)
    return errors, accuracy, f"{name} {text}"


def _vanish(dataset):
    errors, _, text = _profiles(dataset, "beta", {"radius": RADIUS})
    share = errors[0, 0] / errors[0, -1]
    return text, holds(share < 0.1)


def _grow(name, fixed):
    """Whether the first module's errors grow along beta or radius up to the best accuracy, which is clearly above."""

    def check(dataset):
        errors, accuracy, text = _profiles(dataset, name, fixed)
        top = int(np.argmax(accuracy))
        grow = (np.diff(errors[: top + 1, 0]) > 0).all() and accuracy[top] > accuracy[0] + CLEARLY
        return text, holds(top > 0 and grow)

    return check


def _explode(dataset):
    errors, accuracy, text = _profiles(dataset, "beta", {"radius": RADIUS})
    return text, holds(errors[-1, 0] > errors[-1, -1] and accuracy[-1] < accuracy.max() - CLEARLY)


def working(dataset):
    """By depth, the share of pairs of beta and radius within 10 points of the best."""
    found = best(dataset)
    return (found > found.max(("beta", "radius")) - 10).mean(("beta", "radius"))


def _narrow(dataset):
    if dataset.sizes["layers"] < 2:
        return "more than one depth is needed", "not run"
    share = working(dataset)
    top = best(dataset).max(("beta", "radius"))
    pairs = zip(dataset.layers.values, top.values, share.values, strict=True)
    text = "; ".join(f"{depth} modules: best {high:.1f} %, {part:.0%} of the pairs" for depth, high, part in pairs)
    return text, holds(float(share[-1]) < float(share[0]))


EXPECTED = [
    _modules.used(),
    Claim(
        "errors vanish with a small beta",
        "appendix 3, figure 2a; here: smallest beta, radius 0.25, the first module's below a tenth of the last one's",
        _vanish,
    ),
    Claim(
        "a larger beta carries them further",
        "figure 2a-f; here: the first module's grow up to the best accuracy, 5 points above that at the smallest beta",
        _grow("beta", {"radius": RADIUS}),
    ),
    Claim(
        "an excessive beta makes them explode",
        "figure 2e-j; here: largest beta, the first module's above the last one's, accuracy 5 points below the best",
        _explode,
    ),
    Claim(
        "a larger radius acts alike",
        "figure 3; here: beta 1, the same of the spectral radius",
        _grow("radius", {"beta": BETA}),
    ),
    Claim(
        "deeper networks leave less room",
        "figure 1; here: fewer pairs of beta and radius are within 10 points of the best",
        _narrow,
    ),
]


def figure(dataset):
    """Accuracies against beta and radius for each depth; errors of all SI neurons by beta and by radius."""
    depths, found = dataset.layers.values, best(dataset)
    rows = [
        [f"map{i}" for i in range(len(depths)) for _ in range(2)],
        ["beta"] * len(depths) + ["radius"] * len(depths),
    ]
    fig, axes = figures.mosaic(rows, width=max(3.6 * len(depths), 7), height=6.4)
    lowest, highest = float(found.min()), float(found.max())
    for i, depth in enumerate(depths):
        ax, values = axes[f"map{i}"], found.sel(layers=depth).transpose("beta", "radius")
        image = ax.imshow(values, cmap=figures.SEQUENTIAL, vmin=lowest, vmax=highest, origin="lower", aspect="auto")
        for (y, x), value in np.ndenumerate(values.values):
            dark = value < (lowest + highest) / 2
            ax.text(x, y, f"{value:.0f}", ha="center", va="center", color="white" if dark else "black", fontsize=8)
        ax.set_xticks(range(dataset.sizes["radius"]), [f"{value:g}" for value in dataset.radius.values])
        ax.set_yticks(range(dataset.sizes["beta"]), [f"{value:g}" for value in dataset.beta.values])
        ax.set(xlabel="spectral radius", ylabel=r"$\beta$", title=f"{depth} modules")
    fig.colorbar(image, ax=[axes[f"map{i}"] for i in range(len(depths))], label="test accuracy (%), best epoch")
    for name, fixed, symbol, other in (
        ("beta", {"radius": RADIUS}, r"$\beta$", f"spectral radius {RADIUS:g}"),
        ("radius", {"beta": BETA}, "radius", rf"$\beta$ {BETA:g}"),
    ):
        ax = axes[name]
        for value, colour in zip(dataset[name].values, figures.COLOURS, strict=False):
            here = dataset.error.sel({"layers": dataset.attrs["profile"], name: value, **fixed}).mean("net")
            ax.plot(here, ".", color=colour, markersize=3, label=f"{symbol} {value:g}")
        for module in range(1, dataset.attrs["profile"] + 1):
            ax.axvline(module * dataset.attrs["block"] - 0.5, color="0.8", linewidth=0.8, zorder=0)
        ax.set(yscale="log", xlabel="SI neuron (from first module to output)", title=other)
        ax.set_ylabel("mean absolute error")
        ax.legend(markerscale=3, fontsize=8)
    return fig
