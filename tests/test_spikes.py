"""Spikes drawn from rates: what theory says of their number and their intervals, and what the maps refuse.

Limits are four standard errors; the seeds are fixed, so nothing fails by chance.
"""

from dataclasses import replace

import numpy as np
import pytest
from brian2 import Hz, ms, second

from neuroplast.engine import Event, Loop, Phase, Population, Schedule, Simulation, start
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.recording import Record, add_records
from neuroplast.rules import BPTT, FROZEN, RFLO
from neuroplast.spikes import Rate, Spikes
from neuroplast.tasks import periodic

DT, MAX = 1e-3, 60
LEARNING = rflo.Parameters(N=40, eta_rec=0.03, eta_out=0.03)
#: Rates that stay at 0, which the shifted map takes to half of the maximum.
CONSTANT = rflo.Parameters(N=100, g=0.0, h0=0.0)
NOISY = rflo.Parameters(N=4, sigma=20 * second**-0.5)


def run(record, parameters=LEARNING, samples=200, trials=5, rule=RFLO, target="numpy", seed=1):
    model = rflo.build(parameters, periodic(samples), rule, record=record, target=target)
    return model.run(trials, seed=seed)


def counts(spikes, neurons):
    return np.bincount(spikes.neuron, minlength=neurons)


@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
@pytest.mark.parametrize("kind", ["shifted", "rectified"])
def test_counts_are_the_integrated_rates(rule, kind):
    found = run(["units.h", f"units.spikes:map={kind}:max={MAX}*Hz"], rule=rule)
    h = found.rates["units.h"].values.reshape(-1, 40)
    p = DT * MAX * ((h + 1) / 2 if kind == "shifted" else np.maximum(h, 0))
    for axis, drawn in (("neuron", 40), ("trial", 5)):
        number = np.bincount(found.spikes["units"][axis], minlength=drawn)
        chance = p if axis == "neuron" else p.reshape(5, -1)
        mean, variance = ((q.sum(axis=0 if axis == "neuron" else 1)) for q in (chance, chance * (1 - chance)))
        assert (abs(number - mean) < 4 * np.sqrt(variance) + 1e-9).all()
    assert abs(counts(found.spikes["units"], 40).sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    assert p.sum(axis=0).max() > 1.5 * p.sum(axis=0).min()


def test_a_spike_is_drawn_from_the_rate_of_its_own_step():
    """Rates that jump, so that the step before would give other counts: 0 at first, then 1."""
    start("numpy", dt=1 * ms)
    units = Population(500, "h = int(k >= 10) : 1 (constant over dt)", name="units")
    nodes = {"run": [units]}
    (recorded,) = add_records(
        ["units.spikes:max=100*Hz"], {"units": units}, nodes, rates={"units": Rate("h", 0, 1)}
    )  # fmt: skip
    loop = Loop("trial", 1, [Phase("run", nodes["run"], 20)])
    out = Simulation(Schedule([loop]), namespace={}).run(seed=2).monitors["units_spikes"]
    drawn = np.bincount(out["k"], minlength=20)
    assert (drawn[:10] == 0).all() and abs(drawn[10:] - 50).max() < 4 * np.sqrt(500 * 0.1 * 0.9)
    np.testing.assert_allclose(out["t"], out["k"] * 1e-3, rtol=0, atol=1e-12)
    assert recorded.attrs["map"] == "scaled: rate = max_rate*h, max_rate = 100*Hz"


@pytest.fixture(scope="module")
def intervals():
    """Intervals between spikes at a constant rate, in steps, by refractory period in ms."""
    found = {}
    for refractory in (0, 5):
        options = f":refractory={refractory}*ms" if refractory else ""
        spikes = run([f"units.spikes:max={MAX}*Hz{options}"], CONSTANT, samples=3001, trials=1, rule=FROZEN)
        spikes = spikes.spikes["units"]
        steps, neurons = np.rint(spikes.time.values / DT).astype(int), spikes.neuron.values
        found[refractory] = np.concatenate([np.diff(np.sort(steps[neurons == i])) for i in range(100)])
    return found


@pytest.mark.parametrize("refractory", [0, 5])
def test_intervals_are_exponential(intervals, refractory):
    """In steps: geometric after the refractory period; in time, at this rate, exponential."""
    p, found = DT * MAX / 2, intervals[refractory]
    waited = found - (refractory or 1) + 1  # steps in which there might have been a spike
    assert len(found) > 5000 and waited.min() == 1
    assert abs(waited.mean() - 1 / p) < 4 * np.sqrt(1 - p) / p / np.sqrt(len(found))
    # The variance of a geometric variable is (1 - p)/p^2; the standard error of the estimate follows from its kurtosis.
    variance = (1 - p) / p**2
    error = variance * np.sqrt((8 + p**2 / (1 - p)) / len(found))
    assert abs(waited.var() - variance) < 4 * error
    for multiple in (0.25, 0.5, 1, 2, 3):
        steps = round(multiple / p)
        left, error = np.mean(waited > steps), np.sqrt((1 - p) ** steps / len(found))
        assert abs(left - (1 - p) ** steps) < 4 * error
        assert left == pytest.approx(np.exp(-steps * p), abs=4 * error + 0.02)
    # One interval says nothing of the next.
    assert abs(np.corrcoef(waited[:-1], waited[1:])[0, 1]) < 4 / np.sqrt(len(found))


def test_refractory_period_is_respected(intervals):
    assert intervals[0].min() == 1 and intervals[5].min() == 5


def test_compiled_equals_numpy_and_seeds_decide():
    record = [
        f"units.spikes:max={MAX}*Hz:refractory=3*ms:steps=20-150:trials=0,-1", f"units.spikes:max={MAX}*Hz:phase=test",
        "outputs.spikes:map=rectified:max=20*Hz",
    ]  # fmt: skip
    cpp, numpy, other = (
        run(record, target=target, seed=seed).spikes for target, seed in (("cpp", 1), ("numpy", 1), ("numpy", 2))
    )
    for what in ("units.spikes", "units.spikes_test", "outputs.spikes"):
        for name in ("time", "neuron", "trial"):
            np.testing.assert_array_equal(cpp[what][name], numpy[what][name], err_msg=f"{what} {name}")
        assert cpp[what].attrs == numpy[what].attrs and cpp[what].attrs["seed"] == 1
    spikes = cpp["units.spikes"]
    assert len(spikes.neuron) > 100 and not np.array_equal(other["units.spikes"].neuron[:100], spikes.neuron[:100])
    step = np.rint(spikes.time.values / DT).astype(int) % 199
    assert set(spikes.trial.values) == {0, 4} and step.min() >= 20 and step.max() < 150


@pytest.mark.parametrize("target, rule", [("cpp", RFLO), ("numpy", BPTT)])
def test_spikes_change_nothing(target, rule):
    """Weights, losses and noise are the same to the bit."""
    noisy = replace(LEARNING, sigma=0.2 * second**-0.5)
    record = ["recurrent.w", "readout.w", "units.h:trials=-1"]
    spikes = ["units.spikes:map=rectified:refractory=3*ms", "units.spikes:phase=test:map=rectified"]
    options = {"rule": rule, "samples": 60, "target": target}
    plain, spiking = (run(names, noisy, **options).dataset for names in (record, record + spikes))
    assert spiking["units.spikes"].size > 20 and spiking["units.spikes_test"].size > 0
    for name in plain:
        np.testing.assert_array_equal(spiking[name], plain[name], err_msg=name)


def test_runs_can_be_cut_between_spikes():
    """What is refractory at the end of a segment still is at the beginning of the next."""
    model = rflo.build(LEARNING, periodic(30), record=["units.spikes:max=100*Hz:refractory=20*ms"], target="numpy")
    counts, begin = model.counts(4), model.initial()
    whole = model.simulation.run(begin, counts=counts, seed=3)
    parts, state = [], begin
    for cut in range(model.simulation.length(counts)):
        part = model.simulation.run(state, start=cut, stop=cut + 1, counts=counts, seed=3)
        parts, state = [*parts, part.monitors["units_spikes"]], part.state
    for name, values in whole.monitors["units_spikes"].items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), values, err_msg=name)
    assert len(values) > 50


