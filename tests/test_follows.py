"""Phases that go on counting where another ended, against sequences worked out by hand."""

import numpy as np
import pytest
from brian2 import Hz, ms

from neuroplast.engine import Event, Loop, Phase, Population, Recorder, Schedule, Simulation, SpikeRecorder, Tape, start
from neuroplast.errors import DivergedError, InputError
from neuroplast.labels import Recorded, label
from neuroplast.recording import expected

TARGETS = ["numpy", "cpp"]
CHOICES = {"all": {}, "third": {"every": 3}, "window": {"steps": (2, 5)}, "late": {"steps": (4, 6), "trials": (-1,)}}


def presentation(target):
    """Three phases that are one presentation, with events between them; the first lasts as `n` of the trial says."""
    start(target, dt=1 * ms)
    A = Population(1, "x : 1\nn : integer", name="A")
    begin = A.run_regularly("n = 3 - trial", name="begin")
    other = A.run_regularly("n = 7", name="other")  # what said the length says something else afterwards
    see = A.run_regularly("x = 100*k + n_steps", name="see")
    recorders = [Recorder(A, ["x", "k", "trial", "n_steps"], name=name, **choice) for name, choice in CHOICES.items()]
    late = Recorder(A, ["k"], steps=(5, 9), name="last_phase")
    spiking = Population(2, "y : 1", threshold="i == k % 2", name="spiking", namespace={"max_rate": 500 * Hz})
    spikes = SpikeRecorder(spiking, steps=(1, 4), name="spikes")
    body = [
        Event("begin", [begin]),
        Phase("standard", [see, *recorders, spiking, spikes], 3, length=(A, "n")),
        Event("latch", [other]),
        Phase("between", [see], 2),
        Phase("modulated", [see, *recorders, spiking, spikes], 2, follows="standard"),
        Event("unlatch", [begin]),
        Phase("after", [see, *recorders, late], 2, clock="hold", follows="modulated"),
        Phase("apart", [see], 1),
    ]
    return Simulation(Schedule([Loop("epoch", 2, [Loop("trial", 3, body)])]), namespace={}).build()


def by_hand(choice, counts=(3, 2, 2)):
    """Rows (epoch, trial, k, n_steps) of a recorder in all three phases."""
    rows = []
    for number in range(6):
        epoch, trial = divmod(number, 3)
        lengths = (3 - trial, counts[1], counts[2])
        steps = [n for n in lengths for _ in range(n)]
        for k, n in enumerate(steps):
            first, last = choice.get("steps", (0, 99))
            if first <= k < last and (k + 1) % choice.get("every", 1) == 0:
                rows.append((epoch, trial, k, n))
    if "trials" in choice:
        rows = [row for row in rows if row[:2] == (1, 2)]
    return rows


@pytest.fixture(scope="module", params=TARGETS)
def simulation(request):
    return presentation(request.param)


