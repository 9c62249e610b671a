"""Protocols of PEPITA's variants: presynaptic term, sign, growth of the norm."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from scipy.special import softmax

from neuroplast import data
from neuroplast.analysis.alignment import product_angle
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import pepita
from neuroplast.protocol import run_protocol
from neuroplast.rules import PEPITA, PEPITA_STANDARD

NAMES = ("pepita_presynaptic", "pepita_sign", "pepita_norm_growth")
PRESYNAPTIC, SIGN, NORM = (load(find(name)) for name in NAMES)
SMALL = {"data": "digits", "rows": 80, "hidden": (8,), "nets": 2, "epochs": 3}
SETTINGS = {
    "pepita_presynaptic": {},
    "pepita_sign": {},
    "pepita_norm_growth": {"epochs": 6, "decay_after": 3, "window": 1},
}


@pytest.mark.parametrize(
    "name, claims, texts",
    [
        ("pepita_presynaptic", 3, ("modulated", "standard", "degrees")),
        ("pepita_sign", 5, ("x + F e", "x − F e", "sign(e)")),
        ("pepita_norm_growth", 5, ("rate falls to a tenth", "growth in an epoch")),
    ],
)
def test_run_leaves_claims_and_a_figure(runs, name, claims, texts):
    complete_runs.check(runs[name], claims, texts)


def test_both_variants_begin_alike_and_learn_otherwise(runs):
    found = runs["pepita_presynaptic"].dataset
    assert dict(found.angle.sizes) == {"rule": 2, "net": 2, "epoch": 3}
    one, other = (found.sel(rule=name) for name in ("pepita", "pepita_standard"))
    assert (one.norm_w1 != other.norm_w1).all()
    np.testing.assert_allclose(one.norm_w1, other.norm_w1, rtol=1e-3)
    assert runs["pepita_presynaptic"].record["rules"] == ["pepita", "pepita_standard"]


@pytest.fixture(scope="module")
def images():
    return data.load("digits").first(80, 80)


@pytest.fixture(scope="module")
def model(images):
    return pepita.build(pepita.Parameters(hidden=(8,), eta=0.01, decay_at=(2,)), images, PEPITA, target="numpy")


def subtracted(scale=-0.05):
    return pepita.Parameters(hidden=(8,), eta=0.01, decay_at=(2,), f_scale=scale)


def test_angles_are_to_the_same_feedback_under_both_signs(runs, model, images):
    F = pepita.initial_values(subtracted(0.05), images, 1)["feedback.f"]
    found = runs["pepita_sign"].dataset.angle.isel(net=1, epoch=-1)
    for name, scale in (("plus", 0.05), ("minus", -0.05)):
        net = model.run(3, 1, parameters=subtracted(scale)).dataset.isel(snapshot=-1)
        wanted = product_angle([net.w_w1.values, net.w_w2.values], F)
        assert float(found.sel(input=name)) == pytest.approx(wanted, abs=1e-3)


def test_to_subtract_f_e_is_to_add_it_with_minus_f(model, images):
    plus, minus = (pepita.initial_values(subtracted(scale), images, 7)["feedback.f"] for scale in (0.05, -0.05))
    np.testing.assert_array_equal(minus, -plus)
    assert np.abs(plus).max() <= 0.05 * np.sqrt(6 / 64) and plus.min() < 0 < plus.max()
    one = model.run(2, 7, parameters=subtracted()).dataset
    other = model.run(2, 7, state={"feedback.f": -plus}).dataset
    assert one.identical(other)


@pytest.mark.parametrize("seed", range(3))
def test_presynaptic_activity_of_the_modulated_pass_turns_the_readout_away_from_f(seed):
    images = data.load("digits").first(64, 10)
    chosen = pepita.Parameters(hidden=(8,), keep=1.0)
    begin, readouts = pepita.initial_values(chosen, images, seed), []
    for rule in (PEPITA, PEPITA_STANDARD):
        net = pepita.build(chosen, images, rule, seed=seed, target="numpy", dtype="float64").run(1).dataset
        readouts.append(net.w_w2.values[-1])
    W1, W2, F = (begin[name] for name in ("w1.w", "w2.w", "feedback.f"))
    x = images.train * images.scale
    standard = np.maximum(x @ W1, 0)
    e = softmax(standard @ W2, axis=1) - np.eye(10)[images.train_labels]
    modulated = np.maximum((x + e @ F) @ W1, 0)
    e_m = softmax(modulated @ W2, axis=1) - np.eye(10)[images.train_labels]
    part = -0.1 * (modulated - standard).T @ e_m / 64
    np.testing.assert_allclose(readouts[0] - readouts[1], part, rtol=1e-9, atol=1e-14)
    assert np.sum((W1 @ part) * F.T) < 0


def ends(**values):
    """Results of five nets over two epochs, that end so."""
    found = {}
    for name, by_case in values.items():
        dim, rows = next(iter(by_case.items()))
        coords = {dim: list(rows), "net": range(5), "epoch": range(2)}
        last = np.array([np.broadcast_to(row, 5) for row in rows.values()], float)
        found[name] = xr.DataArray(np.stack([np.full_like(last, 90 if name == "angle" else 0.5), last], -1), coords)
    return xr.Dataset(found, attrs={"data": "fashion-mnist", "chance": 0.1})


def verdicts(module, dataset):
    return [claim.measure(dataset)["verdict"] for claim in module.EXPECTED]


NOISE = np.array([0.1, -0.1, 0.05, 0.02, -0.04]) / 100
PAPER = 0.87 + np.array([0, 0.3, -0.2, 0.1, 0.4]) / 100


@pytest.mark.parametrize(
    "difference, angles, expected",
    [
        (NOISE, (100, 97), ["holds", "holds", "holds"]),
        (NOISE + 0.006, (100, 97), ["holds", "does not hold", "holds"]),
        (NOISE - 0.006, (100, 97), ["holds", "does not hold", "holds"]),
        (10 * NOISE, (100, 97), ["holds", "does not hold", "holds"]),  # too noisy to tell
        (NOISE, (100, 91), ["holds", "holds", "does not hold"]),
        (NOISE, (91, 100), ["holds", "holds", "does not hold"]),
    ],
)
def test_claims_about_the_presynaptic_term(difference, angles, expected):
    rules = ("pepita", "pepita_standard")
    accuracy = {"rule": dict(zip(rules, (PAPER, PAPER + difference), strict=True))}
    angle = {"rule": dict(zip(rules, angles, strict=True))}
    assert verdicts(PRESYNAPTIC, ends(test_accuracy=accuracy, angle=angle)) == expected


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, {}),
        ({"angles": (91, 80, 90)}, {1: "does not hold"}),
        ({"angles": (100, 89, 90)}, {2: "does not hold"}),
        ({"minus": PAPER - 0.01}, {3: "does not hold"}),
        ({"error_sign": PAPER + NOISE}, {4: "does not hold"}),
        ({"error_sign": np.full(5, np.nan)}, {}),  # all diverged: at chance
    ],
)
def test_claims_about_the_sign(changes, expected):
    accuracy = {"plus": PAPER, "minus": PAPER + NOISE, "error_sign": PAPER - 0.2 + NOISE}
    accuracy |= {name: values for name, values in changes.items() if name != "angles"}
    angle = dict(zip(accuracy, changes.get("angles", (100, 80, 90)), strict=True))
    found = ends(test_accuracy={"input": accuracy}, angle={"input": angle})
    assert verdicts(SIGN, found) == [expected.get(i, "holds") for i in range(5)]


def norms(before=1e-3, after=1e-4, late=1e-4, constant=1e-3, epochs=120):
    """Norms that grow so much in each epoch: before and after the decay after epoch 60, at the end, without decay."""
    steps = np.where(np.arange(1, epochs) < 60, before, after)
    steps[-20:] = late
    curves = [45 + np.cumsum([0.0, *one]) for one in (steps, np.where(np.arange(1, epochs) < 60, before, constant))]
    coords = {"schedule": ["decay", "constant"], "net": [0, 1], "epoch": range(epochs)}
    norm = xr.DataArray(np.stack([curves, curves], axis=1), coords)
    return xr.Dataset({"norm_w1": norm}, attrs={"data": "fashion-mnist", "decay_after": 60, "window": 20})


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, {}),
        ({"before": -1e-3}, {1: "does not hold", 3: "does not hold", 4: "holds"}),
        ({"after": 5e-4, "late": 4e-4}, {2: "does not hold"}),
        ({"constant": 2e-4}, {3: "does not hold"}),
        ({"late": 1e-5}, {4: "does not hold"}),
        ({"after": -1e-4, "late": 1e-4}, {4: "does not hold"}),
        ({"epochs": 99}, {2: "not run", 3: "not run", 4: "not run"}),
        ({"epochs": 101}, {}),
    ],
)
def test_claims_about_the_norm(changes, expected):
    assert verdicts(NORM, norms(**changes)) == [expected.get(i, "holds") for i in range(5)]


def test_growth_is_measured_around_the_decay():
    np.testing.assert_allclose(NORM.rates(norms(late=3e-5)), [[1e-3] * 2, [1e-4] * 2, [3e-5] * 2], rtol=1e-6)
    assert NORM.rates(norms(epochs=99)) is None


def test_the_learning_rate_falls_where_it_should(runs):
    norm = runs["pepita_norm_growth"].dataset.norm_w1.transpose("schedule", "net", "epoch")
    decay, constant = norm.sel(schedule="decay"), norm.sel(schedule="constant")
    np.testing.assert_array_equal(decay.isel(epoch=slice(3)), constant.isel(epoch=slice(3)))
    assert (decay.isel(epoch=slice(3, None)) != constant.isel(epoch=slice(3, None))).all()


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("pepita_sign", "f_scale=-1", "f_scale should"),
        ("pepita_presynaptic", "nets=0", "nets should"),
        ("pepita_norm_growth", "window=0", "window should"),
    ],
)
def test_bad_parameters_are_refused(name, setting, words, tmp_path):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[setting], out=tmp_path / "run", target="numpy")
