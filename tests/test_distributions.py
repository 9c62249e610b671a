"""Likelihoods of the normal and of Student's t against scipy's, and degrees of freedom that are known."""

import numpy as np
import pytest
from scipy import stats

from neuroplast.analysis.distributions import normal_or_student
from neuroplast.errors import InputError


def quantiles(distribution, n=20001):
    """A sample without chance."""
    return distribution.ppf((np.arange(n) + 0.5) / n)


def test_normal_weights_are_normal():
    found = normal_or_student(quantiles(stats.norm(0.01, 0.05)).reshape(3, -1))
    assert found["mean"] == pytest.approx(0.01) and found["sd"] == pytest.approx(0.05, rel=1e-3)
    # Quantiles lack the outermost tails: one parameter more is not worth it.
    assert found["df"] == pytest.approx(1e6) and found["aic"] == pytest.approx(-2, abs=0.1)
    assert found["kurtosis"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("df", [1.5, 3, 8])
def test_degrees_of_freedom(df):
    found = normal_or_student(quantiles(stats.t(df, -0.2, 0.003)))
    assert found["df"] == pytest.approx(df, rel=0.01)
    assert found["loc"] == pytest.approx(-0.2) and found["scale"] == pytest.approx(0.003, rel=1e-3)
    assert found["aic"] > 100 and found["kurtosis"] > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_likelihoods_are_those_of_scipy_and_none_is_larger(seed):
    x = 0.1 * np.random.default_rng(seed).standard_t(3 + 4 * seed, 2000) + 1
    found = normal_or_student(x)
    normal = stats.norm.logpdf(x, *stats.norm.fit(x)).sum()
    ours = stats.t.logpdf(x, found["df"], found["loc"], found["scale"]).sum()
    theirs = stats.t.logpdf(x, *stats.t.fit((x - 1) * 10)[:1], 1, 0.1).sum(), stats.t.logpdf(x, *stats.t.fit(x)).sum()
    assert found["normal"] == pytest.approx(normal) and found["student"] == pytest.approx(ours)
    assert ours >= max(theirs) - 1e-6
    assert found["df"] == pytest.approx(stats.t.fit((x - 1) * 10)[0], rel=1e-2)
    assert found["aic"] == pytest.approx(2 * (ours - normal) - 2)
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(x))


def test_where_the_slope_of_the_likelihood_is_zero():
    x = np.random.default_rng(5).standard_t(4, 3000)
    found = normal_or_student(x)
    best = np.array([found["df"], found["loc"], found["scale"]])
    for i, step in enumerate(1e-4 * np.eye(3)):
        up, down = (stats.t.logpdf(x, *(best + sign * step)).mean() for sign in (1, -1))
        assert (up - down) / 2e-4 == pytest.approx(0, abs=1e-6), ("df", "loc", "scale")[i]


def test_the_unit_does_not_matter():
    x = np.random.default_rng(1).standard_t(5, 1000)
    one, other = normal_or_student(x), normal_or_student((1e-3 * x).astype(np.float32))
    assert other["df"] == pytest.approx(one["df"], rel=1e-4) and other["aic"] == pytest.approx(one["aic"], rel=1e-4)
    assert other["scale"] == pytest.approx(1e-3 * one["scale"], rel=1e-4)
    assert other["student"] == pytest.approx(one["student"] + 1000 * np.log(1e3), rel=1e-4)


def test_samples_of_large_arrays_are_always_the_same():
    x = np.random.default_rng(2).standard_t(3, 5000)
    one, other = normal_or_student(x, most=1000), normal_or_student(x, most=1000)
    assert one == other and one["values"] == 1000 and normal_or_student(x)["values"] == 5000
    assert one["mean"] == pytest.approx(x.mean(), abs=0.2) and one["mean"] != x.mean()
    assert normal_or_student(x, most=5000) == normal_or_student(x)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(19), "at least 20 values. Got 19"),
        (np.array([*np.arange(30.0), np.nan, np.inf]), "2 of 32 weights are not finite"),
        (np.zeros(100), "half of the weights are 0. Give only those of pairs that are connected"),
        (np.concatenate([np.zeros(80), np.arange(20.0)]), "half of the weights are 0"),
    ],
)
def test_what_has_no_distribution_is_refused(weights, words):
    with pytest.raises(InputError, match=words):
        normal_or_student(weights)
