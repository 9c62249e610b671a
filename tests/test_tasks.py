"""Tasks: arrays of the right shapes, the paper's target, the score."""

import numpy as np
import pytest

from neuroplast.errors import InputError
from neuroplast.tasks import Task, periodic


def test_periodic_target_is_the_papers():
    task = periodic(200)
    assert (task.samples, task.outputs, task.inputs, task.drive) == (200, 1, 0, None)
    t = np.array([0, 25, 50, 137]) / 200
    wanted = np.sin(2 * np.pi * t) + 0.5 * np.sin(4 * np.pi * t) + 0.25 * np.sin(8 * np.pi * t)
    np.testing.assert_allclose(task.target[[0, 25, 50, 137], 0], wanted, atol=1e-15)
    assert abs(task.target.sum()) < 1e-12  # whole periods


def test_finer_samples_are_of_the_same_function():
    np.testing.assert_allclose(periodic(1000).target[::5], periodic(200).target, atol=1e-14)


def test_loss_by_hand():
    task = Task([[5.0, 5.0], [1.0, 2.0], [0.0, -1.0]])
    # (1 + 4) and (0 + 1) over 2 x 3 samples; the first sample does not count.
    assert task.loss(np.zeros((2, 2))) == pytest.approx(1.0)
    assert task.loss(task.target[1:]) == 0


def test_input_is_kept():
    task = Task(np.zeros((4, 1)), np.ones((4, 3)))
    assert (task.inputs, task.outputs) == (3, 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1.0, 2.0],), "target should have shape \\(samples, channels\\).* Got \\(2,\\)"),
        (([[1.0]],), "two samples or more. Got \\(1, 1\\)"),
        ((np.ones((3, 1)), np.ones((4, 1))), "the same number of samples. Got 4 and 3"),
        ((np.ones((3, 1)), np.full((3, 1), np.nan)), "drive should be finite"),
    ],
)
def test_bad_arrays_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Task(*arguments)


def test_amplitudes_and_cycles_go_together():
    with pytest.raises(InputError, match="as many amplitudes as cycles. Got 2 and 3"):
        periodic(10, amplitudes=(1, 2))
