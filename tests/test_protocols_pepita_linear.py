"""The proof's simulation: a small run end to end, the flow in turn, claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr

from neuroplast.analysis import antialignment
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol

LINEAR = load(find("pepita_linear"))
SMALL = {"nets": 1, "duration": 2.0, "eta": 0.02, "inputs": 6, "hidden": 4, "outputs": 2, "batch": 512}
NAMES = [claim.name for claim in LINEAR.EXPECTED]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return run_protocol("pepita_linear", settings=SMALL, out=tmp_path_factory.mktemp("l") / "run", target="numpy")


def test_both_signs_orders_and_presynaptic_terms_follow_their_flow(small):
    complete_runs.check(small, 10, ("inner product", "angle", "norm of", "in turn"))
    found = small.dataset
    assert found.sizes == {"presynaptic": 2, "sign": 2, "order": 2, "net": 1, "time": 101}
    assert found.time.values[[0, -1]].tolist() == [0.0, 2.0]
    # The way is short and the batch is small, so only roughly; every case has a flow of its own, further away.
    assert found.apart.max() < 0.1
    flows = found.flow_norm1.isel(time=50).stack(case=("presynaptic", "sign", "order")).values.ravel()
    assert len(np.unique(flows.round(6))) == 8


def test_in_turn_the_inner_product_sets_out_at_minus_half_the_growth(small):
    # The proof's identity, of the flow: it falls exactly if the norm grows.
    weights = np.random.default_rng(0)
    w1, F, T = weights.normal(size=(6, 4)), 0.3 * weights.normal(size=(2, 6)), weights.normal(size=(6, 2))
    for sign in (1, -1):
        for presynaptic in ("standard", "modulated"):
            dw1, dw2 = antialignment.flow(w1, np.zeros((4, 2)), F, T, sign=sign, presynaptic=presynaptic)
            growth = 2 * np.sum(w1 * dw1)
            rate = antialignment.overlap(w1, np.zeros((4, 2)), F, 0 * dw1, dw2)
            assert rate == pytest.approx(-sign * growth / 2)
    turned = small.dataset.sel(order="in turn")
    assert not turned.flow_overlap.isel(time=slice(0, 51)).any()
    assert turned.flow_angle.isel(time=slice(0, 51)).isnull().all()
    np.testing.assert_allclose(turned.norm1.isel(time=-1), turned.norm1.isel(time=50))


def made(turn_sign=1, together_sign=1, norm=1.0, angle=10.0, off=0.0):
    """Results in which all goes as in the paper, but for what is said."""
    time = np.linspace(0, 10, 101)
    sign = xr.DataArray([1, -1], {"sign": [1, -1]})
    order = xr.DataArray([together_sign, turn_sign], {"order": list(LINEAR.ORDERS)})
    shape = xr.DataArray(np.ones((2, 3, 101)), {"presynaptic": list(LINEAR.RULES), "net": range(3), "time": time})
    progress = xr.DataArray(time / 10, {"time": time})
    turned = progress.where(progress > 0.5, 0.0)
    path = xr.concat([progress, turned], dim="order").assign_coords(order=list(LINEAR.ORDERS))
    flow = {
        "overlap": -sign * order * path * shape,
        "angle": 90 + sign * angle * path * shape,
        "norm1": 5 + norm * progress * shape * xr.ones_like(sign * order),
    }
    found = {f"flow_{name}": values for name, values in flow.items()}
    found |= {name: values + off * (values.max("time") - values.min("time")) for name, values in flow.items()}
    return xr.Dataset(found | {"apart": off * shape})


def verdicts(dataset):
    return [claim.measure(dataset)["verdict"] for claim in LINEAR.EXPECTED]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"off": 0.06}, ["the simulation follows the flow"]),
        ({"together_sign": -1}, ["the inner product falls while the norm grows", "flipped, the inner product rises"]),
        ({"turn_sign": -1}, ["in turn, it falls at once", "flipped, in turn, it rises at once"]),
        ({"angle": -10.0}, [name for name in NAMES if "weights end" in name]),
    ],
)
def test_claims(changes, wrong):
    expected = ["does not hold" if name in wrong else "holds" for name in NAMES]
    assert verdicts(made(**changes)) == expected


def test_without_growth_there_is_nothing_to_claim():
    found = dict(zip(NAMES, verdicts(made(norm=-1.0)), strict=True))
    assert found["the norm of W_1 grows"] == "does not hold"
    assert found["the inner product falls while the norm grows"] == "not run"
    assert found["in turn, it falls at once"] == "not run"


def test_one_net_that_ends_on_the_other_side_is_enough():
    results = made()
    results.angle.loc[{"net": 1, "sign": 1, "order": "together", "presynaptic": "standard"}] = 89.0
    assert dict(zip(NAMES, verdicts(results), strict=True))["weights end antialigned"] == "does not hold"


@pytest.mark.parametrize("wrong", [{"eta": 0.0}, {"eta": 0.2}, {"eta": -0.1}])
def test_learning_rates_without_enough_steps_are_refused(wrong):
    with pytest.raises(InputError, match="eta should be positive and at most duration/100"):
        LINEAR.Parameters(**wrong)
