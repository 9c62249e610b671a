"""Adjoint propagation on the engine against loops over images in numpy."""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import ms
from oracles import modules as oracle

from neuroplast.data import Images
from neuroplast.data.gabor import choice, gabor
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.modules import ErrorPath, Graph, Path, Roles, chain, shared
from neuroplast.rules import AP, AP_DERIVATIVE, BP

ROWS, FEATURES, CLASSES, BATCH, BLOCK = 5, 4, 3, 3, 3
CONSTANTS = {"block": BLOCK, "batch": BATCH, "optimiser": "sgd", "eta": 0.3, "radius": 0.9, "shuffle": False,
             "inference": 40 * ms, "learning": 30 * ms}  # fmt: skip


def make_images(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    return Images(
        "random", rng.random((rows, FEATURES)), rng.integers(0, CLASSES, rows), rng.random((2, FEATURES)),
        rng.integers(0, CLASSES, 2), CLASSES, (1, 2, 2),
    )  # fmt: skip


IMAGES = make_images()
X, T = IMAGES.train, np.eye(CLASSES)[IMAGES.train_labels]


def matrices(state, L, n):
    """The oracle's weights of a state."""

    def of(name, rows):
        return np.reshape(state[name], (rows, -1)).astype(float)

    return {
        "w_in": of("w_in.w", FEATURES), "w_out": np.reshape(state["w_out.w"], (-1, CLASSES)),
        "w": [np.reshape(state[f"w{i}.w"], (-1, BLOCK)) for i in range(1, L)],
        "e_out": of("e_out.f", CLASSES), "e": [np.reshape(state[f"e{i}.f"], (-1, BLOCK)) for i in range(1, L)],
        "rec": [of(f"rec_module{i}.w", n) for i in range(1, L + 1)],
    }  # fmt: skip


CASES = {
    "ste": {},
    "epe": {"epe": True},
    "one module": {"modules": 1},
    "three modules, beta": {"modules": 3, "beta": 0.4},
    "small steps": {"dt": 5 * ms},
    "roles crossed": {"merged": "crossed"},
    "no roles": {"merged": "all"},
}


@pytest.mark.parametrize("target", ["cpp", "numpy"])
@pytest.mark.parametrize("case", CASES)
def test_two_batches_are_those_of_the_loop_over_images(case, target):
    parameters = replace(adjoint.Parameters(**CONSTANTS), **CASES[case])
    rule = AP_DERIVATIVE if case == "epe" else AP
    model = adjoint.build(parameters, IMAGES, rule, seed=2, target=target, dtype="float64")
    roles, L = Roles(BLOCK, parameters.merged), parameters.modules
    rate, start = float(parameters.dt / parameters.tau), model.initial()
    weights = matrices(start, L, roles.neurons)
    slices = [roles.place(role) for role in ("RI", "SI", "RE", "SE")]
    learned = ["w_in", *(f"w{i}" for i in range(1, L)), "w_out"]
    for rows in (slice(0, BATCH), slice(BATCH, ROWS)):
        found = [
            oracle.gradients(weights, x, t, slices, parameters.steps("inference"), parameters.steps("learning"),
                             parameters.beta, parameters.epe, rule is AP_DERIVATIVE, rate)[0]
            for x, t in zip(X[rows], T[rows], strict=True)
        ]  # fmt: skip
        mean = {name: np.mean([each[name] for each in found], axis=0) for name in learned}
        weights["w_in"] = weights["w_in"] - parameters.eta * mean["w_in"]
        weights["w_out"] = weights["w_out"] - parameters.eta * mean["w_out"]
        weights["w"] = [w - parameters.eta * mean[f"w{i}"] for i, w in enumerate(weights["w"], 1)]
    counts = model.counts(1)
    stop = model.simulation.schedule.length(counts, model.simulation.schedule.body[0].body[0].body) * counts["trial"]
    state = model.simulation.run(start, stop=stop, counts=counts).state
    ours = matrices(state, L, roles.neurons)
    for name in ("w_in", "w_out"):
        np.testing.assert_allclose(ours[name], weights[name], rtol=0, atol=1e-12)
    for one, other in zip(ours["w"], weights["w"], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


def test_adam_moves_by_its_rule():
    """Two changes of one weight by hand, from the gradients that the engine found."""
    parameters = adjoint.Parameters(**CONSTANTS | {"optimiser": "adam", "eta": 0.01})
    model = adjoint.build(parameters, IMAGES, seed=2, target="numpy", dtype="float64")
    counts, state, before = model.counts(1), model.initial(), model.initial()["w_out.w"]
    m = v = 0.0
    for step, size in ((1, BATCH), (2, ROWS - BATCH)):
        state = model.simulation.run(state, start=(step - 1) * 11, stop=step * 11, counts=counts).state
        gradient = state["w_out.G"] / size
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        before = before - 0.01 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(state["w_out.w"], before, rtol=0, atol=1e-13)


def test_recurrent_weights_learn_where_there_are_any():
    parameters = adjoint.Parameters(**CONSTANTS | {"alpha": 0.5})
    model = adjoint.build(parameters, IMAGES, seed=2, target="numpy", dtype="float64")
    before = model.initial()["rec_module1.w"]
    after = model.simulation.run(model.initial(), stop=11, counts=model.counts(1)).state["rec_module1.w"]
    assert (after[before == 0] == 0).all() and (before == 0).any()
    assert (after != before)[before != 0].any()


def test_modules_that_relax_at_once_come_to_rest_where_those_do_that_take_turns():
    """With time enough both ways end in the same displacements."""
    long = {"inference": 800 * ms, "learning": 800 * ms, "radius": 0.5, "batch": ROWS}
    found = []
    for simultaneous in (False, True):
        parameters = adjoint.Parameters(**CONSTANTS | long | {"simultaneous": simultaneous})
        model = adjoint.build(parameters, IMAGES, seed=2, target="numpy", dtype="float64")
        counts = model.counts(1)
        stop = model.simulation.schedule.length(counts, model.simulation.schedule.body[0].body[0].body)
        found.append(model.simulation.run(model.initial(), stop=stop, counts=counts).state["w_in.G"])
    np.testing.assert_allclose(*found, rtol=0, atol=1e-10)


def test_sixty_modules_hear_each_other_before_they_move():
    """All relax at once, and are not at rest: each step takes what the one before it has left, errors included."""
    L, T1, T2 = 60, 20, 8
    parameters = adjoint.Parameters(
        **CONSTANTS | {"modules": L, "simultaneous": True, "inference": 10 * T1 * ms, "learning": 10 * T2 * ms}
    )
    model = adjoint.build(parameters, IMAGES, seed=2, target="numpy", dtype="float64")
    start, (RI, SI, RE, SE) = model.initial(), (Roles(BLOCK).place(role) for role in ("RI", "SI", "RE", "SE"))
    state = model.simulation.run(start, stop=5, counts=model.counts(1)).state
    weights = matrices(start, L, 4 * BLOCK)

    def step(z, clamp):
        return np.tanh(np.einsum("li,lij->lj", z, weights["rec"]) + clamp)

    z, clamp = np.zeros((L, 4 * BLOCK)), np.zeros((L, 4 * BLOCK))
    clamp[0, RI] = X[0] @ weights["w_in"]
    for _ in range(T1):
        clamp[1:, RI] = np.einsum("li,lij->lj", z[:-1, SI], weights["w"])
        z = step(z, clamp)
    rest, clamp, z = z, clamp.copy(), np.zeros_like(z)
    e_out = oracle.softmax(rest[-1, SI] @ weights["w_out"]) - T[0]
    clamp[-1, RE] = -e_out @ weights["e_out"]
    for _ in range(T2):
        clamp[:-1, RE] = -np.einsum("li,lij->lj", rest[1:, SE] - z[1:, SE], weights["e"])
        z = step(z, clamp)
    assert np.abs(z[-3:]).max(axis=1).min() > 1e-3
    found = np.stack([np.reshape(state[f"module{i}.z"], (-1, BATCH))[:, 0] for i in range(1, L + 1)])
    np.testing.assert_allclose(found, z, rtol=0, atol=1e-12)


def test_the_spectral_radius_is_the_one_asked_for():
    w = adjoint.sparse_recurrent(np.random.default_rng(0), 60, 0.25, 0.7)
    assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(0.7)
    assert np.mean(w != 0) == pytest.approx(1 - np.exp(-0.25), abs=0.03)
    assert not adjoint.sparse_recurrent(np.random.default_rng(0), 5, 0.25, 0.0).any()


def test_an_input_that_is_not_shown_changes_nothing_of_its_own():
    """Two tasks in turn: the first task's weights after its batches do not depend on the second one's images."""
    graph = shared("a", 2)
    constants = CONSTANTS | {"block": 2, "batch": ROWS}
    after = []
    for seed in (1, 2):
        images = {"x1": IMAGES, "x2": make_images(seed=seed)}
        model = adjoint.build(
            adjoint.Parameters(**constants), images, graph=graph, tasks=[("y2",), ("y1",)], seed=2, target="numpy",
            dtype="float64",
        )  # fmt: skip
        found = model.run(2).dataset
        after.append(found)
        assert set(found.data_vars) >= {"test_accuracy_y1", "test_accuracy_y2"}
    np.testing.assert_array_equal(after[0].w_w_in1, after[1].w_w_in1)
    assert not np.array_equal(after[0].w_w_in2, after[1].w_w_in2)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Roles(4, sizes={"RE": 5}), "from 0 to 4 neurons of a block of 4 can be RE. Got 5"),
        (lambda: Roles(4, sizes={"SI": 0}), "from 1 to 4"),
        (lambda: Roles(4, merged="some"), "merged should be one of"),
        (lambda: chain(0, Roles(4)), "positive number"),
        (lambda: Graph({"a": 2}, (Path("p", "inputs", "outputs"),)), "does not reach a"),
        (lambda: Graph({"a": 2}, (Path("p", "inputs", "a"), Path("q", "a", "outputs"))), "no error comes to a"),
        (lambda: Graph({"a": 2}, (Path("p", "input", "a"),)), "may go from a, inputs. Got 'input'"),
        (lambda: Graph({"a": 2}, (Path("p", "inputs", "a"), Path("p", "a", "outputs"))), "Got twice: p"),
        (
            lambda: Graph(
                {"a": 2, "b": 2},
                (Path("p", "inputs", "a"), Path("q", "a", "b"), Path("r", "b", "a"), Path("s", "b", "outputs")),
                (ErrorPath("e", "outputs", "b"), ErrorPath("f", "b", "a")),
            ),
            "inference would go in a circle through a, b",
        ),
        (lambda: shared("d"), "configuration should be 'a', 'b' or 'c'"),
        (lambda: adjoint.Parameters(inference=10 * ms), "at least two time constants"),
        (lambda: adjoint.Parameters(tau=5 * ms), "tau should be at least dt"),
        (lambda: adjoint.Parameters(radius=-1.0), "radius and density should be at least 0"),
        (lambda: adjoint.build(adjoint.Parameters(**CONSTANTS), IMAGES, BP, target="numpy"), "Rule 'bp' reads delta"),
        (lambda: choice(-1.0), "noise and jitter should be at least 0"),
    ],
)  # fmt: skip
def test_refuses_what_cannot_work(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_a_reservoir_is_allowed_where_it_is_asked_for():
    """No neuron of the modules receives an error: the readout learns alone."""
    model = adjoint.build(
        adjoint.Parameters(**CONSTANTS), IMAGES, sizes={"RE": 0}, seed=2, target="numpy", dtype="float64"
    )
    found, before = model.run(1).dataset, model.initial()
    np.testing.assert_array_equal(found.w_w_in.values.ravel(), before["w_in.w"])
    assert (found.w_w_out.values.ravel() != before["w_out.w"]).any()


def test_patches_are_tilted_and_noisy():
    assert gabor(0.0)[16, 16] == pytest.approx(1, abs=1e-6)  # the centre
    np.testing.assert_allclose(gabor(6.0)[1:, 1:], gabor(-6.0)[:0:-1, 1:], atol=1e-6)  # mirrored up and down
    still, noisy = choice(0.0, jitter=0.0, train=20, test=5), choice(2.0, train=20, test=5)
    np.testing.assert_array_equal(still.train[still.train_labels == 1][0].reshape(32, 32), gabor(6.0))
    assert np.abs(noisy.train).max() == 1 and np.std(noisy.train) > np.std(still.train)
