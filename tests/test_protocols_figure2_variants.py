"""Protocols of figure 2's supplements: small runs end to end, and claims that can come out either way."""

import complete_runs
import numpy as np
import pytest
import xarray as xr
from brian2 import ms

from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.protocol import run_protocol
from neuroplast.rules import RFLO
from neuroplast.tasks import periodic

SMALL = {"trials": 4, "nets": 2, "N": 5}
SETTINGS = {
    "rflo_dale": {"periods": (20 * ms, 30 * ms), "eta": (0.3, 0.1)},
    "rflo_frozen_parts": {"period": 20 * ms},
    "rflo_size_and_gain": {"period": 20 * ms, "sizes": (4, 5), "eta": (0.1, 0.1), "gains": (0.5, 1.5)},
}
MODULES = {name: load(find(name)) for name in SETTINGS}


def first(dataset, **chosen):
    return dataset.loss.sel(**chosen).isel(trial=0)


def first_losses(period, rule=RFLO, **constants):
    """Losses of nets 0 and 1 before they learn, by a loop of their own."""
    parameters, task, losses = rflo.Parameters(N=5, **constants), periodic(10 * period), []
    for net in (0, 1):
        w = rflo.state_to_weights(rflo.initial_values(parameters, task, net, rule), 5)
        h, output = np.full(5, parameters.h0), []
        for _ in range(task.samples - 1):
            h = h + (-h + np.tanh(w["w_rec"] @ h)) / 10
            output.append(w["w_out"] @ h)
        losses.append(task.conditions[0].loss(output))
    return losses


def test_dale_trains_every_net_with_and_without_signs(runs):
    found, rules = runs["rflo_dale"].dataset, MODULES["rflo_dale"].RULES
    assert dict(found.loss.sizes) == {"period": 2, "rule": 2, "net": 2, "trial": 4}
    assert np.isfinite(found.loss).all()
    for period in (2, 3):
        for rule in rules:
            expected = first_losses(period, rules[rule])
            np.testing.assert_allclose(first(found, period=period, rule=rule), expected, rtol=1e-12)
    assert np.all(first(found, rule="rflo") != first(found, rule="rflo_dale"))


def test_frozen_parts_begin_with_the_same_nets(runs):
    found = runs["rflo_frozen_parts"].dataset
    assert dict(found.loss.sizes) == {"rule": 3, "net": 2, "trial": 4}
    both, readout, recurrent = (first(found, rule=rule) for rule in ("rflo", "readout_only", "recurrent_only"))
    np.testing.assert_allclose(both, recurrent, rtol=1e-12)
    assert np.all(both != readout)  # whose output is fed back from the start
    last = found.isel(trial=-1)
    assert len(np.unique(last.loss)) == 6
    # A fixed readout keeps its angle to B; one that learns does not, whatever else is fixed.
    turned = np.abs(np.ptp(found.alignment.values, axis=-1)) > 0
    np.testing.assert_array_equal(turned, [[True] * 2, [True] * 2, [False] * 2])


def test_frozen_parts_keep_outputs_beside_the_target(runs):
    found, task = runs["rflo_frozen_parts"].dataset, periodic(20).conditions[0]
    np.testing.assert_array_equal(found.target, task.target[1:, 0])
    for rule in found.rule:
        here = found.sel(rule=rule, net=1)
        assert here.test_loss.item() == pytest.approx(task.loss(here.output), rel=1e-12)


def test_size_and_gain_scale_both_weights(runs):
    found = runs["rflo_size_and_gain"].dataset
    assert dict(found.loss_by_N.sizes) == {"N": 2, "net": 2, "trial": 4}
    assert dict(found.loss_by_g.sizes) == {"g": 2, "net": 2, "trial": 4}
    for g in (0.5, 1.5):
        expected = first_losses(2, g=g, g_out=g)
        np.testing.assert_allclose(found.loss_by_g.sel(g=g, trial=0), expected, rtol=1e-12)
    np.testing.assert_array_equal(found.loss_by_N.sel(N=5), found.loss_by_g.sel(g=1.5))
    assert np.all(found.loss_by_N.sel(N=4) != found.loss_by_N.sel(N=5))


