"""From records to recorders in any model's schedule, and to labelled arrays in its results.

A model gives `add_records` its populations and projections, the lists of what its nodes run, and which variable of a
population is its rate; see the guide "Record and spike". `Record` says what there is to ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.units.fundamentalunits import DIMENSIONLESS, get_unit

from neuroplast.engine import DenseSynapses, Loop, Phase, Population, Recorder, SpikeRecorder
from neuroplast.engine.selection import Around, check_steps
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.records import SPIKES, Record
from neuroplast.spikes import Rate, Spikes, spiking

__all__ = ["Rate", "Record", "Spikes", "add_records", "as_records", "expected", "recordable"]

#: Lists of a model's nodes in which recorders go, by what a record says.
NODES = {
    ("step", "train"): "run", ("trial", "train"): "end", ("epoch", "train"): "epoch_end",
    ("step", "test"): "test", ("trial", "test"): "test_end", ("step", "fit"): "fit", ("trial", "fit"): "fit_end",
}  # fmt: skip
#: Bytes of a spike: its time; neuron, trial, step.
PER_SPIKE = 8 + 3 * 4


def as_records(records: Iterable[str | Record]) -> tuple[Record, ...]:
    """Records of texts and records.

    Raises
    ------
    InputError
        If a text cannot be read, or a single one stands where a list should.
    """
    if isinstance(records, str | Record):
        raise InputError(f"record should be a list. Got {str(records)!r}; write [{str(records)!r}].")
    return tuple(item if isinstance(item, Record) else Record.parse(item) for item in records)


def add_records(
    records: Iterable[str | Record],
    groups: Mapping[str, Population | DenseSynapses],
    nodes: Mapping[str, list],
    *,
    rates: Mapping[str, Rate] | None = None,
    rules: Mapping | None = None,
) -> tuple[Recorded, ...]:
    """Add recorders to the nodes of a model; returns how what they record appears in the results.

    Parameters
    ----------
    records : iterable of Record or str
        A record that is `aside` and names what this model lacks is left to the other models of a run.
    groups : dict
        Populations and projections that can be recorded, by name.
    nodes : dict of str to list
        What the schedule runs: ``run`` in the steps of a trial, ``end`` after it; ``test``, ``test_end`` in the tests
        after training; if there are, ``fit``, ``fit_end`` in the trials of the training once more, and ``epoch_end``
        after an epoch.
    rates : dict of str to Rate, optional
        The rate of each population that has one.
    rules : dict of str to Rule, optional
        The rule of each projection; its `records` are what the projection's name alone stands for.

    Returns
    -------
    tuple of Recorded

    Raises
    ------
    InputError
        If there is no such group or variable, it is asked for twice, or spikes cannot be drawn from it.
    """
    rates, rules, found, records = rates or {}, rules or {}, {}, as_records(records)
    named = {record.name for record in records if record.variable}
    for record in records:
        try:
            names = _variables(record, groups, rates, rules)
        except InputError as err:
            if not record.aside:
                raise
            record.missed.append(str(err))
            continue
        for name in names:
            one = replace(record, what=f"{record.group}.{name}")
            if not record.variable and one.name in named:
                continue  # what is named by itself is recorded as it says there
            if one.name in found:
                raise InputError(f"{one.name} is asked for twice. Put both into one record, such as trials=0,-1.")
            found[one.name] = (_add_spikes if name == SPIKES else _add_variable)(one, groups, nodes, rates)
            record.made.append(one.name)
    return tuple(found.values())


def recordable(groups: Mapping, rates: Mapping[str, Rate] | None = None) -> list[str]:
    """Names that a record can have, in words: each group with its variables."""
    texts = []
    for name, group in groups.items():
        variables = _of_group(group)
        if isinstance(group, Population) and name in (rates or {}):
            variables.append(SPIKES)
        texts.append(f"{name}.({', '.join(variables)})" if len(variables) > 1 else f"{name}.{variables[0]}")
    return texts


def _variables(record, groups, rates, rules):
    """Names of the variables that a record means."""
    group = groups.get(record.group)
    there = _of_group(group) if group is not None else []
    if group is not None and not record.variable:
        if record.group in rates:
            return [rates[record.group].variable]
        worth = [name for name in getattr(rules.get(record.group), "records", ()) or ("w",) if name in there]
        if worth and isinstance(group, DenseSynapses):
            return worth
    elif record.variable in there or (record.wants_spikes and record.group in rates):
        return [record.variable]
    what = "should name a variable" if group is not None and not record.variable else "is not there"
    raise InputError(f"{record}: {record.what} {what}. There can be recorded: {'; '.join(recordable(groups, rates))}.")


def _of_group(group):
    """Variables of a group that have a value for each of its elements."""
    names = []
    for name in sorted(group.equations.names):
        variable = group.variables[name]
        kinds = (ArrayVariable,) if isinstance(group, DenseSynapses) else (ArrayVariable, Subexpression)
        if isinstance(variable, kinds) and not variable.scalar:
            names.append(name)
    return names


def _add_variable(record, groups, nodes, rates):
    group, variable = groups[record.group], record.variable
    synaptic = isinstance(group, DenseSynapses)
    at = record.at or ("trial" if synaptic else "step")
    if at == "trial" and record.steps is not None:
        raise InputError(f"{record}: is recorded at the end of trials. Add at=step to record it within trials.")
    if "epoch_end" not in nodes and (at == "epoch" or record.epochs is not None):
        raise InputError(f"{record}: the model does not learn in epochs. Choose trials=, or every= with at=trial.")
    monitor = record.name.replace(".", "_")
    places = {"step": ["trial", "k"], "trial": ["trial"], "epoch": []}[at] + _epoch(record, nodes)
    recorder = Recorder(
        group, [variable, *places], every=record.every, steps=record.steps, trials=record.trials, epochs=record.epochs,
        name=monitor,
    )  # fmt: skip
    _node(nodes, at, record).append(recorder)
    if synaptic:
        kind, dims, shape = "weights", ("pre", "post"), group.shape
    else:
        batch = group.batch > 1
        kind, dims, shape = "rates", ("neuron", "copy")[: 1 + batch], (group.features, group.batch)[: 1 + batch]
    step = {"fold": "trial", "along": "time", "dt": float(group.clock.dt)}
    along = step if at == "step" else {"along": at}
    return Recorded(
        record.name, f"{monitor}.{variable}", kind, dims, shape, unit=_unit(group.variables[variable]),
        doc=comments(getattr(group, "text", "")).get(variable, ""), prefix=True, aside=record.aside, **along,
    )  # fmt: skip


def _add_spikes(record, groups, nodes, rates):
    source, monitor = groups[record.group], record.name.replace(".", "_")
    group, objects, described = spiking(record.name, source, rates[record.group], record.spikes or Spikes())
    recorder = SpikeRecorder(
        group, variables=_epoch(record, nodes), steps=record.steps, trials=record.trials, epochs=record.epochs,
        name=monitor,
    )  # fmt: skip
    _node(nodes, "step", record).extend([*objects, recorder])
    return Recorded(
        record.name, f"{monitor}.i", "spikes", doc=f"spikes drawn from {record.group}.{rates[record.group].variable}",
        prefix=True, aside=record.aside, attrs=described,
    )  # fmt: skip


def _epoch(record, nodes):
    """The counter that tells the epoch of a record, where there are epochs."""
    return ["epoch"] if record.phase == "train" and "epoch_end" in nodes else []


def _node(nodes, at, record):
    name = NODES[at, record.phase]
    try:
        return nodes[name]
    except KeyError:
        raise InputError(
            f"{record}: the model has no {name!r} among its nodes ({', '.join(nodes)}), where that is recorded."
        ) from None


def _unit(variable):
    return "" if variable.dim is DIMENSIONLESS else str(get_unit(variable.dim))


def comments(text: str) -> dict[str, str]:
    """What equations say behind ``#`` of each variable that they define, a paper's equation number aside."""
    found = {}
    for line in text.split("\n"):
        code, _, comment = line.partition("#")
        match = re.match(r"\s*(?:d(\w+)\s*/\s*dt|(\w+))\s*[=:]", code)
        if match and comment.strip():
            found[match[1] or match[2]] = re.sub(r"\s\s+\(\S+\)$", "", comment.strip())
    return found


