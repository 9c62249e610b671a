"""Layered networks with Adam, tanh and Glorot's initial weights: the baselines of adjoint propagation."""

import numpy as np
import pytest

from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import feedforward
from neuroplast.rules import BP, FA_LAYERS

ROWS, FEATURES, HIDDEN, CLASSES, BATCH = 7, 6, (5, 4), 3, 4
SIZES = [FEATURES, *HIDDEN, CLASSES]
CONSTANTS = feedforward.AP_NETWORK | {"hidden": HIDDEN, "batch": BATCH, "shuffle": False}
rng = np.random.default_rng(0)
IMAGES = Images(
    "random", rng.random((ROWS, FEATURES)), rng.integers(0, CLASSES, ROWS), rng.random((5, FEATURES)),
    rng.integers(0, CLASSES, 5), CLASSES, (1, 2, 3), scale=0.5,
)  # fmt: skip
X, T = IMAGES.scale * IMAGES.train, np.eye(CLASSES)[IMAGES.train_labels]


def make(rule, target="numpy", **changes):
    parameters = feedforward.Parameters(**CONSTANTS | changes)
    return feedforward.build(parameters, IMAGES, rule, seed=3, target=target, dtype="float64")


def matrices(values, name, first=1):
    pairs = enumerate(zip(SIZES, SIZES[1:], strict=False), 1)
    return [np.reshape(values[f"w{i}.{name}"], pair) for i, pair in pairs if i >= first]


def probabilities(weights, x):
    """Response of each layer, and the output's probabilities."""
    r = [x]
    for w in weights[:-1]:
        r.append(np.tanh(r[-1] @ w))
    raised = np.exp(r[-1] @ weights[-1])
    return r, raised / raised.sum(1, keepdims=True)


def gradients(weights, back, x, t):
    """Mean gradients of a batch; `back` brings errors down: the weights of layers 2 and 3, or fixed ones."""
    r, p = probabilities(weights, x)
    delta, found = p - t, []
    for layer in (2, 1, 0):
        found.insert(0, r[layer].T @ delta / len(x))
        if layer:
            delta = (delta @ back[layer - 1].T) * (1 - r[layer] ** 2)  # no slope of the output
    return found


@pytest.mark.parametrize("target", ["cpp", "numpy"])
@pytest.mark.parametrize("rule", [BP, FA_LAYERS], ids=lambda rule: rule.name)
def test_adam_moves_the_weights_as_in_a_loop(rule, target):
    """Two epochs of two batches, the second of which holds three images."""
    model = make(rule, target)
    start = model.initial()
    weights, fixed = matrices(start, "w"), matrices(start, "b", 2) if rule is FA_LAYERS else None
    m, v = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step, first in enumerate((0, BATCH, 0, BATCH), 1):
        rows = slice(first, first + BATCH)
        G = gradients(weights, fixed or weights[1:], X[rows], T[rows])
        m = [0.9 * old + 0.1 * g for old, g in zip(m, G, strict=True)]
        v = [0.999 * old + 0.001 * g**2 for old, g in zip(v, G, strict=True)]
        weights = [
            w - 1e-3 * (a / (1 - 0.9**step)) / (np.sqrt(b / (1 - 0.999**step)) + 1e-8)
            for w, a, b in zip(weights, m, v, strict=True)
        ]
    after = model.simulation.run(start, counts=model.counts(2)).state
    for ours, wanted, before in zip(matrices(after, "w"), weights, matrices(start, "w"), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-12)
        assert np.abs(wanted - before).min() > 1e-5  # all of them have moved


def test_backpropagation_hands_adam_the_gradient_of_the_loss():
    """Finite differences of the cross entropy: Adam's mean after its first step is a tenth of the change."""
    model = make(BP)
    start = model.initial()
    after = model.simulation.run(start, stop=3, counts=model.counts(1)).state
    weights, h = matrices(start, "w"), 1e-6

    def loss():
        return -(T[:BATCH] * np.log(probabilities(weights, X[:BATCH])[1])).sum() / BATCH

    for layer, mean in enumerate(matrices(after, "mean")):
        for index in np.ndindex(mean.shape):
            kept, found = weights[layer][index], []
            for step in (h, -h):
                weights[layer][index] = kept + step
                found.append(loss())
            weights[layer][index] = kept
            np.testing.assert_allclose(-mean[index] / 0.1, (found[0] - found[1]) / (2 * h), rtol=1e-5, atol=1e-9)


def test_biases_learn_with_adam_too():
    model = make(BP, biases=True)
    after = model.simulation.run(model.initial(), counts=model.counts(1)).state
    before = model.initial()
    for i in (1, 2, 3):
        moved = np.abs(after[f"bias{i}.w"] - before[f"bias{i}.w"])
        assert (moved > 1e-4).all() and (moved < 3e-3).all()  # two steps of about a thousandth


def test_initial_weights_fill_their_bound():
    parameters = feedforward.Parameters(**CONSTANTS | {"hidden": (200, 100)})
    values = feedforward.initial_values(parameters, IMAGES, 1, FA_LAYERS)
    sizes = [FEATURES, 200, 100, CLASSES]
    for i, (n_pre, n_post) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        for name in (f"w{i}.w", f"w{i}.b"):  # the latter brings errors down from layer 2 on
            largest = np.abs(values[name]).max() / np.sqrt(6 / (n_pre + n_post))
            assert 0.97 < largest <= 1 + 1e-6, name
    for initial, wanted in (("he", np.sqrt(6 / 200)), ("fan_in", np.sqrt(1 / 200))):
        parameters = feedforward.Parameters(hidden=(200, 100), initial=initial)
        found = feedforward.initial_values(parameters, IMAGES, 1)["w2.w"]
        assert 0.97 < np.abs(found).max() / wanted <= 1 + 1e-6, initial


@pytest.mark.parametrize("name, value", [("optimiser", "adma"), ("initial", "xavier")])
def test_unknown_choices(name, value):
    with pytest.raises(InputError, match=f"{name} should be one of .* Got '{value}'"):
        feedforward.Parameters(**{name: value})


def test_the_optimiser_is_compiled_in():
    model = make(BP)
    other = feedforward.Parameters(**CONSTANTS | {"optimiser": "momentum"})
    with pytest.raises(InputError, match="optimiser is part of the compiled model"):
        model.initial(parameters=other)
