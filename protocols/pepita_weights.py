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
EXPECTED_TIME = "35 min on two idle cores; 1 min with --reuse of pepita_table"
BINS = 101
INITIAL = "initial"
LABELS = {INITIAL: "initial", **_images.LABELS}
FITTED = ("mean", "sd", "df", "loc", "scale", "aic", "kurtosis")
NORMAL_DF = 30.0
NORMAL = "here: more than 30 degrees of freedom (df), excess kurtosis within 0.5 of 0, each net"
STUDENT = "here: fewer than 30 df, AIC lower by more than 10, each net"


@dataclass(frozen=True)
class Parameters(_images.Common):
    """Whose weights are compared."""

    rules: tuple = parameter(("bp", "fa", "pepita", "drtp"), "rules; the paper has bp and pepita")

    def __post_init__(self):
        _images.check_rules(self.rules, needed=("bp", "pepita"))


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
        state = model.initial_values(constants, images, _images.seed(run, int(net)))
        weights |= {(INITIAL, layer, net): np.ravel(state[f"w{layer}.w"]) for layer in layers}
    results = measured(weights, layers)
    return results.assign(test_accuracy=found.test_accuracy.reindex(rule=results.rule)).assign_attrs(found.attrs)


def measured(weights, layers):
    """Fits, ranges and histograms of the weights of (rule, layer, net); a layer has the same bins throughout.

    The bins leave out weights far beyond the others, which would make them wide.
    """
    far = {key: 1.2 * np.quantile(np.abs(w), 0.9999) for key, w in weights.items()}
    limits = [max(limit for key, limit in far.items() if key[1] == layer) for layer in layers]
    edges = {layer: np.linspace(-limit, limit, BINS + 1) for layer, limit in zip(layers, limits, strict=True)}
    parts = []
    for (rule, layer, net), w in weights.items():
        fit = {name: value for name, value in normal_or_student(w).items() if name in FITTED}
        fit |= {
            "range": np.ptp(w),
            "density": ("bin", np.histogram(w, edges[layer])[0] / (w.size * np.ptp(edges[layer][:2]))),
        }
        parts.append(({"rule": rule, "layer": int(layer), "net": int(net)}, xr.Dataset(fit)))
    return combine(parts).assign(weight=(("layer", "edge"), np.array([edges[layer] for layer in layers])))


def _span(values):
    """Lowest and highest number of the nets, in words."""
    low, high = (f"{float(value):.3g}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _of_rules(part, rules):
    return ", ".join(f"{LABELS[rule]} {_span(part.sel(rule=rule))}" for rule in rules)


def _pair(dataset, layer, measure):
    """A number of BP's and of PEPITA's nets; layer 0 is the last one."""
    part = dataset[measure].isel(layer=layer - 1)
    return part, part.sel(rule="bp"), part.sel(rule="pepita")


def _alike(dataset):
    part, bp, ours = _pair(dataset, 1, "sd")
    return f"sd: {_of_rules(part, (INITIAL, 'bp', 'pepita'))}", holds((abs(ours / bp - 1) < 0.1).all())


def _greater_range(dataset):
    part, bp, ours = _pair(dataset, 1, "range")
    return _of_rules(part, (INITIAL, "bp", "pepita")), holds((bp > ours).all())


def _wider(dataset):
    part, bp, ours = _pair(dataset, 0, "sd")
    return f"sd: {_of_rules(part, part.rule.values)}", holds((ours > bp).all())


def _heavier(dataset):
    part, bp, ours = _pair(dataset, 0, "kurtosis")
    return f"excess kurtosis: {_of_rules(part, part.rule.values)}", holds((ours > bp).all())


def _fit(rule, layer, heavy):
    """A claim about which distribution describes the weights of a rule; layer 0 is the last one."""

    def check(dataset):
        part = dataset.sel(rule=rule).isel(layer=layer - 1)
        text = ", ".join(f"{name} {_span(part[name])}" for name in ("df", "aic", "kurtosis"))
        student = (part.df < NORMAL_DF) & (part.aic > 10)
        normal = (part.df > NORMAL_DF) & (abs(part.kurtosis) < 0.5)
        return text, holds((student if heavy else normal).all())

    return check


EXPECTED = [
    _images.used(),
    Claim("first layer: BP and PEPITA alike", "similar; here: sd within 10 % in each net", _alike),
    Claim("first layer: BP's range is greater", "slightly greater; here: in each net", _greater_range),
    Claim("last layer: PEPITA's are wider", "significantly larger; here: sd above BP's in each net", _wider),
    Claim("last layer: with heavier tails", "here: excess kurtosis above BP's in each net", _heavier),
    Claim("last layer: BP's are normal", f"can be fit with a normal curve; {NORMAL}", _fit("bp", 0, False)),
    Claim("last layer: PEPITA's are Student's t", f"better described by it; {STUDENT}", _fit("pepita", 0, True)),
    Claim("first layer: BP's are normal", f"appendix H names no layer; {NORMAL}", _fit("bp", 1, False)),
    Claim("first layer: PEPITA's are Student's t", f"appendix H names no layer; {STUDENT}", _fit("pepita", 1, True)),
]


def figure(dataset):
    """Histograms of a net's weights, a row for each layer and a column for each rule, with both fits."""
    rules, layers = [rule for rule in dataset.rule.values if rule != INITIAL], dataset.layer.values
    options = {"width": 2.6, "height": 2.3, "sharex": "row", "sharey": "row", "squeeze": False}
    fig, axes = figures.subplots(len(layers), len(rules), **options)
    for row, layer in zip(axes, layers, strict=True):
        net = dataset.sel(layer=layer).isel(net=0)
        edges, x = net.weight.values, np.linspace(*net.weight.values[[0, -1]], 400)
        floor, top = 0.5 * float(net.density.where(net.density > 0).min()), 2 * float(net.density.max())
        for ax, rule in zip(row, rules, strict=True):
            part = net.sel(rule=rule)
            ax.stairs(part.density, edges, fill=True, alpha=0.4, color=_images.COLOURS.get(rule, "0.3"))
            if rule != "drtp":
                ax.stairs(net.density.sel(rule=INITIAL), edges, color="0.6", label="initial")
            ax.plot(x, norm.pdf(x, part["mean"], part.sd), "k--", linewidth=1, label="normal")
            ax.plot(x, t.pdf(x, part.df, part["loc"], part.scale), "k-", linewidth=1, label="Student's t")
            few = float(part.df) < 1000
            ax.set_title(f"{LABELS[rule]}, $W_{layer}$" + (f": {float(part.df):.2g} df" if few else ""))
        row[0].set(yscale="log", ylim=(floor, top), ylabel="density")
    for ax in axes[-1]:
        ax.set(xlabel="weight")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig
