"""Records folded by trial: a row for each trial, NaN where a trial is shorter, also from segments and killed runs."""

import numpy as np
import pytest
import xarray as xr
from test_trials import LONGEST, PLAN, TRIALS, N, by_hand, learning

from neuroplast.errors import InputError
from neuroplast.labels import Recorded, check_sources, join, label
from neuroplast.segments import write_segment
from neuroplast.traces import Traces, combine
from neuroplast.training import Pace, train

OUTPUT = Recorded("output", "test.y", "rates", ("channel",), along="step", fold="test", unit="Hz")
LENGTHS = {7: 2, 3: 4, 4: 1}  # trial -> steps, in the order of recording


def arrays(lengths=LENGTHS, monitor="test", channels=2):
    """One monitor: the value of channel c in step k of a trial is 100*trial + 10*k + c."""
    trial = np.repeat(np.array(list(lengths), dtype=np.int32), list(lengths.values()))
    k = np.concatenate([np.arange(steps, dtype=np.int32) for steps in lengths.values()])
    y = 100.0 * trial[:, None] + 10.0 * k[:, None] + np.arange(channels)
    return {
        f"{monitor}.t": 0.5 * np.arange(len(trial)),
        f"{monitor}.k": np.repeat(k[:, None], channels, axis=1),
        f"{monitor}.trial": np.repeat(trial[:, None], channels, axis=1),
        f"{monitor}.y": y,
        f"{monitor}.n": y.astype(np.int32),
    }


def table(lengths=LENGTHS, channels=2, steps=4):
    """What they should become."""
    found = np.full((len(lengths), steps, channels), np.nan)
    for row, (trial, length) in enumerate(lengths.items()):
        for k in range(length):
            found[row, k] = 100 * trial + 10 * k + np.arange(channels)
    return found


def test_a_row_for_each_trial():
    dataset = label(arrays(), [OUTPUT])
    assert dataset.output.dims == ("test", "step", "channel")
    np.testing.assert_array_equal(dataset.output, table())
    assert dataset.test.values.tolist() == [7, 3, 4]
    assert dataset.step.values.tolist() == [0, 1, 2, 3]
    assert dataset.output.attrs == {"kind": "rates", "units": "Hz"}
    assert dataset.output.sel(test=3, step=2).values.tolist() == [320, 321]
    nan = np.nan
    np.testing.assert_array_equal(
        dataset.test_step_time, 0.5 * np.array([[0, 1, nan, nan], [2, 3, 4, 5], [6] + 3 * [nan]])
    )
    assert dataset.test_step_time.attrs == {"units": "s"}
    assert set(dataset.coords) == {"test", "step", "test_step_time"}


def test_numbers_matrices_and_integers():
    data = arrays(channels=6)
    data["test.loss"] = data["test.y"][:, :1].astype(np.float32)
    dataset = label(data, [
        Recorded("w", "test.y", "weights", ("pre", "post"), (2, 3), "step", fold="test"),
        Recorded("n", "test.n", "rates", ("channel",), along="step", fold="test"),
        Recorded("loss", "test.loss", along="step", fold="test"),
        Recorded("trial_itself", "test.trial", "rates", ("channel",), along="step", fold="test"),
    ])  # fmt: skip
    np.testing.assert_array_equal(dataset.w, table(channels=6).reshape(3, 4, 2, 3))
    np.testing.assert_array_equal(dataset.n, table(channels=6))
    np.testing.assert_array_equal(dataset.loss, table(channels=6)[..., 0])
    assert (dataset.n.dtype, dataset.loss.dtype) == (np.float64, np.float32)
    assert np.nanmax(dataset.trial_itself, axis=(1, 2)).tolist() == [7, 3, 4]


def test_steps_that_run_down_or_are_left_out():
    data = {"back.k": np.array([8, 4, 0, 4, 0]), "back.trial": np.array([0, 0, 0, 1, 1]), "back.x": np.arange(5.0)}
    x = label(data, [Recorded("x", "back.x", "rates", along="step", fold="trial")]).x
    assert x.step.values.tolist() == [0, 4, 8]
    np.testing.assert_array_equal(x, [[2, 1, 0], [4, 3, np.nan]])


