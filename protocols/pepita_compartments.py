"""One presentation in continuous time: dendrite, soma, input, error and the weight change that they make.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, propose in their discussion that the dendrite integrates
the present input while the soma stores the response to the original one, and that their mismatch drives plasticity.
Ours, since nobody has built it: a network that has learned by the published algorithm (dt = tau) is shown two images of
the test, one after the other, at dt = tau/20, in double precision and without dropout. The first leaves its traces, the
second is looked at. To be seen: in the standard phase dendrite and soma go over to the image; in the modulated phase,
with the input shifted by F e, the soma holds and the dendrite relaxes to the response to x + F e; what plasticity makes
of the mismatch is the published change. As F is small, so is the mismatch: what shorter phases leave of the image
before is soon larger.

A spike train is drawn from each hidden neuron's rate; nothing listens to them. ``neuroplast export`` writes traces and
spikes. Criteria were set before the first run at full size.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from brian2 import Hz, Quantity, ms

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.models import pepita
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images
from neuroplast.recording import as_records
from neuroplast.rules import PEPITA
from neuroplast.traces import Traces
from neuroplast.unittext import unit_text

PAPER = {"figure": "ours, on Dellaferrera and Kreiman 2022, section 5", "doi": ""}
EXPECTED_TIME = "1 min on two idle cores"
BEFORE, SHOWN = 0, 1  # presentations


@dataclass(frozen=True)
class Parameters(_images.Common):
    """What can be varied."""

    hidden: tuple = parameter((128, 64), "neurons of each hidden layer", least=1)
    nets: int = parameter(1, "nets; 1, since seeds choose the net that is shown", least=1)
    epochs: int = parameter(1, "times that the net sees all images before, by the published algorithm", least=1)
    image: int = parameter(0, "number of the image of the test; the one after it is shown before it", least=0)
    tau: Quantity = parameter(10 * ms, "time constant of dendrites and somata")
    steps: int = parameter(20, "time steps in tau", least=2)
    phases: tuple = parameter((2, 4, 6, 8, 12, 16), "durations of each phase, in tau; the longest is shown", least=1)
    max_rate: Quantity = parameter(20 * Hz, "spikes per second at a rate of 1")

    def __post_init__(self):
        if self.nets != 1:
            raise InputError(f"nets should be 1, the one that is shown. Got {self.nets}; choose another by its seed.")
        if len(set(self.phases)) < max(2, len(self.phases)) or any(phase != int(phase) for phase in self.phases):
            raise InputError(f"phases should be two or more different whole numbers of tau. Got {self.phases}.")


QUICK = {"rows": 2000, "phases": (4, 8, 16)}


def experiment(parameters, run):
    """Learn at dt = tau; then present two images at a smaller step, with phases of every duration."""
    p, seed = parameters, _images.seed(run, 0)
    images = _images.load(p.data, p.rows, run)
    if p.image + 2 > len(images.test):
        raise InputError(f"image should be at most {len(images.test) - 2}, since one follows it. Got {p.image}.")
    times = {"tau_d": p.tau, "tau_s": p.tau, "dt": p.tau, "standard": p.tau, "modulated": p.tau}
    coarse = _images.constants(images.name, "pepita", hidden=p.hidden, **times)
    learner = pepita.build(coarse, images, PEPITA, target=run.target)
    chosen, longest = [p.image + 1, p.image], max(p.phases) * p.tau
    two, labels = images.test[chosen], images.test_labels[chosen]
    images = dataclasses.replace(images, train=two, train_labels=labels, test=two, test_labels=labels)
    # Without momentum the change is that of this presentation alone.
    alone = {"batch": 1, "momentum": 0.0, "keep": 1.0, "shuffle": False}
    fine = dataclasses.replace(coarse, **alone, dt=p.tau / p.steps, standard=longest, modulated=longest)
    ours = as_records(_records(p))
    asked = [record for record in run.record if record.name not in {item.name for item in ours}]
    options = {"record": [*ours, *asked], "target": run.target, "dtype": "float64"}
    model, jobs = pepita.build(fine, images, PEPITA, **options), []

    (learned,) = run.train_many([learner.job("published", {}, p.epochs, seed)], part="learning")
    run.note(rules=[PEPITA.name])
    names = [f"w{i}" for i in range(1, len(p.hidden) + 2)]
    state = {name: learned.state[name] for name in (*(f"{name}.w" for name in names), "feedback.f")}
    for phase in sorted(p.phases):
        job = model.job(f"phases-{phase}-tau", {"phase": int(phase)}, 1, seed, state=state)
        counts = dict.fromkeys(("standard", "modulated", "test"), int(phase) * p.steps)
        jobs.append(dataclasses.replace(job, counts={**job.counts, **counts}))
    parts = {net.coords["phase"]: net.dataset for net in run.train_many(jobs)}  # the last one is looked at

    x, target = images.scale * two.astype(float), np.eye(images.classes)[labels]
    feedback = np.reshape(state["feedback.f"], (images.classes, images.features)).astype(float)
    deviation = []
    for part in parts.values():
        weights = [Traces(part).weights[f"{name}.w"].values for name in names]
        potentials, wanted = published([w[BEFORE] for w in weights], feedback, x[SHOWN], target[SHOWN])
        wanted = [fine.eta * change for change in wanted]
        made = [w[SHOWN] - w[BEFORE] for w in weights]
        norm = np.linalg.norm
        deviation.append([norm(one - other) / norm(other) for one, other in zip(made, wanted, strict=True)])
    results = part.drop_dims(["epoch", "snapshot"]).load().assign_coords(phase=list(parts), layer=names)
    held = Traces(part).rates["outputs.err"]
    settled = (x[SHOWN] + held.isel(trial=SHOWN, time=-1).values @ feedback) @ weights[0][BEFORE]
    doc = {"kind": "metrics", "long_name": "of the weight change from the published one, relative to its norm"}
    results["deviation"] = ("phase", "layer"), deviation, doc
    results["x"], results["feedback"] = (("image", "pixel"), x), (("class", "pixel"), feedback)
    results["settled"] = f"{names[0]}_unit", settled, {"long_name": "response of layer 1 to the input as it was"}
    for i, name in enumerate(names):
        results[f"response_{name}"] = ("pass", f"{name}_unit"), [v[i] for v in potentials]
        results[f"published_{name}"] = (f"{name}.w_pre", f"{name}.w_post"), wanted[i]
    attrs = {"tau": float(p.tau), "steps": p.steps, "eta": fine.eta, "label": labels[SHOWN], "data": images.name}
    return results.assign_attrs(attrs | {"shape": images.shape})


def _records(p):
    found = []
    for i in range(1, len(p.hidden) + 1):
        spikes = f"hidden{i}.spikes:max={unit_text(p.max_rate)}"
        found += [f"hidden{i}.v_d", f"hidden{i}.r", f"soma{i}.v_s", f"w{i}.w:at=trial", spikes]
    last = f"w{len(p.hidden) + 1}.w:at=trial"
    return [*found, f"inputs.r:every={p.steps}", "outputs.v_d", "outputs.err", last]


def published(weights, feedback, x, target):
    """The algorithm of the paper for one image.

    Parameters
    ----------
    weights : list of array, shape (presynaptic, postsynaptic)
    feedback : array, shape (classes, inputs)
    x, target : array

    Returns
    -------
    potentials : list of list of array
        Of both passes, of each layer.
    change : list of array
        Direction in which the weights of each layer move, -G.
    """
    potentials, sent, error = [], [], np.zeros_like(target)
    for _ in range(2):
        r, v = [x + error @ feedback], []
        for w in weights:
            v.append(r[-1] @ w)
            r.append(np.maximum(v[-1], 0))
        r[-1] = _softmax(v[-1])
        error = r[-1] - target
        potentials.append(v)
        sent.append(r)
    standard, modulated = sent
    post = [m - r for m, r in zip(standard[1:-1], modulated[1:-1], strict=True)] + [error]
    return potentials, [-np.outer(r, change) for r, change in zip(modulated, post, strict=False)]


def _softmax(v):
    raised = np.exp(v - v.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _trace(dataset, name, presentation=SHOWN):
    """Times in tau since the presentation began, and values (time, neuron)."""
    array = Traces(dataset).rates[name].isel(trial=presentation)
    return array.time.values / dataset.attrs["tau"], array.values


def _modulated(dataset, name):
    """From the end of the standard phase to that of the modulated one."""
    values = _trace(dataset, name)[1]
    return values[len(values) // 2 - 1 :]


def _hidden(dataset):
    return range(1, dataset.sizes["layer"])


def _holds(dataset):
    changes = [float(np.ptp(_modulated(dataset, f"soma{i}.v_s"), axis=0).max()) for i in _hidden(dataset)]
    sizes = [float(np.ptp(_trace(dataset, f"soma{i}.v_s")[1], axis=0).max()) for i in _hidden(dataset)]
    text = f"changes by {max(changes):.2g}, in the standard phase by up to {max(sizes):.2g}"
    return text, holds(max(changes) <= 1e-12 * max(sizes))


def relaxation(dataset):
    """Distance of the dendrites of layer 1 from the response to x + F e, in units of that at the beginning.

    F e is that of the error as it was held; the published one is of an output that has settled.
    """
    away = np.linalg.norm(_modulated(dataset, "hidden1.v_d") - dataset.settled.values, axis=1)
    return away / away[0]


def _relaxes(dataset):
    away = relaxation(dataset)
    used = away > 1e-6  # below, rounding decides
    slope = np.polyfit(np.flatnonzero(used) / dataset.attrs["steps"], np.log(away[used]), 1)[0]
    text = f"time constant {-1 / slope:.3f} tau, at the end {away[-1]:.1g} of the way is left"
    return text, holds(abs(-1 / slope - 1) < 0.05 and away[-1] < 1e-3)


def _percent(deviation):
    return ", ".join(
        f"{name} {float(value):.2g}" for name, value in zip(deviation.layer.values, deviation, strict=True)
    )


def _same(dataset):
    last = dataset.deviation.sel(phase=dataset.phase.max())
    return f"phases of {int(last.phase)} tau: {_percent(last)}", holds((last < 0.01).all())


def _short(dataset):
    if 4 not in dataset.phase:
        return "no phases of 4 tau", "not run"
    hidden = dataset.deviation.isel(layer=slice(-1))
    text = "; ".join(f"{int(phase)} tau: {_percent(hidden.sel(phase=phase))}" for phase in dataset.phase)
    return text, holds((hidden.sel(phase=4) > 1).all())


EXPECTED = [
    _images.used(),
    Claim("the soma holds through the modulated phase", '"still storing"; here: to rounding, 1e-12', _holds),
    Claim(
        "the dendrite relaxes to the response to x + F e",
        "as exp(-t/tau); here: layer 1, time constant within 5 % of tau, less than 0.001 left at the end",
        _relaxes,
    ),
    Claim(
        "the weight change is the published one",
        "ours: in every layer it deviates by less than 1 % of its norm at the longest phases",
        _same,
    ),
    Claim(
        "in short phases the image before outweighs the modulation",
        "ours: at 4 tau the change of the hidden weights deviates by more than its norm",
        _short,
    ),
]


def figure(dataset):
    """Images, potentials of three neurons of each layer, input, output, what plasticity would do, phases needed."""
    layers = list(_hidden(dataset))[:2]
    rows = [["before", "image", "shift", "wanted", "made", "spikes"]]
    rows += [[f"{kind}{layers[0]}"] * 3 + [f"{kind}{layers[-1]}"] * 3 for kind in ("potential", "close", "synapse")]
    rows += [["input"] * 2 + ["output"] * 2 + ["phases"] * 2]
    fig, axes = figures.mosaic(rows, width=11, height=11, height_ratios=[0.9, 1, 1, 1, 1.1])
    neurons = {i: _chosen(dataset, i) for i in layers}
    _images_of(dataset, axes, neurons[1][0])
    for i in layers:
        _potentials(dataset, axes, i, neurons[i])
        _synapses(dataset, axes[f"synapse{i}"], i, neurons)
    _ends(dataset, axes)
    return fig


def _chosen(dataset, layer, number=3):
    """Neurons that respond, with the largest differences between the two passes."""
    standard, modulated = dataset[f"response_w{layer}"].values
    difference = abs(np.maximum(standard, 0) - np.maximum(modulated, 0)) * (standard > 0)
    return np.argsort(-difference)[:number]


def _image(ax, values, dataset, title, **options):
    channels, *size = dataset.attrs["shape"]
    ax.imshow(np.reshape(values, (channels, *size)).mean(0), **options)
    ax.set(xticks=[], yticks=[], title=title)


def _images_of(dataset, axes, neuron):
    x, grey = dataset.x.values, {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    _image(axes["before"], x[BEFORE], dataset, "image before", **grey)
    _image(axes["image"], x[SHOWN], dataset, "image x", **grey)
    shift = _trace(dataset, "inputs.r")[1][-1] - x[SHOWN]
    _image(axes["shift"], shift, dataset, f"F e, up to {abs(shift).max():.2g}", **figures.scale(shift))
    weights = Traces(dataset).weights["w1.w"].values[..., neuron]
    wanted, made = dataset.published_w1.values[:, neuron], weights[SHOWN] - weights[BEFORE]
    _image(axes["wanted"], wanted, dataset, "published $\\Delta W_1$", **figures.scale(wanted, made))
    _image(axes["made"], made, dataset, f"here (neuron {neuron})", **figures.scale(wanted, made))
    spikes = Traces(dataset).spikes["hidden1"]
    since = spikes.time.values / dataset.attrs["tau"] - 2 * float(dataset.phase.max())
    axes["spikes"].plot(since, spikes.neuron, "|", color="black", markersize=2)
    _mark(axes["spikes"], dataset, title="spikes, layer 1", yticks=[])


def _mark(ax, dataset, **options):
    """The beginning of the presentation and the boundary between its phases."""
    phase = float(dataset.phase.max())
    ax.axvline(0, color="0.7", linewidth=1)
    ax.axvline(phase, color="0.4", linewidth=1, linestyle="--")
    ax.set(xlim=(-3, 2 * phase), xlabel=r"time ($\tau$)", **options)


def _gapless(dataset, name):
    """Times and values of the end of the presentation before, and of the one that is shown."""
    (t, before), (_, shown) = (_trace(dataset, name, number) for number in (BEFORE, SHOWN))
    return np.append(t - 2 * float(dataset.phase.max()), t), np.concatenate([before, shown])


def _potentials(dataset, axes, layer, neurons):
    """Dendrites and somata as they are, and how far they are from the response to the image."""
    standard, modulated = dataset[f"response_w{layer}"].values
    whole, close = axes[f"potential{layer}"], axes[f"close{layer}"]
    for neuron, colour in zip(neurons, figures.COLOURS, strict=False):
        for part, style in ((f"hidden{layer}.v_d", "-"), (f"soma{layer}.v_s", "--")):
            t, v = _gapless(dataset, part)
            whole.plot(t, v[:, neuron], style, color=colour, label="dendrite" if style == "-" else "soma")
            close.plot(t, v[:, neuron] - standard[neuron], style, color=colour)
        close.plot(2 * float(dataset.phase.max()), (modulated - standard)[neuron], "o", color=colour, clip_on=False)
    limit = 1.6 * abs(modulated - standard)[neurons].max()
    _mark(whole, dataset, title=f"layer {layer}: three neurons", ylabel="potential")
    _mark(
        close,
        dataset,
        ylim=(-limit, limit),
        ylabel="less $W r$ of the image",
        title="close up (dots: response to x + F e)",
    )
    whole.legend(*(part[:2] for part in whole.get_legend_handles_labels()), loc="center right")


def _synapses(dataset, ax, layer, neurons):
    """What plasticity would make of each moment: eta times mismatch times presynaptic activity."""
    wanted, eta = dataset[f"published_w{layer}"].values, dataset.attrs["eta"]
    r, (t, v_s) = _trace(dataset, f"hidden{layer}.r")[1], _trace(dataset, f"soma{layer}.v_s")
    mismatch, power = np.maximum(v_s, 0) - r, int(np.ceil(-np.log10(abs(wanted[:, neurons[layer]]).max())))
    scale = 10.0**power
    for neuron, colour in zip(neurons[layer], figures.COLOURS, strict=False):
        pre = int(np.argmax(abs(wanted[:, neuron])))
        if layer > 1:
            before = _trace(dataset, f"hidden{layer - 1}.r")[1][:, pre]
        else:
            x, shifted = dataset.x.values[SHOWN, pre], _trace(dataset, "inputs.r")[1][-1, pre]
            before = np.where(np.arange(len(t)) < len(t) // 2, x, shifted)
        ax.plot(t, -eta * mismatch[:, neuron] * before * scale, color=colour)
        ax.plot(t[-1], wanted[pre, neuron] * scale, "o", color=colour, clip_on=False)
    limit = 1.6 * abs(wanted[:, neurons[layer]]).max() * scale
    title = "what plasticity would do at each moment (dots: published)"
    _mark(ax, dataset, ylim=(-limit, limit), ylabel=f"weight change ($10^{{{-power}}}$)", title=title)


def _ends(dataset, axes):
    """Input and output of the network, and how much the weight change depends on the duration of the phases."""
    ax, shift = axes["input"], _trace(dataset, "inputs.r")[1] - dataset.x.values[SHOWN]
    t = _trace(dataset, "inputs.r")[0] - 1
    for pixel, colour in zip(np.argsort(-abs(shift[-1]))[:4], figures.COLOURS, strict=False):
        ax.step(t, shift[:, pixel], color=colour, where="post")
    _mark(ax, dataset, ylabel="input less x", title="input: four pixels")
    ax, label = axes["output"], dataset.attrs["label"]
    (t, p), err = _gapless(dataset, "outputs.v_d"), _gapless(dataset, "outputs.err")[1]
    p = _softmax(p)
    others = [number for number in np.argsort(-p[-1]) if number != label][:2]
    for number, colour in zip([label, *others], figures.COLOURS, strict=False):
        own = ", the image's" if number == label else ""
        ax.plot(t, p[:, number], color=colour, label=f"class {number}{own}")
        ax.plot(t, err[:, number], ":", color=colour)
    _mark(ax, dataset, ylabel="probability; error (dotted)", title="output")
    ax.legend(loc="lower left", fontsize=8)
    ax = axes["phases"]
    for name, colour in zip(dataset.layer.values, figures.COLOURS, strict=False):
        ax.plot(dataset.phase, dataset.deviation.sel(layer=name), "o-", color=colour, label=f"$W_{name[1:]}$")
    ax.axhline(1, color="black", linewidth=0.5)
    ax.set(
        yscale="log",
        xlabel=r"duration of a phase ($\tau$)",
        ylabel="deviation from the published",
        title="weight change",
    )
    ax.legend()
