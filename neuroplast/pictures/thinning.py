"""Fewer points than data, so that a picture reads and holds no more than it can show; nothing large is lost.

Long arrays are read piece by piece: no more than `PIECE` numbers are held at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

PIECE = 4_000_000  # numbers read at a time
COLUMNS, ROWS = 600, 300  # of a map


def pieces(array, dim: str, multiple: int = 1) -> Iterator[tuple[int, np.ndarray]]:
    """Values of a labelled array in pieces along its first dimension.

    Parameters
    ----------
    array : xarray.DataArray
    dim : str
        Its first dimension.
    multiple : int
        All pieces but the last have a multiple of this length.

    Yields
    ------
    start : int
    values : array
    """
    length, row = array.sizes[dim], max(1, array.size // max(1, array.sizes[dim]))
    step = max(1, PIECE // row // multiple) * multiple
    for start in range(0, length, step):
        yield start, array.isel({dim: slice(start, start + step)}).values


def means(values: np.ndarray, size: int, axis: int = 0) -> np.ndarray:
    """Means of every `size` neighbours along an axis; the last one may be of fewer. What is NaN does not count."""
    if size == 1:
        return values
    values = np.moveaxis(values, axis, 0)
    starts = np.arange(0, len(values), size)
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts)
    counts = np.add.reduceat(known, starts, dtype=int)
    found = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
    return np.moveaxis(found, 0, axis)


def extremes(values: np.ndarray, size: int) -> np.ndarray:
    """Positions, in order, of the smallest and the largest of every `size` neighbours.

    A line through these looks like one through all.

    Parameters
    ----------
    values : array of shape (points,)
    size : int
    """
    if size <= 2:
        return np.arange(len(values))
    found = []
    for start in range(0, len(values), size):
        part = values[start : start + size]
        if np.isfinite(part).any():
            found += sorted({start + int(np.nanargmin(part)), start + int(np.nanargmax(part))})
        else:
            found.append(start)
    return np.array(found, dtype=int)


def size_of_bins(points: int, most: int) -> int:
    """How many points go into one."""
    return max(1, -(-points // most))


def in_pieces(array, dim: str, lines: Sequence[int]):
    """A map of all columns of a long array and lines of some, from one pass over it.

    Parameters
    ----------
    array : xarray.DataArray of dimensions (dim, unit)
    dim : str
    lines : sequence of int
        Columns to follow as lines.

    Returns
    -------
    image : array of shape (units, bins)
        Means over the bins.
    sizes : (int, int)
        Samples and units of which each number in the image is the mean.
    kept : list of (positions, values)
        For each line those points that it needs.
    """
    along = size_of_bins(array.sizes[dim], COLUMNS)
    across = size_of_bins(array.shape[1], ROWS)
    per_line = size_of_bins(array.sizes[dim], COLUMNS)
    rows, kept = [], [([], []) for _ in lines]
    for start, values in pieces(array, dim, along):
        rows.append(means(means(values, along), across, axis=1))
        for line, (places, points) in zip(lines, kept, strict=True):
            chosen = extremes(values[:, line], per_line)
            places.append(start + chosen)
            points.append(values[chosen, line])
    image = np.concatenate(rows).T
    return image, (along, across), [(np.concatenate(places), np.concatenate(points)) for places, points in kept]
