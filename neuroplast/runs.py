"""A run's folder: made, guarded, described.

::

    runs/NAME-SEED/          or --out DIR
      run.json               the record: protocol, parameters, seed, equations, versions, times, claims
      results.nc             labelled results
      figure.png, figure.svg, animation.gif
      checkpoint/, segments/ what a training needs to go on
      nets/LABEL/            the same for each of several nets
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.files import FORMAT, LEFTOVER, read_json, remove_leftovers, write_json
from neuroplast.traces import RECORD, RESULTS

STATUSES = ("running", "done", "diverged", "interrupted", "failed")
PACKAGES = ("neuroplast", "brian2", "numpy", "scipy", "xarray", "h5netcdf")
#: What a resumed run must share with the run that it continues.
IDENTITY = ("protocol", "seed", "target", "record", "parameters")


class RunFolder:
    """Folder of one run, held by one process at a time; use `RunFolder.open`.

    Attributes
    ----------
    path : pathlib.Path
    record : dict
        Content of ``run.json``.
    resumed : bool
        Whether there was a run to go on with.
    """

    def __init__(self, path: Path, lock: int):
        self.path = path
        self.record: dict = {}
        self.resumed = False
        self._lock = lock
        self._opened = datetime.now(UTC)

    @classmethod
    def open(cls, path, identity: dict, *, resume: bool = False) -> RunFolder:
        """Make the folder, or take up the run in it.

        Parameters
        ----------
        path : str or pathlib.Path
        identity : dict
            The entries named in `IDENTITY`.
        resume : bool
            Go on with the run that is there; without one, begin.

        Raises
        ------
        InputError
            If the folder cannot be written, holds something (without `resume`), holds a run with other
            parameters, or is in use by another process.
        """
        path = Path(path)
        folder = cls(path, hold(path))
        try:
            folder._begin(identity, resume)
        except BaseException:
            folder.close()
            raise
        return folder

    def _begin(self, identity, resume):
        advice = "Give another folder with --out DIR, or restore the file."
        before = read_json(self.path / RECORD, advice) if (self.path / RECORD).exists() else None
        if before is not None and not resume:
            raise InputError(
                f"{self.path}: already holds a run (status: {before.get('status')}), and nothing is "
                "overwritten. Go on with it by --resume, or give another folder with --out DIR."
            )
        # A run killed before its record stood under its name has left only the temporary file.
        if before is None and {path.name for path in self.path.iterdir()} - {RECORD + LEFTOVER}:
            raise InputError(f"{self.path}: is not empty and holds no run. Give another folder with --out DIR.")
        if before is not None:
            _check_same(self.path, before, identity)
            self.record, self.resumed = before, True
        remove_leftovers(self.path)
        if not self.done:
            self.record.pop("error", None)
            self.update(
                format=FORMAT,
                **identity,
                status="running",
                environment=environment(),
                started=self.record.get("started", now()),
                resumed=[*self.record.get("resumed", []), now()] if self.resumed else [],
            )

    @property
    def done(self) -> bool:
        """Whether the run has ended and its results are there."""
        return self.record.get("status") == "done" and (self.path / RESULTS).exists()

    def update(self, **entries) -> None:
        """Change entries of the record and write it."""
        self.record |= entries
        write_json(self.path / RECORD, self.record)

    def end(self, status: str, **entries) -> None:
        """Write how the run ended, and the time that it took (all its parts together)."""
        seconds = self.record.get("seconds", 0) + (datetime.now(UTC) - self._opened).total_seconds()
        self.update(status=status, ended=now(), seconds=round(seconds, 2), **entries)

    def discard_if_unused(self) -> bool:
        """Remove the folder if nothing was computed yet, so that a corrected run can have it.

        Returns
        -------
        bool
            Whether it was removed.
        """
        if {path.name for path in self.path.iterdir()} != {RECORD}:
            return False
        (self.path / RECORD).unlink()
        self.path.rmdir()
        return True

    def close(self) -> None:
        """Let other processes use the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def is_running(path: Path) -> bool:
    """Whether a process holds the run's folder at this moment."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def environment() -> dict:
    """Versions, machine and git commit that a run is done with."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "git_commit": git_commit(Path(__file__).parent),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def git_commit(folder: Path) -> str | None:
    """Commit of the sources in `folder`, with ``-dirty`` if changed; None if git does not track them."""
    if not shutil.which("git"):
        return None

    def git(*arguments):
        # Without locks: a run that is killed meanwhile would leave one behind, and git would refuse to work.
        command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    # Without this check, sources installed somewhere inside another project would get that project's commit.
    if git("ls-files", "--error-unmatch", "__init__.py").returncode:
        return None
    return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").stdout.strip() or None


def compiler_version(path: str | None) -> str | None:
    """First line of what a compiler says about itself."""
    if path is None:
        return None
    answer = subprocess.run([path, "--version"], capture_output=True, text=True)
    return f"{path}: {answer.stdout.splitlines()[0]}" if answer.stdout else path


def differences(before: dict, now: dict) -> list[str]:
    """What differs between the identities of two runs, a line each."""
    lines = [
        f"{'--record' if key == 'record' else key}: {_said(before.get(key))} then, {_said(now.get(key))} now"
        for key in IDENTITY
        if key != "parameters" and (before.get(key) or None) != (now.get(key) or None)
    ]
    old, new = before.get("parameters", {}), now.get("parameters", {})
    for name in dict.fromkeys([*old, *new]):
        then, present = old.get(name, {}), new.get(name, {})
        if (then.get("si"), then.get("unit")) != (present.get("si"), present.get("unit")):
            lines.append(f"{name}: {then.get('value', 'absent')} then, {present.get('value', 'absent')} now")
    return lines


def _said(value):
    return ", ".join(value) or "nothing" if isinstance(value, list) else "nothing" if value is None else value


def _check_same(path, before, now):
    lines = differences(before, now)
    if lines:
        listed = "\n".join(f"  {line}" for line in lines)
        raise InputError(
            f"{path}: the run there cannot be resumed, since it was started differently:\n{listed}\n"
            "Give the values that it was started with, or another folder with --out DIR."
        )


def hold(path):
    """Open the folder and hold it; the kernel lets go of it when the process ends, however it ends."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY)
    except OSError as err:
        raise InputError(
            f"{path}: this folder for the run cannot be made ({err.strerror}). Give another with --out DIR."
        ) from err
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise InputError(f"{path}: another process is running there. Wait for it, or end it first.") from None
    except OSError:
        pass  # a file system without locks
    return handle


def now() -> str:
    """The time, as it stands in records."""
    return datetime.now(UTC).isoformat(timespec="seconds")
