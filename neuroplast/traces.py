"""What a run leaves: labelled arrays and the record of how they came about.

`Traces.load` opens a run's folder, whether the run has ended (``results.nc``), is running or was killed (the segments
that it left). Everything is xarray; nothing here needs Brian2.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuroplast.arrays import Arrays, Spikes
from neuroplast.errors import InputError
from neuroplast.files import read_json
from neuroplast.segments import SEGMENTS, Segments

# What reads and writes netCDF is imported where it is used: xarray takes a third of a second, h5netcdf a thirtieth.
if TYPE_CHECKING:
    import xarray as xr

RESULTS = "results.nc"
RECORD = "run.json"
NETS = "nets"
POINTER = "checkpoint/pointer.json"


class Traces:
    """Labelled results of a run with their record.

    Attributes
    ----------
    dataset : xarray.Dataset
        Everything, read from disk when it is used.
    metrics, rates, weights : Arrays
        Arrays of that kind by name, such as ``rates["units.h"]``, with the dimensions trial, time, neuron, pre, post.
    spikes : Spikes
        Spikes by population.
    nets : dict of str to Traces
        Those of each net, for a run of several.
    record : dict
        Content of ``run.json``: protocol, parameters with units, seed, versions, claims.
    folder : pathlib.Path or None
        Where they were read from.
    """

    def __init__(self, dataset=None, record=None, folder=None):
        self.record = record or {}
        self.folder = folder
        if dataset is not None:
            self.dataset = dataset

    @classmethod
    def load(cls, folder) -> Traces:
        """Traces of a run's folder, complete or not.

        Parameters
        ----------
        folder : str or pathlib.Path
            A run's folder, or the folder of one of its nets.

        Raises
        ------
        InputError
            If there is no such folder, nothing in it, or what is there is damaged or of a newer version.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder.")
        if not any((folder / name).exists() for name in (RESULTS, SEGMENTS, NETS)):
            begun = (folder / RECORD).exists()
            what = "The run there has not got as far as its first segment" if begun else "Give a run's folder"
            raise InputError(f"{folder}: holds no traces (no {RESULTS}, {SEGMENTS}/ or {NETS}/). {what}.")
        return cls(record=_record(folder), folder=folder)

    @functools.cached_property
    def dataset(self) -> xr.Dataset:
        """All results."""
        return read_folder(self.folder)

    @property
    def metrics(self) -> Arrays:
        """What was measured once per trial or epoch."""
        return self._of_kind("metrics")

    @property
    def rates(self) -> Arrays:
        """Traces in time."""
        return self._of_kind("rates")

    @property
    def weights(self) -> Arrays:
        """Snapshots of the weights."""
        return self._of_kind("weights")

    @property
    def spikes(self) -> Spikes:
        """Spikes, by population."""
        return Spikes("spikes", self.dataset, self._nets_with)

    @functools.cached_property
    def nets(self) -> dict[str, Traces]:
        """Traces of each net that has any, by its label."""
        if self.folder is None or not (self.folder / NETS).is_dir():
            return {}
        folders = [path for path in sorted((self.folder / NETS).iterdir()) if _has_traces(path)]
        return {path.name: Traces(record=self.record, folder=path) for path in folders}

    def to_neo(self, trials=None):
        """Neo's Block of the run, with a Segment for each trial; needs the extra ``neo``.

        Parameters
        ----------
        trials : sequence of int, optional
            Only these.

        Returns
        -------
        neo.Block
        """
        from neuroplast.export.to_neo import to_neo

        return to_neo(self, trials)

    def __repr__(self):
        return f"<Traces of {self.folder or 'a run in memory'}>\n{self.dataset!r}"

    def _of_kind(self, kind):
        return Arrays(kind, self.dataset, self._nets_with)

    def _nets_with(self, kind, name):
        """Labels of the nets that recorded it."""
        return [label for label, net in self.nets.items() if _names(getattr(net, kind), name)]


def _names(arrays, name):
    return name in arrays or any(other.startswith(f"{name}.") for other in arrays)


def _has_traces(folder):
    return (folder / RESULTS).exists() or (folder / POINTER).exists()


def _record(folder):
    """The run's record; that of a net is its run's."""
    run = folder.resolve().parent
    for place in (folder, *([run.parent] if run.name == NETS else [])):
        if (place / RECORD).exists():
            return read_json(place / RECORD, advice="Without the record, nothing says how the results came about.")
    return {}


