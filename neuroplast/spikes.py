"""Spikes drawn from rates: each neuron fires in a step with probability ``rate*dt``.

The rate of a model is a number without a unit. A map says how many spikes per second it stands for, with ``max`` the
rate, in Hz, at 1:

===========  ======================  ============  =============================================================
map          rate                    takes         for
===========  ======================  ============  =============================================================
shifted      ``max*(h + 1)/2``       -1 to 1       tanh: -1 is silence, 0 is half of the maximum
scaled       ``max*h``               0 to 1        logistic functions
rectified    ``max*max(h, 0)``       any           rectifiers: all of what is never negative; of tanh it silences half
===========  ======================  ============  =============================================================

The spikes are those of a companion `Population`, which reads the rate through ``brian2.linked_var`` and has a Brian2
threshold, ``rand() < rate*dt``. Nothing goes back: the model computes what it computes without it.

In one step there is at most one spike. Where ``rate*dt`` is small that is an inhomogeneous Poisson process. Else the
mean stays right, but the variance of counts is ``1 - rate*dt`` times that of a Poisson process, and so is the squared
coefficient of variation of intervals. `LARGEST` bounds ``rate*dt``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from brian2 import Hz, Quantity, have_same_dimensions, linked_var, second
from brian2.utils.logger import catch_logs

from neuroplast.engine import Population, check_range
from neuroplast.errors import InputError
from neuroplast.unittext import unit_text

#: The most that rate*dt may be: counts then vary by 10 % less than those of a Poisson process, intervals by 5 %.
LARGEST = 0.1
PROCESS = "inhomogeneous Poisson, sampled from rates"

ACTIVITY = """
activity : 1 (linked)                       # rate of the model's neuron
"""
THRESHOLD = "rand() < rate*dt"
#: Text of each map, and the rates that it takes.
MAPS = {
    "shifted": ("rate = max_rate*(activity + 1)/2 : Hz", -1.0, 1.0),
    "scaled": ("rate = max_rate*activity : Hz", 0.0, 1.0),
    "rectified": ("rate = max_rate*activity*int(activity > 0) : Hz", -math.inf, math.inf),
}


@dataclass(frozen=True)
class Rate:
    """Which variable of a population is its rate, and between what it lies by its equations.

    Parameters
    ----------
    variable : str
    low, high : float
        -1 and 1 for tanh, 0 and 1 for a logistic function; by default not known.
    """

    variable: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def map(self) -> str | None:
        """The map that fits; None if the range is not known."""
        if self.low >= 0:
            return "scaled" if self.high <= 1 else "rectified"  # which loses nothing of what is never negative
        return "shifted" if -1 <= self.low and self.high <= 1 else None


@dataclass(frozen=True)
class Spikes:
    """How a population's rates become spikes.

    Parameters
    ----------
    map : {"shifted", "scaled", "rectified"}, optional
        By default the one that fits the range which the model declares for its rate.
    max : Quantity
        Rate in Hz where the model's rate is 1.
    refractory : Quantity
        Time after a spike in which there is no other. Mean rates are then r/(1 + r*refractory).
    """

    map: str | None = None
    max: Quantity = field(default_factory=lambda: 50 * Hz)
    refractory: Quantity = field(default_factory=lambda: 0 * second)

    def __post_init__(self):
        if self.map not in (None, *MAPS):
            raise InputError(f"map should be one of {', '.join(MAPS)}. Got {self.map!r}.")
        if not (have_same_dimensions(self.max, Hz) and 0 < float(self.max) < math.inf):
            raise InputError(f"max should be a positive rate such as 50*Hz. Got {_text(self.max)}.")
        if not (have_same_dimensions(self.refractory, second) and 0 <= float(self.refractory) < math.inf):
            raise InputError(f"refractory should be a time such as 2*ms. Got {_text(self.refractory)}.")

    def __str__(self):
        options = [f"map={self.map}"] if self.map else []
        options.append(f"max={unit_text(self.max)}")
        options += [f"refractory={unit_text(self.refractory)}"] if float(self.refractory) > 0 else []
        return ":".join(options)


def _text(value):
    return unit_text(value) if isinstance(value, Quantity | int | float) else repr(value)


def chosen_map(name: str, rate: Rate, wanted: str | None) -> str:
    """The map to use for a rate.

    Raises
    ------
    InputError
        If there is none by default, or the wanted one is for other rates.
    """
    fits = rate.map
    if wanted is None and fits is None:
        known = f"{name}:map={'|'.join(MAPS)}"
        raise InputError(
            f"{name}: which map from rate to Hz? The model does not say between what {rate.variable} lies. Choose with "
            f"{known}: shifted for rates from -1 to 1, scaled for 0 to 1, rectified where negative ones mean silence."
        )
    if None not in (wanted, fits) and wanted not in (fits, "rectified"):
        or_silence = "" if fits == "rectified" else ", or map=rectified, which silences negative rates"
        raise InputError(
            f"{name}: map={wanted} is not for rates from {rate.low:g} to {rate.high:g}, between which {rate.variable} "
            f"lies. Use map={fits}{or_silence}."
        )
    return wanted or fits


def spiking(name: str, source, rate: Rate, spikes: Spikes):
    """A population that spikes at the rates of another one.

    Parameters
    ----------
    name : str
        For messages, such as ``"units.spikes"``.
    source : Population
    rate : Rate
    spikes : Spikes

    Returns
    -------
    Population
        Called ``SOURCE_spiking``.
    list
        What a phase has to run: a check of the rates, the threshold.
    dict
        What describes the spikes in the results.

    Raises
    ------
    InputError
        If no map fits, the rate is no variable without units, or there would be too many spikes for the time step.
    """
    kind = chosen_map(name, rate, spikes.map)
    text, low, high = MAPS[kind]
    dt, most, refractory = float(source.clock.dt), float(spikes.max), float(spikes.refractory)
    if most * dt > LARGEST * (1 + 1e-9):
        raise InputError(
            f"{name}: max={unit_text(spikes.max)} is too fast for the time step of {dt * 1000:g} ms. There is at most "
            f"one spike in a step, and max*dt should be at most {LARGEST:g} for them to be irregular. Use at most "
            f"{_text(LARGEST / dt * Hz)}, or a smaller dt."
        )
    if 0 < refractory < dt * (1 - 1e-9):
        raise InputError(
            f"{name}: refractory={unit_text(spikes.refractory)} is shorter than the time step of {dt * 1000:g} ms, in "
            "which there is at most one spike anyway. Leave it out, or use a smaller dt."
        )
    companion = f"{name.replace('.spikes', '').replace('.', '_')}_spiking"
    options = {"refractory": spikes.refractory} if refractory else {}
    with catch_logs():  # Brian2 warns of a threshold without a reset: there is nothing to be reset
        group = Population(
            source.features, ACTIVITY + text, batch=source.batch, threshold=THRESHOLD,
            namespace={"max_rate": most * Hz}, name=companion, **options,
        )  # fmt: skip
    group.activity = linked_var(source, rate.variable)
    if kind == "rectified":
        high, advice = LARGEST / (most * dt), "more than a step of this length can hold; give a lower max"
    else:
        advice = "not what it is for; use map=rectified, which silences negative rates"
    # After the step's rates, before the threshold.
    checked = check_range(
        source, rate.variable, low, high, f"{name}: map={kind} was given a rate that is {advice}",
        when="before_thresholds", name=f"{companion}_range",
    )  # fmt: skip
    described = {
        "neurons": len(source),
        "time_step": dt,
        "map": f"{kind}: {text.split(' : ')[0].replace('activity', rate.variable)}, max_rate = {unit_text(spikes.max)}",
        "process": PROCESS,
        "refractory": refractory,
    }
    return group, [checked, group], described
