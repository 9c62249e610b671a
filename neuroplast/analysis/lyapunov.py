"""How fast nearby states of a recurrent network part: Lyapunov exponents along a trajectory."""

from __future__ import annotations

import numpy as np

from neuroplast.errors import InputError


def growth(w, current, perturbation, steps, *, state=None):
    """Logarithmic growth of a small perturbation of ``z <- tanh(z w + current)`` in each step.

    Parameters
    ----------
    w : array, shape (n, n)
        Recurrent weights, presynaptic rows.
    current : array, shape (n,) or (samples, n)
        What comes in besides, held.
    perturbation : array, shape (n,)
        Direction at the start; its length does not matter.
    steps : int
    state : array, shape (n,) or (samples, n), optional
        Where it starts; zero by default.

    Returns
    -------
    growth : array, shape (steps,) or (steps, samples)
        ``ln |dp|`` of the tangent vector, which is normalised after each step (Liu et al. 2026, Methods).

    Raises
    ------
    InputError
        For shapes that do not fit, a perturbation of zero, or less than one step.

    Notes
    -----
    The mean over many steps tends to the maximal Lyapunov exponent; that of the first 8 is the finite-time one of the
    paper. Of a linear network with one dominant real eigenvalue it is the logarithm of its absolute value.
    """
    w, current, p = (np.asarray(values, dtype=float) for values in (w, current, perturbation))
    n = len(w)
    z = np.zeros_like(current) if state is None else np.asarray(state, dtype=float)
    if w.shape != (n, n) or p.shape != (n,) or current.shape[-1:] != (n,) or z.shape != current.shape:
        raise InputError(
            f"growth: w should have shape (n, n), perturbation (n,), current and state (n,) or (samples, n). Got "
            f"{w.shape}, {p.shape}, {current.shape}, {z.shape}."
        )
    if steps < 1 or not np.linalg.norm(p) > 0:
        raise InputError(f"growth: steps should be positive and the perturbation not zero. Got {steps}, {p}.")
    p = np.broadcast_to(p / np.linalg.norm(p), current.shape)
    found = []
    for _ in range(steps):
        z = np.tanh(z @ w + current)
        p = (p @ w) * (1 - z**2)
        size = np.linalg.norm(p, axis=-1, keepdims=True)
        with np.errstate(divide="ignore"):  # a network without weights forgets at once: -inf
            found.append(np.log(size[..., 0]))
        p = p / np.where(size > 0, size, 1)
    return np.array(found)


def exponents(w, current, perturbation, *, steps=500, first=8):
    """Maximal and finite-time Lyapunov exponent, means over the samples.

    Parameters
    ----------
    w, current, perturbation
        As for `growth`.
    steps : int
        The maximal one is the mean over the second half of them.
    first : int
        Steps of the finite-time one.

    Returns
    -------
    maximal, finite_time : float
    """
    if not 1 <= first <= steps:
        raise InputError(f"exponents: first should be from 1 to {steps} steps. Got {first}.")
    rates = growth(w, current, perturbation, steps)
    return float(rates[steps // 2 :].mean()), float(rates[:first].mean())
