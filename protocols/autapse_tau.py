"""No time constant of the autapses' traces, and no learning rate, makes the network predict the ball.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section IV: "We only experimented with a few values (specifically tau = 5, 10, 15), but we believe that more
work can be done in tuning this parameter." Here is that work: time constants from one step (no memory: the activity
itself) to a whole trajectory, each with learning rates over two decades; the other three rules with theirs, since a
ranking at one rate of each would be one of the rates. To be seen: how far error and shape depend on either.

Criteria were set before the full-size run, and after that of `autapse_ball`.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import ms
from scipy.stats import spearmanr

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import VERDICTS, Claim, holds
from neuroplast.protocols import _ball as ball

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), section IV", "doi": ""}
EXPECTED_TIME = "3 min on two idle cores"
REPORT = (5, 10, 15)


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What is swept."""

    taus: tuple = parameter((1, 2, 5, 10, 15, 30, 100), "time constants of the traces, in steps", least=1)
    rates: tuple = parameter(
        (0.1, 0.3, 1.0, 3.0, 10.0), "learning rates, in multiples of those of autapse_ball", least=0
    )


QUICK = {"nets": 6, "epochs": 20, "taus": (1, 5, 15), "rates": (0.3, 3.0)}


def experiment(parameters, run):
    """Train every net by all rules at all rates; by the autapse rule with all time constants."""
    p = parameters
    settings = {f"tau {tau}": ("autapse", {"tau_k": tau * ms}) for tau in p.taus}
    settings |= {name: (name, {}) for name in ball.RULES if name != "autapse"}
    cases = [
        ball.Case({"rule": label, "rate": rate}, ball.RULES[name], {"eta_rec": rate * ball.ETA[name]} | constants)
        for label, (name, constants) in settings.items()
        for rate in p.rates
    ]
    results = ball.train(cases, p, run)
    return results.assign(position=ball.by_position(ball.make_task(p, run.seed), p.burn_in))


def _trained(dataset, measure):
    """Medians over nets after learning, along ``rule`` and ``rate``."""
    return dataset[measure].sel(stage="trained").median("net").transpose("rule", "rate")


def _best(values):
    """The highest of them, as text and as a number."""
    rule, rate = np.unravel_index(np.argmax(values.values), values.shape)
    highest = float(values[rule, rate])
    return f"{highest:.3g} ({values.rule.values[rule]}, {values.rate.values[rate]:g} times the rate)", highest


def _alike(dataset):
    chosen = [f"tau {tau}" for tau in REPORT if f"tau {tau}" in dataset.rule.values]
    lowest = _trained(dataset, "mse").sel(rule=chosen).min("rate")
    if len(chosen) < 2:
        return "too few of them", VERDICTS[2]
    text = ", ".join(f"{name} {float(lowest.sel(rule=name)):.3g}" for name in chosen)
    return text, holds(float(lowest.max() / lowest.min()) < 1.1)


def _learned(dataset):
    each = dataset.skill.stack(combination=("rule", "rate"))
    found = [str(one.combination.item()) for one in each.transpose("combination", ...) if ball.learned(one)]
    text = (
        f"highest {_best(_trained(dataset, 'skill'))[0]}; in {len(found)} of {each.sizes['combination']} combinations"
    )
    return text, holds(not found)


def _by_position(dataset):
    text, highest = _best(_trained(dataset, "skill"))
    return f"highest {text}; position alone {float(dataset.position):.3g}", holds(highest <= float(dataset.position))


def _traded(dataset):
    correlation = spearmanr(_trained(dataset, "mse").values.ravel(), _trained(dataset, "pearson").values.ravel())[0]
    return f"rank correlation {correlation:.2f}", holds(correlation > 0.7)


