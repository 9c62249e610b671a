"""What the templates and both targets need to know of a monitor: its own arrays, and how its records look."""

from __future__ import annotations

from brian2 import StateMonitor
from brian2.core.variables import ArrayVariable
from brian2.groups.subgroup import Subgroup
from brian2.monitors.spikemonitor import EventMonitor


def is_monitor(operation):
    """Whether an operation records."""
    return isinstance(operation, StateMonitor | EventMonitor)


def own_arrays(monitor):
    """The arrays that belong to the monitor itself."""
    return {v for v in monitor.variables.values() if isinstance(v, ArrayVariable) and v.owner.name == monitor.name}


def recorded_columns(monitor):
    """What a monitor records: name -> (dtype, columns), where None stands for one number per record."""
    if isinstance(monitor, EventMonitor):
        return {n: (monitor.variables[n].dtype, None) for n in sorted(monitor.record_variables)}
    names = dict.fromkeys(monitor.record_variables)
    once = _once(monitor)
    columns = {n: 1 if n in once else max(monitor.n_indices, 1) for n in names}
    found = {n: (monitor.variables[n].dtype, columns[n]) for n in names}
    return {"t": (monitor.variables["t"].dtype, None), **found}


def template_of(owner, template, template_kwds):
    """Template of ours in the place of Brian2's for a monitor, and what it needs to know."""
    if template == "spikemonitor":
        return "record_spikes", template_kwds
    if template != "statemonitor":
        return template, template_kwds
    once, whole = _once(owner), _whole(owner)
    each = [n for n in owner.recorded_variables if n not in once and n not in whole] if owner.n_indices else []
    own = {"_once": once, "_whole": whole, "_each": each, "_count": owner.n_indices}
    return "record", {**template_kwds, **own}


def _once(monitor):
    """Names that are recorded once per record, not for each element."""
    if not hasattr(monitor, "_selection"):  # Brian2's own monitor repeats them, and so do we
        return []
    return [n for n in monitor.recorded_variables if monitor.source.variables[n].scalar]


def _whole(monitor):
    """Variables of which a record is one piece of their array: name -> (variable, first element, elements)."""
    found, record, source = {}, monitor.record, monitor.source
    if not len(record) or (record != range(record[0], record[0] + len(record))).any():
        return found
    # In a subgroup elements are counted from its start.
    index, start = ("_sub_idx", source.start) if isinstance(source, Subgroup) else ("_idx", 0)
    for name in monitor.recorded_variables:
        variable = source.variables[name]
        if isinstance(variable, ArrayVariable) and not variable.scalar and source.variables.indices[name] == index:
            found[name] = variable, start + int(record[0]), len(record)
    return found
