"""Where each record of the monitors stands in the results: the same for arrays in memory and for a run's segments.

`lay_out` reads nothing but the places of the records (their trials and steps). What it returns are columns, which read
any part of themselves from the records when they are asked to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroplast.columns import Column, Records, first_of_each
from neuroplast.errors import InputError
from neuroplast.recorded import PLACES, Recorded, not_recorded


def lay_out(records: Records, recorded: Sequence[Recorded] = (), *, complete: bool = True) -> list[Column]:
    """Columns of the results.

    Parameters
    ----------
    records : Records
    recorded, complete
        See `neuroplast.labels.label`.

    Raises
    ------
    InputError
        See `neuroplast.labels.label`.
    """
    items = [item for item in recorded or _everything(records) if _is_there(item, records)]
    places = _Places(_Counted(records, items))
    if not complete:
        places.cut_to_shortest(items)
    columns, known = [], _Known()
    for item, table in zip(items, _tables(items, places), strict=True):
        own = [_array(item, places, table), *_coordinates(item, places, table)]
        columns += known.new(item, own)
    return columns


def _is_there(item, records):
    """Whether there are records; that there were no spikes is a result too."""
    stored = records.sources.get(item.source)
    return stored is not None and (stored.length > 0 or item.kind == "spikes")


def _everything(records):
    items = []
    for source, stored in records.sources.items():
        monitor, variable = source.split(".")
        if variable not in PLACES:
            dims = tuple(f"{monitor}_{variable}_{axis}" for axis in range(1, 1 + len(stored.tail)))
            items.append(Recorded(f"{monitor}_{variable}", source, "rates", dims, stored.tail, f"{monitor}_record"))
    return items


class _Counted:
    """Records as they are, but trials counted through all epochs."""

    def __init__(self, records, items):
        self._records = records
        self._per_epoch = {item.monitor: item.per_epoch for item in items if _in_epochs(item, records)}

    def __getattr__(self, name):
        return getattr(self._records, name)

    def read(self, source, start, stop):
        found, (monitor, variable) = self._records.read(source, start, stop), source.split(".")
        if variable == "trial" and monitor in self._per_epoch:
            found = found + self._per_epoch[monitor] * self._records.read(f"{monitor}.epoch", start, stop)
        return found


def _in_epochs(item, records):
    return item.per_epoch is not None and f"{item.monitor}.epoch" in records.sources


class _Places:
    """How many records of each monitor are used, and their places."""

    def __init__(self, records):
        self.records, self.sources = records, records.sources
        self._kept, self._read = {}, {}

    def has(self, item, variable):
        return f"{item.monitor}.{variable}" in self.sources

    def count(self, item):
        """Records that each variable of the monitor has, as far as they are used."""
        if item.monitor not in self._kept:
            own = [stored.length for source, stored in self.sources.items() if source.split(".")[0] == item.monitor]
            self._kept[item.monitor] = min(own)
        return self._kept[item.monitor]

    def of(self, item, variable):
        """One value per record of what a monitor may have recorded for each of its indices."""
        source = f"{item.monitor}.{variable}"
        if source not in self._read:
            self._read[source] = first_of_each(self.records.read(source, 0, self.sources[source].length))
        return self._read[source][: self.count(item)]

    def trials(self, item):
        """Trials in the order in which they were recorded, and for each record the number of its own among them."""
        if not self.has(item, "trial"):
            raise not_recorded(item, "trial")
        trials, first, trial = np.unique(self.of(item, "trial"), return_index=True, return_inverse=True)
        order = np.argsort(first)
        return trials[order], np.argsort(order)[trial]

    def cut_to_shortest(self, items):
        """Of what shares a dimension, leave those entries that all monitors have."""

        def shorten(among, entry_of_record):
            if len({item.monitor for item in among}) < 2:
                return
            entries = {item.monitor: (item, entry_of_record(item)) for item in among}
            shortest = min(entry.max(initial=-1) + 1 for _, entry in entries.values())
            for monitor, (_, entry) in entries.items():
                self._kept[monitor] = int(np.count_nonzero(np.maximum.accumulate(entry) < shortest))

        def numbers(item):
            return np.arange(self.count(item))

        for leading in dict.fromkeys(item.leading for item in items):
            shorten([item for item in items if item.leading == leading], numbers)
        for first in dict.fromkeys(item.leading[0] for item in items):
            shorten(
                [item for item in items if item.leading[0] == first],
                lambda item: numbers(item) if item.fold is None else self.trials(item)[1],
            )


class _Table:
    """Where the records of a folded item stand: a row for each trial, a column for each place within one.

    The place is what the monitor recorded of the dimension along (``k`` for "step"), else the number of the record
    within its trial.
    """

    def __init__(self, item, places):
        self.item = item
        self.trials, self.row = places.trials(item)
        self.labelled = item.place is not None and places.has(item, item.place)
        if item.in_trial and not self.labelled:
            raise not_recorded(item, "k")
        if self.labelled:
            self.place = places.of(item, item.place)
        else:
            order, records = np.argsort(self.row, kind="stable"), np.bincount(self.row)
            self.place = np.empty(len(self.row), dtype=np.int64)
            self.place[order] = np.arange(len(self.row)) - np.repeat(np.cumsum(records) - records, records)

    def span(self, columns):
        """Set the places that its columns stand for, in order; each record must have a cell of its own."""
        self.columns = columns
        self.cells = self.row * len(columns) + np.searchsorted(columns, self.place)
        if (np.diff(self.cells) > 0).all():
            return
        cells, first = np.unique(self.cells, return_index=True)
        if len(cells) < len(self.row):
            twice = np.setdiff1d(np.arange(len(self.row)), first)[0]
            item, trial = self.item, self.trials[self.row[twice]]
            raise InputError(
                f"{item.name}: fold={item.fold!r} has one place for each {item.dimension} of a trial, and "
                f"'{item.monitor}' recorded trial {trial}, {item.dimension} {self.place[twice]} more than once. Record "
                "in one phase of the trials, each trial once; or give along= another name, for all records in turn."
            )

    @property
    def shape(self):
        return (len(self.trials), len(self.columns))


def _tables(items, places):
    """The table of each item, None of those not folded. Tables along the same dimension have the same columns."""
    made, tables = {}, []
    for item in items:
        key = (item.monitor, item.leading, item.place)
        if item.fold is not None and key not in made:
            made[key] = _Table(item, places)
        tables.append(made.get(key))
    for dimension in {table.item.leading[1] for table in made.values()}:
        shared = [table for table in made.values() if table.item.leading[1] == dimension]
        columns = np.unique(np.concatenate([table.place for table in shared]))
        for table in shared:
            table.span(columns)
    return tables


def _array(item, places, table):
    stored = places.sources[item.source]
    tail = item.shape if item.shape is not None else stored.tail[: len(item.dims)]
    if int(np.prod(stored.tail)) != int(np.prod(tail)) or len(tail) != len(item.dims):
        raise InputError(
            f"{item.name}: one record of {item.source} has shape {stored.tail}, which does not fit the "
            f"dimensions {item.dims} of lengths {tail}."
        )
    dims = (*item.leading, *(item.prefixed(dim) for dim in item.dims))
    return _from_records(item.name, item, dims, tail, item.source, places, table, item.attributes)


def _from_records(name, item, dims, tail, source, places, table, attrs, **options):
    dtype = places.sources[source].dtype
    shape, cells = (places.count(item),), None
    if table:
        shape, cells, dtype = table.shape, table.cells, np.promote_types(dtype, np.float32)
    return Column(
        name, dims, (*shape, *tail), dtype, attrs, records=places.records, source=source, leading=len(shape),
        cells=cells, **options,
    )  # fmt: skip


def _coordinates(item, places, table):
    found = _labels(item, places, table) if table else []
    for source in places.sources:
        owner, variable = source.split(".")
        if owner != item.monitor or source == item.source or variable not in PLACES:
            continue
        name = _coordinate_name(item, PLACES[variable])
        if name is not None:
            attrs = {"units": "s"} if variable == "t" else {}
            options = {"coordinate": True, "once": True}
            found.append(_from_records(name, item, item.leading, (), source, places, table, attrs, **options))
    return found


def _coordinate_name(item, place):
    """Name of the coordinate that tells a place of each record; None if there is none."""
    of_row = place == "trial" or place == "epoch" and item.per_epoch is not None
    if item.fold is not None and (of_row or place == item.dimension or item.in_trial and place == "step"):
        return None  # they label rows and columns
    if not item.prefix:
        return place if place == item.dimension else "_".join((*item.leading, place))
    if place == "time":
        return item.prefixed("start" if item.dimension == "trial" else "time")
    return item.prefixed(place) if place in ("trial", "epoch", item.dimension) else None


def _labels(item, places, table):
    """Labels of a table's rows and columns."""
    row, column = item.leading

    def label(name, dim, values, attrs):
        return Column(name, (dim,), values.shape, values.dtype, attrs, coordinate=True, values=values)

    found = [label(row, row, table.trials, {})]
    if _in_epochs(item, places):
        name = item.prefixed("epoch") if item.prefix else f"{row}_epoch"
        found.append(label(name, row, table.trials // item.per_epoch, {"long_name": "epoch of the trial"}))
    if item.in_trial:
        doc = {"units": "s", "long_name": "time since the trial began"}
        found.append(label(column, column, (table.columns + 1) * float(item.dt), doc))
        if places.has(item, "t"):
            _, first = np.unique(table.row, return_index=True)
            begun = places.of(item, "t")[first] - table.place[first] * float(item.dt)
            doc = {"units": "s", "long_name": "time at which the trial began"}
            found.append(label(item.prefixed("start") if item.prefix else f"{row}_start", row, begun, doc))
    elif table.labelled:
        found.append(label(column, column, table.columns, {}))
    return found


class _Known:
    """Dimensions and coordinates so far; xarray alone would fill disagreeing labels with NaN in silence."""

    def __init__(self):
        self.sizes, self.coordinates = {}, {}

    def new(self, item, columns):
        """Those columns that are not there yet."""
        array, *coordinates = columns
        unlike = any(self.sizes.get(d, n) != n for d, n in zip(item.leading, array.shape, strict=False)) or any(
            not _same(self.coordinates.get(column.name, column), column) for column in coordinates
        )
        if unlike:
            own = "along='probe'" if item.fold is None else "fold='probe_trial', along='probe_step'"
            raise InputError(
                f"{item.name}: has other values of {' or '.join(map(repr, item.leading))} than the arrays before it; "
                f"give it a dimension of its own, as in Recorded({item.name!r}, {item.source!r}, {own})."
            )
        for dim, size in zip(array.dims, array.shape, strict=True):
            if self.sizes.setdefault(dim, size) != size:
                raise InputError(
                    f"{item.name}: {dim!r} has {size} entries, and {self.sizes[dim]} in the arrays before it; give the "
                    "dimension another name, or all of this array's dimensions one of their own by prefix=True."
                )
        added = [column for column in coordinates if column.name not in self.coordinates]
        self.coordinates |= {column.name: column for column in added}
        return [array, *added]


def _same(one, other):
    if one is other or (one.values is None and (one.source, one.cells is other.cells) == (other.source, True)):
        return True
    if (one.dims, one.shape) != (other.dims, other.shape):
        return False
    one, other = one.all(), other.all()
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")
