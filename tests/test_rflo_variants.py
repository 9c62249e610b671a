"""The other rules of figure 2, and trials that differ, against the numpy oracle and loops written by hand."""

from dataclasses import replace

import numpy as np
import pytest
from oracles import rflo as oracle

from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.rules import BPTT, FROZEN, READOUT_ONLY, RECURRENT_ONLY, RFLO, dale
from neuroplast.tasks import Condition, Task
from neuroplast.trials import covering

N, INPUTS, OUTPUTS, TAU = 6, 2, 2, 10.0
ETA = (2.0, 4.0, 3.0)  # input, recurrent, output
PARAMETERS = rflo.Parameters(N=N, eta_in=ETA[0], eta_rec=ETA[1], eta_out=ETA[2], h0=0.3, q_lag=0)
WEIGHTS = ("recurrent.w", "afferent.w", "readout.w")
RECORD = (*WEIGHTS, "units.h", "outputs.y")
ORACLES = {"rflo": oracle.RFLO, "bptt": oracle.BPTT}


def condition(samples, seed=5, scored=None):
    rng = np.random.default_rng(seed)
    return Condition(rng.standard_normal((samples, OUTPUTS)), rng.standard_normal((samples, INPUTS)), scored)


def run(task, rule=RFLO, trials=3, parameters=PARAMETERS, target="numpy", **options):
    """Results with all weights after each trial, and the initial weights: oracle's and B."""
    model = rflo.build(parameters, task, rule, record=RECORD, target=target, **options)
    w = rflo.state_to_weights(model.initial(), N)
    return model.run(trials).dataset, oracle.Weights(w["w_in"], w["w_rec"], w["w_out"]), w["b"]


def one_trial(weights, b, given, rule, h0=None, eta=ETA):
    h0 = np.full(N, PARAMETERS.h0) if h0 is None else h0
    return oracle.run_trial(weights, b, given.drive, given.target, h0, TAU, eta, rule)


