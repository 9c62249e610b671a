"""With more units than outputs, and fixed random U and V, predictions leave the box, before any learning.

A. Wang, M. Gray, S. Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished
report), section IV: with n = 2 units U and V are the identity; "when we increased the state layer size, then the
predictions were scaled terribly with large MSEs. Specifically, we were noticing that the predictions were not in the
range of 0, 1". No numbers and no figure are given.

Ours: n = 4 to 32, U ~ N(0, 1/2), V ~ N(0, 1/n), B ~ N(0, 1), the learning rates of n = 2 for all sizes. To be seen: how
much of the output lies outside of [0, 1] and how large the error is, before learning and after; and whether, leaving
scale and offset aside, any rule predicts better than that the ball stays where it is. The dotted line is the error of
an output that always is the mean position.

The thresholds of the first four claims were set before the first run of full size. In that run BPTT and FA, which send
the error through V, learned to stay in the box, and DFA and the autapse rule, which send it through B, did not at any
n > 2. A fixed V cannot turn towards a random B; so the two rules were run with B equal to V as well, and the last claim
was added then.
"""

from dataclasses import dataclass, replace

import numpy as np

from neuroplast import figures
from neuroplast.analysis import prediction
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _ball as ball

PAPER = {"figure": "Wang, Gray and Banerjee (unpublished), section IV", "doi": ""}
EXPECTED_TIME = "3 min on two idle cores"
#: Rules whose error goes through B only.
DIRECT = ("dfa", "autapse")


@dataclass(frozen=True)
class Parameters(ball.Common):
    """What the report says about the size, without numbers."""

    sizes: tuple = parameter((2, 4, 8, 16, 32), "numbers of units; with 2, U and V are the identity", least=1)


QUICK = {"nets": 6, "epochs": 50, "sizes": (2, 8, 32)}


def experiment(parameters, run):
    """Train nets of all sizes by the four rules; the larger ones also with B = V transposed."""
    p = parameters
    cases = [
        ball.Case({"rule": name, "N": N}, rule, {"N": N, "eta_rec": ball.ETA[name]})
        for N in p.sizes
        for name, rule in ball.RULES.items()
    ]
    task = ball.make_task(p, run.seed)
    target = prediction.trajectories(task, task.tests)[1][:, p.burn_in :]
    still = float(np.mean((target - target.mean(axis=(0, 1))) ** 2))
    found = ball.train(cases, p, run, measure=measures).drop_vars("w_recurrent")
    given = [replace(case, state=_matched) for case in cases if case.coords["N"] > 2 and case.coords["rule"] in DIRECT]
    matched = ball.train(given, p, run, measure=measures, part="matched")[["mse", "outside", "skill"]]
    matched = matched.rename({name: f"matched_{name}" for name in matched.data_vars}).reindex(N=found.N)
    return found.merge(matched.rename(rule="direct")).assign_attrs(mean_position=still)


def _matched(initial):
    """Feedback weights that are the readout's."""
    return {"readout.b": initial["readout.w"]}


def measures(found, task, burn_in):
    """Those of the ball, and the part of the output that is outside of [0, 1]."""
    output = found.output.values[:, burn_in:]
    return ball.measures(found, task, burn_in) | {"outside": float(np.mean((output < 0) | (output > 1)))}


def _larger(dataset):
    return [int(N) for N in dataset.N.values if N > 2]


def _leaves(dataset):
    outside = dataset.outside.sel(N=_larger(dataset)).median("net")
    least, before = outside.sel(stage="trained").min("rule"), outside.sel(stage="untrained").max("rule")
    text = ", ".join(f"n = {N}: {float(before.sel(N=N)):.0%} to {float(least.sel(N=N)):.0%}" for N in _larger(dataset))
    return f"{text} (after: the least of the rules)", holds((least.fillna(1) > 0.1).all())


def _grows(dataset):
    if 2 not in dataset.N:
        return "n = 2 was not run", "not run"
    mse = dataset.mse.sel(stage="trained").median("net")
    ratio = (mse.sel(N=_larger(dataset)) / mse.sel(N=2)).min("rule")
    text = ", ".join(f"n = {N}: {float(ratio.sel(N=N)):.2g}" for N in _larger(dataset))
    return f"times that of n = 2, the least of the rules: {text}", holds((ratio > 2).all())


