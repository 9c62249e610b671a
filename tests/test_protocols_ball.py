"""Protocols of the bouncing ball: small runs, nets before and after learning, claims that can come out either way."""

from dataclasses import replace

import complete_runs
import numpy as np
import pytest
import xarray as xr

from neuroplast.analysis import prediction
from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol
from neuroplast.protocols import _ball as ball
from neuroplast.tasks import Condition

NAMES = ("autapse_ball", "autapse_tau", "autapse_feedback_sign", "autapse_trace")
BALL, TAU, SIGN, TRACE = (load(find(name)) for name in NAMES)
SMALL = {"nets": 1, "epochs": 1, "training": 2, "validation": 2, "samples": 12, "horizon": 2, "burn_in": 2}
SETTINGS = {
    "autapse_ball": {"nets": 2, "others": (1,)},
    "autapse_tau": {"taus": (1, 5), "rates": (0.3, 3.0)},
    "autapse_feedback_sign": {},
    "autapse_trace": {"substeps": 4, "tau_k": 2, "samples": 40},
}
CLAIMS = {"autapse_ball": 14, "autapse_tau": 5, "autapse_feedback_sign": 6, "autapse_trace": 3}
TEXTS = {
    "autapse_ball": ("untrained", "BPTT", "autapse", "Pearson r"),
    "autapse_tau": ("learning rate (multiples)", "best function of position", "DFA"),
    "autapse_feedback_sign": ("both negative", "largest recurrent weight"),
    "autapse_trace": ("trained weights", "trace", "unit 2"),
}


@pytest.mark.parametrize("name", NAMES)
def test_run_leaves_claims_and_a_figure(runs, name):
    complete_runs.check(runs[name], CLAIMS[name], TEXTS[name])


def test_all_rules_begin_with_the_same_nets(runs):
    found = runs["autapse_ball"].dataset
    before = found.sel(stage="untrained")
    assert dict(before.mse.sizes) == {"horizon": 2, "rule": 4, "net": 2}
    for name in ("mse", "skill", "output"):
        assert (before[name] == before[name].isel(rule=0)).all() and np.isfinite(found[name]).all()
    assert len(np.unique(before.mse.isel(rule=0, horizon=0))) == 2  # two different nets
    after = found.sel(stage="trained").isel(horizon=0, net=0)
    assert len(np.unique(after.mse)) == 4 and len(np.unique(found.w_recurrent.isel(horizon=0, net=0))) == 16


def test_measures_agree_with_what_the_network_counts(runs):
    found = runs["autapse_ball"].dataset
    np.testing.assert_allclose(found.mse.sel(stage="trained"), found.validation_mse.isel(epoch=-1), rtol=1e-12)
    output = found.output.isel(stage=1, horizon=0, rule=2, net=1).transpose("test", "step", "channel").values
    wrong = (output - found.target.values)[:, SMALL["burn_in"] :]
    np.testing.assert_allclose(found.mse.isel(stage=1, horizon=0, rule=2, net=1), np.mean(wrong**2), rtol=1e-12)
    shift = found["shift"].isel(stage=1, horizon=0, rule=2, net=1)
    np.testing.assert_allclose(shift, np.mean(wrong.mean(axis=(0, 1)) ** 2), rtol=1e-12)
    assert (found["shift"] + found.rest <= found.mse * (1 + 1e-12)).all()


def test_time_constants_are_those_of_the_autapses_only(runs):
    found = runs["autapse_tau"].dataset
    assert list(found.rule) == ["tau 1", "tau 5", "bptt", "fa", "dfa"]
    assert len(np.unique(found.mse.isel(stage=1, net=0))) == 10
    before = found.mse.sel(stage="untrained")
    assert (before == before.isel(rule=0, rate=0)).all()


def test_feedback_has_the_eigenvalues_that_are_asked_for():
    state = {"readout.b": np.array([2.0, 1.0, 1.0, 2.0]), "recurrent.w": np.ones(4)}
    for factors, wanted in (((1, 1), [1, 3]), ((-1, 1), [-1, 3]), ((1, -1), [-3, 1]), ((-1, -1), [-3, -1])):
        found = SIGN.feedback(factors)(state)
        assert list(found) == ["readout.b"]
        np.testing.assert_allclose(np.linalg.eigvalsh(found["readout.b"].reshape(2, 2)), wanted, rtol=1e-12)


