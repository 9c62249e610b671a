"""Packages that only some formats need."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from neuroplast.errors import InputError


def require(what: str, packages: Sequence[str], extra: str) -> None:
    """Raise InputError, with the command to install it, if a package is missing."""
    missing = []
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            missing.append(package)
    if missing:
        raise InputError(f"{what} needs {' and '.join(missing)}: pip install 'neuroplast[{extra}]'")
