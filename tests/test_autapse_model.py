"""The autapse network on the engine against the numpy oracle, finite differences and a fine ODE solver."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms
from oracles import autapse as oracle
from scipy.integrate import solve_ivp

from neuroplast import rules
from neuroplast.errors import InputError
from neuroplast.models import autapse
from neuroplast.rules import AUTAPSE, BPTT, BPTT_MEAN, DELTA, DFA, DFA_MEAN, FA, FA_MEAN, FROZEN, LOCAL, RFLO, dale
from neuroplast.tasks import Condition, Task, periodic
from neuroplast.worlds import ball

N, STEPS = 3, 9
PARAMETERS = autapse.Parameters(N=N, burn_in=2, g=2.0, g_bias=0.5, eta_rec=0.7)
EPOCHS = 3
WEIGHTS = ("recurrent.w:at=epoch",)
TESTED = ("units.h:phase=test", "units.trace:phase=test")


def make_task(conditions=3, tests=(1, 3), steps=STEPS):
    rng = np.random.default_rng(1)
    made = [Condition(rng.standard_normal((steps + 1, 2)), rng.standard_normal((steps + 1, 2))) for _ in range(4)]
    return Task(made, order=np.arange(conditions), tests=np.array(tests))


def net_of(state, parameters, w_rec=None):
    """The oracle's network of a state."""
    n = parameters.N
    matrices = {name: np.reshape(state[f"{name}.w"], (-1, n if name != "readout" else 2)).T for name in
                ("recurrent", "afferent", "readout")}  # fmt: skip
    bias = np.broadcast_to(state["units.bias"], n)
    return oracle.Net(
        matrices["recurrent"] if w_rec is None else w_rec, matrices["afferent"], matrices["readout"], bias,
        np.zeros(2), parameters.activation, parameters.centre, float(parameters.dt / parameters.tau),
    )  # fmt: skip


def feedback(state, n=N):
    """B and B_rec as the oracle takes them."""
    b_rec = np.reshape(state["recurrent.b"], (n, n)).T if "recurrent.b" in state else None
    return np.reshape(state["readout.b"], (n, 2)), b_rec


def gradient(net, given, rule, B, B_rec, parameters):
    """The oracle's gradient of one trajectory, summed over its samples."""
    x, target, name = given.drive[1:], given.target[1:], rule.name
    if name == "autapse":
        return oracle.autapse(net, x, target, B, float(parameters.tau_k / parameters.dt))[0].sum(axis=0)
    return oracle.unfolded(net, x, target, name.removesuffix("_mean"), B, B_rec, name.endswith("_mean"))


