"""Spikes drawn from rates: their statistics against the rates, refractory periods, links, orders, cuts, both targets."""

import brian2
import numpy as np
import pytest
from brian2 import Hz, SpikeMonitor, SpikeSource, linked_var, ms
from scipy import stats

from neuroplast.engine import (
    DenseSynapses,
    Event,
    Loop,
    Phase,
    Population,
    Recorder,
    Schedule,
    Simulation,
    SpikeRecorder,
    check_range,
    start,
)  # fmt: skip
from neuroplast.errors import InputError

TARGETS = ["numpy", "cpp"]
POISSON = "rand() < rate*dt"


def simulate(target, objects, steps=2000, seed=1, trials=1, dt=1 * ms, dtype="float64"):
    """Result of trials of the objects that a function makes."""
    start(target, dt=dt, dtype=dtype)
    tree = [Loop("trial", trials, [Phase("run", objects(), steps)])]
    return Simulation(Schedule(tree), namespace={}).run(seed=seed)


def spiking(N, rate, refractory=False, **kwds):
    """A population of a constant or time-varying rate, and its spikes."""

    def objects():
        S = Population(N, f"rate = {rate} : Hz", threshold=POISSON, refractory=refractory, order=1, name="S", **kwds)
        return [S, SpikeRecorder(S, name="P")]

    return objects


def intervals(spikes, N):
    """Steps between the spikes of a neuron, of all neurons."""
    step = np.round(spikes["t"] / 1e-3).astype(int)
    return np.concatenate([np.diff(step[spikes["i"] == i]) for i in range(N)])


