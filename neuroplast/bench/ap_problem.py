"""The step of adjoint propagation that every contender of the benchmark computes, from the same weights.

Two modules in a row (Liu et al. 2026, eLife), each of four blocks [RI|SI|RE|SE] and with sparse recurrent weights. A
step:

1. rows of a memory-mapped array of bytes, in the order of an epoch's permutation, become numbers from 0 to 1
2. inference: the first module relaxes from zero with the images' current onto RI, then the second with that of the
   first one's SI; softmax, e = p - t
3. learning: the second module relaxes anew with the error's current onto RE besides, from zero (STE) or from where it
   was (EPE), then the first with that of the second one's displacement of SE
4. gradients, means over the batch; then Adam. Recurrent weights are fixed, or learn where there is a synapse
"""

from __future__ import annotations

import numpy as np

from neuroplast.bench.pepita_problem import CLASSES, COLUMNS, SEED
from neuroplast.bench.pepita_problem import Contender as Batches
from neuroplast.bench.pepita_problem import Problem as Images

BLOCK, MODULES = 256, 2
ETA, BETAS, EPSILON, ALPHA = 1e-3, (0.9, 0.999), 1e-8, 1e-4
RADIUS, DENSITY = 0.25, 0.25
#: Iterations of inference and learning, whether errors are error-perturbed, whether recurrent weights learn.
CASES = {
    "STE 8-8": {"inference": 8, "learning": 8, "epe": False, "plastic": False},
    "EPE 8-4": {"inference": 8, "learning": 4, "epe": True, "plastic": False},
    "plastic": {"inference": 8, "learning": 4, "epe": True, "plastic": True},
}


class Problem(Images):
    """Images and initial weights, as the authors draw them.

    Parameters
    ----------
    folder : path
        With the files of `neuroplast.bench.pepita_problem.write_images`.
    block : int
        Neurons of a role; a module has four times as many.
    columns : int

    Attributes
    ----------
    weights : dict of str to float32 array, shape (n_pre, n_post)
        Those that learn: w_in, w1, w_out.
    recurrent : list of float32 array, shape (4*block, 4*block)
        Of each module; of so large a random matrix the spectral radius is known.
    errors : dict of str to float32 array
        Fixed: e_out, e1.
    """

    def __init__(self, folder, block=BLOCK, columns=COLUMNS):
        super().__init__(folder, (block,), columns)
        rng, n = np.random.default_rng(SEED), 4 * block

        def uniform(shape, bound):
            return rng.uniform(-bound, bound, shape).astype(np.float32)

        sizes = {"w_in": (columns, block), "w1": (block, block), "w_out": (block, CLASSES)}
        self.weights = {name: uniform(shape, shape[0] ** -0.5) for name, shape in sizes.items()}
        self.errors = {"e_out": uniform((CLASSES, block), CLASSES**-0.5), "e1": uniform((block, block), 1.0)}
        there = rng.random((MODULES, n, n)) < 1 - np.exp(-DENSITY)
        scale = RADIUS / np.sqrt(n * there.mean() / 3)  # the circular law
        self.recurrent = [uniform((n, n), scale) * part for part in there]

    def all_weights(self):
        """Arrays of all weights."""
        return [*self.weights.values(), *self.recurrent, *self.errors.values()]


class Contender(Batches):
    """What all contenders have in common; see `neuroplast.bench.pepita_problem.Contender`.

    Parameters
    ----------
    batch, dtype, folder, threads, columns
        As there.
    case : str
        Of `CASES`.
    block : int
        See `Problem`.
    """

    def __init__(self, batch, dtype, folder, case="STE 8-8", threads=1, block=BLOCK, columns=COLUMNS):
        self.case = CASES[case]
        self.take(Problem(folder, block, columns), batch, threads)

    def changed(self):
        """How each matrix that learns has changed after three steps: projections on fixed random directions."""
        self.time(3)
        rng, problem = np.random.default_rng(0), self.problem
        before = {**problem.weights, **{f"rec_{i}": w for i, w in enumerate(problem.recurrent)}}
        return [
            float(np.sum((np.asarray(now, float) - before[name]) * rng.choice((-1, 1), now.shape)) / np.sqrt(now.size))
            for name, now in self.learned().items()
        ]
