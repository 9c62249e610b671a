"""From what monitors recorded to labelled arrays: names, dimensions, units, kinds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroplast.errors import InputError

if TYPE_CHECKING:  # it is imported where it is used: that takes a third of a second
    import xarray as xr

#: Kinds of results, and the dimension along which each is recorded unless something else is said.
ALONG = {"metrics": "trial", "rates": "time", "weights": "snapshot"}
#: What places a record in the schedule (recorded name -> name in the results), shared by a monitor's indices.
PLACES = {
    "t": "time",
    "epoch": "epoch",
    "trial": "trial",
    "k": "step",
    "n_steps": "n_steps",
    "n_valid": "n_valid",
    "tick": "tick",
}


@dataclasses.dataclass(frozen=True)
class Recorded:
    """How one monitored variable appears in the results.

    Parameters
    ----------
    name : str
        Its name there.
    source : str
        ``monitor.variable``.
    kind : {"metrics", "rates", "weights"}
        Once per trial, along time, or a snapshot.
    dims : tuple of str
        Dimensions of one record: ``()`` for a number, ``("unit",)``, ``("pre", "post")``.
    shape : tuple of int, optional
        Their lengths; needed for two or more.
    along : str, optional
        Dimension from record to record: "trial", "epoch", "step" or "time", if the monitor recorded
        ``trial``, ``epoch``, ``k`` or ``t``, or any other name. By default trial, time and snapshot for the
        three kinds. What else the monitor recorded of these becomes ``ALONG_trial``, ``ALONG_time``, ...
    unit, doc : str
        Kept as the array's ``units`` and ``long_name``.
    """

    name: str
    source: str
    kind: str = "metrics"
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    along: str | None = None
    unit: str = ""
    doc: str = ""

    def __post_init__(self):
        if self.kind not in ALONG:
            raise InputError(f"{self.name}: kind should be one of {', '.join(ALONG)}. Got {self.kind!r}.")
        if self.source.count(".") != 1:
            raise InputError(f"{self.name}: source should be 'monitor.variable'. Got {self.source!r}.")
        if len(self.dims) > 1 and len(self.shape or ()) != len(self.dims):
            raise InputError(f"{self.name}: shape should give the lengths of {self.dims}. Got {self.shape}.")

    @property
    def dimension(self) -> str:
        """Name of the dimension from record to record."""
        return self.along or ALONG[self.kind]

    @staticmethod
    def to_json(recorded: Sequence[Recorded]) -> str:
        """Text that `from_json` reads."""
        return json.dumps([dataclasses.asdict(item) for item in recorded])

    @staticmethod
    def from_json(text: str) -> tuple[Recorded, ...]:
        """What `to_json` wrote."""
        items = json.loads(text)
        for item in items:
            item["dims"] = tuple(item["dims"])
            item["shape"] = None if item["shape"] is None else tuple(item["shape"])
        return tuple(Recorded(**item) for item in items)


def check_sources(monitors: Mapping[str, Mapping], recorded: Sequence[Recorded]) -> None:
    """Raise InputError if a source names no monitor or variable there is."""
    known = [f"{monitor}.{variable}" for monitor, variables in monitors.items() for variable in variables]
    for item in recorded:
        if item.source not in known:
            there = ", ".join(known) or "nothing"
            raise InputError(f"{item.name}: no monitor recorded {item.source!r}. Recorded were: {there}.")


def join(pieces: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of consecutive segments, end to end; a segment without records of a variable leaves it out."""
    names = dict.fromkeys(name for piece in pieces for name in piece)
    return {name: np.concatenate([piece[name] for piece in pieces if name in piece]) for name in names}


def label(arrays: Mapping[str, np.ndarray], recorded: Sequence[Recorded] = (), *, complete: bool = True) -> xr.Dataset:
    """Labelled dataset of joined arrays.

    Parameters
    ----------
    arrays : dict of str to array
        ``monitor.variable`` to array, records x indices.
    recorded : sequence of Recorded
        What to take; without any, everything, as ``monitor_variable``.
    complete : bool
        False for a run that stopped anywhere: of two arrays along the same dimension the longer loses what
        the other has not got.

    Raises
    ------
    InputError
        If an array does not have the shape declared, or two monitors disagree about a shared dimension.
    """
    items = [item for item in recorded or _everything(arrays) if item.source in arrays]
    if not complete:
        arrays = _cut_to_shortest(arrays, items)
    import xarray as xr

    dataset = xr.Dataset()
    for item in items:
        variable = _array(item, np.asarray(arrays[item.source]))
        dataset = _added(dataset, item, variable, _coordinates(item, arrays))
    return dataset


def _everything(arrays):
    items = []
    for source, array in arrays.items():
        monitor, variable = source.split(".")
        if variable not in PLACES:
            dims = tuple(f"{monitor}_{variable}_{axis}" for axis in range(1, array.ndim))
            name, along = f"{monitor}_{variable}", f"{monitor}_record"
            items.append(Recorded(name, source, "rates", dims, array.shape[1:], along))
    return items


def _cut_to_shortest(arrays, items):
    cut = dict(arrays)
    for dimension in {item.dimension for item in items}:
        monitors = {item.source.split(".")[0] for item in items if item.dimension == dimension}
        sources = [source for source in arrays if source.split(".")[0] in monitors]
        shortest = min(len(arrays[source]) for source in sources)
        cut.update({source: arrays[source][:shortest] for source in sources})
    return cut


def _array(item, array):
    import xarray as xr

    shape = item.shape if item.shape is not None else array.shape[1 : 1 + len(item.dims)]
    if array.size != len(array) * int(np.prod(shape)):
        raise InputError(
            f"{item.name}: one record of {item.source} has shape {array.shape[1:]}, which does not fit the "
            f"dimensions {item.dims} of lengths {shape}."
        )
    attrs = {"kind": item.kind}
    if item.unit:
        attrs["units"] = item.unit
    if item.doc:
        attrs["long_name"] = item.doc
    return xr.Variable((item.dimension, *item.dims), array.reshape(len(array), *shape), attrs)


def _coordinates(item, arrays):
    import xarray as xr

    monitor = item.source.split(".")[0]
    coordinates = {}
    for source, array in arrays.items():
        owner, variable = source.split(".")
        if owner == monitor and source != item.source and variable in PLACES:
            name = PLACES[variable]
            attrs = {"units": "s"} if variable == "t" else {}
            name = name if name == item.dimension else f"{item.dimension}_{name}"
            once = np.asarray(array).reshape(len(array), -1)[:, 0]
            coordinates[name] = xr.Variable((item.dimension,), once, attrs)
    return coordinates


def _added(dataset, item, variable, coordinates):
    """The dataset with one more array; xarray alone would fill disagreeing labels with NaN in silence."""
    size = dataset.sizes.get(item.dimension, len(variable))
    clash = size != len(variable) or any(
        name in dataset.coords and not dataset.coords[name].variable.equals(values)
        for name, values in coordinates.items()
    )
    if clash:
        raise InputError(
            f"{item.name}: has other values of {item.dimension!r} than the arrays before it; give it a "
            f"dimension of its own, as in Recorded({item.name!r}, {item.source!r}, along='probe')."
        )
    return dataset.assign_coords(coordinates).assign({item.name: variable})
