"""Tasks: periods laid end to end, the papers' targets, the scores."""

import numpy as np
import pytest

from neuroplast.errors import InputError
from neuroplast.tasks import DIRECTIONS, Condition, Period, Task, interval, movements, periodic


def only(task):
    (condition,) = task.conditions
    return condition


def test_periodic_target_is_the_papers():
    task = periodic(200)
    assert (task.samples, task.outputs, task.inputs, only(task).drive) == (200, 1, 0, None)
    t = np.array([0, 25, 50, 137]) / 200
    wanted = np.sin(2 * np.pi * t) + 0.5 * np.sin(4 * np.pi * t) + 0.25 * np.sin(8 * np.pi * t)
    np.testing.assert_allclose(only(task).target[[0, 25, 50, 137], 0], wanted, atol=1e-15)
    assert abs(only(task).target.sum()) < 1e-12  # whole periods


def test_finer_samples_are_of_the_same_function():
    np.testing.assert_allclose(only(periodic(1000)).target[::5], only(periodic(200)).target, atol=1e-14)


def test_loss_by_hand():
    condition = Condition([[5.0, 5.0], [1.0, 2.0], [0.0, -1.0]])
    # (1 + 4) and (0 + 1) over 2 x 3 samples; the first sample does not count.
    assert condition.loss(np.zeros((2, 2))) == pytest.approx(1.0)
    assert condition.loss(condition.target[1:]) == 0
    free = Condition(condition.target, scored=[True, False, True])
    assert free.loss(np.zeros((2, 2))) == pytest.approx(1 / 6)


def two_periods():
    return Condition.of(
        [
            Period("cue", 3, drive={1: 2.0}, scored=False),
            Period("answer", 2, drive={0: [1.0, 3.0]}, target={0: -1.0}),
        ],
        inputs=2,
        outputs=1,
    )


def test_periods_are_laid_end_to_end():
    condition = two_periods()
    np.testing.assert_array_equal(condition.drive, [[0, 2], [0, 2], [0, 2], [1, 0], [3, 0]])
    np.testing.assert_array_equal(condition.target, [[0], [0], [0], [-1], [-1]])
    np.testing.assert_array_equal(condition.scored, [False, False, False, True, True])
    assert condition.periods == {"cue": slice(0, 3), "answer": slice(3, 5)}


def test_mean_of_a_period_by_hand():
    # Outputs belong to the samples from the second on: cue 1, 2; answer 5, 9.
    output = [[1.0], [2.0], [5.0], [9.0]]
    assert two_periods().mean(output, "cue") == [1.5]
    assert two_periods().mean(output) == [7.0]
    with pytest.raises(InputError, match="the periods are cue, answer. Got 'delay'"):
        two_periods().mean(output, "delay")


def test_fraction_correct_takes_the_nearest_target():
    conditions = [Condition([[0.0], [value], [value]]) for value in (-1.0, 1.0, 1.0)]
    task = Task(conditions)
    # The third is nearer to -1; rows that a shorter condition leaves empty do not matter.
    output = np.array([[[-0.2], [-0.4], [np.nan]], [[0.1], [0.2], [9.0]], [[-0.9], [0.1], [5.0]]])
    assert task.fraction_correct(output) == pytest.approx(2 / 3)
    assert Task(conditions, tests=[1]).fraction_correct(output[1:2]) == 1
    assert task.fraction_correct(np.zeros((3, 2, 1))) == 0  # as near to the one as to the other


def test_task_knows_its_sizes_and_orders():
    task = Task([Condition(np.zeros((4, 1)), np.ones((4, 3))), Condition(np.zeros((6, 1)), np.ones((6, 3)))])
    assert (task.samples, task.inputs, task.outputs) == (6, 3, 1)
    assert task.order.tolist() == task.tests.tolist() == [0, 1]


