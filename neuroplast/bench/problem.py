"""The step that every contender of the benchmark computes, and its initial values.

Online RFLO (Murray 2019, eLife 8:e43299, equations 1, 3, 5 and 6) with one input and one output, dt = 1
step, in the authors' order. From step k to k + 1:

1. ``u = W h + w_in x(k+1)``
2. ``p = (1 - 1/tau) p + phi'(u) h^T / tau`` and ``q = (1 - 1/tau) q + phi'(u) x(k) / tau``, with the old h
3. ``h = h + (tanh(u) - h) / tau``
4. ``y = w_out h``, ``err = target(k+1) - y``
5. ``w_out += rate err h``, ``W += rate (B err) 1^T * p``, ``w_in += rate (B err) * q``

p starts at 0 and q at x(0)/tau; phi' is 1 - tanh^2. Input and target repeat every `PERIOD` steps and are
never zero for long: traces that decay into the subnormal numbers would slow every contender down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TAU = 10
PERIOD = 200
RATE = 0.01 / PERIOD
STATE = ("h", "p", "q", "w", "w_in", "w_out")


@dataclass(frozen=True)
class Problem:
    """Initial values and drive in one precision.

    Attributes
    ----------
    w : array (N, N)
        Recurrent weights, row = postsynaptic unit.
    w_in, w_out, feedback, h : arrays (N,)
        Input and readout weights, the fixed B, and h(0).
    drive, target : arrays (PERIOD,)
        x(k) and target(k), indexed modulo PERIOD.
    """

    w: np.ndarray
    w_in: np.ndarray
    w_out: np.ndarray
    feedback: np.ndarray
    h: np.ndarray
    drive: np.ndarray
    target: np.ndarray

    @property
    def N(self):
        """Number of recurrent units."""
        return len(self.h)

    @property
    def dtype(self):
        """Precision of all arrays."""
        return self.h.dtype


def make_problem(N, dtype, seed=0):
    """The benchmark's problem, with the paper's initial weights and target.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    seed : int

    Returns
    -------
    Problem
    """
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * np.arange(PERIOD) / PERIOD
    arrays = dict(
        w=1.5 / np.sqrt(N) * rng.standard_normal((N, N)),
        w_in=rng.uniform(-1, 1, N),
        w_out=rng.uniform(-1, 1, N) / np.sqrt(N),
        feedback=rng.standard_normal(N),
        h=np.full(N, 0.1),
        drive=np.sin(phase),
        target=np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(4 * phase),
    )
    return Problem(**{name: array.astype(dtype) for name, array in arrays.items()})


def bytes_per_step(N, dtype):
    """Least number of bytes that a step moves: W and p read once and written once."""
    return 4 * N * N * np.dtype(dtype).itemsize
