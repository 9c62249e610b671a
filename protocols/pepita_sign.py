"""PEPITA with the other sign, x - F e: the weights align with F, and learning is the same.

G. Dellaferrera, G. Kreiman (2022), ICML, PMLR 162:4937-4955, section 4.3: with x - F e as input of the modulated pass
in the place of x + F e "the product of the forward matrices would instead come to align with F". To be seen: the angle
between W_1^T W_2^T and F rises above 90 degrees with one sign, and falls below with the other.

The paper does not say what becomes of the accuracy. It has to be the same: x - F e is x + F' e with F' = -F, which is
as likely as F, and to antialign with F' is to align with F. Here both signs have the same F and the same initial
weights, so the nets of a pair differ by chance only, which we test for equivalence as in pepita_presynaptic: 90 %
interval of the mean paired difference within half a point.

Ours, too: the sign of the error, 0.1 F sign(e), which the authors' code has and the paper does not mention. As p lies
between 0 and 1, sign(e) is -1 for the image's class and 1 for all others, whatever the network says: like DRTP it tells
the target, and it does not end when the error does. Its mean over images is not zero, so that W_1 keeps growing, as it
does under noise that has a mean (pepita_perturbation).

Fashion-MNIST, half of the paper's schedule (50 epochs, the rate falls after 30), which is enough to see where angles
go. Criteria were set before the full-size run, that of the error's sign after a look at 15 epochs of 10000 images, in
which it lost what it had learned.
"""

from dataclasses import dataclass

import xarray as xr

from neuroplast import figures
from neuroplast.parameters import parameter
from neuroplast.protocol import Claim, holds
from neuroplast.protocols import _images, _pairs

PAPER = {"figure": "Dellaferrera and Kreiman 2022, section 4.3", "doi": ""}
EXPECTED_TIME = "22 min on two idle cores"
LABELS = {"plus": "x + F e", "minus": "x - F e", "error_sign": "x + 0.1 F sign(e)"}
COLOURS = dict(zip(LABELS, (_images.COLOURS["pepita"], figures.COLOURS[0], figures.COLOURS[3]), strict=True))
#: Points within which accuracies are alike.
MARGIN = 0.5
#: Degrees by which an angle is away from 90 more than by chance: about three standard deviations of random matrices.
TURNED = 2


@dataclass(frozen=True)
class Parameters(_images.Common):
    """How many nets, how long, and the scale of F."""

    nets: int = parameter(5, "nets, each with either sign and with the error's sign", least=1)
    epochs: int = parameter(50, "times that a net sees all images", least=1)
    f_scale: float = parameter(0.05, "scale of F; with the other sign it is subtracted", least=0)


QUICK = {"rows": 1000, "epochs": 10, "hidden": (128,), "nets": 2, "data": "digits"}


def experiment(parameters, run):
    """Train every net in all three ways."""
    p = parameters
    images = _images.load(p.data, p.rows, run)
    constants = {"decay_at": _pairs.decay_at(images.name, p.epochs)}
    cases = [
        _images.Case({"input": name}, rule, images, {"f_scale": scale, **constants})
        for name, rule, scale in (
            ("plus", "pepita", p.f_scale),
            ("minus", "pepita", -p.f_scale),
            ("error_sign", "error_sign", p.f_scale),
        )
    ]
    keep = ("test_accuracy", "train_accuracy", "angle", "norm_w1")
    found = _images.train(cases, p, run, keep=keep, diverged="omit")
    # The model's feedback weights are -F where F e is subtracted, and its angle is the one to these.
    angle = xr.where(found.input == "minus", 180 - found.angle, found.angle)
    return found.assign(angle=angle).assign_attrs(chance=1 / images.classes)


def _last(dataset):
    """Test accuracy (%) of each net after the last epoch, by input; at chance if it diverged."""
    last = dataset.test_accuracy.isel(epoch=-1).fillna(dataset.attrs["chance"])
    return {name: 100 * last.sel(input=name).values for name in LABELS}


def _turns(name, verdict):
    def check(dataset):
        curve = dataset.angle.sel(input=name)
        text = f"after the first epoch {_pairs.between(curve.isel(epoch=0))}, "
        return f"{text}at the end {_pairs.between(curve.isel(epoch=-1))}", holds(verdict(curve.isel(epoch=-1)).all())

    return check


def _alike(dataset):
    last = _last(dataset)
    text, verdict = _pairs.alike(last["minus"], last["plus"], MARGIN)
    means = ", ".join(f"{LABELS[name]}: {_images.spread(last[name] / 100)}" for name in ("plus", "minus"))
    return f"{means}; difference {text}", verdict


def _sign_costs(dataset):
    last = _last(dataset)
    lost = int(dataset.test_accuracy.isel(epoch=-1).sel(input="error_sign").isnull().sum())
    best = 100 * dataset.test_accuracy.sel(input="error_sign").max("epoch")
    text, verdict = _pairs.higher(last["plus"], last["error_sign"])
    mean = _images.spread(last["error_sign"] / 100) + (f" ({lost} diverged)" if lost else "")
    return f"{mean} (best epoch: {_pairs.between(best)}); PEPITA is higher by {text}", verdict


EXPECTED = [
    _images.used(),
    Claim(
        "x + F e: the weights turn away from F",
        f"figure 3b; here: every net ends above {90 + TURNED} degrees",
        _turns("plus", lambda last: last > 90 + TURNED),
    ),
    Claim(
        "x - F e: they turn towards F",
        f"align instead; here: every net ends below {90 - TURNED} degrees",
        _turns("minus", lambda last: last < 90 - TURNED),
    ),
    Claim(
        "accuracy does not suffer",
        f"no such claim; by symmetry; here: 90 % interval of the paired difference within {MARGIN:g} points, at least "
        f"{_pairs.PAIRS} nets",
        _alike,
    ),
    Claim(
        "the sign of the error does less well",
        f"no such claim; here: paired t-test over at least {_pairs.PAIRS} nets, p < 0.05",
        _sign_costs,
    ),
]


def figure(dataset):
    """Angle, accuracy and norm by epoch."""
    fig, axes = figures.subplots(1, 3)
    for name, label in LABELS.items():
        here, style = dataset.sel(input=name).transpose("net", "epoch"), {"color": COLOURS[name]}
        axes[0].plot(here.epoch + 1, here.angle.T, linewidth=1, **style)
        curve = 100 * here.test_accuracy.fillna(dataset.attrs["chance"])
        figures.median_quartile_curve(axes[1], here.epoch + 1, curve, label.replace("-", "−"), **style)
        axes[2].plot(here.epoch + 1, here.norm_w1.T, linewidth=1, **style)
    axes[0].axhline(90, color="0.6", linestyle=":", linewidth=1)
    axes[0].set(xlabel="epoch", ylabel="angle of $W_1^T W_2^T$ to F (degrees)", title="each net")
    axes[1].set(xlabel="epoch", ylabel="test accuracy (%)", title=f"{dataset.attrs['data']} (median, quartiles)")
    axes[2].set(xlabel="epoch", ylabel="Frobenius norm of $W_1$", title="each net")
    if dataset.norm_w1.max() > 3 * dataset.norm_w1.min():
        axes[2].set_yscale("log")
    axes[1].legend(loc="best")
    return fig
