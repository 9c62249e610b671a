"""Worlds to predict: what moves in them, and tasks made of it; numpy only."""

from __future__ import annotations

import numpy as np

from neuroplast.errors import InputError
from neuroplast.tasks import Condition, Task


def bounce(position, velocity, steps: int, *, gravity: float = 0.0, restitution: float = 1.0, dt: float = 1.0):
    """Motion of point balls in the unit square, between walls that reflect them.

    ``v <- v - g e_y dt``, ``x <- x + v dt`` (semi-implicit Euler: exact without gravity); what has gone through a wall
    is reflected. Past it the ball has gone on with the speed that the wall has left it.

    Parameters
    ----------
    position, velocity : array_like of shape (..., 2)
        At the start, one or many balls; positions from 0 to 1.
    steps : int
    gravity : float
        Acceleration downward, along the second axis.
    restitution : float
        Speed after a bounce over that before, perpendicular to the wall; 1 is elastic.
    dt : float
        Time step.

    Returns
    -------
    positions, velocities : ndarray of shape (steps + 1, ..., 2)
        The first is the start.

    Raises
    ------
    InputError
        For a start outside of the box, numbers that are not finite, or a restitution that is none.
    """
    position, velocity = np.array(position, float), np.array(velocity, float)
    if not (position.shape == velocity.shape and position.shape[-1:] == (2,)):
        raise InputError(
            f"bounce: position and velocity should both have shape (..., 2). Got {position.shape} and {velocity.shape}."
        )
    if not (np.isfinite(velocity).all() and ((position >= 0) & (position <= 1)).all()):
        raise InputError("bounce: the start should lie in the unit square, from 0 to 1, and have a finite velocity.")
    if not 0 <= restitution <= 1:
        raise InputError(f"bounce: restitution should be from 0 to 1 (elastic). Got {restitution!r}.")
    if not (np.isfinite(gravity) and dt > 0):
        raise InputError(f"bounce: gravity should be finite and dt positive. Got {gravity!r} and {dt!r}.")
    positions, velocities = [position], [velocity]
    for _ in range(steps):
        velocity = velocity - np.array([0.0, gravity * dt])
        position, velocity = _reflected(position + velocity * dt, velocity, restitution)
        positions.append(position)
        velocities.append(velocity)
    return np.array(positions), np.array(velocities)


def _reflected(position, velocity, restitution):
    # A fast ball may meet both walls in one step.
    while ((position < 0) | (position > 1)).any():
        for wall, beyond in ((0.0, position < 0), (1.0, position > 1)):
            position = np.where(beyond, wall + restitution * (wall - position), position)
            velocity = np.where(beyond, -restitution * velocity, velocity)
    return position, velocity


def ball(
    samples: int = 100, horizon: int = 5, training: int = 30, validation: int = 10, *,
    slowest: float = 0.02, fastest: float = 0.05, margin: float = 0.1, gravity: float = 0.0, restitution: float = 1.0,
    dt: float = 1.0, centred: bool = False, seed: int = 0,
) -> Task:  # fmt: skip
    """Predict where a ball in a box will be (Wang, Gray and Banerjee, unpublished, section IV).

    Input is the ball's position x(t), target x(t + horizon). Each trajectory is a condition: speed and direction drawn
    uniformly, start uniform in the box less a margin. The first ones are for training, in that order; the last are the
    task's tests. In row 0 of a condition stands the start, in row t what step t is given.

    Parameters
    ----------
    samples : int
        Steps of a trial, T.
    horizon : int
        Samples by which the target is ahead, h: from 0, where the task is to copy the input, to `samples`.
    training, validation : int
        Trajectories.
    slowest, fastest : float
        Range of the initial speed, in box lengths per unit of time.
    margin : float
        Least distance of the start from the walls.
    gravity, restitution, dt : float
        As in `bounce`; with a smaller `dt`, in units of time, the same motion has more samples.
    centred : bool
        Give the input as 2x - 1, from -1 to 1; the target stays x.
    seed : int
        Of the trajectories. One has the same motion however many there are.

    Returns
    -------
    Task

    Raises
    ------
    InputError
        For a horizon that is longer than the trajectory, or numbers that make no trajectories.
    """
    for name, value, least in (("samples", samples, 1), ("training", training, 1), ("validation", validation, 1)):
        if value < least:
            raise InputError(f"ball: {name} should be {least} or more. Got {value!r}.")
    if not 0 <= horizon <= samples:
        raise InputError(
            f"ball: horizon should be from 0 to the {samples} samples of a trajectory. Got {horizon!r}; shorten it, or "
            "give more samples."
        )
    if not 0 <= slowest <= fastest < np.inf:
        raise InputError(f"ball: speeds should be 0 <= slowest <= fastest. Got {slowest!r} and {fastest!r}.")
    if not 0 <= margin <= 0.5:
        raise InputError(f"ball: margin should be from 0 to 0.5. Got {margin!r}.")
    draws = np.random.default_rng(seed).uniform(size=(training + validation, 4))
    speed, angle = slowest + (fastest - slowest) * draws[:, 2], 2 * np.pi * draws[:, 3]
    velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    start = margin + (1 - 2 * margin) * draws[:, :2]
    x, _ = bounce(start, velocity, samples + horizon, gravity=gravity, restitution=restitution, dt=dt)
    given = 2 * x - 1 if centred else x
    conditions = [Condition(x[horizon : horizon + samples + 1, i], given[: samples + 1, i]) for i in range(x.shape[1])]
    return Task(conditions, "ball", np.arange(training), training + np.arange(validation))
