"""Paired comparison: each net against its partner, the same seed under another rule, or itself before learning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student
from scipy.stats import wilcoxon

from neuroplast.errors import InputError

#: Pairs up to which all orders of signs are gone through.
EXACT = 20


@dataclass(frozen=True)
class Paired:
    """How nets differ from their partners.

    Attributes
    ----------
    n : int
        Pairs.
    mean, sd, median : float
        Of the differences, values less baseline; sd is NaN for a single pair.
    above, below : int
        Pairs with a positive, with a negative difference.
    t : float
        p of the paired t-test, two-sided as all of these; NaN for a single pair or infinite differences.
    wilcoxon : float
        p of Wilcoxon's signed-rank test.
    exact : float
        p of the permutation test on the mean: the part of all 2**n orders of signs whose mean is as far from zero. NaN
        for more than 20 pairs.
    """

    n: int
    mean: float
    sd: float
    median: float
    above: int
    below: int
    t: float
    wilcoxon: float
    exact: float

    @property
    def least(self) -> float:
        """The smallest p that the exact test, and Wilcoxon's, can give with so many pairs."""
        return min(1.0, 2.0 ** (1 - self.n))

    @property
    def text(self) -> str:
        """One line for tables."""
        if self.n == 1:
            return f"{self.mean:+.3g} (n = 1, which no test can judge)"
        exact = f"{self.exact:.2g} (exact; {self.least:.2g} is the least with n = {self.n})"
        if self.n > EXACT:
            exact = f"{self.wilcoxon:.2g} (Wilcoxon)"
        signs = f"n = {self.n}, {self.above} above, {self.below} below"
        return f"{self.mean:+.3g} ± {self.sd:.2g} ({signs}), p = {self.t:.2g} (paired t), {exact}"


def compare(values, baseline) -> Paired:
    """Compare nets with their partners.

    Parameters
    ----------
    values, baseline : array_like of shape (nets,)
        A measure of each net, and of its partner.

    Returns
    -------
    Paired
        If all are the same, each p is 1; if a difference is NaN, each is NaN.

    Raises
    ------
    InputError
        For arrays that are not of one and the same length.

    Notes
    -----
    With five pairs neither Wilcoxon's nor the exact test can give less than 0.0625: state the paired t-test, which
    assumes normal differences, and how many of them have the same sign.
    """
    values, baseline = np.asarray(values, dtype=float), np.asarray(baseline, dtype=float)
    if values.ndim != 1 or values.shape != baseline.shape or len(values) == 0:
        raise InputError(
            f"compare: there should be one value for each net, and one of its partner. Got shapes {values.shape} and "
            f"{baseline.shape}."
        )
    with np.errstate(invalid="ignore"):
        difference = values - baseline
    n, finite, mean = len(difference), bool(np.isfinite(difference).all()), float(difference.mean())
    sd = float(difference.std(ddof=1)) if n > 1 and finite else np.nan
    t = exact = rank = 1.0
    if difference.any():
        with np.errstate(divide="ignore"):  # differences that are all the same leave no doubt: p = 0
            t = float(2 * student.sf(abs(mean) * np.sqrt(n) / np.float64(sd), n - 1))
        rank = float(wilcoxon(difference).pvalue)  # NaN where a difference is
        exact = _exact(difference) if n <= EXACT and finite else np.nan
    above, below = int((difference > 0).sum()), int((difference < 0).sum())
    return Paired(n, mean, sd, float(np.median(difference)), above, below, t, rank, exact)


def _exact(difference):
    sums = np.zeros(1)
    for one in difference:
        sums = np.concatenate([sums - one, sums + one])
    # Sums that are the same but for rounding count as equal.
    return float(np.mean(np.abs(sums) >= abs(difference.sum()) - 1e-12 * np.abs(difference).sum()))
