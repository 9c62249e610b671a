"""From the traces of a run to what the writers are given."""

from __future__ import annotations

import itertools
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neuroplast.arrays import plain
from neuroplast.errors import InputError
from neuroplast.export.series import Column, Contents, Entry, Records, Spikes, Table, Trial

#: Of the record: facts about the run, as entries of the kind "run".
FACTS = ("protocol", "seed", "target", "status", "started", "ended", "rule", "rules", "update", "protocol_sha256")


def contents_of(traces, label: str | None = None) -> Contents:
    """Everything that the traces of a run or of one net hold.

    Parameters
    ----------
    traces : neuroplast.traces.Traces
    label : str, optional
        Of the net.

    Raises
    ------
    InputError
        If there is nothing.
    """
    dataset, record = traces.dataset, dict(traces.record or {})
    if not dataset.data_vars:
        raise InputError(
            f"{traces.folder or 'these traces'}: nothing was recorded, so that there is nothing to export."
        )
    records, spikes, measures = [], [], []
    for name in dataset.data_vars:
        array = plain(dataset[name], name)
        kind = array.attrs.get("kind")
        if kind == "spikes":
            spikes += _spikes(name, array)
        elif kind == "weights" or (kind != "metrics" and _axis(array)[0] is not None):
            records += _records(name, array)
        else:
            measures.append(array)
    name = Path(traces.folder).resolve().name if traces.folder else "run"
    return Contents(
        name=name if label is None else label,
        title=str(record.get("title") or dataset.attrs.get("title") or record.get("protocol") or name),
        record=record,
        records=tuple(records),
        spikes=tuple(spikes),
        tables=tuple(_tables(measures)),
        trials=_trials(records),
        entries=tuple(_entries(record, dataset, label)),
        dataset=dataset,
    )


def _axis(array):
    """Dimension along which an array was recorded, that of its trials, and its start and offset in time.

    ``trial_step_time`` places records by ``trial`` and ``step``; ``step_time``, or a dimension that is itself called
    time, has no trials of its own.
    """
    weights = array.attrs.get("kind") == "weights"
    dims = array.dims[: max(0, array.ndim - 2)] if weights else array.dims
    times = array.coords.get("time")
    start = next((array.coords[name] for name in ("start", "trial_start") if name in array.coords), None)
    if times is not None and times.dims and times.dims[-1] in dims:
        rows = start.dims if start is not None else times.dims[:-1]
        return times.dims[-1], rows[-1] if rows and rows[-1] in dims else None, start, times
    for axis in reversed(dims):
        before = dims[: dims.index(axis)]
        placing = {
            name: coordinate
            for name, coordinate in array.coords.items()
            if f"_{name}".endswith(f"_{axis}_time") and axis in coordinate.dims and set(coordinate.dims) <= set(dims)
        }
        for fold in before:
            if f"{fold}_{axis}_time" in placing:
                return axis, fold, None, placing[f"{fold}_{axis}_time"]
        for coordinate in placing.values():
            return axis, None, None, coordinate
    if weights and start is not None and start.dims and start.dims[-1] in dims:
        return start.dims[-1], None, start, None
    return None, None, None, None


def _records(name, array):
    axis, fold, start, offset = _axis(array)
    if axis is None and array.ndim > 2 and array.dims[-3] in ("trial", "snapshot", "epoch"):
        axis = array.dims[-3]  # weights whose times nobody noted
    leading = [dim for dim in (fold, axis) if dim is not None]
    if axis is None:
        extra, record = array.dims[:-2], array.dims[-2:]
    else:
        place = array.dims.index(leading[0])
        extra, record = array.dims[:place], array.dims[place:]
        record = [dim for dim in record if dim not in leading]
    array = array.transpose(*extra, *leading, *record)
    for labels in _combinations(array, extra):
        here = [_at(item, labels, leading) for item in (array, start, offset)]
        yield Records(
            name=_named(name, labels),
            array=name,
            kind=array.attrs.get("kind", "rates"),
            unit=str(array.attrs.get("units") or "1"),
            doc=str(array.attrs.get("long_name") or ""),
            labels=labels,
            data=here[0],
            fold=fold,
            along=axis,
            start=here[1],
            offset=here[2],
        )


def _spikes(name, array):
    *extra, along = array.dims
    for labels in _combinations(array, extra):
        neuron = _at(array, labels)
        time, trial = (_at(array.coords.get(item), labels) for item in ("time", "trial"))
        if time is None or time.dims != (along,):
            raise InputError(f"{name}: the spikes have no times. The file that holds them was not made by neuroplast.")
        attrs = {key: value for key, value in array.attrs.items() if key not in ("kind", "units", "long_name")}
        highest = int(np.nanmax(neuron.values, initial=-1)) + 1
        yield Spikes(
            name=_named(name, labels),
            population=name.removesuffix(".spikes"),
            labels=labels,
            neurons=max(int(attrs.get("neurons", 0)), highest),
            neuron=neuron,
            time=time,
            trial=trial if trial is not None and trial.dims == (along,) else None,
            attrs=attrs,
        )


