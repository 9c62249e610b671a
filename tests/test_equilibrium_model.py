"""Equilibrium propagation: its changes are the gradient of the error at rest."""

import numpy as np
import pytest
from brian2 import ms

from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import equilibrium
from neuroplast.rules import BP

ROWS, FEATURES, CLASSES = 3, 4, 2
LONG = {"hidden": (5, 4), "batch": ROWS, "etas": (1.0, 1.0, 1.0), "nudging": 1e-5, "free": 3000 * ms,
        "nudged": 3000 * ms, "shuffle": False}  # fmt: skip


def make_images(rows=ROWS):
    rng = np.random.default_rng(0)
    x, labels = rng.random((rows, FEATURES)), rng.integers(0, CLASSES, rows)
    return Images("random", x, labels, x, labels, CLASSES, (1, 2, 2))


IMAGES = make_images()
T = np.eye(CLASSES)[IMAGES.train_labels]


def start_of(model):
    """Small weights and positive biases, so that states lie inside their bounds, where rates have a slope."""
    state = model.initial()
    state |= {f"w{i}.w": 0.3 * state[f"w{i}.w"] for i in (1, 2, 3)}
    for i, n in enumerate((*LONG["hidden"], CLASSES), 1):
        state[f"bias{i}.w"] = np.full(n, 0.3)
    return state


@pytest.mark.parametrize("target", ["cpp", "numpy"])
def test_changes_are_the_gradient_of_the_error_at_rest(target):
    model = equilibrium.build(equilibrium.Parameters(**LONG), IMAGES, seed=1, target=target, dtype="float64")
    start, counts = start_of(model), model.counts(1)

    def cost(state):
        settled = model.simulation.run(state, stop=3, counts=counts).state
        s = settled["outputs.s"].reshape(CLASSES, ROWS).T
        inside = [settled[f"{name}.s"] for name in ("hidden1", "hidden2", "outputs")]
        assert all(((values > 0) & (values < 1)).any() for values in inside)
        return ((s - T) ** 2).sum() / 2 / ROWS

    after = model.simulation.run(start, stop=5, counts=counts).state
    h = 1e-5
    for name in ("w1.w", "w2.w", "w3.w", "bias1.w", "bias3.w"):
        for index in (0, len(start[name]) - 1):
            values = []
            for step in (h, -h):
                nudged = {**start, name: np.array(start[name])}
                nudged[name][index] += step
                values.append(cost(nudged))
            slope = (values[0] - values[1]) / (2 * h)
            assert after[name][index] - start[name][index] == pytest.approx(-slope, rel=1e-3, abs=1e-6)


def test_weights_are_the_same_in_both_directions():
    """One step from a known state: each layer hears the one below through W and the one above through W transposed."""
    model = equilibrium.build(equilibrium.Parameters(**LONG | {"dt": 10 * ms}), IMAGES, seed=1, target="numpy")
    state = start_of(model)
    begun = model.simulation.run(state, stop=1, counts=model.counts(1)).state
    rng = np.random.default_rng(2)
    rates = {
        name: rng.random((n, ROWS)) for name, n in zip(("hidden1", "hidden2", "outputs"), (5, 4, CLASSES), strict=True)
    }
    begun |= {f"{name}.s": values.ravel() for name, values in rates.items()}
    counts = model.counts(1) | {"free_phase": 1}
    after = model.simulation.run(begun, start=1, stop=2, counts=counts).state
    w1, w2, w3 = (np.reshape(state[f"w{i}.w"], shape) for i, shape in ((1, (4, 5)), (2, (5, 4)), (3, (4, CLASSES))))
    expected = w1.T @ IMAGES.train.T + w2 @ rates["hidden2"] + 0.3
    np.testing.assert_allclose(after["hidden1.s"].reshape(5, ROWS), np.clip(expected, 0, 1), atol=1e-6)
    expected = w2.T @ rates["hidden1"] + w3 @ rates["outputs"] + 0.3
    np.testing.assert_allclose(after["hidden2.s"].reshape(4, ROWS), np.clip(expected, 0, 1), atol=1e-6)


def test_copies_without_an_image_teach_nothing():
    images = make_images(ROWS + 1)
    model = equilibrium.build(equilibrium.Parameters(**LONG), images, seed=1, target="numpy", dtype="float64")
    alone = Images("last", images.train[-1:], images.train_labels[-1:], images.train[:1], images.train_labels[:1],
                   CLASSES, (1, 2, 2))  # fmt: skip
    single = equilibrium.build(
        equilibrium.Parameters(**LONG | {"batch": 1, "nudging": -1e-5}), alone, seed=1, target="numpy", dtype="float64"
    )
    one = single.simulation.run(start_of(single), stop=5, counts=single.counts(1)).state
    # The second batch holds the last image only; its force has the other sign.
    both = model.simulation.run(start_of(model), start=5, stop=10, counts=model.counts(1)).state
    np.testing.assert_allclose(both["w2.w"], one["w2.w"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"etas": (0.1,)}, "etas should be 3 rates"),
        ({"nudging": 0.0}, "nudging should not be 0"),
        ({"batch": 0}, "batch should be a positive number"),
        ({"dt": 20 * ms}, "tau should be at least dt"),
    ],
)
def test_refuses_constants_that_mean_nothing(settings, words):
    with pytest.raises(InputError, match=words):
        equilibrium.Parameters(**settings)


def test_refuses_a_rule_of_another_network():
    with pytest.raises(InputError, match="Rule 'bp' reads delta"):
        equilibrium.build(equilibrium.Parameters(**LONG), IMAGES, BP, target="numpy")
