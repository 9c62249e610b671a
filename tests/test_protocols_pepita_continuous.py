"""Protocols of PEPITA in continuous time: small runs on digits, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr

from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.export import export
from neuroplast.protocol import run_protocol
from neuroplast.traces import Traces

COMPARTMENTS, TIMESTEP = (load(find(name)) for name in ("pepita_compartments", "pepita_timestep"))
SMALL = {"data": "digits", "rows": 40, "epochs": 1}
#: Two hidden layers and phases that settle; then one of each kind.
SETTINGS = {
    "pepita_compartments": {"hidden": (6, 5), "phases": (14, 2), "steps": 4},
    "pepita_timestep": {"rows": 70, "hidden": (6, 5), "nets": 2, "steps": (4,), "phases": (8, 1)},
}


def verdicts(module, dataset):
    return [claim.measure(dataset)["verdict"] for claim in module.EXPECTED]


@pytest.mark.parametrize(
    "name, claims, texts",
    [
        ("pepita_compartments", 5, ("dendrite", "soma", "input: four pixels", "error (dotted)", "W_3")),
        ("pepita_timestep", 6, ("2 hidden layers", "products and sums", "modulated: 1")),
    ],
)
def test_run_leaves_claims_and_a_figure(name, claims, texts, runs):
    complete_runs.check(runs[name], claims, texts)


# -- one presentation --------------------------------------------------------------------------------------------------


def test_both_phases_are_one_trace(runs):
    traces = runs["pepita_compartments"]
    for name, neurons in (("hidden1.v_d", 6), ("soma2.v_s", 5), ("outputs.v_d", 10)):
        array = traces.rates[name]
        assert dict(array.sizes) == {"trial": 2, "time": 2 * 14 * 4, "neuron": neurons}
        np.testing.assert_allclose(array.time, 2.5e-3 * np.arange(1, 113))
    assert set(traces.nets) == {"phases-2-tau", "phases-14-tau"}
    assert traces.nets["phases-2-tau"].rates["hidden1.v_d"].sizes["time"] == 2 * 2 * 4
    assert set(traces.spikes) == {"hidden1.spikes", "hidden2.spikes"}


def test_claims_of_a_run_with_phases_that_settle(runs):
    found = runs["pepita_compartments"].dataset
    assert verdicts(COMPARTMENTS, found)[:3] == ["not run", "holds", "does not hold"]  # at tau/4 Euler is 13 % fast
    np.testing.assert_allclose(COMPARTMENTS.relaxation(found)[1:9], 0.75 ** np.arange(1, 9), rtol=1e-6)
    assert (found.deviation.sel(phase=14) < 0.02).all() and (found.deviation.sel(phase=2)[:2] > 1).all()


def test_the_published_change_is_that_of_finite_differences_and_of_the_two_passes():
    """The readout's is down the gradient at the shifted input; the rest are products of what was found by hand."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((4, 3), (3, 2))]
    feedback, x, t = rng.normal(size=(2, 4)), rng.random(4), np.array([0.0, 1.0])

    def loss(w2, given):
        v = np.maximum(given @ weights[0], 0) @ w2
        return np.log(np.exp(v).sum()) - v @ t

    v = np.maximum(x @ weights[0], 0) @ weights[1]
    shifted = x + (np.exp(v) / np.exp(v).sum() - t) @ feedback
    potentials, change = COMPARTMENTS.published(weights, feedback, x, t)
    np.testing.assert_allclose(potentials[0][0], x @ weights[0])
    np.testing.assert_allclose(potentials[1][0], shifted @ weights[0])
    for index in np.ndindex(3, 2):
        step = np.zeros((3, 2))
        step[index] = 1e-6
        slope = (loss(weights[1] + step, shifted) - loss(weights[1] - step, shifted)) / 2e-6
        assert change[1][index] == pytest.approx(-slope, abs=1e-8)
    mismatch = np.maximum(x @ weights[0], 0) - np.maximum(shifted @ weights[0], 0)
    np.testing.assert_allclose(change[0], -np.outer(shifted, mismatch), atol=1e-12)
    assert np.abs(mismatch).max() > 0.1


def test_what_is_recorded_anyway_may_be_asked_for(tmp_path):
    settings = SMALL | SETTINGS["pepita_compartments"] | {"hidden": (3,), "phases": (2, 1)}
    asked = ["hidden1.v_d:trials=-1", "hidden1.mismatch:trials=-1"]
    run_protocol("pepita_compartments", settings=settings, record=asked, out=tmp_path / "run", target="numpy")
    found = Traces.load(tmp_path / "run").nets["phases-2-tau"].rates
    assert found["hidden1.v_d"].sizes["trial"] == 2 and found["hidden1.mismatch"].sizes["trial"] == 1


