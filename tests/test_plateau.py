"""Slowness against curves whose best fit is known, and against a search over slownesses."""

import numpy as np
import pytest

from neuroplast.analysis.plateau import slowness
from neuroplast.errors import InputError


def best_is(s, epochs=59, top=0.9):
    """A curve that `s` fits best: the plateau is reached in the last epoch, and the first makes up for it.

    With residuals d_n from ``top*n/(s + n)`` the sum of ``d_n*n/(s + n)**2`` is zero, the condition of least squares.
    """
    n = np.arange(1, epochs + 1.0)
    curve = top * n / (s + n)
    last = top - curve[-1]
    curve[-1] = top
    curve[0] -= last * epochs / (s + epochs) ** 2 * (s + 1) ** 2
    return curve


@pytest.mark.parametrize("s", [0.02, 0.3, 1.3, 4.0])
@pytest.mark.parametrize("unit", [1, 100])
def test_the_best_fit(s, unit):
    found, top = slowness(unit * best_is(s), unit * 0.1)
    assert found == pytest.approx(s, rel=1e-5) and top == pytest.approx(0.9 * unit)


def test_least_of_all_slownesses_and_only_the_window():
    rng = np.random.default_rng(0)
    n = np.arange(1.0, 101)
    curve = 0.5 * n / (0.8 + n) + 0.01 * rng.standard_normal(100)
    curve[59:] += 0.3  # after the window, which ends with epoch 59
    tries = np.linspace(0.1, 3, 29001)
    window = np.concatenate([[0.1], curve[:59]])
    n = np.arange(60.0)
    cost = [np.sum((window.max() * n / (s + n) - window) ** 2) for s in tries]
    found, top = slowness(curve, 0.1)
    assert top == window.max() and found == pytest.approx(tries[np.argmin(cost)], abs=1e-4)


def test_half_of_the_plateau():
    """As the paper says it: what it takes to reach half of the maximum."""
    s, top = slowness(best_is(2.0, epochs=9), 0.0, points=10)
    assert top * s / (s + s) == pytest.approx(top / 2) and s == pytest.approx(2.0, rel=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: slowness([0.5, 0.6], 0.1), "at least 3 epochs and 4 points. Got 2 epochs, points=60"),
        (lambda: slowness(np.ones(9), 0.1, points=3), "Got 9 epochs, points=3"),
        (lambda: slowness(np.ones((9, 2)), 0.1), r"one curve, of shape \(epochs,\). Got shape \(9, 2\)"),
        (lambda: slowness([0.5, np.nan, 0.6], 0.1), "the accuracy after epoch 2 is nan"),
        (lambda: slowness([0.5, 0.5, 0.6], np.nan), "slowness: chance is nan"),
        (lambda: slowness([0.0, 0.0, 0.0], 0.0), "never above 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
