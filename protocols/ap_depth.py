"""Deep networks: feedback alignment fails with fewer layers than adjoint propagation.

Z. Liu et al. (2026), eLife 15:e108237, figure 4d: test accuracy on Fashion-MNIST against the number of layers, of
modules (AP) and of feedforward layers of 256 neurons that learn by backpropagation (BP) or feedback alignment (FA), at
learning rates of 1e-3 and 2e-4. To be seen: with more layers FA's accuracy collapses before AP's does. The numbers of
layers are ours, the paper's are not in our source. "Collapsed" is 10 points below what the same rule reaches with one
layer.

How deep a network can be depends on the scale of its initial weights, which the paper does not give for BP and FA. They
have those of later code of the authors here (Glorot's, which let signals through many layers), and FA besides those
that AP has between its modules, U(-1, 1)/sqrt(n_pre), with which signals and errors lose two fifths in each layer. AP's
own signals shrink to a fourteenth in each module at first, so that modules learn one after the other: deep ones need
many steps before they learn at all.

The usual size has 64 neurons of each role and in each feedforward layer, and a tenth of the images in batches of 50: as
many steps as the paper's (12,000), each of a tenth of the work. Criteria were set before the first run. Depths and
epochs came after trials: in 10 epochs, down to 15 layers, FA did not collapse before AP, which had hardly begun; the
claims of FA with AP's scale were added then.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, figure 4d", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "11 min on two idle cores"
FULL_TIME = "11 h on two idle cores"
NETWORKS = ("ap", "fa", "fa_scaled", "bp")
#: Points below the accuracy with one layer from which on a network has collapsed.
COLLAPSED = 10


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """Depths and learning rates."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    epochs: int = parameter(100, "times that a net sees all images", least=1)
    layers: tuple = parameter((1, 5, 10, 20), "numbers of hidden layers or modules, 1 among them", least=1)
    etas: tuple = parameter((1e-3, 2e-4), "learning rates", least=0)

    def __post_init__(self):
        if 1 not in self.layers or len(set(self.layers)) < len(self.layers):
            raise InputError(f"layers should be different numbers, 1 among them. Got {self.layers}.")
        if len(set(self.etas)) < len(self.etas):
            raise InputError(f"etas should be different rates. Got {self.etas}.")


QUICK = {"data": "digits", "rows": 0, "batch": 20, "block": 8, "epochs": 3, "layers": (1, 3)}
FULL = _modules.FULL | {"layers": (1, 2, 3, 5, 10, 20)}


def experiment(parameters, run):
    """Train every network at each depth and rate."""
    p = parameters
    images = _modules.load(p, run)
    cases = [
        _modules.Case(
            {"network": network, "eta": eta, "layers": depth},
            images,
            network,
            {"modules": depth, "eta": eta},
        )
        for depth in sorted(p.layers)
        for network in NETWORKS
        for eta in p.etas
    ]
    return _modules.train(cases, p, run, diverged="omit").assign_attrs(_modules.size(p))


def best(dataset, network, eta):
    """Best test accuracy (%) by number of layers: mean over nets, zero where one diverged."""
    found = dataset.test_accuracy.sel(network=network, eta=eta).max("epoch", skipna=False)
    return 100 * found.fillna(0).mean("net")


def collapse(curve):
    """Smallest number of layers with which an accuracy has collapsed; infinite if there is none."""
    low = curve.layers.values[(curve < curve.sel(layers=1) - COLLAPSED).values]
    return float(low.min()) if low.size else np.inf


def _text(network, curve):
    numbers = ", ".join(f"{int(depth)}: {float(curve.sel(layers=depth)):.1f}" for depth in curve.layers.values)
    where = collapse(curve)
    end = f"collapsed at {where:g}" if np.isfinite(where) else "no collapse"
    return f"{_modules.LABELS[network]} {numbers} ({end})"


def _earlier(network, eta):
    def check(dataset):
        if eta not in dataset.eta:
            return f"{eta:g} is not among the rates of this run", "not run"
        curves = {name: best(dataset, name, eta) for name in (network, "ap")}
        text = "; ".join(_text(name, curve) for name, curve in curves.items())
        return text, holds(collapse(curves[network]) < collapse(curves["ap"]))

    return check


def _deepest(dataset):
    depth = int(dataset.layers.max())
    found = {
        network: max(float(best(dataset, network, eta).sel(layers=depth)) for eta in dataset.eta.values)
        for network in NETWORKS
    }
    text = ", ".join(f"{_modules.LABELS[network]} {value:.1f}" for network, value in found.items())
    return f"{depth} layers, the better rate: {text} %", holds(found["ap"] > found["fa"])


def _ends(dataset):
    parts = []
    for network in NETWORKS:
        for eta in dataset.eta.values:
            here = dataset.test_accuracy.sel(network=network, eta=eta, layers=1)
            parts.append(f"{_modules.LABELS[network]}, {eta:g}: {_modules.ends(here)}")
    one = dataset.test_accuracy.sel(layers=1).max("epoch")
    return f"{'; '.join(parts)} %", holds((one > 0.75).all())


EXPECTED = [
    _modules.used(),
    Claim("all learn with one layer", "ours: each net's best epoch above 75 %", _ends),
    *(
        Claim(
            f"{title} collapses earlier than AP, {rate}",
            f"{source}; here: 10 points below one layer, with fewer layers",
            _earlier(network, float(rate)),
        )
        for network, title, source in (
            ("fa", "FA", "figure 4d"),
            ("fa_scaled", "FA with AP's scale", "ours, of figure 4d"),
        )
        for rate in ("1e-3", "2e-4")
    ),
    Claim("AP is above FA in the deepest network", "figure 4d; here: best epochs, each at its better rate", _deepest),
]


def figure(dataset):
    """Accuracy against depth, a panel for each rate; dotted: the last epoch's."""
    rates = dataset.eta.values
    fig, axes = figures.subplots(1, len(rates), squeeze=False, sharey=True)
    for ax, eta in zip(axes[0], rates, strict=True):
        for network in dataset.network.values:
            here, colour = 100 * dataset.test_accuracy.sel(network=network, eta=eta), _modules.COLOURS[network]
            mean, end = here.max("epoch").mean("net"), here.isel(epoch=-1).mean("net")
            ax.plot(dataset.layers, mean, "o-", color=colour, label=_modules.LABELS[network])
            ax.plot(dataset.layers, end, ":", color=colour)
        ax.set(xlabel="hidden layers", title=f"{dataset.attrs['data']}, rate {eta:g}", xticks=dataset.layers.values)
    axes[0, 0].set(ylabel="test accuracy (%)")
    axes[0, 0].legend(loc="best", title="best epoch (dotted: last)")
    return fig
