"""`Recorded`: how one monitored variable appears in the results."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np

from neuroplast.errors import InputError

#: Kinds of results, and the dimension along which each is recorded unless something else is said.
ALONG = {"metrics": "trial", "rates": "time", "weights": "snapshot", "spikes": "spike"}
#: What places a record in the schedule (recorded name -> name in the results), shared by a monitor's indices.
PLACES = {
    "t": "time",
    "epoch": "epoch",
    "trial": "trial",
    "k": "step",
    "n_steps": "n_steps",
    "n_valid": "n_valid",
    "tick": "tick",
}
#: Of these each trial has others: a table of trials by times would hold little but gaps.
_NEVER_AGAIN = ("trial", "time", "tick")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """How one monitored variable appears in the results.

    Parameters
    ----------
    name : str
        Its name there.
    source : str
        ``monitor.variable``.
    kind : {"metrics", "rates", "weights", "spikes"}
        Once per trial, along time, a snapshot, or a neuron's index for each spike.
    dims : tuple of str
        Dimensions of one record: ``()`` for a number, ``("unit",)``, ``("pre", "post")``.
    shape : tuple of int, optional
        Their lengths; needed for two or more.
    along : str, optional
        Dimension from record to record: "trial", "epoch", "step" or "time", if the monitor recorded
        ``trial``, ``epoch``, ``k`` or ``t``, or any other name. By default trial, time, snapshot and spike for the
        four kinds. What else the monitor recorded of these becomes ``ALONG_trial``, ``ALONG_time``, ...
    fold : str, optional
        Name of one more dimension, before the one along: the trials, so that the records of each have a row of their
        own. The monitor has to record ``trial``, which labels it. The rows are as long as the longest trial and NaN
        where a trial has no record (integers become floats). What else was recorded becomes ``FOLD_ALONG_time``, ...
    unit, doc : str
        Kept as the array's ``units`` and ``long_name``.
    dt : float, optional
        Seconds from step to step, kept as ``time_step``. With it, ``along="time"`` can be folded: the columns are
        those of ``k``, labelled with the seconds since the trial began, ``(k + 1)*dt``.
    prefix : bool
        Whether every dimension is called ``NAME_DIMENSION``, so that arrays of different sizes and selections live in
        one dataset. Of the rest there are ``NAME_trial``, ``NAME_epoch`` and the times on the run's clock: of each
        record ``NAME_time``, of each trial or snapshot along the trials ``NAME_start``.
    attrs : dict
        More attributes of the array: numbers and texts.
    aside : bool
        Whether it stays with the net that recorded it, when the results of several nets are combined.
    per_epoch : int, optional
        Trials in an epoch, if the monitor recorded ``epoch``: trials are then counted through all epochs, and a folded
        array has the epoch of each trial as a coordinate.
    """

    name: str
    source: str
    kind: str = "metrics"
    dims: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    along: str | None = None
    unit: str = ""
    doc: str = ""
    fold: str | None = None
    dt: float | None = None
    prefix: bool = False
    attrs: Mapping = field(default_factory=dict, hash=False)
    aside: bool = False
    per_epoch: int | None = None

    def __post_init__(self):
        if self.kind not in ALONG:
            raise InputError(f"{self.name}: kind should be one of {', '.join(ALONG)}. Got {self.kind!r}.")
        if self.source.count(".") != 1:
            raise InputError(f"{self.name}: source should be 'monitor.variable'. Got {self.source!r}.")
        if len(self.dims) > 1 and len(self.shape or ()) != len(self.dims):
            raise InputError(f"{self.name}: shape should give the lengths of {self.dims}. Got {self.shape}.")
        if self.dt is not None and not (np.isscalar(self.dt) and 0 < self.dt < np.inf):
            raise InputError(f"{self.name}: dt should be a positive number of seconds. Got {self.dt!r}.")
        if self.fold is not None and self.dimension in (self.fold, *_NEVER_AGAIN) and not self.in_trial:
            raise InputError(
                f"{self.name}: with fold={self.fold!r}, along should be what begins anew in each trial, such as "
                f"'step', 'time' with dt=, or another name. Got {self.dimension!r}."
            )
        for key, value in self.attrs.items():
            if not isinstance(value, str | int | float | np.number) or isinstance(value, bool):
                raise InputError(f"{self.name}: attrs[{key!r}] should be a number or a text. Got {value!r}.")

    @property
    def monitor(self) -> str:
        """Name of the monitor behind it."""
        return self.source.split(".")[0]

    @property
    def dimension(self) -> str:
        """Name of the dimension from record to record, without a prefix."""
        return self.along or ALONG[self.kind]

    @property
    def in_trial(self) -> bool:
        """Whether its columns are times since the trial began."""
        return self.fold is not None and self.dimension == "time" and self.dt is not None

    @property
    def place(self) -> str | None:
        """Variable of the monitor that says which column of a trial's row a record has; None if they are counted."""
        variables = {name: variable for variable, name in PLACES.items()}
        return "k" if self.in_trial else variables.get(self.dimension)

    def prefixed(self, name: str) -> str:
        """Name of a dimension or coordinate of it in the dataset."""
        return f"{self.name}_{name}" if self.prefix else name

    @property
    def leading(self) -> tuple[str, ...]:
        """Dimensions before those of one record: from record to record, or from trial to trial and within one."""
        bare = (self.dimension,) if self.fold is None else (self.fold, self.dimension)
        return tuple(self.prefixed(name) for name in bare)

    @property
    def attributes(self) -> dict:
        """Attributes of its array."""
        found = {"kind": self.kind}
        found |= {"units": self.unit} if self.unit else {}
        found |= {"long_name": self.doc} if self.doc else {}
        found |= {"time_step": float(self.dt)} if self.dt is not None else {}
        found |= {"aside": 1} if self.aside else {}
        return found | dict(self.attrs)

    @staticmethod
    def to_json(recorded: Sequence[Recorded]) -> str:
        """Text that `from_json` reads."""
        plain = [dataclasses.asdict(item) | {"attrs": dict(item.attrs)} for item in recorded]
        return json.dumps(plain, default=lambda number: number.item())

    @staticmethod
    def from_json(text: str) -> tuple[Recorded, ...]:
        """What `to_json` wrote."""
        items = json.loads(text)
        for item in items:
            item["dims"] = tuple(item["dims"])
            item["shape"] = None if item["shape"] is None else tuple(item["shape"])
        return tuple(Recorded(**item) for item in items)


def check_sources(monitors: Mapping[str, Mapping], recorded: Sequence[Recorded]) -> None:
    """Raise InputError if a source names no monitor or variable there is, or one to be folded without its trials."""
    known = [f"{monitor}.{variable}" for monitor, variables in monitors.items() for variable in variables]
    for item in recorded:
        if item.source not in known:
            there = ", ".join(known) or "nothing"
            raise InputError(f"{item.name}: no monitor recorded {item.source!r}. Recorded were: {there}.")
        if item.fold is not None:
            for variable in ("trial", *(["k"] if item.in_trial else [])):
                if f"{item.monitor}.{variable}" not in known:
                    raise not_recorded(item, variable)


def not_recorded(item: Recorded, variable: str) -> InputError:
    """The error for a folded item whose monitor does not say where its records belong."""
    what = "trial" if variable == "trial" else "step"
    return InputError(
        f"{item.name}: fold={item.fold!r} needs the {what} of each record, and '{item.monitor}' did not record it. Add "
        f"'{variable}' to the variables of '{item.monitor}'."
    )
