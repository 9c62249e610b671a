"""PEPITA learns alike at dt = tau, the published algorithm, and in continuous time, if its phases are long enough.

Ours, on G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, whose discussion proposes two-compartment neurons
without building them: the same nets (initial weights, order of the images; no dropout, whose masks would differ) learn
at dt = tau, where a phase is one step, and at tau/4 and tau/10 with phases of 1 to 16 tau. Potentials go on from image
to image. To be seen: with long phases the curves agree. With short ones the somata still hold a part of the image
before, b ~ (1 + T/tau) exp(-T/tau) of it after T in the first layer, against a modulation of about a hundredth: the
mismatch is then b W (x_before - x), and times x on average it makes the weights grow along the images' covariance, a
Hebbian instability. The modulated phase may be short: it decides about the size of the mismatch alone.

`settled` is the accuracy of the final weights when each image has all the time that it needs. A net that diverged has
no accuracy. The input's current is made once in a phase, so small steps cost less than in proportion; the record of the
run (run.json) has the milliseconds of a batch. Criteria, and the longest phases, were set before the first run at full
size; short runs before (6000 images, 256 neurons, 3 epochs) diverged at up to 4 tau and showed that 8 tau is not enough
for a change of the weights that is the published one.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from brian2 import Quantity, ms

from neuroplast import figures
from neuroplast.errors import InputError
from neuroplast.models import pepita
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images
from neuroplast.rules import PEPITA
from neuroplast.traces import combine

PAPER = {"figure": "ours, on Dellaferrera and Kreiman 2022, section 5", "doi": ""}
EXPECTED_TIME = "20 min on two idle cores"
KEEP = (*_images.METRICS, "angle", "norm_w1")


@dataclass(frozen=True)
class Parameters(_images.Common):
    """What is varied; phases are in tau."""

    hidden: tuple = parameter((1024, 256), "neurons of each layer, in nets of one, two, ... hidden layers", least=1)
    nets: int = parameter(3, "nets, each with its own initial weights", least=1)
    epochs: int = parameter(5, "times that a net sees all images", least=1)
    steps: tuple = parameter((4, 10), "time steps in tau, besides 1", least=2)
    phases: tuple = parameter(
        (1, 2, 4, 8, 16), "durations of both phases; the standard one's before a short one", least=1
    )
    tau: Quantity = parameter(10 * ms, "time constant of dendrites and somata")
    keep: float = parameter(1.0, "probability that dropout leaves a hidden neuron in")

    def __post_init__(self):
        for name in ("steps", "phases"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given) or any(value != int(value) for value in given):
                raise InputError(f"{name} should be different whole numbers. Got {given}.")


QUICK = {"rows": 3000, "hidden": (64,), "nets": 2, "epochs": 2, "steps": (10,)}


def cases(p):
    """Steps in tau, durations of both phases and what to call them: the published one first, a short one last."""
    longest, finest = max(p.phases), max(p.steps)
    found = [(1, 1, 1), *((steps, phase, phase) for steps in sorted(p.steps) for phase in sorted(p.phases))]
    found += [(finest, longest, 1)] if longest > 1 else []
    return [(steps, one, other, f"{one}" if one == other else f"{one}+{other}") for steps, one, other in found]


def experiment(parameters, run):
    """Train the same nets in all cases."""
    p, images = parameters, _images.load(parameters.data, parameters.rows, run)
    parts, took = [], {}
    for layers, width in enumerate(p.hidden, 1):
        constants = {"hidden": (width,) * layers, "keep": p.keep, "tau_d": p.tau, "tau_s": p.tau}
        models, jobs = {}, []
        for steps, standard, modulated, phases in cases(p):
            times = {"dt": p.tau / steps, "standard": standard * p.tau, "modulated": modulated * p.tau}
            chosen = _images.constants(images.name, "pepita", **constants, **times)
            model = pepita.build(chosen, images, PEPITA, record=run.record, target=run.target)
            models[f"{layers} hidden, tau/{steps}, {phases} tau"] = model
            for net in range(p.nets):
                coords = {"layers": layers, "steps": steps, "phases": phases, "net": net}
                label = "_".join(f"{name}={value}" for name, value in coords.items())
                jobs.append(model.job(label, coords, p.epochs, _images.seed(run, net)))
        # The longest first: two cores should not wait for one net in the end.
        trained = run.train_many(jobs[: p.nets] + jobs[: p.nets - 1 : -1], diverged="omit")
        parts += _measured(trained, images, {job.coords["net"]: job.state for job in jobs})
        took |= _milliseconds(models) if run.target == "cpp" else {}
    run.note(rules=[PEPITA.name], milliseconds_of_a_batch=took)
    order = {"phases": list(dict.fromkeys(phases for *_, phases in cases(p))), "steps": [1, *sorted(p.steps)]}
    order["phases"].sort(key=lambda name: ("+" in name, int(name.split("+")[0])))
    found = combine(parts).reindex(order)
    return found.assign(work=_work(found, p, images)).assign_attrs(data=images.name)


def _measured(trained, images, initial):
    """Results of each net, with what its final weights are: how good, how far from those that the paper's makes."""
    parts, published = [], {}
    x, labels = images.scale * images.test.astype(np.float32), images.test_labels
    for net in trained:
        found = net.dataset
        weights = [found[f"w_w{i}"].values[-1] for i in range(1, net.coords["layers"] + 2)]
        r = x
        for w in weights[:-1]:
            r = np.maximum(r @ w, 0)
        made = found[[*KEEP]].drop_vars("epoch_time").load()
        made["settled"] = float(np.mean((r @ weights[-1]).argmax(1) == labels))
        first, begin = weights[0], initial[net.coords["net"]]["w1.w"].reshape(weights[0].shape)
        other = published.setdefault(net.coords["net"], first)  # the published ones come first
        made["distance"] = float(np.linalg.norm(first - other) / np.linalg.norm(other - begin))
        parts.append((net.coords, made))
    return parts


