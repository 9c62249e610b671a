"""RFLO's protocols: small runs end to end, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from brian2 import ms

from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol
from neuroplast.tasks import periodic

PERIODIC, TIMESTEP = load(find("rflo_periodic")), load(find("rflo_timestep"))
SMALL = {"trials": 4, "nets": 2, "N": 5}
SETTINGS = {
    "rflo_periodic": {"periods": (20 * ms, 30 * ms)},
    "rflo_timestep": {"period": 20 * ms, "steps": (5, 10)},
}


def test_periodic_trains_every_net_by_both_rules(runs):
    found = runs["rflo_periodic"].dataset
    assert dict(found.loss.sizes) == {"period": 2, "rule": 2, "net": 2, "trial": 4}
    assert np.isfinite(found.loss).all() and np.isfinite(found.alignment).all()
    # Both rules begin with the same nets, and each net with weights of its own.
    first = found.loss.isel(trial=0)
    np.testing.assert_allclose(first.sel(rule="bptt"), first.sel(rule="rflo"), rtol=1e-12)
    assert np.all(first.isel(net=0) != first.isel(net=1))
    assert np.all(found.loss.isel(trial=-1, rule=0) != found.loss.isel(trial=-1, rule=1))


def test_periodic_keeps_outputs_beside_their_targets(runs):
    found = runs["rflo_periodic"].dataset
    for period in (2, 3):
        (task,), here = periodic(10 * period).conditions, found.sel(period=period)
        np.testing.assert_array_equal(here.target.dropna("step"), task.target[1:, 0])
        output = here.output.isel(rule=0, net=1).dropna("step")
        assert output.shape == (task.samples - 1, 1)
        assert here.test_loss.isel(rule=0, net=1) == pytest.approx(task.loss(output), rel=1e-12)


def test_timestep_gives_all_steps_the_same_nets_and_time(runs):
    found = runs["rflo_timestep"].dataset
    assert dict(found.loss.sizes) == {"steps_per_tau": 2, "net": 2, "trial": 4}
    lengths = [found.output.sel(steps_per_tau=steps, net=0).dropna("step").sizes["step"] for steps in (5, 10)]
    assert lengths == [9, 19]
    coarse, fine = (found.loss.sel(steps_per_tau=steps, trial=0) for steps in (5, 10))
    assert np.all(abs(coarse - fine) < 0.2 * abs(fine)) and np.all(coarse != fine)


@pytest.mark.parametrize("name, claims", [("rflo_periodic", 4), ("rflo_timestep", 2)])
def test_run_leaves_claims_and_a_figure(name, claims, runs):
    traces = runs[name]
    complete_runs.check(traces, claims, ("trial", "loss", "time (ms)", "target"))
    assert all(claim["verdict"] in ("holds", "does not hold") for claim in traces.record["claims"])
    equations = "\n".join(text for groups in traces.record["equations"].values() for text in groups.values())
    assert "dh/dt" in equations


def verdicts(module, dataset):
    return [claim.measure(dataset)["verdict"] for claim in module.EXPECTED]


def curves(**finals):
    """Results in which each rule's loss falls from 1 to a value of its own at each of two periods."""
    rules = xr.DataArray([finals["bptt"], finals["rflo"]], {"rule": ["bptt", "rflo"], "period": [20, 160]})
    trial = xr.DataArray(np.linspace(0, 1, 101), dims="trial")
    loss = (1 + (rules - 1) * trial).expand_dims(net=3)
    alignment = (finals["alignment"] * trial).broadcast_like(loss)
    target = xr.DataArray(np.full((2, 10), 0.9), {"period": [20, 160]}, dims=("period", "step"))  # silence: 0.405
    return xr.Dataset({"loss": loss, "alignment": alignment, "target": target})


def test_claims_of_the_paper_can_hold():
    assert verdicts(PERIODIC, curves(bptt=[0.01, 0.1], rflo=[0.02, 0.3], alignment=0.9)) == ["holds"] * 4


@pytest.mark.parametrize(
    "changed, claim",
    [
        ({"rflo": [0.05, 0.3]}, 0),
        ({"rflo": [0.02, 0.09]}, 1),
        ({"rflo": [0.02, 1.5]}, 2),
        ({"rflo": [0.02, 0.4]}, 2),  # below the untrained network, not below an output that is merely silent
        ({"alignment": 0.6}, 3),
    ],
)
def test_each_claim_of_the_paper_can_fail_alone(changed, claim):
    finals = {"bptt": [0.01, 0.1], "rflo": [0.02, 0.3], "alignment": 0.9} | changed
    expected = ["holds"] * 4
    expected[claim] = "does not hold"
    assert verdicts(PERIODIC, curves(**finals)) == expected


@pytest.mark.parametrize(
    "finals, early, expected",
    [
        ([0.01, 0.012, 0.011], [0.1, 0.01, 0.0], ["holds", "holds"]),
        ([0.03, 0.012, 0.011], [0.1, 0.01, 0.0], ["does not hold", "holds"]),
        ([0.01, 0.012, 0.011], [0.01, 0.1, 0.0], ["holds", "does not hold"]),
    ],
)
def test_claims_about_the_time_step(finals, early, expected):
    steps = {"steps_per_tau": [10, 50, 200]}
    trial = xr.DataArray(np.arange(200), dims="trial")
    loss = xr.where(trial < 100, 1 + xr.DataArray(early, steps), xr.DataArray(finals, steps)).expand_dims(net=3)
    assert verdicts(TIMESTEP, xr.Dataset({"loss": loss})) == expected


def test_rates_go_with_periods(tmp_path):
    with pytest.raises(InputError, match=r"eta_rflo should have a value for each of .* Got \(0.03, 0.03, 0.03\)"):
        run_protocol("rflo_periodic", settings=["eta_rflo=0.03,0.03,0.03"], out=tmp_path / "run", target="numpy")


def test_quick_learns(tmp_path):
    """A tenth of the quick size, compiled: by then the loss has fallen by half for both rules."""
    settings = {"trials": 300, "nets": 2, "periods": (200 * ms,)}
    found = run_protocol("rflo_periodic", settings=settings, out=tmp_path / "run").dataset.loss
    assert np.all(found.isel(trial=-1) < 0.5 * found.isel(trial=0))


@pytest.mark.parametrize("period, expected", [(20, ["holds", "not run"]), (160, ["not run", "holds"])])
def test_a_single_duration_is_judged_as_the_one_that_it_is_near(period, expected):
    both = curves(bptt=[0.01, 0.1], rflo=[0.02, 0.3], alignment=0.9)
    assert verdicts(PERIODIC, both.sel(period=[period]))[:2] == expected
