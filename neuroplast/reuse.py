"""Nets that another run has trained already: what is the same to the bit need not be computed twice.

Protocols of one paper often train the same nets for several figures. A net is the same if its program, constants, data,
initial values, seed, number of passes and what is recorded are; programs give the same bytes on any number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.files import read_json
from neuroplast.traces import POINTER, RESULTS


def identity(sim, plan: dict, recorded: Sequence) -> str:
    """Hash of everything that a net's results follow from; "" where that is not known.

    Parameters
    ----------
    sim : Simulation
    plan : dict
        Seed, counts, length and the fingerprint of the initial values.
    recorded : sequence of Recorded
    """
    program = getattr(sim, "identity", "")
    if not program:
        return ""
    said = [plan[name] for name in ("seed", "counts", "length", "fingerprint")]
    return hashlib.sha256(repr([program, *said, list(recorded)]).encode()).hexdigest()[:32]


class Reuse:
    """Nets of other runs that have ended.

    Parameters
    ----------
    folders : iterable of path
        Of runs, sweeps, or anything above them.

    Raises
    ------
    InputError
        If there is no such folder, or no net in it that can be taken.
    """

    def __init__(self, folders: Iterable[str | Path] = ()):
        self._nets: dict[str, Path] = {}
        for folder in map(Path, folders):
            if not folder.is_dir():
                raise InputError(f"{folder}: there is no such folder. Give --reuse the folder of a run that has ended.")
            nets = {pointer["identity"]: net for net, pointer in _ended(folder) if pointer.get("identity")}
            if not nets:
                raise InputError(
                    f"{folder}: holds no nets that can be taken: they have to have ended, on the target cpp, and with "
                    "this version or a later one. Leave --reuse out, or give another folder."
                )
            self._nets |= nets

    def find(self, identity: str) -> Path | None:
        """Folder of the same net, or None."""
        return self._nets.get(identity) if identity else None


def _ended(folder):
    """Folders of nets whose results are there, and their pointers."""
    for path in sorted(folder.rglob(POINTER)):
        net = path.parent.parent
        if (net / RESULTS).exists():
            pointer = read_json(path, "Leave --reuse out.")
            if pointer.get("complete"):
                yield net, pointer
