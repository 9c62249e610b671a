"""One image through both phases in continuous time: rates, displacements and spikes of the neurons of each role.

Ours, on Z. Liu et al. (2026), eLife 15:e108237, figure 1d: two modules that have learned Fashion-MNIST by the published
algorithm (dt = tau) are shown an image of the test at dt = tau/20, in double precision. Modules relax one after the
other, 8 tau each: inference in module 1, then 2; with the output's error, module 2, then 1. To be seen: inference comes
in at RI, goes over to the others, and out at SI; the error comes in at RE, displaces the rest of the module, RI, which
learns from it, and SE, which sends it on, among them; ends and weight changes are the published ones.

A spike train is drawn from each neuron's rate (z = -1 is silence); nothing listens to them. ``neuroplast export``
writes rates and spikes; neurons are in the order RI, SI, RE, SE. Criteria were set before the first run.
"""

from dataclasses import dataclass

import numpy as np
from brian2 import Hz, Quantity, ms

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images, _modules, _shown
from neuroplast.traces import Traces
from neuroplast.unittext import unit_text

PAPER = {"figure": "ours, on Liu et al. 2026, figure 1d", "doi": "10.7554/eLife.108237"}
EXPECTED_TIME = "1 min on two idle cores"
FULL_TIME = "1 h on two idle cores"
ROLES = ("RI", "SI", "RE", "SE")
MODULES = (1, 2)
#: Iterations of a phase of a module.
PHASE = 8
#: Where each module's phases are, in units of a phase: of inference, and of learning.
TURNS = {1: (0, 3), 2: (1, 2)}


@dataclass(frozen=True)
class Parameters(_modules.Common):
    """What can be varied."""

    rows: int = parameter(20000, "take only so many images of the first ones, also in the test; 0: all", least=0)
    epochs: int = parameter(3, "times that the net sees all images before, by the published algorithm", least=1)
    image: int = parameter(0, "number of the image of the test", least=0)
    epe: bool = parameter(True, "error-perturbed errors; false: the learning phase begins at rest")
    tau: Quantity = parameter(10 * ms, "time constant of the neurons")
    steps: int = parameter(20, "time steps in tau", least=1)
    max_rate: Quantity = parameter(50 * Hz, "spikes per second at z = 1")


QUICK = {"rows": 1000, "epochs": 1, "block": 16}
FULL = _modules.FULL


def experiment(parameters, run):
    """Learn at dt = tau; then present an image at a smaller step."""
    p, images, learned = parameters, _modules.load(parameters, run), {}
    one = _shown.shown(images, [p.image])

    def keep(case, net, model):
        learned.update(_shown.weights(net.state))
        return {}

    spikes = f":max={unit_text(p.max_rate)}"
    record = [f"module{i}.{what}" for i in MODULES for what in ("z", f"spikes{spikes}")]
    times = {"tau": p.tau, "dt": p.tau / p.steps, "inference": PHASE * p.tau, "learning": PHASE * p.tau}
    shower = _shown.model(p, one, [*record, "outputs.p:at=trial"], run, epe=p.epe, **times)
    case = _modules.Case({}, images, constants={"epe": p.epe}, nets=1)
    before = _modules.train([case], p, run, part="learning", after=keep)
    (net,) = run.train_many([shower.job("shown", {}, 1, _images.seed(run, 0), state=learned)])
    found = net.dataset.drop_dims(["epoch", "snapshot"]).load()
    x, target = one.scale * one.test[0].astype(float), np.eye(one.classes)[one.test_labels[0]]
    states, errors, changes = published(learned, x, target, p)
    probabilities = Traces(found).rates["outputs.p"].values.ravel()
    _, _, ours = _learning(ends(found, p.steps), probabilities - target, learned, x, p)
    found["wanted_state"] = ("module", "neuron"), states, {"long_name": "activity after the published inference phase"}
    found["wanted_error"] = ("module", "neuron"), errors, {"long_name": "displacement in the published learning phase"}
    doc = {"long_name": "cosine between the weight change and the published one"}
    found["cosine"] = "projection", [_cosine(one, other) for one, other in zip(ours, changes, strict=True)], doc
    found["image"], found["target"] = ("pixel", x), ("class", target)
    found["learned"] = before.test_accuracy.isel(epoch=-1, net=0, drop=True)
    attrs = {
        "tau": float(p.tau),
        "steps": p.steps,
        "epe": int(p.epe),
        "shape": one.shape,
        "max_rate": float(p.max_rate),
    }
    roles = ", ".join(f"{role} {i * p.block}-{(i + 1) * p.block - 1}" for i, role in enumerate(ROLES))
    return found.assign_attrs(before.attrs | _modules.size(p) | attrs | {"roles": roles})