def _random_readout(dataset):
    """Whether the error of large networks is there before learning, and learning lowers it."""
    mse = dataset.mse.sel(N=_larger(dataset))
    fails = [f"{rule}, n = {N}" for rule in dataset.rule.values for N in _larger(dataset)
             if not ball.falls(mse.sel(rule=rule, N=N))]  # fmt: skip
    medians = [mse.sel(stage=stage).median("net") for stage in ball.STAGES]
    text = f"medians {float(medians[0].min()):.2g}-{float(medians[0].max()):.2g} before, "
    text += f"{float(medians[1].min()):.2g}-{float(medians[1].max()):.2g} after"
    return text + (f"; does not fall: {', '.join(fails)}" if fails else ""), holds(not fails)


def _learns(dataset):
    text, learned = [], []
    for rule in dataset.rule.values:
        skill = dataset.skill.sel(rule=rule, N=_larger(dataset))
        after = skill.sel(stage="trained").median("net")
        text.append(f"{rule} {float(after.min()):.2f} to {float(after.max()):.2f}")
        learned += [ball.learned(skill.sel(N=N)) for N in _larger(dataset)]
    return f"skill, over sizes: {', '.join(text)}; {sum(learned)} of {len(learned)} learn", holds(all(learned))


def _matches(dataset):
    """Whether B was to blame."""
    mse, text, falls = dataset.matched_mse, [], []
    for rule in DIRECT:
        here = mse.sel(direct=rule, N=_larger(dataset))
        after = here.sel(stage="trained").median("net")
        text.append(f"{rule} " + ", ".join(f"n = {N}: {float(after.sel(N=N)):.2g}" for N in _larger(dataset)))
        falls += [ball.falls(here.sel(N=N)) for N in _larger(dataset)]
    return f"{'; '.join(text)}; {sum(falls)} of {len(falls)} fall", holds(all(falls))


EXPECTED = [
    Claim(
        "with more units predictions leave the box",
        "predictions not in the range of 0, 1; here: after learning over a tenth of them, at each n and by each rule",
        _leaves,
    ),
    Claim(
        "their errors are large",
        "scaled terribly, with large MSEs; here: at each n, by each rule, twice that of n = 2",
        _grows,
    ),
    Claim(
        "learning is not what makes them large",
        "no such claim; here: learning lowers the MSE at each n, by each rule (paired test, p < 0.05)",
        _random_readout,
    ),
    Claim(
        "all rules learn the dynamics",
        "all rules are capable of it; here: at each n, skill positive and above the untrained network's (p < 0.05)",
        _learns,
    ),
    Claim(
        "what DFA and the autapse rule lack is a B that matches V",
        "B's eigenvalues should be positive; added after a first look, here: with B = V^T their MSE falls at each n "
        "(paired test, p < 0.05)",
        _matches,
    ),
]


def figure(dataset):
    """Error, outputs outside of the box, and skill against the number of units."""
    fig, axes = figures.subplots(1, 3, width=3.3, height=3.2)
    places = np.arange(dataset.sizes["N"])
    for ax, name in zip(axes, ("mse", "outside", "skill"), strict=True):
        values = dataset[name].transpose("stage", "rule", "net", "N").clip(-1e6, 1e6)
        options = {"color": "0.5", "linestyle": "--", "marker": "o", "markersize": 4}
        figures.median_quartile_curve(ax, places, values.sel(stage="untrained").isel(rule=0), "untrained", **options)
        for number, rule in enumerate(dataset.rule.values):
            x, options = places + 0.06 * (number - 1.5), {"color": ball.COLOURS[rule], "marker": "o", "markersize": 4}
            made = values.sel(stage="trained", rule=rule)
            figures.median_quartile_curve(ax, x, made, ball.LABELS[rule], **options)
            if rule in DIRECT:
                made = (
                    dataset[f"matched_{name}"].sel(stage="trained", direct=rule).transpose("net", "N").clip(-1e6, 1e6)
                )
                options |= {"linestyle": ":", "markerfacecolor": "white"}
                figures.median_quartile_curve(ax, x, made, f"{ball.LABELS[rule]}, B = V$^T$", **options)
        ax.set_xticks(places, [str(N) for N in dataset.N.values])
        ax.set(xlabel="units n")
    axes[0].axhline(dataset.attrs["mean_position"], color="black", linestyle=":", linewidth=1, label="mean position")
    axes[0].set(yscale="log", ylabel="validation MSE")
    axes[1].set(ylim=(-0.02, 1), ylabel="part of outputs outside [0, 1]")
    axes[2].axhline(0, color="black", linewidth=0.8)
    axes[2].set(ylabel="skill over persistence")
    axes[2].set_yscale("symlog", linthresh=1)
    axes[2].set(ylim=(-30, 1), yticks=[-10, -1, 0, 1], yticklabels=["−10", "−1", "0", "1"])
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=8, fontsize=8)
    return fig
