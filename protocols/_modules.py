"""What the protocols of adjoint propagation share: networks, how nets are trained, what is said and drawn of them.

Nets of the same number see the images in the same order. Defaults are a small size: 64 neurons of each role, and so 256
in a module; in Liu et al. (2026) there are 256 and 1024, which learn from batches of 500 images. `FULL` is theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from neuroplast import data, figures
from neuroplast.data import Images
from neuroplast.layered import METRICS
from neuroplast.models import adjoint, equilibrium, feedforward
from neuroplast.nets import label_of, places_of
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim
from neuroplast.protocols import _images
from neuroplast.rules import AP, AP_DERIVATIVE, BP, EP, FA_LAYERS
from neuroplast.traces import combine

NETWORKS = {
    "ap": _images.Network("AP", adjoint, AP),
    "ap_derivative": _images.Network("AP with f'", adjoint, AP_DERIVATIVE),
    "bp": _images.Network("BP", feedforward, BP, feedforward.AP_NETWORK),
    "fa": _images.Network("FA", feedforward, FA_LAYERS, feedforward.AP_NETWORK),
    "fa_scaled": _images.Network(
        "FA, AP's scale", feedforward, FA_LAYERS, feedforward.AP_NETWORK | {"initial": "fan_in"}
    ),
    "ep": _images.Network("EP", equilibrium, EP),
}
LABELS = {name: network.label for name, network in NETWORKS.items()}
COLOURS = dict(zip(("bp", "ap", "fa", "ep", "ap_derivative", "fa_scaled"), figures.COLOURS, strict=False))
#: Learning rates of Adam, by data set (authors' code of AP; here of all networks that have Adam).
ETAS = dict.fromkeys(("cifar10", "cifar100"), 2e-4)
ETA = 1e-3
#: The paper's size, and that of the authors' demo.
FULL = {"block": 256, "batch": 500, "epochs": 100, "rows": 0}


@dataclass(frozen=True)
class Common:
    """What every protocol of adjoint propagation can vary; the rest are the models' parameters."""

    data: str = parameter(
        "auto", "data set; auto: fashion-mnist, or digits where it is absent", choices=("auto", *_images.NAMES)
    )
    rows: int = parameter(0, "take only so many images of the first ones, also in the test; 0: all", least=0)
    block: int = parameter(64, "neurons of each role, of which a module has four", least=1)
    batch: int = parameter(100, "images that are presented side by side", least=1)
    nets: int = parameter(1, "nets, each with its own initial weights", least=1)
    epochs: int = parameter(10, "times that a net sees all images", least=1)


@dataclass(frozen=True)
class Case:
    """Nets that differ in their initial weights only.

    Attributes
    ----------
    coords : dict
        Their place among the results, such as ``{"radius": 0.25}``.
    images : Images or dict of str to Images
        By the name of the input, if the graph has several.
    network : str
        One of `NETWORKS`.
    constants : dict
        Parameters of the model, if not those of `constants`. Layers of neurons without roles are ``modules``, too.
    options : dict
        Further arguments of the model's ``build``: graph, sizes, tasks.
    nets, epochs : int, optional
        If not as many as of the others.
    state : callable, optional
        From the initial values of a net to those that differ: no program of its own is needed for that.
    """

    coords: Mapping
    images: Images | Mapping[str, Images]
    network: str = "ap"
    constants: Mapping = field(default_factory=dict)
    options: Mapping = field(default_factory=dict)
    nets: int | None = None
    epochs: int | None = None
    state: Callable | None = None


def constants(case: Case, p: Common):
    """Parameters of the model for a case."""
    network, chosen = NETWORKS[case.network], dict(case.constants)
    names = [images.name for images in _shown(case).values()]
    rate = {} if case.network == "ep" else {"eta": ETAS.get(names[0], ETA)}
    if network.model is adjoint:
        size = {"block": p.block, "batch": p.batch}
    else:
        size = {"hidden": (chosen.pop("block", p.block),) * chosen.pop("modules", 2)}
        size |= {} if case.network == "ep" else {"batch": p.batch}
    return network.model.Parameters(**dict(network.constants) | size | rate | chosen)