def test_shuffled_draws_from_the_order():
    conditions = [Condition(np.zeros((2, 1))) for _ in range(3)]
    task = Task(conditions, order=[0, 2]).shuffled(400, seed=1)
    assert set(task.order) == {0, 2} and 150 < np.count_nonzero(task.order) < 250
    np.testing.assert_array_equal(task.order, Task(conditions, order=[0, 2]).shuffled(400, seed=1).order)
    assert task.tests.tolist() == [0, 1, 2]


def test_interval_pulses_stand_where_they_should():
    task = interval([60, 100], first=50, width=15)
    for condition, delay in zip(task.conditions, (60, 100), strict=True):
        assert condition.samples == 50 + 2 * delay + 60
        assert condition.drive[50] == pytest.approx(1, abs=1e-3) and condition.target.argmax() == 50 + 2 * delay
        assert condition.drive[50 + delay] == pytest.approx(1, abs=1e-3)
        assert condition.target[50 + 2 * delay + 15] == pytest.approx(np.exp(-0.5))
        assert condition.periods["go"] == slice(50 + delay + delay // 4, condition.samples)
    assert {c.samples for c in interval([60, 100], longest=150).conditions} == {50 + 300 + 60}


@pytest.mark.parametrize("held", [False, True])
def test_movements_go_the_same_way_in_their_directions(held):
    task = movements(40, 30, held_input=held)
    for channel, (condition, direction) in enumerate(zip(task.conditions, DIRECTIONS, strict=True)):
        # The mean speed of a raised cosine is half of its peak.
        np.testing.assert_allclose(condition.target.sum(axis=0), np.multiply(direction, 20), atol=1e-12)
        assert condition.target[0] @ direction == 0 and condition.target[20] @ direction == pytest.approx(1)
        assert not condition.target[condition.periods["hold"]].any()
        on = condition.drive[:, channel]
        assert on[:40].all() and (on[40:] == held).all() and condition.drive.sum() == on.sum()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1.0, 2.0],), "target should have shape \\(samples, channels\\).* Got \\(2,\\)"),
        (([[1.0]],), "two samples or more. Got \\(1, 1\\)"),
        ((np.ones((3, 1)), np.ones((4, 1))), "drive and target should have the same number of samples. Got 4 and 3"),
        ((np.ones((3, 1)), np.full((3, 1), np.nan)), "drive should be finite"),
        ((np.ones((3, 1)), None, [True, False]), "scored and target should have the same number of samples. Got 2 and"),
        ((np.ones((3, 1)), None, [1, 0, 1]), "scored should be a truth value per sample. Got int"),
    ],
)
def test_bad_arrays_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Condition(*arguments)


@pytest.mark.parametrize(
    "periods, message",
    [
        ([Period("a", 2, target={1: 1.0})], "Period 'a': target should have channels from 0 to 0. Got 1"),
        ([Period("a", 2, drive={0: [1.0, 2.0, 3.0]})], "channel 0 of drive should be a number or 2 samples. Got shape"),
        ([Period("a", 2), Period("a", 2)], "each period should have a name of its own. Got a, a"),
    ],
)
def test_bad_periods_are_refused(periods, message):
    with pytest.raises(InputError, match=message):
        Condition.of(periods, outputs=1, inputs=1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([],), "conditions should be one Condition or more"),
        ((np.ones((3, 1)),), "conditions should be one Condition or more"),
        (([Condition(np.ones((2, 1))), Condition(np.ones((2, 2)))],), r"same outputs and inputs. Got \(1, 0\) and \(2"),
        ((Condition(np.ones((2, 1))), "mine", [0, 1]), "'mine': order should have conditions from 0 to 0. Got 0 to 1"),
        ((Condition(np.ones((2, 1))), "mine", None, [0.5]), "tests should be a list of whole numbers"),
    ],
)
def test_bad_tasks_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Task(*arguments)


def test_amplitudes_and_cycles_go_together():
    with pytest.raises(InputError, match="as many amplitudes as cycles. Got 2 and 3"):
        periodic(10, amplitudes=(1, 2))
