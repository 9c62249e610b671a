"""One point of a sweep, run in a process of its own, here or on another machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import neuroplast
from neuroplast.errors import DivergedError, NeuroplastError, Resized
from neuroplast.files import read_json
from neuroplast.progress import Note, Progress
from neuroplast.protocol import run_protocol
from neuroplast.traces import RECORD

#: Entries of a run's record that its sweep keeps.
KEPT = ("status", "error", "claims", "programs", "sizes", "seconds", "quick", "full")


@dataclass(frozen=True)
class Task:
    """What a process needs to know to run a point; texts and numbers only, so that it travels.

    Attributes
    ----------
    name : str
    protocol : str
        Name, or path of a file.
    settings : tuple of str
    others : tuple
        Settings of all points.
    seed : int
    folder : str
    options : dict
        Further arguments of `neuroplast.protocol.run_protocol`.
    """

    name: str
    protocol: str
    settings: tuple[str, ...]
    others: tuple
    seed: int
    folder: str
    options: dict


class Reporting(Progress):
    """Progress that tells the process that drives the sweep, and stops when that wants it.

    Parameters
    ----------
    title : str
    send : callable
        Takes what there is to say, a dict.
    stopped : callable
        Whether to stop.
    """

    def __init__(self, title: str, send: Callable[[dict], None], stopped: Callable[[], bool]):
        super().__init__(title)
        self.send, self.stopped = send, stopped

    def advance(self, label, done, seconds, note=""):
        """See `Progress.advance`; raises KeyboardInterrupt if the run should stop."""
        super().advance(label, done, seconds, note)
        parts = note.parts() if isinstance(note, Note) else {"note": str(note)}
        self.send({"fraction": self.fraction(), **parts})
        if self.stopped():
            raise KeyboardInterrupt

    def say(self, text):
        """Let the driver print a line."""
        self.send({"text": text})


def run_point(task: Task, send: Callable[[dict], None], stopped: Callable[[], bool]) -> dict:
    """Run a point from where it stands; whatever happens is in the answer.

    Returns
    -------
    dict
        The entries `KEPT` of the run's record, ``traceback`` of a fault; status "interrupted" if it was stopped.
    """
    progress = Reporting(task.name, send, stopped)
    options = {"seed": task.seed, "out": task.folder, "others": task.others, "progress": progress, **task.options}
    answer = {}
    try:
        try:
            run_protocol(task.protocol, settings=task.settings, resume=True, **options)
        except Resized:
            send({"text": "begun anew, since its models are made for another size than when it was half done"})
            shutil.rmtree(task.folder)
            run_protocol(task.protocol, settings=task.settings, **options)
    except KeyboardInterrupt:
        answer = {"status": "interrupted"}
    except DivergedError as err:
        answer = {"status": "diverged", "error": str(err)}
    except Exception as err:
        message = str(err) if isinstance(err, NeuroplastError) else f"{type(err).__name__}: {err}"
        answer = {"status": "failed", "error": message}
        if not isinstance(err, NeuroplastError):
            answer["traceback"] = traceback.format_exc()
        if stopped():  # Ctrl-C ended the compiler, too
            answer = {"status": "interrupted"}
    return kept(record_of(Path(task.folder))) | answer


def record_of(folder: Path) -> dict:
    """A run's record; empty without a run."""
    return read_json(folder / RECORD) if (folder / RECORD).exists() else {}


def kept(record: dict) -> dict:
    """The entries `KEPT` of a run's record."""
    return {name: record[name] for name in KEPT if name in record}


@cache
def code_version() -> str:
    """Version of neuroplast with a hash of its code: what two machines must share for the same results."""
    digest = hashlib.sha256()
    package = Path(neuroplast.__file__).parent
    folders = {package}
    for name in ("neuroplast.models", "neuroplast.protocols"):
        __import__(name)
        folders.add(Path(sys.modules[name].__file__).parent)
    for folder in sorted(folders, key=lambda folder: folder.name):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{neuroplast.__version__} (code {digest.hexdigest()[:8]})"


def orphaned(parent: int) -> bool:
    """Whether the process that started this one is gone."""
    return os.getppid() != parent
