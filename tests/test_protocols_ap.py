"""Protocols of adjoint propagation that compare nets: small runs on digits, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from complete_runs import verdicts

from neuroplast import data
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import adjoint, feedforward
from neuroplast.parameters import with_overrides
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _modules

NAMES = ("ap_learning", "ap_spectral_radius", "ap_ste", "ap_epe", "ap_derivative", "ap_table")
LEARNING, RADIUS, STE, EPE, DERIVATIVE, TABLE = (load(find(name)) for name in NAMES)
SMALL = {"data": "digits", "rows": 60, "block": 4, "batch": 30, "epochs": 3, "nets": 2}
SETTINGS = {
    "ap_learning": {},
    "ap_spectral_radius": {"radii": (0.01, 0.5, 2.0), "samples": 5, "steps": 40, "nets": 1},
    "ap_ste": {"radii": (0.1, 2.0), "iterations": (2, 4), "nets": 1},
    "ap_epe": {"inference": (2, 4), "learning": (2, 3), "nets": 1},
    "ap_derivative": {},
    "ap_table": {"networks": ("ap1", "bp1", "fa1")},
}
CLAIMS = {"ap_learning": 5, "ap_spectral_radius": 6, "ap_ste": 3, "ap_epe": 3, "ap_derivative": 3, "ap_table": 11}
TEXTS = {
    "ap_learning": ("2 modules of AP", "cross entropy"),
    "ap_spectral_radius": ("spectral radius", "Lyapunov exponent"),
    "ap_ste": ("spectral radius", "4-4"),
    "ap_epe": ("learning phase", "iterations of the inference phase"),
    "ap_derivative": ("AP with f", "epoch"),
    "ap_table": ("digits", "BP1", "FA1"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def rows(module, dataset):
    return {claim.name: claim.measure(dataset)["measured"] for claim in module.EXPECTED}


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_the_papers(name):
    """QUICK and FULL fit the parameters; FULL has modules of 1024 neurons and batches of 500 of all images."""
    module = load(find(name))
    quick, full = (with_overrides(module.Parameters(), changes) for changes in (module.QUICK, module.FULL))
    assert quick.block < module.Parameters().block < full.block == 256
    assert (full.batch, full.rows, full.epochs) == (500, 0, 300 if name == "ap_table" else 100)
    assert find(name).full and find(name).full_time


def test_networks_are_those_of_the_paper():
    p, images = _modules.Common(block=256, batch=500), data.load("digits")
    cases = {name: _modules.Case({}, images, name, {"modules": 3}) for name in ("ap", "bp", "fa")}
    bp, fa, ap = (_modules.constants(cases[name], p) for name in ("bp", "fa", "ap"))
    assert bp == fa == feedforward.Parameters(
        hidden=(256, 256, 256), batch=500, eta=1e-3, optimiser="adam", initial="glorot", activation="tanh", keep=1.0
    )  # fmt: skip
    assert ap == adjoint.Parameters(modules=3)  # whose defaults are the paper's


def test_nets_with_other_durations_share_a_program_and_are_what_they_would_be_alone(runs, tmp_path):
    """Alone, the program is built for the two iterations; together, for four."""
    settings = SMALL | SETTINGS["ap_ste"] | {"iterations": (2,), "radii": (2.0,)}
    alone = run_protocol("ap_ste", settings=settings, out=tmp_path / "run", target="numpy").dataset
    together = runs["ap_ste"].dataset.sel(iterations=[2], radius=[2.0])
    np.testing.assert_array_equal(alone.test_loss, together.test_loss)
    longer = runs["ap_ste"].dataset.sel(iterations=[4], radius=[2.0])
    assert (longer.test_loss.values != together.test_loss.values).any()
    assert len(runs["ap_ste"].record["equations"]) == len(runs["ap_epe"].record["equations"]) == 1


def learning(train_loss=(0.9, 0.5), **ends):
    """Curves of 100 epochs of two nets, of the paper's size, that pass through the authors' demo."""
    values = {name: value[0] for name, value in LEARNING.DEMO.items()} | {99: LEARNING.BEST} | ends.pop("demo", {})
    epochs = np.arange(1, 101)
    accuracy = xr.DataArray(np.interp(epochs, list(sorted(values)), [values[e] for e in sorted(values)]) / 100)
    both = xr.DataArray(np.ones((2, 100)), {"net": [0, 1], "epoch": range(100)})
    loss = xr.DataArray(np.geomspace(*train_loss, 100), dims="epoch")
    found = xr.Dataset(
        {
            "test_accuracy": both * accuracy.rename(dim_0="epoch"),
            "train_accuracy": both * ends.get("training", 98.4) / 100,
            "train_loss": both * loss,
            "test_loss": both * loss,
        }
    )
    return found.assign_attrs(data="fashion-mnist", modules=2, **_modules.FULL | {"nets": 2})


def test_learning_is_held_against_the_paper_and_the_demo():
    assert set(verdicts(LEARNING, learning()).values()) == {"holds"}
    fails = {
        "AP learns": {"demo": {100: 79}},
        "losses fall": {"train_loss": (0.5, 0.6)},
        "accuracy of two modules": {"demo": {99: 90, 100: 88.6}},
        "the authors' demo": {"demo": {3: 84}},
    }
    for claim, change in fails.items():
        assert verdicts(LEARNING, learning(**change))[claim] == "does not hold", claim
    assert verdicts(LEARNING, learning(training=96))["the authors' demo"] == "does not hold"
    for change in ({"block": 64}, {"epochs": 10}, {"rows": 100}, {"data": "digits"}, {"modules": 3}):
        judged = verdicts(LEARNING, learning().assign_attrs(change))
        assert judged["accuracy of two modules"] == judged["the authors' demo"] == "not run"
    text = rows(LEARNING, learning())["accuracy of two modules"]
    assert text == "88.66 ± 0.00 (best 89.04 ± 0.00)"


def radii(accuracy=(85, 89, 89, 88, 86, 80, 60), largest=(-4.6, -2.3, -0.7, -0.3, 0.05, 0.2, 0.4), early=0.1):
    radius = [0.01, 0.1, 0.5, 0.75, 1.0, 1.5, 2.0]
    found = xr.Dataset(
        {
            "test_accuracy": (("radius", "net", "epoch"), np.array(accuracy)[:, None, None] / 100),
            "exponent": (("radius", "net", "module"), np.array(largest)[:, None, None]),
        },
        {"radius": radius, "net": [0]},
    )
    return found.assign(early_exponent=found.exponent + early).assign_attrs(data="fashion-mnist")


def test_exponents_and_accuracies_are_judged():
    assert set(verdicts(RADIUS, radii()).values()) == {"holds"}
    assert RADIUS.crossing(radii()) == pytest.approx(0.75 + 0.25 * 0.3 / 0.35)
    calm = radii(largest=np.linspace(-4, -1, 7))
    assert np.isnan(RADIUS.crossing(calm))
    assert rows(RADIUS, calm)["the maximal exponent crosses 0 at 1"] == "nowhere from 0.01 to 2"
    fails = {
        "exponents rise with the radius": {"largest": (-4.6, -2.3, -0.7, -0.8, 0.05, 0.2, 0.4)},
        "the maximal and the finite-time one are nearly alike": {"early": 0.4},
        "the maximal exponent crosses 0 at 1": {"largest": (-4.6, -2.3, -1.7, -1.5, -1.3, -1.2, 0.4)},
        "the accuracy peaks around 0.1 and is flat up to 0.5": {"accuracy": (85, 89, 86, 88, 86, 80, 60)},
        "it falls where signals die out, and in chaos": {"accuracy": (88.5, 89, 89, 88, 86, 80, 60)},
    }
    for claim, change in fails.items():
        assert verdicts(RADIUS, radii(**change))[claim] == "does not hold", claim
    assert verdicts(RADIUS, radii((85, 89, 89, 88, 86, 80, 88)))["it falls where signals die out, and in chaos"] == (
        "does not hold"
    )
    few = verdicts(RADIUS, radii().sel(radius=[0.1, 0.5, 1.0]))
    assert few["it falls where signals die out, and in chaos"] == "not run"


def test_exponents_are_those_of_the_trained_modules(runs):
    """At a small radius, of a network that is nearly linear, the logarithm of the radius times the slope."""
    found = runs["ap_spectral_radius"].dataset
    assert dict(found.exponent.sizes) == {"radius": 3, "net": 1, "module": 2}
    assert (np.abs(found.exponent.sel(radius=0.01) - np.log(0.01)) < 0.2).all()


def grid(along, series, values):
    """Accuracies in per cent: {value of along: {value of series: accuracy}}."""
    found = xr.DataArray(
        [[[[v / 100, v / 100]] for v in row.values()] for row in values.values()],
        {along: list(values), series: list(next(iter(values.values()))), "net": [0]},
        (along, series, "net", "epoch"),
    )
    return xr.Dataset({"test_accuracy": found}, attrs={"data": "fashion-mnist"})


def test_short_trajectories_are_judged():
    good = {0.1: {2: 88, 8: 88.5, 16: 88}, 0.5: {2: 87, 8: 88, 16: 88.2}, 1.5: {2: 85, 8: 80, 16: 60}}
    flat, worse = list(verdicts(STE, grid("radius", "iterations", good)))[1:]
    assert set(verdicts(STE, grid("radius", "iterations", good)).values()) == {"holds"}
    bad = good | {0.5: {2: 85, 8: 88, 16: 88}, 1.5: {2: 85, 8: 85, 16: 84.5}}
    judged = verdicts(STE, grid("radius", "iterations", bad))
    assert judged[flat] == judged[worse] == "does not hold"
    assert verdicts(STE, grid("radius", "iterations", {0.1: good[0.1]}))[worse] == "not run"
    assert verdicts(STE, grid("radius", "iterations", {1.5: good[1.5]}))[flat] == "not run"


def test_perturbed_errors_are_judged():
    good = {2: {2: 80, 4: 80}, 8: {2: 85, 4: 85.5}, 16: {2: 86, 4: 86.5}}
    longer, few = list(verdicts(EPE, grid("inference", "learning", good)))[1:]
    assert set(verdicts(EPE, grid("inference", "learning", good)).values()) == {"holds"}
    for change in ({8: {2: 79, 4: 79}}, {16: {2: 80, 4: 80}}, {2: {2: 87, 4: 87}, 8: {2: 87, 4: 87}}):
        assert verdicts(EPE, grid("inference", "learning", good | change))[longer] == "does not hold"
    assert verdicts(EPE, grid("inference", "learning", good | {16: {2: 85, 4: 87}}))[few] == "does not hold"
    assert verdicts(EPE, grid("inference", "learning", {16: good[16]}))[longer] == "not run"


def by_rule(slope):
    """Three nets in four epochs, under AP and with the slope."""
    curves = np.array([[0.5, 0.7, 0.8, 0.85]] * 3) + 0.001 * np.arange(3)[:, None]
    found = xr.DataArray([curves, curves + np.array(slope)], dims=("rule", "net", "epoch"))
    found = xr.Dataset({"test_accuracy": found.assign_coords(rule=["ap", "ap_derivative"], net=range(3))})
    return found.assign_attrs(data="fashion-mnist")


def test_the_slope_is_judged():
    assert set(verdicts(DERIVATIVE, by_rule([0.1, 0.03, 0.01, 0.005])).values()) == {"holds"}
    end, way = list(verdicts(DERIVATIVE, by_rule([0, 0, 0, 0])))[1:]
    assert verdicts(DERIVATIVE, by_rule([0, 0, 0, -0.02]))[end] == "does not hold"
    assert verdicts(DERIVATIVE, by_rule([0, 0, 0.03, 0]))[way] == "does not hold"


def table(name="fashion-mnist", epochs=300, **last):
    """Accuracies of table 1 at its size, or others; two epochs of which the first is better."""
    values = TABLE.PAPERS[name] | last
    found = xr.DataArray(np.array([[[[v, v - 0.1]] for v in values.values()]]) / 100,
                         dims=("images", "network", "net", "epoch"))  # fmt: skip
    found = found.assign_coords(images=[name], network=list(values), net=[0])
    size = _modules.FULL | {"epochs": epochs, "nets": 1}
    return xr.Dataset({"test_accuracy": found}).assign_attrs(data=name, **size)


def test_the_table_is_held_against_the_papers():
    for name in ("mnist", "cifar10"):
        assert set(verdicts(TABLE, table(name)).values()) == {"holds", "not run"}
        assert verdicts(TABLE, table(name))[f"{name}: accuracies of table 1"] == "holds"
    judged = verdicts(TABLE, table())
    ours = {name: verdict for name, verdict in judged.items() if name.startswith("fashion")}
    assert len(ours) == 4 and set(ours.values()) == {"holds"}
    assert {verdict for name, verdict in judged.items() if name not in ours} == {"not run"}
    fails = {
        "accuracies of table 1": {"fa3": 88.8},
        "all networks learn": {"ap3": 70},
        "BP >= FA >= AP": {"ap1": 90.1},
        "AP is near BP": {"ap3": 88.4},
    }
    for claim, change in fails.items():
        assert verdicts(TABLE, table(**change))[f"fashion-mnist: {claim}"] == "does not hold", claim
    small = verdicts(TABLE, table(epochs=10))
    assert small["fashion-mnist: accuracies of table 1"] == small["fashion-mnist: AP is near BP"] == "not run"
    assert small["fashion-mnist: BP >= FA >= AP"] == "holds"
    part = verdicts(TABLE, table().sel(network=["ap1", "bp1"]))
    assert part["fashion-mnist: accuracies of table 1"] == "holds"
    assert part["fashion-mnist: BP >= FA >= AP"] == part["fashion-mnist: AP is near BP"] == "not run"
    assert "AP1 89.02 (best 89.12)" in rows(TABLE, table())["fashion-mnist: accuracies of table 1"]


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("ap_table", "networks=ap1,ep1", "networks should be one of ap1, ap3.*Got ep1"),
        ("ap_table", "networks=ap1,ap1", "different ones of ap1"),
        ("ap_ste", "iterations=1,8", "iterations should be at least 2"),
        ("ap_epe", "learning=1", "learning should be at least 2"),
        ("ap_spectral_radius", "radii=-1", "radii should be at least 0"),
        ("ap_learning", "modules=0", "modules should be at least 1"),
        ("ap_derivative", "data=mnits", "data should be one of auto, mnist"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, setting, words):
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[setting], out=tmp_path / "run", target="numpy")
