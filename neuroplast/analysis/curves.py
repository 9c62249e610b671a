"""What a learning curve ends with."""

from __future__ import annotations


def final(curve, part: float = 0.01):
    """Mean over the last part of the trials.

    A single trial of a network that still learns says little: RFLO's loss jumps from trial to trial.

    Parameters
    ----------
    curve : xarray.DataArray with dimension ``trial``
    part : float
        Fraction of the trials, one trial at least.

    Returns
    -------
    xarray.DataArray
        Without ``trial``.
    """
    last = max(1, round(part * curve.sizes["trial"]))
    return curve.isel(trial=slice(-last, None)).mean("trial")
