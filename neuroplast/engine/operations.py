"""What a node of a schedule runs: Brian2's code runners and our few native operations."""

from __future__ import annotations

import numpy as np
from brian2 import prefs
from brian2.core.functions import Function
from brian2.core.variables import ArrayVariable
from brian2.groups.group import CodeRunner, Group, VariableOwner
from brian2.groups.subgroup import Subgroup
from brian2.input.poissoninput import PoissonInput
from brian2.input.spikegeneratorgroup import SpikeGeneratorGroup
from brian2.monitors.ratemonitor import PopulationRateMonitor
from brian2.synapses.synapses import SynapticPathway
from brian2.units.fundamentalunits import DIMENSIONLESS

from neuroplast.engine.access import Access, written_names
from neuroplast.engine.monitors import is_monitor, own_arrays
from neuroplast.errors import InputError

#: Brian2's slots, in the order of a step.
SLOTS = [
    f"{prefix}{slot}"
    for slot in ("start", "groups", "thresholds", "synapses", "resets", "end")
    for prefix in ("before_", "", "after_")
]

#: What hands spikes to synapses or counts them, which a schedule does not do, and what has no operations.
_NOT_RUN = (PoissonInput, PopulationRateMonitor, SpikeGeneratorGroup, Subgroup, SynapticPathway)


class NativeOperation:
    """An operation that equations cannot say: a C++ body and its numpy twin.

    Parameters
    ----------
    name : str
        A C++ identifier, unique within the simulation.
    cpp : callable
        ``cpp(pointer)`` gives the body; ``pointer(variable)`` is the C++ expression of a variable's data.
    numpy : callable
        ``numpy(value)`` does the same; ``value(variable)`` is the variable's array, to be changed in place.
    reads, writes : iterable of ArrayVariable
        The only variables that it touches.
    when, order : str, int
        Place in the step.
    declarations : str, optional
        C++ at file scope, before the bodies.
    blas : bool
        Whether the body calls ``neuroplast::gemm``.

    Attributes
    ----------
    within_phase : str
        Whose rows are the steps 0 to ``n_steps - 1``, if any: it has no place in a phase that follows another.
    """

    within_phase = ""

    def __init__(self, name, *, cpp, numpy, reads, writes, when="groups", order=0, declarations="", blas=False):
        if not name.isidentifier():
            raise InputError(f"A native operation's name should be an identifier. Got {name!r}.")
        if when not in SLOTS:
            raise InputError(f"Operation '{name}': when should be one of {', '.join(SLOTS)}. Got {when!r}.")
        self.name, self.cpp, self.numpy = name, cpp, numpy
        self.reads, self.writes = frozenset(reads), frozenset(writes)
        self.when, self.order, self.declarations, self.blas = when, order, declarations, blas

    @property
    def access(self):
        """What it reads and writes."""
        return Access(self.reads, self.writes)


def array_variable(owner, group, name, *, plain=False):
    """A group's array variable of the simulation's precision, for a native operation.

    Parameters
    ----------
    owner : str
        Name of the operation, for the message.
    group : Group
    name : str
    plain : bool
        Refuse a variable with units.

    Raises
    ------
    InputError
        If the group has no such variable.
    """
    variable, real = group.variables.get(name), np.dtype(prefs.core.default_float_dtype)
    suits = isinstance(variable, ArrayVariable) and not variable.scalar and variable.dtype == real
    if not suits or (plain and variable.dim is not DIMENSIONLESS):
        kind = "variable without units" if plain else "variable"
        raise InputError(
            f"'{owner}': '{name}' should be a {kind} of '{group.name}' with a value for each neuron. Add for example "
            f"'{name} : 1' to its equations."
        )
    return variable


def is_variable_of_group(pair):
    """Whether it is (group, name); the group need not have such a variable."""
    pair = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
    return isinstance(pair[0], VariableOwner) and isinstance(pair[1], str)


