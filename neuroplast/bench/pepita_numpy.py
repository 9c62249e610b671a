"""The benchmark's step in numpy, in place: nothing large is allocated after the start."""

from __future__ import annotations

import time

import numpy as np

from neuroplast.bench.numpy_rflo import blas_kernel
from neuroplast.bench.pepita_problem import ETA, MOMENTUM, Contender


class NumpyStep(Contender):
    """PEPITA in numpy; see `neuroplast.bench.pepita_problem.Contender`."""

    def __init__(self, batch, dtype, folder, **options):
        super().__init__(batch, dtype, folder, **options)
        self.about = f"numpy {np.__version__}, BLAS: {blas_kernel() or 'unknown without threadpoolctl'}"
        sizes = [w.shape[1] for w in self.problem.weights]
        columns = self.problem.images.shape[1]
        self.w = [w.copy() for w in self.problem.weights]
        self.v, self.g = ([np.zeros_like(w) for w in self.w] for _ in range(2))
        self.bytes, self.copies = np.empty((batch, columns), np.uint8), np.arange(batch)
        self.x, self.shifted = (np.empty((batch, columns), np.float32) for _ in range(2))
        self.m, self.r = ([np.empty((batch, n), np.float32) for n in sizes] for _ in range(2))
        self.mask = [np.ones((batch, n), np.float32) for n in sizes[:-1]]
        self.drawn = [np.empty((batch, n), bool) for n in sizes[:-1]]
        self.column = np.empty((batch, 1), np.float32)
        self.random = np.random.Generator(np.random.SFC64(0))

    def weights(self):
        """The weights as they are now."""
        return self.w

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step."""
        start = time.perf_counter()
        for _ in range(steps):
            self.step(self.rows())
        return (time.perf_counter() - start) / steps

    def step(self, rows):
        """Learn from a batch."""
        labels, feedback = self.problem.labels[rows], self.problem.feedback
        np.take(self.problem.images, rows, axis=0, out=self.bytes, mode="clip")  # "raise" would copy the output
        np.multiply(self.bytes, np.float32(1 / 255), out=self.x)
        for mask, drawn in zip(self.mask, self.drawn, strict=True):
            if self.keep < 1:
                self.random.random(dtype=np.float32, out=mask)
                np.less(mask, self.keep, out=drawn)
                np.multiply(drawn, np.float32(1 / self.keep), out=mask)
        self.forward(self.x, self.m, labels)
        np.dot(self.m[-1], feedback.T, out=self.shifted)
        self.shifted += self.x
        self.forward(self.shifted, self.r, labels)
        for m, r in zip(self.m[:-1], self.r[:-1], strict=True):
            m -= r
        differences, before = [*self.m[:-1], self.r[-1]], [self.shifted, *self.r[:-1]]
        for w, v, g, r, difference in zip(self.w, self.v, self.g, before, differences, strict=True):
            np.dot(r.T, difference, out=g)
            g *= ETA / self.batch
            v *= MOMENTUM
            v -= g
            w += v

    def forward(self, x, responses, labels):
        """Responses of the hidden layers, and the error of the output."""
        for w, mask, response in zip(self.w, self.mask, responses, strict=False):
            np.dot(x, w, out=response)
            np.maximum(response, 0, out=response)
            response *= mask
            x = response
        error = responses[-1]
        np.dot(x, self.w[-1], out=error)
        error -= error.max(axis=1, keepdims=True, out=self.column)
        np.exp(error, out=error)
        error /= error.sum(axis=1, keepdims=True, out=self.column)
        error[self.copies, labels] -= 1
