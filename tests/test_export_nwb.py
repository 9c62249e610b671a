"""NWB: nothing to complain about for nwbinspector, and every number as it was."""

import uuid
from datetime import UTC, datetime

import numpy as np
import pytest
from export_cases import CASES, DT, RECORD, metrics, nets, rates, spikes, weights, write_run
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nwbinspector import inspect_nwbfile, load_config
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

from neuroplast.bench.export import run as bench
from neuroplast.errors import InputError
from neuroplast.export import export
from neuroplast.traces import Traces


def complaints(path):
    """What nwbinspector says in its default configuration, with pynwb's validation, and in dandi's."""
    messages = [*inspect_nwbfile(nwbfile_path=path)]
    messages += inspect_nwbfile(nwbfile_path=path, config=load_config("dandi"), skip_validate=True)
    return [f"{message.check_function_name}: {message.object_name}: {message.message}" for message in messages]


@pytest.fixture
def opened():
    """Open an NWB file until the test ends."""
    files = []

    def open_file(path):
        files.append(NWBHDF5IO(path, "r"))
        return files[-1].read()

    yield open_file
    for file in files:
        file.close()


def container(nwbfile, name):
    places = [nwbfile.analysis, *(module.data_interfaces for module in nwbfile.processing.values())]
    return next((place[name] for place in places if name in place), None)


def held(nwbfile, name):
    """Times and values of the records of an array, wherever they are."""
    found = container(nwbfile, name)
    if found is None:
        about = nwbfile.analysis["about"].to_dataframe().set_index("entry")
        return None, np.array([float(about.loc[name, "value"])])
    if isinstance(found, TimeSeries):
        times = found.timestamps[:] if found.timestamps is not None else None
        times = found.starting_time + np.arange(len(found.data)) / found.rate if times is None else times
        return times, found.data[:]
    values = found["w" if "w" in found.colnames else "values"].data[:]
    return found["time"].data[:] if "time" in found.colnames else None, values


def expected(dataset, name):
    """Times and values of the records that are there, in order."""
    data = dataset[name].values
    times = dataset[f"{name}_start"].values
    if f"{name}_time" in dataset:
        times = times[:, None] + dataset[f"{name}_time"].values
        data = data.reshape(-1, data.shape[-1])
    there = ~np.isnan(data.reshape(len(data), -1)).all(axis=1)
    return times.ravel()[there], data[there]


def trains_of(dataset, name):
    time, neuron = dataset[f"{name}_time"].values, dataset[name].values
    return [np.sort(time[neuron == index]) for index in range(dataset[name].attrs["neurons"])]


