"""The autapse paper's rules in the network of RFLO: by loops and explicit Jacobians, input weights included."""

import numpy as np
import pytest
from brian2 import ms

from neuroplast.models import rflo
from neuroplast.rules import AUTAPSE, BPTT_MEAN, DFA, DFA_MEAN, FA, FA_MEAN
from neuroplast.tasks import Condition, Task

N, INPUTS, OUTPUTS, SAMPLES, SHARE = 4, 2, 2, 12, 0.1
PARAMETERS = rflo.Parameters(N=N, eta_rec=1.0, eta_in=1.0, tau_k=4 * ms, q_lag=0, h0=0.3)
WEIGHTS = ("recurrent.w", "afferent.w")


def trajectory(w, given, h0):
    """Rates before each step, slopes in it, output after it."""
    h, before, slopes, outputs = h0, [], [], []
    for x in given.drive[1:]:
        before.append(h)
        u = w["w_rec"] @ h + w["w_in"] @ x
        h = (1 - SHARE) * h + SHARE * np.tanh(u)
        slopes.append(1 - np.tanh(u) ** 2)
        outputs.append(w["w_out"] @ h)
    return np.array(before), np.array(slopes), np.array(outputs)


def expected(rule, w, b_rec, given):
    """Change of W and W_in after one trial, at rates of 1."""
    before, slopes, outputs = trajectory(w, given, np.full(N, PARAMETERS.h0))
    errors, inputs = given.target[1:] - outputs, given.drive[1:]
    change = {"w_rec": np.zeros((N, N)), "w_in": np.zeros((N, INPUTS))}
    for name, pre in (("w_rec", before), ("w_in", inputs)):
        trace = np.zeros(pre.shape[1])
        for t, err in enumerate(errors):
            trace = trace + (pre[t] - trace) / 4
            if rule is AUTAPSE:
                change[name] += np.outer(w["b"] @ err, trace)
                continue
            mean = 1 / ((t + 1) * SHARE) if rule.name.endswith("_mean") else 1.0
            back = b_rec if rule.name.startswith("fa") else w["w_rec"]
            z = w["b"] @ err if rule.name.startswith("dfa") else w["w_out"].T @ err
            for layer in range(t, -1, -1):
                delta = SHARE * slopes[layer] * z
                change[name] += mean * np.outer(delta, pre[layer])
                if not rule.name.startswith("dfa"):
                    z = (1 - SHARE) * z + back.T @ delta
    return {name: values / SAMPLES for name, values in change.items()}


@pytest.mark.parametrize("rule", [AUTAPSE, DFA, DFA_MEAN, FA, FA_MEAN, BPTT_MEAN], ids=lambda rule: rule.name)
def test_rule_in_the_network_of_rflo(rule):
    rng = np.random.default_rng(7)
    given = Condition(rng.standard_normal((SAMPLES, OUTPUTS)), rng.standard_normal((SAMPLES, INPUTS)))
    model = rflo.build(PARAMETERS, Task(given), rule, record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(1).dataset
    w = rflo.state_to_weights(state, N)
    b_rec = np.reshape(state["recurrent.b"], (N, N)).T if "recurrent.b" in state else None
    for name, values in expected(rule, w, b_rec, given).items():
        ours = found[{"w_rec": "recurrent.w", "w_in": "afferent.w"}[name]][0].values.T - w[name]
        assert np.abs(values).max() > 1e-3
        np.testing.assert_allclose(ours, values, rtol=0, atol=1e-14, err_msg=name)


def test_traces_begin_each_trial_at_zero():
    rng = np.random.default_rng(7)
    given = Condition(rng.standard_normal((SAMPLES, OUTPUTS)), rng.standard_normal((SAMPLES, INPUTS)))
    still = rflo.Parameters(N=N, eta_rec=1e-9, eta_in=1e-9, eta_out=1e-9, h0=0.3)
    model = rflo.build(still, Task(given), AUTAPSE, record=WEIGHTS, target="numpy")
    found, begin = model.run(2).dataset, model.initial()
    for name in ("recurrent", "afferent"):
        weights = found[f"{name}.w"].values
        first, second = np.diff([begin[f"{name}.w"].reshape(-1, N), *weights], axis=0)
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-15)
