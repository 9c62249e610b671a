"""HDF5 files: written with checksums and without traces of a full disk, read with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neuroplast.errors import InputError
from neuroplast.files import written_whole

#: Bytes that are read or written at once.
BLOCK = 16 << 20
#: Bytes of a chunk: what has to be read for a single value.
CHUNK = 1 << 20


class Sink:
    """File that an HDF5 file is written to.

    The library cannot close a file that it failed to write: its handle stays open, and the room taken. So a failed
    write is kept here, and the library told that all is well; `check` raises the error.
    """

    def __init__(self, path: Path):
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._place = 0
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self.error is not None:
            raise self.error

    def seek(self, offset, whence=os.SEEK_SET):
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence)
        self._place = offset + (os.fstat(self._handle).st_size if start is None else start)
        return self._place

    def tell(self):
        return self._place

    def read(self, size=-1):  # what makes it a file for h5py, which then calls readinto
        raise NotImplementedError

    def readinto(self, buffer):
        found = os.preadv(self._handle, [buffer], self._place)
        self._place += found
        return found

    def write(self, data):
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += os.pwrite(self._handle, view[done:], self._place + done)
            except OSError as err:
                self.error = err
        self._place += len(view)
        return len(view)

    def truncate(self, size):
        try:
            os.ftruncate(self._handle, size)
        except OSError as err:
            self.error = self.error or err
        return size

    def flush(self):
        """Nothing is held back."""

    def close(self):
        os.close(self._handle)


@contextlib.contextmanager
def new_file(path: Path, opener) -> Iterator[tuple]:
    """A new HDF5 file that takes its name when it is complete: ``(file, check)``.

    Parameters
    ----------
    opener : callable
        ``h5py.File`` or ``h5netcdf.File``.

    Raises
    ------
    DiskFull, InputError
        As from `neuroplast.files.written_whole`; from ``check()`` as soon as a write has failed.
    """
    with written_whole(path) as temporary:
        sink = Sink(temporary)
        try:
            try:
                with opener(sink, "w") as file:
                    yield file, sink.check
            except InputError:
                raise  # from what was to be written
            except (OSError, RuntimeError) as err:
                sink.check()
                raise OSError(errno.EIO, f"HDF5: {err}") from err
            sink.check()
        finally:
            sink.close()


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
        reason = str(err).strip("'\"") or type(err).__name__
        array = f" of {what!r}" if what else ""
        raise InputError(f"{path}: is damaged or cut short; reading{array} failed ({reason}). {advice}") from err


def chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of the chunks of an array: as many whole rows of the last dimensions as a chunk holds."""
    found, room = [], max(1, CHUNK // itemsize)
    for size in reversed(shape):
        found.append(max(1, min(size, room)))
        room = max(1, room // max(1, size))
    return tuple(reversed(found))


def layout(shape: tuple[int, ...], dtype) -> dict:
    """Options of a new array: chunks with checksums, where HDF5 can have them."""
    if np.dtype(dtype).kind not in "iufb" or not shape:
        return {}
    return {"chunks": chunks(shape, np.dtype(dtype).itemsize), "fletcher32": True}


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
