"""Spikes drawn from rates: statistics, refractory periods, links, orders, cuts, both targets."""

import brian2
import numpy as np
import pytest
from brian2 import Hz, SpikeMonitor, SpikeSource, linked_var, ms
from scipy import stats

from neuroplast.engine import (
    DenseSynapses,
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


#: Populations whose statistics are known: (neurons, rate, refractory period).
SPIKING = {
    "varied": (40, "(10 + i + 30*(1 + sin(0.01*k)))*Hz", False),
    "constant": (50, "50*Hz", False),
    "modulated": (50, "20*(1 + 0.9*sin(0.002*k))*Hz", False),
    "refractory": (50, "200*Hz", 5 * ms),
}
STEPS = 4000


def simulate(target, objects, steps=STEPS, seed=1, trials=1, dtype="float64"):
    """Result of trials of the objects that a function makes."""
    start(target, dt=1 * ms, dtype=dtype)
    tree = [Loop("trial", trials, [Phase("run", objects(), steps)])]
    return Simulation(Schedule(tree), namespace={}).run(seed=seed)


@pytest.fixture(scope="module", params=[(t, d) for t in TARGETS for d in ("float64", "float32")], ids="-".join)
def spikes(request):
    """Spikes of each of `SPIKING`."""

    def objects():
        for name, (N, rate, period) in SPIKING.items():
            S = Population(
                N, f"rate = {rate} : Hz", threshold=POISSON, refractory=period, order=1, name=f"{name}_group"
            )
            yield from (S, SpikeRecorder(S, name=name))

    target, dtype = request.param
    return simulate(target, lambda: list(objects()), dtype=dtype).monitors


# -- statistics ----------------------------------------------------------------------------------------------


def test_counts_follow_a_rate_that_differs_between_neurons_and_in_time(spikes):
    N, found = SPIKING["varied"][0], spikes["varied"]
    k, i = np.arange(STEPS), np.arange(N)
    p = (10 + i[:, None] + 30 * (1 + np.sin(0.01 * k))) * 1e-3  # of a spike in a step
    for axis, counts in ((0, np.bincount(found["k"], minlength=STEPS)), (1, np.bincount(found["i"], minlength=N))):
        z = (counts - p.sum(axis)) / np.sqrt((p * (1 - p)).sum(axis))
        assert abs(z).max() < (4 if axis else 5.5)  # of 40 neurons, and of 4000 steps
        assert abs(z.mean()) < 4 / np.sqrt(len(z)) and abs(z.std() - 1) < 4 / np.sqrt(2 * len(z))
    assert abs(len(found["i"]) - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    np.testing.assert_allclose(found["t"], found["k"] * 1e-3, rtol=0, atol=1e-12)


def test_intervals_are_geometric(spikes):
    p, found = 0.05, spikes["constant"]
    # The process has no memory: put end to end, all neurons are one, whose intervals no end of a run cuts.
    found = np.diff(np.sort(found["i"].astype(np.int64) * STEPS + found["k"]))
    edges = np.append(np.unique(np.append(0, stats.geom.ppf(np.linspace(0, 1, 11)[1:-1], p))), np.inf)
    classes = [((found > low) & (found <= high)).sum() for low, high in zip(edges[:-1], edges[1:], strict=True)]
    assert sum(classes) == len(found) > 9000 and len(classes) == 10
    assert stats.chisquare(classes, len(found) * np.diff(stats.geom.cdf(edges, p))).pvalue > 0.01


def test_rescaled_by_a_rate_that_varies_in_time_intervals_are_exponential(spikes):
    found = spikes["modulated"]
    area = np.append(0, np.cumsum(20e-3 * (1 + 0.9 * np.sin(0.002 * np.arange(STEPS)))))  # the integral of the rate
    within = np.random.default_rng(0).uniform(size=len(found["k"]))  # somewhere in the step
    place = np.interp(found["k"] + within, np.arange(STEPS + 1), area)
    rescaled = np.diff(np.sort(found["i"] * area[-1] + place))
    assert len(rescaled) > 3000
    assert stats.kstest(rescaled, "expon").pvalue > 0.01
    # By the clock, without the rate, they are not.
    clock = np.diff(np.sort(found["i"] * STEPS + found["k"] + within))
    assert stats.kstest(clock / clock.mean(), "expon").pvalue < 1e-6


def test_the_refractory_period_is_respected_to_the_step(spikes):
    found = spikes["refractory"]
    intervals = np.concatenate([np.diff(found["k"][found["i"] == i]) for i in range(SPIKING["refractory"][0])])
    assert intervals.min() == 5
    # Beyond the period intervals are geometric as ever: their mean is 4 + 1/p.
    assert abs(intervals.mean() - (4 + 5)) < 4 * np.sqrt(0.8 / 0.2**2 / len(intervals))


# -- the same on both targets, and wherever a run is cut -----------------------------------------------------


def rates(batch=1):
    """A noisy network, and what runs of it."""
    A = Population(6, "dh/dt = (-h + tanh(I))/(10*ms) : 1\nI : 1", method="euler", order=1, name="A", batch=batch)
    objects = [A, A.run_regularly("I = 2*randn()", order=0, name="noise")]
    if batch == 1:
        W = DenseSynapses(A, A, "w : 1", name="W")
        objects.append(W.run_regularly("w += 0.01*h_pre*h_post", order=2, name="learn"))
    return objects


def rates_and_spikes(batch=1):
    """The same, and as many neurons that turn its rates into spikes."""
    objects = rates(batch)
    S = Population(
        6, "h : 1 (linked)\nrate = 100*Hz*(1 + h) : Hz", threshold=POISSON, refractory=2 * ms, order=3, name="S",
        batch=batch,
    )  # fmt: skip
    S.h = linked_var(objects[0], "h")
    return [*objects, S, SpikeRecorder(S, variables="h", name="P")]


@pytest.mark.parametrize(("batch", "dtype"), [(1, "float64"), (1, "float32"), (3, "float64")])
def test_both_targets_draw_the_same_spikes(batch, dtype):
    found = {t: simulate(t, lambda: rates_and_spikes(batch), 300, 3, 2, dtype=dtype).monitors["P"] for t in TARGETS}
    assert len(found["cpp"]["i"]) > 100 and found["cpp"]["i"].max() == 6 * batch - 1
    for name in ("i", "t", "trial", "k"):
        np.testing.assert_array_equal(found["cpp"][name], found["numpy"][name], err_msg=name)
    np.testing.assert_allclose(found["cpp"]["h"], found["numpy"]["h"], atol=1e-12 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_a_companion_that_spikes_changes_nothing_else(target):
    alone = simulate(target, rates, 100, 3, 2)
    spiking = simulate(target, rates_and_spikes, 100, 3, 2)
    assert set(alone.state) < set(spiking.state) and len(spiking.monitors["P"]["i"]) > 50
    for name, values in alone.state.items():
        np.testing.assert_array_equal(spiking.state[name], values, err_msg=name)


@pytest.mark.parametrize("target", TARGETS)
def test_a_run_cut_anywhere_spikes_the_same(target):
    start(target, dt=1 * ms)
    tree = [Loop("trial", 7, [Phase("run", rates_and_spikes(), 3)])]
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
    silent = simulate(target, rates_and_spikes, 0).monitors["P"]
    forms = {name: (values.shape, values.dtype) for name, values in silent.items()}
    real, number = ((0,), np.dtype(float)), ((0,), np.dtype(np.int32))
    assert forms == {"t": real, "h": real, "i": number, "trial": number, "k": number}


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
        InputError, match="'S_spike_thresholder' and 'writes' both have when='thresholds', .* writes A.h"
    ):
        Simulation(Schedule([Phase("run", [S, writes], 1)]), namespace={}).build()

    start("numpy", dt=1 * ms)
    A = Population(3, "h : 1", name="A")
    S = Population(3, "h : 1 (linked)", threshold="rand() < h", order=2, name="S")
    S.h = linked_var(A, "h")
    reader = Recorder(A, "h", when="thresholds", order=2, name="reader")  # reads what the threshold reads
    Simulation(Schedule([Phase("run", [S, reader], 1)]), namespace={}).build()


def test_a_spiking_companion_keeps_sweeps_fused():
    start("cpp", dt=1 * ms)
    A = Population(4, "h : 1\nI : 1", name="A")
    W = DenseSynapses(A, A, "w : 1\nI_post = w*h_pre : 1 (summed)", order={"I_post": 0}, name="W")
    learn = W.run_regularly("w *= 0.9", order=5, name="learn")
    S = Population(4, "h : 1 (linked)", threshold="rand() < h", refractory=2 * ms, order=6, name="S")
    S.h = linked_var(A, "h")
    objects = [W.summed_updaters["I_post"], learn, S, SpikeRecorder(S, name="P")]
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
def test_a_value_that_leaves_its_range_ends_the_run(target):
    start(target, dt=1 * ms)
    A = Population(300, "h : 1\nslope : 1", name="A")
    A.run_regularly("h = slope*int(i == 270)*(k + trial*100)", order=1, name="step")
    S = Population(300, "h : 1 (linked)", name="S")
    S.h = linked_var(A, "h")
    check = check_range(S[10:], "h", -1.2499, 1.2499, 'the "map" is for tanh (ä?)', order=2)
    simulation = Simulation(Schedule([Loop("trial", 2, [Phase("run", [A, check], 50)])]), namespace={})
    simulation.run(state={"A.slope": 0.01}, counts={"run": 25})
    for slope, value in ((0.01, "1.25"), (-0.01, "-1.25")):
        with pytest.raises(InputError) as caught:
            simulation.run(state={"A.slope": slope})
        assert str(caught.value).removeprefix("Simulation 'simulation': ") == (
            f"the \"map\" is for tanh (ä?): h of 'S_subgroup' is {value} at index 260 in trial 1, step 25. It should "
            "be from -1.2499 to 1.2499."
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


def test_what_else_takes_spikes_is_refused():
    start("numpy", dt=1 * ms)
    S = Population(3, "x : 1", threshold="rand() < x", name="S")
    synapses = brian2.Synapses(S, S, "w : 1", on_pre="x_post += w", name="synapses")
    for thing in (brian2.PopulationRateMonitor(S), synapses.pre):
        with pytest.raises(InputError, match=f"A schedule runs populations.*a {type(thing).__name__}"):
            Simulation(Schedule([Phase("run", [S, thing], 1)]), namespace={}).build()
        start("numpy", dt=1 * ms)