def test_results_say_what_the_spikes_are():
    found = run(["units.spikes:refractory=2*ms"]).spikes["units"].attrs
    expected = {
        "neurons": 40, "time_step": DT, "refractory": 0.002, "seed": 1,
        "map": "shifted: rate = max_rate*(h + 1)/2, max_rate = 50*Hz",
        "process": "inhomogeneous Poisson, sampled from rates",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_no_spikes_are_a_result():
    assert run(["units.spikes:max=0.001*Hz"], trials=1).spikes["units"].sizes["spike"] == 0


# -- maps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rate, kind",
    [
        (Rate("h", -1, 1), "shifted"), (Rate("h", 0, 1), "scaled"), (Rate("h", -0.5, 0.5), "shifted"),
        (Rate("h"), None), (Rate("h", 0), "rectified"), (Rate("h", 0, 2), "rectified"),
    ],
)  # fmt: skip
def test_the_range_of_a_rate_decides_its_map(rate, kind):
    assert rate.map == kind


@pytest.mark.parametrize(
    "record, dt, message",
    [
        (
            "units.spikes:map=scaled",
            1,
            "map=scaled is not for rates from -1 to 1, between which h lies. Use map=shifted",
        ),
        (
            "outputs.spikes",
            1,
            "outputs.spikes: which map from rate to Hz\\? The model does not say between what y lies",
        ),
        ("units.spikes:max=101*Hz", 1, "max=101\\*Hz is too fast for the time step of 1 ms.* Use at most 100\\*Hz"),
        ("units.spikes", 10, "max=50\\*Hz is too fast for the time step of 10 ms.* at most 10\\*Hz, or a smaller dt"),
        ("units.spikes:refractory=0.5*ms", 1, "refractory=0.5\\*ms is shorter than the time step of 1 ms"),
    ],
)
def test_maps_that_would_be_wrong_are_refused(record, dt, message):
    with pytest.raises(InputError, match=message):
        rflo.build(rflo.Parameters(N=3, dt=dt * ms), periodic(20), record=[record], target="numpy")


