"""Measures of prediction against closed forms."""

import numpy as np
import pytest

from neuroplast.analysis import prediction
from neuroplast.errors import InputError
from neuroplast.tasks import periodic
from neuroplast.worlds import ball

RNG = np.random.default_rng(0)
TARGET = RNG.standard_normal((4, 50, 2))
#: Noise without mean that is orthogonal to the target, of half of its size in each coordinate.
NOISE = RNG.standard_normal(TARGET.shape)
for i in range(2):
    for part in (np.ones(200), TARGET[..., i].ravel() - TARGET[..., i].mean()):
        NOISE[..., i] -= (NOISE[..., i].ravel() @ part) / (part @ part) * part.reshape(4, 50)
    NOISE[..., i] *= 0.5 * TARGET[..., i].std() / NOISE[..., i].std()


def test_error_of_an_offset():
    assert prediction.mse(TARGET + [0.1, 0.3], TARGET) == pytest.approx((0.01 + 0.09) / 2)


def test_burn_in_is_left_out():
    spoiled = TARGET.copy()
    spoiled[:, :5] = 1e6
    assert prediction.mse(spoiled, TARGET, burn_in=5) == 0 and prediction.mse(spoiled, TARGET, burn_in=4) > 1
    assert prediction.nmse(spoiled, TARGET, burn_in=5) == 0
    np.testing.assert_allclose(prediction.pearson(spoiled, TARGET, burn_in=5), 1)
    assert prediction.disparity(spoiled, TARGET, burn_in=5) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(prediction.calibration(spoiled, TARGET, burn_in=5), [[1, 1], [0, 0]], atol=1e-12)


def test_correlation_with_noise():
    """r = sd(target)/sd(target + noise) = 1/sqrt(1 + 1/4) for orthogonal noise of half of the size."""
    np.testing.assert_allclose(prediction.pearson(3 * (TARGET + NOISE) - 1, TARGET), 1 / np.sqrt(1.25))
    np.testing.assert_allclose(prediction.pearson(-TARGET, TARGET), -1)
    assert np.isnan(prediction.pearson(0 * TARGET, TARGET)).all()


def test_calibration_undoes_scale_and_offset():
    made = TARGET * [0.25, -2] + [0.4, 3]
    scale, offset = prediction.calibration(made, TARGET)
    np.testing.assert_allclose(scale, [4, -0.5])
    np.testing.assert_allclose(offset, [-1.6, 1.5])
    assert prediction.nmse(made, TARGET, (scale, offset)) == pytest.approx(0, abs=1e-25)


def test_normalised_error():
    """The best scale of target + noise leaves the part 1 - r^2 = 1/5; the mean leaves all; not calibrated, 1/4."""
    made = TARGET + NOISE
    assert prediction.nmse(made, TARGET) == pytest.approx(0.25)
    assert prediction.nmse(made, TARGET, prediction.calibration(made, TARGET)) == pytest.approx(0.2)
    silent = np.zeros(TARGET.shape)
    assert prediction.nmse(silent, TARGET, prediction.calibration(silent, TARGET)) == pytest.approx(1)


def test_disparity_of_a_turned_trajectory():
    turn = np.array([[0, -1], [1, 0]])
    assert prediction.disparity(2 * TARGET @ turn + 5, TARGET) == pytest.approx(0, abs=1e-12)
    assert 0.1 < prediction.disparity(RNG.standard_normal(TARGET.shape), TARGET) <= 1
    assert np.isnan(prediction.disparity(0 * TARGET, TARGET))
    # A circle squeezed to an ellipse of axes 1 and 1/2: 1 - (1 + 1/2)^2/(2 (1 + 1/4)) = 0.1.
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)[None]
    assert prediction.disparity(circle * [1, 0.5], circle) == pytest.approx(0.1)


def test_score_of_the_input_and_of_the_answer():
    task = ball(training=6, validation=4, centred=True)
    given, target = prediction.trajectories(task, task.tests)
    training_given, training_target = prediction.trajectories(task, task.order)
    assert given.shape == target.shape == (4, 100, 2)
    np.testing.assert_array_equal(given[1], task.conditions[7].drive[1:])
    persistence = prediction.score(0.3 * given - 2, 0.3 * training_given - 2, task)
    assert persistence["skill"] == pytest.approx(0, abs=1e-12) and persistence["mse"] > 1
    perfect = prediction.score(-5 * target, -5 * training_target, task)
    assert perfect["skill"] == pytest.approx(1) and perfect["pearson"] == pytest.approx(-1)
    assert perfect["nmse"] == pytest.approx(0, abs=1e-20) and perfect["disparity"] == pytest.approx(0, abs=1e-12)
    # Scale and offset are those of training: an output that shifts between the two is not forgiven.
    assert prediction.score(target + 1, training_target, task)["skill"] < 0


def test_ridge_finds_a_linear_readout():
    states = RNG.standard_normal((4, 50, 6))
    weights, offset = RNG.standard_normal((6, 2)), np.array([3.0, -1.0])
    found = prediction.ridge(states, states @ weights + offset, penalty=0)
    np.testing.assert_allclose(found[0], weights)
    np.testing.assert_allclose(found[1], offset)
    shrunk, mean = prediction.ridge(states, states @ weights + offset, penalty=1e9)
    np.testing.assert_allclose(shrunk, 0, atol=1e-7)
    np.testing.assert_allclose(mean, (states @ weights + offset).mean(axis=(0, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: prediction.mse(TARGET, TARGET[:3]), "Got \\(4, 50, 2\\) and \\(3, 50, 2\\), burn_in=0"),
        (lambda: prediction.mse(TARGET, TARGET, 50), "more steps than the burn-in.* burn_in=50"),
        (lambda: prediction.trajectories(periodic(10), [0]), "Task 'periodic': trajectories should have an input"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
