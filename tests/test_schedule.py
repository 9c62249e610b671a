"""Schedules against Brian2's own clock with gate variables; positions, counts, bad trees."""

import brian2
import numpy as np
import pytest
from brian2 import StateMonitor, ms
from engine_models import DT, Native, numbers

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, start
from neuroplast.errors import InputError

EPOCHS, TRIALS, RUN, REST = 2, 3, 5, 2
TARGETS = ["numpy", "cpp"]


def scheduled(target):
    """Epochs of trials: a reset, a run that learns, a rest that does not, an update at the end of each epoch."""
    start(target, dt=DT)
    A = Population(4, "dh/dt = (-h + tanh(I + x))/(5*ms) : 1\nI : 1\nx : 1", method="euler", order=10, name="A")
    S = DenseSynapses(A, A, "w : 1\ng : 1\nI_post = w*h_pre : 1 (summed)", order={"I_post": 0}, name="S")
    reset = A.run_regularly("h = 0.1*i + 0.01*trial", name="reset")
    drive = A.run_regularly("x = sin(0.5*k) + epoch", when="groups", order=-5, name="drive")
    gradient = S.run_regularly("g += h_pre*h_post/n_steps", order=30, name="gradient")
    update = S.run_regularly("w += 0.05*g\ng = 0", order=0, name="update")
    S.w = numbers("w", (4, 4))
    total = S.summed_updaters["I_post"]
    tree = [
        Loop("epoch", EPOCHS, [
            Loop("trial", TRIALS, [
                Event("begin", [reset]),
                Phase("run", [drive, total, A.state_updater, gradient], RUN),
                Phase("rest", [total, A.state_updater], REST),
            ]),
            Event("end", [update]),
        ]),
    ]  # fmt: skip
    return Simulation(Schedule(tree), namespace={})


def gated(epochs=EPOCHS, trials=TRIALS, run=RUN, rest=REST):
    """The same on Brian2's clock: every object runs in every step, and gates say whether it counts."""
    Native()
    # One step of the clock for each event and each step of a phase.
    program = []
    for epoch in range(epochs):
        for trial in range(trials):
            program.append((epoch, trial, 0, "begin"))
            program += [(epoch, trial, k, "run") for k in range(run)] + [(epoch, trial, k, "rest") for k in range(rest)]
        program.append((epoch, trials - 1, 0, "end"))
    columns = {name: np.array([step[n] for step in program]) for n, name in enumerate(("epoch", "trial", "k"))}
    for name in ("begin", "run", "rest", "end"):
        columns[name] = np.array([float(step[3] == name) for step in program])
    columns["moves"] = columns["run"] + columns["rest"]
    space = {f"{n}_at": brian2.TimedArray(c.astype(float), dt=DT, name=f"gate_{n}") for n, c in columns.items()}
    A = brian2.NeuronGroup(
        4,
        "dh/dt = moves_at(t)*(-h + tanh(I + x))/(5*ms) : 1\nI : 1\nx : 1",
        method="euler",
        order=10,
        namespace=space,
    )
    S = brian2.Synapses(A, A, "w : 1\ng : 1\nI_post = w*h_pre : 1 (summed)", namespace=space)
    S.connect()
    S.summed_updaters["I_post"].order = 0
    S.w = numbers("w", (4, 4)).ravel()
    A.run_regularly("h = h*(1 - begin_at(t)) + begin_at(t)*(0.1*i + 0.01*trial_at(t))", when="groups", order=-9)
    A.run_regularly("x = x*(1 - run_at(t)) + run_at(t)*(sin(0.5*k_at(t)) + epoch_at(t))", when="groups", order=-5)
    S.run_regularly(f"g += run_at(t)*h_pre*h_post/{max(run, 1)}", when="groups", order=30)
    S.run_regularly("w += end_at(t)*0.05*g\ng *= 1 - end_at(t)", when="groups", order=40)
    brian2.Network(A, S).run(len(program) * DT)
    return {"A.h": np.array(A.h), "A.x": np.array(A.x), "S.w": np.array(S.w), "S.g": np.array(S.g)}


@pytest.fixture(scope="module", params=TARGETS)
def simulation(request):
    return scheduled(request.param).build()


