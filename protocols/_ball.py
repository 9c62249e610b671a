"""What the protocols of the bouncing ball share (Wang, Gray and Banerjee): trajectories, training, measures, claims.

Every net is measured twice, before it learns and after: along ``stage`` stand "untrained" and "trained". The measures
are those of `neuroplast.analysis.prediction.score`, and two parts of the mean squared error: ``shift`` would be taken
away by a constant added to each output, and ``rest`` is left by the best constant and factor for each output.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.analysis import paired, prediction
from neuroplast.models import autapse
from neuroplast.nets import label_of
from neuroplast.parameters import parameter
from neuroplast.rules import AUTAPSE, BPTT_MEAN, DFA_MEAN, FA_MEAN, FROZEN, Rule
from neuroplast.tasks import Task
from neuroplast.traces import combine
from neuroplast.worlds import ball

#: The report's four rules, by its names for them, except that its "modified" is called autapse here.
RULES = {"bptt": BPTT_MEAN, "fa": FA_MEAN, "dfa": DFA_MEAN, "autapse": AUTAPSE}
LABELS = {"bptt": "BPTT", "fa": "FA", "dfa": "DFA", "autapse": "autapse"}
COLOURS = dict(zip(RULES, figures.COLOURS, strict=False))
#: Learning rates (ours; the report gives none).
ETA = {"bptt": 5.0, "fa": 5.0, "dfa": 5.0, "autapse": 1.0}
STAGES = ("untrained", "trained")
#: Initial values that decide what a net does before it learns.
FORWARD = ("recurrent.w", "readout.w", "afferent.w", "units.bias", "units.centre", "units.tau")
#: What a net that diverged is given, so that it counts as the worst.
WORST = {"mse": np.inf, "nmse": np.inf, "skill": -np.inf}


@dataclass(frozen=True)
class Common:
    """What every protocol of the ball can vary; the rest is `neuroplast.models.autapse.Parameters`."""

    nets: int = parameter(10, "nets, each with its own initial weights", least=1)
    epochs: int = parameter(200, "times that a net sees all trajectories", least=1)
    training: int = parameter(30, "trajectories to learn from", least=1)
    validation: int = parameter(10, "trajectories to be judged by", least=1)
    samples: int = parameter(100, "steps of a trajectory", least=1)
    horizon: int = parameter(5, "steps by which the prediction is ahead", least=0)
    burn_in: int = parameter(10, "first steps of a trajectory, not counted", least=0)
    update: str = parameter(
        "online",
        "when weights change under the autapse rule; under others after a trajectory",
        choices=("online", "trial"),
    )


@dataclass(frozen=True)
class Case:
    """Nets that differ in their initial weights only.

    Attributes
    ----------
    coords : dict
        Their place among the results, such as ``{"rule": "fa", "horizon": 5}``.
    rule : Rule
        Of the recurrent weights.
    constants : dict
        Parameters of the model, such as ``{"eta_rec": 1.0}``.
    task : dict
        What differs in the task, such as ``{"centred": True}``.
    readout_rule : Rule
    epochs : int, optional
        If not those of the protocol.
    state : callable, optional
        From a net's initial values to those of them that should be others.
    """

    coords: Mapping
    rule: Rule
    constants: Mapping = field(default_factory=dict)
    task: Mapping = field(default_factory=dict)
    readout_rule: Rule = FROZEN
    epochs: int | None = None
    state: Callable[[Mapping], Mapping] | None = None


def make_task(p: Common, seed: int, **changes) -> Task:
    """The trajectories of a run."""
    options = {name: getattr(p, name) for name in ("samples", "horizon", "training", "validation")}
    return ball(**options | {"seed": seed} | changes)


def measures(found: xr.Dataset, task: Task, burn_in: int) -> dict:
    """Measures of a net's predictions; a protocol may add its own."""
    output, (_, target) = found.output.values, prediction.trajectories(task, task.tests)
    scores = prediction.score(output, found.training_output.values, task, burn_in)
    scale, offset = prediction.calibration(output, target, burn_in)
    scores["shift"] = float(np.mean(np.mean((output - target)[:, burn_in:], axis=(0, 1)) ** 2))
    return scores | {"rest": prediction.mse(scale * output + offset, target, burn_in)}


