"""What a run leaves: labelled arrays and the record of how they came about.

`Traces.load` opens a run's folder, whether the run has ended (``results.nc``) or was killed (the segments
that it left). Everything is xarray; nothing here needs Brian2.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuroplast.errors import InputError
from neuroplast.files import read_json, written_whole
from neuroplast.labels import Recorded, join, label

# What reads and writes netCDF is imported where it is used: xarray takes a third of a second, h5netcdf a thirtieth.
if TYPE_CHECKING:
    import xarray as xr

RESULTS = "results.nc"
RECORD = "run.json"
SEGMENTS = "segments"
NETS = "nets"
POINTER = "checkpoint/pointer.json"


class Traces:
    """Labelled results of a run with their record.

    Attributes
    ----------
    dataset : xarray.Dataset
        Everything, read from disk when it is used.
    metrics, rates, weights : xarray.Dataset
        The parts of `dataset` of that kind.
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
            If there is no such folder, or nothing in it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder.")
        if not any((folder / name).exists() for name in (RESULTS, SEGMENTS, NETS)):
            raise InputError(f"{folder}: holds no traces (no {RESULTS}, {SEGMENTS}/ or {NETS}/). Give a run's folder.")
        record = read_json(folder / RECORD) if (folder / RECORD).exists() else {}
        return cls(record=record, folder=folder)

    @functools.cached_property
    def dataset(self) -> xr.Dataset:
        """All results."""
        return read_folder(self.folder)

    @property
    def metrics(self) -> xr.Dataset:
        """What was measured once per trial or epoch."""
        return self._of_kind("metrics")

    @property
    def rates(self) -> xr.Dataset:
        """Traces in time."""
        return self._of_kind("rates")

    @property
    def weights(self) -> xr.Dataset:
        """Snapshots of the weights."""
        return self._of_kind("weights")

    def __repr__(self):
        return f"<Traces of {self.folder or 'a run in memory'}>\n{self.dataset!r}"

    def _of_kind(self, kind):
        names = [name for name, array in self.dataset.data_vars.items() if array.attrs.get("kind") == kind]
        return self.dataset[names]


def read_folder(folder: Path) -> xr.Dataset:
    """Results of a folder: ``results.nc``, else its segments, else those of its nets side by side."""
    if (folder / RESULTS).exists():
        return open_netcdf(folder / RESULTS)
    if (folder / SEGMENTS).exists():
        return read_segments(folder)
    parts = []
    for net in sorted((folder / NETS).iterdir()):
        if (net / POINTER).exists():
            parts.append((read_json(net / POINTER)["coords"], read_folder(net)))
    if not parts:
        raise InputError(f"{folder}: no net has got as far as its first segment.")
    return combine(parts)


def open_netcdf(path: Path) -> xr.Dataset:
    """A netCDF-4 file, read when its arrays are used; times stay plain numbers of seconds."""
    import xarray as xr

    return xr.open_dataset(path, engine="h5netcdf", decode_times=False)


def read_segments(folder: Path, *, complete: bool = False) -> xr.Dataset:
    """Results of the segments that follow each other without a gap, labelled.

    Parameters
    ----------
    complete : bool
        Whether the run reached its end, see `neuroplast.labels.label`.
    """
    import h5netcdf

    pieces, recorded, position = [], (), 0
    for path in sorted((folder / SEGMENTS).glob("[0-9]*.nc")):
        with h5netcdf.File(path, "r") as segment:
            if segment.attrs["start"] != position:
                break
            position = segment.attrs["stop"]
            recorded = Recorded.from_json(segment.attrs["recorded"])
            pieces.append({name: array[...] for name, array in segment.variables.items()})
    return label(join(pieces), recorded, complete=complete)


def write_segment(folder: Path, number: int, monitors, recorded, start: int, stop: int) -> None:
    """Write what the monitors of one segment hold as ``segments/NNNN.nc``.

    Parameters
    ----------
    monitors : dict of str to dict of str to array
        Monitor, variable, array (records x indices).
    start, stop : int
        Positions of the schedule that it covers.
    """
    import h5netcdf

    (folder / SEGMENTS).mkdir(exist_ok=True)
    with written_whole(folder / SEGMENTS / f"{number:04d}.nc") as temporary:
        # Without xarray, which takes three times as long for the many small files of a long run.
        with h5netcdf.File(temporary, "w") as file:
            file.attrs.update(start=start, stop=stop, recorded=Recorded.to_json(recorded))
            for monitor, variables in monitors.items():
                for variable, array in variables.items():
                    if len(array):  # netCDF takes a dimension of length 0 for an unlimited one
                        name = f"{monitor}.{variable}"
                        dims = [f"{monitor}_record", *(f"{name}_{axis}" for axis in range(1, array.ndim))]
                        for dim, size in zip(dims, array.shape, strict=True):
                            if dim not in file.dimensions:
                                file.dimensions[dim] = size
                        file.create_variable(name, dims, data=array)


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as netCDF-4, whole or not at all; the same content gives the same bytes."""
    with written_whole(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")


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
    return _stacked(numbered, names).drop_vars(bare)  # numbered only so that shorter ones can be filled up


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
