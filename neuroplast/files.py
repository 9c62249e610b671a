"""Files that are either complete under their name or not there: written aside, flushed, renamed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from neuroplast.errors import InputError

LEFTOVER = ".tmp"


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Temporary path beside `path` that takes its place when the block ends without an error.

    A process killed at any moment leaves the old file or the new one, and perhaps a temporary one.

    Raises
    ------
    InputError
        If the folder cannot be written to (permission, disk full, ...).
    """
    temporary = path.with_name(path.name + LEFTOVER)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as err:
        reason = err.strerror or str(err)
        raise InputError(
            f"{path}: cannot be written ({reason}). Free some space, or give another folder with --out DIR."
        ) from err
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content) -> None:
    """Write plain data as indented JSON, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path):
    """Plain data of a JSON file.

    Raises
    ------
    InputError
        If it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: cannot be read ({err}).") from err


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
