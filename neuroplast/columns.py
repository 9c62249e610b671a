"""Columns of the results: arrays that read any part of themselves from the records of the monitors."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Protocol

import numpy as np

#: Records that are read in vain, rather than read in two pieces.
GAP = 4


@dataclasses.dataclass(frozen=True)
class Stored:
    """Records of one variable: how many, the shape of one, their type."""

    length: int
    tail: tuple[int, ...]
    dtype: np.dtype


class Records(Protocol):
    """What monitors recorded, wherever it is."""

    sources: Mapping[str, Stored]

    def read(self, source: str, start: int, stop: int) -> np.ndarray:
        """Records from `start` to `stop`."""


class Held:
    """Records in memory: ``monitor.variable`` to array."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = {source: np.asarray(array) for source, array in arrays.items()}
        self.sources = {s: Stored(len(a), a.shape[1:], a.dtype) for s, a in self.arrays.items()}

    def read(self, source, start, stop):
        """Records from `start` to `stop`."""
        return self.arrays[source][start:stop]


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One array of the results, with its place among them.

    Attributes
    ----------
    name : str
    dims : tuple of str
    shape : tuple of int
    dtype : numpy.dtype
    attrs : dict
    coordinate : bool
    values : array or None
        Its values, where they are known already; else they are read from `source`.
    leading : int
        Dimensions that place a record.
    cells : array or None
        Of each record its place in the leading dimensions, flattened. None if they stand there one after the other.
    once : bool
        Whether only the first of each record's values is taken, since all are the same.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: dict
    coordinate: bool = False
    values: np.ndarray | None = None
    records: Records | None = None
    source: str = ""
    leading: int = 1
    cells: np.ndarray | None = None
    once: bool = False

    def all(self) -> np.ndarray:
        """The whole array."""
        if self.values is not None:
            return self.values
        return self.between(0, int(np.prod(self.shape[: self.leading]))).reshape(self.shape)

    def part(self, key: tuple) -> np.ndarray:
        """Values at a key of slices, integers and integer arrays, each for a dimension of its own."""
        whole = [np.atleast_1d(np.arange(size)[index]) for size, index in zip(self.shape, key, strict=True)]
        cells = np.zeros(1, dtype=np.int64)
        for axis in range(self.leading):
            cells = (cells[:, None] * self.shape[axis] + whole[axis]).ravel()
        runs = np.split(cells, np.flatnonzero(np.diff(cells) != 1) + 1) if cells.size else []
        inner = (slice(None), *key[self.leading :])
        found = [_outer(self.between(run[0], run[-1] + 1), inner) for run in runs]
        if not found:
            found = [_outer(np.empty((0, *self.shape[self.leading :]), self.dtype), inner)]
        sizes = [one.size for one, index in zip(whole, key, strict=True) if not isinstance(index, int | np.integer)]
        return (found[0] if len(found) == 1 else np.concatenate(found)).reshape(sizes)

    def between(self, first: int, last: int) -> np.ndarray:
        """Values from one cell to another."""
        if self.cells is None:
            return self._records(first, last)
        cells, order = self._sorted
        begin, end = np.searchsorted(cells, (first, last))
        if order is None and end - begin == last - first:
            return self._records(begin, end).astype(self.dtype, copy=False)
        found = np.full((last - first, *self.shape[self.leading :]), np.nan, self.dtype)
        numbers = np.arange(begin, end) if order is None else order[begin:end]
        in_turn = np.argsort(numbers, kind="stable")
        where = (cells[begin:end] - first)[in_turn]
        numbers = numbers[in_turn]
        for piece in np.split(np.arange(numbers.size), np.flatnonzero(np.diff(numbers) > GAP) + 1):
            if piece.size:
                start = numbers[piece[0]]
                found[where[piece]] = self._records(start, numbers[piece[-1]] + 1)[numbers[piece] - start]
        return found

    def stored(self, first: int, last: int) -> bytes | None:
        """What a file holds for the cells from one to another, if that is just one of its chunks; else None."""
        cells, order = self._sorted
        begin, end = np.searchsorted(cells, (first, last))
        if order is not None or end - begin != last - first or self.once or not hasattr(self.records, "chunk"):
            return None
        return self.records.chunk(self.source, int(begin), int(end), self.dtype)

    def _records(self, start, stop):
        array = self.records.read(self.source, int(start), int(stop))
        if self.once:
            array = first_of_each(array)
        return array.reshape(len(array), *self.shape[self.leading :])

    @functools.cached_property
    def _sorted(self):
        """Cells in ascending order, and the numbers of their records; None if that is the order of the records."""
        if (np.diff(self.cells) > 0).all():
            return self.cells, None
        order = np.argsort(self.cells, kind="stable")
        return self.cells[order], order


def first_of_each(array: np.ndarray) -> np.ndarray:
    """One value per record of what a monitor may have recorded for each of its indices."""
    return array if array.ndim == 1 else array.reshape(len(array), int(np.prod(array.shape[1:])))[:, 0]


def _outer(array, key):
    """Index each dimension on its own; an integer leaves a dimension of length 1."""
    for axis, index in enumerate(key):
        if isinstance(index, int | np.integer):
            index = [index]
        if not (isinstance(index, slice) and index == slice(None)):
            array = array[(slice(None),) * axis + (index,)]
    return array
