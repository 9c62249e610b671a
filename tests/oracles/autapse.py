"""The report's network and rules in plain numpy, written from spec and report: for each error, every layer on its own.

    o(t) = (1 - s) o(t-1) + s f(a(t)),  a(t) = W (o(t-1) - o_c) + U x(t) + b,  s = dt/tau_m
    y(t) = V o(t) + c,  e(t) = y(t) - target(t)

The gradient of sample t goes back layer by layer, l = t, ..., 1; nothing is shared between samples, which costs t^2/2
layers instead of t. Weights are W (n, n), U (n, n_x), V (n_y, n), as in the report; `grad` is to be subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FUNCTIONS = {
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
    "tanh": (np.tanh, lambda a: np.cosh(a) ** -2.0),
    "relu": (lambda a: np.maximum(a, 0), lambda a: (a > 0).astype(float)),
    "softplus": (lambda a: np.log(1 + np.exp(a)), lambda a: 1 / (1 + np.exp(-a))),
}


@dataclass(frozen=True)
class Net:
    W: np.ndarray
    U: np.ndarray
    V: np.ndarray
    b: np.ndarray
    c: np.ndarray
    function: str = "sigmoid"
    centre: float = 0.0
    share: float = 1.0

    def forward(self, x):
        """a (T, n), o (T + 1, n) from o(0) = 0, y (T, n_y)."""
        f, _ = FUNCTIONS[self.function]
        o, a = [np.zeros(len(self.W))], []
        for given in x:
            a.append(self.W @ (o[-1] - self.centre) + self.U @ given + self.b)
            o.append((1 - self.share) * o[-1] + self.share * f(a[-1]))
        return np.array(a), np.array(o), np.array(o[1:]) @ self.V.T + self.c

    def pre(self, o, t):
        """What a(t) was made of, t = 1, ..., T."""
        return o[t - 1] - self.centre


def unfolded(net, x, target, kind, B=None, B_rec=None, average=True):
    """Gradient summed over the samples, each averaged over its layers: kind is "bptt", "fa" or "dfa"."""
    a, o, y = net.forward(x)
    slope, total = FUNCTIONS[net.function][1](a), np.zeros_like(net.W)
    back = {"bptt": net.W, "fa": B_rec, "dfa": None}[kind]
    for t in range(1, len(x) + 1):
        err = y[t - 1] - target[t - 1]
        z = B @ err if kind == "dfa" else net.V.T @ err
        grad = np.zeros_like(net.W)
        for layer in range(t, 0, -1):
            delta = net.share * z * slope[layer - 1]
            grad += np.outer(delta, net.pre(o, layer))
            if kind != "dfa":
                z = (1 - net.share) * z + back.T @ delta
        total += grad / (t * net.share) if average else grad
    return total


def autapse(net, x, target, B, memory):
    """Gradient of each sample, and the trace: k(t) = k(t-1) + (pre(t) - k(t-1))/memory, memory = tau_k/dt."""
    _, o, y = net.forward(x)
    k, traces, grads = np.zeros(len(net.W)), [], []
    for t in range(1, len(x) + 1):
        k = k + (net.pre(o, t) - k) / memory
        traces.append(k)
        grads.append(np.outer(B @ (y[t - 1] - target[t - 1]), k))
    return np.array(grads), np.array(traces)


def readout(net, x, target):
    """Gradients of V and c summed over the samples."""
    _, o, y = net.forward(x)
    return (y - target).T @ o[1:], np.sum(y - target, axis=0)


class Adam:
    """Kingma and Ba (2015), algorithm 1, as printed."""

    def __init__(self, alpha, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.alpha, self.beta_1, self.beta_2, self.epsilon = alpha, beta_1, beta_2, epsilon
        self.m = self.v = self.t = 0

    def step(self, theta, g):
        self.t += 1
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g * g
        m_hat, v_hat = self.m / (1 - self.beta_1**self.t), self.v / (1 - self.beta_2**self.t)
        return theta - self.alpha * m_hat / (np.sqrt(v_hat) + self.epsilon)
