"""Paired comparisons against permutations gone through one by one, closed forms and scipy."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from neuroplast.analysis.paired import compare
from neuroplast.errors import InputError

BEFORE = np.random.default_rng(0).standard_normal(10)


def test_ten_differences_of_one_sign():
    """The two of 2^10 orders of signs that are as extreme."""
    found = compare(BEFORE + np.linspace(1, 2, 10), BEFORE)
    assert found.median == pytest.approx(1.5) and found.mean == pytest.approx(1.5)
    assert found.wilcoxon == pytest.approx(2 / 2**10) and found.exact == 2 / 2**10 == found.least
    assert (found.n, found.above, found.below) == (10, 10, 0)


def test_five_pairs():
    difference = np.array([1.0, 2.0, 0.5, 1.5, 1.0])
    found = compare(BEFORE[:5] + difference, BEFORE[:5])
    assert found.wilcoxon == found.exact == found.least == 0.0625
    # t = mean/(sd/sqrt(5)) = 1.2/(0.5701/2.236) with 4 degrees of freedom
    assert found.mean == pytest.approx(1.2) and found.sd == pytest.approx(np.sqrt(0.325))
    t = 1.2 / np.sqrt(0.325 / 5)
    # Distribution function of Student's t with 4 degrees of freedom in closed form.
    y = t / np.sqrt(t**2 + 4)
    assert found.t == pytest.approx(1 - 1.5 * y * (1 - y**2 / 3), rel=1e-9)
    assert found.text == (
        "+1.2 ± 0.57 (n = 5, 5 above, 0 below), p = 0.0093 (paired t), 0.062 (exact; 0.062 is the least with n = 5)"
    )


@pytest.mark.parametrize("n", [2, 6, 9])
def test_all_orders_of_signs_and_scipys_tests(n):
    rng = np.random.default_rng(n)
    values, baseline = rng.standard_normal(n) + 0.5, rng.standard_normal(n)
    difference, found = values - baseline, compare(values, baseline)
    means = [abs(np.mean(signs * difference)) for signs in product((1, -1), repeat=n)]
    assert found.exact == np.mean(np.array(means) >= abs(np.mean(difference)) - 1e-12)
    assert found.t == pytest.approx(stats.ttest_rel(values, baseline).pvalue)
    assert found.wilcoxon == pytest.approx(stats.wilcoxon(values, baseline).pvalue)
    assert found.above == np.sum(values > baseline) == n - found.below


def test_differences_that_are_the_same_count_as_such():
    """0.3 - 0.2 and 0.4 - 0.3 differ by rounding: each order of signs of equal numbers is as extreme as its mirror."""
    found = compare([0.3, 0.4, 0.2], [0.2, 0.3, 0.3])
    # Sums of +-0.1: 3 of three ones, here 0.1: all 8 orders are at least as far from zero.
    assert found.exact == 1 and (found.above, found.below) == (2, 1)


def test_limits():
    same = compare(BEFORE, BEFORE)
    assert (same.mean, same.t, same.wilcoxon, same.exact, same.above) == (0, 1, 1, 1, 0)
    alike = compare(np.ones(4), np.zeros(4))
    assert alike.t == 0 and alike.exact == 2 / 2**4 and alike.sd == 0
    one = compare([2.0], [1.0])
    assert np.isnan(one.t) and np.isnan(one.sd) and one.exact == one.least == 1
    assert one.text == f"{one.mean:+.3g} (n = 1, which no test can judge)"
    many = compare(np.linspace(1, 2, 25), np.zeros(25))
    assert np.isnan(many.exact) and many.wilcoxon < 1e-6 and "(Wilcoxon)" in many.text
    diverged = compare([np.inf, 1.0, 2.0], np.zeros(3))
    assert diverged.wilcoxon == 0.25 and diverged.median == 2 and np.isnan(diverged.t) and np.isnan(diverged.exact)
    unknown = compare([np.nan, 1.0, 2.0], np.zeros(3))
    assert np.isnan([unknown.mean, unknown.t, unknown.wilcoxon, unknown.exact]).all()


@pytest.mark.parametrize(
    ("values", "baseline", "words"),
    [
        ([[1.0]], [[0.0]], r"one value for each net.* Got shapes \(1, 1\) and \(1, 1\)"),
        ([1.0, 2.0], [0.0], r"Got shapes \(2,\) and \(1,\)"),
        ([], [], r"Got shapes \(0,\) and \(0,\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(values, baseline, words):
    with pytest.raises(InputError, match=words):
        compare(values, baseline)
