"""The bouncing ball: its physics, by hand and by what has to be conserved, and the task made of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroplast.errors import InputError
from neuroplast.worlds import ball, bounce

INSIDE = st.floats(0, 1)
SPEED = st.floats(-5, 5)


def energy(positions, velocities, gravity=0.0):
    return 0.5 * np.sum(velocities**2, axis=-1) + gravity * positions[..., 1]


@settings(max_examples=100, deadline=None)
@given(st.tuples(INSIDE, INSIDE), st.tuples(SPEED, SPEED), st.floats(0, 0.1), st.floats(0, 1))
def test_ball_stays_in_the_box(position, velocity, gravity, restitution):
    positions, velocities = bounce(position, velocity, 50, gravity=gravity, restitution=restitution)
    assert ((positions >= 0) & (positions <= 1)).all() and np.isfinite(velocities).all()


@settings(max_examples=100, deadline=None)
@given(st.tuples(INSIDE, INSIDE), st.tuples(SPEED, SPEED))
def test_energy_is_conserved_without_gravity(position, velocity):
    positions, velocities = bounce(position, velocity, 50)
    np.testing.assert_allclose(energy(positions, velocities), energy(positions[0], velocities[0]), rtol=1e-12)


def test_energy_is_conserved_under_gravity_to_the_order_of_the_steps():
    g, drift = 0.01, []
    for steps in (500, 1000, 2000):
        made = bounce([0.4, 0.7], [0.03, 0.02], steps, gravity=g, dt=500 / steps)
        drift.append(np.abs(energy(*made, g) - energy(made[0][0], made[1][0], g)).max())
    # v(t) and x(t) are half a step apart, which g v dt/2 is the energy of; a bounce turns that round
    assert drift[0] < 1.1 * g * np.abs(made[1]).max()
    assert drift[1] / drift[0] == pytest.approx(0.5, rel=0.01) and drift[2] / drift[1] == pytest.approx(0.5, rel=0.01)


def test_bounces_by_hand():
    positions, velocities = bounce([0.9, 0.5], [0.25, 0.0], 5)
    np.testing.assert_allclose(positions[:, 0], [0.9, 0.85, 0.6, 0.35, 0.1, 0.15], rtol=1e-14)
    np.testing.assert_allclose(velocities[:, 0], [0.25, -0.25, -0.25, -0.25, -0.25, 0.25])
    np.testing.assert_array_equal(positions[:, 1], 0.5)


def test_a_corner_sends_the_ball_back():
    positions, velocities = bounce([0.1, 0.9], [-0.3, 0.3], 1)
    np.testing.assert_allclose(positions[1], [0.2, 0.8])
    np.testing.assert_array_equal(velocities[1], [0.3, -0.3])
    at_rest, _ = bounce([0.0, 1.0], [0.0, 0.0], 1)
    np.testing.assert_array_equal(at_rest[1], [0, 1])


def test_a_wall_that_takes_half_of_the_speed():
    """From 0.1 with -0.3: 0.2 beyond the wall, where it has half of the speed and so goes half as far."""
    positions, velocities = bounce([0.1, 0.5], [-0.3, 0.1], 1, restitution=0.5)
    np.testing.assert_allclose(positions[1], [0.1, 0.6])
    np.testing.assert_allclose(velocities[1], [0.15, 0.1])


def test_a_fast_ball_meets_both_walls():
    """1.7 to the right from 0.5 is 1.2 beyond: back to -0.2, and on to 0.2."""
    positions, velocities = bounce([0.5, 0.5], [1.7, 0.0], 1)
    np.testing.assert_allclose(positions[1], [0.2, 0.5])
    np.testing.assert_array_equal(velocities[1], [1.7, 0.0])


def test_free_fall():
    """Semi-implicit Euler: after n steps, g dt^2 n (n + 1)/2 down."""
    positions, _ = bounce([0.5, 0.9], [0.01, 0.0], 20, gravity=0.001)
    n = np.arange(21)
    np.testing.assert_allclose(positions[:, 1], 0.9 - 0.001 * n * (n + 1) / 2, rtol=1e-13)
    np.testing.assert_allclose(positions[:, 0], 0.5 + 0.01 * n, rtol=1e-13)


def test_task_is_the_ball_and_where_it_will_be():
    task = ball(samples=40, horizon=7, training=5, validation=3, seed=2)
    assert (len(task.conditions), task.samples, task.inputs, task.outputs) == (8, 41, 2, 2)
    assert list(task.order) == [0, 1, 2, 3, 4] and list(task.tests) == [5, 6, 7]
    for condition in task.conditions:
        np.testing.assert_array_equal(condition.drive[7:], condition.target[:-7])
        speed = np.linalg.norm(condition.drive[1] - condition.drive[0])
        assert 0.02 <= speed <= 0.05 and ((condition.drive[0] >= 0.1) & (condition.drive[0] <= 0.9)).all()


def test_trajectories_depend_on_the_seed_alone():
    few, many = ball(training=2, validation=1, seed=3), ball(training=6, validation=2, seed=3)
    for one, other in zip(few.conditions, many.conditions, strict=False):
        np.testing.assert_array_equal(one.drive, other.drive)
    assert not np.array_equal(few.conditions[0].drive, ball(seed=4).conditions[0].drive)


def test_finer_samples_of_the_same_motion():
    coarse, fine = ball(samples=30, horizon=3), ball(samples=300, horizon=30, dt=0.1)
    np.testing.assert_allclose(fine.conditions[0].drive[::10], coarse.conditions[0].drive, rtol=0, atol=1e-12)
    np.testing.assert_allclose(fine.conditions[0].target[::10], coarse.conditions[0].target, rtol=0, atol=1e-12)


def test_centred_input():
    plain, centred = ball().conditions[0], ball(centred=True).conditions[0]
    np.testing.assert_array_equal(centred.drive, 2 * plain.drive - 1)
    np.testing.assert_array_equal(centred.target, plain.target)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"horizon": 101}, "ball: horizon should be from 0 to the 100 samples of a trajectory. Got 101; shorten it"),
        ({"horizon": -1}, "horizon should be from 0 to the 100 samples"),
        ({"samples": 0}, "ball: samples should be 1 or more. Got 0"),
        ({"training": 0}, "ball: training should be 1 or more. Got 0"),
        ({"slowest": 0.1}, "speeds should be 0 <= slowest <= fastest. Got 0.1 and 0.05"),
        ({"margin": 0.6}, "margin should be from 0 to 0.5. Got 0.6"),
        ({"restitution": 1.1}, "restitution should be from 0 to 1 \\(elastic\\). Got 1.1"),
        ({"dt": 0}, "gravity should be finite and dt positive. Got 0.0 and 0"),
    ],
)
def test_what_makes_no_ball_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        ball(**change)


@pytest.mark.parametrize(
    "position, velocity, message",
    [
        ([0.5, 1.5], [0, 0], "the start should lie in the unit square"),
        ([0.5, 0.5], [np.nan, 0], "have a finite velocity"),
        ([0.5, 0.5, 0.5], [0, 0, 0], "both have shape \\(..., 2\\). Got \\(3,\\) and \\(3,\\)"),
    ],
)
def test_a_start_that_is_none_is_refused(position, velocity, message):
    with pytest.raises(InputError, match=message):
        bounce(position, velocity, 3)
