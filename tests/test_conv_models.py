"""Networks of filters that learn, against loops in numpy, finite differences and a case by hand."""

import numpy as np
import pytest
from brian2 import ms
from oracles import conv as oracle

from neuroplast.convolved import weights_to_state
from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import feedforward_conv, pepita_conv
from neuroplast.rules import (
    BP,
    DFA_LAYERS,
    DRTP,
    FA_LAYERS,
    FROZEN_HIDDEN,
    PEPITA_CONV,
    PEPITA_SCRIPT,
    RANDOM_PERTURBATION,
)

ROWS, TESTS, SHAPE, CLASSES, BATCH = 7, 5, (2, 4, 5), 3, 4
FILTERS, KERNEL, PADDING, POOL = 3, 3, 1, 2
POOLED = FILTERS * 2 * 2
SIZES = {
    "filters": FILTERS, "kernel": KERNEL, "padding": PADDING, "pool": POOL, "batch": BATCH, "eta": 0.2,
    "shuffle": False,
}  # fmt: skip


def make_images(seed=0):
    rng, features = np.random.default_rng(seed), int(np.prod(SHAPE))
    return Images(
        "random", rng.random((ROWS, features)), rng.integers(0, CLASSES, ROWS), rng.random((TESTS, features)),
        rng.integers(0, CLASSES, TESTS), CLASSES, SHAPE, scale=0.5,
    )  # fmt: skip


IMAGES = make_images()
X, T = IMAGES.scale * IMAGES.train.reshape(-1, *SHAPE), np.eye(CLASSES)[IMAGES.train_labels]


def weights_of(model, state):
    field = model.parameters.field(model.task)
    kernels = field.to_kernels(np.reshape(state["w1.w"], (field.offsets, field.channels)))
    return [kernels.astype(float), np.reshape(state["w2.w"], (-1, model.task.classes)).T.astype(float)]


