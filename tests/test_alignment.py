"""Alignment of readout and feedback weights, by hand and along leading dimensions."""

import numpy as np
import pytest

from neuroplast.analysis.alignment import alignment
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
