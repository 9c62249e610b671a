"""`Images`: what it takes, how it is cut, how it is whitened."""

import dataclasses

import numpy as np
import pytest

from neuroplast.analysis import whitening
from neuroplast.analysis.whitening import zca
from neuroplast.data import Images
from neuroplast.errors import InputError


def make(**changes):
    rng = np.random.default_rng(0)
    values = dict(
        name="made",
        train=rng.integers(0, 256, (20, 6), dtype=np.uint8),
        train_labels=np.arange(20) % 4,
        test=rng.integers(0, 256, (5, 6), dtype=np.uint8),
        test_labels=np.arange(5) % 4,
        classes=4,
        shape=(1, 2, 3),
        scale=1 / 255,
        source="nowhere",
    )
    return Images(**values | changes)


def test_holds_what_it_was_given():
    images = make()
    assert images.features == 6 and images.rows == 20
    assert images.train_labels.dtype == images.test_labels.dtype == np.int32
    with pytest.raises(dataclasses.FrozenInstanceError):
        images.train = images.test


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (2, 3)}, "shape should be (channels, rows, columns). Got (2, 3)"),
        ({"shape": (1, 2, 0)}, "shape should be"),
        ({"shape": (1, 2, 4)}, "train should have shape (rows, 8) for images of 1 x 2 x 4"),
        ({"train": np.zeros((20, 2, 3), np.uint8)}, "flatten with .reshape"),
        ({"train": np.zeros((0, 6), np.uint8), "train_labels": []}, "with at least one row. Got (0, 6)"),
        ({"train": np.zeros((20, 6), int)}, "train should be an array of uint8, float32, float64. Got int64"),
        ({"test": [[0] * 6] * 5}, "test should be an array of uint8, float32, float64. Got list"),
        ({"test": np.zeros((5, 6), np.float32)}, "should be of one type. Got uint8 and float32"),
        ({"train_labels": np.arange(19) % 4}, "train_labels should be 20 whole numbers, one for each row of train"),
        ({"train_labels": np.zeros(20)}, "Got float64 of shape (20,)"),
        (
            {"test_labels": np.full(5, 4)},
            "test_labels should lie from 0 to 3, since there are 4 classes. They go from 4",
        ),
        ({"test_labels": np.full(5, -1)}, "from -1 to -1"),
        ({"classes": 0}, "classes should be a whole number from 1. Got 0"),
        ({"classes": 2.5}, "Got 2.5"),
        ({"scale": 0}, "scale should be a positive number. Got 0"),
        ({"scale": float("nan")}, "scale should be a positive number. Got nan"),
    ],
)
def test_refuses(changes, words):
    with pytest.raises(InputError) as caught:
        make(**changes)
    assert words in str(caught.value) and "'made'" in str(caught.value)


def test_split_and_first_are_views():
    images = make()
    split = images.split(8)
    assert (split.rows, len(split.test)) == (12, 8)
    np.testing.assert_array_equal(split.test, images.train[12:])
    np.testing.assert_array_equal(split.test_labels, images.train_labels[12:])
    np.testing.assert_array_equal(split.train_labels, images.train_labels[:12])
    few = images.first(3, 2)
    assert (few.rows, len(few.test)) == (3, 2) and len(images.first(train=3).test) == 5
    for part in (split.train, split.test, few.train):
        assert np.shares_memory(part, images.train)
    assert split.source == "nowhere; the last 8 training images are the test"
    assert split.name == few.name == "made" and split.scale == images.scale


@pytest.mark.parametrize("wrong", [0, 20, -1, 2.0, "5", None])
def test_split_says_what_is_possible(wrong):
    with pytest.raises(InputError, match=r"validation should be a whole number of rows from 1 to 19. Got"):
        make().split(wrong)


@pytest.mark.parametrize("wrong", [{"train": 21}, {"test": 6}, {"train": 0}, {"test": 1.5}])
def test_first_says_what_is_possible(wrong):
    with pytest.raises(InputError, match=r"(train|test) should be a whole number of rows from 1 to (20|5)"):
        make().first(**wrong)


# -- whitening ------------------------------------------------------------------------------------------------------


def correlated(n=400, features=5, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)


