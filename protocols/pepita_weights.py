"""Trained weights: near-normal under backpropagation, wider and with heavier tails in PEPITA's last layer.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, figure 6 and appendix H: histograms of the weights of both
layers after 100 epochs on MNIST. To be seen: in the first layer BP and PEPITA end alike, BP's over a slightly greater
range; in the last one PEPITA's are much wider, and Student's t describes them better than the normal distribution that
fits BP's. Here a fit of each by the largest likelihood says so: the difference of Akaike's criterion, and the degrees
of freedom, which are few where tails are heavy, and so many as to make no difference where they are normal.

Ours: Fashion-MNIST, FA and DRTP besides, the initial weights, and the numbers. So many weights tell two distributions
apart however little they differ, so the criteria are about degrees of freedom: with 30 or more, Student's t is commonly
taken for normal. Initial weights are uniform (appendix A; section 4.4 calls them normal). Of tails that light, an
excess kurtosis of -1.2, Student's t knows nothing, so "normal" asks for an excess kurtosis within 0.5 of 0 besides.
Criteria were set before the full-size run.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import norm, t

from neuroplast import figures
from neuroplast.analysis.distributions import normal_or_student
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images
from neuroplast.traces import combine

PAPER = {"figure": "Dellaferrera and Kreiman 2022, figure 6 and appendix H", "doi": ""}
EXPECTED_TIME = "1 h 30 min on two idle cores"
BINS = 101
INITIAL = "initial"
LABELS = {INITIAL: "initial", **_images.LABELS}
FITTED = ("mean", "sd", "df", "loc", "scale", "aic", "kurtosis")
SHOWN = ("df", "aic", "kurtosis")
NORMAL_DF = 30.0
NORMAL = "here: more than 30 degrees of freedom (df), excess kurtosis within 0.5 of 0, each net"
STUDENT = "here: fewer than 30 df, AIC lower by more than 10, each net"


@dataclass(frozen=True)
class Parameters(_images.Common):
    """Whose weights are compared."""

    rules: tuple = parameter(("bp", "fa", "pepita", "drtp"), "rules; the paper has bp and pepita")

    def __post_init__(self):
        _images.check_rules(self.rules)


QUICK = {"rows": 1000, "epochs": 3, "hidden": (64,), "nets": 2, "rules": ("bp", "pepita")}


def experiment(parameters, run):
    """Train every net by every rule, and fit both distributions to the weights of each layer."""
    p = parameters
    images = _images.load(p.data, p.rows, run)
    layers = np.arange(1, len(p.hidden) + 2)
    names = [f"w_w{layer}" for layer in layers]
    cases = [_images.Case({"rule": rule}, rule, images) for rule in p.rules]
    found = _images.train(cases, p, run, keep=("test_accuracy", *names))
    weights = {
        (rule, layer, net): found[name].sel(rule=rule, net=net).isel(snapshot=-1).values.ravel()
        for rule in p.rules
        for layer, name in zip(layers, names, strict=True)
        for net in found.net.values
    }
    # Before learning they are the same under all rules but DRTP.
    model, constants = _images.NETWORKS["bp"].model, _images.constants(images.name, "bp", hidden=p.hidden)
    for net in found.net.values:
        state = model.initial_values(constants, images, 1000 * run.seed + net)
        weights |= {(INITIAL, layer, net): np.ravel(state[f"w{layer}.w"]) for layer in layers}
    results = measured(weights, layers)
    return results.assign(test_accuracy=found.test_accuracy.reindex(rule=results.rule)).assign_attrs(found.attrs)


def measured(weights, layers):
    """Fits, ranges and histograms of the weights of (rule, layer, net); a layer has the same bins throughout."""
    limits = {layer: max(np.abs(w).max() for key, w in weights.items() if key[1] == layer) for layer in layers}
    edges = {layer: np.linspace(-limit, limit, BINS + 1) for layer, limit in limits.items()}
    parts = []
    for (rule, layer, net), w in weights.items():
        fit = {name: value for name, value in normal_or_student(w).items() if name in FITTED}
        fit |= {"range": np.ptp(w), "density": ("bin", np.histogram(w, edges[layer], density=True)[0])}
        parts.append(({"rule": rule, "layer": int(layer), "net": int(net)}, xr.Dataset(fit)))
    centres = [(edges[layer][1:] + edges[layer][:-1]) / 2 for layer in layers]
    return combine(parts).assign(weight=(("layer", "bin"), np.array(centres)))


def _last(dataset):
    return int(dataset.layer[-1])


def _text(dataset, layer, measure, rules, form="{:.3g}"):
    """A number of every rule: mean over nets, and lowest to highest."""
    texts = []
    for rule in rules:
        values = dataset[measure].sel(rule=rule, layer=layer).values
        low, high = form.format(values.min()), form.format(values.max())
        texts.append(f"{LABELS[rule]} {low}" + (f" to {high}" if high != low else ""))
    return ", ".join(texts)


def _pair(check):
    """A claim about BP and PEPITA, "not run" if one of them is not there."""

    def checked(dataset):
        if not {"bp", "pepita"} <= set(dataset.rule.values):
            return "not among these rules", "not run"
        return check(dataset)

    return checked


def _alike(dataset):
    bp, ours = (dataset.sd.sel(rule=rule, layer=1) for rule in ("bp", "pepita"))
    text = f"sd: {_text(dataset, 1, 'sd', (INITIAL, 'bp', 'pepita'))}"
    return text, holds((abs(ours / bp - 1) < 0.1).all())


def _greater_range(dataset):
    bp, ours = (dataset["range"].sel(rule=rule, layer=1) for rule in ("bp", "pepita"))
    return _text(dataset, 1, "range", (INITIAL, "bp", "pepita")), holds((bp > ours).all())


def _wider(dataset):
    bp, ours = (dataset.sd.sel(rule=rule, layer=_last(dataset)) for rule in ("bp", "pepita"))
    return f"sd: {_text(dataset, _last(dataset), 'sd', dataset.rule.values)}", holds((ours > bp).all())


def _heavier(dataset):
    last = dataset.sel(layer=_last(dataset))
    bp, ours = last.sel(rule="bp"), last.sel(rule="pepita")
    text = f"excess kurtosis: {_text(dataset, _last(dataset), 'kurtosis', dataset.rule.values)}"
    return text, holds(((ours.kurtosis > bp.kurtosis) & (ours.df < bp.df)).all())


def _fit(rule, layer, student):
    """A claim about which distribution fits a rule's weights."""

    def check(dataset):
        if rule not in dataset.rule:
            return "not among these rules", "not run"
        at = layer or _last(dataset)
        part = dataset.sel(rule=rule, layer=at)
        found = ", ".join(f"{measure} {_text(dataset, at, measure, [rule]).split(' ', 1)[1]}" for measure in SHOWN)
        good = (
            (part.df < NORMAL_DF) & (part.aic > 10) if student else (part.df > NORMAL_DF) & (abs(part.kurtosis) < 0.5)
        )
        return found, holds(good.all())

    return check


