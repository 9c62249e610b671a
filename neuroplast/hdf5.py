"""HDF5 files: written with checksums and without traces of a full disk, read with errors that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neuroplast.errors import InputError
from neuroplast.files import written_through

#: Bytes that are read or written at once.
BLOCK = 16 << 20
#: Bytes of a chunk: what has to be read for a single value.
CHUNK = 1 << 20


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[tuple]:
    """A new HDF5 file that takes its name when it is complete: ``(h5py.File, check)``.

    Chunks are written at once and whole: in the order of writing, whichever way they are written.

    Raises
    ------
    DiskFull, InputError
        As from `neuroplast.files.written_whole`; from ``check()`` as soon as a write has failed.
    """
    import h5py

    with written_through(path) as sink, h5py.File(sink, "w", rdcc_nbytes=0, track_order=True) as file:
        yield file, sink.check


@contextlib.contextmanager
def reading(path: Path, what: str, advice: str) -> Iterator[None]:
    """Turn what HDF5 says about a damaged file into an InputError.

    Parameters
    ----------
    what : str
        The array that is read, or "".
    advice : str
        What to do about it.
    """
    try:
        yield
    except FileNotFoundError as err:
        raise InputError(f"{path}: is not there any more. If its run goes on, load the traces again.") from err
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError) as err:
        reason = "its checksum is wrong" if "filter" in str(err) else str(err).strip("'\"") or type(err).__name__
        array = f" of {what!r}" if what else ""
        raise InputError(f"{path}: is damaged or cut short; reading{array} failed ({reason}). {advice}") from err


def chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of the chunks of an array: as many whole rows of the last dimensions as a chunk holds."""
    found, room = [], max(1, CHUNK // itemsize)
    for size in reversed(shape):
        found.append(fitting(size, room))
        room = max(1, room // max(1, size))
    return tuple(reversed(found))


def fitting(size: int, room: int) -> int:
    """Entries of a dimension in one chunk: a divisor where there is one, so that records can be copied by chunks."""
    if size <= room:
        return max(1, size)
    return next((part for part in range(room, room // 4, -1) if size % part == 0), room)


def layout(shape: tuple[int, ...], dtype, row: int | None = None) -> dict:
    """Options of a new array: chunks with checksums, where HDF5 can have them.

    Parameters
    ----------
    row : int, optional
        Records that will stand in one row of the results, of an array of records.
    """
    if np.dtype(dtype).kind not in "iufb" or not shape:
        return {}
    chunk = chunks(shape, np.dtype(dtype).itemsize)
    if row is not None and chunk[0] < row and chunk[1:] == shape[1:]:
        chunk = (chunks((row, *shape[1:]), np.dtype(dtype).itemsize)[0], *chunk[1:])
    return {"chunks": chunk, "fletcher32": True}


def blocks(shape: tuple[int, ...], itemsize: int, chunk: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Keys of the pieces of about `BLOCK` bytes that an array is copied by, of whole chunks where that can be."""
    if not shape:
        yield ()
        return
    inner = max(1, int(np.prod(shape[1:], dtype=np.int64))) * itemsize
    if inner * chunk[0] <= BLOCK or len(shape) == 1:
        step = max(1, BLOCK // (inner * chunk[0])) * chunk[0]
        for start in range(0, shape[0], step):
            yield (slice(start, min(start + step, shape[0])), *(slice(0, size) for size in shape[1:]))
        return
    for start in range(0, shape[0], chunk[0]):
        rows = slice(start, min(start + chunk[0], shape[0]))
        for key in blocks(shape[1:], itemsize * (rows.stop - rows.start), chunk[1:]):
            yield (rows, *key)
