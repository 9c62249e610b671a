"""Learning rules against tasks: two networks, a periodic output and the bouncing ball, one page.

J. M. Murray (2019), eLife 8:e43299, has RFLO and BPTT produce a periodic output (figure 2); A. Wang, M. Gray, S.
Banerjee, A more biologically plausible learning rule for recurrent neural networks (unpublished report), have the
autapse rule and three others predict a bouncing ball. Here every rule is tried on both tasks, in both networks:
Murray's (30 tanh units, dt = tau/10) and the report's, extended by a readout that learns (32 sigmoid units, dt = tau,
Adam).

The score is the error that is left: the squared error in the tests after learning over that of doing nothing clever.
For the periodic output that is silence, for the ball that nothing moves (the present position, calibrated on the
training data): 1 is as bad as that, 0 perfect. For the ball it is 1 less the skill over persistence, of outputs as they
are. The readout learns under every rule, so that "W frozen" is the control: what a rule adds to it is what it learns.

Each rule is given its rate for each task and network, of all weights at once: of four, the one with the lowest median
error of two nets, which are not among the results. Nets of one number begin with the same weights under every rule.
In Murray's network, which has no biases, the ball's target is centred as its input is. A combination that a network
refuses is left empty, with its reason.

The thresholds of the claims were set before the first run of full size.
"""

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.colors import TwoSlopeNorm

from neuroplast import figures, rules
from neuroplast.analysis import paired, prediction
from neuroplast.errors import InputError
from neuroplast.models import autapse, rflo
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.rules import DELTA
from neuroplast.tasks import Condition, Task, periodic
from neuroplast.traces import combine
from neuroplast.worlds import ball

PAPER = {
    "figure": "none: rules of Murray 2019 and of Wang, Gray and Banerjee side by side",
    "doi": "",
}
EXPECTED_TIME = "6 min on two idle cores"
RULES = {
    "bptt": (rules.BPTT, "BPTT"),
    "bptt_mean": (rules.BPTT_MEAN, "BPTT, errors averaged"),
    "bptt_random": (rules.BPTT_RANDOM, "BPTT, random feedback"),
    "fa": (rules.FA, "FA"),
    "fa_mean": (rules.FA_MEAN, "FA, errors averaged"),
    "dfa": (rules.DFA, "DFA"),
    "dfa_mean": (rules.DFA_MEAN, "DFA, errors averaged"),
    "local": (rules.LOCAL, "RFLO, symmetric feedback"),
    "rflo": (rules.RFLO, "RFLO"),
    "autapse": (rules.AUTAPSE, "autapse"),
    "readout_only": (rules.READOUT_ONLY, "W frozen, output fed back"),
    "frozen": (rules.FROZEN, "W frozen"),
}
#: Of these the recurrent weights learn.
LEARN = [name for name, (rule, _) in RULES.items() if rule.learns]
#: Column -> (network, task, label).
COLUMNS = {
    "periodic_rflo": ("rflo", "periodic", "periodic output,\nMurray's network"),
    "ball_rflo": ("rflo", "ball", "ball,\nMurray's network"),
    "periodic_autapse": ("autapse", "periodic", "periodic output,\nreport's network"),
    "ball_autapse": ("autapse", "ball", "ball,\nreport's network"),
}
#: Rates that are tried; those of the report's network multiply the ones of its extension.
GRID = {"rflo": (0.003, 0.01, 0.03, 0.1), "autapse": (0.1, 0.3, 1.0, 3.0)}
BURN_IN = {"periodic": 0, "ball": 10}


@dataclass(frozen=True)
class Parameters:
    """What is ours to choose."""

    trials: int = parameter(2000, "trials per net; 30 of the ball are an epoch", least=30)
    nets: int = parameter(6, "nets, each with its own initial weights", least=1)
    grid_nets: int = parameter(2, "nets per rate of the search, others than those of the results", least=1)
    period: int = parameter(200, "steps of the periodic output", least=2)
    samples: int = parameter(100, "steps of a trajectory of the ball", least=20)
    horizon: int = parameter(5, "steps by which the prediction of the ball is ahead", least=0)
    rules: tuple = parameter(tuple(RULES), "rules to compare", choices=tuple(RULES))


