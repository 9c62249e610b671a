"""Sweeps of consecutive operations and steps in one: the same results, and only where that is valid."""

import numpy as np
import pytest
from engine_models import NAMESPACE, Dense, numbers

from neuroplast.engine import Event, Loop, Phase, Schedule, Simulation, cpp_backend

STEPS = 4
NEURONS = "dh/dt = (-h + tanh(I))/tau : 1\nf = tanh(h) : 1\nI : 1\nJ : 1\nv : 1"
MODEL = "w : 1\ns : 1 (shared)\ndp/dt = (-p + h_pre*f_post)/tau : 1 (clock-driven)\n"
SUM = "I_post = w*h_pre : 1 (summed)\n"
LEARN = "w += eta*v_post*p"
NEVER = []


def synapses(kit, equations=SUM, order=None, learn=LEARN, learn_at=40, name="S", **kwds):
    """A population that learns: a sum, an ODE of the synapses, a statement."""
    R = kit.groups.get(f"{kit.prefix}R") or kit.population("R", 6, NEURONS, order=10)
    S = kit.synapses(name, R, R, MODEL + equations, order or {"I_post": 0, "update": 30}, **kwds)
    kit.regularly(S, learn, learn_at)
    kit.fill(R, "h", "v")
    kit.fill(S, "w", "p")
    return R, S


def online(kit):
    synapses(kit)


def masked(kit):
    synapses(kit, mask=numbers("mask", (6, 6)) > 0)


def both_ways(kit):
    synapses(kit, SUM + "J_pre = p*f_post : 1 (summed)\n", {"I_post": 0, "J_pre": 1, "update": 30})


def two_objects(kit):
    R, _ = synapses(kit)
    T = kit.synapses("T", R, R, "u : 1\nJ_post = u*h_pre : 1 (summed)", {"J_post": 2})
    kit.regularly(T, "u = 0.9*u + 0.1*h_post", 45)
    kit.fill(T, "u")


def only_statements(kit):
    """Three statements move together; nothing is summed."""
    R = kit.population("R", 6, NEURONS, order=10)
    S = kit.synapses("S", R, R, "w : 1\np : 1")
    kit.regularly(S, "p = h_pre*h_post", 20)
    kit.regularly(S, "a = p*w\nw += 0.1*a", 21)
    kit.regularly(S, "p -= 0.5*w", 25)
    kit.fill(R, "h")
    kit.fill(S, "w")


def sum_reads_step(kit):
    synapses(kit, "I_post = w*h_pre*(k + 1) : 1 (summed)\n")


def sum_reads_time(kit):
    synapses(kit, "I_post = w*h_pre*cos(t/ms) : 1 (summed)\n")


def sum_reads_time_of_neurons(kit):
    kit.population("R", 6, NEURONS + "\ng = h*sin(t/ms) : 1", order=10)
    synapses(kit, "I_post = w*g_pre : 1 (summed)\n")


def neurons_written_between(kit):
    R, _ = synapses(kit)
    kit.regularly(R, "h *= 0.9", 50)


def neurons_written_before_the_sum(kit):
    R, _ = synapses(kit, order={"I_post": 5, "update": 30})
    kit.regularly(R, "h *= 0.9", 2)


def other_sum_written_between(kit):
    """The second sum reads what the first has summed."""
    synapses(kit, SUM + "J_post = p*I_pre : 1 (summed)\n", {"I_post": 0, "J_post": 1, "update": 30})


def weights_written_between(kit):
    """By a statement that also writes neurons, which is no sweep."""
    _, S = synapses(kit)
    kit.regularly(S, "J_post += w\nw *= 0.9", 50)


def sum_after_update(kit):
    synapses(kit, order={"I_post": 50, "update": 30})


def sum_between_updates(kit):
    """The sum stands between the ODE and the statement: it can only wait for the statement."""
    synapses(kit, order={"I_post": 35, "update": 30})


def random_update(kit):
    synapses(kit, learn="w += eta*p*randn()")


def random_sum(kit):
    synapses(kit, "I_post = w*h_pre*rand() : 1 (summed)\n")


def shared_variable_written(kit):
    synapses(kit, learn="s += 0.1\nw += eta*s*p")


def read_between(kit):
    """What the ODE writes is read before the statement."""
    R, S = synapses(kit, SUM + "J_post = p*w : 1 (summed)\n", {"I_post": 0, "J_post": 35, "update": 30})


def same_temporary(kit):
    _, S = synapses(kit, learn="a = eta*p\nw += a*v_post")
    kit.regularly(S, "a = 0.1*w\np -= a", 41)


def temporary_like_a_constant(kit):
    """The statement's own name is a constant elsewhere."""
    _, S = synapses(kit, learn="gain = eta*p\nw += gain*v_post")
    kit.regularly(S, "p -= gain*w", 41)


def temporary_like_a_constant_of_the_sum(kit):
    synapses(kit, "I_post = gain*w*h_pre : 1 (summed)\n", learn="gain = eta*p\nw += gain*v_post")


