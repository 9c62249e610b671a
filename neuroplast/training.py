"""Long runs in segments: after each the state and the data are on disk, and a killed run goes on.

The simulation is anything with ``build()``, ``initial``, ``length(counts)`` and ``run(state, start, stop,
seed, counts)`` as `neuroplast.engine.Simulation` has them. Its results must not depend on where it is cut.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neuroplast.checkpoints import Checkpoint, fingerprint, read_state
from neuroplast.errors import DivergedError, InputError
from neuroplast.labels import Recorded, check_sources
from neuroplast.progress import Note, Progress
from neuroplast.reuse import Reuse, identity
from neuroplast.segments import SEGMENTS, Segments, recorded_bytes, write_segment
from neuroplast.traces import RESULTS, open_netcdf, without_aside, write_dataset

if TYPE_CHECKING:  # it is imported where it is used: that takes a third of a second
    import xarray as xr

FIRST_SEGMENT = 4  # positions; short, so that something is seen (and saved) soon
FASTEST_GROWTH = 50
#: Seconds that a segment of a long run takes. To start the program and to save the state of a large network takes up to
#: a second: at two seconds for each segment adjoint propagation at full size took a third longer.
LONGEST = 10.0


class Pace:
    """Lengths of segments that take about `seconds` each, or hold about `most` bytes, found while running.

    Later on a segment takes a tenth of the time that has been spent, up to `LONGEST`: this much a killed run loses.

    Parameters
    ----------
    seconds : float
        Time that a segment should take at first.
    positions : int, optional
        A fixed length instead.
    most : int
        Bytes that a segment should hold at most; one position is never divided.
    """

    def __init__(self, seconds: float = 2.0, positions: int | None = None, most: int = 64 << 20):
        if not (seconds > 0 and most > 0) or (positions is not None and positions < 1):
            raise InputError(
                f"A segment should be longer than 0. Got {seconds} s, {positions} positions, {most} bytes."
            )
        self.seconds, self.most = seconds, most
        self.fixed = positions
        self._next, self._spent = FIRST_SEGMENT, 0.0

    def next(self) -> int:
        """Positions of the next segment."""
        return self.fixed or self._next

    def took(self, positions: int, seconds: float, size: int = 0) -> None:
        """Take note of how long a segment took, and of its bytes."""
        self._spent += seconds
        time = max(self.seconds, min(self._spent / 10, LONGEST))
        wanted = min(time / max(seconds, 1e-6), self.most / max(size, 1)) * positions
        self._next = max(1, int(min(wanted, positions * FASTEST_GROWTH)))


class Behind:
    """Does one thing while the next is computed: the segment is written by a thread of its own.

    Leaving the block waits for it. Errors are raised by the next call.
    """

    def __init__(self):
        self._pool, self._pending = ThreadPoolExecutor(1, "segment"), None

    def wait(self) -> None:
        """Wait until it is done."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def do(self, function, *arguments) -> None:
        """Begin, once what came before is done."""
        self.wait()
        self._pending = self._pool.submit(function, *arguments)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        try:
            with contextlib.suppress(*(() if kind is None else (BaseException,))):  # the first error matters
                self.wait()
        finally:
            self._pool.shutdown()


class Stopped(Exception):
    """A training was asked to stop; what it has done is on disk."""


