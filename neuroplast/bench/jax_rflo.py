"""The benchmark's step as a jitted JAX scan, on the CPU."""

from __future__ import annotations

import time

import numpy as np

from neuroplast.bench.problem import PERIOD, RATE, TAU, make_problem
from neuroplast.errors import InputError


def load_jax():
    """JAX with 64-bit numbers allowed.

    Raises
    ------
    InputError
        If JAX is not installed.
    """
    try:
        import jax
    except ImportError as missing:
        raise InputError("jax not installed: pip install neuroplast[bench]") from missing
    jax.config.update("jax_enable_x64", True)
    return jax


class JaxRFLO:
    """Online RFLO as `jax.lax.scan` over steps; the state is donated, so that XLA may update it in place.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}

    Raises
    ------
    InputError
        If JAX is not installed.
    """

    def __init__(self, N, dtype):
        jax = load_jax()
        self.problem = make_problem(N, dtype)
        self.k = 0
        self.about = f"jax {jax.__version__}"
        start = {name: getattr(self.problem, name) for name in ("h", "w", "w_in", "w_out")}
        start |= {"p": np.zeros((N, N), dtype), "q": np.full(N, self.problem.drive[0] / TAU)}
        self.state = {name: jax.numpy.array(value) for name, value in start.items()}
        feedback = jax.numpy.array(self.problem.feedback)

        def step(state, inputs):
            h, p, q, w, w_in, w_out = (state[name] for name in ("h", "p", "q", "w", "w_in", "w_out"))
            x_last, x, goal = inputs
            r = jax.numpy.tanh(w @ h + w_in * x)
            slope = (1 - r * r) / TAU
            p = (1 - 1 / TAU) * p + slope[:, None] * h
            q = (1 - 1 / TAU) * q + slope * x_last
            h = h + (r - h) / TAU
            change = RATE * (goal - w_out @ h)
            error = feedback * change
            w_out = w_out + change * h
            w = w + error[:, None] * p
            w_in = w_in + error * q
            return dict(h=h, p=p, q=q, w=w, w_in=w_in, w_out=w_out), None

        self.scan = jax.jit(lambda state, inputs: jax.lax.scan(step, state, inputs)[0], donate_argnums=0)
        self.wait = jax.block_until_ready

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step, compiling included at the first call."""
        k = np.arange(self.k, self.k + steps)
        drive, target = self.problem.drive, self.problem.target
        inputs = drive[k % PERIOD], drive[(k + 1) % PERIOD], target[(k + 1) % PERIOD]
        start = time.perf_counter()
        self.state = self.wait(self.scan(self.state, inputs))
        taken = time.perf_counter() - start
        self.k += steps
        return taken / steps
