"""From what monitors recorded to labelled arrays: names, dimensions, units, kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroplast.columns import Column, Held
from neuroplast.layout import lay_out
from neuroplast.recorded import ALONG, PLACES, Recorded, check_sources

if TYPE_CHECKING:  # it is imported where it is used: that takes a third of a second
    import xarray as xr

__all__ = ["ALONG", "PLACES", "Recorded", "as_dataset", "check_sources", "join", "label"]


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
    return as_dataset(lay_out(Held(arrays), recorded, complete=complete), Column.all)


def as_dataset(columns: Sequence[Column], data) -> xr.Dataset:
    """Dataset of columns, whose arrays are what `data` makes of each."""
    import xarray as xr

    made = {column.name: xr.Variable(column.dims, data(column), column.attrs) for column in columns}
    coordinates = {column.name: made.pop(column.name) for column in columns if column.coordinate}
    return xr.Dataset(made, coordinates)
