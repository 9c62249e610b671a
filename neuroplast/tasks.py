"""Tasks: what a network is given and what it should produce, sample by sample.

A trial is a sequence of named periods; periods laid end to end make a `Condition`, and a `Task` is the conditions that
there are with the order in which trials present them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neuroplast.errors import InputError


@dataclass(frozen=True)
class Period:
    """A stretch of a trial.

    Parameters
    ----------
    name : str
    samples : int
        Its length.
    drive, target : dict of int to float or array_like of shape (samples,), optional
        Input and target of some channels; the others are zero.
    scored : bool
        Whether the output is compared with the target here; if not, it is free.
    """

    name: str
    samples: int
    drive: Mapping = field(default_factory=dict, repr=False)
    target: Mapping = field(default_factory=dict, repr=False)
    scored: bool = True

    def filled(self, label: str, channels: int) -> np.ndarray:
        """Samples of ``"drive"`` or ``"target"``: (samples, channels).

        Raises
        ------
        InputError
            For a channel that there is not, or as many values as there are no samples.
        """
        values = np.zeros((self.samples, channels))
        for channel, given in getattr(self, label).items():
            given = np.asarray(given, dtype=float)
            if channel not in range(channels):
                raise InputError(
                    f"Period '{self.name}': {label} should have channels from 0 to {channels - 1}. Got {channel!r}."
                )
            if given.shape not in ((), (self.samples,)):
                raise InputError(
                    f"Period '{self.name}': channel {channel} of {label} should be a number or {self.samples} samples. "
                    f"Got shape {given.shape}."
                )
            values[:, channel] = given
        return values


@dataclass(frozen=True, eq=False)
class Condition:
    """Input and target of one kind of trial.

    Parameters
    ----------
    target : array_like of shape (samples, outputs)
    drive : array_like of shape (samples, inputs), optional
        Input; None for a network that is left to itself.
    scored : array_like of bool of shape (samples,), optional
        Samples at which the output is compared with the target; by default all.
    periods : dict of str to slice, optional
        Samples of named periods.

    Raises
    ------
    InputError
        If an array has another shape, another number of samples, or numbers that are not finite.
    """

    target: np.ndarray = field(repr=False)
    drive: np.ndarray | None = field(default=None, repr=False)
    scored: np.ndarray | None = field(default=None, repr=False)
    periods: Mapping[str, slice] = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "target", _samples("target", self.target))
        if self.drive is not None:
            object.__setattr__(self, "drive", _samples("drive", self.drive))
        scored = np.ones(self.samples, bool) if self.scored is None else np.asarray(self.scored)
        for label, values in (("drive", self.drive), ("scored", scored)):
            if values is not None and len(values) != self.samples:
                raise InputError(
                    f"Condition: {label} and target should have the same number of samples. Got {len(values)} and "
                    f"{self.samples}."
                )
        if scored.dtype != bool or scored.ndim != 1:
            raise InputError(f"Condition: scored should be a truth value per sample. Got {scored.dtype} values.")
        object.__setattr__(self, "scored", scored)

    @classmethod
    def of(cls, periods: Sequence[Period], *, outputs: int, inputs: int = 0) -> Condition:
        """Periods laid end to end.

        Parameters
        ----------
        periods : sequence of Period
        outputs, inputs : int
            Channels.

        Raises
        ------
        InputError
            If two periods have the same name, or a channel does not exist.
        """
        names = [period.name for period in periods]
        if len(set(names)) < len(names):
            raise InputError(f"Condition: each period should have a name of its own. Got {', '.join(names)}.")
        stops = np.cumsum([period.samples for period in periods])
        places = {
            period.name: slice(int(stop - period.samples), int(stop))
            for period, stop in zip(periods, stops, strict=True)
        }
        target = np.concatenate([period.filled("target", outputs) for period in periods])
        drive = np.concatenate([period.filled("drive", inputs) for period in periods]) if inputs else None
        scored = np.concatenate([np.full(period.samples, bool(period.scored)) for period in periods])
        return cls(target, drive, scored, places)

    @property
    def samples(self) -> int:
        """Samples of a trial; from each to the next is one step."""
        return len(self.target)

    def loss(self, output) -> float:
        """Half the squared error, averaged over the trial (Murray 2019, eLife 8:e43299, equation 2).

        Parameters
        ----------
        output : array_like of shape (samples - 1, outputs)
            Output after each step: what belongs to the samples from the second on.
        """
        err = (self.target[1:] - self._output(output))[self.scored[1:]]
        return float(np.sum(err**2) / (2 * self.samples))

    def mean(self, output, period: str | None = None) -> np.ndarray:
        """Output averaged over a named period, or over all samples that are scored.

        Parameters
        ----------
        output : array_like of shape (samples - 1, outputs)
        period : str, optional

        Returns
        -------
        ndarray of shape (outputs,)

        Raises
        ------
        InputError
            For a period that there is not.
        """
        return self._output(output)[self._within(period)[1:]].mean(axis=0)

    def _within(self, period):
        if period is None:
            return self.scored
        if period not in self.periods:
            raise InputError(f"Condition: the periods are {', '.join(self.periods) or 'not named'}. Got {period!r}.")
        chosen = np.zeros(self.samples, bool)
        chosen[self.periods[period]] = True
        return chosen

    def _output(self, output):
        # Recordings of several conditions are padded to the longest one.
        output = np.asarray(output, dtype=float)[: self.samples - 1]
        return output.reshape(self.samples - 1, self.target.shape[1])


@dataclass(frozen=True, eq=False)
class Task:
    """Conditions, and the order in which trials present them.

    Parameters
    ----------
    conditions : Condition or sequence of Condition
        All with the same channels.
    name : str
    order : sequence of int, optional
        Conditions of the trials of training, gone through again and again; by default each in its turn.
    tests : sequence of int, optional
        Conditions of the tests after training; by default each once.

    Raises
    ------
    InputError
        If there is no condition, channels differ, or an index is out of range.
    """

    conditions: Sequence[Condition] = field(repr=False)
    name: str = "task"
    order: np.ndarray | None = field(default=None, repr=False)
    tests: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        given = self.conditions
        conditions = (given,) if isinstance(given, Condition) else tuple(given)
        if not conditions or not all(isinstance(condition, Condition) for condition in conditions):
            raise InputError(f"Task '{self.name}': conditions should be one Condition or more. Got {given!r}.")
        object.__setattr__(self, "conditions", conditions)
        for condition in conditions:
            if _channels(condition) != (self.outputs, self.inputs):
                raise InputError(
                    f"Task '{self.name}': all conditions should have the same outputs and inputs. Got "
                    f"{(self.outputs, self.inputs)} and {_channels(condition)}."
                )
        for label in ("order", "tests"):
            chosen = getattr(self, label)
            chosen = np.arange(len(conditions)) if chosen is None else np.asarray(chosen)
            if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
                raise InputError(f"Task '{self.name}': {label} should be a list of whole numbers. Got {chosen!r}.")
            if chosen.min() < 0 or chosen.max() >= len(conditions):
                raise InputError(
                    f"Task '{self.name}': {label} should have conditions from 0 to {len(conditions) - 1}. Got "
                    f"{chosen.min()} to {chosen.max()}."
                )
            object.__setattr__(self, label, chosen)

    def shuffled(self, trials: int, seed: int) -> Task:
        """The task with its order drawn anew: as many trials, each of a condition drawn from the order so far."""
        return replace(self, order=np.random.default_rng(seed).choice(self.order, trials))

    @property
    def samples(self) -> int:
        """Samples of the longest trial."""
        return max(condition.samples for condition in self.conditions)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return _channels(self.conditions[0])[0]

    @property
    def inputs(self) -> int:
        """Input channels."""
        return _channels(self.conditions[0])[1]

    def fraction_correct(self, output, period: str | None = None) -> float:
        """Fraction of the tests in which the mean output is nearer to the own target than to any other one.

        Parameters
        ----------
        output : array_like of shape (tests, steps, outputs)
            As recorded in the tests; what exceeds a condition's samples is left out.
        period : str, optional
            Period that counts; by default the samples that are scored.
        """
        tested = [self.conditions[i] for i in self.tests]
        wanted = np.array([condition.mean(condition.target[1:], period) for condition in tested])
        found = np.array([condition.mean(y, period) for condition, y in zip(tested, output, strict=True)])
        distance = np.linalg.norm(found[:, None] - wanted[None], axis=-1)
        # Tests may share a target; an output as near to another one is no answer.
        others = np.linalg.norm(wanted[:, None] - wanted[None], axis=-1) > 0
        nearest = np.where(others, distance, np.inf).min(axis=1)
        return float(np.mean(np.diag(distance) < nearest))


def _channels(condition):
    return condition.target.shape[1], 0 if condition.drive is None else condition.drive.shape[1]


def _samples(label, values):
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
        raise InputError(
            f"Condition: {label} should have shape (samples, channels) with two samples or more. Got {values.shape}."
        )
    if not np.isfinite(values).all():
        raise InputError(f"Condition: {label} should be finite.")
    return values


def periodic(samples: int, amplitudes=(1.0, 0.5, 0.25), cycles=(1, 2, 4)) -> Task:
    """One period of a periodic output, without input (Murray 2019, eLife 8:e43299, figure 2).

    ``y*(t) = sin(2 pi t/T) + 0.5 sin(4 pi t/T) + 0.25 sin(8 pi t/T)``; a trial is one period.

    Parameters
    ----------
    samples : int
        Samples of the period.
    amplitudes : sequence of float
    cycles : sequence of int
        Cycles per period of each component.

    Returns
    -------
    Task
    """
    if len(amplitudes) != len(cycles):
        raise InputError(
            f"periodic: there should be as many amplitudes as cycles. Got {len(amplitudes)} and {len(cycles)}."
        )
    phase = 2 * np.pi * np.arange(samples) / samples
    target = sum(a * np.sin(n * phase) for a, n in zip(amplitudes, cycles, strict=True))
    return Task(Condition(target[:, None]), "periodic")


def interval(delays, *, first: int = 50, width: float = 15.0, rest: int = 60, longest: int | None = None) -> Task:
    """Reproduce the delay between two pulses (Murray 2019, eLife 8:e43299, figure 3).

    Input and output are pulses ``exp(-(t - centre)^2/(2 width^2))``: the input's at `first` and a delay later, the
    output's another delay later. The periods are called "ready" (to half of the delay), "set" (to a quarter of the
    delay after the second pulse) and "go", in which the output pulse falls.

    Parameters
    ----------
    delays : sequence of int
        Delays in samples, one condition each.
    first : int
        Sample of the first pulse.
    width : float
        Standard deviation of the pulses, in samples.
    rest : int
        Samples after the latest output pulse.
    longest : int, optional
        Longest delay that there might have been, which fixes how long a trial goes on after the first pulse; None
        lets each trial end `rest` samples after its output pulse.

    Returns
    -------
    Task
    """
    conditions = []
    for delay in delays:
        samples = first + 2 * int(longest or delay) + rest
        stops = (first + delay // 2, first + delay + delay // 4, samples)
        t = np.arange(samples)
        pulses = [np.exp(-((t - centre) ** 2) / (2 * width**2)) for centre in first + delay * np.arange(3)]
        periods = [
            Period(name, stop - start, {0: (pulses[0] + pulses[1])[start:stop]}, {0: pulses[2][start:stop]})
            for name, start, stop in zip(("ready", "set", "go"), (0, *stops[:-1]), stops, strict=True)
        ]
        conditions.append(Condition.of(periods, outputs=1, inputs=1))
    return Task(conditions, "interval")


#: Unit vectors of the movements: right, up, left, down.
DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def movements(samples: int, hold: int, *, held_input: bool = False, directions=DIRECTIONS) -> Task:
    """Move a cursor into the direction that the input asks for, then hold (Murray 2019, eLife 8:e43299, figure 4).

    The output is the cursor's velocity: in the period "move" the direction times ``(1 - cos(2 pi t/samples))/2``, in
    "hold" zero. One condition for each direction, with an input of its own.

    Parameters
    ----------
    samples, hold : int
        Samples of the movement and of the hold.
    held_input : bool
        Whether the input stays on during the hold.
    directions : sequence of (float, float)
        Velocity at the peak.

    Returns
    -------
    Task
    """
    speed = (1 - np.cos(2 * np.pi * np.arange(samples) / samples)) / 2
    conditions = []
    for channel, direction in enumerate(directions):
        velocity = {axis: part * speed for axis, part in enumerate(direction)}
        periods = [
            Period("move", samples, {channel: 1.0}, velocity),
            Period("hold", hold, {channel: float(held_input)}),
        ]
        conditions.append(Condition.of(periods, outputs=2, inputs=len(directions)))
    return Task(conditions, "movements")