def by_position(task: Task, burn_in: int, degree: int = 5) -> float:
    """Skill of the best function of the present position: a polynomial for each coordinate, fitted in training."""
    (given, target), (tested, wanted) = (prediction.trajectories(task, chosen) for chosen in (task.order, task.tests))
    made = np.empty_like(wanted)
    for i in range(wanted.shape[2]):
        fit = np.polynomial.Polynomial.fit(given[:, burn_in:, i].ravel(), target[:, burn_in:, i].ravel(), degree)
        made[..., i] = fit(tested[..., i])
    scale = prediction.calibration(given, target, burn_in)
    return 1 - prediction.nmse(made, wanted, burn_in=burn_in) / prediction.nmse(tested, wanted, scale, burn_in)


def train(cases: Sequence[Case], p: Common, run, *, measure=measures, record=(), keep=(), part="") -> xr.Dataset:
    """Train the nets of all cases; those of one rule and structure share one compiled program.

    Parameters
    ----------
    cases : sequence of Case
        All combinations of their coordinates.
    p : Common
    run : neuroplast.experiment.Run
    measure : callable
        ``measure(results, task, burn_in)`` gives a dict of what should be known of each net at both stages.
    record : sequence of str
        For `neuroplast.models.autapse.build`, if `measure` or `keep` needs more than outputs.
    keep : sequence of str
        Results to keep at both stages, such as "output".
    part : str
        As for `neuroplast.experiment.Run.train_many`.

    Returns
    -------
    xarray.Dataset
        Along the cases' coordinates and ``net``: mean squared errors by epoch (``train_mse``, ``validation_mse``),
        ``w_recurrent`` after learning; the measures, and what was kept, also along ``stage``. A net that diverged
        counts as the worst.
    """
    jobs, tasks, untrained = _jobs(cases, p, run, record)
    before = [(job.coords, _summary(untrained[job.label], tasks[job.label], p, measure, keep)) for job in jobs]
    run.note(rules=sorted({case.rule.name for case in cases}), update=p.update)
    after, histories = [], []
    for net in run.train_many(jobs, part=part, diverged="omit"):
        found = net.dataset
        after.append((net.coords, _summary(found, tasks[net.folder.name], p, measure, keep)))
        history = found[["train_mse", "validation_mse", "w_recurrent"]].isel(snapshot=-1, drop=True)
        histories.append((net.coords, history.drop_vars("epoch_time")))
    before = combine(before)
    places = {name: before[name] for name in jobs[0].coords}
    after, histories = (combine(parts).reindex(places) for parts in (after, histories))
    after = after.assign({name: after[name].fillna(worst) for name, worst in WORST.items()})
    return xr.concat([before, after], xr.IndexVariable("stage", list(STAGES))).merge(histories)


def _jobs(cases, p, run, record):
    """Nets to be trained; by their labels the tasks, and the results before learning."""
    made = {_key(case): make_task(p, run.seed, **case.task) for case in cases}
    largest = max(made.values(), key=lambda task: task.samples)
    models, known, jobs, tasks, untrained = {}, {}, [], {}, {}
    for case in cases:
        task, constants = made[_key(case)], autapse.Parameters(**{"burn_in": p.burn_in} | dict(case.constants))
        fixed = [str(getattr(constants, name)) for name in autapse.FIXED]
        structure = (case.rule.name, case.readout_rule.name, *fixed)
        if structure not in models:
            options = {"update": p.update if case.rule is AUTAPSE and constants.every == 1 else "trial"}
            options |= {"readout_rule": case.readout_rule, "record": (*record, *run.record), "target": run.target}
            models[structure] = autapse.build(constants, largest, case.rule, **options)
        model = models[structure]
        for net in range(p.nets):
            coords, seed = {**case.coords, "net": net}, 1000 * run.seed + net
            label = label_of(coords)
            options = {"parameters": constants, "task": task}
            options["state"] = case.state(model.initial(seed, **options)) if case.state else {}
            epochs = p.epochs if case.epochs is None else case.epochs
            jobs.append(model.job(label, coords, epochs, seed, **options))
            # What a net does before it learns depends neither on its rule nor on its rates, and is computed once.
            same = (_key(case), *fixed, *(np.asarray(jobs[-1].state[name]).tobytes() for name in FORWARD))
            if same not in known:
                known[same] = model.run(0, seed, **options).dataset
            tasks[label], untrained[label] = task, known[same]
    return jobs, tasks, untrained


def _key(case):
    return tuple(sorted(case.task.items()))


