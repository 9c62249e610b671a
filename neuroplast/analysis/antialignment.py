"""PEPITA in a linear network with one hidden layer: the mean flow of its weights, and the angle that it leads to.

Appendix E of Dellaferrera & Kreiman (2022) in the convention of our arrays: rows are samples, matrices are presynaptic
x postsynaptic, so that ``w1``, ``w2``, `feedback` and `teacher` are the transposes of the paper's W_1, W_2, F and T.
With an input x ~ N(0, I) the standard pass gives ``h = x w1`` and ``y = h w2``. The target is that of a teacher,
``t = x teacher``, the error ``e = y - t = x E`` with ``E = w1 w2 - teacher``, and the modulated input
``x + sign*e feedback = x M`` with ``M = I + sign*E feedback``. Hence

    h - h_m = -sign * x E feedback w1          e_m = y_m - x teacher = x (M w1 w2 - teacher)

and the rule ``dw1 = -eta (x or x M)^T (h - h_m)``, ``dw2 = -eta (h or h_m)^T e_m`` is quadratic in x. Since the mean of
``x^T x`` is the identity, its mean over the inputs is what `flow` returns, without approximation.
"""

from __future__ import annotations

from itertools import count

import numpy as np
from scipy.integrate import solve_ivp

from neuroplast.analysis.alignment import product_angle
from neuroplast.errors import InputError

#: How far weights may grow, times the largest of them and of the teacher's, before a solution ends.
GROWTH = 1e4
#: How often the flow is evaluated before a solution is given up.
EVALUATIONS = 200_000
#: Whose presynaptic activity the plasticity of a layer sees.
PRESYNAPTIC = ("modulated", "standard")


def flow(w1, w2, feedback, teacher, *, sign: int = 1, presynaptic="modulated") -> tuple[np.ndarray, np.ndarray]:
    """Mean change of the weights in a step of a learning rate of one.

    Parameters
    ----------
    w1 : array_like of shape (N_in, N_hidden)
    w2 : array_like of shape (N_hidden, N_out)
    feedback : array_like of shape (N_out, N_in)
        From the errors onto the inputs.
    teacher : array_like of shape (N_in, N_out)
        The target is ``t = x teacher``.
    sign : {1, -1}
        Of the modulation: the input of the modulated pass is ``x + sign*e feedback``.
    presynaptic : {"modulated", "standard"}, or a pair of these
        Whose presynaptic activity the rule takes, of both layers or of the first and the second. The rule takes that of
        the modulated pass, the paper's proof that of the standard one (its ``x^T`` and ``h^T``).

    Returns
    -------
    dw1, dw2 : ndarray

    Raises
    ------
    InputError
        If the shapes do not fit, for another sign, or another presynaptic activity.
    """
    w1, w2, feedback, teacher = _checked(w1, w2, feedback, teacher)
    return _flow(w1, w2, feedback, teacher, _sign(sign), _presynaptic(presynaptic))


def overlap(w1, w2, feedback, dw1=None, dw2=None) -> float:
    """Inner product ``<flat(W_1^T W_2^T), flat(F)>``, or how fast it changes with the weights.

    Parameters
    ----------
    w1, w2, feedback
        See `flow`.
    dw1, dw2 : array_like, optional
        Changes of the weights per unit of time, from `flow` (times the learning rate): with these the result is the
        derivative, negative where the product turns away from the feedback.
    """
    w1, w2, feedback = (np.asarray(matrix, dtype=float) for matrix in (w1, w2, feedback))
    product = w1 @ w2 if dw1 is None else np.asarray(dw1) @ w2 + w1 @ np.asarray(dw2)
    return float(np.sum(product * feedback.T))


