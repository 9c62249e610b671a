"""What a run holds, as plain things that any format can write: records in time, spikes, tables, entries.

The writers know nothing of xarray or of the layout of ``results.nc``. What is large is read in blocks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

#: Bytes that are read at a time.
BLOCK = 8 * 2**20
#: Two sampling intervals (s) that differ by less are the same.
JITTER = 1e-9


class Block(NamedTuple):
    """Records `first` to ``first + len(times)``; of large records the elements `part` of the first axis only."""

    first: int
    trials: np.ndarray | None
    times: np.ndarray | None
    values: np.ndarray
    part: slice


class Survey(NamedTuple):
    """What a first look at all records found.

    `first` and `last` are times (s), `step` the sampling interval or None if it varies; `trials` lists (trial, start,
    first, last) with times in s, where start is None if it is not known.
    """

    size: int
    first: float | None
    last: float | None
    step: float | None
    ascending: bool
    trials: tuple


@dataclass(frozen=True)
class Records:
    """Arrays recorded one after the other: rates (time, neuron) or weights (time, pre, post).

    Trials follow each other on the run's clock. A record that is NaN throughout is none: shorter trials and nets are
    filled up so.

    Attributes
    ----------
    name : str
        The array's name, with its labels if there are several such series.
    array, kind, unit, doc : str
        As in the results; kind is "rates" or "weights".
    labels : dict
        Place among several nets, such as ``{"rule": "rflo", "net": 3}``.
    data : xarray.DataArray
        Read when used.
    fold : str or None
        Dimension of the trials.
    along : str or None
        Dimension from record to record; None for a single record without a place in time.
    start, offset : xarray.DataArray or None
        The times are their sum (s).
    """

    name: str
    array: str
    kind: str
    unit: str
    doc: str
    labels: Mapping
    data: xr.DataArray = field(repr=False)
    fold: str | None
    along: str | None
    start: xr.DataArray | None = field(repr=False)
    offset: xr.DataArray | None = field(repr=False)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dimensions of one record."""
        leading = (self.fold is not None) + (self.along is not None)
        return self.data.dims[leading:]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        return tuple(self.data.sizes[dim] for dim in self.dims)

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return self.data.dtype

    @property
    def timed(self) -> bool:
        """Whether the time of each record is known."""
        return self.offset is not None or self.start is not None

    @property
    def record_bytes(self) -> int:
        """Size of one record."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @functools.cached_property
    def survey(self) -> Survey:
        """Number, times and regularity of the records, by trial."""
        size, first, last, ascending = 0, None, None, self.timed
        low, high, trials = np.inf, -np.inf, {}
        for block in self.blocks():
            if block.part.start:
                continue
            size += len(block.values)
            self._note_trials(block, trials)
            if self.timed and len(block.times):
                differences = np.diff(block.times, prepend=block.times[:1] if last is None else [last])
                differences = differences[1:] if last is None else differences
                first = float(block.times[0]) if first is None else first
                last = float(block.times[-1])
                if len(differences):
                    low, high = min(low, differences.min()), max(high, differences.max())
        step = (last - first) / (size - 1) if size > 1 and self.timed else None
        if step is not None:
            ascending = bool(low > 0)
            regular = ascending and step - low <= JITTER and high - step <= JITTER
            step = step if regular else None
        rows = tuple((trial, *times) for trial, times in trials.items())
        return Survey(size, first, last, step, ascending, rows)

    def _note_trials(self, block, trials):
        if block.trials is None or not self.timed or not len(block.times):
            return
        edges = np.flatnonzero(np.diff(block.trials, prepend=block.trials[:1] - 1))
        for begin, end in zip(edges, [*edges[1:], len(block.trials)], strict=True):
            trial = block.trials[begin].item()
            start, first, _ = trials.get(trial, (self._starts.get(trial), float(block.times[begin]), None))
            trials[trial] = (start, first, float(block.times[end - 1]))

    @functools.cached_property
    def _starts(self):
        if self.start is None or self.fold is None:
            return {}
        return dict(zip(self._trial_numbers.tolist(), self.start.values.astype(float).tolist(), strict=True))

    @functools.cached_property
    def _trial_numbers(self):
        index = self.fold if self.fold is not None else self.along
        return self.data[index].values if index in self.data.coords else np.arange(self.data.sizes[index])

    def blocks(self) -> Iterator[Block]:
        """The records in order, a few at a time."""
        first = 0
        for place in self._places():
            for block in self._read(place, first):
                yield block
            first += len(block.values)

    def _places(self):
        """Index of each block, as a dict of slices."""
        if self.along is None:
            yield {}
            return
        rows = max(1, BLOCK // max(1, self.record_bytes))
        length = self.data.sizes[self.along]
        if self.fold is None:
            yield from ({self.along: slice(a, a + rows)} for a in range(0, length, rows))
            return
        trials = self.data.sizes[self.fold]
        together = max(1, rows // max(1, length))
        for trial in range(0, trials, together):
            for a in range(0, length, rows if together == 1 else length):
                yield {
                    self.fold: slice(trial, trial + together),
                    self.along: slice(a, a + rows if together == 1 else length),
                }

    def _read(self, place, first):
        """The block at a place; a single record that is larger than a block in several parts."""
        data = self.data.isel(place)
        leading = tuple(data.sizes[dim] for dim in data.dims[: data.ndim - len(self.dims)])
        count = int(np.prod(leading, dtype=np.int64))
        trials, times = self._labels(place, data, leading)
        parts = [slice(0, self.shape[0] if self.shape else None)]
        if count == 1 and self.shape and self.record_bytes > BLOCK:
            pieces = -(-self.record_bytes // BLOCK)
            size = -(-self.shape[0] // pieces)
            parts = [slice(a, min(a + size, self.shape[0])) for a in range(0, self.shape[0], size)]
            if times is None or np.isfinite(times).all():
                if not any(_there(self._part(data, part, count)).any() for part in parts):
                    parts = parts[:1]
        for part in parts:
            values = self._part(data, part, count)
            there = _there(values) if len(parts) == 1 else np.ones(count, dtype=bool)
            if times is not None:
                there = there & np.isfinite(times)
            if not there.all():
                values = values[there]
            labels = [None if label is None else label[there] for label in (trials, times)]
            yield Block(first, *labels, values, part)

    def _part(self, data, part, count):
        if self.shape and part != slice(0, self.shape[0]):
            data = data.isel({self.dims[0]: part})
        values = np.asarray(data.values)
        return values.reshape(count, *values.shape[values.ndim - len(self.dims) :])

    def _labels(self, place, data, leading):
        """Trial and time of each record of a block."""
        trials = times = None
        index = self.fold if self.fold is not None else self.along if self.along == "trial" else None
        if index is not None:
            trials = self._trial_numbers[place[index]]
            if self.fold is not None:
                trials = np.repeat(trials, leading[1])
        if self.timed:
            total = np.zeros(leading)
            for part in (self.start, self.offset):
                if part is not None:
                    here = part.isel({dim: piece for dim, piece in place.items() if dim in part.dims})
                    spread = [data.sizes[dim] if dim in here.dims else 1 for dim in data.dims[: len(leading)]]
                    total = total + here.values.astype(float).reshape(spread)
            times = total.ravel()
        return trials, times


def _there(values):
    """Which records are more than padding."""
    if values.dtype.kind not in "fc":
        return np.ones(len(values), dtype=bool)
    return ~np.isnan(values.reshape(len(values), -1)).all(axis=1)


@dataclass(frozen=True)
class Spikes:
    """Spikes of one population.

    Attributes
    ----------
    name, population : str
        ``units.spikes`` and ``units``.
    labels : dict
        As in `Records`.
    neurons : int
    neuron, time : xarray.DataArray
        Of each spike; read when used.
    trial : xarray.DataArray or None
    attrs : dict
        start, stop, time_step (s), map, process, refractory, seed: where known.
    """

    name: str
    population: str
    labels: Mapping
    neurons: int
    neuron: xr.DataArray = field(repr=False)
    time: xr.DataArray = field(repr=False)
    trial: xr.DataArray | None = field(repr=False)
    attrs: Mapping

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Neuron, time and trial of the spikes in the order of recording, some at a time."""
        rows = BLOCK // 8
        for a in range(0, self.neuron.size, rows):
            neuron, time = self.neuron[a : a + rows].values, self.time[a : a + rows].values
            trial = None if self.trial is None else self.trial[a : a + rows].values
            there = np.isfinite(time)  # fewer spikes than in another net
            yield neuron[there].astype(np.int64), time[there], None if trial is None else trial[there]

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """Number of spikes of each neuron."""
        counts = np.zeros(self.neurons, dtype=np.int64)
        for neuron, _, _ in self.blocks():
            counts += np.bincount(neuron, minlength=self.neurons)
        return counts

    def trains(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Times (s) and trials of the spikes of each neuron in turn, gathered for as many as fit in a block."""
        ends = np.cumsum(self.counts)
        low = 0
        while low < self.neurons:
            before = ends[low - 1] if low else 0
            high = max(low + 1, int(np.searchsorted(ends, before + BLOCK // 8, side="right")))
            neuron, time, trial = self._of_neurons(low, high)
            order = np.lexsort((time, neuron))
            cuts = np.cumsum(self.counts[low : high - 1])
            times = np.split(time[order], cuts)
            trials = [None] * len(times) if trial is None else np.split(trial[order], cuts)
            yield from zip(times, trials, strict=True)
            low = high

    def _of_neurons(self, low, high):
        empty = (np.empty(0, np.int64), np.empty(0), None if self.trial is None else np.empty(0, np.int64))
        pieces = [empty]
        for neuron, time, trial in self.blocks():
            keep = (neuron >= low) & (neuron < high)
            pieces.append((neuron[keep], time[keep], None if trial is None else trial[keep]))
        return tuple(None if parts[0] is None else np.concatenate(parts) for parts in zip(*pieces, strict=True))

    @functools.cached_property
    def span(self) -> tuple[float, float]:
        """From the start to the stop of the recording; without them from 0 to the last spike.

        Rounding may place a spike a little before or after.
        """
        ends = [time[end] for time, _ in self.trains() if len(time) for end in (0, -1)]
        start = float(self.attrs.get("start", 0.0))
        return min([start, *ends]), max([float(self.attrs.get("stop", start)), *ends])


class Column(NamedTuple):
    """One column of a table."""

    values: np.ndarray
    unit: str
    doc: str
    label: bool  # says where a row belongs, rather than what was measured


@dataclass(frozen=True)
class Table:
    """Measures that share their dimensions: a row for each place that has any.

    Attributes
    ----------
    name : str
    columns : dict of str to Column
        First those that label the rows.
    """

    name: str
    columns: Mapping[str, Column]

    def __len__(self):
        return len(next(iter(self.columns.values())).values)


class Trial(NamedTuple):
    """Number, begin and end (s, on the run's clock) of a trial."""

    trial: int
    start: float
    stop: float


class Entry(NamedTuple):
    """A single value with its name: a parameter, a fact about the run."""

    kind: str
    entry: str
    value: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Contents:
    """All that is exported of a run.

    Attributes
    ----------
    name, title : str
    record : dict
        run.json.
    records : tuple of Records
    spikes : tuple of Spikes
    tables : tuple of Table
    trials : tuple of Trial
        Where all arrays agree on them.
    entries : tuple of Entry
    dataset : xarray.Dataset
        Where everything comes from.
    """

    name: str
    title: str
    record: Mapping
    records: tuple[Records, ...]
    spikes: tuple[Spikes, ...]
    tables: tuple[Table, ...]
    trials: tuple[Trial, ...]
    entries: tuple[Entry, ...]
    dataset: xr.Dataset = field(repr=False)
