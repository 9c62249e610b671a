"""Compressed files, decompressed once into the user's cache, where they can be mapped."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path

from neuroplast.data.places import cache_folder
from neuroplast.data.unusable import Unusable
from neuroplast.errors import InputError
from neuroplast.files import written_whole

CHUNK = 1 << 20


@contextlib.contextmanager
def making(path: Path) -> Iterator[Path | None]:
    """Temporary path for a file of the cache that is not there yet; None if it is.

    Processes that want the same file wait for the one that makes it.

    Raises
    ------
    InputError
        If the cache cannot be written to.
    """
    if path.exists():
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(".lock"), "w")
    except OSError as err:
        raise unwritable(path, err) from err
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            yield None
            return
        try:
            with written_whole(path) as temporary:
                yield temporary
        except InputError as err:
            if isinstance(err.__cause__, OSError) and not isinstance(err, Unusable):
                raise unwritable(path, err.__cause__) from err.__cause__
            raise


def unwritable(path: Path, err: OSError) -> InputError:
    """Error of a cache that cannot be written to."""
    return InputError(
        f"{path}: cannot be written ({err.strerror or err}). Free some space, or name another folder for caches in "
        "XDG_CACHE_HOME."
    )


def digest(*paths: Path) -> str:
    """Key of the content of files."""
    key = hashlib.sha256()
    for path in paths:
        try:
            with open(path, "rb") as file:
                key.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as err:
            raise Unusable(f"{path}: cannot be read ({err.strerror or err}).") from err
    return key.hexdigest()[:32]


def unpacked(path: Path, begin: int, measure) -> Path:
    """File with the decompressed content of a gzip file.

    Parameters
    ----------
    path : Path
    begin : int
        Bytes of the content that say how long it is.
    measure : callable
        Takes these bytes, returns the length of all; raises Unusable.

    Returns
    -------
    path : Path
        In the user's cache, under the hash of the compressed file.

    Raises
    ------
    InputError
        If the file is damaged, has another length, or the cache cannot be written to.
    """
    place = cache_folder() / "unpacked" / f"{digest(path)}-{path.name.removesuffix('.gz')}"
    with making(place) as temporary:
        if temporary is not None:
            with gzip.open(path) as stream, open(temporary, "wb") as out:
                head = _read(path, stream, begin)
                size = measure(head)
                out.write(head)
                # A byte more than it should hold is enough to know: what follows may be without end.
                while out.tell() <= size and (some := _read(path, stream, min(CHUNK, size + 1 - out.tell()))):
                    out.write(some)
                if out.tell() != size:
                    found = f"{out.tell()} bytes" if out.tell() < size else "more"
                    raise Unusable(f"{path}: should hold {size} bytes when decompressed. It holds {found}.")
    return place


def _read(path, stream, size):
    try:
        return stream.read(size)
    except EOFError as err:
        raise Unusable(f"{path}: the compressed file ends too early: it is truncated.") from err
    except (gzip.BadGzipFile, zlib.error) as err:
        raise Unusable(f"{path}: should be compressed by gzip, and is not or is damaged ({err}).") from err
    except OSError as err:
        raise Unusable(f"{path}: cannot be read ({err.strerror or err}).") from err
