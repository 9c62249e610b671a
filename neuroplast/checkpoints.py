"""Where a training stands, on disk: the state of everything, and a pointer that names it.

The pointer is replaced last, so that a process killed at any moment leaves a checkpoint that is whole: the
old one or the new one. What lies beyond the pointer is done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from neuroplast.errors import InputError
from neuroplast.files import FORMAT, read_json, remove_leftovers, write_json, written_through
from neuroplast.segments import SEGMENTS, Segments, begin_anew
from neuroplast.traces import POINTER


class Checkpoint:
    """Position, state and plan of one training in its folder.

    Parameters
    ----------
    folder : pathlib.Path
    plan : dict
        What must not change between the parts of a training: seed, counts, length, fingerprint, coords.

    Attributes
    ----------
    position, segments : int
        Where the training stands and how many segments are on disk.
    complete : bool
        Whether the results have been assembled.
    exists : bool
        Whether there is a checkpoint on disk.
    identity : str
        See `neuroplast.reuse`; kept once the training has ended.
    """

    def __init__(self, folder: Path, plan: dict):
        self.folder = folder
        self.plan = json.loads(json.dumps(plan))
        self.position = self.segments = 0
        self.complete, self.identity = False, ""
        self._state_file = ""
        self.exists = (folder / POINTER).exists()

    def take_up(self) -> None:
        """Read the pointer, and remove what lies beyond it.

        Raises
        ------
        InputError
            If the training on disk follows another plan.
        """
        (self.folder / POINTER).parent.mkdir(parents=True, exist_ok=True)
        if self.exists:
            pointer = read_json(self.folder / POINTER, begin_anew(self.folder))
            self._check_plan(pointer)
            self.position, self.segments = pointer["position"], pointer["segments"]
            self.complete, self._state_file = pointer["complete"], pointer["state"]
            self.identity = pointer.get("identity", "")
        remove_leftovers(self.folder)
        self._remove_other_states()
        for path in (self.folder / SEGMENTS).glob("[0-9]*.nc"):
            if int(path.stem) >= self.segments:
                path.unlink()

    def save(self, state: dict, position: int) -> None:
        """Put a new state on disk and point to it; one more segment is there."""
        name = f"state-{self.segments:04d}.npz"
        with written_through(self.folder / POINTER.replace("pointer.json", name)) as file:
            np.savez(file, **state)
        self.position, self.segments, self._state_file = position, self.segments + 1, name
        self._point()
        self._remove_other_states()

    def verify(self) -> None:
        """Read the segments, so that damage is found before more is computed.

        Raises
        ------
        InputError
            If one is damaged or missing.
        """
        with contextlib.closing(Segments(self.folder)) as there:
            if there.position < self.position:
                missing = self.folder / SEGMENTS / f"{len(there.paths):04d}.nc"
                raise InputError(f"{missing}: is missing. {begin_anew(self.folder)}")
            there.verify()

    def restart(self) -> None:
        """Begin again: the results of a training that had ended are gone."""
        self.position = self.segments = 0
        self.complete, self._state_file = False, ""

    def finish(self, identity: str = "") -> None:
        """Mark the training as complete."""
        self.complete, self.identity = True, identity
        self._point()

    def state(self) -> dict[str, np.ndarray] | None:
        """State of every variable at `position`; None before the first checkpoint."""
        return read_state(self.folder) if self._state_file else None

    def _point(self):
        pointer = {
            "format": FORMAT,
            "position": self.position,
            "segments": self.segments,
            "state": self._state_file,
            "complete": self.complete,
            "identity": self.identity,
        }
        write_json(self.folder / POINTER, pointer | self.plan)

    def _check_plan(self, pointer):
        changed = [
            f"{key}: {pointer.get(key)} then, {value} now"
            for key, value in self.plan.items()
            if pointer.get(key) != value
        ]
        if changed:
            raise InputError(
                f"{self.folder}: the training there cannot be resumed, since it was started differently: "
                + "; ".join(changed)
                + ". Give the values that it was started with, or another folder."
            )

    def _remove_other_states(self):
        for path in (self.folder / POINTER).parent.glob("state-*.npz"):
            if path.name != self._state_file:
                path.unlink()


def read_state(folder: Path) -> dict[str, np.ndarray]:
    """Last state that a training in `folder` has put on disk: ``object.variable`` to array."""
    advice = begin_anew(folder)
    path = (folder / POINTER).with_name(read_json(folder / POINTER, advice)["state"])
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        raise InputError(f"{path}: is damaged or cut short ({err}). {advice}") from err


def fingerprint(state: dict, length: int) -> str:
    """Hash of where a training begins (names, types, shapes, values of all variables) and how long it is."""
    digest = hashlib.sha256(str(length).encode())
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]