def test_by_hand(simulation):
    monitors = simulation.run().monitors
    assert monitors["all"]["k"][:7, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]  # 3 steps, then 2, then 2
    assert monitors["all"]["k"][7:13, 0].tolist() == [0, 1, 2, 3, 4, 5]  # 2 steps, then 2, then 2
    assert monitors["all"]["n_steps"][7:13, 0].tolist() == [2, 2, 2, 2, 2, 2]
    assert monitors["all"]["k"][13:18, 0].tolist() == [0, 1, 2, 3, 4]
    assert monitors["all"]["n_steps"][13:18, 0].tolist() == [1, 2, 2, 2, 2]
    assert monitors["third"]["k"].ravel().tolist() == 2 * [2, 5, 2, 5, 2]
    assert monitors["window"]["k"].ravel().tolist() == 2 * [2, 3, 4, 2, 3, 4, 2, 3, 4]
    assert monitors["late"]["k"].ravel().tolist() == [4]
    assert monitors["last_phase"]["k"].ravel().tolist() == 2 * [5, 6, 5]
    # Neuron k % 2 spikes, in the first two phases.
    assert monitors["spikes"]["k"].tolist() == 2 * [1, 2, 3, 1, 2, 3, 1, 2]
    assert monitors["spikes"]["i"].tolist() == 2 * [1, 0, 1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("counts", [{}, {"modulated": 4, "after": 1}, {"modulated": 0, "after": 3}], ids=str)
def test_all_recorders(simulation, name, counts):
    monitors = simulation.run(counts=counts).monitors
    rows = by_hand(CHOICES[name], (3, counts.get("modulated", 2), counts.get("after", 2)))
    _, trial, k, n = np.array(rows, int).reshape(-1, 4).T
    for variable, values in {"k": k, "trial": trial, "n_steps": n, "x": 100 * k + n}.items():
        np.testing.assert_array_equal(monitors[name][variable][:, 0], values, err_msg=variable)


def test_cut_anywhere(simulation):
    whole = simulation.run()
    for cut in range(simulation.length() + 1):
        first = simulation.run(stop=cut)
        second = simulation.run(first.state, start=cut)
        for name, variables in whole.monitors.items():
            for variable, values in variables.items():
                joined = np.concatenate([first.monitors[name][variable], second.monitors[name][variable]])
                np.testing.assert_array_equal(joined, values, err_msg=f"{name}.{variable}, cut at {cut}")
        assert second.state.keys() == whole.state.keys()
        for name, values in whole.state.items():
            np.testing.assert_array_equal(second.state[name], values, err_msg=name)


def test_the_phase_before_counts_as_often_as_it_ran(simulation):
    """Not as often as the run that goes on would have it run."""
    state = simulation.run(stop=4, counts={"standard": 5}).state  # position 4 is `modulated`
    found = simulation.run(state, start=4, stop=5, counts={"standard": 9}).monitors["all"]
    assert found["k"].ravel().tolist() == [3, 4]


@pytest.mark.parametrize(
    "counts", [{}, {"modulated": 4, "after": 1}, {"modulated": 0, "after": 3}, {"trial": 1}], ids=str
)
def test_number_of_records_is_foreseen(simulation, counts):
    monitors = simulation.run(counts=counts).monitors
    found = expected(simulation, counts, {"trial": np.array([3, 2, 1])[: counts.get("trial", 3)]})
    assert {n: len(monitors[n]["k"]) for n in (*CHOICES, "last_phase")} == {
        name: records for name, (records, _) in found.items() if name != "spikes"
    }


def test_one_row_of_times_for_a_trial(simulation):
    arrays = {f"all.{n}": values for n, values in simulation.run(counts={"epoch": 1}).monitors["all"].items()}
    x = label(arrays, [Recorded("x", "all.x", "rates", ("neuron",), along="time", fold="trial", dt=1e-3)]).x
    np.testing.assert_allclose(x.time, 1e-3 * np.arange(1, 8), rtol=1e-12)
    nan = np.nan
    rows = [[3, 103, 203, 302, 402, 502, 602], [2, 102, 202, 302, 402, 502, nan], [1, 102, 202, 302, 402, nan, nan]]
    np.testing.assert_array_equal(x[..., 0], rows)
    # 5, 4 and 3 steps of the presentation, 2 between them, 1 apart; the clock stands still in the last two.
    np.testing.assert_allclose(x.trial_start, 1e-3 * np.array([0, 8, 15]), rtol=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_where_it_leaves_the_finite_numbers(target):
    start(target, dt=1 * ms)
    A = Population(1, "x : 1\ny : 1", name="A")
    A.y = 4
    burst = A.run_regularly("x += 1/(y - k)", name="burst")
    body = [Phase("first", [], 3), Phase("second", [burst], 3, follows="first")]
    with pytest.raises(DivergedError, match="A.x.* in step k = 4 of phase 'second'") as caught:
        Simulation(Schedule([Loop("trial", 2, body)]), namespace={}).run()
    assert caught.value.where["k"] == 4


def test_other_schedules_have_no_more_state_than_before():
    start("numpy", dt=1 * ms)
    A = Population(1, "x : 1", name="A")
    simulation = Simulation(Schedule([Phase("run", [A], 3)]), namespace={}).build()
    assert not [name for name in simulation.variables if "ended" in name]


def first(**kwds):
    return Phase("first", [], 3, **kwds)


def second(follows="first", **kwds):
    return Phase("second", [], 3, follows=follows, **kwds)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda: [second()], "Phase 'second': follows should name a phase that .* there are none. Got 'first'"),
        (lambda: [first(), second("frist")], "there are first. Got 'frist'"),
        (lambda: [first(), second(3)], "there are first. Got 3"),
        (lambda: [first(), second("second")], "there are first. Got 'second'"),
        (lambda: [second(), first()], "there are none. Got 'first'"),
        (lambda: [first(direction=-1), second()], "has direction=1; there are none. Got 'first'"),
        (lambda: [Loop("trial", 2, [first()]), second()], "in the same body .* there are none. Got 'first'"),
        (lambda: [first(), Loop("trial", 2, [second()])], "in the same body .* there are none. Got 'first'"),
        (lambda: [Event("first", []), second()], "there are none. Got 'first'"),
        (lambda: [first(), second(direction=-1)], "'second': follows='first' goes on counting up; .* Got -1"),
    ],
)
def test_what_cannot_be_followed_is_refused(body, words):
    with pytest.raises(InputError, match=words):
        Schedule(body())


