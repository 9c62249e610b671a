"""Gabor patches, tilted to one side or the other: a choice between two alternatives."""

from __future__ import annotations

import numpy as np

from neuroplast.data.images import Images
from neuroplast.errors import InputError

#: Pixels of a side; cycles per pixel; standard deviation of the envelope, in pixels.
SIDE, FREQUENCY, ENVELOPE = 32, 0.15, 10.0


def gabor(degrees):
    """Gratings under a Gaussian envelope, without noise.

    Parameters
    ----------
    degrees : float or array, shape (...)
        Tilt of the grating's wave vector.

    Returns
    -------
    patches : float32 array, shape (..., 32, 32)
        Between -1 and 1; Liu et al. 2026, appendix 2 (authors' notebook).
    """
    y, x = np.mgrid[-SIDE // 2 : SIDE // 2, -SIDE // 2 : SIDE // 2].astype(float)
    tilt = np.radians(np.asarray(degrees, dtype=float))[..., None, None]
    wave = np.cos(2 * np.pi * FREQUENCY * (x * np.cos(tilt) + y * np.sin(tilt)))
    patches = wave * np.exp(-(x**2 + y**2) / (2 * ENVELOPE**2))
    # The authors add 1e-9 to what they divide by; without it one pixel in sixty is rounded otherwise.
    return (patches / (np.abs(patches).max(axis=(-2, -1), keepdims=True) + 1e-9)).astype(np.float32)


def choice(noise, *, train=400, test=100, tilt=6.0, jitter=0.5, seed=0):
    """Images of two classes: gratings tilted to either side, with noise.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise in a pixel; sums are clipped to [-1, 1].
    train, test : int
        Images.
    tilt, jitter : float
        Degrees of class 1 (class 0: the other way), and their standard deviation.
    seed : int

    Returns
    -------
    Images

    Raises
    ------
    InputError
        For noise or jitter below zero, or no images.
    """
    if not (noise >= 0 and jitter >= 0 and train > 0 and test > 0):
        raise InputError(
            f"choice: noise and jitter should be at least 0, train and test positive. Got {noise}, {jitter}, {train}, "
            f"{test}."
        )
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, train + test).astype(np.int32)
    degrees = np.where(labels == 1, tilt, -tilt) + jitter * rng.standard_normal(len(labels))
    patches = gabor(degrees) + noise * rng.standard_normal((len(labels), SIDE, SIDE))
    rows = np.clip(patches, -1, 1).astype(np.float32).reshape(len(labels), -1)
    shape = (1, SIDE, SIDE)
    return Images("gabor", rows[:train], labels[:train], rows[train:], labels[train:], 2, shape, source="drawn")
