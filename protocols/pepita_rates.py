"""Learning rates on Fashion-MNIST, chosen for every rule alike on images held back from training.

Ours: G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, give rates for MNIST and CIFAR in table 2 (0.1 for
PEPITA on MNIST) and have no Fashion-MNIST. Each rule learns at each rate of a grid; the last 10000 training images are
its test, and the true test is not looked at. A rule's choice is the rate with the highest validation accuracy, mean
over the last quarter of the epochs and over nets; a rate at which a net diverges is none. To be seen: a best rate
inside the grid for each rule, and that 0.1 is too much for PEPITA here.

`protocols/_images.py` keeps the choices for the other protocols. Where a choice lies at an end of the grid, the grid is
to be extended for every rule. With one hidden layer FA and DFA are the same algorithm with other random weights.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images

PAPER = {"figure": "none: ours; Dellaferrera and Kreiman 2022, table 2", "doi": ""}
EXPECTED_TIME = "20 min on two idle cores"


@dataclass(frozen=True)
class Parameters(_images.Common):
    """The grid, and how long is searched."""

    nets: int = parameter(1, "nets for each rule and rate", least=1)
    epochs: int = parameter(20, "times that a net sees all images", least=1)
    validation: int = parameter(10_000, "images held back; at most a quarter of them", least=1)
    rules: tuple = parameter(("bp", "fa", "dfa", "drtp", "pepita", "frozen"), "rules; frozen is F = 0")
    etas: tuple = parameter((0.001, 0.003, 0.01, 0.03, 0.1), "learning rates", least=0)

    def __post_init__(self):
        _images.check_rules(self.rules)


QUICK = {"rows": 1000, "epochs": 3, "hidden": (64,), "rules": ("bp", "pepita"), "etas": (0.001, 0.01, 0.1)}


def experiment(parameters, run):
    """Train nets at every rate by every rule."""
    p = parameters
    images = _images.load(p.data, p.rows, run)
    images = images.split(min(p.validation, images.rows // 4))
    cases = [
        _images.Case({"rule": rule, "eta": eta}, rule, images, {"eta": eta, "decay_at": ()})
        for rule in p.rules
        for eta in sorted(p.etas)
    ]
    keep = ("test_accuracy", "train_accuracy", "test_loss", "train_loss")
    found = _images.train(cases, p, run, keep=keep, diverged="omit")
    return found.rename(test_accuracy="validation_accuracy", test_loss="validation_loss")


def late(dataset) -> xr.DataArray:
    """Validation accuracy, mean over the last quarter of the epochs, by rule, rate and net; NaN where one diverged."""
    last = -(-dataset.sizes["epoch"] // 4)
    return dataset.validation_accuracy.isel(epoch=slice(-last, None)).mean("epoch", skipna=False)


def chosen(dataset) -> dict[str, float]:
    """The rate of each rule; of two alike the lower one, and NaN where all diverged."""
    level = late(dataset).mean("net", skipna=False).fillna(-np.inf).transpose("rule", "eta")
    best = {rule: float(level.eta[int(level.sel(rule=rule).argmax("eta"))]) for rule in level.rule.values}
    return {rule: eta if np.isfinite(level.sel(rule=rule)).any() else np.nan for rule, eta in best.items()}


def _inside(dataset):
    """The choices, with the last and the best accuracy there."""
    texts, etas, found = [], dataset.eta.values, chosen(dataset)
    for rule, eta in found.items():
        curve = dataset.validation_accuracy.sel(rule=rule).isel(eta=int(np.abs(etas - np.nan_to_num(eta)).argmin()))
        last, best = _images.spread(curve.isel(epoch=-1)), _images.spread(curve.max("epoch", skipna=False))
        texts.append(f"{_images.LABELS[rule]} {eta:g}: {last} % after the last epoch, {best} % in the best")
    return "; ".join(texts), holds(all(etas[0] < eta < etas[-1] for eta in found.values()))


def _in_use(dataset):
    known = _images.RATES.get(dataset.attrs["data"], {})
    differ = [
        f"{_images.LABELS[rule]}: {known.get(rule)} in use"
        for rule, eta in chosen(dataset).items()
        if known.get(rule) != eta
    ]
    return "; ".join(differ) or "all of them", holds(not differ)


def _too_much(dataset):
    if "pepita" not in dataset.rule or not np.isclose(dataset.eta, 0.1).any():
        return "not among these", "not run"
    curve = dataset.validation_accuracy.sel(rule="pepita").sel(eta=0.1, method="nearest")
    lost = np.isnan(curve).any("epoch")
    text = f"{int(lost.sum())} of {lost.size} nets diverged, the others end with {_ends(curve.isel(epoch=-1))} %"
    return text, holds((lost | (curve.isel(epoch=-1) < 0.8)).all())


def _ends(values):
    values = values.values[np.isfinite(values.values)]
    return _images.spread(values) if values.size else "--"


def _lost(dataset):
    lost = np.isnan(late(dataset)).sum("net").transpose("rule", "eta")
    texts = [
        f"{_images.LABELS[rule]} at {', '.join(f'{eta:g}' for eta in lost.eta.values[lost.sel(rule=rule) > 0])}"
        for rule in lost.rule.values
        if (lost.sel(rule=rule) > 0).any()
    ]
    return "; ".join(texts) or "none", holds(not texts)


EXPECTED = [
    _images.used(),
    Claim("every rule's best rate is inside the grid", "ours: else the grid has to be extended", _inside),
    Claim("the other protocols use these rates", "ours: protocols/_images.py", _in_use),
    Claim("no net diverges", "no such claim", _lost),
    Claim("0.1 is too much for PEPITA", "ours: each net diverges or ends below 80 %", _too_much),
]


def figure(dataset):
    """Accuracy against rate, and by epoch at the rates chosen."""
    fig, (left, right) = figures.subplots(1, 2, width=4)
    level, best = late(dataset), dataset.validation_accuracy.max("epoch")
    for rule, eta in chosen(dataset).items():
        style = {"color": _images.COLOURS.get(rule, "0.5")}
        left.plot(level.eta, 100 * best.sel(rule=rule).mean("net"), ":", linewidth=1, **style)
        label = _images.LABELS[rule]
        left.plot(level.eta, 100 * level.sel(rule=rule).mean("net", skipna=False), "o-", label=label, **style)
        if np.isfinite(eta):
            curve = 100 * dataset.validation_accuracy.sel(rule=rule, eta=eta).transpose("net", "epoch")
            figures.median_quartile_curve(right, dataset.epoch + 1, curve, f"{label}, {eta:g}", **style)
    left.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy (%)")
    left.set_title("late (dotted: best epoch)")
    right.set(xlabel="epoch", title="at the rate chosen")
    right.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return fig
