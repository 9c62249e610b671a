"""Run a simulation as a compiled program, one process for each stretch of the schedule."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np

from neuroplast.engine import cpp_schedule
from neuroplast.engine.build import build
from neuroplast.engine.chains import shorten
from neuroplast.engine.fusing import fused_runner, plan
from neuroplast.engine.operations import NativeOperation
from neuroplast.engine.result import Result
from neuroplast.engine.schedule import Phase
from neuroplast.engine.scratch import scratch_folder
from neuroplast.engine.streams import cannot_write, recordings
from neuroplast.errors import DivergedError, InputError

#: Steps from one look for numbers that are not finite to the next.
WATCH = 1024

_BLAS_TEMPLATES = ("dense_product", "dense_accumulate", "conv_product", "conv_accumulate")


class CppBackend:
    """The compiled target of one simulation.

    Attributes
    ----------
    binary : Path
        The program, in the cache.
    cached : bool
        Whether it was there already.
    """

    def __init__(self, simulation, operations, monitors, selecting, constants):
        self.simulation, self.monitors = simulation, monitors
        self._fused = 0  # sweeps made by fusing, for their names
        device = simulation.device
        if simulation.fuse:
            operations = self._shorten(operations)
        calls = {}
        for leaf in simulation.schedule.leaves():
            fuse = self._fuse if simulation.fuse and isinstance(leaf, Phase) else None
            calls[leaf.name] = plan(operations[leaf.name], fuse)
        program = cpp_schedule.Program(
            device, simulation.schedule, calls, monitors, selecting, set(simulation.variables), simulation.watched
        )
        flat = [op for ops in operations.values() for op in ops]
        blas = any(op.blas if isinstance(op, NativeOperation) else op.template in _BLAS_TEMPLATES for op in flat)
        self._folder = scratch_folder()
        self.project = Path(self._folder.name)
        device.write_sources(self.project, cpp_schedule.generate(program), blas)
        self.binary, self.cached = build(device, self.project, cpp_schedule.buffer_declarations(program))
        self.constants = self.project / "constants"
        self.constants.mkdir()
        unread = {f"{v.owner.name}.{v.name}" for v in device.unread_indices()}
        for name in constants.keys() - unread:
            np.ascontiguousarray(constants[name]).tofile(self.constants / name)
        self._written = []  # (data set, its files)
        self._writing = threading.Lock()  # nets that share the program are run by several threads
        self.sizes = {n: (v.size, v.dtype) for n, v in simulation.variables.items()}

    def _shorten(self, operations):
        """Sums over sums in the cheaper order; what nothing runs any more is not compiled."""
        chained = shorten(operations)
        left = {op.name for ops in chained.values() for op in ops}
        for operation in (op for ops in operations.values() for op in ops):
            if operation.name not in left:
                self.simulation.device.code_objects.pop(operation.codeobj.name, None)
        return chained

    def _fuse(self, synapses, parts, sums):
        self._fused += 1
        runner = fused_runner(synapses, parts, sums, self._fused)
        runner.before_run(self.simulation.namespace)
        return runner

    def run(self, state, start, stop, seed, counts, data, selected):
        """See `Simulation.run`; `selected` has each recorder's selection."""
        try:
            return self._run(state, start, stop, seed, counts, data, selected)
        except OSError as error:
            raise cannot_write(error.filename or self.project, error) from error

    def _run(self, state, start, stop, seed, counts, data, selected, closely=None):
        with tempfile.TemporaryDirectory(dir=self.project, prefix="run-") as folder:
            folder = Path(folder)
            for part in ("state", "out"):
                (folder / part).mkdir()
            for name, values in state.items():
                (folder / "state" / name).write_bytes(values.data)
            lines = [selection.line(*place) for place, selection in selected.items()]
            (folder / "record").write_text("\n".join(lines) + "\n")
            command = [
                str(self.binary), "--from", str(start), "--until", str(stop), "--seed", str(seed),
                "--threads", str(self.simulation.threads), "--constants", str(self.constants),
                "--state", str(folder / "state"), "--out", str(folder / "out"), "--watch", str(WATCH),
                "--record", str(folder / "record"),
            ]  # fmt: skip
            if closely is not None:
                command += ["--watch-after", str(closely)]
            for name, count in counts.items():
                command += ["--count", f"{name}={count}"]
            for name, dataset in data.items():
                for part, place in self._files(dataset).items():
                    command += ["--data", f"{name}.{part}={place}"]
            # BLAS starts threads when it is loaded, unless told not to. In a process group of its own Ctrl-C does not
            # reach the program: the training decides when to stop.
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            done = subprocess.run(
                command, cwd=self.project, env=environment, capture_output=True, text=True, process_group=0
            )
            if done.returncode == 3:
                self._diverged(folder / "out", state, start, stop, seed, counts, data, selected, closely)
            if done.returncode:
                raise InputError(f"Simulation '{self.simulation.name}': {_said(done)}")
            return self._result(folder / "out", stop)

    def _result(self, folder, position):
        state = {n: np.fromfile(folder / n, dtype=dtype) for n, (_, dtype) in self.sizes.items()}
        self.simulation.device.final_values.update(
            {variable: state[name] for name, variable in self.simulation.variables.items()}
        )
        return Result(state, recordings(folder, self.monitors), position)

    def _files(self, dataset):
        """Files of a data set, written when it is first used."""
        with self._writing:
            for known, files in self._written:
                if known is dataset:
                    return files
            folder = self.project / f"data-{len(self._written)}"
            folder.mkdir()
            self._written.append((dataset, dataset.write(folder)))
            return self._written[-1][1]

    def _diverged(self, folder, state, start, stop, seed, counts, data, selected, closely):
        """Raise the error; a second run, which looks at every step since the last look, finds the very step."""
        name, *numbers = (folder / "diverged").read_text().split()
        index, position, epoch, trial, k, tick = map(int, numbers)
        if closely is None:
            self._run(state, start, stop, seed, counts, data, selected, closely=last_look(tick))
        partial = self._result(folder, position)
        where = {"position": position, "epoch": epoch, "trial": trial, "k": k, "tick": tick}
        raise diverged(self.simulation.schedule.leaf(position - 1, counts), name, index, where, partial)


def _said(done):
    """What the program said of its end: our own words (`fail` in state.h), or that it failed and how."""
    text = done.stderr.strip()
    if done.returncode == 2 and text.startswith("neuroplast: "):
        return text.removeprefix("neuroplast: ")
    return f"the compiled program failed: {text or f'ended with status {done.returncode}'}"


def last_look(tick):
    """The step before this one at which all was looked through and finite."""
    return (tick - 1) // WATCH * WATCH


def diverged(leaf, name, index, where, partial):
    """The error that says which variable left the finite numbers, where and when."""
    place = f"in step k = {where['k']} of phase" if isinstance(leaf, Phase) else "in event"
    return DivergedError(
        f"{name}[{index}] is no longer finite {place} '{leaf.name}', trial {where['trial']} (epoch {where['epoch']}, "
        f"tick {where['tick']}). Try a smaller learning rate or a smaller dt.",
        name, index, where, partial,
    )  # fmt: skip
