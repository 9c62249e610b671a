"""Lyapunov exponents against the closed form of a linear network and a second trajectory."""

import numpy as np
import pytest

from neuroplast.analysis.lyapunov import exponents, growth
from neuroplast.errors import InputError


def test_near_zero_the_exponent_is_the_logarithm_of_the_dominant_eigenvalue():
    """Without a current the state stays at zero, where the network is linear."""
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    w = q @ np.diag([0.8, 0.5, 0.4, -0.3, 0.2, 0.1]) @ q.T
    maximal, _ = exponents(w, np.zeros(6), rng.normal(size=6), steps=400)
    assert maximal == pytest.approx(np.log(0.8), abs=1e-12)


def test_growth_is_that_of_two_trajectories_close_by():
    rng = np.random.default_rng(1)
    w, c, p = 1.5 * rng.normal(size=(5, 5)) / 5**0.5, rng.normal(size=5), rng.normal(size=5)
    found = growth(w, c, p, 6)
    apart = 1e-7 * p / np.linalg.norm(p)
    one, other = np.zeros(5), apart
    for step in range(6):
        before = np.linalg.norm(other - one)
        one, other = np.tanh(one @ w + c), np.tanh(other @ w + c)
        assert found[step] == pytest.approx(np.log(np.linalg.norm(other - one) / before), abs=1e-5)


def test_samples_are_computed_side_by_side():
    rng = np.random.default_rng(2)
    w, c, p = rng.normal(size=(4, 4)), rng.normal(size=(3, 4)), rng.normal(size=4)
    together = growth(w, c, p, 5)
    np.testing.assert_allclose(together, np.stack([growth(w, row, p, 5) for row in c], axis=1), rtol=0, atol=1e-14)


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="shape"):
        growth(np.eye(3), np.zeros(2), np.ones(3), 4)
    with pytest.raises(InputError, match="not zero"):
        growth(np.eye(3), np.zeros(3), np.zeros(3), 4)
    with pytest.raises(InputError, match="from 1 to 4"):
        exponents(np.eye(3), np.zeros(3), np.ones(3), steps=4, first=5)
