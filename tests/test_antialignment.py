"""The mean flow of linear PEPITA against samples of the rule, its solution against small steps and closed forms."""

import numpy as np
import pytest
from scipy.linalg import expm

from neuroplast.analysis import antialignment
from neuroplast.analysis.antialignment import flow, integrate, overlap
from neuroplast.errors import InputError

INPUTS, HIDDEN, OUTPUTS = 5, 4, 3
CASES = [(sign, pair) for sign in (1, -1) for pair in ("modulated", "standard", ("modulated", "standard"))]


def network(seed=0, feedback=0.3):
    rng = np.random.default_rng(seed)
    shapes = [(INPUTS, HIDDEN), (HIDDEN, OUTPUTS), (OUTPUTS, INPUTS), (INPUTS, OUTPUTS)]
    sizes = [0.5, 0.5, feedback, 0.7]
    return [size * rng.standard_normal(shape) for size, shape in zip(sizes, shapes, strict=True)]


def paper(samples, w1, w2, feedback, teacher, sign, pair):
    """Update for each sample as the paper writes it, with column vectors and W_l from columns to rows."""
    W1, W2, F, T, x = w1.T, w2.T, feedback.T, teacher.T, samples[:, :, None]
    h = W1 @ x
    e = W2 @ h - T @ x
    modulated = x + sign * F @ e
    h_m = W1 @ modulated
    e_m = W2 @ h_m - T @ x
    first, second = (pair, pair) if isinstance(pair, str) else pair
    dW1 = -(h - h_m) @ (modulated if first == "modulated" else x).swapaxes(1, 2)
    dW2 = -e_m @ (h_m if second == "modulated" else h).swapaxes(1, 2)
    return dW1.swapaxes(1, 2), dW2.swapaxes(1, 2)