QUICK = {"trials": 600, "nets": 3, "grid_nets": 1, "rules": ("bptt", "rflo", "autapse", "readout_only", "frozen")}


def experiment(parameters, run):
    """Build every combination, search for its rate, then train the nets of the results."""
    p, models, refused = parameters, {}, {}
    for column, (network, kind, _) in COLUMNS.items():
        task = make_task(network, kind, p, run.seed)
        for name in p.rules:
            try:
                models[name, column] = _build(network, kind, task, RULES[name][0], run.target)
            except InputError as err:
                refused[f"{name}, {column}"] = str(err)
    run.note(refused=refused)
    searched = {key: GRID[COLUMNS[key[1]][0]] for key in models}
    numbers = range(p.nets, p.nets + p.grid_nets)
    found = _train(models, searched, p, run, numbers, part="search").fillna(np.inf).median("net")
    rate = {
        (name, column): grid[int(found.sel(rule=name, column=column, eta=list(grid)).argmin("eta"))]
        for (name, column), grid in searched.items()
    }
    left = _train(models, {key: (eta,) for key, eta in rate.items()}, p, run, range(p.nets)).min("eta")
    chosen = combine([({"rule": r, "column": c}, xr.Dataset({"eta": eta})) for (r, c), eta in rate.items()]).eta
    before = {column: [_untrained(models, column, run, net) for net in range(p.nets)] for column in COLUMNS}
    before = xr.DataArray(list(before.values()), {"column": list(before), "net": left.net}, ("column", "net"))
    results = xr.Dataset({"left": left, "rate": chosen, "untrained": before, "search": found.rename(eta="grid")})
    return results.reindex(rule=list(p.rules), column=list(COLUMNS)).assign_attrs(refused=json.dumps(refused))


def make_task(network, kind, p, seed):
    """The periodic output, or the trajectories of a run; in Murray's network all about zero."""
    if kind == "periodic":
        return periodic(p.period)
    task = ball(p.samples, p.horizon, centred=True, seed=seed)
    if network == "autapse":
        return task
    return Task([Condition(2 * c.target - 1, c.drive) for c in task.conditions], task.name, task.order, task.tests)


def constants(network, kind, eta):
    """Parameters of a network at a rate."""
    if network == "rflo":
        return rflo.Parameters(**rflo.learning_rates(eta))
    rates = {name: eta * autapse.EXTENSION[name] for name in ("eta_rec", "eta_out")}
    changes = {"burn_in": BURN_IN[kind], "every": 5 if kind == "ball" else 1}
    return autapse.Parameters(**autapse.EXTENSION | rates | changes)


def error_left(output, task):
    """Squared error in the tests, over that of silence or, where there is an input, of predicting no motion."""
    if not task.inputs:
        target = np.stack([task.conditions[i].target[1:] for i in task.tests])
        return prediction.mse(output, target) / prediction.mse(np.zeros(target.shape), target)
    burn_in = BURN_IN["ball"]
    (given, target), (training_given, training_target) = (
        prediction.trajectories(task, chosen) for chosen in (task.tests, task.order)
    )
    calibrated = prediction.calibration(training_given, training_target, burn_in)
    return prediction.nmse(output, target, burn_in=burn_in) / prediction.nmse(given, target, calibrated, burn_in)


def _build(network, kind, task, rule, target):
    model, options = (rflo, {}) if network == "rflo" else (autapse, {"readout_rule": DELTA})
    return model.build(constants(network, kind, GRID[network][0]), task, rule, target=target, **options)


