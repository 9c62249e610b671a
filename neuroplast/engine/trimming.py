"""Onto which neurons the sums of a batch are wanted in the last step of a phase, if not onto all.

In a loop, what a phase leaves behind is often read in part: of a module that has relaxed, others hear some neurons. Its
last sum need not be made onto the rest, provided that all that follows from the rest is written anew before it is read.
That is looked up in the schedule, through two more passes of the loop, so that it holds for any network. It is done
only where two more passes follow, so that a run ends with all values as they are without it.
"""

from __future__ import annotations

from dataclasses import dataclass

from brian2.codegen.translation import get_identifiers_recursively
from brian2.parsing.statements import parse_statement

from neuroplast.engine.access import statement_lines
from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.operations import NativeOperation, access_of
from neuroplast.engine.schedule import Loop, Phase


@dataclass(frozen=True)
class Part:
    """A sum's neurons that are wanted in the last step of a phase.

    Attributes
    ----------
    ranges : tuple of (int, int)
        First neuron, and the one after the last, of the sum's target, in order.
    loop : Loop
        Of whose passes two more have to follow; its body has phases and events alone.
    """

    ranges: tuple
    loop: Loop


def find_parts(schedule, operations):
    """Sums of which a part is wanted.

    Parameters
    ----------
    schedule : Schedule
    operations : dict of str to list
        Sorted operations of each phase and event, prepared.

    Returns
    -------
    dict of (str, str) to Part
        By the names of phase and operation.
    """
    found = {}
    for loop in schedule.nodes():
        if not isinstance(loop, Loop) or any(_unsure(node) for node in loop.body):
            continue
        for number, phase in enumerate(loop.body):
            for place, operation in enumerate(operations[phase.name] if isinstance(phase, Phase) else ()):
                if getattr(operation, "template", None) == "dense_product" and hasattr(operation, "target_var"):
                    ranges = _wanted(operation, _after(loop.body, operations, number, place))
                    if ranges is not None:
                        found[phase.name, operation.name] = Part(ranges, loop)
    return found


def _unsure(node):
    """Whether a node has other nodes, or a variable decides how long it lasts."""
    return isinstance(node, Loop) or getattr(node, "length", None) is not None


def _after(body, operations, number, place):
    """(operation, whether in a later pass) of all that follows the last time that a phase runs one of its operations.

    The steps of a phase are alike: two stand for any number of them.
    """
    yield from ((operation, False) for operation in operations[body[number].name][place + 1 :])
    for passed in range(1, 2 * len(body) + 1):
        node = body[(number + passed) % len(body)]
        for _ in range(2 if isinstance(node, Phase) else 1):
            yield from ((operation, number + passed >= len(body)) for operation in operations[node.name])


def _wanted(summed, following):
    """Ranges of a sum's neurons that are read, or None if all may be.

    What is not wanted is stale in the sum's target, and then in what each neuron makes of it in the same pass.
    """
    population, (first, stop) = _population(summed.target), _range(summed.target)
    batch, stale, read = summed.group.batch, {summed.target_var}, []
    for operation, later in following:
        access, own, synapses = access_of(operation), False, None
        reads = access.reads
        if not isinstance(operation, NativeOperation):
            own = operation.group.name == population.name and operation.template == "stateupdate"
            group = operation.group.__repr__.__self__  # Brian2 hands out a proxy
            synapses = group if isinstance(group, DenseSynapses) else None
            reads = _read_by_statements(operation) if own else reads
        if not reads & stale:
            onto_all = hasattr(operation, "target_var") and _covers(_range(operation.target), (first, stop))
            if own or onto_all:
                stale -= {variable for variable in access.writes if variable.conditional_write is None}
        elif own and not later and not any(variable.scalar for variable in access.writes):
            stale |= access.writes
        elif synapses is not None:
            ends = [end for end in (synapses.source, synapses.target) if _population(end).name == population.name]
            read += [_range(end) for end in ends]
        else:
            return None
    read = _joined((max(a, first) - first, min(b, stop) - first) for a, b in read)
    if stale or read == [(0, stop - first)]:
        return None
    return tuple((a // batch, b // batch) for a, b in read)


def _read_by_statements(operation):
    """Variables that a population's statements read; those that they only write are among `access_of`'s."""
    variables, named = operation.group.variables, set()
    for line in statement_lines(operation.abstract_code):
        target, sign, expression, _ = parse_statement(line)
        named |= get_identifiers_recursively([expression], variables) | (set() if sign == "=" else {target})
    return {variables[name] for name in named if name in variables}


def _population(group):
    return getattr(group, "source", group)


def _range(group):
    """First element of a group in its population, and the one after the last."""
    return getattr(group, "start", 0), getattr(group, "stop", len(group))


def _covers(whole, part):
    return whole[0] <= part[0] and part[1] <= whole[1]


def _joined(ranges):
    """Ranges in order, those that touch made one, empty ones left out."""
    found = []
    for first, stop in sorted(ranges):
        if first >= stop:
            continue
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((first, stop))
    return found