@pytest.mark.parametrize(
    "name, claims, texts",
    [
        ("rflo_dale", 3, ("trial", "loss", "RFLO + Dale", "duration T")),
        ("rflo_frozen_parts", 3, ("trial", "loss", "time (ms)", "target", "silent output")),
        ("rflo_size_and_gain", 2, ("recurrent units N", "loss", "gain", "untrained")),
    ],
)
def test_run_leaves_claims_and_a_figure(name, claims, texts, runs):
    traces = runs[name]
    complete_runs.check(traces, claims, texts)
    assert all(claim["verdict"] in ("holds", "does not hold") for claim in traces.record["claims"])


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("rflo_dale", ["period=200*ms", "eta=0.1,0.2"], r"eta should have a value for each of .* Got \(0.1, 0.2\)"),
        ("rflo_size_and_gain", ["sizes=10,30"], r"eta should have a value for each of \(10, 30\). Got \(0.03, 0.03,"),
        ("rflo_size_and_gain", ["N=40"], r"N should be one of the sizes \(10, 20, .* Got 40"),
    ],
)
def test_parameters_that_go_together(name, settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_protocol(name, settings=settings, out=tmp_path / "run", target="numpy")


def verdicts(name, dataset):
    return "".join("+" if claim.measure(dataset)["verdict"] == "holds" else "-" for claim in MODULES[name].EXPECTED)


def falling(finals, *, trials=1000, when=100, start=1.0):
    """Loss of three nets that falls from `start` to `finals` in one step at the trial `when`, which may vary alike."""
    trial = xr.DataArray(np.arange(trials), dims="trial")
    return xr.where(trial < when, start, finals).expand_dims(net=3)


PERIODS = {"period": [20, 160]}
TARGET = xr.DataArray(np.ones((2, 10)), PERIODS, dims=("period", "step"))  # silence: 0.5


@pytest.mark.parametrize(
    "rflo_finals, dale_finals, dale_when, expected",
    [
        ([0.1, 0.3], [0.15, 0.4], [150, 150], "+++"),
        ([0.1, 0.3], [0.15, 0.4], [150, 250], "-++"),  # as low, but not as soon
        ([0.1, 0.3], [0.15, 0.4], [40, 100], "-++"),  # sooner is not similar either
        ([0.1, 0.3], [0.25, 0.4], [100, 100], "+-+"),  # as soon, but not as low
        ([0.1, 0.3], [0.04, 0.3], [100, 100], "+-+"),
        ([0.1, 0.3], [0.15, 0.48], [100, 100], "++-"),  # no lower than silence
        ([0.1, 0.3], [0.15, 0.7], [100, 100], "---"),
        ([0.1, 1.5], [0.1, 1.5], [100, 100], "-+-"),  # alike, but neither has learned
        ([0.1, 0.3], [0.1, np.inf], [100, 0], "---"),  # diverged
    ],
)
def test_claims_about_dale(rflo_finals, dale_finals, dale_when, expected):
    rule = xr.IndexVariable("rule", ["rflo", "rflo_dale"])
    finals = [xr.DataArray(values, PERIODS) for values in (rflo_finals, dale_finals)]
    whens = [100, xr.DataArray(dale_when, PERIODS)]
    loss = xr.concat([falling(end, when=when) for end, when in zip(finals, whens, strict=True)], rule)
    assert verdicts("rflo_dale", xr.Dataset({"loss": loss, "target": TARGET})) == expected


@pytest.mark.parametrize(
    "finals, expected",
    [
        ([0.01, 0.1, 0.5], "+++"),
        ([0.05, 0.1, 0.5], "-++"),
        ([0.01, 0.2, 0.5], "+-+"),
        ([0.01, 0.6, 0.5], "+-+"),
        ([0.01, 0.05, 0.2], "++-"),
        ([0.1, 0.05, 0.01], "---"),
        ([np.inf, 0.1, 0.5], "-++"),
    ],
)
def test_claims_about_frozen_parts(finals, expected):
    loss = falling(xr.DataArray(finals, {"rule": ["rflo", "readout_only", "recurrent_only"]}))
    dataset = xr.Dataset({"loss": loss, "target": TARGET.isel(period=0, drop=True)})
    assert verdicts("rflo_frozen_parts", dataset) == expected


@pytest.mark.parametrize(
    "by_size, by_gain, expected",
    [
        ([0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], "++"),
        ([0.4, 0.3, 0.1, 0.2], [0.4, 0.3, 0.2, 0.1], "++"),  # -0.8
        ([0.4, 0.1, 0.3, 0.2], [0.4, 0.3, 0.2, 0.1], "-+"),  # -0.4
        ([0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], "+-"),
        ([np.inf, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1], "-+"),  # what diverged tells nothing about the ending
    ],
)
def test_claims_about_size_and_gain(by_size, by_gain, expected):
    sizes = falling(xr.DataArray(by_size, {"N": [10, 30, 100, 200]}))
    gains = falling(xr.DataArray(by_gain, {"g": [0.25, 0.5, 1.0, 1.5]}))
    assert verdicts("rflo_size_and_gain", xr.Dataset({"loss_by_N": sizes, "loss_by_g": gains})) == expected
