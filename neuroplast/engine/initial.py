"""Values that are set in Python before a simulation runs: what may be assigned, on both targets alike."""

from __future__ import annotations

import numpy as np
from brian2.core.functions import Function
from brian2.core.variables import VariableView

from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.population import Population
from neuroplast.errors import InputError


def matrix_shape(variable):
    """Shape of a variable as matrix: (N_pre, N_post) of synapses, (neurons, copies) of a population; else None."""
    owner = variable.owner
    if isinstance(owner, DenseSynapses) and not variable.scalar:
        return owner.shape
    if isinstance(owner, Population) and not variable.scalar:
        return (owner.features, owner.batch)
    return None


class InitialValues:
    """Part of a device: assignments such as ``W.w = matrix`` or ``A.x[2:4] = 0``."""

    def variableview_set_with_index_array(self, view, item, value, check_units):
        """Set elements of a variable (see `brian2.core.variables.VariableView`).

        Raises
        ------
        InputError
            If the number of values is neither one nor that of the elements, or a matrix has another shape.
        """
        variable = view.variable
        whole = isinstance(item, slice) and item == slice(None) and view.index_var in ("_idx", "0")
        size = variable.size if whole else np.size(view.indexing(item, view.index_var))
        shape = matrix_shape(variable) if whole else None
        if np.size(value) != 1 and np.shape(value) not in ((size,), shape):
            allowed = f"one value or {size} values" + (f" or a matrix of shape {shape}" if shape else "")
            got = f"{np.size(value)} values of shape {np.shape(value)}"
            raise InputError(f"{view.group_name}.{view.name} takes {allowed}. Got {got}.")
        value = np.ravel(value) if np.size(value) > 1 else np.reshape(value, ())
        VariableView.set_with_index_array.original_function(view, item, value, check_units)

    def synapses_connect(self, synapses, *args, **kwds):
        """Refuse what Brian2's ``Synapses.connect`` would do."""
        raise InputError(
            f"'{synapses.name}': connect() is not for schedules. DenseSynapses connect all pairs; pass mask= an array "
            "of bool of shape (N_pre, N_post) for some of them."
        )


def no_random_values(owner, variables):
    """Refuse string expressions that draw initial values.

    Raises
    ------
    InputError
        If one of the variables is a random function.
    """
    for name, variable in variables.items():
        if isinstance(variable, Function) and not variable.stateless:
            raise InputError(
                f"'{owner.name}': {name}() in a string cannot set initial values, since a simulation gets its seed "
                "when it runs. Draw them in numpy: numpy.random.default_rng(seed)."
            )