def _ranking(dataset):
    rules = [name for name in dataset.rule.values if not name.startswith("tau") or name == "tau 5"]
    errors = _trained(dataset, "mse").sel(rule=rules)
    lowest = [rules[i] for i in errors.argmin("rule").values]
    text = ", ".join(f"{rate:g}: {name}" for rate, name in zip(errors.rate.values, lowest, strict=True))
    return text, holds(len(set(lowest)) > 1)


EXPECTED = [
    Claim("tau = 5, 10 and 15 end alike", "no such claim; here: lowest median MSE over rates within 10 %", _alike),
    Claim(
        "nothing learns the dynamics",
        '"capable of learning the dynamics"; here: skill above 0 and rising, p < 0.05, nowhere',
        _learned,
    ),
    Claim(
        "nothing makes more of the ball than its position",
        "no such claim; here: no median skill above that of the best polynomial (degree 5) of the present position",
        _by_position,
    ),
    Claim(
        "the lower the error, the worse the shape",
        "no such claim; here: rank correlation of median MSE and median Pearson r above 0.7 over all combinations",
        _traded,
    ),
    Claim(
        "the ranking of the rules is one of the rates",
        'the MSE plots are "inconsistent"; here: lowest median MSE not of the same one of bptt, fa, dfa, tau 5',
        _ranking,
    ),
]


def figure(dataset):
    """Error and what scale and shift leave of it, against the rate; error against correlation."""
    fig, (left, middle, right) = figures.subplots(1, 3)
    taus = [name for name in dataset.rule.values if name.startswith("tau")]
    shades = [figures.matplotlib.colormaps["magma"](share) for share in np.linspace(0.85, 0.1, len(taus))]
    styles = {name: {"color": shade, "linestyle": "-"} for name, shade in zip(taus, shades, strict=True)}
    rules = [name for name in dataset.rule.values if name not in taus]
    styles |= {name: {"color": ball.COLOURS[name], "linestyle": "--"} for name in rules}
    lines = []
    for name, style in styles.items():
        here = {measure: _trained(dataset, measure).sel(rule=name) for measure in ("mse", "skill", "pearson")}
        label = ball.LABELS.get(name, name.replace("tau ", "autapse, $\\tau_k$ = "))
        lines += left.plot(dataset.rate, here["mse"], marker="o", markersize=4, label=label, **style)
        middle.plot(dataset.rate, 1 - here["skill"], marker="o", markersize=4, **style)
        marker = "o" if name in taus else "s"
        right.scatter(
            here["mse"], here["pearson"], s=6 + 8 * np.arange(dataset.rate.size), c=[style["color"]], marker=marker
        )
    before = dataset.sel(stage="untrained").isel(rule=0, rate=0).median("net")
    for ax, level in ((left, before.mse), (middle, 1 - before.skill)):
        lines[len(styles) :] = [ax.axhline(float(level), color="0.6", label="untrained")]
        ax.set(xscale="log", xlabel="learning rate (multiples)")
        ax.set_xticks(dataset.rate.values, [f"{rate:g}" for rate in dataset.rate.values])
        ax.xaxis.minorticks_off()
    position = 1 - float(dataset.position)
    middle.axhline(position, color="black", linewidth=1, linestyle=":")
    middle.annotate(
        "best function of position", (0.02, position), xycoords=("axes fraction", "data"), va="top", fontsize=8
    )
    left.set_yscale("log")
    right.set_xscale("log")
    for axis in (left.yaxis, right.xaxis):
        axis.set_ticks((0.05, 0.1, 0.2), ("0.05", "0.1", "0.2"))
        axis.set_ticks((), minor=True)
    right.plot(before.mse, before.pearson, "*", color="0.5", markersize=12)
    left.set_ylabel("validation MSE (median)")
    middle.set(ylabel="error relative to persistence", yscale="log", ylim=0.8)
    right.set(
        xlabel="validation MSE (median)", ylabel="Pearson r (median)", title="larger: higher rate; star: untrained"
    )
    fig.legend(handles=lines, loc="outside right center")
    return fig