def test_signs_of_the_feedback_change_what_is_learned(runs):
    found = runs["autapse_feedback_sign"].dataset.mse.sel(stage="trained").isel(net=0)
    assert all(len(np.unique(found.sel(rule=rule))) == 4 for rule in SIGN.RULES)


def test_the_continuous_picture_is_of_the_same_motion(runs):
    found = runs["autapse_trace"].dataset
    assert dict(found.h.sizes) == {"stage": 2, "step": 160, "unit": 2} and found.sizes["sample"] == 40
    task = ball.make_task(TRACE.Parameters(**SMALL | {"samples": 40}), 0)
    given, target = prediction.trajectories(task, task.tests[:1])
    coarse = found.sel(step=found.sample.values)
    np.testing.assert_allclose(coarse.given, given[0], atol=1e-12)
    np.testing.assert_allclose(coarse.target, target[0], atol=1e-12)
    assert (found.h.isel(stage=0) != found.h.isel(stage=1)).any()


def test_rates_go_with_rules(tmp_path):
    with pytest.raises(InputError, match="eta should have a rate for each of"):
        run_protocol("autapse_ball", settings=["eta=1,2"], out=tmp_path / "run", target="numpy")


def test_position_alone_tells_what_is_a_function_of_it():
    task = ball.make_task(ball.Common(), 0)
    assert 0 < ball.by_position(task, 10) < 0.1
    squares = [Condition(condition.drive**2, condition.drive) for condition in task.conditions]
    assert ball.by_position(replace(task, conditions=squares), 10) == pytest.approx(1)


@pytest.mark.parametrize(
    "curve, epochs", [([1.0, 0.5, 0.2, 0.0], 1.0), ([1.0, 0.8, 0.4, 0.0], 1.75), ([1.0, 1.5, 2.0, 1.0], np.inf)]
)
def test_halfway(curve, epochs):
    found = xr.Dataset(
        {"mse": (("stage", "net"), [[curve[0]], [0.0]]), "validation_mse": (("net", "epoch"), [curve[1:]])},
        {"stage": list(ball.STAGES)},
    )
    np.testing.assert_allclose(ball.halfway(found), [epochs])


NETS = xr.DataArray(np.linspace(-0.01, 0.01, 10), {"net": np.arange(10)})


def before_and_after(before, after, **coords):
    """Ten nets around these values: one before learning, one for each place in `coords` after it."""
    after = xr.DataArray(np.asarray(after, float), coords)
    parts = [xr.full_like(after, before), after]
    # Nets differ less after learning than before it, so that each comes out a little different.
    parts = [part + scale * NETS for part, scale in zip(parts, (1, 0.5), strict=True)]
    return xr.concat(parts, xr.IndexVariable("stage", list(ball.STAGES)))


def four(mse=(0.5,) * 4, skill=(0.0,) * 4, speed=(10, 10, 20, 20), **changes):
    """Results of the four rules at two horizons; `speed` is in epochs."""
    coords = {"horizon": [5, 1], "rule": list(ball.RULES)}
    values = {"mse": (0.8, mse), "skill": (0.0, skill), "pearson": (0.9, (0.8,) * 4)} | changes
    values = {"disparity": (0.2, (0.4,) * 4), "shift": (0.3, (0.0,) * 4), "rest": (0.1, (0.2,) * 4)} | values
    found = xr.Dataset({name: before_and_after(old, [new, new], **coords) for name, (old, new) in values.items()})
    decay = np.exp(-np.log(2) * np.arange(1, 400) / np.array(speed)[:, None])
    curve = xr.DataArray(decay, {"rule": coords["rule"], "epoch": np.arange(1, 400)})
    first, last = (found.mse.sel(stage=stage) for stage in ball.STAGES)
    found["validation_mse"] = last + (first - last) * curve
    rng = np.random.default_rng(0)
    shape = rng.uniform(size=(2, 20, 2))
    found["output"] = xr.zeros_like(found.mse) + xr.DataArray(shape, dims=("test", "step", "channel"))
    return found.assign(position=("horizon", [0.03, 0.01])).assign_attrs(burn_in=2)


