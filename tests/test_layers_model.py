"""PEPITA and its baselines on the engine against loops in numpy and finite differences."""

import numpy as np
import pytest
from brian2 import ms
from oracles import layers as oracle

from neuroplast import rules
from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import feedforward, pepita
from neuroplast.rules import BP, BPTT, DFA_LAYERS, DRTP, FA_LAYERS, PEPITA, RFLO

ROWS, TESTS, FEATURES, CLASSES, BATCH = 7, 5, 6, 3, 4
TWO_PASSES = ("PEPITA", "PEPITA_STANDARD", "ERROR_SIGN", "FROZEN_HIDDEN")
SIZES = {"hidden": (5, 4), "batch": BATCH, "eta": 0.2, "keep": 1.0, "shuffle": False}


def make_images(rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    return Images(
        "random", rng.random((rows, FEATURES)), rng.integers(0, CLASSES, rows), rng.random((TESTS, FEATURES)),
        rng.integers(0, CLASSES, TESTS), CLASSES, (1, 2, 3), scale=0.5,
    )  # fmt: skip


IMAGES = make_images()
X, T = IMAGES.scale * IMAGES.train, np.eye(CLASSES)[IMAGES.train_labels]


def weights_of(state, layers=3):
    sizes = [FEATURES, *SIZES["hidden"], CLASSES]
    return [np.reshape(state[f"w{i}.w"], (sizes[i - 1], sizes[i])).T.astype(float) for i in range(1, layers + 1)]


def masks_of(batch, seed=1):
    rng = np.random.default_rng(seed)
    return [(rng.random((batch, n)) < 0.7) / 0.7 for n in SIZES["hidden"]]


def trained_weights(model, state, events, masks, batches=2):
    """Weights after each of the first batches, dropout masks given; `events` are a batch's positions."""
    found, state = [], model.initial() | state
    state |= {f"hidden{i}.mask": mask.T for i, mask in enumerate(masks, 1)}
    for batch in range(batches):
        state = model.simulation.run(
            state, start=batch * events, stop=(batch + 1) * events, counts=model.counts(1)
        ).state
        found.append(weights_of(state))
    return found


def expected_weights(weights, gradients, masks, batches=2, eta=SIZES["eta"], momentum=0.9):
    """Weights after each batch, the second of which holds three images."""
    found, velocity = [], [np.zeros_like(w) for w in weights]
    for batch in range(batches):
        rows = slice(batch * BATCH, (batch + 1) * BATCH)
        count = len(X[rows])
        G = gradients(weights, X[rows], T[rows], [mask[:count] for mask in masks])
        velocity = [momentum * v - eta * g for v, g in zip(velocity, G, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
        found.append(weights)
    return found


def assert_equal(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", ["cpp", "numpy"])
@pytest.mark.parametrize("name", TWO_PASSES)
def test_two_passes_are_those_of_the_loop_over_images(name, target):
    rule = getattr(rules, name)
    model = pepita.build(pepita.Parameters(**SIZES), IMAGES, rule, seed=3, target=target, dtype="float64")
    start, masks = model.initial(), masks_of(BATCH)
    # Large feedback, so that the modulation matters.
    F = np.random.default_rng(5).normal(0, 0.5, (FEATURES, CLASSES))
    state = {"feedback.f": F.T} if "feedback.f" in start else {}
    events = 5 if len(rule.phases) > 1 else 4
    found = trained_weights(model, state, events, masks)
    expected = expected_weights(weights_of(start), lambda w, x, t, m: oracle.pepita(w, F, x, t, m, rule.name), masks)
    assert_equal(found, expected)


def test_random_perturbation_shifts_the_input_by_its_noise():
    model = pepita.build(
        pepita.Parameters(**SIZES, strength=0.3), IMAGES, rules.RANDOM_PERTURBATION, seed=3, dtype="float64"
    )
    start, masks = model.initial(), masks_of(BATCH)
    state = start | {f"hidden{i}.mask": mask.T for i, mask in enumerate(masks, 1)}
    state = model.simulation.run(state, stop=5, counts=model.counts(1)).state
    noise = np.reshape(state["inputs.shift"], (FEATURES, BATCH)).T
    assert noise.min() >= 0 and noise.max() <= 0.3 and noise.std() > 0.05
    expected = expected_weights(
        weights_of(start),
        lambda w, x, t, m: oracle.pepita(w, None, x, t, m, "random_perturbation", noise), masks, batches=1,
    )  # fmt: skip
    assert_equal([weights_of(state)], expected)


def bring(rule, weights, B):
    """What comes back to a hidden layer under a rule: B[layer] is (neurons of the layer, what comes back)."""
    return {
        "bp": lambda layer, delta, e, t: weights[layer + 1].T @ delta,
        "fa": lambda layer, delta, e, t: B[layer] @ delta,
        "dfa": lambda layer, delta, e, t: B[layer] @ e,
        "drtp": lambda layer, delta, e, t: B[layer] @ t,
    }[rule.name]


@pytest.mark.parametrize("target", ["cpp", "numpy"])
@pytest.mark.parametrize("rule", [BP, FA_LAYERS, DFA_LAYERS, DRTP], ids=lambda rule: rule.name)
def test_errors_go_back_as_in_the_loop_over_images(rule, target):
    model = feedforward.build(feedforward.Parameters(**SIZES), IMAGES, rule, seed=3, target=target, dtype="float64")
    start, masks = model.initial(), masks_of(BATCH)
    rng, (n1, n2) = np.random.default_rng(7), SIZES["hidden"]
    B = [rng.normal(size=(n1, n2 if rule is FA_LAYERS else CLASSES)), rng.normal(size=(n2, CLASSES))]
    state = feedforward.weights_to_state(weights_of(start), B)
    found = trained_weights(model, {k: v for k, v in state.items() if k in start}, 3, masks)

    def gradients(w, x, t, m):
        return oracle.backward(w, x, t, m, bring(rule, w, B))

    assert_equal(found, expected_weights(weights_of(start), gradients, masks))


def test_thirty_layers_learn_in_the_order_of_a_few():
    """Positive weights, so that all neurons respond."""
    hidden = (4,) * 30
    parameters = feedforward.Parameters(**SIZES | {"hidden": hidden, "momentum": 0.0})
    model = feedforward.build(parameters, IMAGES, BP, seed=3, target="numpy", dtype="float64")
    rng, sizes = np.random.default_rng(5), [FEATURES, *hidden, CLASSES]
    weights = [rng.uniform(0, 2 / pre, (post, pre)) for pre, post in zip(sizes, sizes[1:], strict=False)]
    state = model.initial() | feedforward.weights_to_state(weights, [])
    state = model.simulation.run(state, stop=3, counts=model.counts(1)).state
    masks = [np.ones((BATCH, n)) for n in hidden]
    gradients = oracle.backward(weights, X[:BATCH], T[:BATCH], masks, bring(BP, weights, []))
    assert min(np.abs(g).max() for g in gradients) > 1e-3
    for i, (w, g) in enumerate(zip(weights, gradients, strict=True), 1):
        found = np.reshape(state[f"w{i}.w"], w.T.shape).T
        np.testing.assert_allclose(found, w - SIZES["eta"] * g, rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_backpropagation_descends_the_gradient_of_the_loss(output):
    """Finite differences of the network's own loss, biases included."""
    constants = SIZES | {"eta": 1.0, "momentum": 0.0, "activation": "tanh", "output": output, "biases": True}
    model = feedforward.build(feedforward.Parameters(**constants), IMAGES, BP, seed=3, target="numpy", dtype="float64")
    state = model.initial()
    for i, n in enumerate((*SIZES["hidden"], CLASSES), 1):
        state[f"bias{i}.w"] = np.random.default_rng(i).normal(0, 0.3, n)
    after = model.simulation.run(state, stop=3, counts=model.counts(1)).state

    def loss(values):
        p = np.reshape(
            model.simulation.run(values, stop=3, counts=model.counts(1)).state["outputs.p"], (CLASSES, BATCH)
        ).T
        cost = -T[:BATCH] * np.log(p)
        return (cost if output == "softmax" else cost - (1 - T[:BATCH]) * np.log(1 - p)).sum() / BATCH

    h = 1e-6
    for name in ("w1.w", "w2.w", "w3.w", "bias1.w", "bias2.w", "bias3.w"):
        for index in (0, 1, len(state[name]) - 1):
            lost = []
            for step in (h, -h):
                values = {**state, name: np.array(state[name])}
                values[name][index] += step
                lost.append(loss(values))
            slope = (lost[0] - lost[1]) / (2 * h)
            assert state[name][index] - after[name][index] == pytest.approx(slope, abs=1e-8)


def test_an_epoch_counts_what_the_weights_get_right():
    model = pepita.build(pepita.Parameters(**SIZES), IMAGES, seed=3, dtype="float64")
    found = model.run(2).dataset
    weights = [found[f"w_w{i}"].values[0].T for i in (1, 2, 3)]
    x, labels = IMAGES.scale * IMAGES.test, IMAGES.test_labels
    ones = [np.ones((TESTS, n)) for n in SIZES["hidden"]]
    right = [
        oracle.forward(weights, row, [m[0] for m in ones])[0][-1].argmax() == t
        for row, t in zip(x, labels, strict=True)
    ]
    assert found.test_accuracy.values[-1] == pytest.approx(np.mean(right))
    assert found.test_loss.values[-1] == pytest.approx(
        oracle.loss(weights, x, np.eye(CLASSES)[labels], ones), abs=1e-12
    )
    for i, w in enumerate(weights, 1):
        assert found[f"norm_w{i}"].values[-1] == pytest.approx(np.linalg.norm(w))
    F = np.reshape(model.initial()["feedback.f"], (CLASSES, FEATURES)).T
    product = weights[0].T @ weights[1].T @ weights[2].T
    cosine = (product * F).sum() / np.linalg.norm(product) / np.linalg.norm(F)
    assert found.angle.values[-1] == pytest.approx(np.degrees(np.arccos(cosine)))


def test_the_rate_falls_at_its_epochs():
    """Without momentum and with the same batch each time, changes shrink by the factor at each of the epochs."""
    images = make_images(BATCH)
    constants = SIZES | {"momentum": 0.0, "eta": 1e-6, "decay": 0.1, "decay_at": (1, 3)}
    model = feedforward.build(
        feedforward.Parameters(**constants), images, record=["w1.w:at=epoch"], seed=3, target="numpy", dtype="float64"
    )
    found = model.run(4).dataset["w1.w"].values
    steps = np.diff(np.concatenate([np.reshape(model.initial()["w1.w"], (1, FEATURES, -1)), found]), axis=0)
    sizes = np.abs(steps).max(axis=(1, 2))
    np.testing.assert_allclose(sizes / sizes[0], [1, 0.1, 0.1, 0.01], rtol=1e-3)


def test_dropout_scales_what_it_leaves_and_ends_with_the_training():
    constants = SIZES | {"keep": 0.6, "hidden": (400,)}
    model = pepita.build(pepita.Parameters(**constants), IMAGES, seed=3, target="numpy")
    counts = model.counts(1)
    after_batch = model.simulation.run(model.initial(), stop=1, counts=counts).state["hidden1.mask"]
    np.testing.assert_allclose(np.unique(after_batch), [0, 1 / 0.6], rtol=1e-6)
    assert np.mean(after_batch > 0) == pytest.approx(0.6, abs=0.05)
    in_test = model.simulation.run(model.initial(), stop=5 * counts["trial"] + 2, counts=counts).state["hidden1.mask"]
    assert set(in_test) == {1.0}


@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_depend_on_threads_or_target(threads):
    parameters = pepita.Parameters(**SIZES | {"keep": 0.8, "shuffle": True})
    ours = pepita.build(parameters, IMAGES, seed=4, threads=threads).run(3).dataset
    other = pepita.build(parameters, IMAGES, seed=4, target="numpy").run(3).dataset
    for name in ours.data_vars:
        np.testing.assert_allclose(ours[name].values, other[name].values, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (pepita, {"dt": 20 * ms}, "tau_d should be at least dt"),
        (pepita, {"hidden": ()}, "hidden should be"),
        (pepita, {"keep": 0.0}, "keep should be a probability"),
        (pepita, {"momentum": 1.0}, "momentum should be"),
        (pepita, {"batch": 0}, "batch should be"),
        (pepita, {"decay_at": (1, 2, 3, 4)}, "at most three epochs"),
        (pepita, {"dt": 3 * ms}, "standard should be a whole number of time steps"),
        (pepita, {"tau_s": -1 * ms}, "tau_s should be a positive time"),
        (pepita, {"activation": "step"}, "activation should be one of relu, tanh, linear"),
        (feedforward, {"output": "max"}, "output should be one of softmax, sigmoid"),
        (feedforward, {"forward": 0 * ms}, "forward should be"),
    ],
)
def test_refuses_constants_that_mean_nothing(model, settings, words):
    with pytest.raises(InputError, match=words):
        model.Parameters(**settings)


@pytest.mark.parametrize(
    ("model", "rule", "words"),
    [
        (pepita, BP, "reads delta of the postsynaptic neurons"),
        (pepita, RFLO, "Rule 'rflo'"),
        (feedforward, PEPITA, "reads mismatch of the postsynaptic neurons"),
        (feedforward, BPTT, "Rule 'bptt'"),
    ],
)
def test_refuses_rules_that_read_what_is_not_there(model, rule, words):
    with pytest.raises(InputError, match=words):
        model.build(model.Parameters(**SIZES), IMAGES, rule, target="numpy")


def test_refuses_other_images_than_it_was_built_with():
    model = pepita.build(pepita.Parameters(**SIZES), IMAGES, target="numpy")
    with pytest.raises(InputError, match="built with the images of random"):
        model.run(1, task=make_images(seed=1))