def multiply_adds(sizes, steps):
    """Products and sums for an image: the input's current once in each of two phases, what follows in every step.

    Parameters
    ----------
    sizes : sequence of int
        Neurons of each layer, the inputs first.
    steps : int
        Of both phases.
    """
    products = [one * other for one, other in zip(sizes, sizes[1:], strict=False)]
    # F e once, and each weight's gradient.
    return 2 * products[0] + steps * sum(products[1:]) + sizes[0] * sizes[-1] + sum(products)


def _work(found, p, images):
    work = xr.full_like(found.settled.isel(net=0, drop=True), np.nan)
    for layers, width in enumerate(p.hidden, 1):
        for steps, standard, modulated, phases in cases(p):
            sizes = [images.features, *[width] * layers, images.classes]
            place = {"layers": layers, "steps": steps, "phases": phases}
            work.loc[place] = multiply_adds(sizes, steps * (standard + modulated))
    return work


def _milliseconds(models, repeats=3):
    """Time for each batch of the training: medians of repeats that take turns; nothing moves, lest it diverges."""
    found = {name: [] for name in models}
    for _ in range(repeats):
        for name, model in models.items():
            state = model.initial(parameters=replace(model.parameters, eta=0.0))
            counts = [{"epoch": 1, "trial": n, "tests": 1} for n in (1, min(33, model.counts(1)["trial"]))]
            begun = [time.perf_counter()]
            for count in counts:
                model.simulation.run(state, counts=count)
                begun.append(time.perf_counter())
            each = np.diff(np.diff(begun))[0] / max(counts[1]["trial"] - 1, 1)
            found[name].append(1000 * each)
    return {name: round(float(np.median(each)), 2) for name, each in found.items()}


def _published(dataset, variable="test_accuracy"):
    part = dataset[variable].sel(steps=1, phases="1")
    return part.isel(epoch=-1) if "epoch" in part.dims else part


def _of(dataset, variable, phases):
    """Values of each net at the end, by the number of hidden layers and of steps in tau."""
    part = dataset[variable].sel(phases=phases)
    part = part.isel(epoch=-1) if "epoch" in part.dims else part
    return {
        (int(layers), int(steps)): part.sel(layers=layers, steps=steps).values
        for layers in dataset.layers
        for steps in dataset.steps[1:]
        if np.isfinite(dataset.work.sel(layers=layers, steps=steps, phases=phases))
    }


def _both(dataset):
    """Durations that both phases have."""
    return [name for name in dataset.phases.values if "+" not in name]


def _agree(dataset, phases):
    texts, close = [], []
    for layers in dataset.layers.values:
        published = _published(dataset).sel(layers=layers)
        texts.append(f"{layers} hidden: tau {_images.spread(published)}")
        for (of, steps), found in _of(dataset, "test_accuracy", phases).items():
            if of == layers:
                texts[-1] += f", tau/{steps} {_images.spread(found)}"
                close.append(abs(np.mean(found) - float(published.mean())) < 0.005)
    return "; ".join(texts), holds(all(close))


def _long(dataset):
    return _agree(dataset, _both(dataset)[-1])


def _weights(dataset):
    largest = {place: np.max(found) for place, found in _of(dataset, "distance", _both(dataset)[-1]).items()}
    text = ", ".join(f"{layers} hidden, tau/{steps}: {value:.2g}" for (layers, steps), value in largest.items())
    return f"largest of all nets: {text}", holds(max(largest.values()) < 0.05)


