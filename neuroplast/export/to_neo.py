"""A run as Neo objects, for elephant and all else that takes them.

One Block; in it a Segment for each trial (and, at the level of a run with several nets, for each net's), and first a
Segment of the whole run with what belongs to no trial: the trials as an Epoch, weights, metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from neuroplast.errors import InputError
from neuroplast.export.contents import contents_of
from neuroplast.export.packages import require
from neuroplast.export.series import Contents, Records, Spikes

#: NIX keeps one array for each channel: weight matrices with more weights are left to NWB, CSV and npz.
LARGEST_WEIGHTS = 1000
#: More objects than this take minutes to make, and NIX hours to write.
MOST_OBJECTS = 200_000
RUN = "run"


def to_neo(traces, trials: Sequence[int] | None = None):
    """Neo's Block of traces; see `neuroplast.traces.Traces.to_neo`."""
    require("to_neo", ("neo",), "neo")
    return block_of(contents_of(traces), trials=trials)


def block_of(
    contents: Contents,
    *,
    trials: Sequence[int] | None = None,
    largest_weights: int | None = None,
    say: Callable[[str], None] = lambda line: None,
):
    """Neo's Block of a run.

    Parameters
    ----------
    contents : Contents
    trials : sequence of int, optional
        Only these; weights, metrics and the Epoch of the trials are there in any case.
    largest_weights : int, optional
        Matrices with more weights are left out.
    say : callable
        Takes lines about what is left out.

    Returns
    -------
    neo.Block

    Raises
    ------
    InputError
        If there would be more objects than can be handled.
    """
    import neo

    about = {f"{entry.kind}: {entry.entry}": _with_unit(entry) for entry in contents.entries}
    block = neo.Block(name=contents.name, description=f"SIMULATION: {contents.title}", **about)
    segments = _Segments(block, contents, None if trials is None else set(trials))
    _check_number(contents, segments)
    _add_trials(segments(RUN), contents)
    for series in contents.records:
        if series.kind == "weights":
            _add_weights(segments, series, largest_weights, say)
        else:
            _add_rates(segments, series)
    for spikes in contents.spikes:
        _add_spikes(segments, spikes, contents.trials)
    _add_metrics(segments(RUN), contents, block, say)
    block.check_relationships()
    return block


class _Segments:
    """Segments of a block by name, made when they are asked for."""

    def __init__(self, block, contents, trials):
        self.block, self.contents, self.trials, self.made = block, contents, trials, {}

    def __call__(self, name, **annotations):
        import neo

        if name not in self.made:
            self.made[name] = neo.Segment(name=name, **annotations)
            self.made[name].index = len(self.block.segments)
            self.block.segments.append(self.made[name])
        return self.made[name]

    def wanted(self, trial):
        return self.trials is None or int(trial) in self.trials

    def of(self, labels, fold=None, trial=None):
        """Segment of a trial, or of a net without trials."""
        words = [f"{dim}={value}" for dim, value in labels.items()]
        words += [] if trial is None else [f"{fold}={trial}"]
        found = self(", ".join(words) or RUN, **labels, **({} if trial is None else {fold: int(trial)}))
        return found


def _with_unit(entry):
    return entry.value if entry.unit in ("", "1") else f"{entry.value} {entry.unit}"


def _quantity(values, unit):
    """Values with a unit, and what to note of a unit that quantities does not know."""
    import quantities as pq

    values = np.asarray(values)
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
    if unit in ("", "1"):
        return pq.Quantity(values, "dimensionless"), {}
    try:
        return pq.Quantity(values, unit), {}
    except (LookupError, ValueError, TypeError, SyntaxError):
        return pq.Quantity(values, "dimensionless"), {"unit": unit}


def _add_trials(segment, contents):
    import neo
    import quantities as pq

    if contents.trials:
        numbers, starts, stops = map(np.array, zip(*contents.trials, strict=True))
        segment.epochs.append(
            neo.Epoch(
                times=starts * pq.s,
                durations=(stops - starts) * pq.s,
                labels=numbers.astype(str),
                name="trials",
                description="trials, each from its start to its last record",
            )
        )


def _add_rates(segments, series: Records):
    """A signal for each trial; regular ones as AnalogSignal."""
    for trial, times, values in _by_trial(series):
        if trial is not None and not segments.wanted(trial):
            continue
        place = segments.of(series.labels, series.fold, trial)
        _add_signal(place, series, times, values.reshape(len(values), -1))


def _by_trial(series):
    """Trial, times and values of all records of each trial."""
    held, times, values = None, [], []
    for block in series.blocks():
        trials = block.trials if series.fold is not None else None
        edges = [0] if trials is None else np.flatnonzero(np.diff(trials, prepend=trials[:1] - 1))
        for begin, end in zip(edges, [*edges[1:], len(block.values)], strict=True) if len(block.values) else ():
            trial = None if trials is None else trials[begin].item()
            if values and trial != held:
                yield held, _joined(times), np.concatenate(values)
                times, values = [], []
            held = trial
            times.append(None if block.times is None else block.times[begin:end])
            values.append(block.values[begin:end])
    if values:
        yield held, _joined(times), np.concatenate(values)


