"""How well a moving point is predicted: errors, and what is left of them if scale and offset don't count.

Arrays of trajectories have shape (trajectories, steps, coordinates); "pooled" is over the first two. The burn-in is the
first steps of each trajectory, which are left out.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import procrustes

from neuroplast.errors import InputError


def mse(output, target, burn_in: int = 0) -> float:
    """Mean squared error of a coordinate, pooled."""
    output, target = _settled(burn_in, output, target)
    return float(np.mean((output - target) ** 2))


def pearson(output, target, burn_in: int = 0) -> np.ndarray:
    """Correlation of output and target, pooled, for each coordinate; NaN where one of them is constant."""
    output, target = (_pooled(values) for values in _settled(burn_in, output, target))
    output, target = output - output.mean(axis=0), target - target.mean(axis=0)
    size = np.sqrt(np.sum(output**2, axis=0) * np.sum(target**2, axis=0))
    return np.divide(np.sum(output * target, axis=0), size, out=np.full(size.shape, np.nan), where=size > 0)


def calibration(output, target, burn_in: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset for each coordinate that bring the output closest to the target.

    Least squares, pooled; an output that is constant gets the scale 0.

    Returns
    -------
    scale, offset : ndarray of shape (coordinates,)
        Of the calibrated output ``scale*output + offset``.
    """
    output, target = (_pooled(values) for values in _settled(burn_in, output, target))
    centred = output - output.mean(axis=0)
    spread = np.sum(centred**2, axis=0)
    scale = np.divide(np.sum(centred * target, axis=0), spread, out=np.zeros(spread.shape), where=spread > 0)
    return scale, target.mean(axis=0) - scale * output.mean(axis=0)


def nmse(output, target, calibrated=None, burn_in: int = 0) -> float:
    """Squared error over the target's squared deviation from its mean, pooled, coordinates added up.

    Parameters
    ----------
    output, target : array_like
    calibrated : (scale, offset), optional
        From `calibration`, on other trajectories.
    burn_in : int

    Returns
    -------
    float
        0 for a perfect prediction, 1 for one by the mean.
    """
    output, target = (_pooled(values) for values in _settled(burn_in, output, target))
    if calibrated is not None:
        output = calibrated[0] * output + calibrated[1]
    return float(np.sum((output - target) ** 2) / np.sum((target - target.mean(axis=0)) ** 2))


def disparity(output, target, burn_in: int = 0) -> float:
    """Procrustes disparity: what is left after the best shift, scaling, rotation and reflection of each trajectory.

    Returns
    -------
    float
        Mean over trajectories, from 0 (same shape) to 1; NaN if an output does not move.
    """
    output, target = _settled(burn_in, output, target)
    if (np.ptp(output, axis=1) == 0).all(axis=1).any():
        return float("nan")
    return float(np.mean([procrustes(goal, made)[2] for goal, made in zip(target, output, strict=True)]))


def score(output, training_output, task, burn_in: int = 10) -> dict[str, float]:
    """All measures of a net's predictions.

    Parameters
    ----------
    output : array_like of shape (tests, steps, coordinates)
        In the tests of the task.
    training_output : array_like of shape (trials, steps, coordinates)
        In the trials of its order; scale and offset are fitted here, and applied to the tests.
    task : Task
        Whose input is the present state of what is predicted, as in `neuroplast.worlds.ball`.
    burn_in : int

    Returns
    -------
    dict of str to float
        ``mse``, ``pearson`` (mean over coordinates), ``nmse`` (calibrated), ``skill`` over persistence, ``disparity``.
        Skill is 1 - NMSE/NMSE of the input, calibrated in the same way: 0 says no better than that nothing moves.
    """
    given, target = trajectories(task, task.tests)
    training_given, training_target = trajectories(task, task.order)
    left = {}
    for name, made, fitted in (("model", output, training_output), ("input", given, training_given)):
        left[name] = nmse(made, target, calibration(fitted, training_target, burn_in), burn_in)
    return {
        "mse": mse(output, target, burn_in),
        "pearson": float(np.mean(pearson(output, target, burn_in))),
        "nmse": left["model"],
        "skill": 1 - left["model"] / left["input"],
        "disparity": disparity(output, target, burn_in),
    }


def trajectories(task, chosen) -> tuple[np.ndarray, np.ndarray]:
    """Input and target in each step of some of a task's conditions, (conditions, steps, channels) each.

    Raises
    ------
    InputError
        If the conditions last differently long, or have no input.
    """
    conditions = [task.conditions[i] for i in chosen]
    if not task.inputs or len({condition.samples for condition in conditions}) > 1:
        raise InputError(f"Task '{task.name}': trajectories should have an input, and all the same number of samples.")
    return tuple(np.stack([getattr(c, name)[1:] for c in conditions]) for name in ("drive", "target"))


def ridge(states, target, penalty: float = 1e-6, burn_in: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Linear readout of states by ridge regression, pooled; the offset is not penalised.

    Parameters
    ----------
    states : array_like of shape (trajectories, steps, units)
    target : array_like of shape (trajectories, steps, coordinates)
    penalty : float
        Per sample.
    burn_in : int

    Returns
    -------
    weights : ndarray of shape (units, coordinates)
    offset : ndarray of shape (coordinates,)
        The readout is ``states @ weights + offset``.
    """
    states, target = (_pooled(values) for values in _settled(burn_in, states, target))
    centred = states - states.mean(axis=0)
    gram = centred.T @ centred + penalty * len(states) * np.eye(states.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (target - target.mean(axis=0)))
    return weights, target.mean(axis=0) - states.mean(axis=0) @ weights


def _settled(burn_in, *arrays):
    """Without the burn-in; both have as many trajectories and steps."""
    arrays = [np.asarray(values, dtype=float) for values in arrays]
    shapes = [values.shape for values in arrays]
    if any(len(shape) != 3 or shape[:2] != shapes[0][:2] for shape in shapes) or not 0 <= burn_in < shapes[0][1]:
        raise InputError(
            "There should be arrays of shape (trajectories, steps, coordinates), with more steps than the burn-in. Got "
            f"{' and '.join(map(str, shapes))}, burn_in={burn_in}."
        )
    return [values[:, burn_in:] for values in arrays]


def _pooled(values):
    return values.reshape(-1, values.shape[-1])
