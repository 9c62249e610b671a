"""Trials of several conditions and lengths: phases that last as long as an integer says, rows that integers choose."""

import numpy as np
import pytest
from brian2 import StateMonitor, ms
from engine_models import numbers
from test_tape import SHARE, loss_and_gradient, recurrent
from test_tape import N as NEURONS

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, Tape, start
from neuroplast.errors import DivergedError, InputError

TARGETS = ["numpy", "cpp"]
WAYS = {"numpy": {"target": "numpy"}, "cpp": {"target": "cpp"}, "unfused": {"target": "cpp", "fuse": False}}
# Condition and length of each trial; there are more trials than rows of the plan.
PLAN, TRIALS, LONGEST, N = [(0, 5), (1, 3), (1, 8)], 7, 8, 4
ETA, TAU = 0.05, 10  # ms; steps of 1 ms


def learning(target="cpp", fuse=True):
    """A network that learns online, with the input of the trial's condition for as long as the trial lasts."""
    start(target, dt=1 * ms)
    trials = Population(1, "first : integer\nlength : integer", name="trials")
    R = Population(N, "dh/dt = (-h + tanh(I + x))/(10*ms) : 1\nI : 1\nx : 1", method="euler", order=10, name="R")
    S = DenseSynapses(
        R,
        R,
        """w : 1
        dp/dt = (-p + h_pre*h_post)/(10*ms) : 1 (clock-driven)
        I_post = w*h_pre : 1 (summed)""",
        order={"I_post": 0, "update": 30},
        method="euler",
        name="S",
    )
    learn = S.run_regularly("w += 0.05*h_post*p", order=40, name="learn")
    reset = R.run_regularly("h = 0.1*i", name="reset")
    plan = Tape(trials, ["first", "length"], len(PLAN), name="plan")
    drive = Tape(R, ["x"], 2 * LONGEST, name="drive")  # the inputs of both conditions, one after the other
    plan.first = [LONGEST * condition for condition, _ in PLAN]
    plan.length = [length for _, length in PLAN]
    drive.x = inputs().ravel()
    S.w = numbers("w", (N, N))
    M = StateMonitor(R, ["h", "k", "trial", "n_steps"], record=True, when="end", name="M")
    body = [
        Event("begin", [plan.load(row="trial", cycle=True), reset]),
        Phase(
            "run",
            [drive.load(row=("k", (trials, "first"))), S.summed_updaters["I_post"], R, S.state_updater, learn, M],
            LONGEST,
            length=(trials, "length"),
        ),
        Event("end", []),
    ]
    return Simulation(Schedule([Loop("trial", TRIALS, body)]), namespace={}, fuse=fuse)


def inputs():
    return 2 * numbers("inputs", (2 * LONGEST, N))


def by_hand(plan=PLAN, trials=TRIALS):
    """The same as Euler loops over steps in numpy: rates at the end of each step, weights and traces at the end."""
    w, p, rates, places = numbers("w", (N, N)), np.zeros((N, N)), [], []
    for trial in range(trials):
        condition, length = plan[trial % len(plan)]
        h = 0.1 * np.arange(N)
        for k in range(length):
            h = h + (-h + np.tanh(h @ w + inputs()[LONGEST * condition + k])) / TAU
            p = p + (-p + np.outer(h, h)) / TAU
            w = w + ETA * h * p
            rates.append(h)
            places.append((trial, k, length))
    return np.array(rates), np.array(places), w, p


@pytest.fixture(scope="module", params=WAYS)
def simulation(request):
    return learning(**WAYS[request.param]).build()


