"""Small networks, built of Brian2's own classes or of the engine's, to be compared.

A model is a function of a `Kit`. `Native` makes it of `NeuronGroup` and `Synapses`, `Dense` of `Population` and
`DenseSynapses`, with the same orders: the results have to be the same. Many models can share one kit and thus one
binary.
"""

import zlib

import brian2
import numpy as np
from brian2 import ms

from neuroplast.engine import DenseSynapses, Phase, Population, Schedule, Simulation, start

DT = 1 * ms
NAMESPACE = {"tau": 10 * ms, "eta": 0.05, "gain": 0.7}
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}


def numbers(name, shape, low=-1.0, high=1.0):
    """Uniform numbers that follow from a name: the same whoever asks."""
    return np.random.default_rng(zlib.crc32(name.encode())).uniform(low, high, shape)


class Kit:
    """Makes the objects of models and collects them; `prefix` keeps the names of several models apart."""

    def __init__(self):
        self.prefix = ""
        self.groups, self.objects, self.monitors = {}, [], []

    def build(self, models):
        """Add models, a dict of name to function."""
        for name, model in models.items():
            self.prefix = f"{name}_"
            model(self)
        return self

    def population(self, name, N, equations, order=10, method="euler", **kwds):
        return self._add(self._population(self.prefix + name, N, equations, order=order, method=method, **kwds))

    def synapses(self, name, source, target, equations, order=None, method="euler", mask=None):
        name, order = self.prefix + name, order or {}
        return self._add(self._synapses(name, source, target, equations, order=order, method=method, mask=mask))

    def _add(self, group):
        self.groups[group.name] = group
        self.objects.append(group)
        return group

    def regularly(self, group, code, order):
        """Statements in each step."""
        return group.run_regularly(code, when="groups", order=order, name=f"{group.name}_at_{order}")

    def monitor(self, name, group, variables, record=True):
        """A recording at the end of each step."""
        monitor = brian2.StateMonitor(group, variables, record=record, when="end", name=self.prefix + name)
        self.monitors.append(monitor)
        self.objects.append(monitor)

    def fill(self, group, *variables, low=-1.0, high=1.0):
        """Give variables uniform numbers."""
        for variable in variables:
            self.set(group, variable, numbers(f"{group.name}.{variable}", self._shape(group), low, high))


class Native(Kit):
    """Brian2 as it comes, on its numpy target: the truth."""

    def __init__(self):
        super().__init__()
        brian2.set_device("runtime")
        brian2.prefs.codegen.target = "numpy"
        brian2.prefs.core.default_float_dtype = np.float64
        brian2.defaultclock.dt = DT
        self.masks = {}

    def _population(self, name, N, equations, **kwds):
        return brian2.NeuronGroup(N, equations, name=name, **kwds)

    def _synapses(self, name, source, target, equations, order, method, mask):
        synapses = brian2.Synapses(source, target, equations, name=name, method=method)
        self.masks[name] = np.ones((len(source), len(target)), bool) if mask is None else mask
        i, j = np.nonzero(self.masks[name])
        synapses.connect(i=i, j=j)
        for key, place in order.items():
            (synapses.state_updater if key == "update" else synapses.summed_updaters[key]).order = place
        return synapses

    def _shape(self, group):
        return self.masks[group.name].shape if group.name in self.masks else len(group)

    def set(self, group, variable, values):
        """Set a variable, of synapses as matrix (N_pre, N_post)."""
        if np.ndim(values) == 2:
            values = values[self.masks[group.name]]
        getattr(group, variable + "_")[:] = values

    def run(self, steps):
        """State and recordings after some steps, as in `neuroplast.engine.Result`."""
        brian2.Network(self.objects).run(steps * DT, namespace=dict(NAMESPACE))
        state = {
            f"{name}.{variable}": self._whole(name, array)
            for name, group in self.groups.items()
            for variable, array in own_arrays(group)
        }
        return state, {m.name: {n: a for n, a in own_arrays(m) if n != "N"} for m in self.monitors}

    def _whole(self, name, array):
        """Values of all pairs; those that are not connected have zero."""
        mask = self.masks.get(name)
        if mask is None or len(array) != mask.sum():
            return array
        whole = np.zeros(mask.shape, array.dtype)
        whole[mask] = array
        return whole.ravel()


def own_arrays(group):
    """Names and values of the arrays that belong to a group and can change."""
    for name, variable in group.variables.items():
        own = isinstance(variable, brian2.core.variables.ArrayVariable) and variable.owner.name == group.name
        if own and not (variable.read_only and name != "t" and name not in getattr(group, "record_variables", ())):
            yield name, np.array(variable.get_value())


class Dense(Kit):
    """The engine."""

    def __init__(self, target, **kwds):
        super().__init__()
        start(target, dt=DT, **kwds)

    def _population(self, name, N, equations, **kwds):
        return Population(N, equations, name=name, **kwds)

    def _synapses(self, name, source, target, equations, **kwds):
        return DenseSynapses(source, target, equations, name=name, **kwds)

    def _shape(self, group):
        return getattr(group, "shape", None) or len(group)

    def set(self, group, variable, values):
        """Set a variable, of synapses as matrix (N_pre, N_post)."""
        getattr(group, variable + "_")[:] = np.ravel(values)

    def simulation(self, steps, **kwds):
        """All models in one phase."""
        return Simulation(Schedule([Phase("run", self.objects, steps)]), namespace=NAMESPACE, **kwds)

    def run(self, steps, **kwds):
        """State and recordings after some steps."""
        result = self.simulation(steps, **kwds).run()
        return result.state, result.monitors


def assert_same(name, found, truth, **tolerance):
    """Compare the state and recordings of one model with the truth."""
    compared = 0
    for (part, values), (_, expected) in zip(_of_model(name, found), _of_model(name, truth), strict=True):
        np.testing.assert_allclose(values, expected, err_msg=part, **(tolerance or TOLERANCE))
        compared += 1
    assert compared


def _of_model(name, run):
    state, recorded = run
    # Brian2 empties its own _spikespace at the end of a run.
    parts = {key: values for key, values in state.items() if key.startswith(f"{name}_") and "._" not in key}
    for monitor, variables in recorded.items():
        if monitor.startswith(f"{name}_"):
            parts |= {f"{monitor}.{key}": values for key, values in variables.items()}
    return sorted(parts.items())
