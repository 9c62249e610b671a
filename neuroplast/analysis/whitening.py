"""ZCA whitening: features made uncorrelated, and as close as that allows to what they were."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from neuroplast.errors import InputError

BLOCK = 2048  # rows that are in double precision at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Whitening:
    """The map ``(x - mean) @ matrix``.

    Attributes
    ----------
    mean : float64 array, shape (features,)
    matrix : float64 array, shape (features, features)
        Symmetric.
    """

    mean: np.ndarray
    matrix: np.ndarray

    def apply(self, rows, scale: float = 1.0) -> np.ndarray:
        """Whitened rows.

        Parameters
        ----------
        rows : array, shape (n, features)
            Of any type of number; may be mapped.
        scale : float
            Rows are multiplied by it first.

        Returns
        -------
        array of float32, shape (n, features)

        Raises
        ------
        InputError
            If the rows have another number of features.
        """
        rows = _checked(rows, scale)
        if rows.shape[1] != len(self.mean):
            raise InputError(f"whitening: rows should have {len(self.mean)} features. Got {rows.shape[1]}.")
        out = np.empty(rows.shape, np.float32)
        for first in range(0, len(rows), BLOCK):
            block = rows[first : first + BLOCK] * np.float64(scale)
            out[first : first + BLOCK] = (block - self.mean) @ self.matrix
        return out


def zca(rows, epsilon: float = 0.1, scale: float = 1.0) -> Whitening:
    """ZCA whitening of rows: ``U (D + epsilon)**(-1/2) U^T`` for their covariance ``U D U^T``.

    As in appendix G of Dellaferrera and Kreiman (2022), which uses the code of Jean (2020): centred on the mean of each
    feature; the covariance is divided by n - 1. With epsilon = 0 the whitened rows have the identity for a covariance;
    epsilon keeps directions in which the rows hardly vary from being blown up.

    Sums run through BLAS: on another number of its threads the last bits of the double precision may differ.

    Parameters
    ----------
    rows : array, shape (n, features)
        Of any type of number; may be mapped. Read in blocks: only one of them is in double precision at a time.
    epsilon : float
        In units of the scaled features squared.
    scale : float
        Rows are multiplied by it first.

    Returns
    -------
    whitening : Whitening

    Raises
    ------
    InputError
        For fewer than two rows, numbers that are not finite, a negative epsilon, or epsilon = 0 if features depend on
        each other.
    """
    rows = _checked(rows, scale)
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise InputError(f"whitening: epsilon should be a number from 0. Got {epsilon!r}.")
    if len(rows) < 2:
        raise InputError(f"whitening: a covariance takes at least two rows. Got {len(rows)}.")
    starts, scale = range(0, len(rows), BLOCK), np.float64(scale)
    mean = sum((rows[first : first + BLOCK] * scale).sum(axis=0) for first in starts) / len(rows)
    if not np.isfinite(mean).all():
        raise InputError(f"whitening: feature {np.argmin(np.isfinite(mean))} is not finite in all rows.")
    covariance = np.zeros((rows.shape[1],) * 2)
    for first in starts:
        block = rows[first : first + BLOCK] * scale - mean
        covariance += block.T @ block
    values, vectors = np.linalg.eigh(covariance / (len(rows) - 1))
    values = np.maximum(values, 0) + epsilon  # rounding makes some of the zeros negative
    if values[0] <= 1e-12 * values[-1]:
        raise InputError("whitening: the features depend on each other (or one is constant): give epsilon > 0.")
    return Whitening(mean, (vectors / np.sqrt(values)) @ vectors.T)


def _checked(rows, scale):
    rows = np.asanyarray(rows)
    if rows.ndim != 2 or rows.dtype.kind not in "uif":
        raise InputError(
            f"whitening: rows should be numbers of shape (n, features). Got {rows.dtype.name} of shape {rows.shape}."
        )
    if not math.isfinite(scale):
        raise InputError(f"whitening: scale should be a finite number. Got {scale!r}.")
    return rows