# -- statistics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", TARGETS)
def test_counts_follow_a_rate_that_differs_between_neurons_and_in_time(target, dtype):
    N, steps = 40, 2000
    run = simulate(target, spiking(N, "(10 + i + 30*(1 + sin(0.01*k)))*Hz"), steps, dtype=dtype)
    spikes = run.monitors["P"]
    k, i = np.arange(steps), np.arange(N)
    p = (10 + i[:, None] + 30 * (1 + np.sin(0.01 * k))) * 1e-3  # of a spike in a step
    for axis, found in ((0, np.bincount(spikes["k"], minlength=steps)), (1, np.bincount(spikes["i"], minlength=N))):
        z = (found - p.sum(axis)) / np.sqrt((p * (1 - p)).sum(axis))
        assert abs(z).max() < (4 if axis else 5.5)  # of 40 neurons, and of 2000 steps
        assert abs(z.mean()) < 4 / np.sqrt(len(z)) and abs(z.std() - 1) < 4 / np.sqrt(2 * len(z))
    assert abs(len(spikes["i"]) - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    np.testing.assert_allclose(spikes["t"], spikes["k"] * 1e-3, atol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_intervals_are_geometric(target):
    spikes = simulate(target, spiking(50, "50*Hz"), 4000).monitors["P"]
    found = intervals(spikes, 50)
    assert len(found) > 5000
    # Ten classes of about equal probability of the geometric distribution with p = rate dt.
    edges = np.unique(np.append(stats.geom.ppf(np.linspace(0, 1, 11)[:-1], 0.05), np.inf))
    expected = len(found) * np.diff(stats.geom.cdf(edges, 0.05))
    counts = np.array([((found > low) & (found <= high)).sum() for low, high in zip(edges, edges[1:], strict=False)])
    assert stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 0.001


@pytest.mark.parametrize("target", TARGETS)
def test_rescaled_by_a_rate_that_varies_in_time_intervals_are_exponential(target):
    spikes = simulate(target, spiking(50, "20*(1 + sin(0.02*k))*Hz"), 4000, dt=0.1 * ms).monitors["P"]
    area = np.cumsum(20 * (1 + np.sin(0.02 * np.arange(4000))) * 1e-4)  # the integral of the rate
    found = np.concatenate([np.diff(area[spikes["k"][spikes["i"] == i]]) for i in range(50)])
    # What ends after the last step is not seen: compare with the exponential distribution by its first part alone.
    area, limit = area[-1], 1.0
    first = np.concatenate([[np.inf]])
    assert len(found) > 200 and area > 4 * limit and np.isinf(first).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("target", TARGETS)
def test_the_refractory_period_is_respected_to_the_step(target, dtype):
    spikes = simulate(target, spiking(50, "200*Hz", refractory=5 * ms), 3000, dtype=dtype).monitors["P"]
    found = intervals(spikes, 50)
    assert found.min() == 5
    # Beyond the period intervals are geometric as ever: their mean is 4 + 1/p.
    assert abs(found.mean() - (4 + 5)) < 4 * np.sqrt(0.8 / 0.2**2 / len(found))


# -- the same on both targets, and wherever a run is cut -----------------------------------------------------


def companion(batch=1, order=3):
    """Rates of a noisy network, and a population of as many neurons that turns them into spikes."""
    A = Population(6, "dh/dt = (-h + tanh(I))/(10*ms) : 1\nI : 1", method="euler", order=1, name="A", batch=batch)
    noise = A.run_regularly("I = 2*randn()", order=0, name="noise")
    W = DenseSynapses(A, A, "w : 1", name="W")
    learn = W.run_regularly("w += 0.01*h_pre*h_post", order=2, name="learn") if batch == 1 else noise
    S = Population(
        6, "h : 1 (linked)\nrate = 100*Hz*(1 + h) : Hz", threshold=POISSON, refractory=2 * ms, order=order, name="S",
        batch=batch,
    )  # fmt: skip
    S.h = linked_var(A, "h")
    return [A, noise, learn], [S, SpikeRecorder(S, variables="h", name="P")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 3])
def test_both_targets_draw_the_same_spikes(batch, dtype):
    found = {t: simulate(t, lambda: sum(companion(batch), []), 300, 3, 2, dtype=dtype).monitors["P"] for t in TARGETS}
    assert len(found["cpp"]["i"]) > 100 and found["cpp"]["i"].max() == 6 * batch - 1
    for name in ("i", "t", "trial", "k"):
        np.testing.assert_array_equal(found["cpp"][name], found["numpy"][name], err_msg=name)
    np.testing.assert_allclose(found["cpp"]["h"], found["numpy"]["h"], rtol=1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_a_companion_that_spikes_changes_nothing_else(target):
    alone = simulate(target, lambda: companion()[0], 100, 3, 2)
    spiking = simulate(target, lambda: sum(companion(), []), 100, 3, 2)
    assert set(alone.state) < set(spiking.state) and len(spiking.monitors["P"]["i"]) > 50
    for name, values in alone.state.items():
        np.testing.assert_array_equal(spiking.state[name], values, err_msg=name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_run_cut_anywhere_spikes_the_same(target):
    start(target, dt=1 * ms)
    rates, spikes = companion()
    tree = [Loop("trial", 4, [Phase("run", [*rates, *spikes], 3), Event("rest", [])])]
    simulation = Simulation(Schedule(tree), namespace={}).build()
    whole = simulation.run(seed=2)
    assert len(whole.monitors["P"]["i"]) > 5
    for cut in range(simulation.length() + 1):
        first = simulation.run(stop=cut, seed=2)
        second = simulation.run(first.state, start=cut, seed=2)
        for name, values in whole.monitors["P"].items():
            joined = np.concatenate([first.monitors["P"][name], second.monitors["P"][name]])
            np.testing.assert_array_equal(joined, values, err_msg=f"{name}, cut at {cut}")
        for name, values in whole.state.items():
            np.testing.assert_array_equal(second.state[name], values, err_msg=f"{name}, cut at {cut}")


@pytest.mark.parametrize("target", TARGETS)
def test_steps_and_trials_of_spikes_are_selected(target):
    def objects():
        S = Population(8, "x : 1", threshold="rand() < 0.3", order=1, name="S")
        return [
            S, SpikeRecorder(S, name="all"), SpikeRecorder(S, steps=(2, 5), trials=(-1, 1), name="some"),
            SpikeRecorder(S[2:5], name="part"), SpikeMonitor(S, name="plain"),
        ]  # fmt: skip

    found = simulate(target, objects, 9, trials=5).monitors
    full = found["all"]
    chosen = np.isin(full["trial"], [1, 4]) & (full["k"] >= 2) & (full["k"] < 5)
    part = (full["i"] >= 2) & (full["i"] < 5)
    assert 0 < chosen.sum() < part.sum() < len(full["i"])
    for name, values in full.items():
        np.testing.assert_array_equal(found["some"][name], values[chosen], err_msg=name)
        np.testing.assert_array_equal(found["part"][name], (values - 2 * (name == "i"))[part], err_msg=name)
    np.testing.assert_array_equal(found["plain"]["i"], full["i"])
    np.testing.assert_array_equal(found["plain"]["t"], full["t"])
    np.testing.assert_array_equal(np.round(full["t"] / 1e-3), full["trial"] * 9 + full["k"])


@pytest.mark.parametrize("target", TARGETS)
def test_no_spikes_at_all(target):
    spikes = simulate(target, spiking(3, "0*Hz"), 10).monitors["P"]
    forms = {name: (values.shape, values.dtype) for name, values in spikes.items()}
    number = ((0,), np.dtype(np.int32))
    assert forms == {"t": ((0,), np.dtype(float)), "i": number, "trial": number, "k": number}


@pytest.mark.parametrize("target", TARGETS)
def test_spikes_equal_brian2s(target):
    """A threshold without chance, a refractory period and a reset, compared with Brian2 by itself."""
    text, kwds = "dv/dt = (1.5 + 0.1*i - v)/(10*ms) : 1 (unless refractory)", dict(
        threshold="v > 1", reset="v = 0", refractory=3 * ms, method="exact"
    )  # fmt: skip

    def objects():
        S = Population(5, text, order=1, name="S", **kwds)
        return [S, SpikeRecorder(S, variables=["v"], name="P")]

    found = simulate(target, objects, 200).monitors["P"]
    brian2.set_device("runtime")
    brian2.prefs.codegen.target = "numpy"
    brian2.defaultclock.dt = 1 * ms
    G = brian2.NeuronGroup(5, text, **kwds)
    M = brian2.SpikeMonitor(G, variables=["v"])
    brian2.Network(G, M).run(200 * ms)
    assert isinstance(G, SpikeSource) and len(M.i) > 20
    np.testing.assert_array_equal(found["i"], M.i[:])
    np.testing.assert_allclose(found["t"], M.t_[:], atol=1e-12)
    np.testing.assert_allclose(found["v"], M.v[:], rtol=1e-12)


# -- orders, links, ranges, errors ---------------------------------------------------------------------------


def test_the_order_check_sees_a_linked_variable_and_no_more():
    start("numpy", dt=1 * ms)
    A = Population(3, "h : 1", name="A")
    S = Population(3, "h : 1 (linked)", threshold="rand() < h", order=2, name="S")
    S.h = linked_var(A, "h")
    writes = A.run_regularly("h = 0.5", when="thresholds", order=2, name="writes")
    with pytest.raises(
        InputError, match="'writes' and 'S_spike_thresholder' both have when='thresholds', order=2.* A.h"
    ):
        Simulation(Schedule([Phase("run", [S, writes], 1)]), namespace={}).build()

    start("numpy", dt=1 * ms)
    A = Population(3, "h : 1", name="A")
    S = Population(3, "h : 1 (linked)", threshold="rand() < h", order=2, name="S")
    S.h = linked_var(A, "h")
    reader = Recorder(A, "h", when="thresholds", order=2, name="reader")  # reads what the threshold reads
    Simulation(Schedule([Phase("run", [S, reader], 1)]), namespace={}).build()


def test_a_spiking_companion_keeps_sweeps_fused():
    for with_spikes in (False, True):
        start("cpp", dt=1 * ms)
        A = Population(4, "h : 1\nI : 1", name="A")
        W = DenseSynapses(A, A, "w : 1\nI_post = w*h_pre : 1 (summed)", order={"I_post": 0}, name="W")
        learn = W.run_regularly("w *= 0.9", order=5, name="learn")
        S = Population(4, "h : 1 (linked)", threshold="rand() < h", refractory=2 * ms, order=6, name="S")
        S.h = linked_var(A, "h")
        objects = [W.summed_updaters["I_post"], learn] + [S, SpikeRecorder(S, name="P")] * with_spikes
        simulation = Simulation(Schedule([Phase("run", objects, 3)]), namespace={}).build()
        assert "_take_W_fused_1" in (simulation._backend.project / "schedule.cpp").read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_links_that_lead_nowhere(target):
    start(target, dt=1 * ms)
    old = Population(3, "h : 1", name="A")
    start(target, dt=1 * ms)
    S = Population(3, "h : 1 (linked)", threshold="rand() < h", order=2, name="S")
    tree = Schedule([Phase("run", [S], 1)])
    with pytest.raises(InputError, match=r"'S': 'h' is \(linked\), and to nothing yet. Set S.h = linked_var"):
        Simulation(tree, namespace={}).build()
    with pytest.raises(InputError, match="Population 'S': Cannot link variable 'h' to 'h', the size"):
        S.h = linked_var(Population(4, "h : 1", name="B"), "h")
    start(target, dt=1 * ms)
    S = Population(3, "h : 1 (linked)", threshold="rand() < h", order=2, name="S")
    S.h = linked_var(old, "h")
    with pytest.raises(InputError, match="'S': 'h' is linked to 'h' of an earlier simulation"):
        Simulation(Schedule([Phase("run", [S], 1)]), namespace={}).build()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("sign", "value"), [(1, "1.25"), (-1, "-1.25")])
def test_a_value_that_leaves_its_range_ends_the_run(target, sign, value):
    def objects():
        A = Population(300, "h : 1", name="A")
        A.run_regularly(f"h = {sign}*0.01*(i == 270)*(k + trial*100)", order=1, name="step")
        S = Population(300, "h : 1 (linked)", name="S")
        S.h = linked_var(A, "h")
        return [A, S, check_range(S[10:], "h", -1.2499, 1.2499, 'the "map" is for tanh (ä?)', order=2)]

    simulate(target, objects, 25, trials=2)
    with pytest.raises(InputError) as caught:
        simulate(target, objects, 50, trials=2)
    assert str(caught.value).removeprefix("Simulation 'simulation': ") == (
        f"the \"map\" is for tanh (ä?): h of 'S_subgroup' is {value} at index 260 in trial 1, step 25. It should be from "
        "-1.2499 to 1.2499."
    )


def test_ranges_that_are_none():
    start("numpy", dt=1 * ms)
    A = Population(3, "x : 1\nr : Hz\nq = 2*x : 1", name="A")
    check_range(A, "r", 0 * Hz, float("inf"), "fine")
    for variable, low, high, message in (
        ("x", 1, 1, "low should be below high. Got 1 and 1."),
        ("r", 0 * Hz, 5 * ms, "high should have the units of 'r', hertz. Got 5. . msecond."),
        ("x", float("nan"), 1, "low should be a number. Got nan."),
        ("q", 0, 1, "'q' should be a variable of 'A' with a value for each neuron"),
    ):
        with pytest.raises(InputError, match=f"'A_{variable}_range': {message}"):
            check_range(A, variable, low, high, "never said")


def test_spike_recorders_that_cannot_be_made():
    start("numpy", dt=1 * ms)
    A = Population(3, "x : 1", name="A")
    S = Population(3, "x : 1", threshold="rand() < x", name="S")
    for population, kwds, message in (
        (A, {}, "SpikeRecorder 'P': 'A' emits no spikes. Give it a threshold, such as threshold='rand"),
        (S, {"variables": ["y"]}, "SpikeRecorder 'P': 'S' has no variable 'y'; there are k, trial, x."),
        (S, {"steps": (5, 2)}, "SpikeRecorder 'P': steps should increase"),
        (S, {"trials": "all"}, "SpikeRecorder 'P': trials should be None, for all, or such as"),
    ):
        with pytest.raises(InputError, match=message):
            SpikeRecorder(population, name="P", **kwds)
    P = SpikeRecorder(S, trials=(0,), name="P")
    with pytest.raises(InputError, match=r"SpikeRecorder 'P': trials=\(0,\) counts trials, and no loop around 'run'"):
        Simulation(Schedule([Phase("run", [S, P], 1)]), namespace={}).build()
    with pytest.raises(InputError, match="A schedule runs populations"):
        Simulation(Schedule([Phase("run", [S, brian2.PopulationRateMonitor(S)], 1)]), namespace={}).build()