def published(state, x, target, p):
    """The algorithm of the paper for one image: an iteration is a whole step.

    Returns
    -------
    states, errors : list of array
        Of both modules, at the end of the phases.
    changes : list of array
        Direction in which the learned weights move, from the input's to the output's.
    """
    zs = []
    for i, c in enumerate(_shown.currents(state, x[None], p, len(MODULES), PHASE), 1):
        zs.append(_relax(np.zeros(4 * p.block), c[0], _shown.recurrent_of(state, i, p)))
    w_out = np.reshape(state["w_out.w"], (p.block, -1)).astype(float)
    raised = np.exp(zs[-1][p.block : 2 * p.block] @ w_out)
    error = raised / raised.sum() - target
    currents, errors, sent = _shown.currents(state, x[None], p, len(MODULES), PHASE), {}, error
    for i, name in ((2, "e_out"), (1, "e1")):
        c = currents[i - 1][0].copy()
        c[2 * p.block : 3 * p.block] -= sent @ np.reshape(state[f"{name}.f"], (len(sent), p.block))
        start = zs[i - 1] if p.epe else np.zeros(4 * p.block)
        errors[i] = zs[i - 1] - _relax(start, c, _shown.recurrent_of(state, i, p))
        sent = errors[i][3 * p.block :]
    return _learning((zs, [errors[1], errors[2]]), error, state, x, p)


def _relax(z, c, w):
    for _ in range(PHASE):
        z = np.tanh(z @ w + c)
    return z


def _learning(found, error, state, x, p):
    """States and errors of the modules, and the weight changes that they make."""
    (z1, z2), (e1, e2) = found
    taught, sent = slice(0, p.block), slice(p.block, 2 * p.block)
    changes = [(x, e1[taught]), (z1[sent], e2[taught]), (z2[sent], error)]
    return [z1, z2], [e1, e2], [-np.outer(pre, post) for pre, post in changes]


def _cosine(one, other):
    return float((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other)))


def trace(dataset, module):
    """Times in tau, and activity of a module: array (time, neuron)."""
    z = Traces(dataset).rates[f"module{module}.z"].isel(trial=0)
    return z.time.values / dataset.attrs["tau"], z.values


def ends(dataset, steps):
    """Activity of both modules at the end of inference, and displacement at the end of learning."""
    span, zs, errors = PHASE * steps, [], []
    for module in MODULES:
        z = Traces(dataset).rates[f"module{module}.z"].isel(trial=0).values
        first, second = ((turn + 1) * span - 1 for turn in TURNS[module])
        zs.append(z[first])
        errors.append(z[first] - z[second])
    return zs, errors


def displacement(dataset, module):
    """Norm of the displacement of the neurons of each role in the learning phase of a module: role to array (time)."""
    span, block = PHASE * dataset.attrs["steps"], dataset.attrs["block"]
    _, z = trace(dataset, module)
    end, begin = z[(TURNS[module][0] + 1) * span - 1], TURNS[module][1] * span
    away = (end - z[begin : begin + span]).reshape(span, len(ROLES), block)
    return dict(zip(ROLES, np.linalg.norm(away, axis=-1).T, strict=True))


def _deviations(dataset):
    zs, errors = ends(dataset, dataset.attrs["steps"])
    norm, found = np.linalg.norm, {}
    for name, ours, wanted in (
        ("state", zs, dataset.wanted_state.values),
        ("error", errors, dataset.wanted_error.values),
    ):
        found[name] = [norm(a - b) / norm(b) for a, b in zip(ours, wanted, strict=True)]
    return found


def _same(dataset):
    found = _deviations(dataset)
    text = "; ".join(f"{name} of modules 1, 2: {one:.2g}, {two:.2g}" for name, (one, two) in found.items())
    return text, holds(max(found["state"]) < 0.01 and max(found["error"]) < 0.02)


def _changes(dataset):
    names = ("w_in", "w1", "w_out")
    text = ", ".join(f"{name} {float(c):.5f}" for name, c in zip(names, dataset.cosine, strict=True))
    return text, holds((dataset.cosine > 0.99).all())


def halves(dataset, module):
    """Time in tau after which the displacement of each role has half of its size in the end."""
    if not dataset.attrs["epe"]:
        return {}
    return {
        role: float(np.argmax(away >= away[-1] / 2) + 1) / dataset.attrs["steps"]
        for role, away in displacement(dataset, module).items()
    }


