"""`Record`: what to record, and when.

A record names a variable of a population or a projection, ``"units.h"`` or ``"recurrent.w"``; its name is that of the
array in the results. Options follow in Python as arguments, in text after colons::

    Record("units.h", every=10, trials=(-1,))
    units.h:every=10:trials=-1

==========  =============================================================================================
every=10    every tenth step; at the ends of trials, every tenth trial
trials=...  these trials only: 0 is the first, -1 the last; ranges 0-100 (without 100), -10- (the last ten)
epochs=...  those of these epochs only, given in the same way
steps=a-b   within a trial the steps from a to b (without b)
at=...      ``step``: in each step, as is done for populations; ``trial``: at the end of each, for projections;
            ``epoch``: at the end of each epoch, of which ``every`` then counts
phase=test  in the tests instead of training; the array is then called ``units.h_test``. ``fit``: in the trials of the
            training once more, after learning and without it, where a model has them
==========  =============================================================================================

A model that learns in epochs counts its trials through all of them: with 30 in an epoch, trial 30 is the first of the
second epoch. ``units.h:epochs=-1`` are the last epoch's trials.

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
AT, PHASES = ("step", "trial", "epoch"), ("train", "test", "fit")
OPTIONS = ("every", "trials", "epochs", "steps", "at", "phase")
SPIKE_OPTIONS = ("map", "max", "refractory")


@dataclass(frozen=True)
class Record:
    """What to record, and when.

    Parameters
    ----------
    what : str
        ``"population.variable"``, ``"projection.variable"``, ``"population.spikes"``, or one of the two alone.
    every : int
        Record in every so many steps, or at the end of every so many trials or epochs.
    trials : int, sequence of int or range, optional
        Trials to record, counted through all epochs; negative ones count from the last. By default all.
    epochs : int, sequence of int or range, optional
        Epochs to record, in models that learn in epochs. By default all.
    steps : (int, int), optional
        Record in a trial from the first of these steps to before the second one.
    at : {"step", "trial", "epoch"}, optional
        In each step, or at the end of each trial or epoch. By default "step" for populations and "trial" for
        projections.
    phase : {"train", "test", "fit"}
        While the model learns, in the tests after it, or in the trials of the training once more.
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
    epochs: tuple[int, ...] | None = None
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
        for name in ("trials", "epochs"):
            object.__setattr__(self, name, self._numbers(name))
        if self.steps is not None:
            given = self.steps if isinstance(self.steps, list | tuple) else ()
            if len(given) != 2 or not all(map(_is_whole, given)) or not 0 <= given[0] < given[1]:
                raise self._wrong("steps", "two numbers of steps such as (0, 100), the second larger", self.steps)
            object.__setattr__(self, "steps", tuple(map(int, given)))
        for name, allowed in (("at", (None, *AT)), ("phase", PHASES)):
            if getattr(self, name) not in allowed:
                *others, last = filter(None, allowed)
                raise self._wrong(name, f"{', '.join(others)} or {last}", getattr(self, name))
        if self.at in ("trial", "epoch") and self.steps is not None:
            raise InputError(f"{self.what}: steps={_span(self.steps)} has no meaning after the steps (at={self.at}).")
        if self.at == "epoch" and self.trials is not None:
            raise InputError(f"{self.what}: at=epoch is after the trials of an epoch; choose with epochs= instead.")
        if self.phase != "train" and (self.epochs is not None or self.at == "epoch"):
            raise InputError(
                f"{self.what}: there are epochs while the model learns, not in phase={self.phase}. Leave one out."
            )
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
        return self.what + self._suffix

    def gave(self, name: str) -> bool:
        """Whether an array of the results is what it asked for."""
        if self.variable:
            return name == self.name
        other = tuple(f"_{phase}" for phase in PHASES if phase not in ("train", self.phase))
        return name.startswith(f"{self.group}.") and name.endswith(self._suffix) and not name.endswith(other)

    @property
    def _suffix(self):
        return "" if self.phase == "train" else f"_{self.phase}"

    def __str__(self):
        options = [f"every={self.every}"] if self.every > 1 else []
        options += [f"trials={_text(self.trials)}"] if self.trials else []
        options += [f"epochs={_text(self.epochs)}"] if self.epochs else []
        options += [f"steps={_span(self.steps)}"] if self.steps else []
        options += [f"at={self.at}"] if self.at else []
        options += [f"phase={self.phase}"] if self.phase != "train" else []
        options += [str(self.spikes)] if self.spikes else []
        return ":".join([self.what, *options])

    def _numbers(self, name):
        """Trials or epochs in order, from the first on and then those counted from the last."""
        given = getattr(self, name)
        if given is None:
            return None
        chosen = (given,) if _is_whole(given) else given
        chosen = tuple(chosen) if isinstance(chosen, Iterable) and not isinstance(chosen, str) else ()
        if not chosen or not all(map(_is_whole, chosen)):
            raise self._wrong(name, f"numbers of {name} such as (0, 99, -1) or range(10)", given)
        return tuple(sorted({int(number) for number in chosen}, key=lambda number: (number < 0, number)))

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


def _whole(value, name):
    if not re.fullmatch(r"\d+", value):
        raise InputError(f"{name} should be a whole number. Got {value!r}.")
    return int(value)


def _steps(value, name):
    match = re.fullmatch(r"(\d+)-(\d+)", value)
    if not match:
        raise InputError(f"{name} should be FIRST-END, such as 0-100 for the first hundred steps. Got {value!r}.")
    return int(match[1]), int(match[2])


def _chosen(value, name):
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
            what = name.split()[-1]
            raise InputError(f"{name}: the range {part.strip()} has no {what}. Both ends count from the same side.")
        found += numbers
    return tuple(found)


def _word(value, name):
    return value


_READ = {"every": _whole, "steps": _steps, "trials": _chosen, "epochs": _chosen, "at": _word, "phase": _word}


def _span(steps):
    return f"{steps[0]}-{steps[1]}"


def _text(numbers):
    """Text of numbers that `Record.parse` reads: what follows one another as a range."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] and (number < 0) == (runs[-1][0] < 0):
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    texts = [str(a) if b - a == 1 else f"{a}-{b if a >= 0 or b < 0 else ''}" for a, b in runs]
    return ",".join(texts)
