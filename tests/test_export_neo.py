"""Neo and NIX: the same numbers in the objects, and again after a round trip through a file."""

import elephant.statistics as statistics
import neo
import numpy as np
import pytest
import quantities as pq
from export_cases import CASES, DT, RECORD, metrics, nets, rates, spikes, weights, write_run
from neo.io import NixIO

from neuroplast.errors import InputError
from neuroplast.export import export
from neuroplast.traces import Traces


def read_nix(path):
    io = NixIO(str(path), mode="ro")
    try:
        return io.read_block()
    finally:
        io.close()


@pytest.fixture
def everything(tmp_path):
    dataset = write_run(tmp_path / "run", *CASES["everything"]())
    return dataset, Traces.load(tmp_path / "run")


def segment_of(block, trial):
    (found,) = [segment for segment in block.segments if segment.annotations.get("trial") == trial]
    return found


def same(one, other):
    """Whether two data objects are equal in values, units, times and annotations."""
    np.testing.assert_array_equal(one.magnitude, other.magnitude)
    assert (one.name, one.description, one.units) == (other.name, other.description, other.units)
    annotations = {key: value for key, value in other.annotations.items() if key not in ("nix_name", "neo_name")}
    assert set(one.annotations) == set(annotations)
    for key, value in one.annotations.items():
        np.testing.assert_array_equal(value, annotations[key])
    if not isinstance(one, neo.Epoch | neo.SpikeTrain):
        np.testing.assert_allclose(
            one.times.rescale("s").magnitude, other.times.rescale("s").magnitude, rtol=0, atol=1e-15
        )


def test_rates_are_signals_of_trials(everything):
    dataset, traces = everything
    block = traces.to_neo()
    assert [segment.name for segment in block.segments] == ["run", "trial=0", "trial=1", "trial=2"]
    for trial, (length, start) in enumerate([(5, 0.0), (3, 5 * DT), (5, 8 * DT)]):
        (signal,) = segment_of(block, trial).analogsignals
        np.testing.assert_array_equal(signal.magnitude, dataset["units.h"].values[trial, :length])
        assert float(signal.t_start.rescale("s")) == pytest.approx(start + DT)
        assert float(signal.sampling_rate.rescale("Hz")) == pytest.approx(1000)
        assert signal.units == pq.dimensionless and signal.name == "units.h"


def test_trials_are_epochs(everything):
    (epoch,) = everything[1].to_neo().segments[0].epochs
    np.testing.assert_allclose(epoch.times.magnitude, [0, 5 * DT, 8 * DT])
    np.testing.assert_allclose(epoch.durations.magnitude, [5 * DT, 3 * DT, 5 * DT])
    assert epoch.labels.tolist() == ["0", "1", "2"]


def test_weights_and_metrics_are_signals_of_the_run(everything):
    dataset, traces = everything
    found = {signal.name: signal for signal in traces.to_neo().segments[0].irregularlysampledsignals}
    w = found["recurrent.w"]
    np.testing.assert_array_equal(w.magnitude.reshape(-1, *w.annotations["shape"]), dataset["recurrent.w"])
    np.testing.assert_array_equal(w.times.magnitude, dataset["recurrent.w_start"])
    np.testing.assert_array_equal(found["loss"].magnitude[:, 0], dataset.loss)
    np.testing.assert_array_equal(found["loss"].times.magnitude, dataset.trial_time)


def test_spikes_are_trains_of_trials(everything):
    dataset, traces = everything
    block = traces.to_neo()
    time, trial = dataset["units.spikes_time"].values, dataset["units.spikes_trial"].values
    number = 0
    for chosen in range(3):
        trains = segment_of(block, chosen).spiketrains
        assert [train.annotations["neuron"] for train in trains] == [0, 1, 2]
        for neuron, train in enumerate(trains):
            wanted = np.sort(time[(trial == chosen) & (dataset["units.spikes"].values == neuron)])
            np.testing.assert_array_equal(train.magnitude, wanted)
            number += len(train)
    assert number == 40


def test_spikes_without_trials_span_the_run(tmp_path):
    dataset = write_run(tmp_path, spikes(), rates(lengths=(5,), trials=[2]))
    block = Traces.load(tmp_path).to_neo()
    trains = block.segments[0].spiketrains
    assert [len(train) for train in trains] == np.bincount(dataset["units.spikes"], minlength=3).tolist()
    assert all((train.t_start, train.t_stop) == (0 * pq.s, 0.015 * pq.s) for train in trains)
    assert trains[0].annotations["process"] == "inhomogeneous Poisson, sampled from rates"