def _summary(found, task, p, measure, keep):
    """What is known of a net at one stage."""
    scores = xr.Dataset(measure(found, task, p.burn_in))
    return scores.merge(found[list(keep)].drop_vars(["test_step_time", "trajectory_step_time"], errors="ignore"))


def spread(values) -> str:
    """Mean and standard deviation over nets, as text."""
    values = np.asarray(values, float)
    if not np.isfinite(values).all():
        return f"{np.sum(~np.isfinite(values))} of {values.size} nets diverged"
    return f"{values.mean():.3g} ± {values.std(ddof=min(1, values.size - 1)):.1g}"


def change(values) -> str:
    """Before and after learning, and the paired test's p, as text; the values are along ``stage`` and ``net``."""
    return changes({"trained": values})


def changes(values: Mapping) -> str:
    """The same of several nets that were alike before learning, by their labels."""
    texts = [f"untrained {spread(next(iter(values.values())).sel(stage='untrained'))}"]
    for name, found in values.items():
        texts.append(f"{name} {spread(found.sel(stage='trained'))} (p = {compare(found)[1]:.2g})")
    return ", ".join(texts)


def compare(values) -> tuple[float, float]:
    """Median over nets of trained less untrained, and Wilcoxon's p; the values are along ``stage`` and ``net``."""
    values = values.clip(-1e6, 1e6)  # ranks need numbers
    found = paired.compare(values.sel(stage="trained"), values.sel(stage="untrained"))
    return found.median, found.wilcoxon


def falls(values, level: float = 0.05) -> bool:
    """Whether learning lowers the values: most nets', and not by chance. Fewer than six nets cannot tell."""
    difference, p = compare(values)
    return difference < 0 and p < level


def rises(values, level: float = 0.05) -> bool:
    """Whether learning raises the values, as `falls`."""
    return falls(-values, level)


def learned(skill) -> bool:
    """Whether nets have learned the motion: better than that nothing moves, and better than before learning."""
    return float(skill.sel(stage="trained").median("net")) > 0 and rises(skill)


def made(values, rule: str):
    """Of the nets before learning, or after learning by a rule; the values are along ``stage`` and ``rule``."""
    if rule == "untrained":
        return values.sel(stage="untrained").isel(rule=0)
    return values.sel(stage="trained", rule=rule)


def halfway(dataset) -> np.ndarray:
    """Epochs until each net's validation error is halfway from the untrained to the last one; inf if it rises."""
    curves = np.column_stack([dataset.mse.sel(stage="untrained"), dataset.validation_mse.transpose("net", "epoch")])
    found = []
    for curve in curves:
        level = (curve[0] + curve[-1]) / 2
        i = int(np.argmax(curve <= level))
        found.append(i - (level - curve[i]) / (curve[i - 1] - curve[i]) if curve[-1] < curve[0] else np.inf)
    return np.array(found)


def learning_curve(ax, dataset, name: str = "validation_mse", label=None, **options):
    """Mean squared errors by epoch, from the untrained network's on; median and quartiles over nets."""
    curve = dataset[name].transpose("net", "epoch").values
    epochs = np.arange(1, curve.shape[1] + 1)
    if name == "validation_mse":
        curve = np.column_stack([dataset.mse.sel(stage="untrained"), curve])
        epochs = np.arange(curve.shape[1])
    return figures.median_quartile_curve(ax, epochs, curve, label, **options)


def dots(ax, values, place: float, colour, *, width: float = 0.3) -> None:
    """Each net before learning (grey, left) and after; thick lines are medians. Values along ``stage``, ``net``."""
    pairs = values.transpose("stage", "net").values
    at = place + width * np.array([-0.5, 0.5])
    ax.plot(at, pairs, color="0.8", linewidth=0.8, zorder=1)
    for x, found, shade in zip(at, pairs, ("0.5", colour), strict=True):
        ax.plot(np.full(len(found), x), found, "o", color=shade, markersize=3.5, alpha=0.6, markeredgewidth=0, zorder=2)
        ax.hlines(np.median(found), x - width / 3, x + width / 3, color=shade, linewidth=2.5, zorder=3)


def path(ax, points, label=None, **options):
    """A trajectory in the box, from a dot on."""
    points = np.asarray(points)
    (line,) = ax.plot(points[:, 0], points[:, 1], label=label, **options)
    ax.plot(*points[0], "o", color=line.get_color(), markersize=4, zorder=line.get_zorder())
    return line
