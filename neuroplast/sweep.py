"""Sweeps: a protocol at many values and seeds, side by side, in a folder that a second start goes on with.

::

    sweeps/NAME/               or --out DIR
      sweep.json               what is swept, how each point ended, which programs served them
      sweep.nc                 results of all points, labelled by values and seed
      period=200ms_seed=0/     a run's folder for each point
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import queue
import shlex
import shutil
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.files import FORMAT, LEFTOVER, read_json, write_json
from neuroplast.parameters import describe
from neuroplast.progress import Note, Progress, duration
from neuroplast.protocol import choose_target, parameters_of, size_options, whole_number
from neuroplast.records import Record
from neuroplast.runs import differences, environment, hold, now
from neuroplast.sweep_points import Point, make_points, read_axes
from neuroplast.sweep_results import RESULTS, SWEEP, programs_text, write_results
from neuroplast.sweep_worker import Task, kept, record_of

#: How points end that are not run again.
ENDED = ("done", "diverged")
#: Times that a point is started again after its process died.
RESTARTS = 2
NO_WORKERS = 10.0  # seconds without workers after which to say so


@dataclasses.dataclass
class Sweep:
    """A sweep and how its points stand.

    Attributes
    ----------
    folder : pathlib.Path
    axes : list of Axis
    points : list of Point
    outcomes : dict
        Point's name to its status, reason, claims, programs.
    programs : str
        Which compiled programs served the points.
    """

    folder: Path
    axes: list
    points: list[Point]
    outcomes: dict = dataclasses.field(default_factory=dict)
    programs: str = ""

    @property
    def exit_code(self) -> int:
        """1 if a point failed, else 3 if one diverged, else 0."""
        ended = {self.outcomes.get(point.name, {}).get("status") for point in self.points}
        return 0 if ended == {"done"} else 3 if ended <= set(ENDED) else 1


def run_sweep(
    protocol: str,
    *,
    settings: Iterable[str] = (),
    seeds: int = 1,
    out: str | Path | None = None,
    jobs: int | None = None,
    quick: bool = False,
    full: bool = False,
    target: str | None = None,
    record: Iterable[str] = (),
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Run a protocol at all combinations of values, each with several seeds; what is done already is not run again.

    Parameters
    ----------
    protocol : str
        Name or path of a file.
    settings : iterable of str
        ``key=value,value`` for each parameter that is swept.
    seeds : int
        Seeds 0 to ``seeds - 1``.
    out : path, optional
        Folder of the sweep; by default ``sweeps/NAME``.
    jobs : int, optional
        Points at the same time on this machine; by default as many as there are cores.
    quick, full : bool
        The protocol's small size, or the paper's, where it has one.
    target : {"cpp", "numpy"}, optional
        By default cpp if there is a compiler; on a cluster cpp.
    record : iterable of str
        As for ``neuroplast run --record``.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers run the points.
    progress : Progress, optional

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        If something given cannot be used, or the folder holds another sweep.
    KeyboardInterrupt
        After all points under way have saved what they have.
    """
    info = find(protocol)
    module = load(info)
    progress = progress or Progress(info.name)
    defaults = parameters_of(info, module, (), quick, full)
    axes = read_axes(defaults, settings)
    points = make_points(defaults, axes, whole_number("seeds", seeds, 1))
    record = tuple(str(Record.parse(text)) for text in record)  # refused here if no point could take it
    cores = len(os.sched_getaffinity(0))
    jobs = min(cores if jobs is None else whole_number("jobs", jobs, 1), len(points))
    target = (target or "cpp") if scheduler else choose_target(target, progress.say)
    path = Path(out) if out is not None else Path("sweeps") / info.name
    again = _command(info, axes, seeds, jobs, out, size_options(quick, full), target, record, scheduler)
    options = {"quick": quick, "full": full, "target": target, "record": record}
    sweep = Sweep(path, axes, points)
    fixed = {name: value for name, value in describe(defaults).items() if name not in {axis.field for axis in axes}}
    identity = {
        "protocol": info.name,
        "target": target,
        "quick": quick,
        "full": full,
        "record": list(record),
        "swept": [axis.key for axis in axes],
        "parameters": fixed,
    }
    handle = hold(path)
    try:
        before = _take_up(path, identity)
        kept = {
            "protocol_sha256": hashlib.sha256(info.path.read_bytes()).hexdigest(),
            "axes": {axis.key: {"values": axis.texts, "si": axis.values, "unit": axis.unit} for axis in axes},
            "seeds": seeds,
            "environment": environment(),
            "started": before.get("started", now()),
        }
        if before and before.get("protocol_sha256") != kept["protocol_sha256"]:
            progress.say(f"{info.path} has changed since this sweep began; points that are done are kept as they are.")
        content = {"format": FORMAT, **identity, **kept}
        _run_all(sweep, info, options, content, jobs, cores, scheduler, progress, again)
    finally:
        os.close(handle)
    return sweep


