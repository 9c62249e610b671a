"""Alignment of readout and feedback weights, by hand and along leading dimensions."""

import numpy as np
import pytest

from neuroplast.analysis.alignment import alignment, product_angle
from neuroplast.errors import InputError


def test_by_hand():
    w_out, b = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[3.0, 1.0], [0.0, 2.0]])
    # <W_out^T, B> = 1*3 + 2*0 + 0*1 - 1*2 = 1; |W_out|^2 = 6, |B|^2 = 14
    assert alignment(w_out, b) == pytest.approx(1 / np.sqrt(84))


def test_limits():
    w_out = np.random.default_rng(0).standard_normal((2, 5))
    assert alignment(w_out, 3 * w_out.T) == pytest.approx(1)
    assert alignment(w_out, -w_out.T) == pytest.approx(-1)
    assert np.isnan(alignment(w_out, np.zeros((5, 2))))


def test_leading_dimensions():
    rng = np.random.default_rng(1)
    w_out, b = rng.standard_normal((4, 3, 2, 5)), rng.standard_normal((5, 2))
    found = alignment(w_out, b)
    assert found.shape == (4, 3) and found[2, 1] == pytest.approx(alignment(w_out[2, 1], b))


def test_shapes_that_do_not_fit():
    with pytest.raises(InputError, match=r"Got \(2, 5\) and \(2, 5\)"):
        alignment(np.ones((2, 5)), np.ones((2, 5)))


def test_angle_of_a_product_by_hand():
    w1, w2, f = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0], [1.0]]), np.array([[2.0, -1.0]])
    # w1 w2 = (1, 2)^T, F = (2, -1)^T: they stand at right angles; with w2 = (1, 0)^T it is (1, 0)^T.
    assert product_angle([w1, w2], f) == pytest.approx(90)
    assert product_angle([w1, [[1.0], [0.0]]], f) == pytest.approx(np.degrees(np.arccos(2 / np.sqrt(5))))


def test_angles_of_what_is_stored_by_projections():
    """In the paper's letters: ``W_1^T W_2^T W_3^T`` against ``F``; stored are the transposes."""
    rng = np.random.default_rng(2)
    W1, W2, W3 = rng.standard_normal((5, 4)), rng.standard_normal((6, 5)), rng.standard_normal((3, 6))
    product = W1.T @ W2.T @ W3.T
    F = rng.standard_normal((4, 3))
    cosine = np.sum(product * F) / np.linalg.norm(product) / np.linalg.norm(F)
    assert product_angle([W1.T, W2.T, W3.T], F.T) == pytest.approx(np.degrees(np.arccos(cosine)))
    assert product_angle([W1.T, W2.T, W3.T], 3 * product.T) == pytest.approx(0, abs=1e-5)
    assert product_angle([W1.T, W2.T, W3.T], -product.T) == pytest.approx(180, abs=1e-5)
    assert product_angle([W1.T], W1) == pytest.approx(0, abs=1e-5)


def test_unrelated_matrices_stand_at_right_angles():
    """The angle of random directions in 784*10 dimensions deviates from 90 degrees by 57.3/sqrt(7840) = 0.65."""
    rng = np.random.default_rng(3)
    w1, w2 = (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((20, 784, 64), (20, 64, 10)))
    angles = product_angle([w1, w2], rng.uniform(-1, 1, (10, 784)).astype(np.float32))
    assert angles.shape == (20,)
    assert abs(angles.mean() - 90) < 0.65 and 0.3 < angles.std() < 1.3


def test_what_has_no_angle():
    assert np.isnan(product_angle([np.zeros((3, 2))], np.ones((2, 3))))
    cases = [
        (([], np.ones((2, 3))), r"Got 0, of shapes \[\]"),
        (([np.ones(3)], np.ones((2, 3))), r"Got 1, of shapes \[\(3,\)\]"),
        (([np.ones((3, 4)), np.ones((2, 4))], np.ones((2, 3))), r"each N_pre .* Got shapes \[\(3, 4\), \(2, 4\)\]"),
        (([np.ones((3, 4)), np.ones((4, 2))], np.ones((3, 2))), r"here \(..., 2, 3\), .* Got \(3, 2\)"),
    ]
    for arguments, words in cases:
        with pytest.raises(InputError, match=words):
            product_angle(*arguments)
