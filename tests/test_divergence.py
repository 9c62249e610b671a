"""A run that leaves the finite numbers stops, says which variable, where and when, and keeps what came before."""

import numpy as np
import pytest
from brian2 import StateMonitor, ms

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, start
from neuroplast.errors import DivergedError

STEPS, TRIALS = 40, 4
# In trial 2, a factor of 1e10 in each step: 1e308 is passed in step k = 30, 1e38 in step k = 3.
LAST = {"float64": 30, "float32": 3}


def network(target, dtype="float64"):
    """Numbers that grow in trial 2 where `f` is not one: in synapses, backward in neurons, and in an event."""
    start(target, dtype=dtype, dt=1 * ms)
    A = Population(4, "x : 1\nf : 1\ny : 1\nc : 1\nz : 1", name="A")
    S = DenseSynapses(A, A, "w : 1\ng : 1", name="S")
    grow = S.run_regularly("w *= g**int(trial == 2)", name="grow")
    replay = A.run_regularly("x *= f**int(trial == 2)", name="replay")
    event = A.run_regularly("y = 1/(c - trial)\nz = log(c - 1)", name="event")
    A.x, A.f, A.c, S.w, S.g = 1, 1, 9, 1, 1
    M = StateMonitor(A, ["x", "k", "trial"], record=True, when="end", name="M")
    body = [
        Phase("run", [grow, M], STEPS),
        Event("event", [event, M]),
        Phase("replay", [replay, M], STEPS, clock="hold", direction=-1),
    ]
    return Simulation(Schedule([Loop("trial", TRIALS, body)]), name="net", namespace={})


@pytest.fixture(scope="module", params=["numpy", "cpp"])
def simulation(request):
    return network(request.param).build()


def factors(size, index):
    f = np.ones(size)
    f[index] = 1e10
    return f


def diverge(simulation, state, **kwds):
    with pytest.raises(DivergedError) as caught:
        simulation.run(state, **kwds)
    return caught.value


def test_a_synaptic_variable_in_a_phase(simulation):
    error = diverge(simulation, {"S.g": factors(16, 5)})
    assert (error.variable, error.index, error.where["trial"], error.where["k"]) == ("S.w", 5, 2, 30)
    assert str(error).startswith("S.w[5] is no longer finite in step k = 30 of phase 'run', trial 2 (epoch 0, tick ")
    assert "smaller dt" in str(error)
    assert error.exit_code == 3


def test_what_came_before_is_kept(simulation):
    error = diverge(simulation, {"S.g": factors(16, 5)})
    whole = simulation.run()
    recorded = error.partial.monitors["M"]
    records = 2 * (2 * STEPS + 1) + 31
    for name, values in recorded.items():
        np.testing.assert_array_equal(values, whole.monitors["M"][name][:records], err_msg=name)
    assert recorded["k"][-1, 0] == 30 and recorded["trial"][-1, 0] == 2
    assert error.partial.position == simulation.position("trial", 2) + 1
    finite = np.isfinite(error.partial.state["S.w"])
    assert not finite[5] and finite.sum() == 15


def test_a_neuron_in_a_phase_that_runs_backward(simulation):
    error = diverge(simulation, {"A.f": factors(4, 3)})
    assert (error.variable, error.index, error.where["trial"], error.where["k"]) == ("A.x", 3, 2, STEPS - 1 - 30)
    assert "in step k = 9 of phase 'replay', trial 2" in str(error)


def test_an_event(simulation):
    error = diverge(simulation, {"A.c": [9, 9, 3, 9]})  # 1/0 in trial 3
    assert (error.variable, error.index, error.where["trial"]) == ("A.y", 2, 3)
    assert str(error).startswith("A.y[2] is no longer finite in event 'event', trial 3")
    assert error.partial.position == simulation.position("trial", 3) + 2


def test_a_run_of_many_steps_does_not_go_on(simulation):
    error = diverge(simulation, {"S.g": factors(16, 0)}, counts={"run": 3000, "trial": 3})
    assert error.where["k"] == 30
    assert len(error.partial.monitors["M"]["t"]) == 2 * (3000 + 1 + STEPS) + 31


def test_a_piece_that_is_resumed(simulation):
    half = simulation.run({"S.g": factors(16, 5)}, stop=simulation.position("trial", 2))
    error = diverge(simulation, half.state, start=half.position)
    assert (error.variable, error.where["trial"], error.where["k"]) == ("S.w", 2, 30)
    assert len(error.partial.monitors["M"]["t"]) == 31


def test_the_simulation_runs_again(simulation):
    before = simulation.run().state
    diverge(simulation, {"S.g": factors(16, 5)})
    after = simulation.run().state
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_nan_and_single_precision(target):
    simulation = network(target, "float32")
    error = diverge(simulation, {"S.g": factors(16, 7)})
    assert (error.variable, error.index, error.where["k"]) == ("S.w", 7, LAST["float32"])
    error = diverge(simulation, {"A.c": [9, 0.5, 9, 9]})  # log(-0.5)
    assert (error.variable, error.index, error.where["trial"]) == ("A.z", 1, 0)
    assert np.isnan(error.partial.state["A.z"][1])


@pytest.mark.parametrize("trial", [0, 2, 3])
def test_the_end_of_a_stretch_is_looked_at(simulation, trial):
    """Also where the schedule goes on: the state that is handed back must be finite."""
    # y = 1/(c - trial) is infinite in the event of the trial that c names; that event is the last of the stretch.
    error = diverge(simulation, {"A.c": [9.0, 9.0, float(trial), 9.0]}, stop=3 * trial + 2)
    assert (error.variable, error.index, error.where["trial"]) == ("A.y", 2, trial)
