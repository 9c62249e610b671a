"""`Simulation`: a schedule made ready to run, as often and in as many pieces as wanted."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
from brian2.core.clocks import Clock
from brian2.core.namespace import get_local_namespace
from brian2.core.variables import ArrayVariable, DynamicArrayVariable

from neuroplast.engine import philox
from neuroplast.engine.active import activated, active_device, named_arrays
from neuroplast.engine.counters import COUNTERS, ENDED, Counters
from neuroplast.engine.cpp_backend import CppBackend
from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.hashing import variables_hashed_once
from neuroplast.engine.initial import matrix_shape
from neuroplast.engine.messages import whole_number
from neuroplast.engine.monitors import is_monitor
from neuroplast.engine.numpy_backend import NumpyBackend
from neuroplast.engine.prepare import prepare
from neuroplast.engine.presenting import chosen_data
from neuroplast.engine.selection import selected
from neuroplast.errors import InputError


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

    Attributes
    ----------
    initial : dict of str to array
        ``object.variable`` and its values at position 0, once the simulation is built. What is set in Python later
        does not get in: give it to `run` as `state`.

    Raises
    ------
    InputError
        If `threads` is no positive integer; and when the simulation is built (see `Simulation.build`).
    """

    def __init__(self, schedule, name="simulation", *, threads=1, fuse=True, namespace=None):
        self.schedule, self.name, self.fuse = schedule, name, fuse
        self.threads = whole_number(f"Simulation '{name}'", "threads", threads, 1)
        self.device = active_device()
        self.target = self.device.target
        self.namespace = get_local_namespace(level=1) if namespace is None else dict(namespace)
        self._backend = None

    def build(self):
        """Generate the code; compile it, or find it in the cache. Does nothing the second time.

        Returns
        -------
        self

        Raises
        ------
        InputError
            For what is wrong in the equations (see `neuroplast.engine.prepare.prepare`), two objects of the same
            name, or objects of another simulation.
        BuildError
            If there is no C++ compiler, or it fails.
        """
        if self._backend is None:
            with activated(self.device), variables_hashed_once():
                self._build()
        return self

    def _build(self):
        if self.device.simulation is not None:
            raise InputError(
                f"Simulation '{self.name}': simulation '{self.device.simulation}' has been built, or tried, of what "
                "was made since start(). Put all phases into one schedule, or call start() and make the objects anew."
            )
        self.device.simulation = self.name
        self.device.counters.keep_ends(len(self.schedule.followed()))
        arrays = {}
        for name, variable in _arrays(self.device):
            if name in arrays:
                raise InputError(
                    f"Simulation '{self.name}': there are two {name}. Give each object a name of its own, "
                    "and call start() before building another network."
                )
            arrays[name] = variable
        self.variables = {n: v for n, v in arrays.items() if _is_state(v)}
        # Time is a number of steps: it cannot diverge.
        floats = {n: v for n, v in self.variables.items() if np.dtype(v.dtype).kind == "f"}
        self.watched = {n for n, v in floats.items() if not isinstance(v.owner, Clock)}
        self._masks = {n: mask for n, v in self.variables.items() if (mask := _mask(v)) is not None}
        values = {n: np.array(self.device.get_value(v)) for n, v in arrays.items()}
        self.initial = {n: self._with_mask(n, values[n]) for n in self.variables}
        constants = {n: v for n, v in values.items() if n not in self.variables}
        # After the values have been read: Brian2 forgets those that its code objects write.
        operations, monitors, self._selecting = prepare(self.schedule, self.device, self.namespace)
        self._operations = [op for node in operations.values() for op in node]
        chosen_data(self._operations, {})
        backend = {"cpp": CppBackend, "numpy": NumpyBackend}[self.target]
        self._backend = backend(self, operations, monitors, self._selecting, constants)

    @property
    def program(self):
        """Name of the compiled program in the cache, and whether it was there; None for numpy and before `build`."""
        binary = getattr(self._backend, "binary", None)
        return None if binary is None else (binary.name, self._backend.cached)

    @cached_property
    def identity(self):
        """Hash of all that results follow from besides state, seed and counts: program, constants, data, selections.

        Returns
        -------
        str
            "" for numpy, whose results follow from the versions of libraries, too.
        """
        self.build()
        if self.program is None:
            return ""
        digest = hashlib.sha256(self.program[0].encode())
        for path in sorted(self._backend.constants.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        for name, dataset in sorted(chosen_data(self._operations, {}).items()):
            digest.update(f"{name} {dataset.digest}".encode())
        digest.update(repr([op._selection for op, _, _ in self._selecting]).encode())
        return digest.hexdigest()

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
            ``object.variable`` and values; what is missing comes from `initial`. Pass `Result.state` to go
            on.
        start, stop : int, optional
            Positions; the whole schedule by default.
        seed : int, optional
            Key of all random numbers.
        counts : dict of str to int, optional
            Other passes of loops and steps of phases than the schedule's.
        data : dict of str to Dataset, optional
            Data sets to present in place of the schedule's own of these names: any number of rows, the same
            columns and type. Give `counts` to fit.

        Returns
        -------
        Result

        Raises
        ------
        InputError
            For an unknown name in `state`, `counts` or `data`, values of the wrong shape or that are not
            finite, positions outside the schedule, trials to be recorded that the counts do not have, a seed that is
            no integer from 0 to 2**64 - 1, or a disk that is full.
        DivergedError
            When a variable becomes NaN or infinite; what was recorded until then is its `partial`.
        """
        self.build()
        counts = self.schedule.counts(counts)
        length = self.length(counts)
        stop = length if stop is None else stop
        if not 0 <= start <= stop <= length:
            raise InputError(
                f"Simulation '{self.name}': start and stop should be 0 <= start <= stop <= {length}. "
                f"Got {start} and {stop}."
            )
        seed = philox.check_seed(seed)
        data = chosen_data(self._operations, data or {})
        chosen = selected(self._selecting, counts)
        return self._backend.run(self._full_state(state or {}), start, stop, seed, counts, data, chosen)

    def _full_state(self, state):
        full = dict(self.initial)
        for name, values in state.items():
            if name not in self.variables:
                raise InputError(
                    f"Simulation '{self.name}': no state variable is called '{name}'; there are "
                    f"{', '.join(sorted(self.variables))}."
                )
            full[name] = self._with_mask(name, self._flat(name, np.asarray(values)))
        for name, values in full.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                index = int(np.flatnonzero(~np.isfinite(values))[0])
                raise InputError(
                    f"Simulation '{self.name}': {name}[{index}] is {values[index]} at the start. Give finite values."
                )
        return full

    def _flat(self, name, values):
        """Values of a variable as the flat array that the backends take."""
        variable = self.variables[name]
        size, shape = variable.size, matrix_shape(variable)
        if values.dtype.kind not in "biuf" or not (values.size == 1 or values.shape in ((size,), shape)):
            wanted = f"{size} numbers" + (f" or a matrix of shape {shape}" if shape else "")
            raise InputError(
                f"Simulation '{self.name}': {name} takes one number, {wanted}. Got {values.dtype} values of "
                f"shape {values.shape}."
            )
        return np.array(np.broadcast_to(values.ravel(), size), dtype=variable.dtype)

    def _with_mask(self, name, values):
        """The values, zero where a mask leaves pairs out."""
        return np.where(self._masks[name], values, values.dtype.type(0)) if name in self._masks else values


def _arrays(device):
    """(``object.variable``, variable) of the device's arrays, monitors' records aside."""
    for name, variable in named_arrays(device):
        grows = isinstance(variable, DynamicArrayVariable) and not isinstance(variable.owner, DenseSynapses)
        if isinstance(variable, ArrayVariable) and not grows:
            yield name, variable


def _is_state(variable):
    owner, name = variable.owner, variable.name
    if isinstance(owner, Counters):
        return name in (*COUNTERS, ENDED)
    if isinstance(owner, Clock):
        return name in ("t", "timestep")
    return not variable.read_only and not is_monitor(owner)


def _mask(variable):
    """Mask of a synaptic variable, flat, or None."""
    owner = variable.owner
    masked = isinstance(owner, DenseSynapses) and owner.mask is not None
    return owner.mask.ravel() if masked and variable in owner._registered_variables else None
