"""What is recorded of a model that learns in epochs: which trials, how they are counted, what they are called."""

import numpy as np
import pytest

from neuroplast.errors import InputError
from neuroplast.export.contents import contents_of
from neuroplast.models import autapse, rflo
from neuroplast.recording import expected
from neuroplast.rules import FROZEN
from neuroplast.tasks import Condition, Task, periodic
from neuroplast.traces import Traces
from neuroplast.training import Pace, train

N, EPOCHS, TRIALS, LENGTHS = 3, 4, 3, (9, 7, 9)


def make_task():
    """Trajectories of different lengths; the last one is for tests."""
    rng = np.random.default_rng(3)
    made = [Condition(rng.standard_normal((n + 1, 2)), rng.standard_normal((n + 1, 2))) for n in (*LENGTHS, 8)]
    return Task(made, order=np.arange(TRIALS), tests=np.array([3, 1]))


def build(record, target="numpy", **change):
    parameters = autapse.Parameters(**{"N": N, "burn_in": 2, "g": 2.0, "eta_rec": 0.7, **change})
    return autapse.build(parameters, make_task(), record=record, target=target)


@pytest.fixture(scope="module")
def everything():
    return build(["units.h", "recurrent.w", "recurrent.dw:at=epoch"]).run(EPOCHS).dataset


def test_trials_are_counted_through_all_epochs(everything):
    rates = everything["units.h"]
    assert rates.shape == (EPOCHS * TRIALS, 9, N)
    np.testing.assert_array_equal(everything["units.h_trial"], np.arange(EPOCHS * TRIALS))
    np.testing.assert_array_equal(everything["units.h_epoch"], np.repeat(np.arange(EPOCHS), TRIALS))
    assert np.isnan(rates[1::TRIALS, 7:]).all() and not np.isnan(rates[1::TRIALS, :7]).any()
    np.testing.assert_array_equal(everything["recurrent.w_trial"], np.arange(EPOCHS * TRIALS))
    np.testing.assert_array_equal(everything["recurrent.w_epoch"], np.repeat(np.arange(EPOCHS), TRIALS))
    # What was recorded last of the training is what the net is left with.
    np.testing.assert_array_equal(everything["recurrent.w"][-1], everything.w_recurrent[0])