def test_another_name_counts_the_records_of_a_trial():
    """Also where a trial comes again, as in several epochs."""
    data = {"m.trial": np.array([0, 0, 1, 0, 1, 1]), "m.k": np.array([0, 1, 0, 0, 0, 1]), "m.x": np.arange(6)}
    dataset = label(data, [Recorded("x", "m.x", "rates", along="sample", fold="trial")])
    np.testing.assert_array_equal(dataset.x, [[0, 1, 3], [2, 4, 5]])
    np.testing.assert_array_equal(dataset.trial_sample_step, [[0, 1, 0], [0, 0, 1]])
    assert "sample" not in dataset.coords


def test_folds_along_the_same_steps():
    """Two monitors of other trials have the steps of both; what is once per trial shares the trials."""
    data = arrays() | arrays({0: 6, 1: 3}, "train") | {"score.trial": np.array([7, 3, 4]), "score.loss": np.arange(3.0)}
    dataset = label(data, [
        OUTPUT,
        Recorded("y", "train.y", "rates", ("channel",), along="step", fold="trial"),
        Recorded("loss", "score.loss", along="test"),
    ])  # fmt: skip
    np.testing.assert_array_equal(dataset.output, table(steps=6))
    np.testing.assert_array_equal(dataset.y, table({0: 6, 1: 3}, steps=6))
    assert dataset.sizes == {"test": 3, "trial": 2, "step": 6, "channel": 2}
    assert dataset.loss.sel(test=3) == 1


def test_what_does_not_fit_is_refused():
    other = Recorded("x", "other.y", "rates", ("channel",), along="step", fold="test")
    with pytest.raises(InputError, match="x: has other values of 'test' or 'step' .*fold='probe_trial', along='probe"):
        label(arrays() | arrays({7: 2, 3: 4, 5: 1}, "other"), [OUTPUT, other])
    with pytest.raises(InputError, match="x: has other values of 'test' or 'step'"):
        label(arrays() | arrays({7: 2, 3: 4}, "other"), [OUTPUT, other])
    twice = join([arrays({0: 2, 1: 3}), arrays({1: 1})])
    with pytest.raises(
        InputError, match="output: fold='test' has one .* 'test' recorded trial 1, step 0 more than once"
    ):
        label(twice, [OUTPUT])


@pytest.mark.parametrize("along", [None, "time", "trial", "tick", "test"])
def test_along_what_never_comes_again_is_refused(along):
    with pytest.raises(
        InputError, match="x: with fold='test', along should be .* such as 'step'.* Got '(time|tri|tic|tes)"
    ):
        Recorded("x", "test.y", "rates", along=along, fold="test")


def test_trials_that_were_not_recorded():
    data = {name: values for name, values in arrays().items() if name != "test.trial"}
    words = "output: fold='test' needs the trial of each record, and 'test' did not .* Add 'trial' to the variables"
    with pytest.raises(InputError, match=words):
        label(data, [OUTPUT])
    with pytest.raises(InputError, match=words):
        label(data, [OUTPUT], complete=False)
    with pytest.raises(InputError, match=words):
        check_sources({"test": {"t": 0, "y": 0}, "other": {"trial": 0}}, [OUTPUT])
    check_sources({"test": {"t": 0, "y": 0, "trial": 0}}, [OUTPUT])


def test_as_text_and_back():
    plain = Recorded("loss", "score.loss")
    assert Recorded.from_json(Recorded.to_json([OUTPUT, plain])) == (OUTPUT, plain)
    older = Recorded.to_json([plain]).replace(', "fold": null', "")
    assert "fold" not in older and Recorded.from_json(older) == (plain,)


def test_many_trials_take_no_more_than_their_records():
    trials, steps = 20_000, 5
    data = {
        "m.t": np.arange(trials * steps) * 0.1,
        "m.k": np.tile(np.arange(steps), trials),
        "m.trial": np.repeat(np.arange(trials), steps),
        "m.x": np.arange(3.0 * trials * steps).reshape(-1, 3),
    }
    for along in ("step", "sample"):
        dataset = label(data, [Recorded("x", "m.x", "rates", ("i",), along=along, fold="test")])
        np.testing.assert_array_equal(dataset.x, data["m.x"].reshape(trials, steps, 3))
        assert dataset.nbytes < 3 * sum(values.nbytes for values in data.values())


# -- segments, killed runs, several nets -------------------------------------------------------------------------


