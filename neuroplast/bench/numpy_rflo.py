"""The benchmark's step in numpy, in place: no array is allocated after the start."""

from __future__ import annotations

import time
from importlib import import_module

import numpy as np

from neuroplast.bench.problem import PERIOD, RATE, TAU, make_problem


class NumpyRFLO:
    """Online RFLO in numpy.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    """

    def __init__(self, N, dtype):
        self.problem = make_problem(N, dtype)
        self.k = 0
        self.about = f"numpy {np.__version__}, BLAS: {blas_kernel() or 'unknown without threadpoolctl'}"
        self.state = {name: getattr(self.problem, name).copy() for name in ("h", "w", "w_in", "w_out")}
        self.state["p"] = np.zeros((N, N), dtype)
        self.state["q"] = np.full(N, self.problem.drive[0] / TAU)

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step."""
        start = time.perf_counter()
        self.run(steps)
        return (time.perf_counter() - start) / steps

    def run(self, steps):
        """Advance the state in place."""
        # Python floats keep the precision of the array that they meet and cost less than numpy scalars.
        drive, target = self.problem.drive.tolist(), self.problem.target.tolist()
        feedback, leak, keep, rate = self.problem.feedback, 1 / TAU, 1 - 1 / TAU, RATE
        h, p, q, w, w_in, w_out = (self.state[name] for name in ("h", "p", "q", "w", "w_in", "w_out"))
        u, slope, error, vector = (np.empty_like(h) for _ in range(4))
        slope_column, error_column = slope[:, None], error[:, None]
        matrix = np.empty_like(w)
        for k in range(self.k, self.k + steps):
            x_last, x, goal = drive[k % PERIOD], drive[(k + 1) % PERIOD], target[(k + 1) % PERIOD]
            np.dot(w, h, out=u)
            np.multiply(w_in, x, out=vector)
            np.add(u, vector, out=u)
            np.tanh(u, out=u)
            np.multiply(u, u, out=slope)
            np.subtract(1.0, slope, out=slope)
            np.multiply(slope, leak, out=slope)
            np.multiply(p, keep, out=p)
            np.multiply(slope_column, h, out=matrix)
            np.add(p, matrix, out=p)
            np.multiply(q, keep, out=q)
            np.multiply(slope, x_last, out=vector)
            np.add(q, vector, out=q)
            np.subtract(u, h, out=u)
            np.multiply(u, leak, out=u)
            np.add(h, u, out=h)
            change = rate * (goal - float(np.dot(w_out, h)))
            np.multiply(h, change, out=vector)
            np.add(w_out, vector, out=w_out)
            np.multiply(feedback, change, out=error)
            np.multiply(error_column, p, out=matrix)
            np.add(w, matrix, out=w)
            np.multiply(error, q, out=vector)
            np.add(w_in, vector, out=w_in)
        self.k += steps


def blas_kernel():
    """Kernel that numpy's BLAS runs, as threadpoolctl names it, or None if that is not installed."""
    try:
        pools = import_module("threadpoolctl").threadpool_info()
    except ImportError:
        return None
    described = "{internal_api} {version} kernel {architecture}, threads: {num_threads}"
    return "; ".join(described.format_map(pool) for pool in pools if pool["user_api"] == "blas")
