"""The bare products of the benchmark's step, by the OpenBLAS that simulations are linked with."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np

from neuroplast.bench.pepita_problem import Contender
from neuroplast.engine import blas

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


class Products(Contender):
    """All seven products of a step with one hidden layer, and nothing else; see `pepita_problem.Contender`."""

    def __init__(self, batch, dtype, folder, **options):
        super().__init__(batch, dtype, folder, **options)
        found = blas.find()
        library = ctypes.CDLL(next(map(str, Path(found.library_dir).glob(f"lib{found.library}.*"))))
        getattr(library, f"{found.prefix}openblas_set_num_threads")(self.threads)
        self.sgemm = getattr(library, f"{found.prefix}cblas_sgemm")
        self.about = f"OpenBLAS {found.version}"
        rng = np.random.default_rng(0)
        columns, (hidden, classes) = self.problem.images.shape[1], self.problem.weights[1].shape

        def matrix(rows, width=batch):
            return rng.random((rows, width), dtype=np.float32)

        # As the engine has them: neurons by copies, and presynaptic by postsynaptic neurons.
        x, shift, h, d, y = matrix(columns), matrix(columns), matrix(hidden), matrix(hidden), matrix(classes)
        g, g2 = matrix(columns, hidden), matrix(hidden, classes)
        w, w2, f = *self.problem.weights, self.problem.feedback
        forward = [(TRANSPOSED, PLAIN, w, x, h), (TRANSPOSED, PLAIN, w2, h, y)]
        gradients = [(PLAIN, TRANSPOSED, x, d, g), (PLAIN, TRANSPOSED, h, y, g2)]
        self.products = [*forward, (PLAIN, PLAIN, f, y, shift), *forward, *gradients]

    def time(self, steps):
        """All products of `steps` steps; returns seconds per step."""
        start = time.perf_counter()
        for _ in range(steps):
            for product in self.products:
                self.multiply(*product)
        return (time.perf_counter() - start) / steps

    def multiply(self, ta, tb, a, b, c):
        """C = op(A) op(B)."""
        (m, n), k = c.shape, a.shape[0 if ta == TRANSPOSED else 1]
        one, zero = ctypes.c_float(1), ctypes.c_float(0)
        a, lda, b, ldb, c, ldc = (
            value for matrix in (a, b, c) for value in (ctypes.c_void_p(matrix.ctypes.data), matrix.shape[1])
        )
        self.sgemm(ROW_MAJOR, ta, tb, m, n, k, one, a, lda, b, ldb, zero, c, ldc)
