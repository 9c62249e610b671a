"""Feedback with positive eigenvalues lowers the error, with negative ones it drives the units into saturation.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section IV: "if B had eigenvalues that were strictly positive, then the MSE would decrease. However, if B had
negative eigenvalues, the MSE would begin to increase and continually increase". They plotted no trajectories there.
Here B is symmetric with two positive eigenvalues, two negative ones, or one of each (the smaller or the larger one
negated), for the autapse rule, direct feedback alignment and feedback alignment. To be seen: errors by epoch, and what
becomes of the weights.

Criteria were set before the full-size run, and after that of `autapse_ball`; that -B drives weights up was known.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from neuroplast import figures
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _ball as ball

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), section IV", "doi": ""}
EXPECTED_TIME = "40 s on two idle cores"
#: Name -> factors of B's smaller and larger eigenvalue.
SIGNS = {"both positive": (1, 1), "smaller negative": (-1, 1), "larger negative": (1, -1), "both negative": (-1, -1)}
RULES = ("autapse", "dfa", "fa")


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What can be varied."""


QUICK = {"nets": 6, "epochs": 30}


def feedback(factors):
    """For `neuroplast.protocols._ball.Case`: the initial B with its eigenvalues multiplied."""

    def changed(state):
        found = {}
        for name in {"readout.b", "recurrent.b"} & set(state):
            values, vectors = np.linalg.eigh(np.reshape(state[name], (2, 2)))
            found[name] = ((vectors * values * factors) @ vectors.T).ravel()
        return found

    return changed


def experiment(parameters, run):
    """Train every net with all signs, by all rules that have a B."""
    cases = [
        ball.Case(
            {"rule": name, "signs": signs}, ball.RULES[name], {"eta_rec": ball.ETA[name]}, state=feedback(factors)
        )
        for name in RULES
        for signs, factors in SIGNS.items()
    ]
    return ball.train(cases, parameters, run)


def _changes(values, verdict):
    """A claim about some settings, given as label -> values along ``stage`` and ``net``."""
    return ball.changes(values), holds(all(verdict(found) for found in values.values()))


def _falls(dataset):
    return _changes({"trained": dataset.mse.sel(rule="autapse", signs="both positive")}, ball.falls)


def _rises(dataset):
    return _changes({"trained": dataset.mse.sel(rule="autapse", signs="both negative")}, ball.rises)


def _mixed(dataset):
    signs = list(SIGNS)[1:3]
    return _changes({name: dataset.mse.sel(rule="autapse", signs=name) for name in signs}, ball.rises)


def _continually(dataset):
    curves = dataset.validation_mse.sel(rule="autapse", signs="both negative").transpose("net", "epoch").values
    late = curves[:, curves.shape[1] // 2 :]
    ranks = [spearmanr(np.arange(len(curve)), curve)[0] if np.ptp(curve) else 0.0 for curve in late]
    text = f"rank correlation {np.median(ranks):.2f}; MSE {np.median(late[:, 0]):.3g} to {np.median(late[:, -1]):.3g}"
    return text, holds(np.median(ranks) > 0.9)


def _largest(dataset):
    """Largest weight of each net after learning."""
    return abs(dataset.w_recurrent).max(("recurrent_pre", "recurrent_post"))


def _grows(dataset):
    found = _largest(dataset).sel(rule="autapse").median("net")
    text = ", ".join(f"{name} {float(found.sel(signs=name)):.3g}" for name in SIGNS)
    return text, holds(found.sel(signs="both negative") > 10 * found.sel(signs="both positive"))


def _others(dataset):
    return _changes(
        {ball.LABELS[name]: dataset.mse.sel(rule=name, signs="both negative") for name in RULES[1:]}, ball.rises
    )


EXPECTED = [
    Claim(
        "both eigenvalues positive: the error falls", '"would decrease"; here: validation MSE falls, p < 0.05', _falls
    ),
    Claim("both negative: it rises", '"would begin to increase"; here: validation MSE rises, p < 0.05', _rises),
    Claim("one negative: it rises", "not told apart from both; here: MSE rises, p < 0.05, whichever it is", _mixed),
    Claim(
        "both negative: it goes on rising",
        '"continually increase"; here: rank correlation with the epoch above 0.9 in the second half, median net',
        _continually,
    ),
    Claim(
        "both negative: weights run away",
        "no such claim; here: largest weight 10 times that with positive ones",
        _grows,
    ),
    Claim("the same under dfa and fa", "no such claim; here: MSE rises with both negative, p < 0.05", _others),
]


def figure(dataset):
    """Errors by epoch for each rule, and the weights that they end with."""
    fig, axes = figures.subplots(2, 2)
    colours = dict(zip(SIGNS, figures.COLOURS, strict=False))
    highest = 1.1 * float(dataset.validation_mse.max())
    for ax, name in zip(axes.flat, RULES, strict=False):
        for signs, colour in colours.items():
            ball.learning_curve(ax, dataset.sel(rule=name, signs=signs), label=signs, color=colour)
        ax.set(xlabel="epoch", ylabel="validation MSE", title=ball.LABELS[name], ylim=(0, highest))
    axes[1, 0].legend(title="eigenvalues of B (median, quartiles)", alignment="left", loc="upper right")
    ax, largest = axes[1, 1], _largest(dataset)
    for place, name in enumerate(RULES):
        for number, (signs, colour) in enumerate(colours.items()):
            values, at = largest.sel(rule=name, signs=signs), place + 0.18 * (number - 1.5)
            ax.plot(np.full(values.size, at), values, "o", color=colour, markersize=3.5, alpha=0.6, markeredgewidth=0)
            ax.hlines(values.median(), at - 0.08, at + 0.08, color=colour, linewidth=2.5)
    ax.set(yscale="log", ylabel="largest recurrent weight", title="after learning")
    ax.set(xticks=range(len(RULES)), xticklabels=[ball.LABELS[name] for name in RULES])
    return fig
