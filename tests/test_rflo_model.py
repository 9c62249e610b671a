"""RFLO's network on the engine against the numpy oracle, finite differences, and what theory says of its noise."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms, second
from oracles import rflo as oracle

from neuroplast.analysis.alignment import alignment
from neuroplast.bench.dense import DenseRFLO
from neuroplast.bench.numpy_rflo import NumpyRFLO
from neuroplast.bench.problem import PERIOD, STATE
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.rules import BPTT, BPTT_RANDOM, DELTA, FROZEN, LOCAL, RFLO
from neuroplast.tasks import Condition, Task, periodic

N, INPUTS, OUTPUTS, SAMPLES, TRIALS, TAU = 6, 2, 2, 25, 3, 10.0
WEIGHTS = ("recurrent.w", "afferent.w", "readout.w")
IN_TIME = {"outputs.y": "y", "units.h": "h", "units.u": "u"}  # to the oracle's names
ETA = (0.5, 1.0, 2.0)
PARAMETERS = rflo.Parameters(N=N, eta_in=ETA[0], eta_rec=ETA[1], eta_out=ETA[2], h0=0.3)


def make_task(samples=SAMPLES, inputs=INPUTS):
    rng = np.random.default_rng(5)
    drive = rng.standard_normal((samples, inputs)) if inputs else None
    return Task(Condition(rng.standard_normal((samples, OUTPUTS)), drive))


def oracle_run(model, rule, online=False, trials=TRIALS, seed=0):
    """(weights after each trial, Trial of each) by the oracle, from the model's own initial values."""
    w = rflo.state_to_weights(model.initial(seed), N)
    weights = oracle.Weights(w.get("w_in", np.zeros((N, 1))), w["w_rec"], w["w_out"])
    (given,) = model.task.conditions
    x = np.zeros((given.samples, 1)) if given.drive is None else given.drive
    h0 = np.full(N, model.parameters.h0)
    return list(oracle.train(weights, w["b"], x, given.target, h0, TAU, ETA, rule, trials, online))


@pytest.mark.parametrize(
    "rule, update, q_lag, expected",
    [
        (RFLO, "trial", 1, oracle.Rule("local", "B", q_lag=1)),
        (RFLO, "online", 1, oracle.Rule("local", "B", q_lag=1)),
        (RFLO, "online", 0, oracle.RFLO),
        (BPTT, "trial", 1, oracle.BPTT),
        (LOCAL, "online", 0, oracle.LOCAL_SYMMETRIC),
        (BPTT_RANDOM, "trial", 1, oracle.RANDOM_NONLOCAL),
    ],
    ids=["rflo-trial", "rflo-online", "rflo-online-exact-q", "bptt", "local", "bptt_random"],
)
def test_learns_as_the_oracle(rule, update, q_lag, expected):
    parameters = replace(PARAMETERS, q_lag=q_lag)
    model = rflo.build(parameters, make_task(), rule, update=update, record=(*WEIGHTS, *IN_TIME), target="numpy")
    found = model.run(TRIALS).dataset
    truth = oracle_run(model, expected, update == "online")
    for ours, name in IN_TIME.items():
        wanted = np.stack([getattr(trial, name)[1:] for _, trial in truth])
        np.testing.assert_allclose(found[ours], wanted, rtol=0, atol=1e-12, err_msg=name)
    for name, ours in zip(("rec", "inp", "out"), WEIGHTS, strict=True):
        wanted = np.stack([getattr(weights, name).T for weights, _ in truth])
        assert np.abs(wanted[-1] - wanted[0]).max() > 1e-4
        np.testing.assert_allclose(found[ours], wanted, rtol=0, atol=1e-12, err_msg=name)


def test_loss_alignment_and_final_test():
    task = make_task(inputs=0)
    model = rflo.build(PARAMETERS, task, target="numpy")
    found, truth = model.run(TRIALS).dataset, oracle_run(model, oracle.RFLO, trials=TRIALS + 1)
    (given,) = task.conditions
    w_out, b = np.stack([w.out for w, _ in truth]), rflo.state_to_weights(model.initial(), N)["b"]
    np.testing.assert_allclose(found.loss, [given.loss(trial.y[1:]) for _, trial in truth[:-1]], rtol=1e-12)
    np.testing.assert_allclose(found.alignment, alignment(w_out[:-1], b), rtol=1e-12)
    assert np.ptp(found.loss.values) > 1e-4 and np.ptp(found.alignment.values) > 1e-4
    np.testing.assert_allclose(found.output[0], truth[-1][1].y[1:], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.test_loss, given.loss(truth[-1][1].y[1:]), rtol=1e-12)
    assert list(found.trial) == [0, 1, 2] and list(found.step) == list(range(SAMPLES - 1))


