"""PEPITA learns images faster than feedback alignment, and more slowly than backpropagation.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, appendix C: the plateau equation acc_max n/(s + n) is
fitted to the test curve of fully connected models, from chance at n = 0 to epoch 59, before the learning rate falls;
s, the slowness, is the number of epochs to half of the plateau. To be seen: BP is the fastest, PEPITA follows, FA is
the slowest; DRTP is faster than FA, but ends lower.

Ours: Fashion-MNIST, with rates chosen on a validation split (pepita_rates), and the mean over nets. Slowness goes with
the learning rate, which is each rule's own: BP's advantage on CIFAR is one of its larger rate as well. Where a network
is near its plateau after one epoch, as on MNIST, s is far below 1 and tells how good that epoch is. Criteria were set
before the full-size run.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroplast import figures
from neuroplast.analysis.plateau import slowness
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _accuracy, _images

PAPER = {"figure": "Dellaferrera and Kreiman 2022, appendix C", "doi": ""}
EXPECTED_TIME = "20 min on two idle cores"
PAPERS = {
    "mnist": {"bp": 0.026, "fa": 0.068, "drtp": 0.063, "pepita": 0.049},
    "cifar10": {"bp": 0.659, "fa": 1.048, "drtp": 0.336, "pepita": 0.785},
    "cifar100": {"bp": 1.338, "fa": 4.243, "drtp": 4.05, "pepita": 2.552},
}


@dataclass(frozen=True)
class Parameters(_images.Several):
    """What the table of appendix C varies."""

    epochs: int = parameter(60, "times that a net sees all images; those before the rate falls are fitted", least=3)
    rules: tuple = parameter(("bp", "fa", "drtp", "pepita"), "rules")

    def __post_init__(self):
        _images.check_rules(self.rules)


QUICK = {"rows": 1000, "epochs": 5, "hidden": (128,), "nets": 2, "data": ("fashion-mnist",)}


def experiment(parameters, run):
    """Train every net by all rules on all data sets; fit the plateau equation to each test curve."""
    p, sets = parameters, parameters.images()
    cases = [_images.Case({"images": images.name, "rule": rule}, rule, images) for images in sets for rule in p.rules]
    found = _images.train(cases, p, run, keep=("test_accuracy",), diverged="omit")
    chance = xr.DataArray([1 / images.classes for images in sets], {"images": [images.name for images in sets]})
    curves = found.test_accuracy.transpose("images", "rule", "net", "epoch")
    fits = xr.apply_ufunc(
        _fit, curves, chance, input_core_dims=[["epoch"], []], output_core_dims=[[], []], vectorize=True
    )
    return found.assign(slowness=fits[0], plateau=fits[1], chance=chance)


def _fit(curve, chance):
    """Slowness and plateau; NaN for a net that diverged."""
    return slowness(curve, chance) if np.isfinite(curve).all() else (np.nan, np.nan)


def _spread(values):
    values = np.asarray(values, float)
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if values.size > 1 else "")


def _text(found):
    return ", ".join(f"{_images.LABELS[rule]} {_spread(found.slowness.sel(rule=rule))}" for rule in found.rule.values)


def _as_the_paper(name):
    def judge(found):
        ratios = [
            float(found.slowness.sel(rule=rule).mean("net", skipna=False)) / value
            for rule, value in PAPERS[name].items()
            if rule in found.rule
        ]
        return _text(found), holds(ratios and 2 / 3 < min(ratios) and max(ratios) < 3 / 2)

    return _accuracy.row(name, judge)


def _shown(found):
    return _text(found), holds(np.isfinite(found.slowness).all())


def _faster(one, other):
    """Whether a rule's slowness is below another's in every net."""

    def judge(found):
        if not {one, other} <= set(found.rule.values):
            return _accuracy.LEFT_OUT
        means = [_spread(found.slowness.sel(rule=rule)) for rule in (one, other)]
        less = (found.slowness.sel(rule=one) < found.slowness.sel(rule=other)).values
        return f"{' and '.join(means)}; lower in {less.sum()} of {less.size} nets", holds(less.all())

    return judge


def _lower(found):
    if not {"drtp", "fa"} <= set(found.rule.values):
        return _accuracy.LEFT_OUT
    drtp, fa = (found.plateau.sel(rule=rule) for rule in ("drtp", "fa"))
    return f"{_images.spread(drtp)} and {_images.spread(fa)} %", holds((drtp < fa).all())


#: The ordering of appendix C.
ORDER = {
    "BP is faster than PEPITA": _faster("bp", "pepita"),
    "PEPITA is faster than FA": _faster("pepita", "fa"),
    "DRTP is faster than FA": _faster("drtp", "fa"),
    "DRTP ends lower than FA": _lower,
}


def _values(name):
    return ", ".join(f"{_images.LABELS[rule]} {value:g}" for rule, value in PAPERS[name].items())


EXPECTED = [
    *(
        Claim(f"{name}: slowness", f"{_values(name)}; here: each mean within a factor of 1.5", _as_the_paper(name))
        for name in PAPERS
    ),
    Claim("fashion-mnist: slowness", "ours; here: every fit is found", _accuracy.row("fashion-mnist", _shown)),
    *(
        Claim(f"fashion-mnist: {title}", "appendix C; here: in every net", _accuracy.row("fashion-mnist", judge))
        for title, judge in ORDER.items()
    ),
    *(
        Claim(f"{name}: {'; '.join(ORDER)}", "appendix C; here: in every net", _accuracy.row(name, judge))
        for name, judge in dict.fromkeys(PAPERS, _accuracy.every(ORDER)).items()
    ),
]


def figure(dataset):
    """Test curves of the first net with their fits, and slowness of each net; a row for each data set."""
    names = dataset.images.values
    fig, axes = figures.subplots(len(names), 2, squeeze=False)
    for (curves, dots), name in zip(axes, names, strict=True):
        found = dataset.sel(images=name)
        for place, rule in enumerate(found.rule.values):
            colour = {"color": _images.COLOURS.get(rule, "0.5")}
            one, s = found.sel(rule=rule).isel(net=0), found.slowness.sel(rule=rule)
            n = np.linspace(0, found.sizes["epoch"], 300)
            curves.plot(n, 100 * float(one.plateau) * n / (float(one.slowness) + n), linewidth=1, **colour)
            curves.plot(one.epoch + 1, 100 * one.test_accuracy, ".", label=_images.LABELS[rule], markersize=3, **colour)
            dots.plot(np.full(s.size, place), s, "o", alpha=0.6, **colour)
        lowest = 100 * float(found.test_accuracy.min())
        curves.set(xlabel="epoch", ylabel="test accuracy (%), first net", ylim=(lowest - 2, None))
        curves.set_title(f"{name} (lines: plateau equation)")
        dots.set_xticks(range(found.sizes["rule"]), [_images.LABELS[rule] for rule in found.rule.values])
        dots.axhline(0, linewidth=0)  # so that the margin above is a part of the whole axis
        dots.set(ylabel="slowness s (epochs)", ylim=(0, None))
    axes[0, 0].legend(loc="lower right")
    return fig