def _spreads(dataset):
    texts, good = [], []
    for module in MODULES[::-1]:
        found = halves(dataset, module)
        texts.append(f"module {module}: {', '.join(f'{role} {t:.2f}' for role, t in found.items())}")
        good += [found["RE"] < found[role] for role in ("RI", "SE") if found]
    return "; ".join(texts) + " tau", holds(all(good)) if good else "not run"


def _counts(dataset):
    texts, good = [], []
    for module in MODULES:
        _, z = trace(dataset, module)
        dt = dataset.attrs["tau"] / dataset.attrs["steps"]
        wanted = float((dataset.attrs["max_rate"] * (z + 1) / 2 * dt).sum())
        count = len(Traces(dataset).spikes[f"module{module}"].time)
        texts.append(f"module {module}: {count}, expected {wanted:.0f}")
        good.append(abs(count - wanted) < 4 * np.sqrt(wanted))
    return "; ".join(texts), holds(all(good))


EXPECTED = [
    _modules.used(),
    Claim(
        "phases end where the published iterations do",
        "ours: after 8 tau activity within 1 %, displacements within 2 % of their norms",
        _same,
    ),
    Claim("weight changes are the published ones", "ours: cosines above 0.99", _changes),
    Claim(
        "the error comes in at RE and spreads",
        "figure 1d; here: RI and SE reach half of their displacement after RE, in both modules (EPE)",
        _spreads,
    ),
    Claim("spikes follow the rates", "ours: counts within 4 standard deviations of the expected ones", _counts),
]


def figure(dataset):
    """Image, output, spikes; activity by role; displacements by role."""
    layout = [["image"] * 2 + ["output"] * 2 + ["spikes 1"] * 4 + ["spikes 2"] * 4]
    layout += [[f"{role} {module}" for role in ROLES for _ in range(3)] for module in MODULES]
    layout += [["away 1"] * 6 + ["away 2"] * 6]
    fig, axes = figures.mosaic(layout, width=11, height=9)
    channels, *shape = dataset.attrs["shape"]
    axes["image"].imshow(dataset.image.values.reshape(channels, *shape).mean(0), cmap="gray_r")
    axes["image"].set(xticks=[], yticks=[], title="image")
    p = Traces(dataset).rates["outputs.p"].values.ravel()
    colours = [figures.COLOURS[1] if t else "0.6" for t in dataset.target.values]
    axes["output"].bar(np.arange(len(p)), p, color=colours)
    axes["output"].set(xlabel="class", ylabel="probability", title="output (coloured: right)")
    block, end = dataset.attrs["block"], 2 * len(MODULES) * PHASE
    for module in MODULES:
        t, z = trace(dataset, module)
        spikes = Traces(dataset).spikes[f"module{module}"]
        ax = axes[f"spikes {module}"]
        ax.plot(spikes.time.values / dataset.attrs["tau"], spikes.neuron, "|", color="black", markersize=1.5)
        places = (np.arange(len(ROLES)) + 0.5) * block
        _phases(ax, module, title=f"spikes of module {module}", yticks=places, yticklabels=ROLES, ylim=(0, 4 * block))
        for number, role in enumerate(ROLES):
            part = z[:, number * block : (number + 1) * block]
            ax = axes[f"{role} {module}"]
            ax.plot(t, part[:, :: max(1, block // 8)], linewidth=0.9)
            _phases(ax, module, title=f"{role} of module {module}", ylabel="z" if role == "RI" else "")
        ax, since = axes[f"away {module}"], TURNS[module][1] * PHASE
        for (role, away), colour in zip(displacement(dataset, module).items(), figures.COLOURS, strict=False):
            ax.plot(t[: len(away)] + since, away / np.sqrt(block), color=colour, label=role)
        _phases(ax, module, title=f"displacement of module {module} (per neuron)", xlim=(since - 1, since + PHASE))
    for ax in (axes[name] for name in axes if name[-1] in "12" and not name.startswith("away")):
        ax.set_xlim(0, end)
    axes["away 1"].legend()
    return fig


def _phases(ax, module, **options):
    """Shade the phases of a module: inference blue, learning red."""
    for turn, colour in zip(TURNS[module], figures.COLOURS, strict=False):
        ax.axvspan(turn * PHASE, (turn + 1) * PHASE, color=colour, alpha=0.1, linewidth=0)
    ax.set(xlabel=r"time ($\tau$)", **options)
