"""Arrays and tables as NWB's containers, in an encoding that streams."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from neuroplast.export.series import Entry, Records, Table

CHUNK = 2**19  # bytes of an HDF5 chunk, which is compressed as a whole and has to fit into the library's cache
COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
#: Rows that nwbinspector looks at.
SEEN = 200


def values_of(series: Records):
    """The values of records, read and written a block at a time."""

    def blocks():
        for block in series.blocks():
            rows = slice(block.first, block.first + len(block.values))
            yield (rows, block.part)[: block.values.ndim], block.values

    return streamed(blocks, (series.survey.size, *series.shape), series.dtype)


def times_of(series: Records):
    """Their times, likewise."""

    def blocks():
        for block in series.blocks():
            if not block.part.start:
                yield (slice(block.first, block.first + len(block.times)),), block.times

    return streamed(blocks, (series.survey.size,), float)


def streamed(blocks: Callable[[], Iterator], shape: Sequence[int], dtype):
    """A dataset to be written from (selection, values) pairs.

    Parameters
    ----------
    blocks : callable
        Makes the iterator of the pairs.
    shape : sequence of int
        Of the whole.
    dtype : data-type
    """
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.data_utils import AbstractDataChunkIterator, DataChunk

    given, kind = tuple(shape), np.dtype(dtype)

    class Stream(AbstractDataChunkIterator):
        """What hdmf asks of data that it has not got yet."""

        def __init__(self):
            self.pairs = blocks()

        def __iter__(self):
            return self

        def __next__(self):
            selection, values = next(self.pairs)
            selection = tuple(
                part if part.stop is not None else slice(0, n) for part, n in zip(selection, given, strict=False)
            )
            rest = [slice(0, length) for length in given[len(selection) :]]
            return DataChunk(np.ascontiguousarray(values), (*selection, *rest))

        def recommended_chunk_shape(self):
            return chunk_shape(given, kind)

        def recommended_data_shape(self):
            return given

        @property
        def dtype(self):
            return kind

        @property
        def maxshape(self):
            return given

    return H5DataIO(Stream(), **COMPRESSION)


def stored(values):
    """A dataset of an array that is in memory; texts as they are."""
    from hdmf.backends.hdf5 import H5DataIO

    values = np.asarray(values)
    if values.dtype.kind == "U" or not values.size:
        return values.tolist()
    return H5DataIO(values, chunks=chunk_shape(values.shape, values.dtype), **COMPRESSION)


def chunk_shape(shape, dtype) -> tuple[int, ...]:
    """Shape of chunks of about `CHUNK` bytes: whole records where they are small, else pieces of one."""
    left, chunk = max(1, CHUNK // np.dtype(dtype).itemsize), []
    for length in reversed(shape):
        chunk.append(max(1, min(length, left)))
        left //= chunk[-1]
    return tuple(reversed(chunk))


def make_table(name: str, description: str, columns: Sequence[tuple], kind=None):
    """A DynamicTable, or another `kind` of table, of (name, values, description) columns.

    nwbinspector takes a column whose first rows are 0 and 1 for truth values, unless it has one byte.
    """
    from hdmf.common import DynamicTable, VectorData

    columns = [(title, narrow(values), text) for title, values, text in columns]
    if any(isinstance(values, np.ndarray) and _looks_binary(values) for _, values, _ in columns):
        columns = [(title, values[::-1], text) for title, values, text in columns]
    ready = [
        VectorData(
            name=re.sub(r"[/\\:]", "_", f"{title}_" if hasattr(DynamicTable, title) else title),  # names that are taken
            description=text,
            data=stored(values) if isinstance(values, np.ndarray) else values,
        )
        for title, values, text in columns
    ]
    length = next(len(values) for _, values, _ in columns if isinstance(values, np.ndarray))
    return (kind or DynamicTable)(name=name, description=description, columns=ready, id=list(range(length)))


def records_table(name: str, description: str, series: Records, column: str, text: str):
    """A row for each record."""
    found = {"time": [], "trial": []}
    for block in series.blocks():
        if not block.part.start:
            found["time"].append(block.times)
            found["trial"].append(block.trials)
    columns = [("record", np.arange(series.survey.size), "number of the record")]
    for title, doc in (("time", "time on the run's clock (s)"), ("trial", "number of the trial, from 0")):
        if found[title][0] is not None:
            columns.append((title, np.concatenate(found[title]), doc))
    if len(columns) > 1:
        columns = columns[1:]
    return make_table(name, description, [*columns, (column, values_of(series), text)])


def measures_table(table: Table):
    """A table of measures."""
    columns = []
    for name, column in table.columns.items():
        unit = f"; unit {column.unit}" if column.unit else ""
        columns.append((name, column.values, f"{column.doc}{unit}"))
    labels = [name for name, column in table.columns.items() if column.label]
    return make_table(table.name, f"What was measured by {', '.join(labels)}", columns)


def entries_table(name: str, description: str, entries: Sequence[Entry]):
    """A table of texts."""
    docs = {
        "kind": "what sort of entry it is",
        "entry": "what it is called",
        "value": "its value as a text; of a quantity in SI units",
        "unit": "unit of the value; 1 for none",
        "meaning": "what it means",
    }
    columns = zip(*entries, strict=True)
    return make_table(
        name,
        description,
        [(title, np.array(values), docs[title]) for title, values in zip(Entry._fields, columns, strict=True)],
    )


def narrow(values):
    """Numbers that are 0 or 1, at least in the rows that are looked at, in one byte if that holds them all."""
    if isinstance(values, np.ndarray) and _looks_binary(values):
        for dtype in (np.int8, np.uint8):
            if np.all((values >= np.iinfo(dtype).min) & (values <= np.iinfo(dtype).max) & (values % 1 == 0)):
                return values.astype(dtype)
    return values


def _looks_binary(values):
    seen = values[:SEEN]
    return values.dtype.kind in "iuf" and values.itemsize > 1 and set(np.unique(seen).tolist()) == {0, 1}
