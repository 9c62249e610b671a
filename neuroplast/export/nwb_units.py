"""Spikes as NWB's Units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from neuroplast.export.nwb_tables import SEEN, make_table, narrow, stored, streamed
from neuroplast.export.series import Entry, Spikes

#: Units with a coarser resolution (s) are taken for a mistake.
COARSEST = 0.01


def add_spikes(nwbfile, populations: Sequence[Spikes]) -> Iterator[Entry]:
    """Put all spikes into the Units table; yields what else there is to say about them.

    A table without any spike would be taken for a mistake, and so would one with a coarse step or with spikes at whole
    seconds only: the first becomes a line, the others a plain table of spikes.
    """
    for spikes in populations:
        for key, value in {"neurons": spikes.neurons, "spikes": int(spikes.counts.sum()), **spikes.attrs}.items():
            value = value.item() if isinstance(value, np.generic) else value
            yield Entry("spikes", key, str(value), "", spikes.name)
    fine = [spikes for spikes in populations if _resolution(spikes) <= COARSEST]
    if sum(spikes.counts.sum() for spikes in fine) and not _at_whole_seconds(fine):
        nwbfile.units = _units(fine)
    else:
        fine = []
    for spikes in populations:
        if spikes not in fine and spikes.counts.sum() > 1:
            nwbfile.add_analysis(_plain_table(spikes))
        elif spikes not in fine and spikes.counts.sum():
            time = next(times[0] for times, _ in spikes.trains() if len(times))
            text = f"{spikes.name}, neuron {int(spikes.counts.argmax())}"
            yield Entry("spikes", "time of the only spike", repr(float(time)), "s", text)


def _resolution(spikes):
    step = float(spikes.attrs.get("time_step", np.inf))
    return step if step > 0 else np.inf


def _at_whole_seconds(populations):
    seen = []
    for spikes in populations:
        for times, _ in spikes.trains():
            seen.extend(times[: SEEN - len(seen)].tolist())
            if len(seen) >= SEEN:
                return all(time == int(time) for time in seen)
    return all(time == int(time) for time in seen)


def _units(populations):
    from hdmf.common import VectorData, VectorIndex
    from pynwb.misc import Units

    counts = np.concatenate([spikes.counts for spikes in populations])

    def blocks():
        first = 0
        for spikes in populations:
            for times, _ in spikes.trains():
                if len(times):
                    yield (slice(first, first + len(times)),), times
                first += len(times)

    times = VectorData(
        name="spike_times",
        description="the spike times for each unit in seconds",
        data=streamed(blocks, (int(counts.sum()),), float),
    )
    columns = [VectorIndex(name="spike_times_index", target=times, data=np.cumsum(counts)), times]
    if all("start" in spikes.attrs and "stop" in spikes.attrs for spikes in populations):
        observed = np.concatenate([np.tile(spikes.span, (spikes.neurons, 1)) for spikes in populations])
        intervals = VectorData(
            name="obs_intervals", description="the observation intervals for each unit", data=stored(observed)
        )
        columns += [
            VectorIndex(name="obs_intervals_index", target=intervals, data=np.arange(1, len(observed) + 1)),
            intervals,
        ]
    names = np.concatenate([np.full(spikes.neurons, _population(spikes)) for spikes in populations])
    numbers = np.concatenate([np.arange(spikes.neurons) for spikes in populations])
    columns += [
        VectorData(name="population", description="the population it belongs to", data=stored(names)),
        VectorData(name="neuron", description="its number there, from 0", data=stored(narrow(numbers))),
    ]
    return Units(
        name="units",
        description="Simulated spikes. " + " ".join(dict.fromkeys(_origin(spikes) for spikes in populations)),
        columns=columns,
        id=list(range(len(counts))),
        resolution=min(_resolution(spikes) for spikes in populations),
    )


def _population(spikes):
    return " ".join([spikes.population, *(f"{dim}={value}" for dim, value in spikes.labels.items())])


def _origin(spikes):
    """Where the spikes come from, for readers who might take them for recorded ones."""
    attrs = spikes.attrs
    process = attrs.get("process", "a threshold on the simulated rates")
    parts = [f"{spikes.name}: sampled from rates as {process}" if "process" in attrs else f"{spikes.name}: {process}"]
    for key, unit in (("map", ""), ("refractory", " s"), ("seed", "")):
        if key in attrs:
            parts.append(f"{key} {attrs[key]}{unit}")
    return ", ".join(parts) + "."


def _plain_table(spikes):
    pieces = list(spikes.blocks())
    neuron, time = (np.concatenate([piece[item] for piece in pieces]) for item in (0, 1))
    columns = [("time", time, "time on the run's clock (s)"), ("neuron", neuron, "number of the neuron, from 0")]
    if pieces[0][2] is not None:
        trial = np.concatenate([piece[2] for piece in pieces])
        columns.append(("trial", trial, "number of the trial, from 0"))
    return make_table(spikes.name, f"Simulated spikes. {_origin(spikes)}", columns)