def train(
    cases: Sequence[Case], p: Common, run, *, record=(), keep=METRICS, after: Callable | None = None, part="",
    diverged="raise",
) -> xr.Dataset:  # fmt: skip
    """Train the nets of all cases; those of one structure share one compiled program, whatever their durations.

    Parameters
    ----------
    cases : sequence of Case
        All combinations of their coordinates.
    p : Common
    run : neuroplast.experiment.Run
    record : sequence of str
        For the models' ``build``.
    keep : iterable of str
        Results to keep; those that a network has not got are NaN there. None: all.
    after : callable, optional
        ``after(case, net, model)``, with `net` a `neuroplast.training.Trained` that has ``state``, gives further
        results: a dict of name to what `xarray.Dataset.assign` takes.
    part, diverged
        As for `neuroplast.experiment.Run.train_many`. With ``diverged="omit"`` a net that diverged has NaN. Nets of a
        `part` do not record what ``--record`` asks for.

    Returns
    -------
    xarray.Dataset
        Along the cases' coordinates, ``net`` and ``epoch``.
    """
    models, jobs, origin, longest = {}, [], {}, {}
    count, asked = sum(case.nets or p.nets for case in cases), () if part else run.record
    for case in cases:
        chosen, lasts = constants(case, p), longest.setdefault(_structure(case, p), {})
        for name in _durations(case):
            lasts[name] = max(lasts.get(name, 0), chosen.steps(name))
    for case in cases:
        network, chosen, key = NETWORKS[case.network], constants(case, p), _structure(case, p)
        built = replace(chosen, **{name: steps * chosen.dt for name, steps in longest[key].items()})
        if key not in models:
            # A net by itself has all cores; several have one each. The results are the same.
            options = {"record": (*record, *asked), "target": run.target, "threads": max(1, run.threads // count)}
            models[key] = network.model.build(built, case.images, network.rule, **options, **case.options)
        for net in range(case.nets or p.nets):
            coords = {**case.coords, "net": net}
            label = label_of(coords)
            epochs, seed = case.epochs or p.epochs, _images.seed(run, net)
            changed = case.state(models[key].initial(seed, parameters=built)) if case.state else None
            job = models[key].job(label, coords, epochs, seed, parameters=built, state=changed)
            jobs.append(replace(job, counts={**job.counts, **_steps(models[key], built, chosen)}))
            origin[label] = case, models[key]
    images = {each.name: [each.rows, len(each.test)] for case in cases for each in _shown(case).values()}
    run.note(rules=sorted({NETWORKS[case.network].rule.name for case in cases}), images=images)
    parts = []
    for net in run.train_many(jobs, part=part, diverged=diverged):
        found = net.dataset
        found = found if keep is None else found[[name for name in keep if name in found]].drop_vars("epoch_time")
        found = found.load()
        if after is not None:
            case, model = origin[net.folder.name]
            found = found.assign(after(case, net, model))
        parts.append((net.coords, found))
    return combine(parts).reindex(places_of(jobs)).assign_attrs(data=", ".join(images))


def _durations(case):
    """Durations of phases, which a compiled program takes anew for each net."""
    return ("inference", "learning") if NETWORKS[case.network].model is adjoint else ()


def _structure(case, p):
    """What nets that share a program have in common."""
    chosen, durations, network = constants(case, p), _durations(case), NETWORKS[case.network]
    fixed = [(name, getattr(chosen, name)) for name in network.model.FIXED if name not in durations]
    shown = [id(images) for images in _shown(case).values()]
    return str((shown, network.model.__name__, network.rule.name, sorted(case.options.items()), fixed))


def _steps(model, built, chosen):
    """Steps of the phases of a net that are others than the program was built with."""
    found = {}
    for name, part in (("inference", "infer"), ("learning", "adjoint")):
        if getattr(chosen, name, None) != getattr(built, name, None):
            phases = [leaf.name for leaf in model.simulation.schedule.leaves() if part in leaf.name.split("_")]
            found |= dict.fromkeys(phases, chosen.steps(name))
    return found


def _shown(case):
    return case.images if isinstance(case.images, Mapping) else {"inputs": case.images}


def used() -> Claim:
    """Row of the table that says which images these results are of."""

    def check(dataset):
        name, wanted = dataset.attrs["data"], _images.WANTED
        return name if name == wanted else f"{name} in its place", "holds" if name == wanted else "not run"

    return Claim("Fashion-MNIST is learned", "Fashion-MNIST", check)


def is_full(dataset, **size) -> bool:
    """Whether the results are of the paper's size, that of `FULL` or another one, so that its numbers can be judged."""
    return all(dataset.attrs.get(name) == value for name, value in (FULL | size).items())


def size(p: Common) -> dict:
    """Attributes of the results that say how large they are."""
    return {name: getattr(p, name) for name in (*FULL, "nets")}


def ends(curve) -> str:
    """Accuracies after the last and in the best epoch, in per cent: mean and standard deviation over nets.

    The paper reports the best epoch, which is chosen by the test and so a little too high.
    """
    return f"{_images.spread(curve.isel(epoch=-1))} (best {_images.spread(curve.max('epoch'))})"


def last(dataset):
    """Test accuracy after the last epoch in per cent, mean over nets."""
    return 100 * dataset.test_accuracy.isel(epoch=-1).mean("net", skipna=False)


def listed(values, form=".1f") -> str:
    """Values by their only coordinate, such as "0.1: 82.3, 0.5: 81.0"."""
    (name,) = values.dims
    return ", ".join(f"{value:g}: {float(values.sel({name: value})):{form}}" for value in values[name].values)


def lines(ax, dataset, along, series, label) -> None:
    """Best and last test accuracy against a parameter, a line for each value of another one; bars: range over nets."""
    for value, colour in zip(dataset[series].values, figures.COLOURS, strict=False):
        accuracy = 100 * dataset.test_accuracy.sel({series: value})
        end, best = accuracy.isel(epoch=-1), accuracy.max("epoch")
        mean, text = end.mean("net"), label.format(value)
        spread = np.array([mean - end.min("net"), end.max("net") - mean])
        ax.errorbar(dataset[along].values, mean, yerr=spread, fmt="o-", color=colour, label=text, markersize=4)
        ax.plot(dataset[along].values, best.mean("net"), ":", color=colour)
    ax.set_ylabel("test accuracy (%)")


def curve(ax, values, label, **options) -> None:
    """A curve by net and epoch: median and quartiles over nets; epochs are counted from 1."""
    values = values.transpose("net", "epoch")
    if np.isfinite(values).any():
        figures.median_quartile_curve(ax, values.epoch + 1, values, label, **options)


def load(p: Common, run) -> Images:
    """The data set of a protocol's parameters."""
    return _images.load(p.data, p.rows, run)


def present(names: Sequence[str], rows: int) -> list[Images]:
    """Those data sets that are on this machine; digits if none is."""
    return [_images.load(name, rows) for name in [n for n in names if data.present(n)] or [_images.STAND_IN]]
