"""netCDF-4 files that are written in blocks and read when their arrays are used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neuroplast import hdf5
from neuroplast.columns import Column
from neuroplast.files import FORMAT, check_format

ADVICE = (
    "Delete it and go on with --resume: what is missing is computed again, to the same numbers. Or run again in "
    "another folder."
)
#: Arrays of fewer bytes are kept in memory once they have been read as a whole.
SMALL = 16 << 20


def write_dataset(dataset: xr.Dataset, path: Path, columns: Mapping[str, Column] | None = None) -> None:
    """Write a dataset as netCDF-4, whole or not at all; the same content gives the same bytes.

    Arrays that are read lazily are copied block by block; they may come from the very file that is replaced.

    Parameters
    ----------
    columns : dict of str to Column, optional
        What some of its arrays are read from. Where they can be, these are copied chunk by chunk as they are stored,
        checksums included, which is three times as fast.
    """
    variables, attributes = xr.conventions.encode_dataset_coordinates(dataset)
    with hdf5.new_file(path) as (stored, check), h5netcdf.File(stored, "r+") as file:
        file.attrs.update({"format": FORMAT} | attributes)
        for dim, size in dataset.sizes.items():
            file.dimensions[dim] = size or None  # netCDF takes a length of 0 for an unlimited dimension
        for name, variable in variables.items():
            if variable.dtype.kind not in "iuf":
                variable = xr.conventions.encode_cf_variable(variable, name=name)
            dtype = h5py.string_dtype() if variable.dtype.kind in "UO" else variable.dtype
            options = hdf5.layout(variable.shape, dtype)
            target = file.create_variable(name, variable.dims, dtype, **options)
            target.attrs.update(variable.attrs)
            column = (columns or {}).get(name)
            if column is not None and _by_chunks(column, options["chunks"]):
                _copy_chunks(column, stored[name], check)
                continue
            chunk = options.get("chunks", variable.shape)
            for key in hdf5.blocks(variable.shape, variable.dtype.itemsize, chunk) if variable.size else ():
                target[key] = variable[key].values
                check()


def _by_chunks(column, chunk):
    """Whether each chunk has its records of one trial only, and no room besides."""
    whole = chunk[2:] == column.shape[2:]
    return column.cells is not None and chunk[0] == 1 and column.shape[1] % chunk[1] == 0 and whole


def _copy_chunks(column, target, check):
    rows, length, *tail = column.shape
    step = target.chunks[1]
    for row in range(rows):
        for start in range(0, length, step):
            first = row * length + start
            data = column.stored(first, first + step)
            if data is None:
                target[row, start : start + step] = column.between(first, first + step)
            else:
                target.id.write_direct_chunk((row, start, *(0 for _ in tail)), data)
            check()


def open_netcdf(path: Path, advice: str = ADVICE) -> xr.Dataset:
    """A netCDF-4 file, read when its arrays are used; times stay plain numbers of seconds.

    Raises
    ------
    InputError
        If the file is damaged, cut short or of a newer version; also later, when a damaged array is used.
    """
    source = _Source(Path(path), advice)
    with hdf5.reading(source.path, "", advice):
        attributes = _attributes(source.file.attrs)
        check_format(source.path, attributes.pop("format", None))
        names = list(source.file.variables)
    variables = {name: _variable(source, name) for name in names}
    dataset = xr.decode_cf(xr.Dataset(variables, attrs=attributes), decode_times=False)
    dataset.set_close(source.close)
    return dataset


def lazy(array: BackendArray):
    """Data of a variable that is read when it is used."""
    data = indexing.LazilyIndexedArray(array)
    small = int(np.prod(array.shape)) * array.dtype.itemsize <= SMALL
    return indexing.CopyOnWriteArray(indexing.MemoryCachedArray(data)) if small else data


def of_column(column: Column):
    """Data of a column, read from its records when they are used."""
    return lazy(_FromRecords(column)) if column.values is None else column.values


def _variable(source, name):
    with hdf5.reading(source.path, name, source.advice):
        stored = source.file.variables[name]
        attributes, dims = _attributes(stored.attrs), stored.dimensions
        dtype = None if stored.dtype is str else np.dtype(stored.dtype)
        if dtype is None or dtype.kind not in "iuf" or not stored.shape:
            return xr.Variable(dims, stored[...], attributes)
        return xr.Variable(dims, lazy(_Array(source, name, stored.shape, dtype)), attributes)


def _attributes(attrs):
    """Attributes as plain numbers and texts."""
    found = {}
    for name, value in attrs.items():
        value = value.item() if isinstance(value, np.generic) else value
        found[name] = value.decode() if isinstance(value, bytes) else value
    return found


class _Source:
    """A file that is open for reading; in another process it is opened again."""

    def __init__(self, path, advice):
        self.path, self.advice = path, advice

    @functools.cached_property
    def file(self):
        # Files of a run are replaced, never changed: no lock is needed, and some file systems have none.
        return h5netcdf.File(self.path, "r", locking=False, decode_vlen_strings=True)

    def close(self):
        if "file" in vars(self):
            vars(self).pop("file").close()

    def __getstate__(self):
        return {"path": self.path.resolve(), "advice": self.advice}


class _Array(BackendArray):
    """An array of a file."""

    def __init__(self, source, name, shape, dtype):
        self.source, self.name, self.shape, self.dtype = source, name, shape, dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read)

    def _read(self, key):
        with hdf5.reading(self.source.path, self.name, self.source.advice):
            return self.source.file.variables[self.name][key]


class _FromRecords(BackendArray):
    """An array that is laid out when it is read."""

    def __init__(self, column):
        self.column, self.shape, self.dtype = column, column.shape, column.dtype

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self.column.part)