def assert_by_hand(result, **kwds):
    rates, places, w, p = by_hand(**kwds)
    recorded = result.monitors["M"]
    np.testing.assert_allclose(recorded["h"], rates, rtol=1e-12, atol=1e-13)
    for column, name in enumerate(("trial", "k", "n_steps")):
        np.testing.assert_array_equal(recorded[name][:, 0], places[:, column], err_msg=name)
    np.testing.assert_allclose(recorded["t"], 1e-3 * np.arange(len(rates)))
    np.testing.assert_allclose(result.state["S.w"].reshape(N, N), w, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(result.state["S.p"].reshape(N, N), p, rtol=1e-12, atol=1e-13)


def test_conditions_and_lengths_equal_loops_by_hand(simulation):
    assert_by_hand(simulation.run())
    assert simulation.length() == 3 * TRIALS


@pytest.mark.parametrize("plan", [[(1, 8), (0, 1), (0, 0)], [(0, 2), (1, 2), (0, 2)]], ids=str)
def test_the_plan_is_part_of_the_state(simulation, plan):
    """Also trials of one step and of none."""
    columns = {"plan.first": [LONGEST * condition for condition, _ in plan], "plan.length": [n for _, n in plan]}
    assert_by_hand(simulation.run(columns, counts={"trial": 5}), plan=plan, trials=5)


@pytest.mark.parametrize("cut", np.random.default_rng(3).integers(1, 3 * TRIALS, 4).tolist())
def test_a_run_that_is_cut_goes_on(simulation, cut):
    whole, part = simulation.run(), simulation.run(stop=cut)
    rest = simulation.run(part.state, start=cut)
    for name, values in whole.state.items():
        assert values.tobytes() == rest.state[name].tobytes(), name
    for name, values in whole.monitors["M"].items():
        np.testing.assert_array_equal(np.concatenate([part.monitors["M"][name], rest.monitors["M"][name]]), values)


def test_the_sweeps_are_fused():
    """Or the tests above would not be about fused sweeps."""
    simulation = learning().build()
    assert "_last = _step == _length - 1" in (simulation._backend.project / "schedule.cpp").read_text()


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ({"counts": {"run": 7}}, "'run': 'length' of 'trials' should be a number of steps from 0 to 7. Got 8; give"),
        ({"state": {"plan.length": [2, -1, 2]}}, "'run': 'length' of 'trials' .* from 0 to 8. Got -1"),
        ({"state": {"plan.first": [12, 0, 0]}}, "drive has 16 rows, 0 to 15. Got row 16; give it more rows"),
        ({"state": {"plan.first": [-1, 0, 0]}}, "drive has 16 rows, 0 to 15. Got row -1"),
    ],
)
def test_lengths_and_rows_that_there_are_not_stop_the_run(simulation, run, words):
    with pytest.raises(InputError, match=words):
        simulation.run(**run)


# -- what says the length ----------------------------------------------------------------------------------------


def lengths(target):
    """A counter, a variable that the steps write, a neuron of several, a shared integer; one phase runs backward."""
    start(target, dt=1 * ms)
    A = Population(1, "n : integer\nx : 1\ny : 1", name="A")
    B = Population(3, "m : integer\ns : integer (shared)", name="B")
    B.m, B.s = [7, 8, 2], 3
    begin = A.run_regularly("n = 4", name="begin")
    shrink = A.run_regularly("n -= 1", name="shrink")
    burst = A.run_regularly("y += 1/(x - k - 10*trial)", name="burst")
    A.x = -1
    # A monitor for each: an object's place in the schedule is that of its records.
    M = {n: StateMonitor(A, ["k", "trial", "n_steps", "n"], record=True, when="end", name=n) for n in "abcde"}
    body = [
        Event("begin", [begin]),
        Phase("counted", [M["a"]], 9, length=(A, "trial")),
        Phase("shrinks", [shrink, M["b"]], 9, length=(A, "n")),
        Phase("none", [M["c"]], 9, length=(A, "n")),
        Phase("part", [M["d"]], 9, length=(B[2:], "m")),
        Phase("back", [burst, M["e"]], 9, clock="hold", direction=-1, length=(B, "s")),
    ]
    return Simulation(Schedule([Loop("trial", 4, body)]), namespace={}).build()


@pytest.fixture(scope="module", params=TARGETS)
def various(request):
    return lengths(request.param)


def test_integers_that_say_the_length(various):
    result = various.run()
    k = {name: recorded["k"].ravel().tolist() for name, recorded in result.monitors.items() if name != "c"}
    assert k == {"a": [0, 0, 1, 0, 1, 2], "b": 4 * [0, 1, 2, 3], "d": 4 * [0, 1], "e": 4 * [2, 1, 0]}
    n_steps = {name: set(recorded["n_steps"].ravel()) for name, recorded in result.monitors.items()}
    assert n_steps == {"a": {1, 2, 3}, "b": {4}, "c": set(), "d": {2}, "e": {3}}
    assert result.monitors["b"]["n"].ravel().tolist() == 4 * [3, 2, 1, 0]
    steps, events = 6 + 4 * (4 + 0 + 2 + 3), 4
    assert result.state["schedule.tick"][0] == steps + events
    assert result.state["defaultclock.timestep"][0] == steps - 4 * 3
    assert result.state["schedule.n_steps"][0] == 3


@pytest.mark.parametrize("s", [3, 9])
def test_where_a_backward_phase_leaves_the_finite_numbers(various, s):
    with pytest.raises(DivergedError, match="A.y.* in step k = 2 of phase 'back', trial 1") as caught:
        various.run({"A.x": 12, "B.s": s})
    records = caught.value.partial.monitors["e"]["k"].ravel().tolist()
    assert records == [*reversed(range(s)), *reversed(range(2, s))]
    assert caught.value.partial.position == various.position("trial", 1) + 6


