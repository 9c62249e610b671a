"""A run as one NWB file, written so that nwbinspector has nothing to say about it.

What is recorded at regular times is a TimeSeries with a rate, what has gaps one with timestamps. NWB takes the longer
axis for time, so that with more neurons than samples a DynamicTable holds them, a row for each sample; a single
sample or snapshot has a row for each neuron, since a table should have more than one.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from neuroplast.errors import InputError
from neuroplast.export.nwb_tables import entries_table, make_table, measures_table, records_table, times_of, values_of
from neuroplast.export.nwb_units import add_spikes
from neuroplast.export.series import Contents, Entry, Records
from neuroplast.files import written_through

OPTIONS = ("subject", "experimenter", "institution")
#: NWB and DANDI want a subject. These fit their patterns and claim nothing.
NO_SUBJECT = {
    "subject_id": "simulation",
    "species": "No animal",
    "sex": "U",
    "age": "P0D",
    "description": "A simulation: there was no animal.",
}
SUBJECT_KEYS = (*NO_SUBJECT, "strain", "genotype", "weight")
NOBODY = "Not given, not given"  # NWB wants LAST, FIRST
_DURATION = r"P(?!$)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?(T(?=\d)(\d+(\.\d+)?[HMS])+)?"
_PATTERNS = {
    "subject_id": (r"[^/]+", "a name without /"),
    "species": (
        r"[A-Z][a-z]* [a-z]+|http://purl.obolibrary.org/obo/NCBITaxon_\d+",
        "a Latin binomial such as Mus musculus",
    ),
    "sex": (r"[MFOU]|X[OX]", "M, F, O (other) or U (unknown)"),
    "age": (rf"{_DURATION}(/({_DURATION})?)?", "an ISO 8601 duration such as P90D, or a range such as P8W/P10W"),
    "weight": (r"\d+(\.\d+)? (kg|g|mg|ug)", "a number and a unit, such as 25 g"),
}
#: Sampling rates (Hz) below this are taken for intervals.
LOWEST_RATE = 0.01


def check(subject: Mapping | None = None, experimenter: str | None = None, institution: str | None = None) -> None:
    """Raise InputError if what the user says about subject and experimenter does not have the form that NWB wants."""
    for key, value in (subject or {}).items():
        if key not in SUBJECT_KEYS:
            raise InputError(f"subject: {key!r} is not known. It can have {', '.join(SUBJECT_KEYS)}.")
        pattern, example = _PATTERNS.get(key, (r"(?s).+", "a text"))
        if not re.fullmatch(pattern, str(value)):
            raise InputError(f"subject: {key} should be {example}. Got {value!r}.")
    if experimenter is not None and not re.fullmatch(r"[\w\s\-.']+,\s+[\w\s\-.']+", experimenter):
        raise InputError(f"experimenter should be 'Last, First'. Got {experimenter!r}.")


def write(contents: Contents, path: Path, *, say, subject=None, experimenter=None, institution=None) -> None:
    """Write the file; arrays are read and written a block at a time.

    Parameters
    ----------
    contents : Contents
    path : pathlib.Path
    say : callable
        Takes lines about what is left out.
    subject : dict, optional
        Differences from `NO_SUBJECT`.
    experimenter, institution : str, optional
    """
    import h5py
    from pynwb import NWBHDF5IO

    nwbfile = _file(contents, subject, experimenter, institution)
    module = nwbfile.create_processing_module("ecephys", "Simulated activity: traces in time and spikes")
    entries = [*contents.entries, *add_spikes(nwbfile, contents.spikes)]
    for series in contents.records:
        if not series.survey.size:
            say(f"{series.name}: holds no record, and is left out")
        elif _is_series(series):
            module.add(_time_series(series))
        elif series.survey.size * np.prod(series.shape) == 1:
            entries.append(_entry_of(series))
        elif series.kind == "weights":
            nwbfile.add_analysis(_rows(series, "w"))
        else:
            module.add(_rows(series, "values"))
    if not module.data_interfaces:
        del nwbfile.processing["ecephys"]
    _add_trials(nwbfile, contents.trials)
    for table in contents.tables:
        if len(table) > 1:
            nwbfile.add_analysis(measures_table(table))
        else:
            entries += _entries_of(table)
    about = "What the run was given, what is known about it, and what was measured once"
    nwbfile.add_analysis(entries_table("about", about, entries))
    with written_through(path) as sink, h5py.File(sink, "w") as file, NWBHDF5IO(file=file, mode="w") as io:
        io.write(nwbfile)
        sink.check()


def _file(contents, subject, experimenter, institution):
    from pynwb import NWBFile
    from pynwb.file import Subject

    record = contents.record
    environment = record.get("environment") or {}
    command = " ".join(map(str, environment.get("command") or ())) or "neuroplast"
    versions = environment.get("versions") or {}
    doi = (record.get("paper") or {}).get("doi")
    description = f"SIMULATION, not a recording: {contents.title}. Protocol {record.get('protocol', contents.name)}"
    net = next((entry.value for entry in contents.entries if entry.entry == "net"), None)
    keywords = ["simulation", "neuroplast", "synaptic plasticity", "rate network", record.get("protocol")]
    return NWBFile(
        session_description=f"{description}, seed {record.get('seed', 'unknown')}.",
        identifier=str(identifier(contents)),
        session_start_time=_started(contents),
        session_id=re.sub(r"[/\\:]", "_", contents.name),
        experiment_description=f"Simulated learning in a network of rate neurons. {contents.title}"
        + (f" Net {net} of the run." if net else ""),
        experimenter=[experimenter or NOBODY],
        institution=institution or "Not given",
        keywords=[keyword for keyword in keywords if keyword],
        related_publications=[doi if doi.startswith(("doi:", "http")) else f"doi:{doi}"] if doi else None,
        source_script=f"{command} (git commit {environment.get('git_commit') or 'unknown'})",
        source_script_file_name=str(record.get("protocol") or "neuroplast"),
        was_generated_by=[[str(name), str(number)] for name, number in versions.items()] or None,
        data_collection="All data are computed. Times are seconds on the simulation's clock.",
        subject=Subject(**NO_SUBJECT | {key: str(value) for key, value in (subject or {}).items()}),
    )


def identifier(contents: Contents) -> uuid.UUID:
    """The same for the same run at the same stage: from its record and from what it holds."""
    dataset = contents.dataset
    held = {str(name): [list(map(str, array.dims)), list(array.shape)] for name, array in dataset.variables.items()}
    text = json.dumps([contents.name, dict(contents.record), held], sort_keys=True, default=str)
    return uuid.uuid5(uuid.NAMESPACE_URL, f"neuroplast:{text}")


def _started(contents):
    """When the run was started, else when its files were written: NWB wants a date."""
    if contents.record.get("started"):
        return datetime.fromisoformat(contents.record["started"])
    source = contents.dataset.encoding.get("source")
    if source and Path(source).exists():
        return datetime.fromtimestamp(Path(source).stat().st_mtime, UTC)
    return datetime.now(UTC)


def _about(series):
    place = ", ".join(f"{dim} {value}" for dim, value in series.labels.items())
    doc = series.doc or f"{series.array} of the simulation"
    return f"{doc}. {place}" if place else doc


def _name(text):
    """A name without what NWB forbids in one."""
    return re.sub(r"[/\\:]", "_", text)


def _is_series(series):
    """Whether it can be a TimeSeries: each time after the one before, and time the longest axis."""
    survey = series.survey
    if series.kind == "weights" or not survey.ascending or max(series.shape, default=1) > survey.size:
        return False
    return survey.first >= 0 and (survey.step is None or survey.step <= 1 / LOWEST_RATE)


def _time_series(series: Records):
    from pynwb import TimeSeries

    survey = series.survey
    description = f"{_about(series)}. Dimensions: {', '.join(['time', *series.dims])}."
    if survey.step is None:
        times = {"timestamps": times_of(series)}
        description += " What was recorded follows each other in time; there are gaps between."
    else:
        times = {"starting_time": survey.first, "rate": 1 / survey.step}
    return TimeSeries(
        name=_name(series.name),
        description=description,
        data=values_of(series),
        unit=series.unit,
        comments=f"Array {series.array} of the run; computed, not measured",
        **times,
    )


def _rows(series: Records, column):
    """A table with a row for each record; a single record has a row for each element of its first long axis."""
    survey, shape = series.survey, series.shape
    name, about = _name(series.name), f"{_about(series)}. Unit: {series.unit}."
    if survey.size > 1:
        text = f"({', '.join(series.dims)}) of the record; unit {series.unit}"
        return records_table(name, about, series, column, text)
    values = np.concatenate([block.values[0] for block in series.blocks()])
    axis = next(axis for axis, length in enumerate(shape) if length > 1)
    values, rest = values.reshape(shape[axis:]), ", ".join(series.dims[axis + 1 :])
    trial = f", trial {survey.trials[0][0]}" if survey.trials else ""
    about += f" A single record{trial}: a row for each {series.dims[axis]}."
    time = [] if survey.first is None else [("time", np.full(len(values), survey.first), "time of the record (s)")]
    text = f"({rest}) of the record; unit {series.unit}" if rest else f"value; unit {series.unit}"
    return make_table(name, about, [*time, (column, values, text)])


def _add_trials(nwbfile, trials):
    """Trials as NWB has them; a single one as an interval, since a table should have more than one row."""
    from pynwb.epoch import TimeIntervals
    from pynwb.misc import IntervalSeries

    if len(trials) == 1:
        text = f"The only trial (number {trials[0].trial}): 1 where it begins, -1 where it ends"
        edges, times = np.array([1, -1], np.int8), np.array([trials[0].start, trials[0].stop])
        nwbfile.add_acquisition(IntervalSeries(name="trials", data=edges, timestamps=times, description=text))
    elif trials:
        numbers, starts, stops = map(np.array, zip(*trials, strict=True))
        columns = [
            ("start_time", starts, "Start time of epoch, in seconds"),
            ("stop_time", stops, "Stop time of epoch, in seconds"),
            ("trial", numbers, "number of the trial, from 0"),
        ]
        nwbfile.trials = make_table("trials", "Trials, each from its start to its last record", columns, TimeIntervals)


def _entry_of(series):
    """The only number of the only record."""
    (block,) = series.blocks()
    time = "" if block.times is None else f", at {block.times[0]!r} s"
    return Entry("recorded", series.name, repr(block.values.ravel()[0].item()), series.unit, f"{_about(series)}{time}")


def _entries_of(table):
    """The only row of a table, each value on its own."""
    labels = {name: column.values[0] for name, column in table.columns.items() if column.label}
    place = ", ".join(f"{name} {value}" for name, value in labels.items())
    for name, column in table.columns.items():
        if not column.label:
            value = column.values[0].item()
            text = value if isinstance(value, str) else repr(value)
            yield Entry("measured", name, text, column.unit, f"{column.doc}; {place}" if place else column.doc)