@pytest.mark.parametrize(("sign", "pair"), CASES, ids=str)
def test_the_mean_over_inputs(sign, pair):
    """Exactly: a rule that is quadratic in x has the same mean over any inputs of mean 0 and covariance 1.

    Such are +-sqrt(N) times the unit vectors.
    """
    given = network()
    axes = np.sqrt(INPUTS) * np.concatenate([np.eye(INPUTS), -np.eye(INPUTS)])
    updates = paper(axes, *given, sign, pair)
    for found, wanted in zip(flow(*given, sign=sign, presynaptic=pair), updates, strict=True):
        np.testing.assert_allclose(found, np.mean(wanted, axis=0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("pair", ["modulated", "standard"])
def test_the_mean_over_normal_inputs(pair):
    """20,000 random samples: each mean lies within a few of its own standard errors."""
    given = network(1)
    samples = np.random.default_rng(2).standard_normal((20000, INPUTS))
    for found, made in zip(flow(*given, presynaptic=pair), paper(samples, *given, 1, pair), strict=True):
        error = made.std(axis=0) / np.sqrt(len(samples))
        z = (made.mean(axis=0) - found) / error
        assert np.abs(z).max() < 4 and np.sqrt(np.mean(z**2)) < 1.5
        assert np.abs(found).max() > 30 * error.max()  # a wrong sign or term would show


def test_the_papers_equations():
    """(20) and (21), presynaptic activity of the standard pass: dW1 = eta W1 F E, dW2 = -eta (E + W2 W1 F E) W1^T."""
    w1, w2, feedback, teacher = network(3)
    W1, W2, F = w1.T, w2.T, feedback.T
    E = W2 @ W1 - teacher.T
    dw1, dw2 = flow(w1, w2, feedback, teacher, presynaptic="standard")
    np.testing.assert_allclose(dw1.T, W1 @ F @ E, rtol=1e-12)
    np.testing.assert_allclose(dw2.T, -(E + W2 @ W1 @ F @ E) @ W1.T, rtol=1e-12)


def test_without_feedback_the_readout_learns_by_gradient_descent():
    """F = 0: w1 stands still, and w2 decays to its least-squares solution at the rates of w1^T w1."""
    w1, w2, _, teacher = network(4)
    found = integrate(w1, w2, np.zeros((OUTPUTS, INPUTS)), teacher, np.linspace(0, 20, 9), eta=0.5)
    np.testing.assert_array_equal(found["w1"], np.broadcast_to(w1, found["w1"].shape))
    values, axes = np.linalg.eigh(w1.T @ w1)
    best = np.linalg.solve(w1.T @ w1, w1.T @ teacher)
    for t, w in zip(np.linspace(0, 20, 9), found["w2"], strict=True):
        left = axes @ np.diag(np.exp(-0.5 * t * values)) @ axes.T
        np.testing.assert_allclose(w, best + left @ (w2 - best), rtol=1e-6, atol=1e-7)
    assert np.isnan(found["angle"]).all() and (np.diff(found["loss"]) < 0).all()


@pytest.mark.parametrize(("sign", "pair"), CASES, ids=str)
def test_the_solution_is_that_of_small_steps(sign, pair):
    w1, w2, feedback, teacher = given = network(5, feedback=0.1)
    times = np.array([0.0, 1.0, 3.0])
    found = integrate(*given, times, eta=0.2, sign=sign, presynaptic=pair)

    def euler(steps):
        a, b, kept = w1, w2, [(w1, w2)]
        for span in np.diff(times):
            for _ in range(steps):
                da, db = flow(a, b, feedback, teacher, sign=sign, presynaptic=pair)
                a, b = a + 0.2 * span / steps * da, b + 0.2 * span / steps * db
            kept.append((a, b))
        return (np.stack(part) for part in zip(*kept, strict=True))

    # Richardson: what is left of the error of first order is of second.
    for name, once, twice in zip(("w1", "w2"), euler(500), euler(1000), strict=True):
        np.testing.assert_allclose(found[name], 2 * twice - once, rtol=1e-5, atol=1e-6)


def test_what_is_measured_along_the_way():
    w1, w2, feedback, teacher = given = network(6)
    times = np.linspace(0, 2, 2001)
    found = integrate(*given, times, eta=0.3)
    product = found["w1"] @ found["w2"]
    np.testing.assert_allclose(found["overlap"], np.einsum("tio,oi->t", product, feedback), rtol=1e-12)
    slope = (found["overlap"][2:] - found["overlap"][:-2]) / (times[2:] - times[:-2])
    np.testing.assert_allclose(found["overlap_rate"][1:-1], slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["norm1"] ** 2, np.sum(found["w1"] ** 2, axis=(1, 2)))
    cosine = found["overlap"] / np.linalg.norm(product, axis=(1, 2)) / np.linalg.norm(feedback)
    np.testing.assert_allclose(np.cos(np.radians(found["angle"])), cosine, atol=1e-9)
    assert found["overlap_rate"][0] == pytest.approx(0.3 * overlap(w1, w2, feedback, *flow(*given)))
    # The loss is the mean of |e|^2/2 over x ~ N(0, I).
    np.testing.assert_allclose(found["loss"], 0.5 * np.sum((product - teacher) ** 2, axis=(1, 2)))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_proof(sign):
    """First w1 learns with w2 = 0, so that w1 = exp(-t T F) w1(0); then w2 learns with w1 as it is.

    At the turn the overlap begins to change at minus half the rate at which the squared norm of w1 grew.
    """
    w1, _, feedback, teacher = network(7)
    nothing = np.zeros((HIDDEN, OUTPUTS))
    times = np.linspace(0, 6, 6001)
    found = integrate(w1, nothing, feedback, teacher, times, eta=(0.5, 0), sign=sign, presynaptic="standard")
    last = expm(-sign * 0.5 * times[-1] * teacher @ feedback) @ w1
    np.testing.assert_allclose(found["w1"][-1], last, rtol=1e-5, atol=1e-6)
    assert not found["w2"].any() and found["norm1"][-1] > found["norm1"][-2]
    growth = np.gradient(found["norm1"] ** 2, times)[-2]
    after = integrate(last, nothing, feedback, teacher, [0, 0.01], eta=(0, 0.5), sign=sign, presynaptic="standard")
    assert after["overlap_rate"][0] == pytest.approx(-sign * growth / 2, rel=1e-2)
    assert sign * after["overlap_rate"][0] < 0 and sign * (after["angle"][1] - 90) > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"w2": np.ones((3, 3))}, r"w1 \(N_in, N_hidden\).* Got \(5, 4\), \(3, 3\), \(3, 5\) and \(5, 3\)"),
        ({"feedback": np.ones((5, 3))}, r"Got \(5, 4\), \(4, 3\), \(5, 3\) and \(5, 3\)"),
        ({"sign": 0}, "sign should be 1 or -1. Got 0"),
        ({"presynaptic": "both"}, "presynaptic should be one of modulated, standard, or a pair of these. Got 'both'"),
        ({"presynaptic": ["modulated"]}, r"Got \['modulated'\]"),
        ({"times": [0, 0]}, "times should be two or more increasing numbers"),
        (
            {"times": [0.0, 1e3], "w2": 9 * np.ones((4, 3)), "method": "LSODA"},
            "without bounds at t = 0.0847, before",
        ),
        ({"times": [0.0, 1e3], "w2": 9 * np.ones((4, 3))}, "DOP853 gets to t = .* of 1000 in 200 evaluations"),
    ],
)
def test_what_cannot_be_solved_is_refused(change, words, monkeypatch):
    monkeypatch.setattr(antialignment, "EVALUATIONS", 200 if "method" not in change else 10**6)
    given = dict(zip(("w1", "w2", "feedback", "teacher"), network(8), strict=True)) | {"times": [0.0, 1.0]}
    with pytest.raises(InputError, match=words):
        integrate(**{**given, **change})
