"""Segments: what the monitors recorded in consecutive stretches of a run, each in a file of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroplast.columns import Stored, first_of_each
from neuroplast.errors import InputError
from neuroplast.files import FORMAT, check_format
from neuroplast.hdf5 import blocks, layout, new_file, reading
from neuroplast.labels import as_dataset
from neuroplast.layout import lay_out
from neuroplast.recorded import PLACES, Recorded

# What reads and writes HDF5 is imported where it is used: xarray takes a third of a second, h5py a twentieth.
if TYPE_CHECKING:
    import xarray as xr

SEGMENTS = "segments"


def begin_anew(folder: Path) -> str:
    """What to do about a training whose files are damaged."""
    again = "go on with --resume: this net" if folder.parent.name == "nets" else "start it again: it"
    return (
        f"The training cannot go on from there. Delete the folder {folder} and {again} is computed anew, to the same "
        "numbers."
    )


def write_segment(folder: Path, number: int, monitors: Mapping, recorded: Sequence[Recorded], start, stop) -> None:
    """Write what the monitors of one segment hold as ``segments/NNNN.nc``.

    Parameters
    ----------
    monitors : dict of str to dict of str to array
        Monitor, variable, array (records x indices); may be memory maps.
    start, stop : int
        Positions of the schedule that it covers.
    """
    (folder / SEGMENTS).mkdir(exist_ok=True)
    rows = _rows(monitors, recorded)
    # Not as netCDF proper, which takes three times as long for the many small files of a long run.
    with new_file(folder / SEGMENTS / f"{number:04d}.nc") as (file, check):
        file.attrs.update(format=FORMAT, start=start, stop=stop, recorded=Recorded.to_json(recorded))
        for source, array in _needed(monitors, recorded):
            options = layout(array.shape, array.dtype, rows.get(source)) if array.size else {}
            stored = file.create_dataset(source, array.shape, array.dtype, **options)
            for key in blocks(array.shape, array.itemsize, stored.chunks) if array.size else ():
                stored[key] = array[key]
                check()


def recorded_bytes(monitors: Mapping, recorded: Sequence[Recorded]) -> int:
    """Bytes that a segment takes."""
    return sum(array.nbytes for _, array in _needed(monitors, recorded))


def _needed(monitors, recorded):
    """(source, array) of what the results are made of; places of a record once, not for each of its indices."""
    items = {item.source for item in recorded}
    owners = {item.monitor for item in recorded}
    for monitor, variables in monitors.items():
        for variable, array in variables.items():
            source, array = f"{monitor}.{variable}", np.asanyarray(array)
            if not recorded or source in items:
                yield source, array
            elif variable in PLACES and monitor in owners:
                yield source, first_of_each(array) if array.size else array


def _rows(monitors, recorded):
    """For each source that is folded by trials, how many records each has, if all have as many."""
    found = {}
    for item in recorded:
        places = monitors.get(item.monitor, {})
        if item.fold is not None and len(places.get("trial", ())):
            passes = [first_of_each(np.asarray(places[name])) for name in ("epoch", "trial") if name in places]
            counts = np.unique(np.stack(passes), axis=1, return_counts=True)[1]
            if (counts == counts[0]).all():
                found[item.source] = int(counts[0])
    return found


class Segments:
    """Records of a folder's segments that follow each other without a gap, read when they are used.

    Parameters
    ----------
    folder : pathlib.Path
        With ``segments/`` in it.

    Attributes
    ----------
    position : int
        Where the last one ends.
    recorded : tuple of Recorded
    sources : dict of str to Stored

    Raises
    ------
    InputError
        If a segment is damaged or of a newer version.
    """

    def __init__(self, folder: Path):
        self.folder, self.position, self.recorded = folder, 0, ()
        self.sources: dict[str, Stored] = {}
        self.paths: list[Path] = []
        self._pieces: dict[str, tuple[list, list]] = {}  # source: first records, files
        self._open, self._arrays = (None, None), {}
        for path in sorted((folder / SEGMENTS).glob("[0-9]*.nc")):
            if not self._take(path):
                break

    def read(self, source: str, start: int, stop: int) -> np.ndarray:
        """Records from `start` to `stop`."""
        stored, (firsts, paths) = self.sources[source], self._pieces[source]
        parts = [np.empty((0, *stored.tail), stored.dtype)]
        piece = max(0, bisect_right(firsts, start) - 1)
        while piece < len(paths) and firsts[piece] < stop:
            first = firsts[piece]
            with reading(paths[piece], source, begin_anew(self.folder)):
                parts.append(self._array(paths[piece], source)[0][max(0, start - first) : stop - first])
            piece += 1
        parts = [part for part in parts if len(part)] or parts[:1]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def chunk(self, source: str, start: int, stop: int, dtype: np.dtype) -> bytes | None:
        """What is stored, with its checksum, if the records from `start` to `stop` are one chunk of a file."""
        firsts, paths = self._pieces[source]
        piece = max(0, bisect_right(firsts, start) - 1)
        with reading(paths[piece], source, begin_anew(self.folder)):
            (stored, found, length, chunks), place = self._array(paths[piece], source), start - firsts[piece]
            rows, *tail = chunks
            fits = chunks == (rows, *self.sources[source].tail) and stop - start == rows and place % rows == 0
            if not fits or place + rows > length or found != dtype:
                return None
            skipped, data = stored.id.read_direct_chunk((place, *(0 for _ in tail)))
            return None if skipped else data

    def dataset(self, *, complete: bool = False) -> xr.Dataset:
        """Results, labelled; read when they are used.

        Parameters
        ----------
        complete : bool
            Whether the run reached its end, see `neuroplast.labels.label`.
        """
        from neuroplast.netcdf import of_column

        return as_dataset(lay_out(self, self.recorded, complete=complete), of_column)

    def assemble(self, path: Path, attrs: Mapping) -> None:
        """Write the results of a run that has reached its end."""
        from neuroplast.netcdf import of_column, write_dataset

        columns = lay_out(self, self.recorded)
        dataset = as_dataset(columns, of_column).assign_attrs(attrs)
        write_dataset(dataset, path, {column.name: column for column in columns if column.source})

    def verify(self) -> None:
        """Read everything, so that damage is found before more is computed."""
        for path in self.paths:
            with reading(path, "", begin_anew(self.folder)):
                for stored in self._file(path).values():
                    for key in blocks(stored.shape, stored.dtype.itemsize, stored.chunks) if stored.size else ():
                        with reading(path, stored.name.lstrip("/"), begin_anew(self.folder)):
                            stored[key]

    def close(self) -> None:
        """Let go of the file that was read last; it is opened again when it is needed."""
        if self._open[1] is not None:
            self._open[1].close()
        self._open, self._arrays = (None, None), {}

    def _take(self, path):
        with reading(path, "", begin_anew(self.folder)):
            file = self._file(path)
            check_format(path, file.attrs.get("format"))
            if file.attrs["start"] != self.position:
                return False
            self.position = int(file.attrs["stop"])
            self.recorded = Recorded.from_json(file.attrs["recorded"])
            found = {name: Stored(len(array), array.shape[1:], array.dtype) for name, array in file.items()}
        self.paths.append(path)
        for source, stored in found.items():
            before = self.sources.get(source)
            if before is None or (before.length == 0 and stored.length):
                self.sources[source], self._pieces[source] = stored, ([0], [path])
            elif stored.length:
                if before.tail != stored.tail:
                    raise InputError(f"{path}: {source} has records of shape {stored.tail}, before {before.tail}.")
                firsts, paths = self._pieces[source]
                firsts.append(before.length)
                paths.append(path)
                dtype = np.promote_types(before.dtype, stored.dtype)
                self.sources[source] = Stored(before.length + stored.length, before.tail, dtype)
        return True

    def _file(self, path):
        """The file, open; one at a time, since a long run has more than a process may have open."""
        import h5py

        if self._open[0] != path:
            self.close()
            # Files of a run are replaced, never changed: no lock is needed, and some file systems have none.
            self._open = (path, h5py.File(path, "r", locking=False))
        return self._open[1]

    def _array(self, path, source):
        """An array of a file, with its type, length and chunks: HDF5 is slow to say these again and again."""
        file = self._file(path)
        if source not in self._arrays:
            stored = file[source]
            self._arrays[source] = (stored, stored.dtype, len(stored), stored.chunks)
        return self._arrays[source]

    def __getstate__(self):
        return vars(self) | {"_open": (None, None), "_arrays": {}}