def test_whitened_rows_are_uncorrelated():
    rows = correlated()
    white = zca(rows, epsilon=0).apply(rows)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(5), atol=1e-5)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-6)


def test_matrix_is_the_inverse_root():
    """W is symmetric and positive, and W (C + epsilon) W = 1: there is one such matrix."""
    rows, epsilon = correlated(), 0.3
    found = zca(rows, epsilon)
    covariance = np.cov(rows, rowvar=False)
    np.testing.assert_allclose(found.matrix @ (covariance + epsilon * np.eye(5)) @ found.matrix, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(found.matrix, found.matrix.T, atol=1e-14)
    assert (np.linalg.eigvalsh(found.matrix) > 0).all()
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-13)


def test_two_features_by_hand():
    """Rows (1, 1), (-1, -1), (1/2, -1/2), (-1/2, 1/2) have variances 4/3 and 1/3 along the diagonals."""
    rows = np.array([[1, 1], [-1, -1], [0.5, -0.5], [-0.5, 0.5]])
    along, across = 1 / np.sqrt(4 / 3 + 0.1), 1 / np.sqrt(1 / 3 + 0.1)
    by_hand = [[(along + across) / 2, (along - across) / 2], [(along - across) / 2, (along + across) / 2]]
    found = zca(rows)
    np.testing.assert_allclose(found.matrix, by_hand, rtol=1e-14)
    np.testing.assert_allclose(found.apply(rows)[0], [along, along], rtol=1e-7)


def test_a_constant_feature_stays_zero():
    rows = correlated()
    rows[:, 2] = 7
    found = zca(rows)
    np.testing.assert_allclose(found.apply(rows)[:, 2], 0, atol=1e-6)
    np.testing.assert_allclose(found.matrix[2, 2], 1 / np.sqrt(0.1), rtol=1e-12)


def test_blocks_and_scale_make_no_difference(monkeypatch):
    rows = np.random.default_rng(3).integers(0, 256, (101, 6), dtype=np.uint8)
    whole = zca(rows / 255)
    monkeypatch.setattr(whitening, "BLOCK", 10)
    parts = zca(rows, scale=1 / 255)
    np.testing.assert_allclose(parts.matrix, whole.matrix, rtol=0, atol=1e-12)
    np.testing.assert_allclose(parts.apply(rows, 1 / 255), whole.apply(rows / 255), rtol=0, atol=1e-6)


def test_images_are_whitened_by_what_they_are_trained_on():
    images = make()
    white = images.whitened(0.05)
    train, test = images.train / 255, images.test / 255
    values, vectors = np.linalg.eigh(np.cov(train, rowvar=False))
    matrix = vectors @ np.diag((values + 0.05) ** -0.5) @ vectors.T
    for found, rows in ((white.train, train), (white.test, test)):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, (rows - train.mean(axis=0)) @ matrix, atol=1e-6)
    assert white.scale == 1 and white.name == "made-whitened" and white.shape == images.shape
    assert white.source == "nowhere; ZCA-whitened with epsilon 0.05"
    np.testing.assert_array_equal(white.train_labels, images.train_labels)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (np.ones((5, 2)), {"epsilon": 0}, "the features depend on each other"),
        (correlated()[:4], {"epsilon": 0}, "the features depend on each other"),
        (correlated(), {"epsilon": -0.1}, "epsilon should be a number from 0. Got -0.1"),
        (correlated(), {"epsilon": np.nan}, "epsilon should be a number from 0. Got nan"),
        (correlated(), {"scale": np.inf}, "scale should be a finite number. Got inf"),
        (np.ones((1, 2)), {}, "at least two rows. Got 1"),
        (np.ones(5), {}, "of shape (n, features). Got float64 of shape (5,)"),
        (np.array([["a", "b"]] * 3), {}, "rows should be numbers"),
        (np.array([[1, 2], [np.nan, 2], [1, 1]]), {}, "feature 0 is not finite in all rows"),
    ],
)
def test_whitening_refuses(rows, options, words):
    with pytest.raises(InputError) as caught:
        zca(rows, **options)
    assert words in str(caught.value)


def test_whitening_refuses_other_features():
    with pytest.raises(InputError, match="rows should have 5 features. Got 4"):
        zca(correlated()).apply(correlated(features=4))
