"""Nets that are compared in pairs, each with the one that began with the same weights under another rule."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import t as student

from neuroplast.analysis.paired import compare
from neuroplast.protocol import holds
from neuroplast.protocols import _images

#: Nets without which a comparison is not judged.
PAIRS = 5


def decay_at(name: str, epochs: int) -> tuple[int, ...]:
    """Epochs after which the learning rate falls on a data set: of so many as the paper's of its hundred."""
    return tuple(round(at * epochs / 100) for at in _images.DECAY_AT.get(name, (60,)))


def higher(values, baseline) -> tuple[str, str]:
    """Whether values are higher than those of their partners: paired t-test, p < 0.05.

    Parameters
    ----------
    values, baseline : array_like, shape (nets,)
        Accuracies in per cent.

    Returns
    -------
    text, verdict : str
    """
    found = compare(values, baseline)
    return found.text, holds(found.mean > 0 and found.t < 0.05) if found.n >= PAIRS else "not run"


def alike(values, baseline, margin: float) -> tuple[str, str]:
    """Whether values are equivalent to those of their partners: two one-sided paired t-tests, each with p < 0.05.

    Parameters
    ----------
    values, baseline : array_like, shape (nets,)
        Accuracies in per cent.
    margin : float
        Points within which the 90 % interval of the mean difference has to lie.

    Returns
    -------
    text, verdict : str
    """
    found = compare(values, baseline)
    if found.n < PAIRS:
        return f"{found.mean:+.2f} (n = {found.n})", "not run"
    half = student.ppf(0.95, found.n - 1) * found.sd / np.sqrt(found.n)
    low, high = found.mean - half, found.mean + half
    text = f"{found.mean:+.2f}, 90 % interval {low:+.2f} to {high:+.2f}; {found.text}"
    return text, holds(-margin < low and high < margin)


def between(values, digits: int = 1) -> str:
    """The lowest and the highest value, as text."""
    low, high = (f"{np.nanmin(values):.{digits}f}", f"{np.nanmax(values):.{digits}f}")
    return low if low == high else f"{low} to {high}"


def draw(ax, values: Mapping, labels: Mapping) -> None:
    """Accuracies (%) of each net under several rules, those of one net joined; thick lines are means.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : dict of str to array_like of shape (nets,)
    labels : dict of str to str
    """
    found = np.array(list(values.values()))
    ax.plot(range(len(found)), found, "o-", color="0.6", markersize=3.5, linewidth=0.8)
    for place, mean in enumerate(found.mean(axis=1)):
        ax.hlines(mean, place - 0.15, place + 0.15, color="black", linewidth=2.5)
    ax.set(xticks=range(len(found)), xticklabels=[labels[name] for name in values], xlim=(-0.5, len(found) - 0.5))
    ax.set_ylabel("test accuracy (%)")