def verdicts(module, dataset, *chosen):
    return [module.EXPECTED[i].measure(dataset)["verdict"] for i in chosen]


YES, NO = "holds", "does not hold"


def test_claims_about_shapes():
    found = four()
    scaled = found.copy(deep=True)
    scaled["output"] = found.output * (1 + 0.3 * (found.rule == "fa")) + 0.2 * (found.rule == "dfa")
    assert verdicts(BALL, scaled, 0, 1) == [YES, YES]
    noise = found.output.isel(stage=0, drop=True)
    noise = noise.copy(data=np.random.default_rng(1).standard_normal(noise.shape))
    other = scaled.copy(deep=True)
    other["output"] = scaled.output + noise * (found.rule == "dfa") * (found.stage == "trained")
    assert verdicts(BALL, other, 0, 1) == [NO, NO]
    alike = scaled.copy(deep=True)
    alike["output"] = scaled.output + noise.isel(rule=0, drop=True) * (found.stage == "trained")
    assert verdicts(BALL, alike, 0, 1) == [YES, NO]


@pytest.mark.parametrize(
    "changes, number, expected",
    [
        ({}, 2, YES),
        ({"pearson": (0.9, (0.8, 0.4, 0.8, 0.8))}, 2, NO),
        ({}, 3, NO),
        ({"disparity": (0.2, (0.1,) * 4)}, 3, YES),
        ({"skill": (0.2,) * 4}, 4, YES),
        ({"skill": (0.2, 0.2, -0.1, 0.2)}, 4, NO),
        ({}, 5, YES),
        ({"mse": (0.5, 0.5, 0.9, 0.5)}, 5, NO),
        ({}, 6, YES),
        ({"shift": (0.3, (0.2,) * 4)}, 6, NO),
        ({}, 7, YES),
        ({"rest": (0.1, (0.05,) * 4)}, 7, NO),
        ({}, 8, YES),
        ({"speed": (10, 20, 20, 20)}, 8, NO),
        ({}, 9, YES),
        ({"speed": (10, 10, 10, 12)}, 9, NO),
        ({}, 10, NO),
        ({"mse": (0.5, 0.5, 0.9, 0.5)}, 10, YES),
        ({"speed": (10, 11, 20, 20)}, 11, NO),
        ({}, 12, YES),
        ({"skill": (0.0, 0.0, 0.0, 0.2)}, 12, NO),
        ({}, 13, YES),
        ({"skill": (0.0, 0.0, 0.0, 0.2)}, 13, NO),
    ],
)
def test_claims_of_the_ball(changes, number, expected):
    assert verdicts(BALL, four(**changes), number) == [expected]


def test_which_rule_is_fastest_may_vary():
    found = four(speed=(10, 11, 20, 20))
    swapped = found.validation_mse.roll(rule=1, roll_coords=False)
    found["validation_mse"] = found.validation_mse.where(found.net < 5, swapped)
    assert verdicts(BALL, found, 11) == [YES]


def swept(mse, skill=0.0, pearson=None):
    """Results of a sweep: median errors by rule and rate; the shape is the better, the higher the error."""
    coords, mse = {"rule": ["tau 5", "tau 10", "bptt"], "rate": [0.1, 1.0]}, np.asarray(mse)
    skill = np.broadcast_to(skill, mse.shape)
    values = {"mse": (0.8, mse), "skill": (0.0, skill), "pearson": (0.9, mse if pearson is None else pearson)}
    return xr.Dataset({name: before_and_after(*pair, **coords) for name, pair in values.items()}).assign(position=0.03)


ERRORS = [[0.5, 0.3], [0.4, 0.31], [0.45, 0.2]]


@pytest.mark.parametrize(
    "found, expected",
    [
        (swept(ERRORS), [YES, YES, YES, YES, NO]),
        (swept([[0.5, 0.3], [0.4, 0.35], [0.6, 0.2]]), [NO, YES, YES, YES, YES]),
        (swept(ERRORS, [[0, 0], [0, 0.02], [0, 0]]), [YES, NO, YES, YES, NO]),
        (swept(ERRORS, [[0, 0], [0, 0.2], [0, 0]]), [YES, NO, NO, YES, NO]),
        (swept(ERRORS, pearson=1 - np.array(ERRORS)), [YES, YES, YES, NO, NO]),
    ],
)
def test_claims_of_the_sweep(found, expected):
    assert verdicts(TAU, found, *range(5)) == expected


def test_one_time_constant_is_not_compared():
    assert verdicts(TAU, swept(ERRORS).sel(rule=["tau 5", "bptt"]), 0) == ["not run"]


def signed(mse, weights=(2.0, 2.0, 2.0, 90.0), late=0.1):
    coords = {"rule": list(SIGN.RULES), "signs": list(SIGN.SIGNS)}
    found = xr.Dataset({"mse": before_and_after(0.3, mse, **coords)})
    rise = xr.DataArray(np.concatenate([np.linspace(0, 1, 20), 1 + late * np.arange(20)]), dims="epoch")
    found["validation_mse"] = found.mse.sel(stage="trained") * rise
    largest = xr.DataArray(np.array(weights), {"signs": coords["signs"]})
    matrix = xr.DataArray([[0.5, -1.0], [0.2, 0.1]], dims=("recurrent_pre", "recurrent_post"))
    return found.assign(w_recurrent=xr.zeros_like(found.mse.isel(stage=0, drop=True)) + largest * matrix)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"mse": [[0.1, 0.6, 0.6, 0.6]] * 3}, [YES] * 6),
        ({"mse": [[0.6, 0.1, 0.6, 0.6]] * 3}, [NO, YES, NO, YES, YES, YES]),
        ({"mse": [[0.1, 0.6, 0.6, 0.1]] * 3}, [YES, NO, YES, YES, YES, NO]),
        ({"mse": [[0.1, 0.6, 0.6, 0.6]] * 2 + [[0.1] * 4]}, [YES] * 5 + [NO]),
        ({"mse": [[0.1, 0.6, 0.6, 0.6]] * 3, "late": 0.0}, [YES, YES, YES, NO, YES, YES]),
        ({"mse": [[0.1, 0.6, 0.6, 0.6]] * 3, "weights": (2, 2, 2, 9)}, [YES, YES, YES, YES, NO, YES]),
    ],
)
def test_claims_of_the_signs(changes, expected):
    assert verdicts(SIGN, signed(**changes), *range(6)) == expected


def presented(tau=5, memory=5, lag=0.0):
    """Two stages of a sine, with a trace of this memory, and steps that lag behind it."""
    step, sample = np.arange(1, 801) / 8, np.arange(1.0, 101.0)
    h, trace = np.sin(step / 6) + 1, np.zeros(len(step))
    for i in range(1, len(step)):
        trace[i] = trace[i - 1] + (h[i - 1] - trace[i - 1]) / 8 / memory
    values = {"h": h, "trace": trace, "h_steps": np.sin((sample - lag) / 6) + 1}
    variables = {
        name: (("stage", "sample" if "steps" in name else "step", "unit"), np.tile(array[:, None], (2, 1, 2)))
        for name, array in values.items()
    }
    return xr.Dataset(
        variables, {"stage": list(ball.STAGES), "step": step, "sample": sample}, {"tau_k": tau, "burn_in": 10}
    )


@pytest.mark.parametrize(
    "changes, expected",
    [({}, [YES, YES, YES]), ({"memory": 0.5}, [NO, NO, YES]), ({"lag": 1.0}, [YES, YES, NO])],
)
def test_claims_of_the_presentation(changes, expected):
    assert verdicts(TRACE, presented(**changes), *range(3)) == expected


def test_the_filter_is_equation_8():
    times, tau = np.arange(1, 4001) / 200, 5.0
    found = TRACE._filtered(np.ones((len(times), 1)), times, tau)[:, 0]
    np.testing.assert_allclose(found, 1 - np.exp(-times / tau), atol=2e-3)
