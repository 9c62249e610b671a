"""How far forward weights have turned towards the feedback."""

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


def product_angle(weights, feedback):
    """Angle between the product of all forward matrices and the feedback onto the inputs.

    ``angle(flat(W_1^T W_2^T ... W_L^T), flat(F))`` with `W_l` from layer l-1 to layer l and `F` from the outputs to
    the inputs (Dellaferrera & Kreiman 2022, figure 3b).

    Parameters
    ----------
    weights : sequence of array_like of shape (..., N_pre, N_post)
        As projections store them, presynaptic x postsynaptic: the transposes of ``W_1`` to ``W_L``, in this order.
        Leading dimensions are epochs or nets.
    feedback : array_like of shape (..., N_out, N_in)
        As a projection from the outputs onto the inputs stores it: the transpose of ``F``.

    Returns
    -------
    float or array of shape (...)
        Degrees: 0 for aligned, 90 for unrelated, 180 for antialigned matrices; NaN where the product or the feedback
        is zero.

    Raises
    ------
    InputError
        If there are no weights, or the shapes do not fit.
    """
    weights, feedback = [np.asarray(w) for w in weights], np.asarray(feedback)
    shapes = [w.shape for w in weights]
    wanted = "weights should be matrices of shape (..., N_pre, N_post), each N_pre the N_post of the one before"
    if not weights or any(len(shape) < 2 for shape in shapes):
        raise InputError(f"product_angle: {wanted}. Got {len(weights)}, of shapes {shapes}.")
    if any(a[-1] != b[-2] for a, b in zip(shapes, shapes[1:], strict=False)):
        raise InputError(f"product_angle: {wanted}. Got shapes {shapes}.")
    if feedback.shape[-2:] != (shapes[-1][-1], shapes[0][-2]):
        raise InputError(
            f"product_angle: feedback should have shape (..., N_out, N_in), here (..., {shapes[-1][-1]}, "
            f"{shapes[0][-2]}), as stored from the outputs onto the inputs. Got {feedback.shape}."
        )
    product = weights[-1]
    for w in reversed(weights[:-1]):  # from the outputs on, where the matrices are small
        product = w @ product
    return np.degrees(np.arccos(np.clip(alignment(product, feedback), -1, 1)))[()]
