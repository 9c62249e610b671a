"""t-SNE keeps classes apart and is the same each time; purity and principal components by hand."""

import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from neuroplast.analysis.embedding import principal, purity, tsne
from neuroplast.errors import InputError


def test_purity_by_hand():
    """On a line at 0, 1, 3, 7, 15: each one's two nearest are known."""
    points, labels = np.array([[0.0], [1], [3], [7], [15]]), np.array(["a", "a", "b", "b", "a"])
    # 0: 1, 3 (a, b); 1: 0, 3 (a, b); 3: 1, 0 (a, a); 7: 3, 1 (b, a); 15: 7, 3 (b, b)
    assert purity(points, labels, 2) == pytest.approx((1 + 1 + 0 + 1 + 0) / 10)
    assert purity(points, labels, 1) == pytest.approx((1 + 1 + 0 + 1 + 0) / 5)
    assert purity(points, labels, 4) == pytest.approx((2 + 2 + 1 + 1 + 2) / 20)


def test_purity_of_what_is_apart_and_of_what_is_mixed():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), [1000, 700, 500, 300])
    points = rng.standard_normal((2500, 3))
    assert purity(points + 100 * labels[:, None], labels) == 1
    shares = np.array([1000, 700, 500, 300]) / 2500
    assert purity(points, labels) == pytest.approx(np.sum(shares**2), abs=0.02)


def test_purity_does_not_depend_on_where_the_points_are():
    points, labels = load_digits(return_X_y=True)
    assert purity(points[:500] + 1e6, labels[:500]) == pytest.approx(purity(points[:500], labels[:500]), abs=1e-3)


def test_principal_components_are_those_of_the_singular_values():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 6)) * [5, 1, 3, 0.5, 2, 0.1] + 7
    found = principal(x, 3)
    left, values, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left * values)[:, :3], rtol=1e-8, atol=1e-10)
    # The first is that of the first unit, the widest, and has its sign.
    assert np.corrcoef(found[:, 0], x[:, 0])[0, 1] > 0.99
    np.testing.assert_allclose(principal(x, 99).var(axis=0).sum(), x.var(axis=0).sum())


def test_digits_stand_apart():
    points, labels = load_digits(return_X_y=True)
    points, labels = points[:200], labels[:200]
    first = tsne(points, components=20)
    assert first.shape == (200, 2) and np.isfinite(first).all()
    assert purity(first, labels, 5) > 0.8 > 0.2 > purity(first, np.roll(labels, 101), 5)
    np.testing.assert_array_equal(tsne(points, components=20), first)


def test_a_single_unit_can_be_embedded():
    assert tsne(np.arange(12.0)[:, None] ** 2, perplexity=3).shape == (12, 2)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(InputError, match=r"t-SNE needs scikit-learn: pip install 'neuroplast\[embedding\]'"):
        tsne(np.eye(5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tsne(np.ones((40, 3))), "all 40 samples have the same activity"),
        (
            lambda: tsne(np.eye(30)),
            "perplexity should be more than 0 .* than the number of samples, 30. Got 30.0",
        ),
        (lambda: tsne(np.ones(5)), r"tsne: .* shape \(samples, dimensions\). Got shape \(5,\)"),
        (lambda: purity([[np.nan]], [0]), "purity: there should be finite numbers"),
        (lambda: purity(np.eye(3), [0, 1], 1), r"labels should have shape \(3,\), one for each point. Got \(2,\)"),
        (lambda: purity(np.eye(3), [0, 1, 2], 3), "neighbours should be from 1 to 2, the other samples. Got 3"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
