"""`Simulation`: a schedule made ready to run, as often and in as many pieces as wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from brian2.core.namespace import get_local_namespace
from brian2.core.variables import ArrayVariable, DynamicArrayVariable
from brian2.monitors.statemonitor import StateMonitor

from neuroplast.engine.counters import COUNTERS
from neuroplast.engine.prepare import prepare
from neuroplast.engine.presenting import chosen_data
from neuroplast.engine.targets import active_device
from neuroplast.errors import InputError


@dataclass
class Result:
    """What a run leaves.

    Attributes
    ----------
    state : dict of str to array
        ``object.variable``: everything that is needed to go on from `position`.
    monitors : dict of str to dict of str to array
        Recordings by monitor and variable, each (records, recorded elements); ``t`` is (records,).
    position : int
        Phases and events done since the start of the schedule.
    """

    state: dict = field(repr=False)
    monitors: dict = field(repr=False)
    position: int


class Simulation:
    """A schedule with its objects, generated once and run any number of times.

    Parameters
    ----------
    schedule : Schedule
    name : str, optional
        For messages.
    threads : int, optional
        Threads of the compiled program. Results do not depend on it.
    fuse : bool, optional
        Fuse sweeps of consecutive operations and steps where that changes nothing (compiled target).
    namespace : dict, optional
        External names in the equations; the caller's local names by default.

    Raises
    ------
    InputError
        See `neuroplast.engine.prepare.prepare`.
    """

    def __init__(self, schedule, name="simulation", *, threads=1, fuse=True, namespace=None):
        self.schedule, self.name, self.threads, self.fuse = schedule, name, int(threads), fuse
        self.device = active_device()
        self.target = self.device.target
        self.namespace = get_local_namespace(level=1) if namespace is None else dict(namespace)
        if self.threads < 1:
            raise InputError(f"Simulation '{name}': threads should be at least 1. Got {threads!r}.")
        self._backend = None

    def build(self):
        """Generate the code; compile it, or find it in the cache. Does nothing the second time.

        Returns
        -------
        self

        Raises
        ------
        InputError, BuildError
        """
        if self._backend is not None:
            return self
        from neuroplast.engine.cpp_backend import CppBackend
        from neuroplast.engine.numpy_backend import NumpyBackend

        values = {name: (variable, value) for name, variable, value in _values(self.device)}
        monitors = _monitor_names(self.schedule)
        changing = {
            name for name, (v, _) in values.items() if _is_state(v) and v.owner.name not in monitors
        }
        self.initial = {n: np.array(v) for n, (_, v) in values.items() if n in changing and v is not None}
        self._masked = _masks(self.schedule)
        constants = {n: np.array(v) for n, (_, v) in values.items() if n not in changing and v is not None}
        operations, monitors = prepare(self.schedule, self.device, self.namespace)
        self._operations = [op for node in operations.values() for op in node]
        chosen_data(self._operations, {})
        backend = {"cpp": CppBackend, "numpy": NumpyBackend}[self.target]
        self.variables = {n: v for n, (v, _) in values.items() if n in changing}
        self._backend = backend(self, operations, monitors, changing, constants)
        return self

    def length(self, counts=None):
        """Number of positions of the schedule (see `Schedule`)."""
        return self.schedule.length(counts)

    def position(self, loop, index, counts=None):
        """Position at which pass `index` of an outermost loop begins."""
        return self.schedule.position(loop, index, counts)

    def run(self, state=None, *, start=0, stop=None, seed=0, counts=None, data=None):
        """Run positions `start` to `stop`.

        Parameters
        ----------
        state : dict of str to array, optional
            ``object.variable`` and values; what is missing comes from `initial`. Pass `Result.state` to go on.
        start, stop : int, optional
            Positions; the whole schedule by default.
        seed : int, optional
            Key of all random numbers.
        counts : dict of str to int, optional
            Other passes of loops and steps of phases than the schedule's.
        data : dict of str to Dataset, optional
            Data sets to present in place of the schedule's own of these names: any number of rows, the same columns
            and type. Give `counts` to fit.

        Returns
        -------
        Result

        Raises
        ------
        InputError
            For an unknown name in `state`, `counts` or `data`, values of the wrong shape or that are not finite.
        DivergedError
            When a variable becomes NaN or infinite; what was recorded until then is its `partial`.
        """
        self.build()
        counts = self.schedule.counts(counts)
        stop = self.length(counts) if stop is None else stop
        if not 0 <= start <= stop <= self.length(counts):
            raise InputError(
                f"Simulation '{self.name}': start and stop should be 0 <= start <= stop <= {self.length(counts)}. "
                f"Got {start} and {stop}."
            )
        data = chosen_data(self._operations, data or {})
        return self._backend.run(self._full_state(state or {}), start, stop, int(seed), counts, data)

    def _full_state(self, state):
        full = dict(self.initial)
        for name, values in state.items():
            if name not in self.variables:
                raise InputError(
                    f"Simulation '{self.name}': no state variable is called '{name}'; there are "
                    f"{', '.join(sorted(self.variables))}."
                )
            variable = self.variables[name]
            values = np.asarray(values)
            if values.size not in (1, variable.size):
                shapes = getattr(variable.owner, "shape", None)
                wanted = f"{variable.size} values" + (f" (a matrix {shapes})" if shapes else "")
                raise InputError(
                    f"Simulation '{self.name}': {name} takes {wanted}. Got an array of shape {values.shape}."
                )
            full[name] = np.ascontiguousarray(np.broadcast_to(values.ravel(), variable.size), dtype=variable.dtype)
        for name, values in full.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise InputError(f"Simulation '{self.name}': the initial {name} is not finite.")
        for name, mask in self._masked.items():
            if name in full:
                full[name] = np.where(mask, full[name], np.zeros(1, full[name].dtype))
        return full


def _monitor_names(schedule):
    return {obj.name for leaf in schedule.leaves() for obj in leaf.objects if isinstance(obj, StateMonitor)}


def _values(device):
    """(name, variable, value) of every array of the device that still has an owner; value None if unknown."""
    for variable in list(device.arrays):
        try:
            name = f"{variable.owner.name}.{variable.name}"
            is_array = isinstance(variable, ArrayVariable)
        except (ReferenceError, AttributeError):
            continue
        if is_array and getattr(variable, "ndim", 1) == 1:
            try:
                yield name, variable, np.asarray(device.get_value(variable))
            except NotImplementedError:
                yield name, variable, None


def _is_state(variable):
    owner, name = variable.owner.name, variable.name
    if owner == "schedule":
        return name in COUNTERS
    if name in ("t", "timestep") and owner.startswith("defaultclock"):
        return True
    return not variable.read_only and not (isinstance(variable, DynamicArrayVariable) and name == "t")


def _masks(schedule):
    """Mask of every synaptic variable that has one, by the variable's name."""
    found = {}
    for leaf in schedule.leaves():
        for obj in leaf.objects:
            group = getattr(obj, "group", obj)
            if getattr(group, "mask", None) is not None and hasattr(group, "accumulate"):
                for name, variable in group.variables.items():
                    if variable in group._registered_variables and not name.startswith("_"):
                        found[f"{group.name}.{variable.name}"] = group.mask.ravel()
    return found