def temporary_like_a_constant_of_a_subexpression(kit):
    _, S = synapses(kit, SUM + "u = gain*p : 1\n", learn="gain = eta*p\nw += gain*v_post")
    kit.regularly(S, "p -= u*w", 41)


# What must be fused: (operations that sweep together, sums that join them), in the order of the synapses.
CASES = {
    online: [(("update", "at_40"), ("I_post",))],
    masked: [(("update", "at_40"), ("I_post",))],
    both_ways: [(("update", "at_40"), ("I_post", "J_pre"))],
    two_objects: [(("update", "at_40"), ("I_post",)), (("at_45",), ("J_post",))],
    only_statements: [(("at_20", "at_21", "at_25"), ())],
    sum_reads_step: [(("update", "at_40"), ())],
    sum_reads_time: [(("update", "at_40"), ())],
    sum_reads_time_of_neurons: [(("update", "at_40"), ())],
    neurons_written_between: [(("update", "at_40"), ())],
    neurons_written_before_the_sum: [(("update", "at_40"), ())],
    other_sum_written_between: [(("update", "at_40"), ("I_post",))],
    weights_written_between: [(("update", "at_40"), ())],
    sum_after_update: [(("update", "at_40"), ())],
    sum_between_updates: [(("update", "at_40"), ())],
    random_update: NEVER,
    random_sum: [(("update", "at_40"), ())],
    shared_variable_written: NEVER,
    read_between: [(("at_40",), ("I_post",))],
    same_temporary: [(("at_41",), ("I_post",))],
    temporary_like_a_constant: [(("at_41",), ("I_post",))],
    temporary_like_a_constant_of_the_sum: [(("update", "at_40"), ())],
    temporary_like_a_constant_of_a_subexpression: [(("at_41",), ("I_post",))],
}
NAMES = {case.__name__: case for case in CASES}
SOME = [case.__name__ for case in (online, masked, both_ways, two_objects, only_statements)]


def simulation(target, names=tuple(NAMES), **kwds):
    """A phase for each case, twice, so that the steps of one phase do not reach into the next."""
    kit = Dense(target)
    phases = []
    for name, case in ((name, NAMES[name]) for name in names):
        kit.objects = []
        kit.build({name: case})
        phases.append(Phase(name, kit.objects, STEPS))
    return Simulation(Schedule([Loop("trial", 2, [*phases, Event("nothing", [])])]), namespace=NAMESPACE, **kwds)


@pytest.fixture(scope="module")
def fused():
    """The simulation, and for each case what has been fused."""
    made = {name: [] for name in NAMES}

    def spy(synapses, parts, sums, number):
        case, _, _ = synapses.name.rpartition("_")
        done = tuple(part.name.removeprefix(f"{synapses.name}_").replace("stateupdater", "update") for part in parts)
        if made[case] and not made[case][-1][1] and made[case][-1][0] == done:
            made[case].pop()  # the same sweep for the last step, which has no sum to join
        made[case].append((done, tuple(updater.target_varname for updater in sums)))
        return original(synapses, parts, sums, number)

    original = cpp_backend.fused_runner
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpp_backend, "fused_runner", spy)
        return simulation("cpp").build(), made


@pytest.fixture(scope="module")
def states(fused):
    return {
        "fused": fused[0].run(seed=4).state,
        "unfused": simulation("cpp", SOME, fuse=False).run(seed=4).state,
        "numpy": simulation("numpy").run(seed=4).state,
    }


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fused(name, fused):
    assert fused[1][name] == CASES[NAMES[name]]


@pytest.mark.parametrize("name", NAMES)
def test_fused_equals_unfused_and_numpy(name, states):
    compared = [key for key in states["fused"] if key.startswith(f"{name}_")]
    assert compared
    for key in compared:
        expected = states["numpy"][key]
        assert np.isfinite(expected).all()
        for way in ("fused", "unfused") if name in SOME else ("fused",):
            np.testing.assert_allclose(states[way][key], expected, rtol=1e-12, atol=1e-13, err_msg=f"{way} {key}")


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_phases(fused, steps):
    """The first step of a phase, the last one, and one that is both."""
    counts = {"online": steps, "both_ways": steps, "masked": steps}
    state = fused[0].run(counts=counts).state
    expected = simulation("numpy", list(counts)).run(counts=counts).state
    for key in (key for key in expected if key.split("_")[0] in ("online", "both", "masked")):
        np.testing.assert_allclose(state[key], expected[key], rtol=1e-12, atol=1e-13, err_msg=key)


def test_a_change_between_two_phases_is_seen(fused):
    """Weights that change between two runs of a phase: its first sum is taken anew."""
    sim, truth = fused[0], simulation("numpy", ["online"])
    half = sim.run(stop=sim.position("trial", 1))
    state = {**half.state, "online_S.w": 2 * half.state["online_S.w"]}
    found = sim.run(state, start=half.position).state
    known = {key: values for key, values in state.items() if key in truth.build().initial}
    expected = truth.run(known, start=truth.position("trial", 1)).state
    for key in ("online_R.h", "online_S.w", "online_S.p"):
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-12, atol=1e-13, err_msg=key)