@pytest.mark.parametrize(
    "options, trials",
    [
        ("epochs=-1", [9, 10, 11]),
        ("epochs=0,2", [0, 1, 2, 6, 7, 8]),
        ("trials=-1", [11]),
        ("trials=2-5", [2, 3, 4]),
        ("epochs=1:trials=0-5", [3, 4]),
    ],
)
def test_selection_of_epochs(everything, options, trials):
    found = build([f"units.h:{options}", f"recurrent.w:{options}"]).run(EPOCHS).dataset
    for name in ("units.h", "recurrent.w"):
        np.testing.assert_array_equal(found[f"{name}_trial"], trials)
        np.testing.assert_array_equal(found[f"{name}_epoch"], np.array(trials) // TRIALS)
        np.testing.assert_array_equal(found[name], everything[name][trials])


@pytest.mark.parametrize("options, epochs", [("", range(EPOCHS)), (":every=2", [1, 3]), (":epochs=0,-1", [0, 3])])
def test_weights_after_each_epoch(everything, options, epochs):
    traces = build([f"recurrent.w:at=epoch{options}"]).run(EPOCHS)
    found, last = traces.weights["recurrent.w"], TRIALS * (np.array(epochs) + 1) - 1
    assert found.dims == ("epoch", "pre", "post")
    np.testing.assert_array_equal(found.epoch, epochs)
    np.testing.assert_array_equal(found, everything["recurrent.w"][last])


def test_tests_and_fits_are_recorded_under_names_of_their_own():
    # Arrays of the model's own share a dimension of the longest trial's steps; records have one each.
    record = ["outputs.y:phase=test", "outputs.y:phase=fit", "units.trace:phase=fit:at=trial", "outputs.y:epochs=-1"]
    model = build(record)
    found = model.run(EPOCHS).dataset
    np.testing.assert_array_equal(found["outputs.y_test"], found.output[:, :8])
    np.testing.assert_array_equal(found["outputs.y_fit"], found.training_output)
    assert found["units.trace_fit"].shape == (TRIALS, N) and "outputs.y_fit_epoch" not in found.coords
    one = model.run(0).dataset
    assert "outputs.y" not in one and one["outputs.y_fit"].shape == (TRIALS, 9, 2)


def test_spikes_tell_their_trial_and_epoch():
    traces = build(["units.spikes:epochs=1,-1:max=100*Hz", "units.h:epochs=1,-1"]).run(EPOCHS, seed=2)
    spikes = traces.spikes["units"]
    assert set(np.unique(spikes.trial)) <= {3, 4, 5, 9, 10, 11} and spikes.sizes["spike"] > 3
    np.testing.assert_array_equal(spikes.epoch, spikes.trial // TRIALS)
    made = contents_of(traces).trials
    assert [row.trial for row in made] == [3, 4, 5, 9, 10, 11]
    np.testing.assert_allclose([row.stop - row.start for row in made], 2 * [0.009, 0.007, 0.009], rtol=1e-9)
    assert np.diff([row.start for row in made]).min() > 0


@pytest.mark.parametrize("activation, kind", [("sigmoid", "scaled"), ("tanh", "shifted")])
def test_the_activation_decides_the_map(activation, kind):
    spikes = build(["units.spikes"], activation=activation, g=0.5).run(1).spikes["units"]
    assert spikes.attrs["map"].startswith(f"{kind}: rate = ")


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_rates_without_bounds_need_a_map(activation):
    with pytest.raises(InputError, match="units.spikes: which map from rate to Hz"):
        build(["units.spikes"], activation=activation)
    build(["units.spikes:map=rectified"], activation=activation)


@pytest.mark.parametrize("positions", [1, 5, 1000])
def test_a_training_in_segments_records_the_same(positions, tmp_path):
    model = build(["units.h:epochs=0,-1", "recurrent.w:at=epoch", "units.spikes:max=100*Hz", "recurrent.w:phase=fit"])
    whole, job = model.run(EPOCHS, seed=4).dataset, model.job("net", {}, EPOCHS, seed=4)
    train(
        job.sim, tmp_path, seed=job.seed, counts=job.counts, state=job.state, recorded=job.recorded,
        pace=Pace(positions=positions),
    )  # fmt: skip
    found = Traces.load(tmp_path).dataset
    assert set(found.variables) == set(whole.variables)
    for name in whole.variables:
        np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def test_the_number_of_records_is_foreseen():
    record = [
        "units.h:epochs=0,-1:every=2",
        "units.u:trials=4-8",
        "recurrent.w:at=epoch:every=3",
        "outputs.y:phase=fit",
    ]
    model = build([*record, "recurrent.dw:every=5"])
    made = model.run(EPOCHS).dataset
    item = {item.name: item.monitor for item in model.recorded}
    steps = np.array(LENGTHS)
    found = expected(model.simulation, model.counts(EPOCHS), {"trial": steps, "fits": steps, "tests": np.array([8, 7])})
    counted = {"units.h": 2 * (4 + 3 + 4), "units.u": 7 + 9 + 9 + 7, "outputs.y_fit": sum(LENGTHS)}
    counted |= {"recurrent.w": 1, "recurrent.dw": 2}
    assert {name: found[item[name]][0] for name in counted} == counted
    for name in ("units.h", "units.u", "outputs.y_fit"):
        assert np.isfinite(made[name][..., 0]).sum() == counted[name]
    assert len(made["recurrent.w"]) == 1 and len(made["recurrent.dw"]) == 2


def test_what_there_is_not():
    with pytest.raises(InputError, match="loop 'epoch' has 4 epochs, 0 to 3 .* Got 4"):
        build(["units.h:epochs=4"]).run(EPOCHS)
    with pytest.raises(InputError, match="no record in 4 epochs and 2 tests"):
        build(["recurrent.w:at=epoch:every=5"]).run(EPOCHS)
    for record in ("units.h:epochs=0", "recurrent.w:at=epoch"):
        with pytest.raises(InputError, match="the model does not learn in epochs. Choose trials="):
            rflo.build(rflo.Parameters(N=2), periodic(20), FROZEN, record=[record], target="numpy")
    with pytest.raises(InputError, match="the model has no 'fit' among its nodes"):
        rflo.build(rflo.Parameters(N=2), periodic(20), FROZEN, record=["units.h:phase=fit"], target="numpy")