def expected(sim, counts: Mapping[str, int] | None = None, steps: Mapping | None = None) -> dict[str, tuple[int, int]]:
    """What the recorders of a simulation will record.

    Parameters
    ----------
    sim : Simulation
    counts : dict of str to int, optional
        Passes of loops that differ from the schedule's.
    steps : dict of str to array, optional
        Steps of each trial, by the name of the loop that counts the trials: of the phases with a `length`.

    Returns
    -------
    dict of str to (int, int)
        Name of each recorder: records, and bytes. What spikes need is estimated.

    Raises
    ------
    InputError
        For a recorder of trials or steps that there are not.
    """
    counts, found, recorders = sim.schedule.counts(dict(counts or {})), {}, []

    def visit(body, passes, around):
        for node in body:
            if isinstance(node, Loop):
                visit(node.body, passes if node.counter else passes * counts[node.name], around.inside(node))
                continue
            here = around._replace(before=sim.schedule.before(node))
            for item in node.objects:
                if isinstance(item, Recorder | SpikeRecorder):
                    recorders.append((item, node, here))
                    records = passes * _records(item._selection.of_run(node, here, counts), node, here, counts, steps)
                    before, size = found.get(item.name, (0, 0))
                    found[item.name] = before + records, size + round(records * _bytes(item))

    visit(sim.schedule.body, 1, Around())
    check_steps(recorders, counts)
    return found


def _records(selection, node, around, counts, steps):
    """Records of a node in all passes of the loops that count them."""
    passes = np.arange(around.passes(counts)) if selection.trials is None else np.array(sorted(selection.trials), int)
    if not isinstance(node, Phase):
        return int(((passes + 1) % selection.every == 0).sum())
    each = around.in_epoch(counts)

    def lasting(phase):
        most, said = counts[phase.name], (steps or {}).get(around.trial and around.trial.name)
        lengths = most if phase.length is None or said is None else np.minimum(said, most)
        return np.broadcast_to(lengths, each)[passes % max(each, 1)]

    begin = sum(lasting(phase) for phase in around.before)
    end = np.minimum(begin + lasting(node), selection.last)
    return int((end // selection.every - np.maximum(begin, selection.first) // selection.every).clip(0).sum())


def _bytes(item):
    """Bytes of a record; of spikes, those of a step in which all neurons fire at half of their highest rate."""
    if isinstance(item, SpikeRecorder):
        source = item.source
        return len(source) * 0.5 * float(source.namespace["max_rate"]) * float(source.clock.dt) * PER_SPIKE
    variables = [item.source.variables[name] for name in item.record_variables]
    return sum(np.dtype(v.dtype).itemsize * (1 if v.scalar else item.n_indices) for v in variables)
