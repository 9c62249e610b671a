"""Adjoint propagation in loops over images, for modules in a row; row vectors, as in the paper's code."""

import numpy as np


def softmax(a):
    made = np.exp(a - a.max())
    return made / made.sum()


def relax(z, w, clamp, steps, rate=1.0):
    for _ in range(steps):
        z = z + rate * (-z + np.tanh(z @ w + clamp))
    return z


def gradients(weights, x, t, roles, t1, t2, beta=1.0, epe=False, derivative=False, rate=1.0):
    """Gradients of one image.

    ``weights`` has w_in, w (list), w_out, e_out, e (list), rec (list); ``roles`` the slices RI, SI, RE, SE.
    """
    RI, SI, RE, SE = roles
    n, L = len(weights["rec"][0]), len(weights["rec"])
    states, clamps, sent = [], [], x @ weights["w_in"]
    for i in range(L):
        clamp = np.zeros(n)
        clamp[RI] += sent
        states.append(relax(np.zeros(n), weights["rec"][i], clamp, t1, rate))
        clamps.append(clamp)
        if i < L - 1:
            sent = states[i][SI] @ weights["w"][i]
    p = softmax(states[-1][SI] @ weights["w_out"])
    e_out, errors = p - t, [None] * L
    back = -beta * e_out @ weights["e_out"]
    for i in range(L - 1, -1, -1):
        clamp = clamps[i].copy()
        clamp[RE] += back
        start = states[i] if epe else np.zeros(n)
        errors[i] = states[i] - relax(start, weights["rec"][i], clamp, t2, rate)
        if i:
            back = -beta * errors[i][SE] @ weights["e"][i - 1]
    found = {"w_out": np.outer(states[-1][SI], e_out)}
    for i in range(L):
        taught = errors[i][RI] * (1 - states[i][RI] ** 2) if derivative else errors[i][RI]
        found["w_in" if i == 0 else f"w{i}"] = np.outer(x if i == 0 else states[i - 1][SI], taught)
    return found, p
