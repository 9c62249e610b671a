"""Temporary folders of compiled simulations, and those that killed processes have left."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "neuroplast-"


def scratch_folder():
    """A new temporary folder of this process; removes those of processes that are gone.

    Returns
    -------
    tempfile.TemporaryDirectory
        Removed with the object.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        owner = old.name[len(_PREFIX) :].split("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    return tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-")


def _alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's: it lives
        return True
    return True
