"""The filters that PEPITA learns, and what they respond to.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, section 4.1: convolutional networks do better than fully
connected ones on all data sets, "indicating that the convolutional version of PEPITA is able to learn useful
two-dimensional filters". The paper does not show them. Here they are, beside those that backpropagation makes of the
same initial ones.

Ours, all numbers: filters are useful if a readout does better behind them than behind those that the net began with
(F = 0). They have a structure in two dimensions if neighbouring weights are more alike than those drawn independently;
the measure is the correlation of neighbours in a filter, mean over filters. What a filter responds to is the mean of
the patches of test images that excite it most, one from each image; a filter and its mean patch would be alike if it
were a template. Criteria were set before any run.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _accuracy, _conv, _images
from neuroplast.traces import combine

PAPER = {"figure": "Dellaferrera and Kreiman 2022, section 4.1", "doi": ""}
EXPECTED_TIME = "2 min on two idle cores"
FULL_TIME = "70 min on two idle cores"
INITIAL = "initial"
LABELS = _conv.LABELS | {INITIAL: "initial"}
#: Part of their initial norm by which filters have to move to have learned anything.
MOVED = 0.05
#: Filters that are shown.
SHOWN = 12


@dataclass(frozen=True)
class Parameters(_conv.Common):
    """Whose filters are shown."""

    rules: tuple = parameter(("pepita", "bp"), "rules whose filters are shown, pepita among them")
    nets: int = parameter(3, "nets, each by all rules and with F = 0", least=1)
    probes: int = parameter(1000, "test images in which patches are looked for", least=1)
    patches: int = parameter(50, "patches, each of another image, whose mean is shown", least=1)

    def __post_init__(self):
        _images.check_rules(self.rules, needed=("pepita",), networks=_conv.NETWORKS)


QUICK = _conv.SMALL | {"data": "auto", "probes": 200, "patches": 10}
FULL = _conv.FULL


def experiment(parameters, run):
    """Train every net by every rule and with F = 0; measure filters, and find what they respond to."""
    p, images = parameters, parameters.images(run)
    rules = tuple(dict.fromkeys((*p.rules, "frozen")))
    cases = [_images.Case({"rule": rule}, rule, images) for rule in rules]
    found = _conv.train(cases, p, run, keep=("test_accuracy", "w_w1"))
    parts = []
    for net in found.net.values:
        before = _conv.initial_kernels(images, "pepita", p, run, int(net))
        kernels = {INITIAL: before}
        kernels |= {rule: _conv.final_kernels(images, rule, p, found.sel(rule=rule, net=net)) for rule in p.rules}
        for stage, k in kernels.items():
            seen = best_patches(images, k, p)
            measured = {
                "kernel": (("filter", "channel", "row", "column"), k),
                "patch": (("filter", "channel", "row", "column"), seen),
                "smoothness": ("filter", _conv.smoothness(k)),
                "likeness": ("filter", likeness(k, seen)),
                "moved": _conv.moved(k, before),
            }
            parts.append(({"stage": stage, "net": int(net)}, xr.Dataset(measured)))
    return combine(parts).assign(test_accuracy=found.test_accuracy).assign_attrs(found.attrs)


def best_patches(images, kernels, p):
    """Mean of the patches that excite each filter most, one of each image, shape of the kernels."""
    rows = min(p.probes, len(images.test))
    pixels = images.scale * np.asarray(images.test[:rows], float).reshape(rows, *images.shape)
    size = kernels.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, size, axis=(2, 3)).transpose(0, 2, 3, 1, 4, 5)
    windows = windows.reshape(rows, -1, kernels[0].size)
    means = []
    for kernel in kernels:
        currents = windows @ kernel.ravel()
        place = currents.argmax(axis=1)
        strongest = np.argsort(-currents[np.arange(rows), place], kind="stable")[: p.patches]
        means.append(windows[strongest, place[strongest]].mean(axis=0).reshape(kernel.shape))
    return np.array(means)


def likeness(kernels, patches):
    """Correlation of each filter with its mean patch; 0 where one of them is even."""
    found = []
    for kernel, patch in zip(kernels, patches, strict=True):
        a, b = kernel - kernel.mean(), patch - patch.mean()
        size = np.linalg.norm(a) * np.linalg.norm(b)
        found.append((a * b).sum() / size if size > 0 else 0.0)
    return np.array(found)


def _texts(values):
    return ", ".join(f"{LABELS[stage]} {_conv.span(values.sel(stage=stage))}" for stage in values.stage.values)


def _learned(dataset):
    moved = dataset.moved.sel(stage=[stage for stage in dataset.stage.values if stage != INITIAL])
    return f"in parts of the initial norm: {_texts(moved)}", holds((moved.sel(stage="pepita") > MOVED).all())


def _useful(dataset):
    last = 100 * dataset.test_accuracy.isel(epoch=-1)
    above = last.sel(rule="pepita") > last.sel(rule="frozen")
    return _accuracy.ends(dataset.test_accuracy, _conv.LABELS), holds(above.all())


def _smooth(dataset):
    mean = dataset.smoothness.mean("filter")
    return _texts(mean), holds((mean.sel(stage="pepita") > mean.sel(stage=INITIAL)).all())


def _templates(dataset):
    mean = dataset.likeness.mean("filter")
    return _texts(mean), holds((mean.sel(stage="pepita") > mean.sel(stage=INITIAL)).all())


EXPECTED = [
    _images.used(),
    Claim(
        "filters learn", f"no number; here: PEPITA's move by more than {MOVED:g} of their norm in each net", _learned
    ),
    Claim("filters are useful", '"useful two-dimensional filters"; here: PEPITA above F = 0 in each net', _useful),
    Claim(
        "filters are two-dimensional",
        "here: correlation of neighbouring weights, mean over filters, above that of the initial ones in each net",
        _smooth,
    ),
    Claim(
        "filters become more like what excites them",
        "ours; here: correlation with the mean patch, mean over filters, above that of the initial ones in each net",
        _templates,
    ),
]


def figure(dataset):
    """Filters of a net that PEPITA has moved most, at each stage, each above the mean patch that excites it most."""
    net = dataset.isel(net=0)
    change = net.kernel.sel(stage="pepita") - net.kernel.sel(stage=INITIAL)
    most = np.argsort(-np.sqrt((change**2).sum(("channel", "row", "column"))).values, kind="stable")[:SHOWN]
    stages = dataset.stage.values
    options = {"width": 0.8, "height": 0.8, "squeeze": False}
    fig, axes = figures.subplots(2 * len(stages), len(most), **options)
    for place, stage in enumerate(stages):
        for column, number in enumerate(most):
            kernel, patch = (
                net[name].sel(stage=stage).isel(filter=number).mean("channel") for name in ("kernel", "patch")
            )
            limit = float(abs(kernel).max())
            axes[2 * place, column].imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
            axes[2 * place + 1, column].imshow(patch, cmap="gray", vmin=0)
        axes[2 * place, 0].set_ylabel(LABELS[stage])
        axes[2 * place + 1, 0].set_ylabel("seen")
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    fig.suptitle("weights: red +, blue -\nseen: mean of the patches that excite it most", fontsize="medium")
    return fig
