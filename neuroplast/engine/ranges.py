"""`check_range`: end a run whose variable leaves the range in which a model means something."""

from __future__ import annotations

import math

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.units.fundamentalunits import have_same_dimensions

from neuroplast.engine.active import active_device
from neuroplast.engine.operations import NativeOperation, array_variable
from neuroplast.errors import InputError


def check_range(population, variable, low, high, message, *, when="groups", order=0, name=None):
    """Operation that ends the run where a variable is below `low` or above `high`.

    NaN passes: the engine's own watch reports it as a divergence.

    Parameters
    ----------
    population : Population or Subgroup
    variable : str
        A variable of it with a value for each neuron, linked ones included.
    low, high : number or Quantity
        The range, in the variable's units; ``-inf`` and ``inf`` leave a side open.
    message : str
        What to say. The value, the neuron, the trial and the step are added.
    when, order : str, int
        Place in the step.
    name : str, optional

    Returns
    -------
    operation : NativeOperation

    Raises
    ------
    InputError
        For a variable that the population lacks, or a range that is none. While running, for a value outside.
    """
    name = name or f"{population.name}_{variable}_range"
    x = array_variable(name, population, variable)
    start = getattr(population, "start", 0)
    stop = start + len(population)
    if x.size < stop:
        raise InputError(f"'{name}': '{variable}' of '{population.name}' is a link to {x.size} values, not {stop}.")
    low, high = (_limit(name, x, *pair) for pair in (("low", low), ("high", high)))
    if not low < high:
        raise InputError(f"'{name}': low should be below high. Got {low:.6g} and {high:.6g}.")
    counters = active_device().counters.variables
    trial, step = counters["trial"], counters["k"]
    what, allowed = f"{message.rstrip('. ')}: {variable} of '{population.name}' is", f"from {low:.6g} to {high:.6g}"

    def cpp(pointer):
        real = c_data_type(x.dtype)
        return "\n".join(
            [
                f"const {real}* const x = {pointer(x)} + {start};",
                f"const {real} low = {_number(low)}, high = {_number(high)};",
                "int outside = 0;",
                f"for (int64_t i = 0; i < {len(population)}; i++) outside |= (x[i] < low) | (x[i] > high);",
                "if (!outside) return;",
                "int64_t i = 0;",
                "while (!(x[i] < low || x[i] > high)) i++;",
                "char value[64];",
                'std::snprintf(value, sizeof value, "%.6g", (double)x[i]);',
                f'fail(std::string("{_literal(what)} ") + value + " at index " + std::to_string(i) + " in trial " + ',
                f'    std::to_string({pointer(trial)}[0]) + ", step " + std::to_string({pointer(step)}[0]) + ',
                f'    ". It should be {allowed}.");',
            ]
        )

    def numpy(value):
        values = value(x)[start:stop]
        real = values.dtype.type
        outside = np.flatnonzero((values < real(low)) | (values > real(high)))
        if len(outside):
            i = int(outside[0])
            raise InputError(
                f"{what} {values[i]:.6g} at index {i} in trial {value(trial)[0]}, step {value(step)[0]}. It should be "
                f"{allowed}."
            )

    return NativeOperation(name, cpp=cpp, numpy=numpy, reads=[x, trial, step], writes=[], when=when, order=order)


def _limit(name, variable, label, limit):
    plain = isinstance(limit, int | float) and math.isinf(limit)
    if not plain and not have_same_dimensions(limit, variable.unit):
        raise InputError(
            f"'{name}': {label} should have the units of '{variable.name}', {variable.unit!r}. Got {limit!r}."
        )
    if math.isnan(float(limit)):
        raise InputError(f"'{name}': {label} should be a number. Got {limit!r}.")
    return float(limit)


def _number(value):
    return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}INFINITY"


def _literal(text):
    """Text inside a C++ literal, whatever is in it."""
    plain = {*range(32, 127)} - {ord(c) for c in '"\\?'}
    return "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode())