def assert_learned(found, expected):
    """All weights after each trial."""
    for name, ours in zip(("rec", "inp", "out"), WEIGHTS, strict=True):
        wanted = np.stack([getattr(weights, name).T for weights in expected])
        np.testing.assert_allclose(found[ours], wanted, rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("target", ["numpy", "cpp"])
@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
def test_trials_of_different_conditions_and_lengths(rule, target):
    conditions = [condition(samples, seed) for seed, samples in enumerate((12, 7, 20))]
    task = Task(conditions, order=[1, 0, 2, 1], tests=[2, 1])
    found, weights, b = run(task, rule, trials=6, target=target)
    expected, losses = [], []
    for trial in range(6):
        given = conditions[task.order[trial % 4]]
        weights, made = one_trial(weights, b, given, ORACLES[rule.name])
        expected.append(weights)
        losses.append(given.loss(made.y[1:]))
    assert_learned(found, expected)
    np.testing.assert_allclose(found.loss, losses, rtol=1e-12)
    for test, number in enumerate(task.tests):
        _, made = one_trial(weights, b, conditions[number], oracle.FROZEN)
        np.testing.assert_allclose(found.output[test].dropna("step"), made.y[1:], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.test_loss[test], conditions[number].loss(made.y[1:]), rtol=1e-12)
    assert dict(found.output.sizes) == {"test": 2, "step": 19, "channel": OUTPUTS}


@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
def test_weights_change_every_few_trials_by_the_sum(rule):
    given = condition(9)
    found, weights, b = run(Task(given), rule, trials=7, parameters=replace(PARAMETERS, every=3))
    expected, total = [], weights.zeros()
    for trial in range(7):
        after, _ = one_trial(weights, b, given, ORACLES[rule.name])
        total = total + after + weights.times(-1, -1, -1)
        if trial % 3 == 2:
            weights, total = weights + total, weights.zeros()
        expected.append(weights)
    assert np.abs(expected[-1].rec - expected[0].rec).max() > 1e-3
    assert_learned(found, expected)


def test_every_few_trials_cannot_be_online():
    with pytest.raises(InputError, match="every=3 trials needs update='trial'. Got update='online'"):
        run(Task(condition(9)), parameters=replace(PARAMETERS, every=3), update="online")


@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
def test_samples_that_are_not_scored_teach_nothing(rule):
    scored = np.arange(15) % 4 != 1
    found, weights, b = run(Task(condition(15, scored=scored)), rule, trials=1)
    # Where the output is free, a target that it meets is no error.
    met = condition(15)
    output = np.concatenate([np.zeros((1, OUTPUTS)), found["outputs.y"][0].values])
    met = Condition(np.where(scored[:, None], met.target, output), met.drive)
    expected, made = one_trial(weights, b, met, ORACLES[rule.name])
    assert_learned(found, [expected])
    assert found.loss.item() == pytest.approx(met.loss(made.y[1:]), rel=1e-12)
    assert abs(expected.rec - one_trial(weights, b, condition(15), ORACLES[rule.name])[0].rec).max() > 1e-3


def test_rates_can_be_carried_from_trial_to_trial():
    given = condition(9)
    found, weights, b = run(Task(given), trials=3, parameters=replace(PARAMETERS, carry=True))
    h, expected = None, []
    for _ in range(3):
        weights, made = one_trial(weights, b, given, oracle.RFLO, h)
        h = made.h[-1]
        expected.append(weights)
    assert_learned(found, expected)
    np.testing.assert_allclose(found["units.h"].values[-1, -1], h, rtol=0, atol=1e-12)


def test_recurrent_only_keeps_the_readout():
    given = condition(15)
    found, weights, b = run(Task(given), RECURRENT_ONLY)
    expected = []
    for _ in range(3):
        weights, _ = one_trial(weights, b, given, oracle.RFLO, eta=(*ETA[:2], 0.0))
        expected.append(weights)
    assert_learned(found, expected)


@pytest.mark.parametrize("update", ["trial", "online"])
def test_readout_only_feeds_the_output_back(update):
    """u = W h + W_in x + B y(k), y(0) = 0, and the delta rule; written out."""
    given = condition(15)
    found, weights, b = run(Task(given), READOUT_ONLY, trials=2, update=update)
    w_out, outputs = weights.out, []
    for _ in range(2):
        h, y, total = np.full(N, PARAMETERS.h0), np.zeros(OUTPUTS), np.zeros_like(w_out)
        for k in range(1, given.samples):
            u = weights.rec @ h + weights.inp @ given.drive[k] + b @ y
            h = h + (-h + np.tanh(u)) / TAU
            y = w_out @ h
            change = ETA[2] / given.samples * np.outer(given.target[k] - y, h)
            w_out, total = (w_out + change, total) if update == "online" else (w_out, total + change)
            outputs.append(y)
        w_out = w_out + total
    np.testing.assert_allclose(found["outputs.y"].values.reshape(-1, OUTPUTS), outputs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found["readout.w"][-1].values.T, w_out, rtol=0, atol=1e-12)
    for name, before in (("recurrent.w", weights.rec), ("afferent.w", weights.inp)):
        np.testing.assert_array_equal(found[name][-1].values.T, before)


SIGN = np.array([1, 1, 1, -1, -1, -1.0])


@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
def test_dale_clips_after_each_change(rule):
    given = condition(15)
    eta = (ETA[0], 40.0, ETA[2])
    found, weights, b = run(Task(given), dale(rule), trials=4, parameters=replace(PARAMETERS, eta_rec=eta[1]))
    np.testing.assert_array_equal(np.sign(weights.rec), np.broadcast_to(SIGN, (N, N)))
    expected = []
    for _ in range(4):
        weights, _ = one_trial(weights, b, given, ORACLES[rule.name], eta=eta)
        weights = oracle.Weights(weights.inp, SIGN * np.maximum(0, SIGN * weights.rec), weights.out)
        expected.append(weights)
    assert np.count_nonzero(expected[-1].rec == 0) > 2
    assert_learned(found, expected)


def test_dale_clips_after_each_step_online():
    """Trials of one step: then learning online and trial by trial are the same."""
    given = condition(2)
    constants = replace(PARAMETERS, eta_rec=60.0)
    each_trial, weights, _ = run(Task(given), dale(RFLO), trials=5, parameters=constants)
    online, _, _ = run(Task(given), dale(RFLO), trials=5, parameters=constants, update="online")
    np.testing.assert_allclose(online["recurrent.w"], each_trial["recurrent.w"], rtol=0, atol=1e-12)
    assert np.count_nonzero(online["recurrent.w"][-1] == 0) > 0
    longer, _, _ = run(Task(condition(15)), dale(RFLO), parameters=constants, update="online")
    assert (longer["recurrent.w"][-1].values.T * SIGN >= 0).all() and (longer["recurrent.w"][-1] == 0).any()


def test_dale_keeps_the_sizes_of_the_initial_weights():
    _, free, _ = run(Task(condition(2)), trials=0)
    _, constrained, _ = run(Task(condition(2)), dale(FROZEN), trials=0)
    np.testing.assert_array_equal(abs(free.rec), abs(constrained.rec))
    np.testing.assert_array_equal(free.out, constrained.out)


def test_gain_of_the_readout():
    _, one, _ = run(Task(condition(2)), trials=0)
    _, half, _ = run(Task(condition(2)), trials=0, parameters=replace(PARAMETERS, g_out=0.5))
    np.testing.assert_allclose(half.out, one.out / 2, rtol=1e-15)


def test_one_program_serves_tasks_that_it_covers():
    short = Task([condition(12), condition(7, 1), condition(9, 2)], order=[0, 2, 1, 0], tests=[1])
    long = Task([condition(20, 3)], order=[0, 0, 0, 0], tests=[0, 0, 0])
    model = rflo.build(PARAMETERS, covering([short, long]), record=WEIGHTS, target="numpy")
    for task in (short, long):
        found = model.run(5, task=task, seed=2).dataset
        own = rflo.build(PARAMETERS, task, record=WEIGHTS, target="numpy").run(5, seed=2).dataset
        for name in own:
            np.testing.assert_array_equal(found[name], own[name], err_msg=name)


def test_a_job_goes_on_with_given_weights():
    model = rflo.build(PARAMETERS, Task(condition(9)), target="numpy")
    weights = np.arange(N * N) / 100
    job = model.job("net", {"net": 0}, 3, 1, state={"recurrent.w": weights})
    np.testing.assert_array_equal(job.state["recurrent.w"], weights)
    np.testing.assert_array_equal(job.state["readout.w"], model.initial(1)["readout.w"])