@pytest.mark.parametrize("inputs", [0, INPUTS])
def test_gradient_of_bptt_is_that_of_the_loss(inputs):
    task = make_task(inputs=inputs)
    ones = replace(PARAMETERS, eta_in=1.0, eta_rec=1.0, eta_out=1.0)
    names = WEIGHTS if inputs else ("recurrent.w", "readout.w")
    model = rflo.build(ones, task, BPTT, record=names, target="numpy")
    begin, found, step = model.initial(), model.run(1).dataset, 1e-5
    for name in names:
        weights = begin[name]
        descent = np.empty_like(weights)
        for i in range(weights.size):
            moved = [weights.copy(), weights.copy()]
            moved[0][i] += step
            moved[1][i] -= step
            losses = [model.run(0, state={name: w}).dataset.test_loss.item() for w in moved]
            descent[i] = (losses[1] - losses[0]) / (2 * step)
        change = found[name].values[0].ravel() - weights
        assert np.linalg.norm(change - descent) < 1e-6 * np.linalg.norm(descent), name


def learning_signal(steps_per_tau):
    """Change of all weights in one trial of 5 tau at a time step."""
    constants = rflo.Parameters(N=N, dt=10 * ms / steps_per_tau, eta_rec=1.0, eta_out=1.0)
    names = ("recurrent.w", "readout.w")
    model = rflo.build(constants, periodic(5 * steps_per_tau), record=names, target="numpy", seed=3)
    found, begin = model.run(1).dataset, model.initial()
    return np.concatenate([found[name].values.ravel() - begin[name] for name in names])


def test_smaller_steps_converge_on_the_differential_equations():
    signals = [learning_signal(steps) for steps in (10, 20, 40, 80)]
    gaps = [np.linalg.norm(fine - coarse) for coarse, fine in zip(signals, signals[1:], strict=False)]
    assert gaps[-1] < 0.05 * np.linalg.norm(signals[-1])
    # Euler's error is of first order: it halves with the step.
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.1)
    assert gaps[2] / gaps[1] == pytest.approx(0.5, abs=0.1)


SIGMA, UNITS = 3 * second**-0.5, 400
NOISY = rflo.Parameters(N=UNITS, sigma=SIGMA, g=0.0, h0=0.0, eta_rec=0.0, eta_out=0.0)


def test_noise_has_its_variance_and_its_seed():
    model = rflo.build(NOISY, periodic(201), FROZEN, readout_rule=FROZEN, record=("units.h",), target="numpy")
    h = model.run(1, seed=1).dataset["units.h"][0]
    settled = h.values[100:]  # ten time constants
    keep = 1 - 1 / TAU
    variance = float(SIGMA) ** 2 * 1e-3 / (1 - keep**2)  # of h' = keep h + sigma sqrt(dt) xi
    # About 400 units x 10 independent stretches of 2 tau: a standard error of 2 %.
    assert settled.var() == pytest.approx(variance, rel=0.1)
    neighbours = np.mean(settled[1:] * settled[:-1]) / settled.var()
    assert neighbours == pytest.approx(keep, abs=0.03)
    assert np.corrcoef(settled[:, 0], settled[:, 1])[0, 1] < 0.8
    np.testing.assert_array_equal(h, model.run(1, seed=1).dataset["units.h"][0])
    assert np.abs(h - model.run(1, seed=2).dataset["units.h"][0]).max() > 0.1


@pytest.fixture(scope="module")
def compiled():
    """A noisy net with input that learns online, compiled and in numpy."""
    parameters = replace(PARAMETERS, sigma=0.5 * second**-0.5)
    return [
        rflo.build(parameters, make_task(), update="online", record=WEIGHTS, target=target)
        for target in ("cpp", "numpy")
    ]


def test_compiled_equals_numpy(compiled):
    cpp, numpy = (model.run(TRIALS, seed=4).dataset for model in compiled)
    for name in cpp:
        np.testing.assert_allclose(cpp[name], numpy[name], rtol=0, atol=1e-12, err_msg=name)


def test_one_program_serves_other_nets(compiled):
    model, _ = compiled
    (whole,) = make_task().conditions
    shorter = Task(Condition(whole.target[:10], whole.drive[:10]))
    other = replace(PARAMETERS, sigma=0.5 * second**-0.5, eta_rec=0.0, tau=20 * ms, g=0.7)
    found = model.run(2, seed=4, parameters=other, task=shorter).dataset
    own = rflo.build(other, shorter, update="online", record=WEIGHTS, target="numpy")
    for name, values in own.run(2, seed=4).dataset.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=1e-12, err_msg=name)
    np.testing.assert_array_equal(found["recurrent.w"][0], found["recurrent.w"][1])
    assert found.step.size == 9


def test_bptt_compiled_equals_numpy():
    cpp, numpy = (
        rflo.build(PARAMETERS, make_task(), BPTT, record=WEIGHTS, target=target).run(TRIALS).dataset
        for target in ("cpp", "numpy")
    )
    for name in cpp:
        np.testing.assert_allclose(cpp[name], numpy[name], rtol=0, atol=1e-12, err_msg=name)