def _train(models, grids, p, run, numbers, part=""):
    """Errors left, along rule, column, eta and net; NaN for what was not run, infinite for nets that diverged."""
    jobs, tasks, lost = [], {}, []
    for (name, column), grid in grids.items():
        (network, kind, _), model = COLUMNS[column], models[name, column]
        # A pass of the report's network is an epoch, of Murray's a trial.
        passes = p.trials // len(model.task.order) if network == "autapse" else p.trials
        for eta in grid:
            for net in numbers:
                coords = {"rule": name, "column": column, "eta": eta, "net": net}
                label = f"{name}_{column}_eta={eta:g}_net={net}"
                options = {"parameters": constants(network, kind, eta)}
                jobs.append(model.job(label, coords, passes, 1000 * run.seed + net, **options))
                tasks[label] = model.task
    trained = run.train_many(jobs, part=part, diverged="omit")
    parts = [(net.coords, error_left(net.dataset.output.values, tasks[net.folder.name])) for net in trained]
    done = {tuple(coords.values()) for coords, _ in parts}
    lost = [(job.coords, np.inf) for job in jobs if tuple(job.coords.values()) not in done]
    return combine([(coords, xr.Dataset({"left": value})) for coords, value in parts + lost]).left


def _untrained(models, column, run, net):
    """Error of a net before it learns, which does not depend on its rule, if that does not feed the output back."""
    model = next(model for (name, where), model in models.items() if where == column and name != "readout_only")
    return error_left(model.run(0, 1000 * run.seed + net).dataset.output.values, model.task)


def _columns(dataset):
    return [column for column in COLUMNS if column in dataset.column]


def _every_rule(dataset):
    median = dataset.left.median("net")
    names = [name for name in LEARN if name in dataset.rule]
    fails = [f"{name}, {column} ({value:.2g})" for name in names for column in _columns(dataset)
             if not (value := float(median.sel(rule=name, column=column))) < 1]  # fmt: skip
    return "; ".join(fails) or "all below 1", holds(not fails)


def _beats_control(dataset):
    text, beats = [], []
    for column in _columns(dataset):
        ours, control = (dataset.left.sel(rule=name, column=column).clip(max=1e6) for name in ("autapse", "frozen"))
        found = paired.compare(ours, control)
        p = found.wilcoxon
        text.append(f"{column} {float(ours.median()):.2g}, W frozen {float(control.median()):.2g} (p = {p:.2g})")
        beats.append(found.median < 0 and p < 0.05)
    return "; ".join(text), holds(all(beats))


def _lowest(dataset):
    median = dataset.left.median("net")
    best, bptt = median.idxmin("rule"), median.sel(rule="bptt")
    text = [f"{column} {float(bptt.sel(column=column)):.2g}, lowest {best.sel(column=column).item()} "
            f"{float(median.sel(column=column).min()):.2g}" for column in _columns(dataset)]  # fmt: skip
    return "; ".join(text), holds((bptt < 1.5 * median.min("rule")).all())


def _alike(*pairs):
    """Check that rules end within a factor of two of each other."""

    def check(dataset):
        median, known = dataset.left.median("net"), [pair for pair in pairs if set(pair) <= set(dataset.rule.values)]
        if not known:
            return "these rules were not run", "not run"
        ratio = {pair: median.sel(rule=pair[0]) / median.sel(rule=pair[1]) for pair in known}
        text = []
        for (one, other), found in ratio.items():
            values = (f"{column} {float(found.sel(column=column)):.2g}" for column in _columns(dataset))
            text.append(f"{one}/{other} {', '.join(values)}")
        return "; ".join(text), holds(all(bool(((found > 0.5) & (found < 2)).all()) for found in ratio.values()))

    return check


EVERYWHERE = "in each task and network"
EXPECTED = [
    Claim(
        "every rule learns every task",
        f"report: all learning rules are capable of it; here: median error left below 1, {EVERYWHERE}",
        _every_rule,
    ),
    Claim(
        "the autapse rule adds to learning the readout",
        f"report: capable of supporting learning; here: below W frozen (paired test, p < 0.05) {EVERYWHERE}",
        _beats_control,
    ),
    Claim(
        "the exact gradient ends lowest", f"no such claim; here: median within 1.5 of the lowest, {EVERYWHERE}", _lowest
    ),
    Claim(
        "the slope can be left out",
        f"report: it is not required; here: autapse within a factor of 2 of RFLO, {EVERYWHERE}",
        _alike(("autapse", "rflo")),
    ),
    Claim(
        "random feedback costs nothing",
        f"Murray, figure 2d, the periodic output; here: within a factor of 2, {EVERYWHERE}",
        _alike(("bptt_random", "bptt"), ("rflo", "local")),
    ),
    Claim(
        "the report's averaging over unfolded steps changes little",
        f"no such claim; here: within a factor of 2, {EVERYWHERE}",
        _alike(("bptt_mean", "bptt"), ("fa_mean", "fa"), ("dfa_mean", "dfa")),
    ),
]


