"""How fast a test curve rises: the slowness of the plateau equation."""

from __future__ import annotations

import numpy as np
from scipy.optimize import curve_fit

from neuroplast.errors import InputError

#: Epochs that are needed at least: the largest of them is the plateau, and the others have to say how it is reached.
LEAST = 3


def slowness(accuracy, chance: float, points: int = 60) -> tuple[float, float]:
    """Slowness of learning: the epochs that it takes to reach half of the plateau.

    The curve ``acc(n) = acc_max*n/(s + n)`` is fitted to ``n = 0``, where the accuracy is that of chance, and to the
    epochs 1 to ``points - 1``, by least squares from ``s = 0.5``. ``acc_max`` is the largest of these points
    (Dellaferrera & Kreiman 2022, equation 8 and appendix C).

    Parameters
    ----------
    accuracy : array_like of shape (epochs,)
        Of the test set after each epoch; what comes after the window is not used, and fewer epochs are fitted as they
        are.
    chance : float
        Accuracy before learning, in the same unit: 0.1 with ten classes, or 10 if the accuracy is in percent.
    points : int
        Points in the window: 60 where the learning rate falls after epoch 60.

    Returns
    -------
    s : float
        Slowness, epochs. It does not depend on the unit of the accuracy.
    acc_max : float

    Raises
    ------
    InputError
        For fewer than three epochs, values that are not finite, or a curve that never leaves zero.
    """
    accuracy = np.asarray(accuracy, dtype=float)
    if accuracy.ndim != 1:
        raise InputError(f"slowness: accuracy should be one curve, of shape (epochs,). Got shape {accuracy.shape}.")
    if points <= LEAST or len(accuracy) < LEAST:
        raise InputError(
            f"slowness: the fit takes at least {LEAST} epochs and {LEAST + 1} points. Got {len(accuracy)} epochs, "
            f"points={points}; train for longer."
        )
    curve = np.concatenate([[float(chance)], accuracy[: points - 1]])
    if not np.isfinite(curve).all():
        n = int(np.flatnonzero(~np.isfinite(curve))[0])
        where = f"the accuracy after epoch {n}" if n else "chance"
        raise InputError(f"slowness: {where} is {curve[n]}. Leave out curves of networks that diverged.")
    if curve.max() <= 0:
        raise InputError("slowness: the accuracy is never above 0, so that there is no plateau to reach.")
    n = np.arange(len(curve), dtype=float)
    (s,), _ = curve_fit(lambda n, s: curve.max() * n / (s + n), n, curve, p0=0.5)
    return float(s), float(curve.max())