def read_folder(folder: Path) -> xr.Dataset:
    """Results of a folder: ``results.nc``, else its segments, else those of its nets side by side."""
    if (folder / RESULTS).exists():
        return open_netcdf(folder / RESULTS)
    if (folder / SEGMENTS).exists():
        return Segments(folder).dataset()
    parts = []
    for net in sorted((folder / NETS).iterdir()):
        if (net / POINTER).exists():
            parts.append((read_json(net / POINTER)["coords"], without_aside(read_folder(net))))
    if not parts:
        raise InputError(f"{folder}: no net has got as far as its first segment.")
    return combine(parts)


def open_netcdf(path: Path) -> xr.Dataset:
    """A netCDF-4 file, read when its arrays are used; times stay plain numbers of seconds."""
    from neuroplast import netcdf

    return netcdf.open_netcdf(path)


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as netCDF-4, whole or not at all; the same content gives the same bytes."""
    from neuroplast import netcdf

    netcdf.write_dataset(dataset, path)


def without_aside(dataset: xr.Dataset) -> xr.Dataset:
    """A net's results without the arrays that stay with the net."""
    kept = [name for name, array in dataset.data_vars.items() if not array.attrs.get("aside")]
    return dataset if len(kept) == len(dataset.data_vars) else dataset[kept]


def only_aside(dataset: xr.Dataset) -> xr.Dataset:
    """Of a net's results the arrays that stay with the net."""
    return dataset[[name for name, array in dataset.data_vars.items() if array.attrs.get("aside")]]


def combine(parts: Sequence[tuple[dict, xr.Dataset]]) -> xr.Dataset:
    """One dataset from several, each a point on new dimensions.

    Parameters
    ----------
    parts : sequence of (dict, xarray.Dataset)
        Coordinates such as ``{"rule": "rflo", "net": 3}``, and the results there. Where results are shorter
        than others, or a combination is missing, NaN stands.

    Returns
    -------
    xarray.Dataset
        With one new dimension per coordinate, in the order of the first part's.
    """
    names = list(parts[0][0])
    for coords, _ in parts:
        if list(coords) != names:
            raise InputError(f"Every net should have the coordinates {names}. Got {list(coords)} instead.")
    bare = {dim for _, dataset in parts for dim in dataset.sizes if dim not in dataset.indexes}
    numbered = [
        (coords, dataset.assign_coords({dim: range(dataset.sizes[dim]) for dim in bare & set(dataset.sizes)}))
        for coords, dataset in parts
    ]
    known = {name: array for _, dataset in numbered for name, array in dataset.variables.items()}
    coordinates = {name for _, dataset in numbered for name in dataset.coords}
    numbered = [(coords, _completed(dataset, known, coordinates)) for coords, dataset in numbered]
    return _stacked(numbered, names).drop_vars(bare)  # numbered only so that shorter ones can be filled up


def _completed(dataset, known, coordinates):
    """The dataset with what others know and it does not: a net that still runs has no final weights, say."""
    import numpy as np
    import xarray as xr

    missing = {}
    for name, array in known.items():
        if name not in dataset.variables:
            shape = [dataset.sizes.get(dim, 0) for dim in array.dims]
            # Along a dimension that it has not got there is nothing; elsewhere it is not known.
            empty = np.empty(shape, array.dtype)
            missing[name] = xr.Variable(array.dims, empty if empty.size == 0 else np.full(shape, np.nan))
    found = dataset.assign({name: array for name, array in missing.items() if name not in coordinates})
    return found.assign_coords({name: array for name, array in missing.items() if name in coordinates})


def _stacked(parts, names):
    import xarray as xr

    if not names:
        if len(parts) > 1:
            raise InputError("Two nets have the same coordinates; number them, as in net=0, net=1.")
        return parts[0][1]
    groups: dict = {}
    for coords, dataset in parts:
        groups.setdefault(coords[names[0]], []).append((coords, dataset))
    return xr.concat(
        [_stacked(group, names[1:]) for group in groups.values()],
        dim=xr.IndexVariable(names[0], list(groups)),
        join="outer",
        data_vars="all",
        coords="different",
        compat="equals",
        combine_attrs="override",
    )
