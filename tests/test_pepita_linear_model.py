"""The linear network of the antialignment proof against a loop over its inputs and against the mean flow."""

import numpy as np
import pytest
from brian2 import ms

from neuroplast.analysis import antialignment
from neuroplast.errors import InputError
from neuroplast.models import pepita_linear as linear
from neuroplast.rules import BP, ERROR_SIGN, PEPITA, PEPITA_STANDARD, RFLO

SIZES = {"inputs": 6, "hidden": 4, "outputs": 3, "batch": 5, "eta": 0.1, "f_scale": 0.5, "every": 1}
RULES = {"modulated": PEPITA, "standard": PEPITA_STANDARD}
TRIALS = 4


def matrices(state, p):
    """W_1, W_2, F and T as the paper has them: rows are postsynaptic."""
    shapes = {"w1.w": (p.inputs, p.hidden), "feedback.f": (p.outputs, p.inputs), "teacher.w": (p.inputs, p.outputs)}
    W1, F, T = (np.reshape(state[name], shape).T for name, shape in shapes.items())
    return W1, np.zeros((p.outputs, p.hidden)), F, T


def loop(W1, W2, F, T, inputs, eta, modulated):
    """Weights after each batch of inputs (trials, inputs, copies), one input after the other."""
    found = []
    for batch in inputs:
        G1, G2 = np.zeros_like(W1), np.zeros_like(W2)
        for x in batch.T:
            h = W1 @ x
            e = W2 @ h - T @ x
            x_m = x + F @ e
            h_m = W1 @ x_m
            G1 += np.outer(h - h_m, x_m if modulated else x)
            G2 += np.outer(W2 @ h_m - T @ x, h_m if modulated else h)
        W1, W2 = W1 - eta * G1 / batch.shape[1], W2 - eta * G2 / batch.shape[1]
        found.append((W1, W2))
    return found


@pytest.mark.parametrize("f_scale", [0.5, -0.5])
@pytest.mark.parametrize("target", ["numpy", "cpp"])
@pytest.mark.parametrize("presynaptic", list(RULES))
def test_trials_are_those_of_a_loop_over_inputs(presynaptic, target, f_scale):
    p = linear.Parameters(**SIZES)
    model = linear.build(p, RULES[presynaptic], seed=3, target=target, record=["inputs.x:at=trial"])
    chosen = linear.Parameters(**SIZES | {"f_scale": f_scale})
    found = model.run(TRIALS, parameters=chosen).dataset
    W1, W2, F, T = matrices(model.initial(), p)
    F = F if f_scale > 0 else -F  # the same weights, the other sign
    inputs = found["inputs.x"].values.reshape(TRIALS, p.inputs, p.batch)
    for trial, (one, two) in enumerate(loop(W1, W2, F, T, inputs, p.eta, presynaptic == "modulated")):
        np.testing.assert_allclose(found.w1[trial], one.T, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.w2[trial], two.T, rtol=0, atol=1e-12)
    assert abs(found.w1[-1] - W1.T).max() > 0.01 and abs(found.w2[-1]).max() > 0.01


@pytest.mark.parametrize("presynaptic", list(RULES))
def test_mean_change_is_the_flow(presynaptic):
    # A batch so large that its mean is that of all inputs, to a few standard errors.
    p = linear.Parameters(**SIZES | {"batch": 100_000, "eta": 1.0, "f_scale": 0.5})
    model = linear.build(p, RULES[presynaptic], seed=3, target="numpy")
    begin = model.initial()
    W2 = np.random.default_rng(0).normal(0, 0.5, (p.hidden, p.outputs))
    found = model.run(1, state={"w2.w": W2}).dataset
    W1, _, F, T = matrices(begin, p)
    expected = antialignment.flow(W1.T, W2, F.T, T.T, presynaptic=presynaptic)
    for ours, first, theirs in zip((found.w1[0], found.w2[0]), (W1.T, W2), expected, strict=True):
        np.testing.assert_allclose(ours - first, theirs, rtol=0, atol=0.02)
    other = antialignment.flow(W1.T, W2, F.T, T.T, presynaptic={"modulated": "standard"}.get(presynaptic, "modulated"))
    assert abs(other[0] - expected[0]).max() > 0.1


def test_inputs_are_standard_normal_and_new_each_time():
    model = linear.build(linear.Parameters(**SIZES), seed=1, target="numpy", record=["inputs.x:at=trial"])
    x = model.run(100).dataset["inputs.x"].values.reshape(100, -1)
    assert abs(x.mean()) < 0.06 and abs(x.var() - 1) < 0.08  # of 3000 values
    assert len(np.unique(x)) == x.size
    other = model.run(1, seed=2).dataset["inputs.x"].values.ravel()
    assert not np.isin(other, x).any()


def test_weights_learn_in_turn():
    p = linear.Parameters(**SIZES | {"first": 2, "second": 3})
    found = linear.build(p, target="numpy").run(5).dataset
    moves = [(abs(w.diff("trial")) > 0).any(set(w.dims) - {"trial"}).values.tolist() for w in (found.w1, found.w2)]
    # From trial to trial, from the second one on: W_1 in the trials 0 and 1, W_2 from trial 3 on.
    assert moves == [[True, False, False, False], [False, False, True, True]]
    assert not found.w2[0].any()


def test_snapshots_are_every_so_many_trials():
    found = linear.build(linear.Parameters(**SIZES | {"every": 3}), target="numpy").run(7).dataset
    assert found.trial.values.tolist() == [2, 5]


@pytest.mark.parametrize("rule", [BP, RFLO, ERROR_SIGN])
def test_rules_that_do_not_add_the_error_to_the_input_are_refused(rule):
    with pytest.raises(InputError, match=f"pepita and pepita_standard. Got '{rule.name}'"):
        linear.build(linear.Parameters(), rule)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch should be at least 1. Got 0"),
        ({"hidden": 0}, "hidden should be at least 1"),
        ({"every": 0}, "every should be at least 1"),
        ({"tau": 10}, "tau"),
        ({"tau": 0 * ms}, "tau"),
    ],
)
def test_bad_parameters_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        linear.Parameters(**wrong)


def test_a_compiled_model_keeps_its_sizes():
    model = linear.build(linear.Parameters(**SIZES), target="numpy")
    with pytest.raises(InputError, match="hidden is part of the compiled model 'pepita_linear', which has 4. Got 7"):
        model.run(1, parameters=linear.Parameters(**SIZES | {"hidden": 7}))


def test_a_run_in_pieces_is_the_whole_run():
    model = linear.build(linear.Parameters(**SIZES), seed=2, target="numpy")
    begin, counts = model.initial(), model.counts(3)
    length = model.simulation.build().length(counts)
    whole, state = model.simulation.run(begin, seed=2, counts=counts).state, begin
    for start in range(length):  # cut before every event and phase
        state = model.simulation.run(state, start=start, stop=start + 1, seed=2, counts=counts).state
    for name in whole:
        np.testing.assert_array_equal(state[name], whole[name], err_msg=name)
