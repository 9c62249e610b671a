"""How far the readout has turned towards the feedback."""

from __future__ import annotations

import numpy as np

from neuroplast.errors import InputError


def alignment(w_out, b):
    """Normalised alignment of the readout weights with the feedback weights.

    ``<W_out^T, B> / (|W_out| |B|)`` with Frobenius product and norms: the cosine of the angle between the two as
    vectors (Murray 2019, eLife 8:e43299, figure 2c).

    Parameters
    ----------
    w_out : array_like of shape (..., N_y, N)
        Readout weights; leading dimensions are trials or nets.
    b : array_like of shape (..., N, N_y)
        Feedback weights.

    Returns
    -------
    float or array of shape (...)
        From -1 to 1; NaN where a matrix is zero.

    Raises
    ------
    InputError
        If the shapes do not fit.
    """
    w_out, b = np.asarray(w_out, dtype=float), np.asarray(b, dtype=float)
    if w_out.ndim < 2 or b.ndim < 2 or w_out.shape[-2:] != b.shape[:-3:-1]:
        raise InputError(
            f"alignment: w_out should have shape (..., N_y, N) and b (..., N, N_y). Got {w_out.shape} and {b.shape}."
        )
    product = np.einsum("...ka,...ak->...", w_out, b)
    norms = np.sqrt(np.einsum("...ka,...ka->...", w_out, w_out) * np.einsum("...ak,...ak->...", b, b))
    return np.divide(product, norms, out=np.full(np.shape(product), np.nan), where=norms > 0)[()]
