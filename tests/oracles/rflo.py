"""RFLO, BPTT and RTRL in plain numpy: a second implementation that the models are compared with.

Written for reading, from Murray (2019), eLife 8:e43299, equations 1-7, and the authors' notebook. Time is
counted in steps and `tau` is given in steps, so that another dt is another `tau`.

    h(k+1) = h(k) + (-h(k) + tanh u)/tau,   u = W_rec h(k) + W_in x(k+1)        (1)
    y = W_out h,  err = target - y,  L = sum_{k>=1} |err|^2 / 2T                (2)
    P_jab(k+1) = (1-1/tau) P_jab + phi'(u_j)/tau [d_ja h_b(k) + sum_i W_ji P_iab](3)  RTRL
    p_ab(k+1)  = (1-1/tau) p_ab  + phi'(u_a)/tau h_b(k)                         (4)  RFLO: (3) without the sum
    z(k-1) = (1-1/tau) z(k) + M err(k-1) + W_rec^T [z(k) phi'(u(k))]/tau        (5)  BPTT

q is p with the input in place of h. The error reaches unit a as (M err)_a with M = W_out^T or the fixed
matrix B.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Weights:
    """`rec` (N, N), `inp` (N, N_x) and `out` (N_y, N); also used for a change of the three."""

    inp: np.ndarray
    rec: np.ndarray
    out: np.ndarray

    def __add__(self, other):
        return Weights(self.inp + other.inp, self.rec + other.rec, self.out + other.out)

    def times(self, inp, rec, out):
        return Weights(self.inp * inp, self.rec * rec, self.out * out)

    def zeros(self):
        return self.times(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rule:
    """A learning rule as a choice on each axis on which the variants differ.

    Parameters
    ----------
    kind : "local", "rtrl", "bptt" or None
        Equation (4), (3), (5), or no learning. ("local", "B") is RFLO.
    feedback : "B" or "W_out"
        What M is.
    guarded : bool
        Slope of the authors' code, cosh(10 tanh(u/10))^-2, in place of 1 - tanh(u)^2.
    q_lag : 0 or 1
        Which input the trace q reads: 0 is the one that u reads (exact; authors' RTRL), 1 the one before it
        (authors' RFLO).
    q_start : bool
        Start q from x(0)/tau (authors) instead of 0.
    slips : bool
        The authors' index in (5), err(k) for err(k-1), and their broadcast in (3), phi'(u_i) for phi'(u_j).
    """

    kind: str | None
    feedback: str
    guarded: bool = False
    q_lag: int = 0
    q_start: bool = False
    slips: bool = False

    def as_in_notebook(self):
        """The same rule as the authors' code computes it."""
        return replace(self, guarded=True, q_lag=int(self.kind == "local"), q_start=True, slips=True)


RFLO = Rule("local", "B")
LOCAL_SYMMETRIC = Rule("local", "W_out")
RTRL = Rule("rtrl", "W_out")
BPTT = Rule("bptt", "W_out")
RANDOM_NONLOCAL = Rule("bptt", "B")
FROZEN = Rule(None, "B")


@dataclass(frozen=True)
class Trial:
    """Recorded trial: u and h (T, N), y (T, N_y); y(0) is left at 0, as the authors leave it."""

    u: np.ndarray
    h: np.ndarray
    y: np.ndarray

    def loss(self, target):
        """Loss as the authors report it: the mean over all T steps, the first with y(0) = 0 included."""
        return 0.5 * np.mean(np.sum((target - self.y) ** 2, axis=1))


def slope(u, guarded=False):
    """phi'(u), exact or with the overflow guard of the authors' code."""
    return np.cosh(10.0 * np.tanh(u / 10.0)) ** -2.0 if guarded else 1.0 - np.tanh(u) ** 2


def move(w, h, x, tau):
    """One step of equation (1): (u, new h)."""
    u = w.rec @ h + w.inp @ x
    return u, h + (-h + np.tanh(u)) / tau


def forward(w, x, h0, tau):
    """One trial without learning."""
    return run_trial(w, None, x, np.zeros((len(x), len(w.out))), h0, tau, (0, 0, 0), FROZEN)[1]


def gradient_loss(w, x, target, h0, tau):
    """The loss (2) that the exact rules descend."""
    err = (target - forward(w, x, h0, tau).y)[1:]
    return np.sum(err**2) / (2 * len(x))


def run_trial(w, B, x, target, h0, tau, eta, rule, online=False):
    """One trial of T steps with learning.

    Parameters
    ----------
    w : Weights
    B : array (N, N_y)
    x, target : arrays (T, N_x), (T, N_y)
    h0 : array (N,)
    tau : float
        In steps.
    eta : (eta_in, eta_rec, eta_out)
        Order of the authors' code.
    online : bool
        Add the change after each step; otherwise at the end of the trial.

    Returns
    -------
    Weights, Trial
    """
    T = len(x)
    rates = [rate / T for rate in eta]
    u, h, y = np.zeros((T, len(h0))), np.zeros((T, len(h0))), np.zeros((T, len(w.out)))
    h[0] = h0
    if rule.kind == "bptt" and online:
        raise ValueError("BPTT needs the whole trial: online=False")
    if rule.kind in ("local", "rtrl"):
        p, q = start_traces(w, x[0], tau, rule)
    total = w.zeros()
    for k in range(1, T):
        u[k], h[k] = move(w, h[k - 1], x[k], tau)
        y[k] = w.out @ h[k]
        if rule.kind not in ("local", "rtrl"):
            continue
        err = target[k] - y[k]
        p = move_trace(p, w, u[k], h[k - 1], tau, rule)
        q = move_trace(q, w, u[k], x[k - rule.q_lag], tau, rule)
        at_unit = (w.out.T if rule.feedback == "W_out" else B) @ err
        change = Weights(weigh(at_unit, q), weigh(at_unit, p), np.outer(err, h[k])).times(*rates)
        if online:
            w = w + change
        else:
            total = total + change
    trial = Trial(u, h, y)
    if rule.kind == "bptt":
        total = backpropagate(w, B, x, target, trial, tau, rule).times(*rates)
    return w + total, trial


def start_traces(w, x0, tau, rule):
    """p(0) and q(0): (N, .) for the local rule, (N, N, .) for RTRL."""
    N = len(w.rec)
    units = (N,) if rule.kind == "local" else (N, N)
    p, q = np.zeros((*units, N)), np.zeros((*units, len(x0)))
    if rule.q_start:
        own = np.arange(N)
        q[own if rule.kind == "local" else (own, own)] = x0 / tau
    return p, q


def move_trace(p, w, u, pre, tau, rule):
    """One step of equation (4), or of (3) if the rule is RTRL."""
    dphi = slope(u, rule.guarded)
    if rule.kind == "local":
        return (1 - 1 / tau) * p + np.outer(dphi, pre) / tau
    jacobian = w.rec * dphi[None, :] if rule.slips else w.rec * dphi[:, None]
    direct = np.zeros_like(p)
    own = np.arange(len(u))
    direct[own, own, :] = np.outer(dphi, pre)
    return (1 - 1 / tau) * p + (direct + np.einsum("ji,iab->jab", jacobian, p)) / tau


def weigh(at_unit, p):
    """(M err)_a p_ab, or sum_j (M err)_j P_jab."""
    return at_unit[:, None] * p if p.ndim == 2 else np.einsum("j,jab->ab", at_unit, p)


def backpropagate(w, B, x, target, trial, tau, rule):
    """Equation (5) backward over a recorded trial: sum over k of the change, without the rates."""
    M = w.out.T if rule.feedback == "W_out" else B
    err = target - trial.y
    T = len(x)
    total = w.zeros()
    z = M @ err[T - 1]
    for k in range(T - 1, 0, -1):
        delta = z * slope(trial.u[k], rule.guarded) / tau
        total = total + Weights(np.outer(delta, x[k]), np.outer(delta, trial.h[k - 1]), np.outer(err[k], trial.h[k]))
        z = (1 - 1 / tau) * z + M @ err[k if rule.slips else k - 1] + w.rec.T @ delta
    return total


def train(w, B, x, target, h0, tau, eta, rule, trials, online=False):
    """Several trials from the same `h0`; yields (weights after the trial, its Trial)."""
    for _ in range(trials):
        w, trial = run_trial(w, B, x, target, h0, tau, eta, rule, online)
        yield w, trial
