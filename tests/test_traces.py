"""Traces: monitors become labelled arrays, and a folder is read whether its run ended or not."""

import json

import numpy as np
import pytest
import xarray as xr
from fakes import RECORDED, FakeSimulation

from neuroplast.errors import InputError
from neuroplast.labels import Recorded, check_sources, label
from neuroplast.nets import Job, train_many
from neuroplast.segments import write_segment
from neuroplast.traces import Traces, combine
from neuroplast.training import Pace, train


def arrays(trials=3, steps=2):
    """Three monitors: a loss per trial, two outputs per step, a 2x3 matrix per trial."""
    trial, k = (grid.ravel() for grid in np.mgrid[:trials, :steps])
    return {
        "score.t": np.arange(trials) * 0.1,
        "score.trial": np.arange(trials, dtype=np.int32)[:, None],
        "score.loss": np.linspace(1, 0, trials)[:, None],
        "probe.t": np.arange(trials * steps) * 0.05,
        "probe.k": np.repeat(k[:, None], 2, axis=1),
        "probe.trial": trial,
        "probe.y": np.arange(2.0 * trials * steps).reshape(-1, 2),
        "weights.trial": np.arange(trials),
        "weights.w": np.arange(6.0 * trials).reshape(trials, 6),
    }


def test_labels_name_dimensions_coordinates_and_units():
    dataset = label(
        arrays(),
        [
            Recorded("loss", "score.loss", doc="error"),
            Recorded("y", "probe.y", "rates", ("output",), unit="Hz"),
            Recorded("w", "weights.w", "weights", ("pre", "post"), shape=(2, 3)),
        ],
    )
    assert {name: array.dims for name, array in dataset.data_vars.items()} == {
        "loss": ("trial",),
        "y": ("time", "output"),
        "w": ("snapshot", "pre", "post"),
    }
    assert dataset.loss.sel(trial=1) == 0.5
    assert list(dataset.time_trial.values) == [0, 0, 1, 1, 2, 2]
    assert list(dataset.time_step.values) == [0, 1, 0, 1, 0, 1]
    assert list(dataset.snapshot_trial.values) == [0, 1, 2]
    assert dataset.y.attrs == {"kind": "rates", "units": "Hz"}
    assert dataset.loss.attrs == {"kind": "metrics", "long_name": "error"}
    assert dataset.w.values[2, 1, 0] == 15
    assert dataset.time.attrs == {"units": "s"}


def test_along_another_dimension():
    dataset = label(arrays(trials=1), [Recorded("y", "probe.y", "rates", ("output",), along="step")])
    assert dataset.y.dims == ("step", "output")
    assert list(dataset.step.values) == [0, 1]
    assert list(dataset.step_time.values) == [0, 0.05]


def test_without_labels_everything_is_kept():
    dataset = label(arrays())
    assert set(dataset.data_vars) == {"score_loss", "probe_y", "weights_w"}
    assert dataset.weights_w.shape == (3, 6)


def test_disagreeing_labels_are_refused():
    data = arrays() | {"other.trial": np.array([0, 5, 6]), "other.alignment": np.zeros((3, 1))}
    recorded = [Recorded("loss", "score.loss"), Recorded("alignment", "other.alignment")]
    with pytest.raises(InputError, match="alignment: has other values of 'trial'.*along='probe'"):
        label(data, recorded)
    data["other.trial"], data["other.alignment"] = np.arange(2), np.zeros((2, 1))
    with pytest.raises(InputError, match="has other values of 'trial'"):
        label(data, recorded)
    assert label(data, recorded, complete=False).sizes["trial"] == 2


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"w: one record of weights.w has shape \(6,\)"):
        label(arrays(), [Recorded("w", "weights.w", "weights", ("pre", "post"), shape=(2, 2))])
    with pytest.raises(InputError, match="loss: one record of probe.y"):
        label(arrays(), [Recorded("loss", "probe.y")])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"kind": "weight"}, "kind should be one of metrics, rates, weights"),
        ({"source": "loss"}, "monitor.variable"),
        ({"dims": ("pre", "post")}, "shape should give the lengths"),
    ],
)
def test_wrong_labels_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        Recorded(**({"name": "x", "source": "a.b"} | values))


def test_a_source_that_is_not_recorded_is_refused():
    with pytest.raises(InputError, match="x: no monitor recorded 'a.c'. Recorded were: a.b"):
        check_sources({"a": {"b": np.zeros(1)}}, [Recorded("x", "a.c")])


def test_a_complete_folder_is_read(tmp_path):
    train(FakeSimulation(6), tmp_path, recorded=RECORDED)
    (tmp_path / "run.json").write_text(json.dumps({"protocol": "toy"}))
    traces = Traces.load(tmp_path)
    assert traces.record == {"protocol": "toy"}
    assert list(traces.metrics) == ["loss"]
    assert list(traces.rates) == ["y"]
    assert list(traces.weights) == ["w"]
    assert traces.weights.w.sizes == {"snapshot": 2, "pre": 3, "post": 3}
    assert str(tmp_path) in repr(traces)