def test_the_fastest_spikes_that_a_step_can_hold():
    spikes = run(["units.spikes:max=100*Hz"], CONSTANT, samples=1001, trials=1, rule=FROZEN).spikes["units"]
    number = counts(spikes, 100)
    # In each step a spike with p = 0.05: less variable than a Poisson process by that much.
    fano = number.var(ddof=1) / number.mean()
    assert abs(number.mean() - 50) < 4 * np.sqrt(50 * 0.95 / 100)
    assert abs(fano - 0.95) < 4 * 0.95 * np.sqrt(2 / 99)


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_rates_outside_of_a_map_end_the_run(target):
    message = (
        "units.spikes: map=shifted was given a rate that is not what it is for; use map=rectified, .*: h of 'units'"
    )
    with pytest.raises(InputError, match=f"{message} is -?1.* in trial 0, step .*from -1 to 1"):
        run(["units.spikes"], NOISY, target=target)


def test_rectified_takes_what_a_step_can_hold():
    assert run(["units.spikes:map=rectified:max=5*Hz"], NOISY).spikes["units"].neuron.size > 0
    with pytest.raises(
        InputError, match="more than a step of this length can hold; give a lower max: h of 'units' is 1"
    ):
        run(["units.spikes:map=rectified:max=100*Hz"], NOISY)


def test_spikes_of_linear_outputs_must_be_asked_for():
    found = run(["outputs.y", "outputs.spikes:map=rectified:max=20*Hz"], trials=40)
    p = DT * 20 * np.maximum(found.rates["outputs.y"].values, 0)
    number = found.spikes["outputs"].neuron.size
    assert p.sum() > 10 and abs(number - p.sum()) < 4 * np.sqrt(p.sum())


def test_a_batch_spikes_in_every_copy():
    start("numpy", dt=1 * ms)
    units = Population(3, "h : 1", batch=200, name="units")
    nodes = {"run": [], "end": []}
    add_records(
        [Record("units.spikes", spikes=Spikes(max=100 * Hz))], {"units": units}, nodes, rates={"units": Rate("h", 0, 1)}
    )  # fmt: skip
    loop = Loop("trial", 1, [Phase("run", nodes["run"], 50), Event("end", nodes["end"])])
    state = {"units.h": np.repeat([0, 0.5, 1.0], 200)}
    out = Simulation(Schedule([loop]), namespace={}).run(state, seed=4).monitors["units_spikes"]
    drawn = np.bincount(out["i"] // 200, minlength=3)
    assert drawn[0] == 0 and abs(drawn[1] - 500) < 4 * np.sqrt(475) and abs(drawn[2] - 1000) < 4 * np.sqrt(900)
