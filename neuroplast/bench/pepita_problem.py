"""The step of learning that every contender of the benchmark computes, on the same images from the same weights.

PEPITA (Dellaferrera and Kreiman 2022, ICML) in the paper's order, with one hidden layer or several. A step:

1. rows of a memory-mapped array of bytes, in the order of an epoch's permutation, become numbers from 0 to 1
2. a mask for each hidden neuron and image: dropout that keeps with probability `KEEP`
3. standard pass, softmax, e = p - t; modulated pass with x + F e, and its error
4. gradients (m_l - r_l) r_{l-1}^T, means over the batch; velocity = `MOMENTUM` velocity - `ETA` gradient; weights
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

ROWS, COLUMNS, CLASSES = 60000, 784, 10
ETA, MOMENTUM, KEEP = 0.01, 0.9, 0.9
SEED = 1  # of images, weights and the order of the images


def write_images(folder, rows=ROWS, columns=COLUMNS):
    """Write images, a fifth of whose pixels are on, and their classes: ``images.u8`` and ``labels.i4``.

    Parameters
    ----------
    folder : path
    rows, columns : int
    """
    rng = np.random.default_rng(SEED)
    with open(Path(folder) / "images.u8", "wb") as file:
        for first in range(0, rows, 1000):
            shape = min(1000, rows - first), columns
            lit = rng.random(shape, dtype=np.float32) < 0.2
            file.write((rng.integers(0, 256, shape, dtype=np.uint8) * lit).tobytes())
    rng.integers(0, CLASSES, rows, dtype=np.int32).tofile(Path(folder) / "labels.i4")


class Problem:
    """Images and initial weights.

    Parameters
    ----------
    folder : path
        With the files of `write_images`.
    hidden : sequence of int
        Neurons of each hidden layer.
    columns : int

    Attributes
    ----------
    images : memmap of uint8, shape (rows, columns)
    labels : array of int32, shape (rows,)
    weights : list of float32 arrays, shape (n_pre, n_post)
    feedback : float32 array, shape (columns, CLASSES)
        F.
    """

    def __init__(self, folder, hidden=(1024,), columns=COLUMNS):
        self.labels = np.fromfile(Path(folder) / "labels.i4", dtype=np.int32)
        shape = len(self.labels), columns
        self.images = np.memmap(Path(folder) / "images.u8", dtype=np.uint8, mode="r", shape=shape)
        rng = np.random.default_rng(SEED)
        sizes = [columns, *hidden, CLASSES]
        self.weights = [
            rng.uniform(-1, 1, pair).astype(np.float32) * np.float32(np.sqrt(6 / pair[0]))
            for pair in zip(sizes, sizes[1:], strict=False)
        ]
        bound = 0.05 * np.sqrt(6 / columns)
        self.feedback = rng.uniform(-bound, bound, (columns, CLASSES)).astype(np.float32)

    def all_weights(self):
        """Arrays that make up the memory of the weights: those that learn."""
        return self.weights

    def order(self):
        """Rows in the order in which the engine presents them in its first epoch."""
        from neuroplast.engine.cpp_codegen import stream_key
        from neuroplast.engine.philox import permutation

        return permutation(SEED, stream_key("training_images", 0), 0, len(self.labels))


class Contender:
    """What all contenders have in common: batches of an epoch, one after the other.

    Parameters
    ----------
    batch : int
    dtype : {"float32"}
    folder, hidden, columns
        See `Problem`.
    threads : int
    keep : float
        Probability that dropout keeps; 1 for none.

    Attributes
    ----------
    about : str
        Versions, for the report.
    """

    about = None

    def __init__(self, batch, dtype, folder, threads=1, hidden=(1024,), columns=COLUMNS, keep=KEEP):
        self.keep = keep
        self.take(Problem(folder, hidden, columns), batch, threads)

    def take(self, problem, batch, threads):
        """Take batches of a problem's images, from the first one on."""
        self.problem, self.batch, self.threads = problem, batch, threads
        self.next, self._order = 0, problem.order()
        self.whole = len(self._order) // batch * batch

    def rows(self):
        """Rows of the next batch; after the last whole one, the first again."""
        first = self.next % self.whole
        self.next += self.batch
        return self._order[first : first + self.batch]

    def changed(self):
        """How each matrix has changed after three steps: projections on fixed random directions, to be compared."""
        self.time(3)
        rng = np.random.default_rng(0)
        return [
            float(np.sum((np.asarray(now, float) - start) * rng.choice((-1, 1), start.shape)) / np.sqrt(start.size))
            for now, start in zip(self.weights(), self.problem.weights, strict=True)
        ]
