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
#: Of these each trial has others: a table of trials by times would hold little but gaps.
_NEVER_AGAIN = ("trial", "time", "tick")


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
    fold : str, optional
        Name of one more dimension, before the one along: the trials, so that the records of each have a row of their
        own. The monitor has to record ``trial``, which labels it. The rows are as long as the longest trial and NaN
        where a trial has no record (integers become floats). What else was recorded becomes ``FOLD_ALONG_time``, ...
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
    fold: str | None = None

    def __post_init__(self):
        if self.kind not in ALONG:
            raise InputError(f"{self.name}: kind should be one of {', '.join(ALONG)}. Got {self.kind!r}.")
        if self.source.count(".") != 1:
            raise InputError(f"{self.name}: source should be 'monitor.variable'. Got {self.source!r}.")
        if len(self.dims) > 1 and len(self.shape or ()) != len(self.dims):
            raise InputError(f"{self.name}: shape should give the lengths of {self.dims}. Got {self.shape}.")
        if self.fold is not None and self.dimension in (self.fold, *_NEVER_AGAIN):
            raise InputError(
                f"{self.name}: with fold={self.fold!r}, along should be what begins anew in each trial, such as "
                f"'step', or another name. Got {self.dimension!r}."
            )

    @property
    def monitor(self) -> str:
        """Name of the monitor behind it."""
        return self.source.split(".")[0]

    @property
    def dimension(self) -> str:
        """Name of the dimension from record to record."""
        return self.along or ALONG[self.kind]

    @property
    def leading(self) -> tuple[str, ...]:
        """Dimensions before those of one record: from record to record, or from trial to trial and within one."""
        return (self.dimension,) if self.fold is None else (self.fold, self.dimension)

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
    """Raise InputError if a source names no monitor or variable there is, or one to be folded without its trials."""
    known = [f"{monitor}.{variable}" for monitor, variables in monitors.items() for variable in variables]
    for item in recorded:
        if item.source not in known:
            there = ", ".join(known) or "nothing"
            raise InputError(f"{item.name}: no monitor recorded {item.source!r}. Recorded were: {there}.")
        if item.fold is not None and f"{item.monitor}.trial" not in known:
            raise _no_trials(item)