def group(N=1):
    return Population(N, "m : integer\nx : 1\nb : boolean\nsub = 2 : integer\ns : integer (shared)", name="A")


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (lambda: 3, r"Phase 'run': length should be \(population, 'variable'\). Got 3"),
        (lambda: "m", "length should be .* Got 'm'"),
        (lambda: (group(), 3), r"length should be .* Got \("),
        (lambda: (group(), "m", 0), "length should be "),
        (lambda: (group(), "x"), "length: 'x' should be an integer variable of 'A'. Add for example 'x : integer'"),
        (lambda: (group(), "b"), "length: 'b' should be an integer variable"),
        (lambda: (group(), "sub"), "length: 'sub' should be an integer variable"),
        (lambda: (group(), "many"), "length: 'many' should be an integer variable of 'A'"),
        (lambda: (group(3), "m"), r"length: 'm' of 'A' should be a single integer. Got 3; .*'m : integer \(shared\)'"),
        (lambda: (Population(1, "m : integer", batch=2, name="A"), "m"), "should be a single integer. Got 2"),
    ],
)
def test_what_cannot_say_a_length_is_refused(length, words):
    start("numpy")
    with pytest.raises(InputError, match=words):
        Phase("run", [], 5, length=length())


@pytest.mark.parametrize("target", TARGETS)
def test_a_length_of_an_earlier_simulation_is_refused(target):
    start(target)
    earlier = group()
    start(target)
    with pytest.raises(InputError, match="'run': 'm' of 'A', its length, belongs to an earlier simulation"):
        Simulation(Schedule([Phase("run", [group()], 5, length=(earlier, "m"))]), namespace={}).build()


# -- what says the row -------------------------------------------------------------------------------------------


def rows(target):
    """Rows by each kind of integer and by their sums, in events and in phases; integers stored and read back."""
    start(target, dt=1 * ms)
    A = Population(2, "".join(f"v{n} : 1\n" for n in range(6)) + "x : 1\nc : integer\nd : integer", name="A")
    B = Population(1, "m : integer\ns : integer (shared)", name="B")
    table = Tape(A, ["x"], 6, name="table")
    table.x, B.m, B.s = np.arange(12) ** 2, 2, -7
    loads = [
        table.load({"x": f"v{n}"}, row=row, shift=shift, cycle=cycle, name=f"load{n}")
        for n, (row, shift, cycle) in enumerate([
            ("trial", 1, False),
            ((B, "m"), 0, False),
            (["trial", (B, "m")], 0, False),
            ("tick", 0, True),
            (("trial", (B, "s")), 0, True),
            (("k", "trial", "n_steps"), -3, False),
        ])
    ]  # fmt: skip
    count = A.run_regularly("c = 10*trial + k + i", name="count")
    integers = Tape(A[1:], ["c"], 3, name="integers")
    in_event, in_phase, back = (
        StateMonitor(A, names, record=True, when="end", name=name)
        for name, names in (("in_event", [f"v{n}" for n in range(5)]), ("in_phase", ["v5"]), ("back", ["d"]))
    )
    body = [
        Event("event", [*loads[:5], in_event]),
        Phase("phase", [loads[5], in_phase, count, integers.store(when="groups")], 3),
        Phase("replay", [integers.load({"c": "d"}), back], 3, direction=-1, clock="hold"),
        Event("last", [integers.load({"c": "d"}, row="trial", cycle=True, name="one")]),
    ]
    return Simulation(Schedule([Loop("trial", 4, body)]), namespace={}).build()


@pytest.fixture(scope="module", params=TARGETS)
def tables(request):
    return rows(request.param)


def test_rows_by_each_kind_of_integer(tables):
    result = tables.run()
    table, trial = np.arange(12.0).reshape(6, 2) ** 2, np.arange(4)
    events = result.monitors["in_event"]
    for n, row in enumerate([trial + 1, 0 * trial + 2, trial + 2, (8 * trial) % 6, (trial - 7) % 6]):
        np.testing.assert_array_equal(events[f"v{n}"], table[row], err_msg=f"v{n}")
    steps = (np.arange(3) + trial[:, None]).ravel()  # n_steps - 3 is zero
    np.testing.assert_array_equal(result.monitors["in_phase"]["v5"], table[steps])