@dataclass(frozen=True)
class Trained:
    """A training that has ended.

    Attributes
    ----------
    folder : pathlib.Path
    coords : dict
        Its place among the nets, such as ``{"rule": "rflo", "net": 3}``.
    source : pathlib.Path or None
        Folder of the net that it was taken from, if it has just been.
    """

    folder: Path
    coords: dict
    source: Path | None = None

    @property
    def dataset(self) -> xr.Dataset:
        """Its results, read from disk when they are used."""
        return without_aside(open_netcdf(self.folder / RESULTS))

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Final state: ``object.variable`` to array; goes into another run as ``state=``."""
        return read_state(self.folder)


def train(
    sim,
    folder,
    *,
    seed: int = 0,
    counts: Mapping[str, int] | None = None,
    state: Mapping[str, np.ndarray] | None = None,
    recorded: Sequence[Recorded] = (),
    coords: Mapping | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    label: str = "",
    pace: Pace | None = None,
    stop: threading.Event | None = None,
    attrs: Mapping | None = None,
    reuse: Reuse | None = None,
) -> Trained:
    """Run a simulation to its end, in segments, or go on where an earlier process stopped.

    Parameters
    ----------
    sim : Simulation
    folder : str or pathlib.Path
        Gets ``segments/``, ``checkpoint/`` and at the end ``results.nc``.
    seed : int
    counts : dict of str to int, optional
        Passes of loops and steps of phases that differ from the schedule's.
    state : dict of str to array, optional
        Initial values that differ from ``sim.initial``.
    recorded : sequence of Recorded
        How what the monitors recorded appears in the results.
    coords : dict, optional
        Place of this net among several, see `neuroplast.traces.combine`.
    resume : bool
        Go on with a training that is there.
    progress : Progress, optional
    label : str
        What to call it in the progress display.
    pace : Pace, optional
        Lengths of the segments; the results do not depend on it.
    stop : threading.Event, optional
        Once set, raises `Stopped` after the present segment.
    attrs : dict, optional
        Attributes of the results: where they come from.
    reuse : Reuse, optional
        Nets of other runs; if this one is among them, its results are copied.

    Returns
    -------
    Trained

    Raises
    ------
    InputError
        If there is a training already (without `resume`), one with another seed, counts or initial values, or one
        whose files are damaged; if the disk is full (`neuroplast.files.DiskFull`): what is done is kept.
    DivergedError
        If a variable leaves the finite numbers; what came before is kept in the folder.
    """
    folder, counts = Path(folder), {name: int(count) for name, count in (counts or {}).items()}
    sim.build()
    begin = {**sim.initial, **(state or {})}
    total = sim.length(counts)
    if total < 1:
        raise InputError(f"{label or folder}: nothing to run, since the schedule is empty with {counts}.")
    plan = {"seed": int(seed), "counts": counts, "length": total, "coords": _plain(coords or {})}
    checkpoint = Checkpoint(folder, plan | {"fingerprint": fingerprint(begin, total)})
    if checkpoint.exists and not resume:
        raise InputError(f"{folder}: already holds a training. Resume it, or give another folder.")
    checkpoint.take_up()
    if checkpoint.complete and not (folder / RESULTS).exists():
        checkpoint.restart()
    elif not checkpoint.complete:
        checkpoint.verify()
    source = None
    if reuse is not None and not checkpoint.position:
        same = identity(sim, checkpoint.plan, recorded)
        source = reuse.find(same)
    if source is not None:
        write_dataset(open_netcdf(source / RESULTS).assign_attrs(attrs or {}), folder / RESULTS)
        checkpoint.save(read_state(source), total)
        checkpoint.finish(same)
    progress, pace = progress or Progress(), pace or Pace()
    progress.add(label, total, checkpoint.position, group=id(sim))
    current, note, position = checkpoint.state() or begin, Note(), checkpoint.position
    with Behind() as behind:
        while position < total:
            if stop is not None and stop.is_set():
                raise Stopped(label)
            began, until = time.monotonic(), min(position + pace.next(), total)
            try:
                out = sim.run(state=current, start=position, stop=until, seed=seed, counts=counts)
            except DivergedError as err:
                behind.wait()
                if err.partial is not None:
                    write_segment(folder, checkpoint.segments, err.partial.monitors, recorded, position, until)
                raise
            if position == 0:
                check_sources(out.monitors, recorded)
            behind.do(_save, folder, checkpoint, out, recorded, position, until)
            current, note = out.state, _note(out.monitors, recorded) or note
            took = time.monotonic() - began
            pace.took(until - position, took, recorded_bytes(out.monitors, recorded))
            position = until
            progress.advance(label, position, took, note)
    if not checkpoint.complete:
        with contextlib.closing(Segments(folder)) as segments:
            segments.assemble(folder / RESULTS, attrs or {})
        checkpoint.finish(identity(sim, checkpoint.plan, recorded))
    shutil.rmtree(folder / SEGMENTS, ignore_errors=True)
    return Trained(folder, plan["coords"], source)


def _save(folder, checkpoint, out, recorded, start, until):
    """Put a segment and then the state on disk; only then does the training stand there."""
    write_segment(folder, checkpoint.segments, out.monitors, recorded, start, until)
    checkpoint.save(out.state, until)


def _plain(coords):
    """Coordinates as numbers and texts that JSON and netCDF hold."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in coords.items()}
    for name, value in plain.items():
        if not isinstance(value, int | float | str):
            raise InputError(f"The coordinate {name} should be a number without a unit or a text. Got {value!r}.")
    return plain


def _note(monitors, recorded):
    """Last value of the first metric, such as ``trial 120, loss 0.0312``."""
    for item in recorded:
        monitor, variable = item.source.split(".")
        values = monitors.get(monitor, {}).get(variable, ())
        if item.kind == "metrics" and not item.dims and len(values):
            where, value = monitors[monitor].get(item.dimension), float(np.ravel(values[-1])[0])
            number = None if where is None else int(np.ravel(where)[-1]) + 1
            text = "" if where is None else f"{item.dimension} {number}, "
            return Note(f"{text}{item.name} {value:.3g}", number, item.name, value)
    return Note()
