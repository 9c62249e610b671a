"""Points of a sweep in processes on this machine: joblib's loky, which notices a process that dies."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import tempfile
import threading
from pathlib import Path

from neuroplast.sweep_worker import Task, orphaned, run_point

LARGEST_MESSAGE = 60_000  # bytes


class LocalWorkers:
    """Processes of this machine.

    What happens is put into `events` as ``(kind, name of the task, content)`` with the kinds "progress", "done" (the
    answer of `neuroplast.sweep_worker.run_point`) and "lost" (the process died).

    Parameters
    ----------
    jobs : int
        Points at the same time.
    events : queue.Queue
    """

    def __init__(self, jobs: int, events: queue.Queue):
        self.jobs, self.events = jobs, events
        self._executor = None
        self._folder = tempfile.TemporaryDirectory(prefix="neuroplast-sweep-")
        # Datagrams, since a point must never wait for somebody to read how far it is.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(Path(self._folder.name) / "progress"))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def width(self) -> int:
        """Points that can run at the same time."""
        return self.jobs

    def submit(self, task: Task) -> None:
        """Start a point."""
        from joblib.externals.loky import ProcessPoolExecutor
        from joblib.externals.loky.process_executor import BrokenProcessPool

        for _ in range(2):
            if self._executor is None:
                self._executor = ProcessPoolExecutor(self.jobs, initializer=_begin)
            try:
                future = self._executor.submit(_work, task, self._folder.name)
                break
            except BrokenProcessPool:
                self._executor = None  # a process died; the others of its pool have been ended
        future.add_done_callback(lambda future: self._ended(task.name, future))

    def receive(self, content: dict, folder: Path) -> None:
        """Nothing is left to do for an answer: the run's folder is where it belongs."""

    def stop(self) -> None:
        """Ask all points to save what they have and stop."""
        (Path(self._folder.name) / "stop").touch()

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
        self._socket.sendto(b"", self._socket.getsockname())  # ends the listening
        self._listener.join()
        self._socket.close()
        self._folder.cleanup()

    def _ended(self, name, future):
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            reason = f"{type(error).__name__}: {error}".split("\n")[0] if error else "cancelled"
            self.events.put(("lost", name, {"status": "failed", "error": f"its process ended ({reason})"}))
        else:
            self.events.put(("done", name, future.result()))

    def _listen(self):
        while message := self._socket.recv(LARGEST_MESSAGE):
            content = json.loads(message)
            self.events.put(("progress", content.pop("name"), content))


def _begin():
    """In a new process: Ctrl-C is the driver's business, which asks for an orderly stop."""
    signal.signal(signal.SIGINT, _nothing)


def _nothing(*_):
    """Not SIG_IGN, which Brian2's own handler could not call."""


def _work(task, folder):
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:

        def send(content):
            message = json.dumps({"name": task.name, **content}).encode()
            with contextlib.suppress(OSError):  # nobody listens, or nobody has time to
                if len(message) <= LARGEST_MESSAGE:
                    to.sendto(message, socket.MSG_DONTWAIT, str(Path(folder) / "progress"))

        def stopped():
            return orphaned(parent) or (Path(folder) / "stop").exists()

        return run_point(task, send, stopped)