def windowed(steps, *phases):
    """A recorder of these steps in some of two phases of 3 and 4 steps."""
    start("numpy", dt=1 * ms)
    A = Population(1, "x : 1", name="A")
    M = Recorder(A, ["x", "k"], steps=steps, name="M")
    listed = [[M] if n in phases else [] for n in ("first", "second")]
    return Simulation(Schedule([Phase("first", listed[0], 3), Phase("second", listed[1], 4, follows="first")]))


def test_steps_that_no_phase_of_the_presentation_has():
    assert windowed((3, 9), "first", "second").run().monitors["M"]["k"].ravel().tolist() == [3, 4, 5, 6]
    assert windowed((0, 2), "first", "second").run().monitors["M"]["k"].ravel().tolist() == [0, 1]
    cases = [
        ((7, 9), ("first", "second"), "begin after the end of phase 'second', which has 4 steps, 3 to 6"),
        ((3, 9), ("first",), "begin after the end of phase 'first', which has 3 steps, 0 to 2"),
        ((0, 3), ("second",), "end before the beginning of phase 'second', which has 4 steps, 3 to 6"),
    ]
    for steps, phases, words in cases:
        simulation = windowed(steps, *phases)
        for ask in (simulation.run, lambda: expected(simulation)):  # noqa: B023
            with pytest.raises(InputError, match=words):
                ask()


def test_steps_where_the_length_varies(simulation):
    with pytest.raises(
        InputError, match=r"'last_phase': steps=\(5, 9\) .* of phase 'after', whose steps lie within 0 to 4"
    ):
        simulation.run(counts={"modulated": 0})


@pytest.mark.parametrize("how", ["store", "load"])
def test_a_tape_of_one_phase_has_no_place_in_one_that_follows(how):
    start("numpy", dt=1 * ms)
    A = Population(1, "x : 1", name="A")
    tape = Tape(A, ["x"], 6, name="tape")
    body = [Phase("first", [A], 3), Phase("second", [getattr(tape, how)()], 3, follows="first")]
    with pytest.raises(InputError, match="Tape 'tape' holds the steps of one phase, and k of phase 'second' goes on"):
        Simulation(Schedule(body), namespace={}).build()


def test_a_table_is_read_through_both_phases():
    start("numpy", dt=1 * ms)
    A = Population(1, "x : 1", name="A")
    table = Tape(A, ["x"], 6, name="table")
    table.x = np.arange(6.0) ** 2
    M = Recorder(A, "x", name="M")
    read = table.load(row="k")
    body = [Phase("first", [read, M], 2), Phase("second", [read, M], 4, follows="first")]
    found = Simulation(Schedule(body), namespace={}).run().monitors["M"]["x"]
    assert found.ravel().tolist() == [0, 1, 4, 9, 16, 25]
