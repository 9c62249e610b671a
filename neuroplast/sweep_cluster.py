"""Points of a sweep on a Dask cluster, whose workers need not share a file system with this machine.

`distributed.Client` itself and not joblib's backend for it, which gives no say in how a task that was lost is run
again, in which order results come, and in what is told meanwhile.

A worker runs a point in a scratch folder, with programs built for its own processor, one point at a time; the files
of the run come back as bytes, and are put in place whole.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.runs import is_running
from neuroplast.sweep_worker import Task, code_version, run_point

CONNECTING = 5  # seconds
#: Folders of a run that only the machine which runs it needs.
LEFT_BEHIND = {"checkpoint", "segments"}
#: Brian2 is not made for two simulations in one process at a time.
_ALONE = threading.Lock()


class ClusterWorkers:
    """Workers of a Dask scheduler; see `neuroplast.sweep_local.LocalWorkers` for the events.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.
    events : queue.Queue
    info : ProtocolInfo
        A file of the user's travels with the points.

    Raises
    ------
    InputError
        Without the package, the scheduler, or the same neuroplast on the workers.
    """

    def __init__(self, address: str, events: queue.Queue, info):
        try:
            from distributed import Client
        except ImportError as err:
            raise InputError(
                "--scheduler needs Dask, which is not installed: pip install 'neuroplast[cluster]'"
            ) from err
        try:
            self.client = Client(address, timeout=CONNECTING, set_as_default=False)
        except (OSError, ValueError, TypeError) as err:
            raise InputError(
                f"--scheduler {address}: no Dask scheduler answers there within {CONNECTING} s. Start one with "
                "dask scheduler, and give the address that it prints, such as tcp://host:8786."
            ) from err
        self.address, self.events = address, events
        self.sources = {} if info.module else protocol_files(info.path)
        self._futures: dict = {}
        self._topic = f"neuroplast-{uuid.uuid4().hex}"
        try:
            check_versions(self.client.run(code_version, on_error="return"), code_version())
        except BaseException:
            self.client.close()
            raise
        self.client.subscribe_topic(self._topic, self._told)

    def width(self) -> int:
        """Points that can run at the same time: one per worker."""
        try:
            return len(self.client.nthreads())
        except (OSError, RuntimeError) as err:
            raise self._lost() from err

    def submit(self, task: Task) -> None:
        """Start a point."""
        call = (run_remotely, task, self.sources, code_version(), self._topic)
        try:
            future = self.client.submit(*call, key=f"{task.name}-{uuid.uuid4().hex[:8]}", pure=False)
        except (OSError, RuntimeError) as err:
            raise self._lost() from err
        self._futures[task.name] = future
        future.add_done_callback(lambda future: self._ended(task.name, future))

    def receive(self, content: dict, folder: Path) -> None:
        """Put the files that came with an answer in place."""
        files = content.pop("files", None)
        if files:
            write_folder(folder, files)

    def stop(self) -> None:
        """Let all points stop; what they have done is lost, since it is on the workers."""
        self.client.cancel(list(self._futures.values()), force=True)

    def close(self) -> None:
        """Leave the cluster."""
        self._futures.clear()
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.client.close(timeout=CONNECTING)

    def _told(self, event):
        _, content = event
        content = dict(content)
        self.events.put(("progress", content.pop("name"), content))

    def _ended(self, name, future):
        try:
            self.events.put(("done", name, future.result()))
        except BaseException as err:
            reason = str(err).split("\n")[0]
            error = f"{type(err).__name__}: {reason}"
            kind = "done" if isinstance(err, InputError | ImportError) else "lost"
            self.events.put((kind, name, {"status": "failed", "error": error}))

    def _lost(self):
        return InputError(
            f"--scheduler {self.address}: the connection was lost. Start it again; so does the sweep go on."
        )


def run_remotely(task: Task, sources: dict[str, bytes], version: str, topic: str) -> dict:
    """Run a point on a worker of the cluster.

    Returns
    -------
    dict
        See `neuroplast.sweep_worker.run_point`; and ``files``, what the run left, by path.
    """
    from distributed import get_worker

    check_versions({"this worker": code_version()}, version)
    worker = get_worker()
    key = worker.get_current_task()

    def send(content):
        worker.log_event(topic, {"name": task.name, **content})

    def stopped():
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    with _ALONE, _brian_in_a_thread(), tempfile.TemporaryDirectory(prefix="neuroplast-point-") as scratch:
        folder = Path(scratch) / "run"
        options = task.options | {"threads": worker.state.nthreads}
        with _modules(sources, Path(scratch) / "protocol") as path:
            here = dataclasses.replace(task, protocol=path or task.protocol, folder=str(folder), options=options)
            answer = run_point(here, send, stopped)
        return answer | {"files": read_folder(folder)}


@contextlib.contextmanager
def _brian_in_a_thread():
    """Let Brian2 be imported: it wants to handle SIGINT, which only a main thread may, and tasks run in others."""
    before = signal.signal
    signal.signal = lambda number, handler: signal.getsignal(number)
    try:
        import brian2  # noqa: F401
    finally:
        signal.signal = before
    yield


@contextlib.contextmanager
def _modules(sources, folder):
    """Path of the protocol's file, which comes first, among the modules that came with it and hide all others."""
    if not sources:
        yield ""
        return
    names = {Path(name).parts[0].removesuffix(".py") for name in sources}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in names}
    for name, content in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sys.path.insert(0, str(folder))
    try:
        yield str(folder / next(iter(sources)))
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(hidden)


def check_versions(found: dict, wanted: str) -> None:
    """Refuse workers with another neuroplast than this process has.

    Raises
    ------
    InputError
        Naming the first of them.
    """
    for worker, version in found.items():
        if version != wanted:
            theirs = (
                f"neuroplast {version}" if isinstance(version, str) else f"no neuroplast that can be used ({version})"
            )
            raise InputError(
                f"{worker} has {theirs}, and here it is neuroplast {wanted}. Install the same on all machines."
            )


def protocol_files(path: Path) -> dict[str, bytes]:
    """A protocol's file and the modules and packages beside it that it imports, directly or not, by relative path."""
    folder, files, left = path.parent, {}, [path]
    while left:
        file = left.pop(0)
        name = str(file.relative_to(folder))
        if name in files:
            continue
        files[name] = file.read_bytes()
        for module in _imported(files[name]):
            if (folder / f"{module}.py").is_file():
                left.append(folder / f"{module}.py")
            elif (folder / module / "__init__.py").is_file():
                left += sorted((folder / module).rglob("*.py"))
    return files


def _imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def read_folder(folder: Path) -> dict[str, bytes]:
    """Files of a run, by relative path, without what only its own machine needs."""
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {str(name): path.read_bytes() for name, path in files.items() if not LEFT_BEHIND & set(name.parts)}


def write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Make a folder of these files, whole or not at all; one that is there is replaced.

    Raises
    ------
    InputError
        If a process runs in the one that is there, or the files cannot be written.
    """
    part = folder.with_name(f".part-{folder.name}")
    if folder.exists() and is_running(folder):
        raise InputError(f"{folder}: another process is running there. Wait for it, or end it first.")
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, content in files.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(part, folder)
    except OSError as err:
        shutil.rmtree(part, ignore_errors=True)
        raise InputError(f"{folder}: cannot be written ({err.strerror}). Free some space; the sweep goes on.") from err
