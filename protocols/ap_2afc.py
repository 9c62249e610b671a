"""Adjoint propagation learns to choose between two alternatives, and does so less surely the noisier the images.

Z. Liu et al. (2026), eLife 15:e108237, appendix 2: Gabor patches tilted by 6 degrees to the left or the right, give or
take half a degree, with noise in each pixel. Two modules of 256 neurons, all pairs of them drawn (density 1), whose
recurrent weights learn, too; batches of one image, 20 epochs, errors by perturbation (EPE, 8 and 4 iterations). (b)
Accuracy, the best of 20 epochs, is 100 % up to a standard deviation of the noise below 1 and lower at 2 and 4. (c) The
psychometric curve, the mean probability of "right" over tilts from -12 to 12 degrees, is a sigmoid, flatter with noise.

The authors draw each image anew whenever it is shown: here each epoch takes its images at random from a pool of 8000.
The notebook trains on 400 and tests on 100 of them (`--full`: 1000 and 400, as the paper's text has it); our test
images are the same in all epochs. The best of 20 epochs is too high for a net that is tested on 100 images, so the last
epoch's accuracy is shown beside it. Criteria were set before the first run of this size.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import xarray as xr
from brian2 import ms

from neuroplast import figures
from neuroplast.data.gabor import SIDE, choice, gabor
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.rules import AP, RECURRENT_PLASTICITY
from neuroplast.traces import combine

PAPER = {"figure": "Liu et al. 2026, appendix 2, figure 1", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "4 min on two idle cores"
FULL_TIME = "10 min on two idle cores"
#: Output units of the network; two of them are ever right.
UNITS = 10
#: Patches that are shown at once to a net that has learned.
AT_ONCE = 250


@dataclass(frozen=True)
class Parameters:
    """What appendix 2 varies, and the sizes of the task."""

    noises: tuple = parameter((0.0, 0.2, 1.0, 2.0, 4.0), "standard deviations of a pixel's noise", least=0)
    nets: int = parameter(5, "nets for each noise", least=1)
    epochs: int = parameter(20, "times that a net sees as many images as it is trained on", least=1)
    train: int = parameter(400, "images in an epoch", least=1)
    test: int = parameter(100, "images to test on", least=1)
    pool: int = parameter(8000, "images of which each epoch takes its own", least=1)
    block: int = parameter(64, "neurons of each role", least=1)
    modules: int = parameter(2, "modules in a row", least=1)
    angles: int = parameter(25, "tilts of the psychometric curve, from -12 to 12 degrees", least=9)
    patches: int = parameter(100, "patches for each of them", least=1)

    def __post_init__(self):
        if len(set(self.noises)) < len(self.noises):
            raise InputError(f"noises should be different numbers. Got {', '.join(map(str, self.noises))}.")
        if self.train > self.pool:
            raise InputError(f"train should be at most pool, {self.pool} images. Got {self.train}.")


QUICK = {"noises": (0.0, 1.0, 4.0), "nets": 1, "epochs": 4, "train": 100, "pool": 400, "block": 16, "patches": 20}
FULL = {"train": 1000, "test": 400}
CONSTANTS = {
    "batch": 1,
    "eta": 0.02,
    "alpha": 1e-4,
    "density": 1.0,
    "epe": True,
    "inference": 80 * ms,
    "learning": 40 * ms,
}


def experiment(parameters, run):
    """Train the nets at each noise; then show patches of all tilts to the last one."""
    p = parameters
    constants = adjoint.Parameters(modules=p.modules, block=p.block, **CONSTANTS)
    options, jobs = {"record": run.record, "target": run.target}, []
    for noise in p.noises:
        images = choice(noise, train=p.pool, test=p.test, seed=run.seed)
        model = adjoint.build(constants, dataclasses.replace(images, classes=UNITS), **options)
        for net in range(p.nets):
            job = model.job(f"noise={noise:g}_net={net}", _place(noise, net), p.epochs, 1000 * run.seed + net)
            jobs.append(dataclasses.replace(job, counts={**job.counts, "trial": p.train}))
    run.note(rules=sorted({AP.name, RECURRENT_PLASTICITY.name}), images={"gabor": [p.train, p.test]})
    trained = run.train_many(jobs)
    keep = ("test_accuracy", "train_accuracy")
    found = combine([(net.coords, net.dataset[list(keep)].drop_vars("epoch_time").load()) for net in trained])
    states = {net.coords["noise"]: net.state for net in trained if net.coords["net"] == p.nets - 1}
    samples = [gabor(-6) + noise * np.random.default_rng(run.seed).standard_normal((SIDE, SIDE)) for noise in p.noises]
    return found.assign(
        response=_responses(constants, states, p, run).response,
        sample=(("noise", "y", "x"), np.clip(samples, -1, 1)),
    )


def _place(noise, net):
    return {"noise": float(noise), "net": net}


def _responses(constants, states, p, run):
    """Mean probability of "right" for each tilt, of one net for each noise."""
    degrees = np.linspace(-12, 12, p.angles)
    # With a rate of 0 the net stays as it is while it is shown the image that an epoch has to have.
    constants, jobs = dataclasses.replace(constants, batch=min(AT_ONCE, p.angles * p.patches), eta=0.0), []
    for noise, state in states.items():
        rng = np.random.default_rng([run.seed, 1])
        shown = np.repeat(gabor(degrees), p.patches, axis=0)
        shown = np.clip(shown + noise * rng.standard_normal(shown.shape), -1, 1).astype(np.float32)
        images = choice(noise, train=1, test=1, seed=run.seed)
        labels = np.repeat(degrees > 0, p.patches).astype(np.int32)
        rows = {"test": shown.reshape(len(shown), -1), "test_labels": labels, "classes": UNITS}
        model = adjoint.build(
            constants, dataclasses.replace(images, **rows), record=["outputs.p:at=trial:phase=test"], target=run.target
        )
        weights = {name: values for name, values in state.items() if name.endswith((".w", ".f"))}
        job = model.job(f"noise={noise:g}", {"noise": noise}, 1, run.seed, state=weights)
        jobs.append(job)
    parts = []
    for net in run.train_many(jobs, part="psychometric"):
        right = net.dataset["outputs.p_test"].values[:, 1, :].ravel()[: p.angles * p.patches]
        means = xr.DataArray(right.reshape(p.angles, p.patches).mean(axis=1), {"degrees": degrees})
        parts.append((net.coords, means.to_dataset(name="response")))
    return combine(parts)


def slope(curve):
    """Steepness of a psychometric curve at its middle: of a line through the tilts up to 3 degrees (1/degree)."""
    near = curve.where(abs(curve.degrees) <= 3, drop=True)
    return float(near.polyfit("degrees", 1).polyfit_coefficients.sel(degree=1))


def threshold(curve):
    """Tilt at which a psychometric curve first gets to 1/2, in degrees; NaN if it does not cross it."""
    high = curve.values >= 0.5
    if high.all() or not high.any():
        return np.nan
    after = max(int(np.argmax(high)), 1)
    (x0, x1), (y0, y1) = curve.degrees.values[after - 1 : after + 1], curve.values[after - 1 : after + 1]
    return float(x0 + (0.5 - y0) * (x1 - x0) / (y1 - y0))


def _ends(dataset, noise):
    """Best and last accuracy of the nets at a noise, in per cent: means over nets."""
    here = 100 * dataset.test_accuracy.sel(noise=noise)
    return float(here.max("epoch").mean()), float(here.isel(epoch=-1).mean())


def _texts(dataset, noises):
    ends = {noise: _ends(dataset, noise) for noise in noises}
    return "; ".join(f"{noise:g}: {best:.1f} % (last epoch {last:.1f} %)" for noise, (best, last) in ends.items())


def _perfect(dataset):
    low = [float(noise) for noise in dataset.noise if noise < 1]
    if not low:
        return "no noise below 1", "not run"
    return _texts(dataset, low), holds(all(_ends(dataset, noise)[0] >= 99.5 for noise in low))


def _falls(dataset):
    if not {1.0, 2.0, 4.0} <= set(dataset.noise.values):
        return f"noises {', '.join(f'{noise:g}' for noise in dataset.noise.values)}", "not run"
    one, two, four = (_ends(dataset, noise)[0] for noise in (1.0, 2.0, 4.0))
    return _texts(dataset, (1.0, 2.0, 4.0)), holds(one > two > four)


def _as_saved(dataset):
    if 4.0 not in dataset.noise:
        return "no noise of 4", "not run"
    last = 100 * dataset.test_accuracy.sel(noise=4.0).isel(epoch=-1)
    text = f"{float(last.mean()):.1f} % ({float(last.min()):.0f} to {float(last.max()):.0f})"
    return text, holds(79 <= float(last.mean()) <= 88)


def _sigmoid(dataset):
    ends = dataset.response.isel(degrees=[0, -1])
    middles = [threshold(dataset.response.sel(noise=noise)) for noise in dataset.noise]
    pairs = zip(dataset.noise.values, middles, ends.values, strict=True)
    text = "; ".join(
        f"{noise:g}: {left:.2f} to {right:.2f}, 1/2 at {middle:+.1f} degrees" for noise, middle, (left, right) in pairs
    )
    quiet = (dataset.noise < 1).values
    clear = (ends.isel(degrees=0) < 0.1).values & (ends.isel(degrees=1) > 0.9).values
    return text, holds(clear[quiet].all() and np.all(np.abs(middles) < 3) and (ends.diff("degrees") > 0).all())


def _flatter(dataset):
    found = [slope(dataset.response.sel(noise=noise)) for noise in dataset.noise]
    text = ", ".join(f"{noise:g}: {each:.3f}" for noise, each in zip(dataset.noise.values, found, strict=True))
    # Without noise, or with little, the curve is a step between two tilts: how steep it is is then not seen.
    noisy = [each for noise, each in zip(dataset.noise.values, found, strict=True) if noise >= 1]
    falls = all(a > b for a, b in zip(noisy, noisy[1:], strict=False))
    return f"{text} per degree", holds(falls) if len(noisy) > 1 else "not run"


EXPECTED = [
    Claim(
        "perfect with little noise", "100 % below a noise of 1; here: the best epochs' mean at least 99.5 %", _perfect
    ),
    Claim("noise costs accuracy", "lower at 2 and 4; here: the best epochs' mean falls from 1 to 2 to 4", _falls),
    Claim(
        "accuracy at a noise of 4",
        "79 to 88 % in the last epochs (the notebook's saved output); here: mean of the last epoch",
        _as_saved,
    ),
    Claim(
        "psychometric curves are sigmoids",
        "figure 1c; here: below a noise of 1 from under 0.1 to above 0.9; all rise and cross 1/2 within 3 degrees of 0",
        _sigmoid,
    ),
    Claim(
        "noise flattens them",
        "figure 1c; here: from a noise of 1 on, the slope between -3 and 3 degrees falls with it",
        _flatter,
    ),
]


def figure(dataset):
    """Images of each noise, accuracy against noise, psychometric curves."""
    noises = dataset.noise.values
    images = [f"image{i}" for i in range(len(noises))]
    layout = [[name for name in images for _ in range(2)], ["accuracy"] * len(noises) + ["curve"] * len(noises)]
    fig, axes = figures.mosaic(layout, width=8, height=5, height_ratios=[1, 1.8])
    for i, noise in enumerate(noises):
        ax = axes[f"image{i}"]
        ax.imshow(dataset.sample.sel(noise=noise), cmap="gray", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[], title=f"noise {noise:g}")
    ax, places = axes["accuracy"], range(len(noises))
    for label, found, offset, colour in (
        ("best epoch", dataset.test_accuracy.max("epoch"), -0.06, figures.COLOURS[0]),
        ("last epoch", dataset.test_accuracy.isel(epoch=-1), 0.06, figures.COLOURS[1]),
    ):
        found = 100 * found.transpose("noise", "net")
        mean = found.mean("net")
        reach = [mean - found.min("net"), found.max("net") - mean]
        x = [place + offset for place in places]
        ax.errorbar(x, mean, reach, fmt="o-", color=colour, capsize=3, label=label)
    ax.axhline(50, color="0.6", linestyle=":", linewidth=1)
    ax.set_xticks(places, [f"{noise:g}" for noise in noises])
    ax.set(xlabel="noise (standard deviation of a pixel)", ylabel="test accuracy (%)", title="mean and range over nets")
    ax.legend(loc="lower left")
    ax = axes["curve"]
    for noise, colour in zip(noises, [*figures.COLOURS, *["0.5"] * len(noises)], strict=False):
        ax.plot(dataset.degrees, dataset.response.sel(noise=noise), ".-", color=colour, label=f"noise {noise:g}")
    ax.axhline(0.5, color="0.6", linestyle=":", linewidth=1)
    ax.set(xlabel="tilt (degrees)", ylabel='mean probability of "right"', title="one net for each noise", ylim=(0, 1))
    ax.legend()
    return fig