def needs(rule):
    """What a rule needs that is hard to have in a brain, read off its text: heading -> whether."""
    return {
        "W transposed": "back_pre = w*" in rule.recurrent,
        "V transposed": rule.feedback == "symmetric",
        "slope": "slope_post" in rule.needs or "slope" in rule.backward,
        "trial backward": not rule.online,
    }


def figure(dataset):
    """The matrix: colours and medians of the error left, quartiles, rates; beside it what each rule needs."""
    names, columns = [str(name) for name in dataset.rule.values], _columns(dataset)
    fig, (marks, ax) = figures.subplots(
        1, 2, width=5.2, height=0.44 * len(names) + 2.2, gridspec_kw={"width_ratios": (1, 4.2)}
    )
    rows = [*names, "untrained"]
    left = xr.concat([dataset.left, dataset.untrained.expand_dims(rule=["untrained"])], "rule").sel(column=columns)
    low, middle, high = (left.clip(max=1e6).fillna(1).quantile(q, "net").values for q in (0.25, 0.5, 0.75))
    image = ax.imshow(np.log10(middle), cmap="PuOr_r", norm=TwoSlopeNorm(0, -2.5, 1), aspect="auto")
    refused = {tuple(key.split(", ")): reason for key, reason in json.loads(dataset.attrs["refused"]).items()}
    notes = list(dict.fromkeys(refused.values()))
    for y, name in enumerate(rows):
        for x, column in enumerate(columns):
            if (name, column) in refused:
                ax.text(
                    x, y, f"refused ({notes.index(refused[name, column]) + 1})", ha="center", va="center", color="0.4"
                )
                continue
            dark = not -1.6 < np.log10(middle[y, x]) < 0.65
            text = "diverged" if middle[y, x] >= 1e6 else f"{middle[y, x]:.2g}"
            ax.text(x, y - 0.14, text, ha="center", va="center", color="w" if dark else "k", weight="bold")
            text = f"{low[y, x]:.2g} – {min(high[y, x], 1e6):.2g}"
            if name in names:
                text += f", η {float(dataset.rate.sel(rule=name, column=column)):g}"
            ax.text(x, y + 0.24, text, ha="center", va="center", color="w" if dark else "k", fontsize=6.5)
    ax.set_xticks(range(len(columns)), [COLUMNS[column][2] for column in columns], fontsize=8.5)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, left=False, labelleft=False, length=0)
    ax.axhline(len(names) - 0.5, color="white", linewidth=4)
    headings = list(needs(RULES[names[0]][0]))
    for y, name in enumerate(names):
        for x, has in enumerate(needs(RULES[name][0]).values()):
            marks.plot(x, y, "o", color="0.2" if has else "0.85", markersize=7 if has else 3)
    marks.set_xticks(range(len(headings)), headings, rotation=55, ha="left", fontsize=8.5)
    marks.set_yticks(range(len(rows)), [RULES[name][1] for name in names] + ["before learning"])
    marks.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    marks.set(xlim=(-0.6, len(headings) - 0.4), ylim=ax.get_ylim())
    for side in (*marks.spines.values(), *ax.spines.values()):
        side.set_visible(False)
    bar = fig.colorbar(image, ax=ax, shrink=0.7, pad=0.02, extend="both", ticks=[-2, -1, 0, 1])
    bar.ax.set_yticklabels(["0.01", "0.1", "1", "10"])
    bar.set_label("error left (1: silence; nothing moves)")
    text = "dots: what a rule needs; numbers: median, quartiles over nets, learning rate" + "".join(
        f"\n({number}) {reason}" for number, reason in enumerate(notes, 1)
    )
    fig.supxlabel(text, fontsize=7.5, x=0.02, ha="left")
    return fig