def _joined(times):
    return None if times[0] is None else np.concatenate(times)


def _add_signal(segment, series, times, values, **annotations):
    import neo
    import quantities as pq

    signal, noted = _quantity(values, series.unit)
    about = {"name": series.name, "description": series.doc or None, **annotations, **noted, **series.labels}
    about["dims"] = ",".join(series.dims)
    if times is None:
        times = np.arange(len(values))
        about["times"] = "numbers of the records: their times are not known"
    steps = np.diff(times)
    if series.kind != "weights" and len(times) > 1 and np.ptp(steps) <= 1e-9 and steps[0] > 0:
        step = (times[-1] - times[0]) / (len(times) - 1)
        segment.analogsignals.append(
            neo.AnalogSignal(signal, t_start=times[0] * pq.s, sampling_period=step * pq.s, **about)
        )
    else:
        segment.irregularlysampledsignals.append(neo.IrregularlySampledSignal(times * pq.s, signal, **about))


def _add_weights(segments, series, largest, say):
    size = int(np.prod(series.shape))
    if largest is not None and size > largest:
        say(
            f"{series.name}: {size:,} weights are left out of NIX, which keeps an array for each (at most "
            f"{largest:,}); NWB, CSV and npz hold them"
        )
        return
    if not series.survey.size:
        return
    values, times = np.empty((series.survey.size, *series.shape), series.dtype), []
    for block in series.blocks():
        values[block.first : block.first + len(block.values), block.part] = block.values
        if not block.part.start:
            times.append(block.times)
    shape = list(series.shape)
    _add_signal(segments.of(series.labels), series, _joined(times), values.reshape(len(values), -1), shape=shape)


def _add_spikes(segments, spikes: Spikes, trials):
    """A SpikeTrain for each neuron, in the segments of the trials if the intervals of all its trials are known."""
    import neo
    import quantities as pq

    about = {key: _plain(value) for key, value in spikes.attrs.items() if key not in ("start", "stop")}
    numbers = [np.unique(trial) for _, _, trial in spikes.blocks() if trial is not None]
    known = {trial.trial for trial in trials}
    places = [(None, *spikes.span)]
    if trials and not spikes.labels and spikes.trial is not None and all(known.issuperset(part) for part in numbers):
        places = [tuple(trial) for trial in trials if segments.wanted(trial.trial)]
    for neuron, (times, of_trial) in enumerate(spikes.trains()):
        for trial, begin, end in places:
            inside = times if trial is None else times[of_trial == trial]
            train = neo.SpikeTrain(
                inside * pq.s,
                t_start=min([begin, *inside[:1]]) * pq.s,
                t_stop=max([end, *inside[-1:]]) * pq.s,
                name=f"{spikes.name} {neuron}",
                neuron=neuron,
                population=spikes.population,
                **about,
            )
            segments.of(spikes.labels, "trial", trial).spiketrains.append(train)


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value


def _check_number(contents, segments):
    chosen = [trial for trial in contents.trials if segments.wanted(trial.trial)] or [None]
    number = sum(spikes.neurons for spikes in contents.spikes) * len(chosen) + len(chosen)
    if number > MOST_OBJECTS:
        neurons = sum(spikes.neurons for spikes in contents.spikes)
        raise InputError(
            f"{contents.name}: {len(chosen):,} trials of {neurons:,} spiking neurons would make {number:,} Neo "
            f"objects, more than {MOST_OBJECTS:,}. Choose trials, as in to_neo(trials=range(10)), or export to NWB."
        )


def _add_metrics(segment, contents, block, say):
    """Metrics by trial as signals at irregular times; the single ones as annotations."""
    import neo
    import quantities as pq

    for table in contents.tables:
        labels = {name: column for name, column in table.columns.items() if column.label}
        times = next((column.values for column in labels.values() if column.unit == "s"), None)
        for name, column in table.columns.items():
            if column.label:
                continue
            if len(column.values) == 1:
                block.annotate(**{f"measured: {name}": _plain(column.values[0])})
            elif times is None or column.values.dtype.kind not in "biuf":
                say(f"{name}: is left out of Neo, which holds what has times; NWB, CSV and npz hold it")
            else:
                for chosen, place in _rows_of_nets(labels):
                    signal, noted = _quantity(column.values[chosen, None], column.unit)
                    words = [name, *(f"{key}={value}" for key, value in place.items())]
                    about = {"name": " ".join(words), "description": column.doc, **noted, **place}
                    segment.irregularlysampledsignals.append(
                        neo.IrregularlySampledSignal(times[chosen] * pq.s, signal, **about)
                    )


def _rows_of_nets(labels):
    """Rows of a table that belong together: all labels the same but the last one, and what comes with it."""
    names = [name for name, column in labels.items() if not column.unit]
    keys = list(zip(*(labels[name].values.tolist() for name in names[:-1]), strict=True))
    for key in dict.fromkeys(keys) if keys else [None]:
        chosen = np.array([key is None or other == key for other in keys or [None] * len(labels[names[-1]].values)])
        yield chosen, {} if key is None else dict(zip(names[:-1], key, strict=True))