def assert_recorded(nwbfile, dataset):
    for name, array in dataset.data_vars.items():
        if array.attrs.get("kind") in ("rates", "weights") and f"{name}_trial" in array.dims:
            times, values = expected(dataset, name)
            there, found = held(nwbfile, name)
            assert found.dtype == array.dtype or not values.size > 1
            np.testing.assert_array_equal(found.ravel(), values.ravel())
            if there is not None:
                np.testing.assert_allclose(np.unique(there), times, rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_nothing_to_complain_about(case, tmp_path, opened):
    dataset = write_run(tmp_path / "run", *CASES[case]())
    path = export(tmp_path / "run", "nwb")
    assert path == tmp_path / "run" / "run.nwb"
    assert complaints(path) == []
    assert_recorded(opened(path), dataset)


def test_the_inspector_sees_what_is_wrong(tmp_path):
    """Without the care that the writer takes there would be complaints."""
    nwbfile = NWBFile("a session", "an id", datetime(2026, 3, 1, tzinfo=UTC))
    nwbfile.add_acquisition(TimeSeries(name="h", data=np.zeros((2, 9)), unit="1", rate=1.0, starting_time=0.0))
    with NWBHDF5IO(tmp_path / "a.nwb", "w") as io:
        io.write(nwbfile)
    text = "\n".join(complaints(tmp_path / "a.nwb"))
    assert "check_data_orientation" in text and "check_subject_exists" in text


def test_trials_that_follow_each_other_are_one_series(tmp_path, opened):
    write_run(tmp_path, rates(lengths=(5, 3, 5)))
    series = container(opened(export(tmp_path, "nwb")), "units.h")
    assert (series.rate, series.starting_time, series.data.shape) == (pytest.approx(1000), pytest.approx(DT), (13, 3))
    assert (series.unit, series.description.split(".")[0]) == ("1", "rate of the units")
    assert series.data.compression == "gzip" and series.data.fletcher32


def test_gaps_have_timestamps(tmp_path, opened):
    dataset = write_run(tmp_path, rates(lengths=(9, 9), trials=[1, 4], first=5))
    series = container(opened(export(tmp_path, "nwb")), "units.h")
    assert series.rate is None
    np.testing.assert_array_equal(series.timestamps[:], expected(dataset, "units.h")[0])


def test_trials(tmp_path, opened):
    write_run(tmp_path, rates(lengths=(5, 3, 5)))
    trials = opened(export(tmp_path, "nwb")).trials.to_dataframe()
    np.testing.assert_allclose(trials.start_time, [0, 5 * DT, 8 * DT])
    np.testing.assert_allclose(trials.stop_time, [5 * DT, 8 * DT, 13 * DT])
    assert trials.trial.tolist() == [0, 1, 2]


def test_units(tmp_path, opened):
    dataset = write_run(tmp_path, spikes(), spikes("quiet.spikes", count=0, neurons=2))
    units = opened(export(tmp_path, "nwb")).units
    assert units.resolution == DT
    for text in ("sampled from rates", "inhomogeneous Poisson", "seed 3", "100*Hz*(1 + h)/2"):
        assert text in units.description
    frame = units.to_dataframe()
    assert frame.population.tolist() == ["units"] * 3 + ["quiet"] * 2 and frame.neuron.tolist() == [0, 1, 2, 0, 1]
    for found, wanted in zip(frame.spike_times, [*trains_of(dataset, "units.spikes"), [], []], strict=True):
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(frame.obs_intervals.iloc[0], [[0, 0.015]])


def test_weights_keep_their_order(tmp_path, opened):
    dataset = write_run(tmp_path, weights(pre=3, post=4))
    table = container(opened(export(tmp_path, "nwb")), "recurrent.w")
    assert table["w"].data.shape == (3, 3, 4) and table["trial"].data[:].tolist() == [0, 1, 2]
    assert table["w"].data[1, 2, 3] == dataset["recurrent.w"].values[1, 2, 3]
    assert "(pre, post)" in table["w"].description


def test_metrics_and_entries(tmp_path, opened):
    dataset = write_run(tmp_path, metrics(4, n=[1, 2, 3, 4]))
    nwbfile = opened(export(tmp_path, "nwb"))
    table = nwbfile.analysis["metrics_by_trial"].to_dataframe()
    np.testing.assert_array_equal(table.loss, dataset.loss)
    np.testing.assert_array_equal(table.trial_time, dataset.trial_time)
    assert table.n.tolist() == [1, 2, 3, 4] and table.n.dtype == dataset.n.dtype
    about = nwbfile.analysis["about"].to_dataframe().set_index(["kind", "entry"])
    assert about.loc[("parameter", "tau"), ["value", "unit", "meaning"]].tolist() == ["0.01", "s", "time constant"]
    assert about.loc[("claim", "it learns"), "value"] == "0.05"


def test_where_it_comes_from(tmp_path, opened):
    write_run(tmp_path, metrics())
    nwbfile = opened(export(tmp_path, "nwb"))
    assert nwbfile.session_description.startswith("SIMULATION")
    assert nwbfile.session_start_time.isoformat() == RECORD["started"]
    assert list(nwbfile.related_publications) == ["doi:10.7554/eLife.43299"]
    assert "0123abc" in nwbfile.source_script
    assert nwbfile.was_generated_by[1].tolist() == ["neuroplast", "0.1.0"]
    subject = nwbfile.subject
    assert (subject.species, subject.sex, subject.age) == ("No animal", "U", "P0D")


def test_the_same_run_has_the_same_identifier(tmp_path, opened):
    for name, seed in (("a", 3), ("b", 4)):
        write_run(tmp_path / name / "run", metrics(), record=RECORD | {"seed": seed})
    first, again, other = (
        opened(export(tmp_path / name / "run", "nwb", tmp_path / file)).identifier
        for name, file in (("a", "1.nwb"), ("a", "2.nwb"), ("b", "3.nwb"))
    )
    assert first == again != other and uuid.UUID(first).version == 5


def test_a_subject_of_ones_own(tmp_path, opened):
    write_run(tmp_path, metrics())
    subject = {"subject_id": "M3", "species": "Mus musculus", "sex": "M", "age": "P90D", "strain": "C57BL/6J"}
    path = export(tmp_path, "nwb", subject=subject, experimenter="Hebb, Donald", institution="McGill University")
    assert complaints(path) == []
    nwbfile = opened(path)
    assert {key: getattr(nwbfile.subject, key) for key in subject} == subject
    assert (nwbfile.experimenter, nwbfile.institution) == (("Hebb, Donald",), "McGill University")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subject": {"species": "mouse"}}, "species should be a Latin binomial .* Got 'mouse'"),
        ({"subject": {"age": "90 days"}}, "age should be an ISO 8601 duration such as P90D"),
        ({"subject": {"sex": "male"}}, "sex should be M, F, O"),
        ({"subject": {"weigth": "25 g"}}, "'weigth' is not known. It can have subject_id, species"),
        ({"experimenter": "Donald Hebb"}, "experimenter should be 'Last, First'"),
    ],
)
def test_a_subject_that_nwb_would_not_take(tmp_path, options, message):
    write_run(tmp_path, metrics())
    with pytest.raises(InputError, match=message):
        export(tmp_path, "nwb", **options)
    assert not list(tmp_path.glob("*.nwb*"))