def segments(folder, pieces):
    for number, piece in enumerate(pieces):
        monitors = {}
        for source, values in piece.items():
            monitor, variable = source.split(".")
            monitors.setdefault(monitor, {})[variable] = values
        write_segment(folder, number, monitors, RECORDED, number, number + 1)


RECORDED = (
    OUTPUT,
    Recorded("hidden", "hidden.y", "rates", ("unit",), along="step", fold="test"),
    Recorded("loss", "score.loss", along="test"),
)


def recorded(first, last, hidden=None, scores=None):
    """Three monitors of trials of 3, 1, 3, 1, ... steps: from a step to another, counted over all trials."""
    whole = {trial: 3 - 2 * (trial % 2) for trial in range(6)}
    found = {name: values[first:last] for name, values in arrays(whole).items()}
    hidden = slice(first, last if hidden is None else hidden)
    found |= {name: values[hidden] for name, values in arrays(whole, "hidden", 1).items()}
    scored = range(*(scores or (0, 0)))
    return found | {"score.trial": np.array(scored, int), "score.loss": np.array(scored, float)}


@pytest.mark.parametrize("cut", [1, 2, 4, 5, 8])
def test_segments_cut_anywhere_give_the_same(tmp_path, cut):
    segments(tmp_path, [recorded(0, cut), recorded(cut, 12, scores=(0, 6))])
    whole = label(recorded(0, 12, scores=(0, 6)), RECORDED)
    np.testing.assert_array_equal(whole.output, table({t: 3 - 2 * (t % 2) for t in range(6)}, steps=3))
    xr.testing.assert_identical(Traces.load(tmp_path).dataset, whole)


@pytest.mark.parametrize(
    ("steps", "hidden", "scores", "trials"), [(12, 12, 5, 5), (10, 9, 6, 5), (6, 5, 2, 2), (8, 7, 6, 3), (7, 7, 6, 3)]
)
def test_a_killed_run_keeps_the_trials_that_all_have(tmp_path, steps, hidden, scores, trials):
    """Of a trial that was cut short there is its beginning."""
    segments(tmp_path, [recorded(0, steps, hidden, (0, scores))])
    dataset = Traces.load(tmp_path).dataset
    assert dict(dataset.sizes) == {"test": trials, "step": 3, "channel": 2, "unit": 1}
    expected = table({t: 3 - 2 * (t % 2) for t in range(6)}, steps=3)[:trials]
    seen = np.isfinite(dataset.output.values)
    np.testing.assert_array_equal(dataset.output.values[seen], expected[seen])
    assert seen[..., 0].sum() == min(sum((3, 1, 3, 1, 3, 1)[:trials]), hidden)
    np.testing.assert_array_equal(seen[..., :1], np.isfinite(dataset.hidden.values))
    assert dataset.loss.values.tolist() == list(range(trials))


def test_nets_with_trials_of_other_lengths_side_by_side():
    short, long = (label(arrays(lengths), [OUTPUT]) for lengths in ({0: 1, 1: 2}, {0: 2, 1: 1, 2: 3}))
    both = combine([({"net": 0}, short), ({"net": 1}, long)]).output
    assert both.dims == ("net", "test", "step", "channel")
    np.testing.assert_array_equal(both[1], table({0: 2, 1: 1, 2: 3}, steps=3))
    np.testing.assert_array_equal(both[0, :2], table({0: 1, 1: 2}, steps=3))
    assert np.isnan(both[0, 2]).all()


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_a_training_in_segments(target, tmp_path):
    """Against loops by hand: trials of three lengths, cut in the middle of trials."""
    rates = Recorded("h", "M.h", "rates", ("unit",), along="step", fold="trial", unit="Hz")
    dataset = train(learning(target), tmp_path, recorded=[rates], pace=Pace(positions=5)).dataset
    h, places, _, _ = by_hand()
    expected = np.full((TRIALS, LONGEST, N), np.nan)
    expected[places[:, 0], places[:, 1]] = h
    np.testing.assert_allclose(dataset.h, expected, rtol=1e-12, atol=1e-13)
    assert dataset.h.dims == ("trial", "step", "unit")
    lengths = [PLAN[trial % len(PLAN)][1] for trial in range(TRIALS)]
    assert np.isfinite(dataset.h[..., 0]).sum("step").values.tolist() == lengths
    np.testing.assert_array_equal(np.nanmax(dataset.trial_step_n_steps, axis=1), lengths)