def integrate(
    w1, w2, feedback, teacher, times, *, eta=1.0, sign: int = 1, presynaptic="modulated", rtol=1e-8, method="DOP853"
) -> dict[str, np.ndarray]:
    """Solve ``dw/dt = eta*flow`` from given weights.

    Parameters
    ----------
    w1, w2, feedback, teacher, sign, presynaptic
        See `flow`; the weights are those at ``times[0]``.
    times : array_like of shape (times,)
        Increasing; steps, where `eta` is the learning rate of a step.
    eta : float, or a pair of floats
        Learning rate, or that of each layer: the proof first trains w1 alone, ``(eta, 0)``, and then w2.
    rtol : float
        Relative tolerance of `scipy.integrate.solve_ivp`.
    method : str
        Its method; "LSODA" for stiff flows of small networks, where large weights meet long times.

    Returns
    -------
    dict of str to ndarray
        ``w1``, ``w2``, (times, ...); along the times ``angle`` (degrees, `product_angle`), ``overlap`` and its
        derivative ``overlap_rate``, ``norm1`` (Frobenius norm of w1), and ``loss``, the mean squared error
        ``<|e|^2>/2``.

    Raises
    ------
    InputError
        See `flow`; for times that do not increase, weights that grow without bounds before the last of them, or a flow
        that the method cannot follow in 200,000 evaluations.
    """
    w1, w2, feedback, teacher = _checked(w1, w2, feedback, teacher)
    times, sign, presynaptic = np.asarray(times, dtype=float), _sign(sign), _presynaptic(presynaptic)
    rates = np.broadcast_to(np.asarray(eta, dtype=float), (2,))
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise InputError(f"integrate: times should be two or more increasing numbers. Got {times}.")

    def parts(state):
        return state[: w1.size].reshape(w1.shape), state[w1.size :].reshape(w2.shape)

    def changes(first, second):
        both = _flow(first, second, feedback, teacher, sign, presynaptic)
        return [rate * d for rate, d in zip(rates, both, strict=True)]

    evaluations = count(1)

    def change(t, state):
        if next(evaluations) > EVALUATIONS:
            raise InputError(
                f"integrate: {method} gets to t = {t:.3g} of {times[-1]:g} in {EVALUATIONS} evaluations of the flow. "
                "Stop earlier, take smaller weights, or method='LSODA'."
            )
        return np.concatenate([d.ravel() for d in changes(*parts(state))])

    begin = np.concatenate([w1.ravel(), w2.ravel()])
    atol, most = rtol * np.abs(begin).max(), GROWTH * max(np.abs(begin).max(), np.abs(teacher).max())

    def room(_, state):
        return most - np.abs(state).max()

    room.terminal = True
    solved = solve_ivp(change, times[[0, -1]], begin, method, times, events=room, rtol=rtol, atol=atol)
    if len(solved.t) < len(times):
        reached = solved.t_events[0][0] if len(solved.t_events[0]) else solved.t[-1]
        raise InputError(
            f"integrate: the weights grow without bounds at t = {reached:.3g}, before the last time {times[-1]:g}. "
            "Stop earlier, or take a smaller feedback or smaller weights."
        )
    found = [parts(state) for state in solved.y.T]
    first, second = (np.stack(matrices) for matrices in zip(*found, strict=True))
    return {
        "w1": first, "w2": second, "angle": product_angle([first, second], feedback),
        "overlap": np.array([overlap(a, b, feedback) for a, b in found]),
        "overlap_rate": np.array([overlap(a, b, feedback, *changes(a, b)) for a, b in found]),
        "norm1": np.linalg.norm(first, axis=(1, 2)),
        "loss": 0.5 * np.sum((first @ second - teacher) ** 2, axis=(1, 2)),
    }  # fmt: skip


def _flow(w1, w2, feedback, teacher, sign, presynaptic):
    product = w1 @ w2
    back = sign * (product - teacher) @ feedback
    modulated = np.eye(len(w1)) + back
    dw1, dw2 = back @ w1, -(modulated @ product - teacher)
    if presynaptic[0] == "modulated":
        dw1 = modulated.T @ dw1
    if presynaptic[1] == "modulated":
        dw2 = modulated.T @ dw2
    return dw1, w1.T @ dw2


def _checked(w1, w2, feedback, teacher):
    w1, w2, feedback, teacher = (np.asarray(matrix, dtype=float) for matrix in (w1, w2, feedback, teacher))
    fits = w1.ndim == w2.ndim == 2 and w1.shape[1] == w2.shape[0]
    outer = (w1.shape[0], w2.shape[1]) if fits else None
    if not fits or feedback.shape != outer[::-1] or teacher.shape != outer:
        raise InputError(
            "The linear network has w1 (N_in, N_hidden), w2 (N_hidden, N_out), feedback (N_out, N_in) and teacher "
            f"(N_in, N_out). Got {w1.shape}, {w2.shape}, {feedback.shape} and {teacher.shape}."
        )
    return w1, w2, feedback, teacher


def _sign(sign):
    if sign not in (1, -1):
        raise InputError(f"sign should be 1 or -1. Got {sign!r}.")
    return sign


def _presynaptic(given):
    pair = (given, given) if isinstance(given, str) else tuple(given)
    if len(pair) != 2 or any(one not in PRESYNAPTIC for one in pair):
        raise InputError(f"presynaptic should be one of {', '.join(PRESYNAPTIC)}, or a pair of these. Got {given!r}.")
    return pair
