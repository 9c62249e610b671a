"""Where the files of data sets are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from neuroplast.errors import InputError

FOLDER = "NEUROPLAST_DATA"
#: Debian's packages dataset-* put their files here.
SYSTEM = Path("/usr/share/datasets")


def cache_folder() -> Path:
    """Folder of downloads and of what was decompressed, in the user's cache.

    It is the folder that ``pooch.os_cache("neuroplast")`` gives on Linux, known without importing pooch.
    """
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or Path.home() / ".cache"
    return Path(base).absolute() / "neuroplast" / "data"


def folders(known, folder=None) -> list[Path]:
    """Folders in which the files of a data set may stand, in the order in which they are looked at.

    Parameters
    ----------
    known : neuroplast.data.sets.Known
    folder : str or path, optional
        Looked at alone. Otherwise a folder in ``NEUROPLAST_DATA``, the user's cache, Debian's packages.

    Raises
    ------
    InputError
        If `folder` or ``NEUROPLAST_DATA`` is no folder.
    """
    if folder is not None:
        given = _checked(folder, "folder")
        return [given, *(given / name for name in known.folders)]
    roots = [cache_folder(), SYSTEM]
    if os.environ.get(FOLDER):
        roots.insert(0, _checked(os.environ[FOLDER], FOLDER))
    return [root / name for root in roots for name in (known.name, *known.folders)]


def _checked(folder, name):
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise InputError(f"{name} should be a folder. There is none called {path}.")
    return path
