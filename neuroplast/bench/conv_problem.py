"""The step of a convolutional network that every contender of the benchmark computes, from the same weights.

32 filters of 5 x 5, ReLU, the maximum of windows of 2 x 2, a fully connected readout (Dellaferrera and Kreiman 2022,
ICML, section 3.3). A step:

1. rows of a memory-mapped array of bytes, in the order of an epoch's permutation, become numbers from 0 to 1
2. forward pass, softmax, e = p - t
3. PEPITA: modulated pass with x + F e, its error; the mean over positions of the difference in the maps times what the
   position sees. BP: W_2^T e to the winners of their windows
4. gradients, means over the batch; velocity = `MOMENTUM` velocity - `ETA` gradient; weights
"""

from __future__ import annotations

import numpy as np

from neuroplast.bench.pepita_problem import CLASSES, ETA, MOMENTUM, SEED
from neuroplast.bench.pepita_problem import Contender as Batches
from neuroplast.bench.pepita_problem import Problem as Images

__all__ = ["CASES", "ETA", "MOMENTUM", "Contender", "Problem"]

FILTERS, KERNEL, POOL = 32, 5, 2
#: Rule, and (channels, rows, columns) of an image.
CASES = {
    "PEPITA, 1 x 28 x 28": ("pepita", (1, 28, 28)),
    "BP, 1 x 28 x 28": ("bp", (1, 28, 28)),
    "PEPITA, 3 x 32 x 32": ("pepita", (3, 32, 32)),
    "BP, 3 x 32 x 32": ("bp", (3, 32, 32)),
}


class Problem(Images):
    """Images and initial weights.

    Parameters
    ----------
    folder : path
        With the files of `neuroplast.bench.pepita_problem.write_images`.
    shape : tuple of int
        (channels, rows, columns) of an image.
    filters : int

    Attributes
    ----------
    kernels : float32 array, shape (filters, channels, KERNEL, KERNEL)
    readout : float32 array, shape (pooled neurons, CLASSES)
    feedback : float32 array, shape (pixels, CLASSES)
        F.
    """

    def __init__(self, folder, shape, filters=FILTERS):
        super().__init__(folder, (1,), int(np.prod(shape)))
        self.shape = shape
        rng, seen = np.random.default_rng(SEED), shape[0] * KERNEL**2
        self.map = tuple(size - KERNEL + 1 for size in shape[1:])
        pooled = filters * (self.map[0] // POOL) * (self.map[1] // POOL)

        def he(size, n_pre):
            return (rng.uniform(-1, 1, size) * np.sqrt(6 / n_pre)).astype(np.float32)

        self.kernels = he((filters, shape[0], KERNEL, KERNEL), seen)
        self.readout = he((pooled, CLASSES), pooled)
        self.weights = [self.kernels, self.readout]


class Contender(Batches):
    """What all contenders have in common; see `neuroplast.bench.pepita_problem.Contender`.

    Parameters
    ----------
    batch, dtype, folder, threads
        As there; `folder` holds a folder of images for each number of pixels.
    case : str
        Of `CASES`.
    shape, filters
        See `Problem`; the case's shape if None.
    """

    def __init__(self, batch, dtype, folder, case="PEPITA, 1 x 28 x 28", threads=1, shape=None, filters=FILTERS):
        self.rule, usual = CASES[case]
        self.shape = tuple(shape or usual)
        self.take(Problem(f"{folder}/{int(np.prod(self.shape))}", self.shape, filters), batch, threads)
