"""How accuracies by rule, net and epoch are judged, said and drawn, on one or several data sets."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from neuroplast import figures
from neuroplast.analysis.paired import compare
from neuroplast.protocol import holds
from neuroplast.protocols import _images

#: Where a rule that a claim is about was left out by --set.
LEFT_OUT = "not among the rules of this run", "not run"


def row(name: str, judge):
    """Check of a claim about a data set, which is "not run" where that is not among the results along ``images``.

    Parameters
    ----------
    name : str
    judge : callable
        From the results on that data set to what was measured and a verdict.
    """

    def check(dataset):
        return judge(dataset.sel(images=name)) if name in dataset.images else (_images.absent(name), "not run")

    return check


def every(judges: Mapping[str, Callable]):
    """One check of several, by their titles: it holds if all do."""

    def judge(found):
        parts = {title: check(found) for title, check in judges.items()}
        verdicts = [verdict for _, verdict in parts.values()]
        worst = next((v for v in ("does not hold", "not run") if v in verdicts), "holds")
        return "; ".join(f"{title}: {text}" for title, (text, _) in parts.items()), worst

    return judge


def differ(one: str, other: str, verdict, pairs: int = 1):
    """Check that compares two rules in the last epoch, net by net, in points of per cent.

    Parameters
    ----------
    one, other : str
    verdict : callable
        From a `neuroplast.analysis.paired.Paired` of one less the other to whether the claim holds.
    pairs : int
        Nets that there have to be.
    """

    def judge(found):
        if not {one, other} <= set(found.rule.values):
            return LEFT_OUT
        last = 100 * found.test_accuracy.isel(epoch=-1)
        result = compare(last.sel(rule=one).values, last.sel(rule=other).values)
        return result.text, holds(verdict(result)) if result.n >= pairs else "not run"

    return judge


def ends(accuracy, labels: Mapping = _images.LABELS) -> str:
    """Accuracies after the last and in the best epoch of each rule, in per cent."""
    texts = []
    for rule in accuracy.rule.values:
        curve = accuracy.sel(rule=rule)
        texts.append(
            f"{labels[rule]} {_images.spread(curve.isel(epoch=-1))} (best {_images.spread(curve.max('epoch'))})"
        )
    return ", ".join(texts)


def curves(ax, accuracy, labels: Mapping = _images.LABELS, colours: Mapping = _images.COLOURS) -> None:
    """Accuracies by rule, net and epoch in per cent: median and quartiles over nets."""
    for name in accuracy.rule.values:
        curve = 100 * accuracy.sel(rule=name).transpose("net", "epoch")
        if np.isfinite(curve).any():
            colour = colours.get(name, "0.5")
            figures.median_quartile_curve(ax, accuracy.epoch + 1, curve, labels[name], color=colour)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set(xlabel="epoch")