def one_integer(owner, pair):
    """Where a single integer stands, which the schedule or a native operation reads.

    Parameters
    ----------
    owner : str
        What asks for it, for the message.
    pair : (Group, str)
        A population of one neuron and its integer variable, or any group and its shared integer.

    Returns
    -------
    variable : ArrayVariable
    index : int
        Its element.

    Raises
    ------
    InputError
        If it is no such pair, the variable is no array of integers, or it has more than one element.
    """
    if not is_variable_of_group(pair):
        raise InputError(f"{owner} should be (population, 'variable'). Got {pair!r}.")
    group, name = pair
    variable = group.variables.get(name)
    if not (isinstance(variable, ArrayVariable) and np.issubdtype(variable.dtype, np.integer)):
        raise InputError(
            f"{owner}: {name!r} should be an integer variable of '{group.name}'. Add for example '{name} : integer' to "
            "its equations."
        )
    if not variable.scalar and len(group) != 1:
        raise InputError(
            f"{owner}: '{name}' of '{group.name}' should be a single integer. Got {len(group)}; take a population of "
            f"one neuron, or '{name} : integer (shared)'."
        )
    return variable, 0 if variable.scalar else getattr(group, "start", 0)


def operations_of(objects, named):
    """The operations behind a node's objects, sorted by (when, order).

    A group brings the operations it contains, except those that some node of the schedule lists by themselves.

    Parameters
    ----------
    objects : sequence
        Objects of a node.
    named : set of int
        ``id`` of every object that any node of the schedule lists.
    """
    found = []

    def visit(obj, by_name):
        if not by_name and id(obj) in named:
            return
        runs = isinstance(obj, NativeOperation | CodeRunner)
        group = isinstance(obj, Group) and hasattr(obj, "contained_objects")
        if isinstance(obj, _NOT_RUN) or not (runs or group):
            raise InputError(
                "A schedule runs populations, DenseSynapses, StateMonitors, SpikeMonitors, what run_regularly returns, "
                f"and native operations. Got {getattr(obj, 'name', obj)!r}, a {type(obj).__name__}."
            )
        if runs and all(obj is not other for other in found):
            found.append(obj)
        for part in getattr(obj, "contained_objects", ()):
            visit(part, False)

    for obj in objects:
        visit(obj, True)
    return sorted(found, key=lambda op: (SLOTS.index(op.when), op.order))


def access_of(operation):
    """What an operation reads and writes; known once its code object has been made."""
    if isinstance(operation, NativeOperation):
        return operation.access
    if operation.codeobj is None:
        return Access()
    reads = {v for v in operation.codeobj.variables.values() if isinstance(v, ArrayVariable)}
    group = operation.group
    if is_monitor(operation):
        own = own_arrays(operation)
        return Access(reads - own, own)
    if hasattr(operation, "target_var"):
        writes = {operation.target_var}
        # The sum's own target is among the variables of its template; it reads it only if the expression does.
        named = set(group.variables) & set(operation.expression.identifiers)
        reads = {v for v in reads if v is not operation.target_var or operation.target_varname in named}
    elif hasattr(operation, "statement"):
        writes = {group.variables[operation.variable]}
    elif operation.template == "threshold":
        names = (operation.template_kwds["eventspace_variable"].name, "not_refractory", "lastspike")
        refractory = operation.template_kwds["_uses_refractory"]
        writes = {group.variables[n] for n in (names if refractory else names[:1])}
    elif operation.template in ("stateupdate", "reset", "dense_sweep", "synapse_by_synapse"):
        names = written_names(operation.abstract_code)
        writes = {v for n in names if isinstance(v := group.variables.get(n), ArrayVariable)}
    else:  # whatever its template touches
        writes = set(reads)
    return Access(reads, writes, _draws(operation))


def _draws(operation):
    return any(isinstance(v, Function) and not v.stateless for v in operation.codeobj.variables.values())


def check_order(node, operations):
    """Refuse two operations at the same place of a step whose order matters.

    Raises
    ------
    InputError
        Naming both operations, their place, and a variable that one writes and the other uses.
    """
    for i, first in enumerate(operations):
        for second in operations[i + 1 :]:
            if (first.when, first.order) != (second.when, second.order):
                break
            shared = access_of(first).conflicts(access_of(second))
            if shared:
                variable = min(f"{v.owner.name}.{v.name}" for v in shared)
                raise InputError(
                    f"'{node.name}': '{first.name}' and '{second.name}' both have when='{first.when}', "
                    f"order={first.order}, and one writes {variable} which the other uses. Give them different orders."
                )
