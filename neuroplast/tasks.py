"""Tasks: what a network is given and what it should produce, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neuroplast.errors import InputError


@dataclass(frozen=True, eq=False)
class Task:
    """Input and target of one trial.

    Parameters
    ----------
    target : array_like of shape (samples, outputs)
    drive : array_like of shape (samples, inputs), optional
        Input; None for a network that is left to itself.
    name : str

    Raises
    ------
    InputError
        If an array has another shape, another number of samples, or numbers that are not finite.
    """

    target: np.ndarray = field(repr=False)
    drive: np.ndarray | None = field(default=None, repr=False)
    name: str = "task"

    def __post_init__(self):
        object.__setattr__(self, "target", self._checked("target", self.target))
        if self.drive is not None:
            object.__setattr__(self, "drive", self._checked("drive", self.drive))
            if len(self.drive) != self.samples:
                raise InputError(
                    f"Task '{self.name}': drive and target should have the same number of samples. Got "
                    f"{len(self.drive)} and {self.samples}."
                )

    def _checked(self, label, values):
        values = np.asarray(values, dtype=float)
        if values.ndim != 2 or values.shape[0] < 2 or values.shape[1] < 1:
            raise InputError(
                f"Task '{self.name}': {label} should have shape (samples, channels) with two samples or more. Got "
                f"{values.shape}."
            )
        if not np.isfinite(values).all():
            raise InputError(f"Task '{self.name}': {label} should be finite.")
        return values

    @property
    def samples(self) -> int:
        """Samples of a trial; from each to the next is one step."""
        return len(self.target)

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.target.shape[1]

    @property
    def inputs(self) -> int:
        """Input channels."""
        return 0 if self.drive is None else self.drive.shape[1]

    def loss(self, output) -> float:
        """Half the squared error, averaged over the trial (Murray 2019, eLife 8:e43299, equation 2).

        Parameters
        ----------
        output : array_like of shape (samples - 1, outputs)
            Output after each step: what belongs to the samples from the second on.
        """
        err = self.target[1:] - np.asarray(output, dtype=float).reshape(self.samples - 1, self.outputs)
        return float(np.sum(err**2) / (2 * self.samples))


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
    return Task(target[:, None], name="periodic")