def test_bptt_can_be_cut_anywhere():
    model = rflo.build(PARAMETERS, make_task(), BPTT, target="numpy")
    counts, begin = model.counts(2), model.initial()
    whole = model.simulation.run(begin, counts=counts).state
    cuts = range(1, model.simulation.length(counts))
    assert len(cuts) == 2 * 5 + 3 - 1  # begin, run, turn, backward, end; then the test
    for cut in cuts:
        part = model.simulation.run(begin, stop=cut, counts=counts)
        rest = model.simulation.run(part.state, start=cut, counts=counts).state
        for name, values in whole.items():
            np.testing.assert_array_equal(rest[name], values, err_msg=f"{name}, cut at {cut}")


def test_single_precision_stays_near():
    double, single = (
        rflo.build(PARAMETERS, make_task(), target="numpy", dtype=dtype).run(TRIALS).dataset
        for dtype in ("float64", "float32")
    )
    assert single.loss.dtype == np.float32
    np.testing.assert_allclose(single.loss, double.loss, rtol=1e-5)


def test_frozen_projections_keep_their_weights():
    model = rflo.build(PARAMETERS, make_task(), FROZEN, readout_rule=DELTA, record=WEIGHTS, target="numpy")
    found, begin = model.run(TRIALS).dataset, model.initial()
    for name in ("recurrent", "afferent"):
        np.testing.assert_array_equal(found[f"{name}.w"][-1].values.ravel(), begin[f"{name}.w"])
    assert np.abs(found["readout.w"][-1].values.ravel() - begin["readout.w"]).max() > 1e-3


def test_initial_weights_have_the_papers_distributions():
    big = rflo.Parameters(N=400)
    w = rflo.state_to_weights(rflo.initial_values(big, make_task(), 0), 400)
    assert w["w_rec"].shape == (400, 400) and w["w_rec"].std() == pytest.approx(1.5 / 20, rel=0.02)
    assert w["w_in"].shape == (400, INPUTS) and 0.95 < np.abs(w["w_in"]).max() <= 1
    assert w["w_out"].shape == (OUTPUTS, 400) and 0.95 / 20 < np.abs(w["w_out"]).max() <= 1 / 20
    assert w["b"].shape == (400, OUTPUTS) and w["b"].std() == pytest.approx(1, rel=0.1)


def test_weights_go_into_the_state_and_back():
    rng = np.random.default_rng(0)
    shapes = {"w_rec": (N, N), "w_in": (N, 1), "w_out": (3, N), "b": (N, 3)}
    weights = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    back = rflo.state_to_weights(rflo.weights_to_state(**weights), N)
    for name in shapes:
        np.testing.assert_array_equal(back[name], weights[name])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"parameters": replace(PARAMETERS, N=7)}, "N is part of the compiled model 'rflo', which has 6. Got 7"),
        ({"parameters": replace(PARAMETERS, dt=2 * ms)}, "dt is part of the compiled model .* Got 2. ms"),
        ({"parameters": replace(PARAMETERS, sigma=SIGMA)}, "noisy is part of the compiled model .* False. Got True"),
        ({"task": make_task(SAMPLES + 1)}, "up to 25 samples, 25 samples of all conditions, 1 tests. Got .* 26 sam"),
        ({"task": make_task(inputs=0)}, "with 2 outputs, 2 inputs, 1 trials in the order.* Got 2 outputs, 0 inputs"),
    ],
)
def test_model_refuses_what_it_was_not_compiled_for(change, message):
    model = rflo.build(PARAMETERS, make_task(), target="numpy")
    with pytest.raises(InputError, match=message):
        model.initial(**change)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"N": 0}, "N should be a positive number of units. Got 0"),
        ({"tau": 10}, "tau should be a positive time such as 10\\*ms. Got 10"),
        ({"dt": 20 * ms}, "dt should be at most tau. Got dt=20. ms and tau=10. ms"),
        ({"sigma": -1 * second**-0.5}, "sigma should be at least 0"),
        ({"sigma": 1 * ms}, "per square root of a time"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(PARAMETERS, **change)


def test_unknown_record_is_refused():
    there = r"units.z: units.z is not there. There can be recorded: units.\(.*h, .*spikes\); .*readout.\(.*w"
    with pytest.raises(InputError, match=there):
        rflo.build(PARAMETERS, make_task(), record=["units.z"])


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-4)])
def test_benchmark_computes_its_step(dtype, tolerance):
    contender, expected = DenseRFLO(7, dtype, target="numpy"), NumpyRFLO(7, dtype)
    contender.time(PERIOD + 1)
    expected.run(2 * PERIOD)
    for name in STATE:
        assert contender.state[name].dtype == dtype
        np.testing.assert_allclose(contender.state[name], expected.state[name], rtol=0, atol=tolerance, err_msg=name)


def test_benchmark_measures_time_inside_the_program():
    contender = DenseRFLO(7, "float32")
    assert 1e-9 < contender.time(20 * PERIOD) < 1e-3