def _no_trials(item):
    return InputError(
        f"{item.name}: fold={item.fold!r} needs the trial of each record, and '{item.monitor}' did not record it. Add "
        f"'trial' to the variables of '{item.monitor}'."
    )


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
        If an array does not have the shape declared, or two monitors disagree about a shared dimension; if one to be
        folded has no trials, or two records at the same place of a trial.
    """
    items = [item for item in recorded or _everything(arrays) if item.source in arrays]
    if not complete:
        arrays = _cut_to_shortest(arrays, items)
    import xarray as xr

    dataset = xr.Dataset()
    tables = _tables(items, arrays)
    for item, table in zip(items, tables, strict=True):
        variable = _array(item, np.asarray(arrays[item.source]), table)
        dataset = _added(dataset, item, variable, _coordinates(item, arrays, table))
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

    def shorten(among, entry_of_record):
        """Leave those entries of a dimension that all monitors have; each record belongs to one."""
        entries = {item.monitor: entry_of_record(item) for item in among}
        shortest = min(entry.max(initial=-1) + 1 for entry in entries.values())
        for monitor, entry in entries.items():
            kept = np.count_nonzero(np.maximum.accumulate(entry) < shortest)
            cut.update({source: cut[source][:kept] for source in cut if source.split(".")[0] == monitor})

    for leading in dict.fromkeys(item.leading for item in items):
        shorten([item for item in items if item.leading == leading], lambda item: _records(item, cut))
    for first in dict.fromkeys(item.leading[0] for item in items):
        shorten(
            [item for item in items if item.leading[0] == first],
            lambda item: _records(item, cut) if item.fold is None else _trials(item, cut)[1],
        )
    return cut


def _records(item, arrays):
    """Numbers of the records that each variable of the monitor has."""
    return np.arange(min(len(array) for source, array in arrays.items() if source.split(".")[0] == item.monitor))


def _trials(item, arrays):
    """Trials in the order in which they were recorded, and for each record the number of its own among them."""
    if f"{item.monitor}.trial" not in arrays:
        raise _no_trials(item)
    trials, first, trial = np.unique(_once(arrays[f"{item.monitor}.trial"]), return_index=True, return_inverse=True)
    order = np.argsort(first)
    return trials[order], np.argsort(order)[trial]


def _once(array):
    """One value per record of what a monitor may have recorded for each of its indices."""
    return np.asarray(array).reshape(len(array), -1)[:, 0]


class _Table:
    """Where the records of a folded item stand: a row for each trial, a column for each place within one.

    The place is what the monitor recorded of the dimension along (``k`` for "step"), else the number of the record
    within its trial.
    """

    def __init__(self, item, arrays):
        self.item = item
        self.trials, self.row = _trials(item, arrays)
        variable = {name: variable for variable, name in PLACES.items()}.get(item.dimension)
        self.labelled = f"{item.monitor}.{variable}" in arrays
        if self.labelled:
            self.place = _once(arrays[f"{item.monitor}.{variable}"])
        else:
            order, records = np.argsort(self.row, kind="stable"), np.bincount(self.row)
            self.place = np.empty(len(self.row), dtype=np.int64)
            self.place[order] = np.arange(len(self.row)) - np.repeat(np.cumsum(records) - records, records)

    def span(self, columns):
        """Set the places that its columns stand for, in order; each record must have a cell of its own."""
        self.columns, self.column = columns, np.searchsorted(columns, self.place)
        cells, first = np.unique(self.row * len(columns) + self.column, return_index=True)
        if len(cells) < len(self.row):
            twice = np.setdiff1d(np.arange(len(self.row)), first)[0]
            item, trial = self.item, self.trials[self.row[twice]]
            raise InputError(
                f"{item.name}: fold={item.fold!r} has one place for each {item.dimension} of a trial, and "
                f"'{item.monitor}' recorded trial {trial}, {item.dimension} {self.place[twice]} more than once. Record "
                "in one phase of the trials, each trial once; or give along= another name, for all records in turn."
            )

    def laid_out(self, array):
        """Records as rows x columns x the dimensions of one record."""
        table = np.full(
            (len(self.trials), len(self.columns), *array.shape[1:]), np.nan, np.promote_types(array.dtype, np.float32)
        )
        table[self.row, self.column] = array
        return table


def _tables(items, arrays):
    """The table of each item, None of those not folded. Tables along the same dimension have the same columns."""
    tables = [None if item.fold is None else _Table(item, arrays) for item in items]
    for dimension in {table.item.dimension for table in tables if table}:
        shared = [table for table in tables if table and table.item.dimension == dimension]
        columns = np.unique(np.concatenate([table.place for table in shared]))
        for table in shared:
            table.span(columns)
    return tables


def _array(item, array, table):
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
    records = array.reshape(len(array), *shape)
    return xr.Variable((*item.leading, *item.dims), table.laid_out(records) if table else records, attrs)


def _coordinates(item, arrays, table):
    import xarray as xr

    coordinates = {}
    if table:
        coordinates[item.fold] = xr.Variable((item.fold,), table.trials)
        if table.labelled:
            coordinates[item.dimension] = xr.Variable((item.dimension,), table.columns)
    for source, array in arrays.items():
        owner, variable = source.split(".")
        if owner == item.monitor and source != item.source and variable in PLACES:
            name = PLACES[variable]
            if table and name in ("trial", item.dimension):
                continue  # they label rows and columns
            attrs = {"units": "s"} if variable == "t" else {}
            name = name if name == item.dimension else "_".join((*item.leading, name))
            once = table.laid_out(_once(array)) if table else _once(array)
            coordinates[name] = xr.Variable(item.leading, once, attrs)
    return coordinates


def _added(dataset, item, variable, coordinates):
    """The dataset with one more array; xarray alone would fill disagreeing labels with NaN in silence."""
    unlike = any(dataset.sizes.get(dim, variable.sizes[dim]) != variable.sizes[dim] for dim in item.leading) or any(
        name in dataset.coords and not dataset.coords[name].variable.equals(values)
        for name, values in coordinates.items()
    )
    if unlike:
        own = "along='probe'" if item.fold is None else "fold='probe_trial', along='probe_step'"
        raise InputError(
            f"{item.name}: has other values of {' or '.join(map(repr, item.leading))} than the arrays before it; give "
            f"it a dimension of its own, as in Recorded({item.name!r}, {item.source!r}, {own})."
        )
    return dataset.assign_coords(coordinates).assign({item.name: variable})
