"""One sweep over the matrix instead of two: an update and the sum of the step that follows."""

from __future__ import annotations

from dataclasses import dataclass

from brian2.codegen.translation import get_identifiers_recursively
from brian2.groups.group import CodeRunner
from brian2.synapses.synapses import SummedVariableUpdater

from neuroplast.engine.access import written_names
from neuroplast.engine.dense import UNROLL
from neuroplast.engine.operations import NativeOperation, access_of


@dataclass
class Call:
    """What a step calls in the place of one operation.

    Attributes
    ----------
    operation
        The operation itself.
    kind : {"run", "moved", "take", "fused"}
        ``"run"``: in every step. ``"moved"``: never, since it has become a part of a later operation. ``"take"``: a
        sum, run in the first step of a phase, and after that taken from the buffer that the step before has left.
        ``"fused"``: with the sums of the next step, save in the last step, where the operation runs by itself.
    fused : CodeRunner or None
        Of ``"take"`` and ``"fused"``: the sweep that does both.
    """

    operation: object
    kind: str = "run"
    fused: object = None


def plan(operations, fuse):
    """Calls of one step, with the sweeps of consecutive operations and steps fused where that changes nothing.

    Two operations of one `DenseSynapses` become one sweep if nothing between them touches what the first writes or
    writes what it reads. A sum joins the update of the step before if nothing from that update to the sum writes what
    the sum reads; in the first step of a phase it runs by itself, in the last one the update does.

    Parameters
    ----------
    operations : list
        Operations of a phase, sorted.
    fuse : callable or None
        ``fuse(synapses, parts, sums)`` makes the fused runner; None for no fusing (numpy).
    """
    calls = [Call(op) for op in operations]
    if fuse is None:
        return calls
    seen = []
    for op in operations:
        synapses = _dense(op)
        if synapses is not None and all(synapses is not s for s in seen):
            seen.append(synapses)
    for synapses in seen:
        _fuse_synapses(synapses, calls, fuse)
    return calls


def _dense(operation):
    """The DenseSynapses whose matrices an operation sweeps, or None."""
    if isinstance(operation, NativeOperation) or operation.template != "dense_sweep":
        return None
    synapses = operation.group.__repr__.__self__  # Brian2 hands out a proxy
    return synapses if synapses.batch == 1 else None


def _fuse_synapses(synapses, calls, fuse):
    mine = [i for i, call in enumerate(calls) if _dense(call.operation) is synapses]
    updates = [i for i in mine if not isinstance(calls[i].operation, SummedVariableUpdater)]
    sums = [i for i in mine if isinstance(calls[i].operation, SummedVariableUpdater)]
    if not updates:
        return
    parts = _movable(updates, calls)
    last = parts[-1]
    joined = [i for i in sums if i < parts[0] and _can_join(i, parts, calls)]
    if len(parts) == 1 and not joined:
        return
    access = [access_of(calls[i].operation) for i in parts]
    if any(a.random or any(v.scalar for v in a.writes) for a in access):
        return  # random numbers keep the stream of their own operation; shared values are written before all others
    operations = [calls[i].operation for i in parts]
    if len(parts) > 1:  # one sweep per step, with or without a sum
        merged = fuse(synapses, operations, [])
        for i in parts[:-1]:
            calls[i].kind = "moved"
        calls[last] = Call(merged)
    if joined:
        fused = fuse(synapses, operations, [calls[i].operation for i in joined])
        calls[last].kind, calls[last].fused = "fused", fused
        for i in joined:
            calls[i].kind, calls[i].fused = "take", fused


def _movable(updates, calls):
    """The longest run of updates, ending with the last, that can all move to the place of the last."""
    parts = [updates[-1]]
    for i in reversed(updates[:-1]):
        moved = access_of(calls[i].operation)
        between = [c for n, c in enumerate(calls) if i < n < parts[-1] and n not in parts and c.kind != "moved"]
        mixed = any(_names_mix(calls[i].operation, calls[n].operation) for n in parts)
        if any(moved.conflicts(access_of(c.operation)) for c in between) or mixed:
            break
        parts.insert(0, i)
    return parts


def _names_mix(first, second):
    """Whether a name that one defines for itself means something else in the other."""
    (mine, named), (others, other_named) = _temporaries(first), _temporaries(second)
    return mine & other_named or others & named


def _temporaries(operation):
    """Names that the statements of an operation define, and all names in them."""
    variables = operation.group.variables
    named = get_identifiers_recursively([operation.abstract_code], variables)
    return {n for n in written_names(operation.abstract_code) if n not in variables} - {"_synaptic_var"}, named


def _can_join(i, parts, calls):
    """Whether the sum at `i` of the next step may be taken right after the update at the last of `parts`."""
    read = access_of(calls[i].operation)
    if read.random or any(
        getattr(v.owner, "name", "") in ("schedule", "defaultclock") and v.name != "dt" for v in read.reads
    ):
        return False  # it reads t or k, which change between the steps
    if any(_names_mix(calls[n].operation, calls[i].operation) for n in parts):
        return False
    last = parts[-1]
    between = [c for n, c in enumerate(calls) if n > last or n < i]
    return not any(access_of(c.operation).writes & read.reads for c in between)


def fused_runner(synapses, parts, sums, number):
    """A runner with the statements of `parts`, then the sums into buffers.

    Parameters
    ----------
    synapses : DenseSynapses
    parts : list of CodeRunner
    sums : list of SummedVariableUpdater
    number : int
        Makes its name unique.
    """
    name = f"{synapses.name}_fused_{number}"
    code = "\n".join(part.abstract_code for part in parts)
    entries = []
    for n, updater in enumerate(sums):
        code += f"\n_synaptic_sum_{n} = {updater.expression}"
        entries.append(synapses.sum_of(updater, value=f"_synaptic_sum_{n}", buffer=f"{name}_sum_{n}"))
    runner = CodeRunner(synapses, "dense_sweep", code=code, name=name, check_units=False)
    runner.template_kwds = {"_sums": entries, "_unroll": UNROLL if entries else 1, **synapses.geometry()}
    runner.needed_variables = synapses.mask_names()
    runner.buffers = [
        (e["buffer"], u, synapses.shape[0 if u.onto == "pre" else 1]) for e, u in zip(entries, sums, strict=True)
    ]
    return runner
