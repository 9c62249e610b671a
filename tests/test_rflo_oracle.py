"""The numpy oracle of RFLO against the authors' code, finite differences and a case worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from oracles import rflo as oracle
from oracles.rflo import BPTT, FROZEN, LOCAL_SYMMETRIC, RANDOM_NONLOCAL, RFLO, RTRL, Rule, Weights

REFERENCE = np.load(Path(__file__).parent / "data" / "rflo_small.npz")
TAU = float(REFERENCE["tau"])


def start():
    """Initial weights of the reference file, and (B, x, target, h0, tau) as `run_trial` takes them."""
    weights = Weights(REFERENCE["w_in0"], REFERENCE["w_rec0"], REFERENCE["w_out0"])
    return weights, tuple(REFERENCE[name] for name in ("B", "x", "y_target", "h0")) + (TAU,)


def assert_weights(found, expected, atol):
    for name in ("inp", "rec", "out"):
        matrix, wanted = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(matrix, wanted, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "name, rule, online",
    [
        ("rflo_batch", RFLO, False),
        ("rflo_online", RFLO, True),
        ("bptt_batch", BPTT, False),
        ("rtrl_batch", RTRL, False),
        ("rtrl_online", RTRL, True),
        ("None_batch", FROZEN, False),
    ],
)
def test_authors_code(name, rule, online):
    weights, given = start()
    eta, trials = REFERENCE["eta_in_rec_out"], int(REFERENCE["K"])
    learned = oracle.train(weights, *given, eta, rule.as_in_notebook(), trials, online)
    for i, (weights, trial) in enumerate(learned):
        expected = {key: REFERENCE[f"{name}_{key}"][i] for key in ("u", "h", "y", "w_in", "w_rec", "w_out")}
        for key in ("u", "h", "y"):
            np.testing.assert_allclose(getattr(trial, key), expected[key], rtol=0, atol=1e-12, err_msg=key)
        assert_weights(weights, Weights(expected["w_in"], expected["w_rec"], expected["w_out"]), 1e-12)


@pytest.mark.parametrize(
    "name, rule",
    [
        ("WoutT_local", LOCAL_SYMMETRIC),
        ("WoutT_nonlocal", BPTT),
        ("WoutT_nonlocal", RTRL),
        ("B_local", RFLO),
        ("B_nonlocal", RANDOM_NONLOCAL),
        ("B_nonlocal", Rule("rtrl", "B")),
    ],
)
def test_exact_forms(name, rule):
    weights, given = start()
    change = Weights(*(REFERENCE[f"exact_{name}_dw_{key}"] for key in ("in", "rec", "out")))
    learned, _ = oracle.run_trial(weights, *given, (1, 1, 1), rule)
    assert_weights(learned, weights + change, 1e-12)


@pytest.mark.parametrize("rule", [BPTT, RTRL])
@pytest.mark.parametrize("tau", [3.0, 10.0])
def test_gradient_equals_finite_differences(rule, tau):
    rng = np.random.default_rng(3)
    N, T = 5, 12
    weights = Weights(rng.normal(size=(N, 2)), rng.normal(size=(N, N)), rng.normal(size=(3, N)))
    x, target, h0 = rng.normal(size=(T, 2)), rng.normal(size=(T, 3)), rng.normal(size=N)
    learned, _ = oracle.run_trial(weights, np.zeros((N, 3)), x, target, h0, tau, (1, 1, 1), rule)
    step = 1e-5
    for name in ("inp", "rec", "out"):
        matrix = getattr(weights, name)
        downhill = np.empty_like(matrix)
        for index in np.ndindex(matrix.shape):
            kept, losses = matrix[index], []
            for value in (kept - step, kept + step):
                matrix[index] = value
                losses.append(oracle.gradient_loss(weights, x, target, h0, tau))
            matrix[index] = kept
            downhill[index] = (losses[0] - losses[1]) / (2 * step)
        found = getattr(learned, name) - matrix
        assert np.linalg.norm(found - downhill) < 1e-8 * np.linalg.norm(downhill), name


def one_unit(rule, x0=3.0):
    """Change of one unit's weights over T = 2 steps, as (input, recurrent, output).

    With W = 0, W_in = W_out = 1, B = -2, tau = 2 and h0 = 1/2, x(1) = artanh(1/2) gives h(1) = 1/2 and
    phi' = 3/4; the target 3/2 makes the error 1, and eta = T makes every rate 1.
    """
    one = np.ones((1, 1))
    weights = Weights(one, 0 * one, one)
    x, target = np.array([[x0], [np.arctanh(0.5)]]), np.array([[0.0], [1.5]])
    learned, _ = oracle.run_trial(weights, -2 * one, x, target, np.array([0.5]), 2.0, (2, 2, 2), rule)
    return learned.inp.item() - 1, learned.rec.item(), learned.out.item() - 1


def test_one_unit_by_hand():
    p = 0.75 * 0.5 / 2
    q = 0.75 * np.arctanh(0.5) / 2
    np.testing.assert_allclose(one_unit(RFLO), (-2 * q, -2 * p, 0.5), rtol=1e-14)
    np.testing.assert_allclose(one_unit(BPTT), (q, p, 0.5), rtol=1e-14)
    lagged = 0.75 * 3.0 / 2
    np.testing.assert_allclose(one_unit(Rule("local", "B", q_lag=1)), (-2 * lagged, -2 * p, 0.5), rtol=1e-14)
    started = lagged + (1 - 1 / 2) * 3.0 / 2
    np.testing.assert_allclose(
        one_unit(Rule("local", "B", q_lag=1, q_start=True)), (-2 * started, -2 * p, 0.5), rtol=1e-14
    )


def test_guarded_slope_overestimates_as_the_spec_says():
    u = np.array([1.0, 2.0, 3.0])
    excess = oracle.slope(u, guarded=True) / oracle.slope(u) - 1
    np.testing.assert_allclose(excess, [0.005, 0.05, 0.19], rtol=0.1)


def test_loss_counts_the_silent_first_step():
    trial = oracle.Trial(np.zeros((2, 1)), np.zeros((2, 1)), np.array([[0.0], [1.0]]))
    assert trial.loss(np.array([[2.0], [4.0]])) == 0.5 * (4 + 9) / 2


def test_bptt_cannot_be_online():
    weights, given = start()
    with pytest.raises(ValueError, match="whole trial"):
        oracle.run_trial(weights, *given, (1, 1, 1), BPTT, online=True)
