"""Progress of one or several trainings: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

LINE_EVERY = 10.0  # seconds between plain lines
TELLING = 0.5  # seconds from which on a part tells the speed; in a shorter one, starting it weighs too much


@dataclass
class _Task:
    total: int
    done: int
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
    """

    def __init__(self, title="", console=None, parallel=1):
        self.title = title
        self.console = console
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
            if seconds >= TELLING:
                task.speed = (done - task.done) / seconds
            task.done, task.note = done, note
            if self._bars is not None:
                self._show_bars(label, task)
            elif self.console is not None:
                self._show_line(label, task)

    def say(self, text: str) -> None:
        """Print a line, above the bars."""
        if self.console is not None:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

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
        seconds = self.seconds_left()
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
