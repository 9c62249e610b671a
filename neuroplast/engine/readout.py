"""Operations that look at all neurons of a copy at once: softmax, accuracy, loss."""

from __future__ import annotations

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.core.variables import ArrayVariable
from brian2.units.fundamentalunits import DIMENSIONLESS

from neuroplast.engine.active import active_device
from neuroplast.engine.operations import NativeOperation, array_variable
from neuroplast.engine.population import batch_of
from neuroplast.errors import InputError


def softmax(population, source, into, *, when="groups", order=0, name=None):
    """Operation: ``into = exp(source) / sum of exp(source)`` over the neurons of each copy.

    The greatest value is subtracted first, so that nothing overflows.

    Parameters
    ----------
    population : Population or Subgroup
    source, into : str
        Variables of it, without units; may be the same.
    when, order : str, int
        Place in the step.
    name : str, optional

    Returns
    -------
    operation : NativeOperation

    Raises
    ------
    InputError
        For a variable that the population lacks or that has units.
    """
    name = name or f"{population.name}_softmax_{into}"
    z, p = (array_variable(name, population, variable, plain=True) for variable in (source, into))
    here, shape = _place(population)

    def cpp(pointer):
        start, _ = here
        return f"softmax({pointer(z)} + {start}, {pointer(p)} + {start}, {shape[0]}, {shape[1]});"

    def numpy(value):
        values = value(z)[slice(*here)].reshape(shape)
        values = np.exp(values - values.max(axis=0))
        value(p)[slice(*here)] = (values / values.sum(axis=0)).ravel()

    return NativeOperation(name, cpp=cpp, numpy=numpy, reads=[z], writes=[p], when=when, order=order)


def count_correct(population, output="y", target="target", into="correct", *, when="groups", order=0, name=None):
    """Operation: adds to `into` the number of copies whose greatest output is at the greatest target.

    Copies beyond ``n_valid``, which a partial batch leaves without data, are not counted. Of equal values
    the first is the greatest.

    Parameters
    ----------
    population : Population or Subgroup
    output, target : str
        Variables of it.
    into : str
        Shared variable that is added to, such as ``correct : integer (shared)``. Setting it to zero is up
        to the schedule.
    when, order : str, int
        Place in the step.
    name : str, optional

    Returns
    -------
    operation : NativeOperation

    Raises
    ------
    InputError
        For a variable that the population lacks, or `into` if it is not shared or has units. While running,
        if no data set has been presented.
    """
    name = name or f"{population.name}_count_{into}"

    def counted(y, t):
        return np.count_nonzero(y.argmax(axis=0) == t.argmax(axis=0))

    return _reduction(population, output, target, into, when, order, name, "agreements", counted, plain=False)


def cross_entropy(population, output="p", target="target", into="loss", *, when="groups", order=0, name=None):
    """Operation: adds to `into` the sum over copies of ``-sum of target*log(output)``.

    Copies beyond ``n_valid`` are left out. Outputs below the smallest normal number of their type count as
    that, so that the loss stays finite.

    Parameters
    ----------
    population : Population or Subgroup
    output, target : str
        Variables of it, without units: probabilities, and one-hot labels.
    into : str
        Shared variable that is added to, such as ``loss : 1 (shared)``. Setting it to zero is up to the
        schedule.
    when, order : str, int
        Place in the step.
    name : str, optional

    Returns
    -------
    operation : NativeOperation

    Raises
    ------
    InputError
        As `count_correct`.
    """
    name = name or f"{population.name}_cross_entropy_{into}"

    def loss(p, t):
        return -np.sum(t * np.log(np.maximum(p, np.finfo(p.dtype).tiny)), dtype=np.float64)

    return _reduction(population, output, target, into, when, order, name, "cross_entropy", loss, plain=True)


def _reduction(population, output, target, into, when, order, name, function, twin, plain):
    """Operation that adds a number over the valid copies to a shared variable."""
    y, t = (array_variable(name, population, variable, plain=plain) for variable in (output, target))
    total = population.variables.get(into)
    if not isinstance(total, ArrayVariable) or not total.scalar or total.dim is not DIMENSIONLESS or total.read_only:
        raise InputError(
            f"'{name}': '{into}' should be a shared variable of '{population.name}' without units. Add for "
            f"example '{into} : 1 (shared)' to its equations."
        )
    valid = active_device().counters.variables["n_valid"]
    (start, stop), (features, batch) = _place(population)
    message = f"{name} counts the copies that hold data and there are none (n_valid is 0). Present a Dataset first"

    def cpp(pointer):
        return (
            f"const int64_t valid = std::min<int64_t>({pointer(valid)}[0], {batch});\n"
            f'if (valid < 1) fail("{message}");\n'
            f"{pointer(total)}[0] += ({c_data_type(total.dtype)}){function}({pointer(y)} + {start}, "
            f"{pointer(t)} + {start}, {features}, {batch}, valid);"
        )

    def numpy(value):
        copies = min(int(value(valid)[0]), batch)
        if copies < 1:
            raise InputError(message)
        made, wanted = (value(v)[start:stop].reshape(features, batch)[:, :copies] for v in (y, t))
        value(total)[0] += np.dtype(total.dtype).type(twin(made, wanted))

    reads = [y, t, valid, total]
    return NativeOperation(name, cpp=cpp, numpy=numpy, reads=reads, writes=[total], when=when, order=order)


def _place(population):
    """((first element, last + 1), (features, batch)) of a population or subgroup in its arrays."""
    start, batch = getattr(population, "start", 0), batch_of(population)
    return (start, start + len(population)), (len(population) // batch, batch)