def assert_learns(model, state, events, gradients):
    """Weights after each of two batches, the second of which is partial, are those of plain momentum."""
    state = model.initial() | state
    weights = weights_of(model, state)
    velocity = [np.zeros_like(w) for w in weights]
    for batch in range(2):
        state = model.simulation.run(
            state, start=batch * events, stop=(batch + 1) * events, counts=model.counts(1)
        ).state
        rows = slice(batch * BATCH, (batch + 1) * BATCH)
        G = gradients(*weights, X[rows], T[rows])
        velocity = [0.9 * v - SIZES["eta"] * g for v, g in zip(velocity, G, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
        for one, other in zip(weights_of(model, state), weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("rule", "target"),
    [(PEPITA_CONV, "cpp"), (PEPITA_CONV, "numpy"), (PEPITA_SCRIPT, "numpy"), (FROZEN_HIDDEN, "numpy")],
    ids=lambda value: getattr(value, "name", value),
)
def test_two_passes_are_those_of_the_loop_over_images(rule, target):
    parameters = pepita_conv.Parameters(**SIZES)
    model = pepita_conv.build(parameters, IMAGES, rule, seed=3, target=target, dtype="float64")
    F = np.random.default_rng(5).normal(0, 0.5, (X[0].size, CLASSES))  # large, so that the modulation matters
    state = {"feedback.f": F.T} if rule is not FROZEN_HIDDEN else {}
    options = {"script": rule is PEPITA_SCRIPT, "frozen": rule is FROZEN_HIDDEN}

    def gradients(kernels, readout, x, t):
        return oracle.pepita(kernels, readout, F, x, t, PADDING, POOL, **options)

    assert_learns(model, state, 4 if rule is FROZEN_HIDDEN else 5, gradients)


@pytest.mark.parametrize(
    ("rule", "target"),
    [(BP, "cpp"), (BP, "numpy"), (FA_LAYERS, "numpy"), (DFA_LAYERS, "numpy"), (DRTP, "numpy")],
    ids=lambda value: getattr(value, "name", value),
)
def test_errors_go_back_as_in_the_loop_over_images(rule, target):
    parameters = feedforward_conv.Parameters(**SIZES)
    model = feedforward_conv.build(parameters, IMAGES, rule, seed=3, target=target, dtype="float64")
    B = np.random.default_rng(7).normal(size=(POOLED, CLASSES))
    state = {name: b for name, b in {"w2.b": B, "feedback.b": B.T}.items() if name in model.initial()}

    def gradients(kernels, readout, x, t):
        def bring(e, label):
            return {"bp": readout.T @ e, "drtp": B @ label}.get(rule.name, B @ e)

        return oracle.backward(kernels, readout, x, t, PADDING, POOL, bring)

    assert_learns(model, state, 3, gradients)


def test_a_change_by_hand():
    """Two images of 3 x 3, a kernel of 2 x 2, a window over its map, two outputs that never differ."""
    pixels = np.array([[1, 2, 0, 0, 1, 3, 2, 0, 1], np.zeros(9)])
    images = Images("two", pixels, [0, 1], pixels, [0, 1], 2, (1, 3, 3))
    parameters = pepita_conv.Parameters(filters=1, kernel=2, pool=2, batch=2, eta=0.1, shuffle=False)
    model = pepita_conv.build(parameters, images, target="numpy", dtype="float64")
    F = np.zeros((2, 9))
    F[:, 4] = -1, 1  # e is -1/2, 1/2 and 1/2, -1/2: the pixel in the middle gains, and loses, 1
    state = weights_to_state(parameters, images, [[[[1, -1], [0, 1]]]], [[0.3], [0.3]])
    state = model.initial() | state | {"feedback.f": F}
    after = model.simulation.run(state, stop=5, counts=model.counts(1)).state
    # First image: the map 0 5 0 0 becomes 1 5 0 0, where 1 2 0 2 is seen. Second: 0 0 0 0 becomes 0 0 1 0, seeing
    # 0 -1 0 0. Means over four positions and two images: -1/8 (1 2 0 2) - 1/8 (0 -1 0 0).
    responses = np.maximum(after["maps.v_d"], 0).reshape(4, 2).T
    np.testing.assert_allclose(responses, [[1, 5, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_allclose(after["w1.w"], [1 + 0.0125, -1 + 0.0125, 0, 1 + 0.025], rtol=1e-12)
    # The maxima 5 and 1 with errors of 1/2.
    np.testing.assert_allclose(after["w2.w"], [0.3 + 0.1, 0.3 - 0.1], rtol=1e-12)


@pytest.mark.parametrize("target", ["cpp", "numpy"])
def test_backpropagation_descends_the_gradient_of_the_loss(target):
    """Finite differences of the oracle's loss, with the network of DRTP's authors, biases included."""
    constants = SIZES | feedforward_conv.DRTP_NETWORK | {"eta": 1.0, "momentum": 0.0}
    parameters = feedforward_conv.Parameters(**constants)
    model = feedforward_conv.build(parameters, IMAGES, BP, seed=3, target=target, dtype="float64")
    state = model.initial()
    after = model.simulation.run(state, stop=3, counts=model.counts(1)).state

    def loss(values):
        kernels, readout = weights_of(model, values)
        cost = 0
        for x, t in zip(X[:BATCH], T[:BATCH], strict=True):
            biases = values["bias1.w"], values["bias2.w"]
            *_, out = oracle.forward(kernels, readout, x, PADDING, POOL, np.tanh, biases)
            p = 1 / (1 + np.exp(-out))
            cost -= (t * np.log(p) + (1 - t) * np.log(1 - p)).sum()
        return cost / BATCH

    h = 1e-6
    for name in ("w1.w", "w2.w", "bias1.w", "bias2.w"):
        for index in (0, 1, len(state[name]) - 1):
            lost = []
            for step in (h, -h):
                values = {**state, name: np.array(state[name])}
                values[name][index] += step
                lost.append(loss(values))
            slope = (lost[0] - lost[1]) / (2 * h)
            assert state[name][index] - after[name][index] == pytest.approx(slope, abs=1e-8)


def test_an_epoch_counts_what_the_weights_get_right():
    model = pepita_conv.build(pepita_conv.Parameters(**SIZES), IMAGES, record=["maps:trials=0"], seed=3, threads=2)
    found = model.run(2).dataset
    field = model.parameters.field(IMAGES)
    kernels, readout = field.to_kernels(found.w_w1.values[0]), found.w_w2.values[0].T
    x = IMAGES.scale * IMAGES.test.reshape(-1, *SHAPE)
    right = [
        oracle.forward(kernels, readout, image, PADDING, POOL)[-1].argmax() == label
        for image, label in zip(x, IMAGES.test_labels, strict=True)
    ]
    assert found.test_accuracy.values[-1] == pytest.approx(np.mean(right))
    assert found.norm_w1.values[-1] == pytest.approx(np.linalg.norm(kernels))
    assert found["maps.r"].shape[-2:] == (field.outputs, BATCH)


@pytest.mark.parametrize(
    ("model", "changed", "message"),
    [
        (pepita_conv, {"kernel": 7}, "7 x 7 does not fit into an image of 4 x 5 with padding"),
        (pepita_conv, {"pool": 5}, "5 x 5 does not fit into maps of 4 x 5"),
        (pepita_conv, {"filters": 0}, "channels should be a whole number of at least 1. Got 0"),
        (pepita_conv, {"tau_s": 5 * ms}, "tau_s should be at least dt"),
        (pepita_conv, {"momentum": 1.0}, "momentum should be"),
        (feedforward_conv, {"activation": "step"}, "activation should be one of relu, tanh"),
        (feedforward_conv, {"forward": 3 * ms}, "forward should be a whole number of time steps"),
    ],
)
def test_constants_that_make_no_sense(model, changed, message):
    with pytest.raises(InputError, match=message):
        model.build(model.Parameters(**SIZES | changed), IMAGES, target="numpy")


@pytest.mark.parametrize(
    ("model", "rule", "message"),
    [
        (pepita_conv, BP, "reads delta of the postsynaptic neurons"),
        (pepita_conv, RANDOM_PERTURBATION, "Here the error shifts the input"),
        (feedforward_conv, PEPITA_CONV, "reads mismatch of the postsynaptic neurons"),
    ],
)
def test_rules_of_other_networks(model, rule, message):
    with pytest.raises(InputError, match=message):
        model.build(model.Parameters(**SIZES), IMAGES, rule, target="numpy")