RULES = [AUTAPSE, BPTT, BPTT_MEAN, FA, FA_MEAN, DFA, DFA_MEAN]
CASES = {
    "paper": {"N": 2, "g_bias": 0.0},
    "activation": {"activation": "softplus", "centre": 0.5, "g": 0.7, "eta_rec": 0.05},
    "biology": {"dt": 0.25 * ms, "activation": "tanh"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("case", CASES)
def test_learns_as_the_oracle(rule, case):
    """Weights after each epoch of three trajectories, one change each; outputs and errors besides."""
    parameters, task = replace(PARAMETERS, **CASES[case]), make_task()
    model = autapse.build(parameters, task, rule, record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(EPOCHS).dataset
    net, (B, B_rec), wanted, errors = net_of(state, parameters), feedback(state, parameters.N), [], []
    for _ in range(EPOCHS):
        squared = []
        for number in task.order:
            given = task.conditions[number]
            squared.append((net.forward(given.drive[1:])[2] - given.target[1:])[parameters.burn_in :] ** 2)
            change = gradient(net, given, rule, B, B_rec, parameters) * parameters.eta_rec / STEPS
            net = replace(net, W=net.W - change)
        wanted.append(net.W.T)
        tested = [task.conditions[number] for number in task.tests]
        made = [net.forward(given.drive[1:])[2] for given in tested]
        left = [(y - given.target[1:])[parameters.burn_in :] ** 2 for y, given in zip(made, tested, strict=True)]
        errors.append((np.mean(squared), np.mean(left)))
    assert np.abs(wanted[-1] - wanted[0]).max() > 1e-3
    np.testing.assert_allclose(found["recurrent.w"], wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.train_mse, [train for train, _ in errors], rtol=1e-12)
    np.testing.assert_allclose(found.validation_mse, [left for _, left in errors], rtol=1e-12)
    np.testing.assert_allclose(found.output, made, rtol=0, atol=1e-12)
    again = [net.forward(task.conditions[number].drive[1:])[2] for number in task.order]
    np.testing.assert_allclose(found.training_output, again, rtol=0, atol=1e-12)


def test_online_changes_the_weights_in_each_step():
    task, memory = make_task(conditions=1), 5
    model = autapse.build(PARAMETERS, task, update="online", record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(1).dataset
    net, (B, _), given = net_of(state, PARAMETERS), feedback(state), task.conditions[0]
    W, o, k = net.W, np.zeros(N), np.zeros(N)
    for x, goal in zip(given.drive[1:], given.target[1:], strict=True):
        k = k + (o - k) / memory
        o = 1 / (1 + np.exp(-(W @ o + net.U @ x + net.b)))
        W = W - PARAMETERS.eta_rec / STEPS * np.outer(B @ (net.V @ o - goal), k)
    np.testing.assert_allclose(found["recurrent.w"][0].values.T, W, rtol=0, atol=1e-14)
    one_change = gradient(net, given, AUTAPSE, B, None, PARAMETERS) * PARAMETERS.eta_rec / STEPS
    assert np.abs(W - (net.W - one_change)).max() > 1e-4


@pytest.mark.parametrize("activation", autapse.ACTIVATIONS)
@pytest.mark.parametrize("rule", [BPTT, BPTT_MEAN], ids=lambda rule: rule.name)
def test_backpropagation_is_the_gradient(rule, activation):
    """From outputs alone: the sum over t of |e|^2/2, or of |e|^2/(2t) for the mean over layers."""
    parameters, task = replace(PARAMETERS, activation=activation, eta_rec=1.0), make_task(conditions=1, tests=(0,))
    model = autapse.build(parameters, task, rule, record=WEIGHTS, target="numpy")
    weights, step, goal = model.initial()["recurrent.w"], 1e-5, task.conditions[0].target[1:]
    share = 1 / np.arange(1, STEPS + 1) if rule is BPTT_MEAN else np.ones(STEPS)

    def loss(w):
        output = model.run(0, state={"recurrent.w": w}).dataset.output[0].values
        return np.sum(share[:, None] * (output - goal) ** 2) / 2 / STEPS

    slope = [(loss(weights + d) - loss(weights - d)) / (2 * step) for d in step * np.eye(weights.size)]
    change = model.run(1).dataset["recurrent.w"][0].values.ravel() - weights
    assert np.linalg.norm(change + slope) < 1e-7 * np.linalg.norm(slope)


def test_changes_are_means_over_several_trajectories():
    task = make_task()
    model = autapse.build(replace(PARAMETERS, every=3), task, DFA_MEAN, record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(2).dataset
    net, (B, _) = net_of(state, PARAMETERS), feedback(state)
    for epoch in range(2):
        grads = [gradient(net, task.conditions[i], DFA_MEAN, B, None, PARAMETERS) for i in task.order]
        net = replace(net, W=net.W - PARAMETERS.eta_rec / STEPS * np.mean(grads, axis=0))
        np.testing.assert_allclose(found["recurrent.w"][epoch].values.T, net.W, rtol=0, atol=1e-13)


@pytest.mark.parametrize("every", [1, 3])
def test_trainable_readout_and_adam(every):
    """V, c by the delta rule and W by BPTT, each with the Adam of its publication."""
    parameters = replace(PARAMETERS, optimiser="adam", eta_rec=0.02, eta_out=0.05, every=every, centre=0.5)
    task = make_task()
    record = (*WEIGHTS, "readout.w:at=epoch", "offset.w:at=epoch")
    model = autapse.build(parameters, task, BPTT_MEAN, readout_rule=DELTA, record=record, target="numpy")
    state, found = model.initial(), model.run(EPOCHS).dataset
    net, rates = net_of(state, parameters), (parameters.eta_rec, parameters.eta_out, parameters.eta_out)
    adams, wanted = [oracle.Adam(eta) for eta in rates], []
    for _ in range(EPOCHS):
        for first in range(0, 3, every):
            grads = []
            for number in task.order[first : first + every]:
                x, goal = task.conditions[number].drive[1:], task.conditions[number].target[1:]
                grads.append((oracle.unfolded(net, x, goal, "bptt"), *oracle.readout(net, x, goal)))
            means = [np.mean(parts, axis=0) / STEPS for parts in zip(*grads, strict=True)]
            W, V, c = (adam.step(theta, g) for adam, theta, g in zip(adams, (net.W, net.V, net.c), means, strict=True))
            net = replace(net, W=W, V=V, c=c)
        wanted.append(net)
    for ours, name in (("recurrent.w", "W"), ("readout.w", "V"), ("offset.w", "c")):
        values = np.stack([np.atleast_2d(getattr(net, name).T) for net in wanted])
        np.testing.assert_allclose(found[ours], values, rtol=0, atol=1e-10, err_msg=name)


def test_adam_in_each_step():
    task, parameters = make_task(conditions=1), replace(PARAMETERS, optimiser="adam", eta_rec=0.02)
    model = autapse.build(parameters, task, update="online", record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(1).dataset
    net, (B, _), given, adam = net_of(state, PARAMETERS), feedback(state), task.conditions[0], oracle.Adam(0.02)
    W, o, k = net.W, np.zeros(N), np.zeros(N)
    for x, goal in zip(given.drive[1:], given.target[1:], strict=True):
        k = k + (o - k) / 5
        o = 1 / (1 + np.exp(-(W @ o + net.U @ x + net.b)))
        grad = np.outer(B @ (net.V @ o - goal), k) / STEPS
        # Adam's first quotient is 0/0 without epsilon: a synapse without activity has no gradient
        W = adam.step(W, grad)
    np.testing.assert_allclose(found["recurrent.w"][0].values.T, W, rtol=0, atol=1e-11)


def test_compiled_equals_numpy():
    task, parameters = make_task(), replace(PARAMETERS, optimiser="adam", eta_rec=0.02, centre=0.5)
    record = ("units.h:epochs=-1", "units.spikes", "recurrent:at=epoch", "units.credit:phase=fit:every=3", *TESTED[:1])
    for rule, update in ((AUTAPSE, "online"), (FA_MEAN, "trial")):
        cpp, numpy = (
            autapse.build(parameters, task, rule, readout_rule=DELTA, update=update, record=record,
                          target=target).run(EPOCHS).dataset
            for target in ("cpp", "numpy")
        )  # fmt: skip
        assert set(cpp) == set(numpy) and {"units.h", "units.spikes", "recurrent.w", "units.credit_fit"} < set(cpp)
        for name in cpp:
            np.testing.assert_allclose(cpp[name], numpy[name], rtol=0, atol=1e-10, err_msg=name)


def test_can_be_cut_anywhere():
    parameters = replace(PARAMETERS, optimiser="adam")
    model = autapse.build(parameters, make_task(conditions=2), FA, readout_rule=DELTA, target="numpy")
    counts, begin = model.counts(2), model.initial()
    whole = model.simulation.run(begin, counts=counts).state
    for cut in range(1, model.simulation.length(counts), 7):
        part = model.simulation.run(begin, stop=cut, counts=counts)
        rest = model.simulation.run(part.state, start=cut, counts=counts).state
        for name, values in whole.items():
            np.testing.assert_array_equal(rest[name], values, err_msg=f"{name}, cut at {cut}")


def moving(per_tau, steps):
    """Rates and traces at a time step, of a net whose input is a wave; and the solution of the equations."""
    t = np.arange(steps * per_tau + 1) / per_tau  # in time constants of the units
    wave = np.stack([np.sin(t), np.cos(2 * t)], axis=1)
    parameters = replace(PARAMETERS, dt=1 * ms / per_tau, tau_k=3 * ms)
    model = autapse.build(parameters, Task(Condition(wave, wave)), record=TESTED, target="numpy")
    found, net = model.run(0).dataset, net_of(model.initial(), parameters)

    def rates(t, state):
        o, k = state[:N], state[N:]
        a = net.W @ o + net.U @ np.array([np.sin(t), np.cos(2 * t)]) + net.b
        return np.concatenate([-o + 1 / (1 + np.exp(-a)), (o - k) / 3])

    exact = solve_ivp(rates, (0, steps), np.zeros(2 * N), rtol=1e-9, atol=1e-9).y[:, -1]
    return np.concatenate([found["units.h_test"][0, -1], found["units.trace_test"][0, -1]]), exact


def test_smaller_steps_converge_on_the_differential_equations():
    gaps = []
    for per_tau in (20, 40, 80):
        found, exact = moving(per_tau, steps=4)
        gaps.append(np.linalg.norm(found - exact))
    assert gaps[-1] < 0.02 * np.linalg.norm(exact)
    assert gaps[1] / gaps[0] == pytest.approx(0.5, abs=0.05) and gaps[2] / gaps[1] == pytest.approx(0.5, abs=0.05)


def test_trace_without_memory_is_the_activity():
    parameters = replace(PARAMETERS, tau_k=PARAMETERS.dt)
    found = autapse.build(parameters, make_task(), record=TESTED, target="numpy").run(0).dataset
    np.testing.assert_allclose(
        found["units.trace_test"][:, 1:], found["units.h_test"][:, :-1].values, rtol=0, atol=1e-15
    )
    np.testing.assert_array_equal(found["units.trace_test"][:, 0], 0)


@pytest.mark.parametrize("rule", [RFLO, LOCAL, dale(RFLO), dale(AUTAPSE)], ids=lambda rule: rule.name)
def test_rules_of_the_other_network_run_here(rule):
    """RFLO at dt = tau: the slope times the activity that drove the unit, without memory."""
    task = make_task(conditions=1)
    model = autapse.build(PARAMETERS, task, rule, record=WEIGHTS, target="numpy")
    state, found = model.initial(), model.run(1).dataset
    net, (B, _), given = net_of(state, PARAMETERS), feedback(state), task.conditions[0]
    a, o, y = net.forward(given.drive[1:])
    B = net.V.T if rule is LOCAL else B
    slope = oracle.FUNCTIONS["sigmoid"][1](a)
    traces = np.array([np.outer(slope[t], o[t]) for t in range(STEPS)])
    if "autapse" in rule.name:
        traces = oracle.autapse(net, given.drive[1:], given.target[1:], B, 5)[1][:, None, :]
    change = np.sum(((y - given.target[1:]) @ B.T)[:, :, None] * traces, axis=0) * PARAMETERS.eta_rec / STEPS
    wanted = net.W - change
    if rule.constraint:
        sign = np.array([1, 1, -1.0])
        np.testing.assert_array_equal(np.sign(net.W), np.broadcast_to(sign, (N, N)))
        wanted = sign * np.maximum(0, sign * wanted)
    np.testing.assert_allclose(found["recurrent.w"][0].values.T, wanted, rtol=0, atol=1e-13)


def test_a_step_longer_than_the_trace_is_no_matter_to_rules_without_one():
    coarse = replace(PARAMETERS, tau=8 * ms, dt=8 * ms)
    autapse.build(coarse, make_task(), BPTT, target="numpy")
    with pytest.raises(InputError, match="Got tau_k=5. ms and dt=8. ms"):
        autapse.build(coarse, make_task(), target="numpy")


def test_a_task_without_input():
    found = autapse.build(replace(PARAMETERS, burn_in=0), periodic(10), readout_rule=DELTA, target="numpy").run(2)
    assert found.dataset.output.shape == (1, 9, 1)


def test_initial_weights():
    task, big = ball(samples=20), autapse.Parameters(N=300)
    drawn = {seed: autapse.initial_values(autapse.Parameters(), task, seed) for seed in (0, 1)}
    for state in drawn.values():
        np.testing.assert_array_equal(state["afferent.w"], np.eye(2))
        np.testing.assert_array_equal(state["readout.w"], np.eye(2))
        assert (np.linalg.eigvalsh(state["readout.b"]) >= 0.2).all()
        np.testing.assert_array_equal(state["readout.b"], state["recurrent.b"])
    assert not np.array_equal(drawn[0]["recurrent.w"], drawn[1]["recurrent.w"])
    flipped = autapse.initial_values(autapse.Parameters(b_sign=-1), task, 0)
    np.testing.assert_array_equal(flipped["readout.b"], -drawn[0]["readout.b"])
    np.testing.assert_array_equal(flipped["recurrent.w"], drawn[0]["recurrent.w"])
    state = autapse.initial_values(replace(big, **{**autapse.EXTENSION, "N": 300}), task, 0)
    assert state["recurrent.w"].std() == pytest.approx(4 / np.sqrt(300), rel=0.02)
    assert state["afferent.w"].std() == pytest.approx(2, rel=0.1) and not state["readout.w"].any()
    assert state["recurrent.b"].std() == pytest.approx(4 / np.sqrt(300), rel=0.02)
    assert state["readout.b"].std() == pytest.approx(1, rel=0.1) and state["units.bias"].std() == pytest.approx(1, 0.2)
    state = autapse.initial_values(big, task, 0)
    assert state["afferent.w"].std() == pytest.approx(0.5**0.5, rel=0.1)
    assert state["readout.w"].std() == pytest.approx(1 / np.sqrt(300), rel=0.1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tau": -1 * ms}, "tau should be a positive time such as 10\\*ms. Got -1. ms"),
        ({"tau_k": -1 * ms}, "tau_k should be a positive time such as 10\\*ms. Got -1. ms"),
        ({"activation": "step"}, "activation should be one of sigmoid, tanh, relu, softplus. Got 'step'"),
        ({"optimiser": "lion"}, "optimiser should be one of sgd, adam. Got 'lion'"),
        ({"every": 0}, "every should be a whole number from 1. Got 0"),
        ({"burn_in": -1}, "burn_in should be a whole number from 0. Got -1"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(PARAMETERS, **change)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"parameters": replace(PARAMETERS, every=2)}, "every should divide the 3 trajectories of an epoch.* Got 2"),
        ({"parameters": replace(PARAMETERS, burn_in=9)}, "burn_in should be less than the 9 steps .* Got 9"),
        (
            {"parameters": replace(PARAMETERS, tau_k=0.5 * ms)},
            "tau_k should be at least dt under the rule 'autapse'. Got tau_k=0.5 ms and dt=1. ms: .* overshoots",
        ),
        ({"rule": BPTT_MEAN, "update": "online"}, "'bptt_mean' needs the whole trial.*Choose update='trial'"),
        ({"parameters": replace(PARAMETERS, every=3), "update": "online"}, "every=3 trials needs update='trial'"),
        (
            {"rule": rules.READOUT_ONLY},
            "'readout_only' feeds the output back into the units, which 'autapse' has",
        ),
        (
            {"record": ("units.x",)},
            "units.x is not there. There can be recorded: units.\\(.*credit, h, .*trace, u, spikes\\)",
        ),
        ({"readout_rule": RFLO}, "'rflo' reads slope of the postsynaptic neurons, which 'outputs' does not define"),
    ],
)
def test_what_cannot_be_built_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        autapse.build(**{"parameters": PARAMETERS, "task": make_task(), "target": "numpy", **change})


@pytest.mark.parametrize(
    "weights, message",
    [
        ({"w_rec": np.eye(3), "b": np.ones((2, 2))}, "b should have shape \\(N=3, outputs\\). Got \\(2, 2\\)"),
        ({"b_rec": np.ones((3, 2))}, "b_rec should have shape \\(N, N\\). Got \\(3, 2\\)"),
        ({"B": np.eye(2)}, "there are w_rec, w_in, w_out, b, b_rec. Got 'B'"),
    ],
)
def test_matrices_of_the_wrong_shape(weights, message):
    with pytest.raises(InputError, match=message):
        autapse.weights_to_state(**weights)


def test_feedback_of_the_wrong_shape_for_the_network():
    model = autapse.build(PARAMETERS, make_task(), FROZEN, target="numpy")
    with pytest.raises(InputError, match="readout.b takes one number, 6 numbers or a matrix of shape \\(3, 2\\). Got"):
        model.run(1, state=autapse.weights_to_state(b=np.ones((2, 3))))


def test_frozen_network_keeps_its_weights():
    model = autapse.build(PARAMETERS, make_task(), FROZEN, target="numpy")
    found = model.run(2).dataset
    np.testing.assert_array_equal(found.w_recurrent[0].values.ravel(), model.initial()["recurrent.w"])
    assert np.ptp(found.validation_mse.values) == 0