def _combinations(array, extra):
    """Labels of each place on the extra dimensions, in order."""
    labels = [array[dim].values.tolist() if dim in array.coords else range(array.sizes[dim]) for dim in extra]
    for chosen in itertools.product(*labels):
        yield dict(zip(extra, chosen, strict=True))


def _at(array, labels, leading=()):
    """The part of an array at a place."""
    if array is None:
        return None
    for dim, value in labels.items():
        if dim in array.dims:
            index = list(array[dim].values).index(value) if dim in array.coords else value
            array = array.isel({dim: index})
    order = [dim for dim in leading if dim in array.dims]
    return array.transpose(*order, ...) if order else array


def _named(name, labels):
    return " ".join([name, *(f"{dim}={value}" for dim, value in labels.items())])


def _tables(arrays):
    """Tables of arrays of the same dimensions and with values in the same rows."""
    groups = {}
    for array in arrays:
        values = array.values
        missing = np.isnan(values) if values.dtype.kind in "fc" else np.zeros(values.shape, dtype=bool)
        if missing.all() and values.size:
            continue  # a measure that was never taken
        groups.setdefault((array.dims, missing.tobytes()), []).append((array, ~missing))
    names = []
    for members in groups.values():
        first, there = members[0]
        name = "_".join(["metrics_by", *first.dims]) if first.dims else "metrics"
        names.append(name)
        name = name if names.count(name) == 1 else f"{name}_{names.count(name)}"
        columns = {}
        for dim, place in zip(first.dims, np.nonzero(there), strict=True) if first.dims else ():
            labels = first[dim].values if dim in first.coords else np.arange(first.sizes[dim])
            columns[dim] = Column(_plain(labels)[place], "", f"{dim} of the row", True)
        columns |= _places(first, there)
        for array, _ in members:
            values = _plain(array.values)
            values = values[there] if first.dims else np.atleast_1d(values)
            unit, doc = array.attrs.get("units", "1"), array.attrs.get("long_name") or f"{array.name} of the run"
            columns[array.name] = Column(values, str(unit), str(doc), False)
        yield Table(name, columns)


def _places(array, there):
    """Columns of the coordinates that are known for each row, such as its time on the run's clock."""
    import xarray as xr

    columns = {}
    placing = {name: coordinate for name, coordinate in array.coords.items() if name not in array.dims}
    # Of a whole run's trials, say, those of the trials, not the one of a test that was made once.
    narrow = {name: coordinate for name, coordinate in placing.items() if array.dims[-1:] == coordinate.dims[-1:]}
    for name, coordinate in (narrow or placing).items():
        if coordinate.dims and coordinate.dtype.kind in "biuf":
            spread = xr.broadcast(coordinate, array)[0].transpose(*array.dims).values[there]
            if not (spread.dtype.kind == "f" and np.isnan(spread).any()):
                unit = str(coordinate.attrs.get("units", ""))
                columns[name] = Column(spread, unit, f"{name.replace('_', ' ')} of the row", True)
    return columns


def _plain(values):
    """Texts as numpy's, whatever they were read as."""
    return values.astype(str) if values.dtype.kind in "OT" else values


def _trials(records):
    """Trials, if there is one sequence of them: from the start to the last record of any array."""
    found = {}
    for series in records:
        if series.labels or series.kind != "rates" or series.fold != "trial":
            continue
        for trial, start, first, last in series.survey.trials:
            begin = first if start is None else start
            known = found.get(trial, (begin, last))
            found[trial] = (min(known[0], begin), max(known[1], last))
    rows = sorted((Trial(trial, *times) for trial, times in found.items()), key=lambda row: (row.start, row.trial))
    return tuple(row for row in rows if row.stop > row.start)


def _entries(record, dataset, label):
    for fact in FACTS:
        if record.get(fact) is not None:
            yield Entry("run", fact, _text(record[fact]), "", "")
    if label is not None:
        yield Entry("run", "net", label, "", "which of the run's nets")
    environment = record.get("environment") or {}
    for package, number in (environment.get("versions") or {}).items():
        yield Entry("version", package, _text(number), "", "version that ran")
    for fact in ("git_commit", "compiler", "platform"):
        if environment.get(fact):
            yield Entry("run", fact, _text(environment[fact]), "", "")
    yield Entry("export", "neuroplast", version("neuroplast"), "", "version that wrote this file")
    yield Entry("export", "arrays", ", ".join(map(str, dataset.data_vars)), "", "arrays that the run holds")
    for name, given in (record.get("parameters") or {}).items():
        yield Entry("parameter", name, _text(given.get("si")), str(given.get("unit") or "1"), str(given.get("doc", "")))
    paper = record.get("paper") or {}
    for fact in ("figure", "doi"):
        if paper.get(fact):
            yield Entry("paper", fact, str(paper[fact]), "", "")
    for claim in record.get("claims") or ():
        yield Entry("claim", claim["name"], claim["measured"], "", f"paper: {claim['paper']}; {claim['verdict']}")


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)
