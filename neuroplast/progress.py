"""Progress of one or several trainings: bars on a terminal, plain lines elsewhere, JSON lines for machines.

With ``--json`` each line on stdout is one object. Its ``event`` is one of

- ``progress``: protocol, task (the net, or the point of a sweep), position, total, fraction (of everything), done and
  tasks (how many have ended, of how many), trial, metric, value, note, seconds_left;
- ``message``: protocol, text;
- ``point``: protocol, task, status, reason, seconds (of a sweep);
- ``end``: protocol, status, folder.

What is not known, or is no finite number, is null.
"""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import dataclass

LINE_EVERY = 10.0  # seconds between plain lines
TELLING = 0.5  # seconds from which on a part tells the speed; in a shorter one, starting it weighs too much


class Note(str):
    """What was measured last, as text for people, with its parts.

    Parameters
    ----------
    text : str
        Such as ``trial 120, loss 0.0312``.
    trial : int, optional
    metric : str, optional
    value : float, optional
    """

    def __new__(cls, text="", trial=None, metric=None, value=None):  # noqa: D102 - the class says it
        note = super().__new__(cls, text)
        note.trial, note.metric, note.value = trial, metric, value
        return note

    def parts(self) -> dict:
        """Its parts, as plain data."""
        return {"note": str(self), "trial": self.trial, "metric": self.metric, "value": self.value}


@dataclass
class _Task:
    total: float
    done: float
    group: object
    speed: float | None = None  # positions per second, of the last part that took long enough
    note: str = ""
    bar: object = None


class Progress:
    """What is done, what was measured last, and how long it will take.

    Parameters
    ----------
    title : str
    console : rich.console.Console, optional
        Where to show it; by default nothing is shown.
    parallel : int
        Tasks that run at the same time.
    lines : text stream, optional
        Gets a JSON object per line.
    """

    def __init__(self, title="", console=None, parallel=1, lines=None):
        self.title = title
        self.console = console
        self.lines = lines
        self.parallel = parallel
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.Lock()
        self._last_line = 0.0
        self._bars = None
        self._overall = None

    def __enter__(self):
        if self.console is not None and self.console.is_terminal:
            self._bars = _bars(self.console)
            self._bars.start()
        return self

    def __exit__(self, *exception):
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def add(self, label: str, total: int, done: int = 0, group: object = None) -> None:
        """Announce a task of `total` positions; tasks of one group cost the same per position."""
        with self._lock:
            self._tasks[label] = _Task(total, done, group)
            if self._bars is not None and self._overall is None and len(self._tasks) > 1:
                self._overall = self._bars.add_task(self.title, total=1, note="", left="")

    def advance(self, label: str, done: int, seconds: float, note: str = "") -> None:
        """Say how far a task has come, what the last part took, and the metric to show."""
        with self._lock:
            task = self._tasks[label]
            if seconds >= TELLING and done > task.done:
                task.speed = (done - task.done) / seconds
            task.done, task.note = done, note
            self._write_event(label, task)
            if self._bars is not None:
                self._show_bars(label, task)
            elif self.console is not None:
                self._show_line(label, task)

    def end(self, label: str, seconds: float, note: str = "") -> None:
        """Say that a task has ended and what all of it took, which tells more of the speed than its last part."""
        with self._lock:
            self._tasks[label].done = 0
        self.advance(label, self._tasks[label].total, seconds, note)

    def say(self, text: str) -> None:
        """Print a line, above the bars."""
        self.event("message", text=text)
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def event(self, event: str, **fields) -> None:
        """Write a JSON line, if anybody wants them."""
        if self.lines is not None:
            content = {"event": event, "protocol": self.title} | {
                name: _finite(value) for name, value in fields.items()
            }
            self.lines.write(json.dumps(content, ensure_ascii=False) + "\n")
            self.lines.flush()

    def fraction(self) -> float:
        """Share of all positions that is done."""
        tasks = self._tasks.values()
        return sum(task.done for task in tasks) / max(1, sum(task.total for task in tasks))

    def seconds_left(self) -> float | None:
        """Estimate from the last speed in each group; None as long as no speed is known."""
        tasks = self._tasks.values()
        overall = _speed(tasks)
        if overall is None:
            return None
        left = 0.0
        for task in tasks:
            speed = _speed([other for other in tasks if other.group == task.group]) or overall
            left += (task.total - task.done) / speed
        return left / max(1, min(self.parallel, len(tasks)))

    def _write_event(self, label, task):
        parts = task.note.parts() if isinstance(task.note, Note) else {"note": task.note}
        ended = sum(other.done >= other.total for other in self._tasks.values())
        seconds = self.seconds_left()
        self.event(
            "progress",
            **{"task": label, "position": task.done, "total": task.total, "fraction": self.fraction()},
            **{"done": ended, "tasks": len(self._tasks), **parts},
            seconds_left=None if seconds is None else round(seconds, 1),
        )

    def _show_line(self, label, task):
        now = time.monotonic()
        ended = all(other.done >= other.total for other in self._tasks.values())
        if not ended and now - self._last_line < LINE_EVERY:
            return
        self._last_line = now
        seconds = self.seconds_left()
        left = "" if ended or seconds is None else f", about {duration(seconds)} left"
        which = f" ({label})" if len(self._tasks) > 1 else ""
        note = f", {task.note}{which}" if task.note else ""
        self.say(f"{self.title}: {self.fraction():.0%}{note}{left}")

    def _show_bars(self, label, task):
        single = self._overall is None
        seconds = None if task.done >= task.total and single else self.seconds_left()
        left = "" if seconds is None else f"{duration(seconds)} left"
        if task.bar is None:
            name = self.title if single else f"  {label}"
            task.bar = self._bars.add_task(name, total=task.total, note="", left="")
        self._bars.update(task.bar, completed=task.done, note=task.note, left=left if single else "")
        if not single:
            ended = sum(other.done >= other.total for other in self._tasks.values())
            note = f"{ended} of {len(self._tasks)} done"
            self._bars.update(self._overall, completed=self.fraction(), note=note, left=left)
            if task.done >= task.total:
                self._bars.update(task.bar, visible=False)


def duration(seconds: float) -> str:
    """Seconds as text for people: 8 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s" if seconds > 0 else "0 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _speed(tasks):
    """Mean of the speeds that are known, or None."""
    known = [task.speed for task in tasks if task.speed]
    return sum(known) / len(known) if known else None


def _bars(console):
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[note]}"),
        console=console,
    )