EXPECTED = [
    _images.used(),
    Claim("first layer: BP and PEPITA alike", "similar; here: sd within 10 % in each net", _pair(_alike)),
    Claim("first layer: BP's range is greater", "slightly greater; here: in each net", _pair(_greater_range)),
    Claim("last layer: PEPITA's are wider", "significantly larger; here: sd above BP's in each net", _pair(_wider)),
    Claim(
        "last layer: with heavier tails", "here: more excess kurtosis, fewer df than BP's, each net", _pair(_heavier)
    ),
    Claim("last layer: BP's are normal", f"can be fit with a normal curve; {NORMAL}", _fit("bp", 0, False)),
    Claim("last layer: PEPITA's are Student's t", f"better described by it; {STUDENT}", _fit("pepita", 0, True)),
    Claim("first layer: BP's are normal", f"appendix H names no layer; {NORMAL}", _fit("bp", 1, False)),
    Claim("first layer: PEPITA's are Student's t", f"appendix H names no layer; {STUDENT}", _fit("pepita", 1, True)),
]


def figure(dataset):
    """Histograms of a net's weights, a row for each layer and a column for each rule, with both fits."""
    rules = [rule for rule in dataset.rule.values if rule != INITIAL]
    fig, axes = figures.subplots(
        dataset.sizes["layer"], len(rules), width=2.6, height=2.3, sharex="row", sharey="row", squeeze=False
    )
    for row, layer in zip(axes, dataset.layer.values, strict=True):
        for ax, rule in zip(row, rules, strict=True):
            net = dataset.sel(layer=layer).isel(net=0)
            part, x = net.sel(rule=rule), net.weight.values
            ax.stairs(net.density.sel(rule=INITIAL), _edges(x), color="0.6")
            ax.stairs(part.density, _edges(x), fill=True, alpha=0.4, color=_images.COLOURS.get(rule, "0.3"))
            floor = 0.5 * float(part.density.where(part.density > 0).min())
            for name, style in (("normal", "--"), ("student", "-")):
                made = (
                    norm.pdf(x, part["mean"], part.sd)
                    if name == "normal"
                    else t.pdf(x, part.df, part["loc"], part.scale)
                )
                ax.plot(x, np.where(made > floor, made, np.nan), style, color="black", linewidth=1)
            ax.set(yscale="log")
            ax.set_title(f"{LABELS[rule]}, $W_{layer}$: t with {float(part.df):.3g} df")
    for ax in axes[-1]:
        ax.set(xlabel="weight")
    for ax in axes[:, 0]:
        ax.set(ylabel="density")
    return fig


def _edges(centres):
    half = (centres[1] - centres[0]) / 2
    return np.append(centres - half, centres[-1] + half)
