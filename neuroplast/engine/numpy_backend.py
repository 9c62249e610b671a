"""Run a simulation in this process with numpy."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
from brian2.core.base import BrianObjectException

from neuroplast.engine.counters import ENDED
from neuroplast.engine.cpp_backend import WATCH, diverged, last_look
from neuroplast.engine.messages import explained
from neuroplast.engine.numpy_device import running
from neuroplast.engine.operations import NativeOperation
from neuroplast.engine.result import Result
from neuroplast.engine.schedule import Loop, Phase
from neuroplast.engine.scratch import scratch_folder
from neuroplast.engine.streams import Streams, recordings
from neuroplast.errors import DivergedError, InputError

_lock = threading.Lock()  # one numpy simulation at a time: they share the random functions


class _Stop(Exception):
    """The end of the stretch has been reached."""


class NumpyBackend:
    """The numpy target of one simulation: walks the same tree as the compiled loops."""

    def __init__(self, simulation, operations, monitors, selecting, constants):
        self.simulation, self.monitors = simulation, monitors
        self.operations = operations
        device = simulation.device
        self.folder = scratch_folder()
        self.followed = simulation.schedule.followed()
        self.counters = {n: device.counters.variables[n].get_value() for n in device.counters.variables if n != "N"}
        self.clock = {n: device.defaultclock.variables[n].get_value() for n in ("t", "timestep", "dt")}

    def run(self, state, start, stop, seed, counts, data, selected):
        """See `Simulation.run`; `selected` has each recorder's selection."""
        with _lock, np.errstate(all="ignore"):
            running.device, running.seed = self.simulation.device, seed
            running.dtype, running.data = self.simulation.device.dtype, data
            self.start, self.stop, self.counts, self.selected = start, stop, counts, selected
            try:
                return self._run(state)
            except DivergedError as err:
                return self._run(state, closely=last_look(err.where["tick"]))  # once more, to find the very step

    def _run(self, state, closely=None):
        with tempfile.TemporaryDirectory(dir=self.folder.name, prefix="run-") as folder:
            running.streams = Streams(Path(folder), self.monitors)
            try:
                return self._walk(state, closely)
            finally:
                running.streams.close()

    def _walk(self, state, closely):
        for name, values in state.items():
            self.simulation.variables[name].set_value(values)
        self.position, self.closely = 0, np.inf if closely is None else closely
        try:
            self._body(self.simulation.schedule.body)
        except _Stop:
            pass
        self._watch()
        return self._result(self.stop)

    def _result(self, position):
        state = {n: np.array(v.get_value()) for n, v in self.simulation.variables.items()}
        running.streams.close()
        return Result(state, recordings(running.streams.folder, self.monitors), position)

    def _body(self, body):
        for node in body:
            if isinstance(node, Loop):
                for index in range(self.counts[node.name]):
                    if node.counter:
                        self.counters[node.counter][0] = index
                    self._body(node.body)
                continue
            if self.position >= self.stop:
                raise _Stop
            self.position += 1
            if self.position <= self.start:
                continue
            if isinstance(node, Phase):
                self._phase(node)
            else:
                self._once(node)

    def _phase(self, node):
        steps = self.counts[node.name]
        if node.length is not None:
            variable, index = node.length_at()
            length = int(variable.get_value()[index])
            if not 0 <= length <= steps:
                raise InputError(node.wrong_length(length, steps))
            steps = length
        self.counters["n_steps"][0] = steps
        begin = 0 if node.follows is None else int(self.counters[ENDED][self.followed.index(node.follows)])
        for step in range(begin, begin + steps)[:: node.direction]:
            self.counters["k"][0] = step
            self._once(node, advance=node.clock == "advance")
        if node.name in self.followed:
            self.counters[ENDED][self.followed.index(node.name)] = begin + steps

    def _due(self, operation, node):
        """Whether a recorder records now; all other operations run always."""
        selection = self.selected.get((operation.name, node.name))
        if selection is None:
            return True
        k, trial, epoch = (int(self.counters[n][0]) for n in ("k", "trial", "epoch"))
        number = selection.around.number(trial, epoch, self.counts)
        return selection.in_phase(k, number) if isinstance(node, Phase) else selection.in_event(number)

    def _once(self, node, advance=False):
        for op in self.operations[node.name]:
            if not self._due(op, node):
                continue
            if isinstance(op, NativeOperation):
                op.numpy(lambda variable: variable.get_value())
            else:
                try:
                    op.run()
                except BrianObjectException as error:
                    raise explained(f"'{op.name}'", error, code=op.abstract_code) from error
        if advance:
            self.clock["timestep"][0] += 1
            self.clock["t"][0] = self.clock["timestep"][0] * self.clock["dt"][0]
        self.counters["tick"][0] += 1
        tick = self.counters["tick"][0]
        if tick % WATCH == 0 or tick > self.closely:
            self._watch()

    def _watch(self):
        for name in sorted(self.simulation.watched):
            values = self.simulation.variables[name].get_value()
            if not np.isfinite(values).all():
                where = {n: int(self.counters[n][0]) for n in ("epoch", "trial", "k", "tick")}
                where["position"] = self.position
                index = int(np.flatnonzero(~np.isfinite(values))[0])
                leaf = self.simulation.schedule.leaf(self.position - 1, self.counts)
                raise diverged(leaf, name, index, where, self._result(self.position))
