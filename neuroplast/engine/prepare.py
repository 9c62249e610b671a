"""Make the code objects of a schedule and say in plain words what is wrong with them."""

from __future__ import annotations

from brian2.core.clocks import Clock
from brian2.core.functions import Function
from brian2.synapses.synapses import SummedVariableUpdater

from neuroplast.engine.access import written_names
from neuroplast.engine.counters import Counters
from neuroplast.engine.messages import explained
from neuroplast.engine.monitors import is_monitor
from neuroplast.engine.operations import NativeOperation, check_order, operations_of
from neuroplast.engine.selection import selections
from neuroplast.errors import InputError


def prepare(schedule, device, namespace):
    """Resolve names, check units and orders, and generate the code of every operation.

    Returns
    -------
    operations : dict of str to list
        Sorted operations of each phase and event.
    monitors : list of StateMonitor and SpikeMonitor
        In the order of the schedule.
    selecting : list
        The recorders among them in each node, see `neuroplast.engine.selection.selections`.

    Raises
    ------
    InputError
        For what Brian2 refuses (its own message, with the object's name and code), an object (or a phase's length) of
        another simulation, one with a clock of its own, statements that write the schedule's integers or draw other
        random numbers than ours, two operations whose order is left open, two sums into the same variable, or
        a recorder's selection that has no meaning in a node.
    """
    leaves = schedule.leaves()
    named = {id(obj) for leaf in leaves for obj in leaf.objects}
    operations = {leaf.name: operations_of(leaf.objects, named) for leaf in leaves}
    names, prepared = {}, set()
    for leaf in leaves:
        _check_length(leaf, device)
        for op in operations[leaf.name]:
            if names.setdefault(op.name, op) is not op:
                raise InputError(f"Two objects of the schedule are called '{op.name}'. Give each its own name.")
            if id(op) in prepared:
                continue
            prepared.add(id(op))
            _check_device(op, device)
            if isinstance(op, NativeOperation):
                continue
            owner = op.group.__repr__.__self__  # the object behind the proxy that Brian2 hands out
            if id(owner) not in prepared:
                prepared.add(id(owner))
                _check_links(owner, device)
                _attempt(owner, namespace)
            _attempt(op, namespace)
            _check_statements(op)
    for leaf in leaves:
        check_order(leaf, operations[leaf.name])
        _check_rows(leaf, operations[leaf.name])
        _check_sums(leaf, operations[leaf.name])
    monitors = [op for op in names.values() if is_monitor(op)]
    selecting = selections(schedule, operations)
    for op, node, loop in selecting:
        op._selection.check(node, loop)
    return operations, monitors, selecting


def _attempt(obj, namespace):
    obj._network = "a schedule's"  # Brian2 warns of objects that were in no network of its own
    try:
        obj.before_run(namespace)
    except Exception as error:
        if _is_sum(obj):
            code = f"{obj.target_varname} = {obj.expression}"
            raise explained(obj.group.title, error, code=code, group=obj.group) from error
        if hasattr(obj, "abstract_code"):
            raise explained(f"'{obj.name}'", error, code=obj.abstract_code, group=obj.group) from error
        raise explained(f"'{obj.name}'", error, obj.equations, group=obj) from error


def _is_sum(operation):
    return isinstance(operation, SummedVariableUpdater)


def _check_device(operation, device):
    if isinstance(operation, NativeOperation):
        ours = all(v.device is device for v in operation.reads | operation.writes)
    else:
        clock, ours = operation.clock, operation.clock is device.defaultclock
        if not ours and clock.name != device.defaultclock.name:
            raise InputError(
                f"'{operation.name}' has a clock of its own (dt = {clock.dt}). A schedule has one time step; to act "
                "every n steps, test the step: int(k % n == 0)."
            )
    if not ours:
        raise InputError(
            f"'{operation.name}' belongs to an earlier simulation. Make all objects of a schedule after one start()."
        )


def _check_links(group, device):
    """Refuse linked variables that are linked to nothing, or to what no run of this simulation sets."""
    for name in sorted(getattr(group, "_linked_variables", ())):
        variable = group.variables.get(name)
        if variable is None:
            raise InputError(
                f"'{group.name}': '{name}' is (linked), and to nothing yet. Set {group.name}.{name} = "
                "linked_var(population, 'variable')."
            )
        if variable.device is not device:
            raise InputError(
                f"'{group.name}': '{name}' is linked to '{variable.name}' of an earlier simulation. Make all objects "
                "of a schedule after one start()."
            )


def _check_length(leaf, device):
    if getattr(leaf, "length", None) is not None and leaf.length_at()[0].device is not device:
        group, name = leaf.length
        raise InputError(
            f"Phase '{leaf.name}': '{name}' of '{group.name}', its length, belongs to an earlier simulation. Make all "
            "objects of a schedule after one start()."
        )


def _check_rows(leaf, operations):
    for op in operations if getattr(leaf, "follows", None) is not None else ():
        if getattr(op, "within_phase", ""):
            raise InputError(
                f"{op.within_phase} holds the steps of one phase, and k of phase '{leaf.name}' goes on from phase "
                f"'{leaf.follows}'. Load with row='k' from a table, or store in one phase alone."
            )


def _check_statements(operation):
    code = operation.abstract_code
    for name in sorted(written_names(code)):
        variable = operation.group.variables.get(name)
        if isinstance(getattr(variable, "owner", None), Counters | Clock):
            raise InputError(
                f"'{operation.name}' writes {name}, which the schedule counts:\n    {code.strip()}\n"
                "Give the variable another name."
            )
    for name, variable in operation.codeobj.variables.items() if operation.codeobj else ():
        if isinstance(variable, Function) and not variable.stateless and name not in ("rand", "randn"):
            raise InputError(
                f"'{operation.name}' calls {name}(), whose random numbers do not follow from seed and step. Use "
                "rand() < rate*dt for events, or randn() for noise."
            )


def _check_sums(node, operations):
    """Refuse sums into the same neurons' variable: the later one would replace the earlier."""
    sums = [op for op in operations if _is_sum(op)]
    for i, first in enumerate(sums):
        for second in sums[i + 1 :]:
            (a, b), (c, d) = (
                (getattr(op.target, "start", 0), getattr(op.target, "stop", len(op.target))) for op in (first, second)
            )
            if first.target_var is second.target_var and a < d and c < b:
                variable = first.target_var
                raise InputError(
                    f"'{node.name}': '{first.group.name}' and '{second.group.name}' both sum into "
                    f"{variable.owner.name}.{variable.name}, and the later sum replaces the earlier. Give each a "
                    "variable of its own and add them in the population."
                )