@pytest.mark.parametrize("to", ["npz", "csv"])
def test_traces_and_spikes_are_exported(to, runs, tmp_path):
    folder, path = runs["pepita_compartments"].folder, tmp_path / f"out.{to}"
    export(folder, to, path, net="phases-14-tau")
    if to == "npz":
        with np.load(path) as found:
            assert found["soma1.v_s"].shape == (2, 112, 6) and "hidden1.spikes" in found
    else:
        lines = (path / "hidden1.v_d.csv").read_text().splitlines()
        times = [float(line.split(",")[1]) for line in lines[1:]]
        np.testing.assert_allclose(times, 2.5e-3 * np.arange(1, 225), rtol=1e-9)  # two presentations, no gap


def presentation(held=0.0, left=0.0, deviation=(0.001, 0.001, 0.0), short=(5.0, 9.0, 0.1), tau=1.0):
    """Six neurons in phases of 16 tau at tau/20: a soma that drifts, a dendrite that has this time constant."""
    t = np.arange(1, 321) / 20
    standard, way = np.arange(6.0), np.array([0.1, -0.1, 0.2, 0.3, -0.2, 0.1])
    first = standard * (1 - np.exp(-t))[:, None]
    second = first[-1] + (1 - np.exp(-t / tau))[:, None] * (way - (first[-1] - standard)) * (1 - left)
    soma = np.concatenate([first, first[-1] + held * t[:, None]])
    arrays = {}
    for name, values in (("hidden1.v_d", np.concatenate([first, second])), ("soma1.v_s", soma)):
        dims, coords = [f"{name}_{dim}" for dim in ("trial", "time", "neuron")], {f"{name}_time": 0.01 * np.arange(640)}
        arrays[name] = xr.DataArray(np.stack([values, values]), coords, dims, attrs={"kind": "rates"})
    arrays["settled"] = "unit", standard + way
    both = np.array([short, deviation])
    found = xr.Dataset(arrays).assign_coords(phase=[4, 16], layer=["w1", "w2", "w3"])
    found["deviation"] = ("phase", "layer"), both
    return found.isel(layer=slice(0, 2)).assign_attrs(tau=0.01, steps=20, data="fashion-mnist")


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, "++++"),
        ({"held": 1e-6}, "-+++"),
        ({"tau": 1.2}, "+-++"),
        ({"tau": 0.9}, "+-++"),
        ({"left": 0.1}, "+-++"),
        ({"deviation": (0.001, 0.02, 0)}, "++-+"),
        ({"short": (0.5, 9, 9)}, "+++-"),
    ],
)
def test_claims_of_a_presentation(changes, expected):
    found = verdicts(COMPARTMENTS, presentation(**changes))
    assert found == ["holds", *("holds" if sign == "+" else "does not hold" for sign in expected)]


def test_without_phases_of_4_tau_there_is_no_verdict_on_them():
    found = presentation().assign_coords(phase=[5, 16])
    assert verdicts(COMPARTMENTS, found)[-1] == "not run"


# -- time steps --------------------------------------------------------------------------------------------------------


def test_every_case_is_measured(runs):
    traces = runs["pepita_timestep"]
    found = traces.dataset
    assert dict(found.test_accuracy.sizes) == {"layers": 2, "steps": 2, "phases": 3, "net": 2, "epoch": 1}
    assert found.phases.values.tolist() == ["1", "8", "8+1"] and found.steps.values.tolist() == [1, 4]
    published = found.sel(steps=1, phases="1")
    assert (published.distance == 0).all()
    # Its phases of one step are settled at once.
    np.testing.assert_allclose(published.settled, published.test_accuracy.isel(epoch=-1), atol=1e-6)
    assert (found.distance.sel(steps=4, phases="8") < found.distance.sel(steps=4, phases="1")).all()
    assert found.settled.sel(steps=1, phases="8").isnull().all()
    assert traces.record["milliseconds_of_a_batch"] == {}  # measured on the cpp target


def test_products_are_counted():
    # Two passes 3-2, six steps 2-2 and 2-1, F e 1-3, gradients 6 + 4 + 2.
    assert TIMESTEP.multiply_adds([3, 2, 2, 1], 6) == 2 * 6 + 6 * (4 + 2) + 3 + 12


