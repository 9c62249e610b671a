"""PEPITA's published script for convolutional networks turns the sign of the kernels' change, and hardly moves them.

Ours: G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, section 3.3, gives the rule of kernels: the mean
over positions of the difference in activity times what the position sees, applied like any gradient. The script that
the authors have published departs from it, as far as reading it tells: the change has the opposite sign, it is
divided by the batch's size once more, and the readout learns from the error of the standard pass. A file that it
needs is not public, so it was not run. Here both learn the same images from the same weights, and so does a network
with F = 0, whose filters do not learn at all.

If the script hardly moves its kernels, its accuracy is that of F = 0, and that of a network whose filters learn by the
paper's rule is another. Criteria were set before any run.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.analysis.paired import compare
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _accuracy, _conv, _images, _pairs

PAPER = {"figure": "none: ours; Dellaferrera and Kreiman 2022, section 3.3", "doi": ""}
EXPECTED_TIME = "4 min on two idle cores"
FULL_TIME = "2 h on two idle cores"
RULES = ("pepita", "pt_compat", "frozen")
#: Part of the way of the paper's kernels below which those of the script have hardly moved, and points within which
#: its accuracy is that of F = 0.
HARDLY, MARGIN = 0.1, 0.5


@dataclass(frozen=True)
class Parameters(_conv.Common):
    """How many nets, and how long."""

    nets: int = parameter(5, "nets, each by both rules and with F = 0", least=1)


QUICK = _conv.SMALL | {"data": "auto"}
FULL = _conv.FULL | {"nets": 5}


def experiment(parameters, run):
    """Train every net by both rules, and with F = 0; measure how far kernels have moved."""
    p, images = parameters, parameters.images(run)
    cases = [_images.Case({"rule": rule}, rule, images) for rule in RULES]
    found = _conv.train(cases, p, run, keep=("test_accuracy", "train_accuracy", "w_w1"))
    way = xr.zeros_like(found.test_accuracy.isel(epoch=-1, drop=True))
    along = way.copy()
    for rule in RULES:
        for net in found.net.values:
            place = {"rule": rule, "net": net}
            before = _conv.initial_kernels(images, rule, p, run, int(net))
            change = _conv.final_kernels(images, rule, p, found.sel(place)) - before
            way.loc[place] = np.linalg.norm(change) / np.linalg.norm(before)
            reference = _conv.final_kernels(images, "pepita", p, found.sel(rule="pepita", net=net)) - before
            size = np.linalg.norm(change) * np.linalg.norm(reference)
            along.loc[place] = (change * reference).sum() / size if size > 0 else np.nan
    return found.drop_dims("snapshot").assign(moved=way, along=along)


def _last(dataset, rule):
    return 100 * dataset.test_accuracy.isel(epoch=-1).sel(rule=rule).values


def _hardly(dataset):
    texts = [f"{_conv.LABELS[rule]} {_conv.span(dataset.moved.sel(rule=rule))}" for rule in RULES]
    paper, script = dataset.moved.sel(rule="pepita"), dataset.moved.sel(rule="pt_compat")
    return f"in parts of the initial norm: {', '.join(texts)}", holds((script < HARDLY * paper).all())


def _turned(dataset):
    cosine = dataset.along.sel(rule="pt_compat")
    return f"cosine {_pairs.between(cosine, 2)}", holds((cosine < 0).all())


def _still(dataset):
    return _pairs.alike(_last(dataset, "pt_compat"), _last(dataset, "frozen"), MARGIN)


def _better(dataset):
    found = compare(_last(dataset, "pepita"), _last(dataset, "pt_compat"))
    text = f"{_accuracy.ends(dataset.test_accuracy, _conv.LABELS)}; {found.text}"
    return text, holds(found.mean > 0 and found.t < 0.05) if found.n >= _pairs.PAIRS else "not run"


EXPECTED = [
    _images.used(),
    Claim(
        "the script's kernels hardly move",
        f"ours, from reading; here: less than {HARDLY:g} of the way of the paper's rule in each net",
        _hardly,
    ),
    Claim(
        "and the other way",
        "ours, from reading: the opposite sign; here: negative cosine with the paper's change in each net",
        _turned,
    ),
    Claim(
        "the script does as well as F = 0",
        f"ours; here: 90 % interval of the paired difference within {MARGIN:g} points, at least {_pairs.PAIRS} nets",
        _still,
    ),
    Claim(
        "the paper's rule does better than the script",
        f"ours; here: paired t-test over at least {_pairs.PAIRS} nets, p < 0.05",
        _better,
    ),
]


def figure(dataset):
    """Accuracy by epoch, each net at the end, and how far kernels have moved."""
    fig, axes = figures.subplots(1, 3)
    _accuracy.curves(axes[0], dataset.test_accuracy, _conv.LABELS, _conv.COLOURS)
    _pairs.draw(axes[1], {rule: _last(dataset, rule) for rule in RULES}, _conv.LABELS)
    moved = dataset.moved.where(dataset.moved > 0)  # the axis is logarithmic
    for place, rule in enumerate(RULES):
        axes[2].plot(np.full(moved.sizes["net"], place), moved.sel(rule=rule), "o", color=_conv.COLOURS[rule])
    names = [_conv.LABELS[rule] + ("" if moved.sel(rule=rule).notnull().any() else "\n(none)") for rule in RULES]
    axes[0].set(ylabel="test accuracy (%)", title=f"{dataset.attrs['data']} (median, quartiles)")
    axes[1].set_title("each net, after the last epoch")
    axes[2].set(
        yscale="log", xticks=range(len(RULES)), xticklabels=names, xlim=(-0.5, len(RULES) - 0.5),
        ylabel="kernels' way / initial norm",
    )  # fmt: skip
    axes[0].legend(loc="lower right")
    return fig
