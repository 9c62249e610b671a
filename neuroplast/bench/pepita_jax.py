"""The benchmark's step in jitted JAX, on the CPU: a scan over batches whose state is donated."""

from __future__ import annotations

import time

import numpy as np

from neuroplast.bench.jax_rflo import load_jax
from neuroplast.bench.pepita_problem import CLASSES, ETA, MOMENTUM, Contender


class JaxStep(Contender):
    """PEPITA in JAX; see `neuroplast.bench.pepita_problem.Contender`.

    Dropout compares 16 random bits with a threshold, which takes half the time of `jax.random.bernoulli`.

    Raises
    ------
    InputError
        If JAX is not installed.
    """

    def __init__(self, batch, dtype, folder, **options):
        jax = load_jax()
        super().__init__(batch, dtype, folder, **options)
        self.jax, self.about = jax, f"jax {jax.__version__}"
        numpy, problem, f32 = jax.numpy, self.problem, jax.numpy.float32
        images, labels = numpy.asarray(problem.images), numpy.asarray(problem.labels)
        feedback, keep = numpy.asarray(problem.feedback), self.keep

        def forward(weights, masks, x, target):
            responses = []
            for w, mask in zip(weights, masks, strict=False):
                x = jax.nn.relu(x @ w) * mask
                responses.append(x)
            return responses, jax.nn.softmax(x @ weights[-1]) - target

        def step(state, rows):
            weights, velocities, key = state
            key, *keys = jax.random.split(key, len(weights))
            x = images[rows].astype(f32) * f32(1 / 255)
            target = jax.nn.one_hot(labels[rows], CLASSES, dtype=f32)
            masks = [f32(1)] * (len(weights) - 1)
            if keep < 1:
                drawn = (
                    jax.random.bits(k, (len(rows), w.shape[1]), "uint16")
                    for k, w in zip(keys, weights[:-1], strict=True)
                )
                masks = [(bits < round(keep * 65536)).astype(f32) * f32(1 / keep) for bits in drawn]
            m, error = forward(weights, masks, x, target)
            x = x + error @ feedback.T
            r, error = forward(weights, masks, x, target)
            differences = [*(a - b for a, b in zip(m, r, strict=True)), error]
            gradients = [before.T @ d for before, d in zip([x, *r], differences, strict=True)]
            velocities = [
                f32(MOMENTUM) * v - f32(ETA / len(rows)) * g for v, g in zip(velocities, gradients, strict=True)
            ]
            return ([w + v for w, v in zip(weights, velocities, strict=True)], velocities, key), None

        self.scan = jax.jit(lambda state, rows: jax.lax.scan(step, state, rows)[0], donate_argnums=0)
        weights = [numpy.array(w) for w in problem.weights]
        self.state = weights, [numpy.zeros_like(w) for w in weights], jax.random.key(0)

    def weights(self):
        """The weights as they are now."""
        return [np.asarray(w) for w in self.state[0]]

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step, compiling included at the first call."""
        rows = np.stack([self.rows() for _ in range(steps)])
        start = time.perf_counter()
        self.state = self.jax.block_until_ready(self.scan(self.state, rows))
        return (time.perf_counter() - start) / steps