def steps(long=0.85, modulated=0.85, distance=0.01, short=(np.nan, 0.1), work=10.0, data="fashion-mnist"):
    """Two depths; at tau/4 and tau/10 phases of 2, 4 and 16 tau, and 16 followed by 1."""
    coords = {
        "layers": [1, 2], "steps": [1, 4, 10], "phases": ["1", "2", "4", "16", "16+1"], "net": range(3),
    }  # fmt: skip
    level = xr.DataArray(np.nan, coords, list(coords)).copy()
    level.loc[{"steps": 1, "phases": "1"}] = 0.85
    for phases, value in zip(("2", "4", "16"), (*short, long), strict=True):
        level.loc[{"steps": [4, 10], "phases": phases}] = value
    level.loc[{"steps": 10, "phases": "16+1"}] = modulated
    there = xr.zeros_like(level.isel(net=0, drop=True))
    there.loc[{"steps": 1, "phases": ["2", "4", "16", "16+1"]}] = np.nan
    there.loc[{"steps": [4, 10], "phases": "1"}] = np.nan
    there.loc[{"steps": 4, "phases": "16+1"}] = np.nan
    made = there + work
    made.loc[{"steps": 1, "phases": "1"}] = 1.0
    found = {"test_accuracy": level.expand_dims(epoch=2, axis=-1), "settled": level, "work": made}
    return xr.Dataset(found | {"distance": xr.zeros_like(level) + distance}, attrs={"data": data})


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, "++++++"),
        ({"long": 0.84}, "+-++++"),
        ({"long": np.nan}, "+-++++"),
        ({"long": 0.854}, "++++++"),
        ({"distance": 0.06}, "++-+++"),
        ({"distance": np.nan}, "++-+++"),
        ({"modulated": 0.8}, "+++-++"),
        ({"short": (0.1, 0.7)}, "++++-+"),
        ({"work": 17.0}, "+++++-"),
    ],
)
def test_claims_of_time_steps(changes, expected):
    assert verdicts(TIMESTEP, steps(**changes)) == ["holds" if sign == "+" else "does not hold" for sign in expected]


def test_what_was_not_run_has_no_verdict():
    assert verdicts(TIMESTEP, steps(data="digits"))[0] == "not run"
    few = steps().sel(phases=["1", "16"])
    assert verdicts(TIMESTEP, few)[3:5] == ["not run", "not run"]


def test_the_short_phase_needs_a_longer_one():
    made = TIMESTEP.cases(TIMESTEP.Parameters(steps=(10, 4), phases=(1,)))
    assert made == [(1, 1, 1, "1"), (4, 1, 1, "1"), (10, 1, 1, "1")]
    assert TIMESTEP.cases(TIMESTEP.Parameters(steps=(4,), phases=(4, 2)))[1:] == [
        (4, 2, 2, "2"), (4, 4, 4, "4"), (4, 4, 1, "4+1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name, setting, words",
    [
        ("pepita_compartments", "nets=2", "nets should be 1, the one that is shown. Got 2"),
        ("pepita_compartments", "phases=4", "phases should be two or more different whole numbers of tau. Got"),
        ("pepita_compartments", "phases=4,4", "phases should be two or more different"),
        ("pepita_compartments", "phases=4,4.5", "phases should be "),
        ("pepita_compartments", "image=39", "image should be at most 38, since one follows it. Got 39"),
        ("pepita_compartments", "steps=1", "steps should be at least 2"),
        ("pepita_compartments", "max_rate=10*ms", "max_rate should be a quantity in units of"),
        ("pepita_compartments", "max_rate=300*Hz", r"max=300\*Hz is too fast for the time step of 0.5 ms"),
        ("pepita_timestep", "steps=1", "steps should be at least 2"),
        ("pepita_timestep", "steps=4,4", "steps should be different whole numbers. Got"),
        ("pepita_timestep", "phases=0.5", "phases should be"),
        ("pepita_timestep", "keep=0", "keep should be a probability"),
    ],
)
def test_parameters_that_do_not_fit(tmp_path, name, setting, words):
    settings = [f"{key}={value}" for key, value in SMALL.items() if not setting.startswith(key)]
    with pytest.raises(InputError, match=words):
        run_protocol(name, settings=[*settings, "hidden=4", setting], out=tmp_path / "run", target="numpy")


def test_a_run_is_read_without_the_protocol(runs):
    found = Traces.load(runs["pepita_compartments"].folder)
    assert found.dataset.deviation.dims == ("phase", "layer")
    assert found.weights["w1.w"].sizes["trial"] == 2
