"""Files that are either complete under their name or not there: written aside, flushed, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

from neuroplast.errors import InputError

LEFTOVER = ".tmp"
#: Version of the files of a run: its record, the checkpoints' pointers, the segments, the results.
FORMAT = 1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DiskFull(InputError):
    """There is no room for a file; what was written before is whole."""


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place when the block ends without an error.

    A process killed at any moment leaves the old file or the new one, and perhaps a temporary one.

    Raises
    ------
    DiskFull
        If there is no room (disk full, quota, limit on the size of files).
    InputError
        If the folder cannot be written to (permission, ...).
    """
    temporary = path.with_name(path.name + LEFTOVER)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as err:
        reason = err.strerror or str(err)
        if err.errno in _FULL:
            raise DiskFull(
                f"{path}: cannot be written ({reason}). Free some space and go on with --resume, or give another "
                "folder with --out DIR."
            ) from err
        raise InputError(f"{path}: cannot be written ({reason}). Give another folder with --out DIR.") from err
    finally:
        # A leftover that cannot be removed now is removed by the next process; the error matters more.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class Sink:
    """File that a library writes to which cannot cope with a full disk.

    HDF5 never closes a file that it failed to write, and a zip archive tries to write its end first. So a failed write
    is kept here, and the library told that all is well; `check` raises the error.
    """

    def __init__(self, path: Path):
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self._place = 0
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong so far."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def seekable(self):
        """As of a file, like all that follows: called by the library."""
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        """Go to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence)
        self._place = offset + (os.fstat(self._handle).st_size if start is None else start)
        return self._place

    def tell(self):
        """The place."""
        return self._place

    def read(self, size=-1):
        """Bytes from the place; all that follow without a size."""
        left = os.fstat(self._handle).st_size - self._place
        found = os.pread(self._handle, max(0, left) if size is None or size < 0 else size, self._place)
        self._place += len(found)
        return found

    def readinto(self, buffer):
        """Read from the place."""
        found = os.preadv(self._handle, [buffer], self._place)
        self._place += found
        return found

    def write(self, data):
        """Write, unless a write has failed."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._error is None:
            try:
                done += os.pwrite(self._handle, view[done:], self._place + done)
            except OSError as err:
                self._error = err
        self._place += len(view)
        return len(view)

    def truncate(self, size):
        """Set the size."""
        try:
            os.ftruncate(self._handle, size)
        except OSError as err:
            self._error = self._error or err
        return size

    def flush(self):
        """Nothing is held back."""


@contextlib.contextmanager
def written_through(path: Path) -> Iterator[Sink]:
    """As `written_whole`, but gives a `Sink`; what the library makes of a failed write is not seen."""
    with written_whole(path) as temporary:
        sink = Sink(temporary)
        try:
            yield sink
        except (OSError, RuntimeError, ValueError):
            sink.check()
            raise
        finally:
            sink.close()
        sink.check()


def write_json(path: Path, content) -> None:
    """Write plain data as indented JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, advice: str = ""):
    """Plain data of a JSON file.

    Parameters
    ----------
    advice : str
        What to do about a file that is damaged; ends the error message.

    Raises
    ------
    InputError
        If it cannot be read or is not JSON, or is of a newer version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: cannot be read ({err}). {advice}".rstrip()) from err
    check_format(path, content.get("format") if isinstance(content, dict) else None)
    return content


def check_format(path: Path, found) -> None:
    """Raise InputError if a file says that it was written by a newer version; older ones say nothing or less."""
    if found is not None and int(found) > FORMAT:
        raise InputError(
            f"{path}: was written by a newer neuroplast (format {int(found)}; this one reads up to {FORMAT}): upgrade, "
            "as in pip install --upgrade neuroplast."
        )


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed run left below `folder`."""
    for path in sorted(folder.rglob("*" + LEFTOVER)):
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
