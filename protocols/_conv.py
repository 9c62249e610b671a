"""What the protocols of convolutional networks share: rules, learning rates, how nets are trained and kernels measured.

One layer of filters, the maximum of windows of their maps, a readout (Dellaferrera and Kreiman 2022, section 3.3). Nets
of the same number have the same initial weights under all rules but DRTP, whose authors draw them otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroplast import data, figures
from neuroplast.data import Images
from neuroplast.layered import METRICS
from neuroplast.models import feedforward_conv, pepita_conv
from neuroplast.parameters import parameter
from neuroplast.protocols import _images
from neuroplast.protocols._images import Case, Network
from neuroplast.rules import BP, DRTP, FA_LAYERS, FROZEN_HIDDEN, PEPITA, PEPITA_CONV, PEPITA_SCRIPT

NETWORKS = {
    "bp": Network("BP", feedforward_conv, BP),
    "fa": Network("FA", feedforward_conv, FA_LAYERS),
    "drtp": Network("DRTP", feedforward_conv, DRTP, feedforward_conv.DRTP_NETWORK),
    "pepita": Network("PEPITA", pepita_conv, PEPITA_CONV),
    "frozen": Network("F = 0", pepita_conv, FROZEN_HIDDEN, rates="pepita"),
    "pt_compat": Network("published script", pepita_conv, PEPITA_SCRIPT, rates="pepita"),
    "pepita_sum": Network("PEPITA, sum over positions", pepita_conv, PEPITA, rates="pepita"),
}
LABELS = {name: network.label for name, network in NETWORKS.items()}
COLOURS = _images.COLOURS | {"pt_compat": figures.COLOURS[6], "pepita_sum": "0.5"}
#: Learning rates. MNIST, CIFAR: table 2, which has none for F = 0 (PEPITA's). Fashion-MNIST is not in it: of 0.003,
#: 0.01, 0.03 and 0.1 the one with the greatest accuracy on 7,500 images held back of the first 30,000 of the training,
#: after 14 epochs, four of them at a tenth of the rate (pepita_conv_table, one net, seed 0; commit 07dc6d3).
RATES = {
    "mnist": {"bp": 0.1, "fa": 0.1, "drtp": 0.01, "pepita": 0.1},
    "cifar10": {"bp": 0.01, "fa": 0.01, "drtp": 0.01, "pepita": 0.1},
    "fashion-mnist": {"bp": 0.03, "fa": 0.01, "drtp": 0.03, "pepita": 0.01},
}
RATES |= {"cifar100": RATES["cifar10"], "mnist-5000": RATES["mnist"], "digits": RATES["mnist"]}
#: Kernels of 5 x 5 do not leave maps of the digits' 8 x 8 pixels that could be pooled twice; 3 x 3 do.
KERNELS = {"digits": 3}
#: The size that the paper has.
FULL = {"rows": 0, "epochs": 100, "nets": 3}
SMALL = {"rows": 1000, "epochs": 3, "filters": 8, "nets": 2}


@dataclass(frozen=True)
class Sizes:
    """What every protocol of convolutional networks can vary; the rest are the models' parameters."""

    rows: int = parameter(10_000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    filters: int = parameter(32, "filters", least=1)
    nets: int = parameter(2, "nets, each with its own initial weights", least=1)
    epochs: int = parameter(20, "times that a net sees all images", least=1)
    eta: float = parameter(0.0, "learning rate of all rules; 0: each rule's of table 2", least=0)
    validation: int = parameter(0, "training images that are held back and take the test's place", least=0)


@dataclass(frozen=True)
class Common(Sizes):
    """The same, of protocols on one data set."""

    data: str = parameter(
        "auto", "data set; auto: fashion-mnist, or digits where it is absent", choices=("auto", *_images.NAMES)
    )

    def images(self, run) -> Images:
        """The images, of which some may be held back."""
        return held_back(_images.load(self.data, self.rows, run), self.validation)


@dataclass(frozen=True)
class Several(Sizes):
    """The same, of protocols that take all data sets that there are."""

    data: tuple = parameter(
        ("mnist", "cifar10", "cifar100", "fashion-mnist", "mnist-5000"),
        "data sets, as far as they are on this machine; digits if none is",
        choices=_images.NAMES,
    )

    def images(self) -> list[Images]:
        """Those that are on this machine."""
        names = [name for name in self.data if data.present(name)]
        return [held_back(_images.load(name, self.rows), self.validation) for name in names or [_images.STAND_IN]]


def held_back(images: Images, validation: int) -> Images:
    """The images, or the training images alone, the last of which are the test then; at most a quarter of them."""
    return images.split(min(validation, images.rows // 4)) if validation else images


def constants(name: str, rule: str, p: Sizes, **changes) -> Any:
    """Parameters of the model for a rule and a data set."""
    network = NETWORKS[rule]
    eta = p.eta or RATES[name][network.rates or rule]
    chosen = {"filters": p.filters, "kernel": KERNELS.get(name, 5), "eta": eta}
    return network.model.Parameters(**dict(network.constants) | chosen | changes)


def train(cases: Sequence[Case], p: Sizes, run, *, keep=METRICS, others=None, **options) -> xr.Dataset:
    """Train the nets of all cases; see `neuroplast.protocols._images.train`.

    Parameters
    ----------
    others : callable, optional
        From a case to its network and parameters where it is no convolutional one, else None.
    """

    def network_of(case):
        return (others and others(case)) or (
            NETWORKS[case.rule], constants(case.images.name, case.rule, p, **case.constants),
        )  # fmt: skip

    return _images.train(cases, p, run, keep=keep, network_of=network_of, **options)


def initial_kernels(images: Images, rule: str, p: Sizes, run, net: int) -> np.ndarray:
    """Kernels (filters, channels, rows, columns) that a net begins with."""
    chosen, field = field_of(images, rule, p)
    state = NETWORKS[rule].model.initial_values(chosen, images, _images.seed(run, net))
    return field.to_kernels(np.reshape(state["w1.w"], (field.offsets, field.channels)))


def final_kernels(images: Images, rule: str, p: Sizes, found: xr.Dataset) -> np.ndarray:
    """Kernels after the last epoch of a net whose results have ``w_w1``."""
    return field_of(images, rule, p)[1].to_kernels(found.w_w1.isel(snapshot=-1).values)


def field_of(images: Images, rule: str, p: Sizes):
    """Parameters of a rule's network, and its receptive field."""
    chosen = constants(images.name, rule, p)
    return chosen, chosen.field(images)


def moved(now: np.ndarray, before: np.ndarray) -> float:
    """How far kernels have moved, in parts of their initial norm."""
    return float(np.linalg.norm(now - before) / np.linalg.norm(before))


def smoothness(kernels: np.ndarray) -> np.ndarray:
    """Correlation between neighbouring weights of each filter: 0 on average if drawn independently, 1 if all alike.

    Parameters
    ----------
    kernels : array, shape (filters, channels, rows, columns)

    Returns
    -------
    array, shape (filters,)
        The mean over all pairs of neighbours of the product of both weights, over the mean square of such weights.
    """
    pairs = [(kernels[..., 1:, :], kernels[..., :-1, :]), (kernels[..., 1:], kernels[..., :-1])]
    products = sum((a * b).sum(axis=(1, 2, 3)) for a, b in pairs)
    squares = sum(((a**2 + b**2) / 2).sum(axis=(1, 2, 3)) for a, b in pairs)
    return products / np.where(squares > 0, squares, 1)


def span(values) -> str:
    """The lowest and the highest value of numbers that may be small, as text."""
    low, high = (f"{limit:.2g}" for limit in (np.nanmin(values), np.nanmax(values)))
    return low if low == high else f"{low} to {high}"