def test_nets_side_by_side(tmp_path, opened):
    dataset = write_run(tmp_path, nets())
    nwbfile = opened(export(tmp_path, "nwb"))
    for rule in ("bptt", "rflo"):
        for period, length in ((20, 5), (160, 8)):
            for net in (0, 1):
                times, values = held(nwbfile, f"output rule={rule} period={period} net={net}")
                wanted = dataset.output.sel(rule=rule, period=period, net=net).values[:length]
                np.testing.assert_array_equal(values, wanted)
                np.testing.assert_allclose(times, 0.1 + np.arange(length) * DT)
    table = nwbfile.analysis["metrics_by_rule_period_net_trial"].to_dataframe()
    wanted = dataset.loss.to_series().dropna()
    np.testing.assert_array_equal(table.loss, wanted)
    assert [tuple(row) for row in table[["rule", "period", "net", "trial"]].to_numpy().tolist()] == list(wanted.index)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    neurons=st.integers(1, 8),
    dtype=st.sampled_from([np.float64, np.float32]),
    block=st.integers(8, 300),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_reads_back_whatever_the_sizes(tmp_path_factory, lengths, neurons, dtype, block, shape):
    folder = tmp_path_factory.mktemp("run")
    pre, post = shape
    parts = [
        rates(lengths=lengths, neurons=neurons, dtype=dtype),
        weights(trials=range(len(lengths)), pre=pre, post=post),
    ]
    dataset = write_run(folder, *parts, spikes(neurons=neurons, count=len(lengths) * 5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroplast.export.series.BLOCK", block)
        path = export(folder, "nwb")
    with NWBHDF5IO(path, "r") as io:
        nwbfile = io.read()
        assert_recorded(nwbfile, dataset)
        if nwbfile.units is not None:
            trains = trains_of(dataset, "units.spikes")
            for found, wanted in zip(nwbfile.units["spike_times"][:], trains, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_memory_does_not_grow_with_the_run():
    result = bench(megabytes=60, formats=("nwb", "npz"), neurons=200)
    for to in ("nwb", "npz"):
        assert result[to]["file_MB"] > 50
        assert result[to]["peak_MB"] - result[to]["idle_MB"] < 50


def test_traces_in_memory_need_a_name():
    with pytest.raises(InputError, match="has to be given as path="):
        export(Traces(metrics()), "nwb")