@pytest.mark.parametrize(
    "counts",
    [{}, {"epoch": 3, "trial": 1}, {"run": 9, "rest": 1}, {"rest": 0}, {"trial": 4, "run": 1}],
    ids=str,
)
def test_equals_gates_on_brian2s_clock(simulation, counts):
    counts = {"epoch": EPOCHS, "trial": TRIALS, "run": RUN, "rest": REST, **counts}
    truth = gated(*(counts[name] for name in ("epoch", "trial", "run", "rest")))
    state = simulation.run(counts=counts).state
    for name, expected in truth.items():
        np.testing.assert_allclose(state[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_integers_and_time_at_the_end(simulation):
    state = simulation.run().state
    found = {name: int(state[f"schedule.{name}"][0]) for name in ("epoch", "trial", "k", "n_steps", "tick")}
    steps, events = EPOCHS * TRIALS * (RUN + REST), EPOCHS * (TRIALS + 1)
    assert found == {"epoch": EPOCHS - 1, "trial": TRIALS - 1, "k": REST - 1, "n_steps": REST, "tick": steps + events}
    assert state["defaultclock.timestep"][0] == steps
    assert state["defaultclock.t"][0] == pytest.approx(steps * 1e-3)


def test_no_passes_leave_everything_as_it_was(simulation):
    result = simulation.run(counts={"epoch": 0})
    assert result.position == 0
    for name, values in simulation.initial.items():
        np.testing.assert_array_equal(result.state[name], values)


def test_length_and_positions(simulation):
    assert simulation.length() == EPOCHS * (3 * TRIALS + 1)
    assert simulation.length({"trial": 5}) == EPOCHS * 16
    assert [simulation.position("epoch", index) for index in (0, 1, 2)] == [0, 10, 20]
    assert simulation.position("epoch", 1, {"trial": 1}) == 4
    names = [simulation.schedule.leaf(position).name for position in range(simulation.length())]
    assert names == 2 * (3 * ["begin", "run", "rest"] + ["end"])


@pytest.mark.parametrize("target", TARGETS)
def test_direction_and_clock(target):
    """What a monitor sees: k runs down in a phase backward, time stands still where the clock is held."""
    start(target, dt=1 * ms)
    A = Population(1, "x : 1", name="A")
    A.run_regularly("x = t/ms + 100*k", name="see")
    M = StateMonitor(A, ["k", "trial", "x"], record=True, when="end", name="M")
    body = [Phase("forward", [A, M], 3), Phase("backward", [A, M], 3, clock="hold", direction=-1), Event("once", [M])]
    recorded = Simulation(Schedule([Loop("trial", 2, body)]), namespace={}).run().monitors["M"]
    assert recorded["k"].ravel().tolist() == 2 * [0, 1, 2, 2, 1, 0, 0]
    assert recorded["trial"].ravel().tolist() == 7 * [0] + 7 * [1]
    np.testing.assert_allclose(recorded["t"] * 1e3, [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6, 6, 6, 6])
    np.testing.assert_allclose(recorded["x"][:6, 0], [0, 101, 202, 203, 103, 3])


def test_objects_listed_by_name_do_not_come_with_their_group():
    start("numpy", dt=1 * ms)
    A = Population(1, "x : 1\ny : 1", name="A")
    often = A.run_regularly("x += 1", name="often")
    once = A.run_regularly("y += 1", name="once")
    state = Simulation(Schedule([Phase("run", [A], 4), Event("end", [once])]), namespace={}).run().state
    assert (state["A.x"][0], state["A.y"][0]) == (4, 1)
    assert often.name == "often"


def empty(name):
    return Event(name, [])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Phase("run", [], -1), "Phase 'run': steps should be a whole number of at least 0. Got -1"),
        (lambda: Phase("run", [], 1.5), "Phase 'run': steps .* Got 1.5"),
        (lambda: Phase("run", [], "many"), "Phase 'run': steps .* Got 'many'"),
        (lambda: Phase("run", [], True), "Phase 'run': steps .* Got True"),
        (lambda: Phase("run", [], 3, clock="stop"), "Phase 'run': clock should be 'advance' or 'hold'. Got 'stop'"),
        (lambda: Phase("run", [], 3, direction=2), "Phase 'run': direction should be 1 or -1. Got 2"),
        (lambda: Phase("my run", [], 3), "Phase 'my run': the name should be an identifier"),
        (lambda: Phase("run", 7, 3), "Phase 'run': objects should be a list. Got 7"),
        (lambda: Event("end", empty("x")), "Event 'end': objects should be a list"),
        (lambda: Event(3, []), "Event 3: the name should be an identifier"),
        (lambda: Loop("trial", None, []), "Loop 'trial': count .* Got None"),
        (lambda: Loop("trial", 2, empty("x")), "Loop 'trial': body should be a list"),
        (lambda: Loop("2nd", 2, []), "Loop '2nd': the name should be an identifier"),
        (lambda: Loop("day", 2, [], counter="hour"), "Loop 'day': counter should be one of trial, epoch. Got 'hour'"),
        (lambda: Schedule(empty("x")), "Schedule: body should be a list"),
        (lambda: Schedule([3]), "made of Loop, Phase and Event. Got 3"),
        (lambda: Schedule([empty("x"), empty("x")]), "two nodes are called 'x'"),
        (lambda: Schedule([Loop("a", 2, [Loop("trial", 1, [])], counter="trial")]), "both write trial"),
        (lambda: Schedule([Loop("trial", 2, [])]).counts({"trail": 3}), "no loop or phase is called 'trail'.* trial"),
        (lambda: Schedule([Loop("trial", 2, [])]).counts({"trial": -3}), "'trial': the count .* Got -3"),
        (lambda: Schedule([Loop("trial", 2, [])]).position("trail", 0), "no outermost loop is called 'trail'.* trial"),
        (lambda: Schedule([Loop("trial", 2, [])]).position("trial", 3), "loop 'trial' has 2 passes. Got index 3"),
    ],
)
def test_bad_trees_are_refused(make, words):
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3), (0, 21)])
def test_positions_outside_are_refused(simulation, first, last):
    with pytest.raises(InputError, match=f"0 <= start <= stop <= 20. Got {first} and {last}"):
        simulation.run(start=first, stop=last)
