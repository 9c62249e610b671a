"""`Model`: what a model's ``build()`` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neuroplast.errors import InputError
from neuroplast.labels import Recorded, label
from neuroplast.nets import Job
from neuroplast.recording import expected
from neuroplast.traces import Traces
from neuroplast.trials import rows

#: Sizes of a task that a compiled model fixes, and those that it limits.
SAME = ("outputs", "inputs", "trials in the order")
LARGEST = ("samples", "samples of all conditions", "tests")


def trials_and_tests(trials, task) -> dict[str, int]:
    """Counts of a schedule that is a loop of trials and then one of tests."""
    return {"trial": trials, "tests": len(task.tests)}


def steps_of_trials(task, counts) -> dict[str, np.ndarray]:
    """Steps of each trial of a task whose conditions may last differently long."""
    steps = np.array([condition.samples - 1 for condition in task.conditions])
    order = task.order[np.arange(counts["trial"]) % len(task.order)]
    return {"trial": steps[order], "fits": steps[order], "tests": steps[task.tests]}


def check_size(name, ours, given) -> None:
    """Refuse a task that is larger than the one that was compiled, or has other channels.

    Raises
    ------
    InputError
    """
    ours, given = _size(ours), _size(given)
    if any(ours[key] != given[key] for key in SAME) or any(ours[key] < given[key] for key in ours):
        raise InputError(
            f"The compiled model '{name}' takes tasks with {_text(ours, SAME)}, and up to "
            f"{_text(ours, LARGEST)}. Got {_text(given, SAME)}, {_text(given, LARGEST)}; build a model with the "
            "largest task, and one for each number of channels."
        )


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its schedule, ready to run; one compiled simulation serves any number of nets.

    Attributes
    ----------
    simulation : Simulation
    groups : dict
        Populations, projections and tapes by name.
    recorded : tuple of Recorded
        How what the monitors record appears in the results.
    parameters, task
        What the model was built with. A net may be given others, within `fixed` and the task's size.
    fixed : tuple of str
        Attributes of the parameters that are part of the compiled program.
    values : callable
        ``values(parameters, task, seed)`` gives initial values, ``object.variable`` to array.
    seed : int
        Seed of the initial values and the noise where none is given.
    passes : callable
        ``passes(trials, task)`` gives the counts of the schedule; what is counted may be epochs instead of trials.
    lengths : callable
        ``lengths(task, counts)`` gives the steps of each trial by the name of the loop that counts the trials, where
        they may be fewer than those of the phase.
    check_task : callable
        ``check_task(name, ours, given)`` refuses what cannot take the place of the task that was compiled.
    """

    simulation: Any = field(repr=False)
    groups: Mapping[str, Any] = field(repr=False)
    recorded: Sequence[Recorded] = field(repr=False)
    parameters: Any
    task: Any
    fixed: tuple[str, ...]
    values: Callable[..., dict[str, np.ndarray]] = field(repr=False)
    seed: int = 0
    passes: Callable[..., dict[str, int]] = field(default=trials_and_tests, repr=False)
    lengths: Callable[..., dict[str, np.ndarray]] = field(default=steps_of_trials, repr=False)
    check_task: Callable[..., None] = field(default=check_size, repr=False)

    def __post_init__(self):
        for name, values in self.initial().items():
            group, variable = name.split(".")
            self.groups[group].variables[variable].set_value(values)

    def initial(self, seed: int | None = None, *, parameters=None, task=None) -> dict[str, np.ndarray]:
        """Initial values of a net: the ``state`` of `Simulation.run`.

        Parameters
        ----------
        seed : int, optional
        parameters, task : optional
            This net's, if they are not the model's own.

        Returns
        -------
        dict of str to array
            ``object.variable`` to values.

        Raises
        ------
        InputError
            If the compiled model cannot take the parameters or the task.
        """
        parameters, task = self._accepted(parameters, task)
        values = self.values(parameters, task, self.seed if seed is None else seed)
        known = {name: array for name, array in values.items() if self._variable(name) is not None}
        return {name: self._filled(name, array) for name, array in known.items()}

    def counts(self, trials: int, *, task=None) -> dict[str, int]:
        """Counts of the schedule for a number of trials (or epochs) of a task, which says how long each lasts."""
        return self.passes(trials, task or self.task)

    def run(self, trials: int, seed: int | None = None, *, parameters=None, task=None, state=None) -> Traces:
        """Run a net from its initial values to the end, in memory.

        Parameters
        ----------
        trials : int
            Of training; for a model whose outermost loop is one of epochs, the epochs.
        seed : int, optional
        parameters, task : optional
            As for `initial`.
        state : dict of str to array, optional
            Values that differ from `initial`.

        Returns
        -------
        Traces

        Raises
        ------
        InputError
            See `initial`.
        DivergedError
            If a variable leaves the finite numbers.
        """
        seed = self.seed if seed is None else seed
        begin = self.initial(seed, parameters=parameters, task=task) | dict(state or {})
        counts = self.counts(trials, task=task)
        recorded, nothing, _ = self._expected(seed, counts, task)
        if nothing and trials:
            counted = "epochs" if "epoch" in counts else "trials"
            raise InputError(
                f"{', '.join(nothing)}: there would be no record in {trials} {counted} and {counts['tests']} tests. "
                "every counts the steps of a trial, or the trials or epochs where the end of each is recorded."
            )
        out = self.simulation.run(begin, seed=seed, counts=counts)
        arrays = {f"{m}.{v}": values for m, found in out.monitors.items() for v, values in found.items()}
        return Traces(label(arrays, recorded), {"model": self.simulation.name, "seed": seed})

    def job(
        self, name: str, coords, trials: int, seed: int | None = None, *, parameters=None, task=None, state=None
    ) -> Job:
        """A net to be trained among others, see `neuroplast.nets.train_many`.

        Parameters
        ----------
        name : str
            Of its folder.
        coords : dict
            Its place among the nets, such as ``{"rule": "rflo", "net": 3}``.
        trials, seed, parameters, task, state
            As for `run`.
        """
        seed = self.seed if seed is None else seed
        state = self.initial(seed, parameters=parameters, task=task) | dict(state or {})
        counts = self.counts(trials, task=task)
        recorded, _, size = self._expected(seed, counts, task)
        return Job(name, self.simulation, coords, seed, state, counts, recorded, size)

    def _expected(self, seed, counts, task):
        """What a net will record: how it appears in the results, names of which there will be nothing, bytes."""
        task = task or self.task
        found = expected(self.simulation, counts, self.lengths(task, counts))
        nothing = [item.name for item in self.recorded if found.get(item.monitor, (1, 0))[0] == 0]
        per_epoch = counts["trial"] if "epoch" in counts else None
        recorded = tuple(
            replace(
                item, attrs={**item.attrs, "seed": seed} if item.kind == "spikes" else item.attrs, per_epoch=per_epoch
            )
            for item in self.recorded
            if item.name not in nothing
        )
        return recorded, nothing, sum(size for _, size in found.values())

    def _accepted(self, parameters, task):
        parameters, task = parameters or self.parameters, task or self.task
        for name in self.fixed:
            ours, given = getattr(self.parameters, name), getattr(parameters, name)
            if ours != given:
                raise InputError(
                    f"{name} is part of the compiled model '{self.simulation.name}', which has {ours}. Got {given}; "
                    "build a model of its own for it."
                )
        self.check_task(self.simulation.name, self.task, task)
        return parameters, task

    def _variable(self, name):
        """The variable, or None: a frozen projection has no learning rate, say."""
        group, variable = name.split(".")
        return self.groups[group].variables.get(variable) if group in self.groups else None

    def _filled(self, name, values):
        """Values as a flat array; a shorter task leaves the last rows of a tape empty."""
        values = np.asarray(values, dtype=float).ravel()
        rest = int(self._variable(name).size) - values.size
        return np.pad(values, (0, rest)) if values.size > 1 and rest > 0 else values


def _size(task):
    return {
        "outputs": task.outputs,
        "inputs": task.inputs,
        "trials in the order": len(task.order),
        "samples": task.samples,
        "samples of all conditions": rows(task),
        "tests": len(task.tests),
    }


def _text(sizes, names):
    return ", ".join(f"{sizes[name]} {name}" for name in names)
