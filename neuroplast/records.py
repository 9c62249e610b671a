"""`Record`: what to record, and when.

A record names a variable of a population or a projection, ``"units.h"`` or ``"recurrent.w"``; its name is that of the
array in the results. Options follow in Python as arguments, in text after colons::

    Record("units.h", every=10, trials=(-1,))
    units.h:every=10:trials=-1

==========  =============================================================================================
every=10    every tenth step; at the ends of trials, every tenth trial
trials=...  these trials only: 0 is the first, -1 the last; ranges 0-100 (without 100), -10- (the last ten)
steps=a-b   within a trial the steps from a to b (without b)
at=...      ``step``: in each step, as is done for populations; ``trial``: at the end of each, for projections
phase=test  in the tests instead of training; the array is then called ``units.h_test``
==========  =============================================================================================

``units`` alone is the rate of a population, ``recurrent`` what the rule of a projection declares worth recording, and
``units.spikes`` are spikes drawn from the rates, with the options of `neuroplast.spikes.Spikes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from neuroplast.errors import InputError
from neuroplast.unittext import read

if TYPE_CHECKING:  # the engine behind it takes a second
    from neuroplast.spikes import Spikes

SPIKES = "spikes"
AT, PHASES = ("step", "trial"), ("train", "test")
OPTIONS = ("every", "trials", "steps", "at", "phase")
SPIKE_OPTIONS = ("map", "max", "refractory")
TEST = "_test"


@dataclass(frozen=True)
class Record:
    """What to record, and when.

    Parameters
    ----------
    what : str
        ``"population.variable"``, ``"projection.variable"``, ``"population.spikes"``, or one of the two alone.
    every : int
        Record in every so many steps, or at the end of every so many trials.
    trials : int, sequence of int or range, optional
        Trials to record; negative ones count from the last. By default all.
    steps : (int, int), optional
        Record in a trial from the first of these steps to before the second one.
    at : {"step", "trial"}, optional
        In each step, or at the end of each trial. By default "step" for populations and "trial" for projections.
    phase : {"train", "test"}
        While the model learns, or in the tests after it.
    spikes : Spikes, optional
        Map and maximum of the rate for ``"population.spikes"``.
    aside : bool
        Whether the array stays in the results of its net, out of those that a protocol combines: what ``--record``
        asks for.

    Attributes
    ----------
    made, missed : list of str
        What models made of it: names of arrays, and what those said that could not.

    Raises
    ------
    InputError
        Naming what cannot be used.
    """

    what: str
    every: int = 1
    trials: tuple[int, ...] | None = None
    steps: tuple[int, int] | None = None
    at: str | None = None
    phase: str = "train"
    spikes: Spikes | None = None
    aside: bool = False
    made: list = field(default_factory=list, init=False, repr=False, compare=False)
    missed: list = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self):
        if not (isinstance(self.what, str) and re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)?", self.what)):
            raise InputError(
                f"A record should name POPULATION.VARIABLE, such as units.h, with options after colons, such as "
                f"units.h:every=10. Got {self.what!r}."
            )
        if not _is_whole(self.every) or self.every < 1:
            raise self._wrong("every", "a whole number of at least 1", self.every)
        if self.trials is not None:
            given = (self.trials,) if _is_whole(self.trials) else self.trials
            given = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else ()
            if not given or not all(map(_is_whole, given)):
                raise self._wrong("trials", "numbers of trials such as (0, 99, -1) or range(10)", self.trials)
            object.__setattr__(self, "trials", tuple(sorted({int(trial) for trial in given}, key=_from_first)))
        if self.steps is not None:
            given = self.steps if isinstance(self.steps, list | tuple) else ()
            if len(given) != 2 or not all(map(_is_whole, given)) or not 0 <= given[0] < given[1]:
                raise self._wrong("steps", "two numbers of steps such as (0, 100), the second larger", self.steps)
            object.__setattr__(self, "steps", tuple(map(int, given)))
        for name, allowed in (("at", (None, *AT)), ("phase", PHASES)):
            if getattr(self, name) not in allowed:
                raise self._wrong(name, " or ".join(filter(None, allowed)), getattr(self, name))
        if self.at == "trial" and self.steps is not None:
            raise InputError(f"{self.what}: steps={_span(self.steps)} has no meaning at the end of a trial (at=trial).")
        if self.spikes is not None and not self.wants_spikes:
            raise InputError(f"{self.what}: a map to spikes is for POPULATION.{SPIKES}, such as units.{SPIKES}.")
        if self.wants_spikes and (self.every, self.at) not in ((1, None), (1, "step")):
            raise InputError(f"{self.what}: spikes are recorded when they come: every= and at= have no meaning there.")

    @property
    def group(self) -> str:
        """Name of the population or projection."""
        return self.what.split(".")[0]

    @property
    def variable(self) -> str:
        """Name of the variable; empty for what is worth recording of the group."""
        return self.what.partition(".")[2]

    @property
    def wants_spikes(self) -> bool:
        """Whether it asks for spikes."""
        return self.variable == SPIKES

    @property
    def name(self) -> str:
        """Name in the results."""
        return self.what + (TEST if self.phase == "test" else "")

    def gave(self, name: str) -> bool:
        """Whether an array of the results is what it asked for."""
        if self.variable:
            return name == self.name
        return name.startswith(f"{self.group}.") and name.endswith(TEST) == (self.phase == "test")

    def __str__(self):
        options = [f"every={self.every}"] if self.every > 1 else []
        options += [f"trials={_numbers(self.trials)}"] if self.trials else []
        options += [f"steps={_span(self.steps)}"] if self.steps else []
        options += [f"at={self.at}"] if self.at else []
        options += ["phase=test"] if self.phase == "test" else []
        options += [str(self.spikes)] if self.spikes else []
        return ":".join([self.what, *options])

    def _wrong(self, option, wanted, got):
        return InputError(f"{self.what}: {option} should be {wanted}. Got {got!r}.")

    @classmethod
    def parse(cls, text: str, *, aside: bool = False) -> Record:
        """Record of a text such as ``units.h:every=10:trials=-1``.

        Raises
        ------
        InputError
            If an option is unknown, comes twice, or has a value that cannot be used.
        """
        what, *parts = (part.strip() for part in text.split(":"))
        given, spikes = {}, {}
        allowed = (*OPTIONS, *(SPIKE_OPTIONS if what.endswith(f".{SPIKES}") else ()))
        for part in parts:
            key, equals, value = (item.strip() for item in part.partition("="))
            if not equals or key not in allowed:
                raise InputError(
                    f"{text}: options are {', '.join(f'{name}=' for name in allowed)}, with a colon before each. Got "
                    f"{part!r}."
                )
            if key in given or key in spikes:
                raise InputError(f"{text}: {key}= comes twice.")
            if key in SPIKE_OPTIONS:
                spikes[key] = value if key == "map" else read(value, key)
            else:
                given[key] = _READ[key](value, f"{text}: {key}")
        try:
            if spikes:
                from neuroplast.spikes import Spikes

                given["spikes"] = Spikes(**spikes)
            return cls(what, **given, aside=aside)
        except InputError as err:
            raise InputError(f"{text}: {err}") from None


def _is_whole(value):
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _from_first(trial):
    """Order of trials: from the first on, then those counted from the last."""
    return (trial < 0, trial)


def _whole(value, name):
    if not re.fullmatch(r"\d+", value):
        raise InputError(f"{name} should be a whole number. Got {value!r}.")
    return int(value)


def _steps(value, name):
    match = re.fullmatch(r"(\d+)-(\d+)", value)
    if not match:
        raise InputError(f"{name} should be FIRST-END, such as 0-100 for the first hundred steps. Got {value!r}.")
    return int(match[1]), int(match[2])


def _trials(value, name):
    found = []
    for part in value.split(","):
        match = re.fullmatch(r"(-?\d+)(?:(-)(-?\d+)?)?", part.strip())
        first, dash, end = (match[1], match[2], match[3]) if match else (None, None, None)
        if first is None or (dash and end is None and int(first) >= 0):
            raise InputError(
                f"{name} should be numbers and ranges, such as 0,99 or -1 (the last) or 0-100 (without 100) or -10- "
                f"(the last ten). Got {part.strip()!r}."
            )
        numbers = range(int(first), int(end or 0)) if dash else [int(first)]
        if not len(numbers) or (int(first) < 0) != (numbers[-1] < 0):
            raise InputError(f"{name}: the range {part.strip()} has no trials. Both ends count from the same side.")
        found += numbers
    return tuple(found)


def _word(value, name):
    return value


_READ = {"every": _whole, "steps": _steps, "trials": _trials, "at": _word, "phase": _word}


def _span(steps):
    return f"{steps[0]}-{steps[1]}"


def _numbers(trials):
    """Text of trials that `Record.parse` reads: what follows one another as a range."""
    runs = []
    for trial in trials:
        if runs and trial == runs[-1][1] and (trial < 0) == (runs[-1][0] < 0):
            runs[-1][1] += 1
        else:
            runs.append([trial, trial + 1])
    texts = [str(a) if b - a == 1 else f"{a}-{b if a >= 0 or b < 0 else ''}" for a, b in runs]
    return ",".join(texts)
