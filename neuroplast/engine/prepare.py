"""Make the code objects of a schedule and say in plain words what is wrong with them."""

from __future__ import annotations

from brian2.groups.group import CodeRunner
from brian2.monitors.statemonitor import StateMonitor

from neuroplast.engine.operations import NativeOperation, check_order, operations_of
from neuroplast.errors import InputError, NeuroplastError


def prepare(schedule, device, namespace):
    """Resolve names, check units and orders, and generate the code of every operation.

    Returns
    -------
    operations : dict of str to list
        Sorted operations of each phase and event.
    monitors : list of StateMonitor
        In the order of the schedule.

    Raises
    ------
    InputError
        For what Brian2 refuses (the message is its own, with the object's name and code), an object with a clock of
        its own, or two operations whose order is left open.
    """
    leaves = schedule.leaves()
    named = {id(obj) for leaf in leaves for obj in leaf.objects}
    operations = {leaf.name: operations_of(leaf.objects, named) for leaf in leaves}
    names, prepared = {}, set()
    for leaf in leaves:
        for op in operations[leaf.name]:
            if names.setdefault(op.name, op) is not op:
                raise InputError(f"Two objects of the schedule are called '{op.name}'. Give each its own name.")
            if isinstance(op, NativeOperation) or id(op) in prepared:
                continue
            prepared.add(id(op))
            if op.clock is not device.defaultclock and op.clock.name != device.defaultclock.name:
                raise InputError(
                    f"'{op.name}' has a clock of its own (dt = {op.clock.dt}). A schedule has one time step; to act "
                    "every n steps, test the step: int(k % n == 0)."
                )
            owner = op.group.__repr__.__self__ if isinstance(op, CodeRunner) else None
            if owner is not None and owner is not op and id(owner) not in prepared:
                prepared.add(id(owner))
                _attempt(owner, namespace)
            _attempt(op, namespace)
    for leaf in leaves:
        check_order(leaf, operations[leaf.name])
    monitors = [op for op in names.values() if isinstance(op, StateMonitor)]
    return operations, monitors


def _attempt(obj, namespace):
    obj._network = "schedule"  # Brian2 warns about objects that no network runs
    try:
        obj.before_run(namespace)
    except Exception as error:
        raise explained(obj, error) from error


def explained(obj, error):
    """The InputError behind an error of Brian2: its root, with the object's name and code."""
    root, chain = error, [error]
    while (root.__cause__ or root.__context__) is not None:
        root = root.__cause__ or root.__context__
        chain.append(root)
    for part in chain:
        if isinstance(part, NeuroplastError):
            return part
    text = str(root.args[0]) if isinstance(root, KeyError) and root.args else str(root)
    lines = [f"'{obj.name}': {text.strip()}"]
    code = getattr(obj, "abstract_code", "") or getattr(obj, "equations", "")
    if isinstance(code, dict):  # factors of products over a batch: show what the user wrote instead
        code = getattr(obj, "statement", "") or f"{obj.target_varname} = {obj.expression}"
    group = getattr(obj, "group", None)
    code = str(getattr(group, "equations", "") or "") + "\n" + str(code) if group is not None else str(code)
    lines += [f"    {line.strip()}" for line in code.splitlines() if line.strip()]
    return InputError("\n".join(lines))