def test_elephant_takes_the_trains(tmp_path):
    dataset = write_run(tmp_path, spikes(count=300, stop=2.0), record=None)
    trains = Traces.load(tmp_path).to_neo().segments[0].spiketrains
    time = dataset["units.spikes_time"].values[dataset["units.spikes"].values == 1]
    assert float(statistics.mean_firing_rate(trains[1]).rescale("Hz")) == pytest.approx(len(time) / 2)
    np.testing.assert_allclose(statistics.isi(trains[1]).magnitude, np.diff(time), atol=1e-12)
    assert statistics.cv(statistics.isi(trains[1])) == pytest.approx(np.diff(time).std() / np.diff(time).mean())
    assert float(statistics.mean_firing_rate(trains[2])) == 0


@pytest.mark.parametrize("case", ["everything", "windows", "several nets"])
def test_nix_keeps_everything(case, tmp_path):
    write_run(tmp_path / "run", *CASES[case]())
    block = Traces.load(tmp_path / "run").to_neo()
    again = read_nix(export(tmp_path / "run", "nix"))
    assert (again.name, again.description) == ("run", block.description)
    for key, value in block.annotations.items():
        assert again.annotations[key] == value
    assert [segment.name for segment in again.segments] == [segment.name for segment in block.segments]
    for one, other in zip(block.segments, again.segments, strict=True):
        kinds = ("analogsignals", "irregularlysampledsignals", "spiketrains", "epochs")
        for kind in kinds:
            for first, second in zip(getattr(one, kind), getattr(other, kind), strict=True):
                same(first, second)
        for train, second in zip(one.spiketrains, other.spiketrains, strict=True):
            assert (train.t_start, train.t_stop) == (second.t_start, second.t_stop)
        for epoch, second in zip(one.epochs, other.epochs, strict=True):
            assert epoch.labels.tolist() == second.labels.tolist()
            np.testing.assert_array_equal(epoch.durations.magnitude, second.durations.magnitude)


def test_large_weights_are_left_out_of_nix(tmp_path):
    write_run(tmp_path / "run", weights(pre=40, post=30), metrics())
    said = []
    block = read_nix(export(tmp_path / "run", "nix", say=said.append))
    assert [signal.name for signal in block.segments[0].irregularlysampledsignals] == ["loss"]
    assert said == [
        "recurrent.w: 1,200 weights are left out of NIX, which keeps an array for each (at most 1,000); "
        "NWB, CSV and npz hold them"
    ]
    held = Traces.load(tmp_path / "run").to_neo().segments[0].irregularlysampledsignals
    assert [signal.shape for signal in held] == [(3, 1200), (3, 1)]


def test_units_and_parameters(tmp_path):
    write_run(tmp_path, rates(unit="Hz"), rates("units.x", unit="flux"))
    block = Traces.load(tmp_path).to_neo()
    hertz, unknown = segment_of(block, 1).analogsignals
    assert (hertz.units, unknown.units, unknown.annotations["unit"]) == (pq.Hz, pq.dimensionless, "flux")
    assert block.annotations["parameter: tau"] == "0.01 s" and block.annotations["run: seed"] == str(RECORD["seed"])


def test_nets_have_segments_of_their_own(tmp_path):
    dataset = write_run(tmp_path, nets())
    block = Traces.load(tmp_path).to_neo()
    (segment,) = [part for part in block.segments if part.name == "rule=rflo, period=20, net=1"]
    np.testing.assert_array_equal(
        segment.analogsignals[0].magnitude, dataset.output.sel(rule="rflo", period=20, net=1)[:5]
    )
    assert segment.annotations["rule"] == "rflo"


def test_some_trials(everything, tmp_path, monkeypatch):
    block = everything[1].to_neo(trials=[2])
    assert [segment.name for segment in block.segments] == ["run", "trial=2"]
    monkeypatch.setattr("neuroplast.export.to_neo.MOST_OBJECTS", 5)
    with pytest.raises(InputError, match=r"3 trials of 3 spiking neurons would make 12 Neo objects, .*trials=range"):
        everything[1].to_neo()