def test_integers_are_stored_and_read_back(tables):
    result = tables.run()
    stored = (10 * np.arange(4)[:, None] + np.arange(3)[::-1] + 1).ravel()
    np.testing.assert_array_equal(result.monitors["back"]["d"], np.stack([0 * stored, stored], axis=1))
    assert result.state["A.d"].dtype == np.int32
    assert result.state["A.d"].tolist() == [0, 31]  # row 3 % 3 of what trial 3 has stored


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"B.m": 3}, "table has 6 rows, 0 to 5. Got row 6; give it more rows, or begin again with cycle=True"),
        ({"B.m": -1}, "table has 6 rows, 0 to 5. Got row -1"),
        ({"B.m": 2**31 - 1}, "table has 6 rows, 0 to 5. Got row 2147483647"),
    ],
)
def test_rows_outside_stop_the_run(tables, state, words):
    with pytest.raises(InputError, match=words):
        tables.run(state)


@pytest.mark.parametrize(
    ("kwds", "words"),
    [
        ({"row": "trail"}, "Tape 't': row should be one of epoch, trial, k, .* or a list of these. Got 'trail'"),
        ({"row": 3}, "row should be one of .* Got 3"),
        ({"row": []}, r"row should be one of .* Got \[\]"),
        ({"row": ("k", 3)}, "row should be one of .* Got 3"),
        ({"row": ("k", ("A", "m"))}, r"row should be one of .* Got \('A', 'm'\)"),
        ({"row": "x"}, "row should be one of .* Got 'x'"),
        ({"row": "group x"}, "Tape 't': row: 'x' should be an integer variable of 'A'"),
        ({"row": "group m"}, "Tape 't': row: 'm' of 'A' should be a single integer. Got 2"),
        ({"cycle": True}, "Tape 't': cycle=True needs a row, such as row='trial'"),
    ],
)
def test_rows_that_are_no_integers_are_refused(kwds, words):
    start("numpy")
    A = group(2)
    if str(kwds.get("row")).startswith("group "):
        kwds = {"row": (A, kwds["row"].split()[1])}
    with pytest.raises(InputError, match=words):
        Tape(A, ["x"], 3, name="t").load(**kwds)


@pytest.mark.parametrize("target", TARGETS)
def test_a_row_of_an_earlier_simulation_is_refused(target):
    start(target)
    earlier = group()
    start(target)
    load = Tape(group(), ["x"], 3, name="t").load(row=(earlier, "m"))
    with pytest.raises(InputError, match="'t_load' belongs to an earlier simulation"):
        Simulation(Schedule([Event("event", [load])]), namespace={}).build()


def test_a_row_that_is_written_at_the_same_place_is_refused():
    start("numpy")
    A = group()
    write = A.run_regularly("m = 2", name="write")
    load = Tape(A, ["x"], 3, name="t").load(row=(A, "m"))
    with pytest.raises(InputError, match="'write' and 't_load' both .*A.m"):
        Simulation(Schedule([Event("event", [write, load])]), namespace={}).build()


# -- backpropagation through trials of different lengths ---------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_gradients_of_trials_of_different_lengths(target):
    """Against derivatives by hand, and against a simulation whose phases have each length in turn."""
    start(target, dt=1 * ms)
    fixed = Simulation(Schedule(recurrent()), name="fixed", namespace={}).build()
    start(target, dt=1 * ms)
    trials = Population(1, "length : integer", name="trials")
    plan = Tape(trials, ["length"], 4, name="plan")
    plan.length = [5, 3, 12, 0]
    body = [Event("next", [plan.load(row="trial")]), *recurrent(length=(trials, "length"))]
    simulation = Simulation(Schedule([Loop("trial", 4, body)]), namespace={}).build()
    w = 1.5 * numbers("w", (NEURONS, NEURONS))
    state, h = {}, numbers("h", NEURONS)
    for trial, length in enumerate((5, 3, 12, 0)):
        again = {name: values for name, values in state.items() if name in ("R.h", "R.last", "W.w")}
        alone = fixed.run(again, counts={"run": length, "replay": length}).state
        first, last = simulation.position("trial", trial), simulation.position("trial", trial + 1)
        state = simulation.run(state, start=first, stop=last).state
        np.testing.assert_array_equal(state["W.G"], alone["W.G"])
        np.testing.assert_array_equal(state["R.h"], alone["R.h"])
        gradient = loss_and_gradient(w, length, h)[1]
        np.testing.assert_allclose(state["W.G"].reshape(NEURONS, NEURONS), gradient, rtol=1e-12, atol=1e-13)
        assert gradient.any() == (length > 0)
        for _ in range(length):
            h = (1 - SHARE) * h + SHARE * np.tanh(h @ w)