def _run_all(sweep, info, options, content, jobs, cores, scheduler, progress, again):
    """Run what is missing, then put the results together."""
    left = [point for point in sweep.points if not _ended(sweep, point, options["target"])]
    if len(left) < len(sweep.points):
        progress.say(
            f"{sweep.folder}: {len(sweep.points) - len(left)} of {len(sweep.points)} points are there already."
        )

    def keep(status):
        points = {point.name: {**point.coords, **sweep.outcomes.get(point.name, {})} for point in sweep.points}
        write_json(sweep.folder / SWEEP, content | {"status": status, "points": points, "programs": sweep.programs})

    keep("running")
    events: queue.Queue = queue.Queue()
    with progress:
        for point in sweep.points:
            progress.add(point.name, 1, int(point not in left), group=point.case)
        try:
            if left:
                if scheduler:
                    from neuroplast.sweep_cluster import ClusterWorkers

                    workers = ClusterWorkers(scheduler, events, info)
                else:
                    from neuroplast.sweep_local import LocalWorkers

                    workers = LocalWorkers(jobs, events)
                    options = options | {"threads": max(1, cores // jobs)}
                _Driver(sweep, info, options, workers, events, progress).run(left)
        except KeyboardInterrupt:
            keep("interrupted")
            progress.say(f"Interrupted; what is done is kept in {sweep.folder}. Go on with:\n  {again}")
            progress.event("end", status="interrupted", folder=str(sweep.folder))
            raise
        except BaseException:
            keep("failed")
            raise
    sweep.programs = programs_text(sweep)
    write_results(sweep, info.title or info.name)
    keep("done" if sweep.exit_code == 0 else "incomplete")
    progress.event("end", status="done" if sweep.exit_code == 0 else "incomplete", folder=str(sweep.folder))


class _Driver:
    """Gives points to workers and takes in what comes back."""

    def __init__(self, sweep, info, options, workers, events, progress):
        self.sweep, self.info, self.options = sweep, info, options
        self.workers, self.events, self.progress = workers, events, progress
        self.others = tuple(dict.fromkeys(point.settings for point in sweep.points))
        self.running: dict[str, Point] = {}
        self.last: dict[str, tuple[float, float]] = {}  # when a point was last heard of, and how far it was
        self.begun: dict[str, float] = {}
        self.starts: dict[str, int] = {}
        self.said: set[str] = set()
        self.stopping = False

    def run(self, left):
        """Run these points; Ctrl-C waits for those under way to save what they have."""
        waiting, idle = deque(left), time.monotonic()
        try:
            while waiting or self.running:
                try:
                    while waiting and len(self.running) < self.workers.width():
                        self._start(waiting.popleft())
                    if self.running:
                        idle = time.monotonic()
                    elif time.monotonic() - idle > NO_WORKERS:
                        self._say_once("Waiting for workers: the cluster has none.")
                    self._take(waiting, timeout=0.5)
                except KeyboardInterrupt:
                    waiting.clear()
                    self._stop()
        finally:
            self.workers.close()
        if self.stopping:
            raise KeyboardInterrupt

    def _stop(self):
        self.stopping = True
        self.workers.stop()
        if self.running:
            self.progress.say("Interrupted: the points under way are saved. Ctrl-C again stops at once.")

    def _start(self, point):
        protocol = self.info.name if self.info.module else str(self.info.path.resolve())
        folder = str((self.sweep.folder / point.name).resolve())
        self.running[point.name] = point
        self.begun[point.name] = time.monotonic()
        self.last.pop(point.name, None)
        self.starts[point.name] = self.starts.get(point.name, 0) + 1
        self.workers.submit(Task(point.name, protocol, point.settings, self.others, point.seed, folder, self.options))

    def _take(self, waiting, timeout):
        try:
            kind, name, content = self.events.get(timeout=timeout)
        except queue.Empty:
            return
        point = self.running.get(name)
        if point is None:  # told late, by a point that has ended
            return
        if kind == "progress":
            self._show(point, content)
            return
        if kind == "lost" and self.stopping:
            content = {"status": "interrupted"}
        elif kind == "lost" and self.starts[name] <= RESTARTS:
            self.progress.say(f"{name}: {content['error']}; it is started again.")
            del self.running[name]
            waiting.append(point)
            return
        del self.running[name]
        self.workers.receive(content, self.sweep.folder / name)
        self.sweep.outcomes[name] = content
        self._show_end(point, content)

    def _show(self, point, content):
        if "text" in content:
            self._say_once(content["text"], point.name)
            return
        now, done = time.monotonic(), min(content["fraction"], 0.999)  # it has ended when its results are written
        then, before = self.last.get(point.name, (now, done))  # building comes before the first time it is heard of
        note = Note(content["note"], content.get("trial"), content.get("metric"), content.get("value"))
        self.last[point.name] = (now, done)
        self.progress.advance(point.name, done, now - then if done > before else 0.0, note)

    def _show_end(self, point, content):
        seconds = time.monotonic() - self.begun[point.name]
        status, reason = content["status"], content.get("error")
        self.progress.event("point", task=point.name, status=status, reason=reason, seconds=round(seconds, 2))
        if status != "interrupted":
            note = Note(f"{status} after {duration(seconds)}")
            if status == "done":
                self.progress.end(point.name, seconds, note)
            else:
                self.progress.advance(point.name, 1, 0.0, note)
        if status in ("diverged", "failed"):
            self.progress.say(f"{point.name}: {status}: {reason}")

    def _say_once(self, text, name=""):
        if text not in self.said:
            self.said.add(text)
            self.progress.say(f"{name}: {text}" if name else text)


def _ended(sweep, point, target):
    """Whether a point has come to its end; if so, how, is taken up."""
    folder = sweep.folder / point.name
    record = record_of(folder)
    outcome = kept(record)
    if not outcome:
        return False
    wanted = {"seed": point.seed, "target": target, "parameters": describe(point.parameters)}
    lines = differences(record, wanted | {"protocol": record["protocol"]})
    if lines:
        listed = "\n".join(f"  {line}" for line in lines)
        raise InputError(
            f"{folder}: holds a run that is not this point of the sweep:\n{listed}\nGive another --out DIR."
        )
    if outcome["status"] in ENDED:
        sweep.outcomes[point.name] = outcome
    return outcome["status"] in ENDED


def _take_up(path, identity):
    """Record of the sweep in the folder, or {}; it has to be the same sweep but for values and seeds."""
    file = path / SWEEP
    for part in path.glob(".part-*"):
        shutil.rmtree(part)  # a point that was being written when the driver was killed
    if not file.exists():
        if {entry.name for entry in path.iterdir()} - {SWEEP + LEFTOVER}:
            raise InputError(f"{path}: is not empty and holds no sweep. Give another folder with --out DIR.")
        return {}
    before = read_json(file)
    lines = differences(before, identity)
    before = {"full": False} | before  # a sweep from before there was --full
    for name in ("quick", "full", "record", "swept"):
        if before.get(name) != identity[name]:
            texts = (_text(each.get(name)) for each in (before, identity))
            lines.append("{}: {} then, {} now".format(name, *texts))
    if lines:
        listed = "\n".join(f"  {line}" for line in lines)
        raise InputError(
            f"{path}: holds another sweep, started differently:\n{listed}\n"
            "A sweep goes on with further values and seeds only. Give another folder with --out DIR."
        )
    return before


def _text(value):
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _command(info, axes, seeds, jobs, out, size, target, record, scheduler):
    """Command that goes on with this sweep."""
    words = ["neuroplast", "sweep", info.name if info.module else str(info.path)]
    for axis in axes:
        values = ",".join(setting.partition("=")[2] for setting in axis.settings)
        words += ["--set", f"{axis.key}={values}"]
    words += ["--seeds", str(seeds)]
    words += ["--scheduler", scheduler] if scheduler else ["--jobs", str(jobs)]
    words += ["--out", str(out)] if out is not None else []
    words += size
    words += ["--target", "numpy"] if target == "numpy" else []
    for each in record:
        words += ["--record", each]
    return shlex.join(words)


__all__ = ["RESULTS", "SWEEP", "Sweep", "run_sweep"]