def test_nothing_is_read_before_it_is_used(tmp_path):
    train(FakeSimulation(2), tmp_path, recorded=RECORDED)
    traces = Traces.load(tmp_path)
    assert "dataset" not in vars(traces)
    assert not traces.dataset.y.variable._in_memory


def test_segments_are_read_up_to_the_first_gap(tmp_path):
    for number, (start, stop) in enumerate([(0, 5), (5, 7), (9, 12)]):
        monitors = {"score": {"trial": np.arange(start, stop), "loss": np.arange(start, stop)[:, None] / 2}}
        write_segment(tmp_path, number, monitors, [Recorded("loss", "score.loss")], start, stop)
    loss = Traces.load(tmp_path).metrics.loss
    assert list(loss.values) == [0, 0.5, 1, 1.5, 2, 2.5, 3]


def test_what_is_left_of_a_killed_run_is_its_beginning(tmp_path):
    whole = train(FakeSimulation(8), tmp_path / "whole", recorded=RECORDED).dataset
    sim = FakeSimulation(8)
    sim.run, run = lambda **options: run(**options) if options["start"] < 14 else 1 / 0, sim.run
    with pytest.raises(ZeroDivisionError):
        train(sim, tmp_path / "part", recorded=RECORDED, pace=Pace(positions=7))
    part = Traces.load(tmp_path / "part").dataset
    assert part.sizes["trial"] == 4
    xr.testing.assert_identical(part.y, whole.y[: part.sizes["sample"]])


def test_nets_of_an_unfinished_run_are_read_side_by_side(tmp_path):
    jobs = [
        Job(f"{rule}-{net}", FakeSimulation(4), {"rule": rule, "net": net}, seed=net, recorded=RECORDED)
        for rule in ("a", "b")
        for net in (0, 1)
    ]
    train_many(jobs[:3], tmp_path)
    loss = Traces.load(tmp_path).metrics.loss
    assert dict(loss.sizes) == {"rule": 2, "net": 2, "trial": 4}
    assert np.isnan(loss.sel(rule="b", net=1)).all()
    assert not np.isnan(loss.sel(rule="b", net=0)).any()


def test_combining_lets_missing_values_be_nan():
    def part(values):
        return xr.Dataset({"loss": ("trial", values)}, {"trial": np.arange(len(values))})

    both = combine([({"T": 20}, part([1.0, 2.0, 3.0])), ({"T": 160}, part([4.0]))])
    assert both.loss.dims == ("T", "trial")
    np.testing.assert_array_equal(both.loss, [[1, 2, 3], [4, np.nan, np.nan]])
    alone = combine([({}, part([1.0]))])
    xr.testing.assert_identical(alone, part([1.0]))
    with pytest.raises(InputError, match="same coordinates"):
        combine([({"T": 20}, part([1.0])), ({"T": 20}, part([2.0]))])
    with pytest.raises(InputError, match="Every net should have the coordinates"):
        combine([({"T": 20}, part([1.0])), ({"net": 0}, part([2.0]))])


def test_a_folder_without_traces_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        Traces.load(tmp_path / "absent")
    with pytest.raises(InputError, match="holds no traces"):
        Traces.load(tmp_path)
    (tmp_path / "nets").mkdir()
    with pytest.raises(InputError, match="first segment"):
        Traces.load(tmp_path).dataset  # noqa: B018


@pytest.mark.parametrize("turned", [False, True])
def test_nets_that_still_run_are_combined_with_those_that_have_ended(turned):
    """The one that runs has fewer epochs, and neither the final weights nor what says when they were taken."""
    whole = xr.Dataset(
        {"loss": ("epoch", [3.0, 2.0, 1.0]), "w": (("snapshot", "pre"), np.ones((1, 2)))},
        {"epoch": [0, 1, 2], "epoch_time": ("epoch", [0.1, 0.2, 0.3]), "snapshot_time": ("snapshot", [0.3])},
    )
    begun = whole[["loss"]].isel(epoch=slice(2)).drop_vars("snapshot_time", errors="ignore")
    parts = [({"net": 0}, whole), ({"net": 1}, begun)]
    found = combine(parts[::-1] if turned else parts)
    np.testing.assert_array_equal(found.loss.sel(net=0), [3, 2, 1])
    np.testing.assert_array_equal(found.loss.sel(net=1), [3, 2, np.nan])
    np.testing.assert_array_equal(found.w.sel(net=0), [[1, 1]])
    assert np.isnan(found.w.sel(net=1)).all()
