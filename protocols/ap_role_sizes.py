"""How many neurons does a role need? Few can carry errors; inference needs more.

Z. Liu et al. (2026), eLife 15:e108237, figure 4g-i: test accuracy on Fashion-MNIST against the number of neurons of one
role, of 256 in a block, for one, two and three modules. To be seen: with fewer neurons that receive errors (RE) the
accuracy is flat down to about ten, and drops below; with none the modules are reservoirs, whose readout learns alone.
The numbers of neurons that receive and send inference (RI, SI, or both) matter more than those of RE and SE.

Neurons that lose the role RE or SE keep their places and their feedback weights are set to zero, which is the same, and
takes no program of its own; those that lose RI or SI are left out. The usual size has blocks of 64 neurons, two
modules, and a tenth of the images in batches of 50, so that an epoch has as many batches as the paper's. Criteria were
set before the first run.
"""

from dataclasses import dataclass

import numpy as np

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _modules

PAPER = {"figure": "Liu et al. 2026, figure 4g-i", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "2 min on two idle cores"
FULL_TIME = "2 days on two idle cores"
#: Roles whose neurons become fewer; in "SI=RI" both do.
ROLES = {"RE": (), "SE": (), "RI": ("RI",), "SI": ("SI",), "SI=RI": ("RI", "SI")}
COLOURS = dict(zip(ROLES, figures.COLOURS, strict=False))
#: Neurons of RE down to which accuracy is flat, and points of per cent within which it is.
FLAT, MARGIN = 10, 1.5


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """Numbers of neurons by role, and depths."""

    rows: int = parameter(6000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    batch: int = parameter(50, "images that are presented side by side", least=1)
    layers: tuple = parameter((2,), "numbers of modules", least=1)
    error_sizes: tuple = parameter((0, 1, 2, 5, 10, 32), "neurons of RE and, but for 0, of SE", least=0)
    inference_sizes: tuple = parameter((2, 5, 16), "neurons of RI, of SI, and of both", least=1)

    def __post_init__(self):
        for name in ("error_sizes", "inference_sizes", "layers"):
            found = getattr(self, name)
            if len(set(found)) < len(found):
                raise InputError(f"{name} should be different numbers. Got {found}.")
        for name in ("error_sizes", "inference_sizes"):
            largest = max(getattr(self, name), default=0)
            if largest >= self.block:
                raise InputError(f"{name} should be below block, {self.block} neurons. Got {largest}.")


QUICK = {
    "data": "digits",
    "rows": 0,
    "batch": 20,
    "block": 16,
    "epochs": 3,
    "error_sizes": (0, 4),
    "inference_sizes": (4,),
}
FULL = _modules.FULL | {
    "layers": (1, 2, 3),
    "error_sizes": (0, 1, 2, 5, 10, 20, 50, 100),
    "inference_sizes": (2, 5, 10, 20, 50, 100),
}


def experiment(parameters, run):
    """Train nets with fewer neurons of each role."""
    p = parameters
    images, cases = _modules.load(p, run), []

    def add(role, neurons, depth, **more):
        place = {"role": role, "neurons": neurons, "layers": depth}
        cases.append(_modules.Case(place, images, constants={"modules": depth}, **more))

    for depth in sorted(p.layers):
        add("all", p.block, depth)
        for role, smaller in ROLES.items():
            for neurons in p.inference_sizes if smaller else p.error_sizes:
                if smaller:
                    add(role, neurons, depth, options={"sizes": dict.fromkeys(smaller, neurons)})
                elif neurons or role == "RE":
                    add(role, neurons, depth, state=_fewer(role, neurons, p.block))
    found = _modules.train(cases, p, run, diverged="omit")
    found = found.sortby("neurons")
    return found.assign_attrs(_modules.size(p), chance=1 / images.classes)


def _fewer(role, neurons, block):
    """Feedback weights where only the first neurons of a block receive errors, or send them."""

    def state(initial):
        changed = {}
        for name, values in initial.items():
            if name.endswith(".f") and (role == "RE" or name != "e_out.f"):
                weights = np.array(values).reshape(-1, block)
                weights[(slice(None), slice(neurons, None)) if role == "RE" else slice(neurons, None)] = 0
                changed[name] = weights.ravel()
        return changed

    return state


def curve(dataset, role, depth, which="best"):
    """Test accuracy (%) by neurons of a role, up to the whole block: of the best or the last epoch, mean over nets."""
    accuracy = 100 * dataset.test_accuracy.sel(layers=depth)
    accuracy = (accuracy.max("epoch") if which == "best" else accuracy.isel(epoch=-1)).mean("net")
    here = accuracy.sel(role=role).fillna(accuracy.sel(role="all", drop=True))
    return here.dropna("neurons").drop_vars(["role", "layers"])


def _each(dataset, judge):
    """Texts and verdicts of all depths: it holds if all do."""
    found = [(int(depth), *judge(depth)) for depth in dataset.layers.values]
    return "; ".join(f"{depth} modules: {text}" for depth, text, _ in found), [verdict for *_, verdict in found]


def _flat(dataset):
    def judge(depth):
        errors = curve(dataset, "RE", depth)
        away = errors.where(errors.neurons >= FLAT, drop=True) - errors[-1]
        return f"{_modules.listed(errors)} %", away.size > 1 and float(abs(away).max()) <= MARGIN

    text, fine = _each(dataset, judge)
    enough = FLAT in dataset.neurons and dataset.attrs["block"] > FLAT
    return text, holds(all(fine)) if enough else "not run"


def _drops(dataset):
    def judge(depth):
        errors = curve(dataset, "RE", depth)
        low = errors.where((errors.neurons > 0) & (errors.neurons < FLAT), drop=True)
        return f"{_modules.listed(low)} % of {float(errors[-1]):.1f} %", low.size > 0 and float(
            low[0] - errors[-1]
        ) < -MARGIN

    text, fine = _each(dataset, judge)
    return text, holds(all(fine))


def _reservoir(dataset):
    if 0 not in dataset.neurons:
        return "no nets without RE", "not run"

    def judge(depth):
        errors = curve(dataset, "RE", depth)
        none, rest = float(errors[0]), errors[1:]
        text = f"{none:.1f} %, lowest with RE {float(rest.min()):.1f} %"
        return text, 200 * dataset.attrs["chance"] < none < float(rest[-1]) - MARGIN

    text, fine = _each(dataset, judge)
    return text, holds(all(fine))


def _matter(dataset):
    shared = sorted(
        set(curve(dataset, "RE", dataset.layers.values[0]).neurons.values)
        & set(curve(dataset, "RI", dataset.layers.values[0]).neurons.values)
    )[:-1]
    if not shared:
        return "no number of neurons that roles of errors and of inference share", "not run"

    def judge(depth):
        loss = {}
        for role in ROLES:
            found = curve(dataset, role, depth)
            loss[role] = float(np.mean([found[-1] - found.sel(neurons=n) for n in shared]))
        text = ", ".join(f"{role} {value:.1f}" for role, value in loss.items())
        return text, max(loss["RE"], loss["SE"]) < min(loss["RI"], loss["SI"])

    text, fine = _each(dataset, judge)
    return f"{text} points (mean of {', '.join(map(str, shared))} neurons)", holds(all(fine))


def _ends(dataset):
    whole = dataset.test_accuracy.sel(role="all", neurons=dataset.attrs["block"])
    parts = (f"{int(depth)} modules: {_modules.ends(whole.sel(layers=depth))}" for depth in dataset.layers.values)
    return f"{'; '.join(parts)} %", holds(float(whole.max("epoch").min()) > 0.75)


EXPECTED = [
    _modules.used(),
    Claim("whole blocks learn", "ours: best epoch above 75 %", _ends),
    Claim(
        f"flat down to {FLAT} RE neurons",
        f"figure 4g-i; here: best epochs within {MARGIN} points of the whole block's",
        _flat,
    ),
    Claim(
        "it drops below",
        f"figure 4g-i; here: with the fewest, more than {MARGIN} points below the whole block's",
        _drops,
    ),
    Claim(
        "no RE: a reservoir, whose readout learns",
        f"figure 4g-i; here: above twice chance, more than {MARGIN} points below the whole block's",
        _reservoir,
    ),
    Claim(
        "RE and SE matter less than RI and SI",
        "figure 4g-i; here: points lost with few, either less than both others",
        _matter,
    ),
]


def figure(dataset):
    """Accuracy against the neurons of each role; a panel for each depth; dotted: the last epoch's."""
    depths = dataset.layers.values
    fig, axes = figures.subplots(1, len(depths), squeeze=False, sharey=True, width=4.2, height=3.2)
    for ax, depth in zip(axes[0], depths, strict=True):
        for role, colour in COLOURS.items():
            best, last = (curve(dataset, role, depth, which) for which in ("best", "last"))
            ax.plot(best.neurons, best, "o-", color=colour, label=f"X = {role}", markersize=4)
            ax.plot(last.neurons, last, ":", color=colour)
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xticks(dataset.neurons.values, [str(n) for n in dataset.neurons.values])
        ax.minorticks_off()
        ax.set(xlabel="X neurons", title=f"{dataset.attrs['data']}, {depth} modules")
    axes[0, 0].set(ylabel="test accuracy (%)")
    axes[0, 0].legend(loc="best", title="best epoch (dotted: last)")
    return fig