def _short_modulated(dataset):
    last = dataset.phases.values[-1]
    return _agree(dataset, last) if "+" in last else ("no such phases", "not run")


def _unstable(dataset):
    texts, lost = [], []
    for phases in [name for name in _both(dataset) if int(name) <= 4]:
        for (layers, steps), found in _of(dataset, "settled", phases).items():
            texts.append(f"{phases} tau, {layers} hidden, tau/{steps}: {_images.spread(found)}")
            lost.append(np.all(np.isnan(found) | (found < 0.5)))
    return ("; ".join(texts), holds(all(lost))) if lost else ("no such phases", "not run")


def _cost(dataset):
    last, longest = int(dataset.steps[-1]), _both(dataset)[-1]
    work = dataset.work.isel(layers=0)
    more = float(work.sel(steps=last, phases=longest) / _published(dataset.isel(layers=0), "work"))
    steps = last * int(longest)
    return f"{more:.2g} times as many for {steps} times as many steps", holds(more < steps / 10)


EXPECTED = [
    _images.used(),
    Claim(
        "with long phases small steps learn alike",
        "ours: at the longest phases the mean test accuracy is within 0.5 points of that at dt = tau",
        _long,
    ),
    Claim(
        "and to the same weights",
        "ours: W_1 ends within 5 % of the way that it goes at dt = tau from where it ends there",
        _weights,
    ),
    Claim(
        "the modulated phase may be short",
        "ours: of 1 tau after the longest standard one, accuracy as above",
        _short_modulated,
    ),
    Claim(
        "phases of 4 tau and less do not learn",
        "ours: every net diverges or settles below 50 %, since the image before outweighs the modulation",
        _unstable,
    ),
    Claim(
        "small steps cost less than in proportion",
        "ours: one hidden layer, longest phases: products and sums grow by less than a tenth of what the steps do",
        _cost,
    ),
]


def figure(dataset):
    """Accuracy, distance from the published weights, and work, by the duration of a phase, for each depth."""
    depths, names = dataset.layers.values, _both(dataset)
    phases = np.array(list(map(int, names)))
    fig, axes = figures.subplots(len(depths), 3, squeeze=False)
    for row, layers in zip(axes, depths, strict=True):
        here = dataset.sel(layers=layers)
        _accuracy(row[0], here, names, phases)
        for steps, colour in zip(dataset.steps.values[1:], figures.COLOURS, strict=False):
            one = here.sel(steps=steps, phases=names)
            row[1].plot(phases, one.distance.median("net"), "o-", color=colour, label=f"dt = τ/{steps}")
            row[2].plot(phases, one.work / float(_published(here, "work")), "o-", color=colour)
            row[2].plot(phases, steps * phases, ":", color=colour)
        row[1].axhline(1, color="black", linewidth=0.5)
        row[1].set(yscale="log", ylabel="relative to what is learned")
        row[2].set(yscale="log", ylabel="relative to dt = τ")
        for ax in row:
            ax.set(xscale="log", xlabel=r"duration of a phase ($\tau$)", xlim=(0.9 * phases[0], 1.1 * phases[-1]))
            ax.set_xticks(phases, names)
            ax.set_xticks([], minor=True)
        row[0].set_title(f"{layers} hidden layer" + "s" * int(layers > 1))
        row[1].set_title("distance from $W_1$ of dt = τ")
        row[2].set_title("products and sums (dotted: steps)")
        row[0].legend(loc="center left", fontsize=8)
        row[1].legend()
    return fig


def _accuracy(ax, here, names, phases):
    level = 100 * _published(here)
    ax.axhline(level.mean(), color="black", linewidth=1, label="dt = τ")
    ax.axhspan(level.min(), level.max(), color="black", alpha=0.15, linewidth=0)
    for steps, colour in zip(here.steps.values[1:], figures.COLOURS, strict=False):
        made = 100 * here.sel(steps=steps, phases=names)
        lost = np.isnan(made.settled).any("net").values
        ax.plot(phases, made.test_accuracy.isel(epoch=-1).mean("net"), "o-", color=colour, label=f"dt = τ/{steps}")
        ax.plot(phases, made.settled.mean("net"), "+:", color=colour, markersize=9)
        if lost.any():
            ax.plot(phases[lost], np.full(lost.sum(), 2 + steps / 5), "x", color=colour, clip_on=False)
    last, name = here.steps.values[-1], here.phases.values[-1]
    if "+" in name:
        short = 100 * here.test_accuracy.sel(steps=last, phases=name).isel(epoch=-1)
        ax.plot(phases[-1], short.mean(), "D", color=figures.COLOURS[2], label="modulated: 1 τ", zorder=3)
    ax.set(ylabel="test accuracy (%)\n(+ settled, x diverged)", ylim=(0, 100))
