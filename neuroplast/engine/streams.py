"""Files that recordings are streamed to, and reading them back."""

from __future__ import annotations

import errno
import mmap
from pathlib import Path

import numpy as np

from neuroplast.engine.monitors import recorded_columns
from neuroplast.errors import InputError

#: Bytes from which on a recording stays in its file, mapped into memory, until it is used.
MAPPED = 1 << 20


class Streams:
    """Open files of one run of the numpy target.

    Parameters
    ----------
    folder : Path
    monitors : list
    """

    def __init__(self, folder, monitors):
        self.folder, self.files = folder, {}
        self.dtypes = {(m.name, n): dtype for m in monitors for n, (dtype, _) in recorded_columns(m).items()}

    def put(self, monitor, name, values, count):
        """Append `count` numbers (or one, so many times) of a variable."""
        values = np.asarray(values, self.dtypes[monitor, name])
        path = self.folder / f"{monitor}.{name}"
        try:
            if path not in self.files:
                self.files[path] = path.open("wb")
            self.files[path].write(np.broadcast_to(values.ravel(), count).tobytes())
        except OSError as error:
            raise cannot_write(path, error) from error

    def close(self):
        """Write what is left and close the files."""
        for path, file in self.files.items():
            try:
                file.close()
            except OSError as error:
                raise cannot_write(path, error) from error


def cannot_write(path, error):
    """The error of a file that cannot be written."""
    return InputError(f"cannot write {path}: {error.strerror}.{advice(error.errno)}")


def advice(number):
    """What to do about an error of the system, after a full stop; nothing for most."""
    if number not in (errno.ENOSPC, errno.EDQUOT):
        return ""
    return " Free some space, or set TMPDIR to a folder on a disk that has more."


def recordings(folder, monitors):
    """What monitors have recorded, by monitor and variable.

    The arrays are read-only. Long ones are maps of their files, which may be deleted meanwhile, and take no memory
    until they are used.

    Parameters
    ----------
    folder : Path
    monitors : list
    """
    return {
        m.name: {n: _read(Path(folder) / f"{m.name}.{n}", *form) for n, form in recorded_columns(m).items()}
        for m in monitors
    }


def _read(path, dtype, columns):
    size = path.stat().st_size if path.exists() else 0  # nothing recorded, no file
    rows = size // (np.dtype(dtype).itemsize * (columns or 1))
    shape = (rows,) if columns is None else (rows, columns)
    if size >= MAPPED:
        # No np.memmap: joblib hands one to another process by the name of its file, which is gone by then.
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), rows * (columns or 1) * np.dtype(dtype).itemsize, access=mmap.ACCESS_READ)
        return np.frombuffer(pages, dtype).reshape(shape)
    values = np.fromfile(path, dtype).reshape(shape) if size else np.zeros(shape, dtype)
    values.flags.writeable = False
    return values
