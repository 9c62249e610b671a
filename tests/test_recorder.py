"""What recorders keep, against all records of a plain monitor and closed forms; where it goes; bad selections."""

import mmap
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
from brian2 import StateMonitor, ms
from engine_models import DT

from neuroplast.engine import (
    DenseSynapses,
    Event,
    Loop,
    Phase,
    Population,
    Recorder,
    Schedule,
    Simulation,
    cpp_backend,
    numpy_backend,
    start,
)  # fmt: skip
from neuroplast.errors import DivergedError, InputError

TARGETS = ["numpy", "cpp"]
N, TRIALS, TESTS, STEPS = 5, 6, 3, 7

#: Of the phases and of the event.
CHOICES = {
    "all": {},
    "third": {"every": 3},
    "window": {"steps": (2, 5)},
    "far": {"steps": (4, 100)},
    "ends": {"trials": (0, -1)},
    "beyond": {"trials": (-2, 1, 1)},
    "mixed": {"every": 2, "steps": (1, 6), "trials": (-2, 1, 1)},
}
SNAPSHOTS = {
    "each": {}, "second": {"every": 2}, "chosen": {"trials": [-1, 1]}, "both": {"every": 3, "trials": (2, 5)},
    "late": {"epochs": (-1,)}, "few": {"epochs": (0, 1), "trials": (0, -2)}, "none": {"epochs": (1,), "trials": (0,)},
}  # fmt: skip

EQUATIONS = """
x : 1
y : second
flag : boolean
n : integer
q = 2*x : 1
c : 1 (shared)
"""


def network(target, choices=CHOICES, snapshots=SNAPSHOTS, noise="", **kwds):
    """Neurons that count ticks, in trials and in tests, with a plain monitor and recorders of everything."""
    start(target, dt=DT, **kwds)
    A = Population(N, EQUATIONS, name="A")
    S = DenseSynapses(A, A, "w : 1", name="S")
    count = A.run_regularly(
        f"c = trial\nx = (tick + 1)*(1 + i){noise}\ny = x*second\nflag = x > 20\nn = i + k", name="count"
    )
    learn = S.run_regularly("w = 10*i + j + trial", name="learn")
    names = ["x", "y", "flag", "n", "q", "c", "trial", "k"]
    everything = StateMonitor(A, [*names, "epoch"], record=True, when="end", name="everything")
    phases = [Recorder(A, names, name=name, **choice) for name, choice in choices.items()]
    events = [Recorder(S, ["w", "trial"], name=name, **choice) for name, choice in snapshots.items()]
    tree = [
        Loop("epoch", 2, [
            Loop("trial", TRIALS, [
                Phase("run", [count, everything, *phases], STEPS),
                Event("end", [learn, *events]),
            ]),
        ]),
        Loop("tests", TESTS, [Phase("test", [count, everything, *phases], STEPS, direction=-1)], counter="trial"),
    ]  # fmt: skip
    return Simulation(Schedule(tree), namespace={})


@pytest.fixture(scope="module", params=TARGETS)
def simulation(request):
    return network(request.param).build()


def wanted(choice, k, trial, trials):
    """The definition, in words of its own; trials are counted through all epochs."""
    first, last = choice.get("steps", (0, 10**9))
    chosen = [range(trials)[trial] for trial in choice.get("trials", range(trials))]
    return trial in chosen and (k + 1) % choice.get("every", 1) == 0 and k in range(first, last)


@pytest.mark.parametrize("counts", [{}, {"trial": 9, "run": 11, "tests": 2}], ids=["own", "others"])
def test_a_recorder_keeps_what_was_chosen_of_all_records(simulation, counts):
    monitors = simulation.run(counts=counts).monitors
    full = monitors["everything"]
    lengths = {"trial": TRIALS, "tests": TESTS, **counts}
    learning = len(full["t"]) - lengths["tests"] * STEPS
    for name, choice in CHOICES.items():
        rows = [
            row
            for row, (k, trial, epoch) in enumerate(zip(*(full[n][:, 0] for n in ("k", "trial", "epoch")), strict=True))
            if (
                wanted(choice, k, epoch * lengths["trial"] + trial, 2 * lengths["trial"])
                if row < learning
                else wanted(choice, k, trial, lengths["tests"])
            )
        ]
        assert 0 < len(rows) < len(full["t"]) or name == "all"
        for variable, values in monitors[name].items():
            expected = full[variable][rows]
            if variable in ("trial", "k", "c"):  # shared: once per record
                expected = expected[:, :1]
            np.testing.assert_array_equal(values, expected, err_msg=f"{name}.{variable}")


def test_all_records_are_those_of_the_closed_form(simulation):
    full = simulation.run().monitors["everything"]
    # A tick for each step, and one for the event after each trial.
    tick = np.concatenate([np.arange(STEPS) + (STEPS + 1) * trial for trial in range(2 * TRIALS)])
    tick = np.concatenate([tick, 2 * TRIALS * (STEPS + 1) + np.arange(TESTS * STEPS)])
    x = (tick[:, None] + 1.0) * np.arange(1, N + 1)
    for name, values in {"x": x, "y": x, "q": 2 * x, "flag": x > 20}.items():
        np.testing.assert_array_equal(full[name], values, err_msg=name)
    assert full["flag"].dtype == bool and full["n"].dtype == np.int32
    forward = np.tile(np.arange(STEPS), 2 * TRIALS)
    np.testing.assert_array_equal(full["k"][:, 0], [*forward, *np.tile(np.arange(STEPS)[::-1], TESTS)])


def test_snapshots_in_an_event_count_trials(simulation):
    monitors = simulation.run().monitors
    pairs = 10.0 * np.arange(N)[:, None] + np.arange(N)
    for name, choice in SNAPSHOTS.items():
        chosen = {k: v for k, v in choice.items() if k == "trials"}
        numbers = [t for t in range(2 * TRIALS) if wanted(chosen, 0, t, 2 * TRIALS)]
        epochs = [range(2)[epoch] for epoch in choice.get("epochs", range(2))]
        numbers = [t for t in numbers if (t + 1) % choice.get("every", 1) == 0 and t // TRIALS in epochs]
        trials = [t % TRIALS for t in numbers]
        assert (len(trials) == 0) == (name == "none")
        np.testing.assert_array_equal(monitors[name]["trial"][:, 0], trials, err_msg=name)
        w = pairs.ravel() + np.array(trials)[:, None]
        np.testing.assert_array_equal(monitors[name]["w"], w, err_msg=name)


def test_a_run_cut_anywhere_records_the_same(simulation):
    whole = simulation.run(seed=4)
    for cut in range(simulation.length() + 1):
        first = simulation.run(stop=cut, seed=4)
        second = simulation.run(first.state, start=cut, seed=4)
        for name, variables in whole.monitors.items():
            for variable, values in variables.items():
                joined = np.concatenate([first.monitors[name][variable], second.monitors[name][variable]])
                np.testing.assert_array_equal(joined, values, err_msg=f"{name}.{variable}, cut at {cut}")


@pytest.mark.parametrize("target", TARGETS)
def test_recorders_change_no_result(target):
    noisy = "+ randn() + rand()"
    alone = network(target, {}, {}, noisy).run(seed=5)
    watched = network(target, {"mixed": CHOICES["mixed"]}, {"both": SNAPSHOTS["both"]}, noisy).run(seed=5)
    assert alone.state.keys() == watched.state.keys()
    for name, values in alone.state.items():
        np.testing.assert_array_equal(watched.state[name], values, err_msg=name)
    for name, values in alone.monitors["everything"].items():
        np.testing.assert_array_equal(watched.monitors["everything"][name], values, err_msg=name)


def test_another_selection_is_the_same_program():
    builds = [network("cpp", {"M": choice}, {"W": {}}).build()._backend for choice in CHOICES.values()]
    assert len({backend.binary for backend in builds}) == 1
    assert all(backend.cached for backend in builds[1:])


def test_parts_of_populations_and_synapses_in_single_precision():
    found = {}
    for target in TARGETS:
        start(target, dt=DT, dtype="float32")
        A = Population(6, "x : 1\nz = x**2 : 1", name="A")
        S = DenseSynapses(A[1:4], A, "w : 1\nv = 2*w : 1", name="S")
        A.run_regularly("x += 0.5*i + k", order=1, name="step")
        S.run_regularly("w += i - j", order=2, name="learn")
        recorders = [
            Recorder(A[2:5], ["x", "z"], name="slice"),
            Recorder(A, "x", record=[4, 1], name="two"),
            Recorder(A[1:5], "x", record=[1, 2], name="inner"),
            Recorder(S, ["w", "v", "x_pre", "x_post"], record=range(2, 9), name="pairs"),
        ]
        found[target] = Simulation(Schedule([Phase("run", [A, S, *recorders], 4)]), namespace={}).run().monitors
    x = np.cumsum(np.arange(4.0))[:, None] + 0.5 * np.arange(6) * np.arange(1, 5)[:, None]
    pre, post = (part.ravel()[2:9] for part in np.divmod(np.arange(18), 6))
    w = (pre - post) * np.arange(1.0, 5)[:, None]
    truth = {
        "slice": {"x": x[:, 2:5], "z": x[:, 2:5] ** 2},
        "two": {"x": x[:, [4, 1]]},
        "inner": {"x": x[:, 2:4]},
        "pairs": {"w": w, "v": 2 * w, "x_pre": x[:, 1 + pre], "x_post": x[:, post]},
    }
    for target, monitors in found.items():
        for name, variables in truth.items():
            for variable, values in variables.items():
                assert monitors[name][variable].dtype == np.float32
                np.testing.assert_array_equal(monitors[name][variable], values, err_msg=f"{target} {name}.{variable}")


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_recorded_until_a_divergence_is_kept(target):
    start(target, dt=DT)
    A = Population(2, "x : 1", name="A")
    grow = A.run_regularly("x = x*1e100 + 1", name="grow")
    M = Recorder(A, ["x", "k"], every=2, trials=(0, 1), name="M")
    tree = [Loop("trial", 3, [Phase("run", [grow, M], 3)])]
    with pytest.raises(DivergedError) as caught:
        Simulation(Schedule(tree), namespace={}).run()
    assert (caught.value.where["trial"], caught.value.where["k"]) == (1, 1)
    kept = caught.value.partial.monitors["M"]
    np.testing.assert_array_equal(kept["k"][:, 0], [1, 1])
    assert kept["x"][0, 0] == 1e100 and np.isinf(kept["x"][1]).all()


# -- memory and disk -----------------------------------------------------------------------------------------


def long_run(target, steps, neurons=1000):
    """A phase whose recording is `steps` times 8 kB."""
    start(target, dt=DT)
    A = Population(neurons, "x : 1", name="A")
    A.run_regularly("x = i + k", name="step")
    return Simulation(Schedule([Phase("run", [A, Recorder(A, "x", name="M")], steps)]), namespace={}).build()


@pytest.mark.parametrize("target", TARGETS)
def test_a_long_recording_is_a_map_that_outlives_its_file(target):
    simulation = long_run(target, 200)
    x = simulation.run().monitors["M"]["x"]
    folder = Path(simulation._backend.project if target == "cpp" else simulation._backend.folder.name)
    assert folder.exists() and not list(folder.rglob("M.x")) and not x.flags.writeable
    pages = x
    while isinstance(pages, np.ndarray):
        assert not isinstance(pages, np.memmap)  # which joblib would look for by the name of its file
        pages = pages.base
    assert isinstance(getattr(pages, "obj", pages), mmap.mmap)
    del simulation
    np.testing.assert_array_equal(x, np.arange(1000) + np.arange(200.0)[:, None])
    short = long_run(target, 1).run().monitors["M"]["x"]
    assert not short.flags.writeable and short.shape == (1, 1000)
    assert long_run(target, 0).run().monitors["M"]["x"].shape == (0, 1000)


def test_the_program_does_not_hold_what_it_records(monkeypatch):
    room, steps = 24 << 20, 6000  # bytes of data that the program may allocate; it records twice as much
    simulation = long_run("cpp", steps)
    run = subprocess.run

    def limited(*args, **kwds):
        return run(*args, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (room, room)), **kwds)

    monkeypatch.setattr(cpp_backend.subprocess, "run", limited)
    x = simulation.run().monitors["M"]["x"]
    assert x.nbytes == steps * 8000 >= 1.9 * room
    np.testing.assert_array_equal(x[-1], np.arange(1000) + steps - 1.0)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("steps", [3, 60])  # less and more than a buffer: it shows at the end, or on the way
def test_a_full_disk(target, steps, monkeypatch):
    simulation = long_run(target, steps)
    run, streams = subprocess.run, numpy_backend.Streams

    def fill(folder):
        (Path(folder) / "M.x").symlink_to("/dev/full")  # which answers as a full disk does

    def filled_run(command, **kwds):
        fill(command[command.index("--out") + 1])
        return run(command, **kwds)

    def filled_streams(folder, monitors):
        fill(folder)
        return streams(folder, monitors)

    with monkeypatch.context() as patch:
        patch.setattr(cpp_backend.subprocess, "run", filled_run)
        patch.setattr(numpy_backend, "Streams", filled_streams)
        with pytest.raises(InputError, match=r"cannot write \S*M.x: No space left on device. Free some space, or set"):
            simulation.run()
    np.testing.assert_array_equal(simulation.run().monitors["M"]["x"][-1], np.arange(1000) + steps - 1.0)


# -- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwds", "message"),
    [
        ({"every": 0}, "Recorder 'M': every should be a whole number of at least 1. Got 0."),
        ({"every": 1.5}, "Recorder 'M': every should be a whole number of at least 1. Got 1.5."),
        ({"steps": (3, 3)}, r"Recorder 'M': steps should increase, as in steps=\(0, 100\). Got \(3, 3\)."),
        ({"steps": (-1, 3)}, "Recorder 'M': each of steps should be a whole number of at least 0. Got -1."),
        ({"steps": 4}, r"Recorder 'M': steps should be \(first, last \+ 1\). Got 4."),
        ({"trials": ()}, r"Recorder 'M': trials should be None, for all, or such as \(0, -1\). Got \(\)."),
        ({"trials": 3}, r"Recorder 'M': trials should be None, for all, or such as \(0, -1\). Got 3."),
        ({"trials": (1, 2.5)}, "Recorder 'M': each of trials should be an integer. Got 2.5."),
        ({"variables": ["x", "typo"]}, "Recorder 'M': 'A' has no variable 'typo'; there are k, trial, x."),
        ({"variables": []}, "Recorder 'M': no variables to record; there are k, trial, x."),
        ({"variables": 3}, "Recorder 'M': variables should be a name or a list of names. Got 3."),
        ({"record": [1, 9]}, r"Recorder 'M': .* outside of the range \[0, 2\] allowed for the group 'A'."),
    ],
)
def test_a_recorder_that_cannot_be_made(kwds, message):
    start("numpy", dt=DT)
    A = Population(3, "x : 1", name="A")
    with pytest.raises(InputError, match=message):
        Recorder(A, **{"variables": "x", "name": "M", **kwds})


def scheduled(tree, **kwds):
    """A simulation of a tree that is made of a recorder."""
    start("numpy", dt=DT)
    A = Population(3, "x : 1", name="A")
    return Simulation(Schedule(tree(Recorder(A, "x", name="M", **kwds))), namespace={})


@pytest.mark.parametrize(
    ("tree", "kwds", "message"),
    [
        (
            lambda M: [Phase("run", [M], 3)],
            {"trials": (0,)},
            r"M': trials=\(0,\) counts trials, and no loop",
        ),
        (lambda M: [Loop("again", 2, [Event("end", [M])])], {"every": 2}, "M': every=2 counts trials, and no loop aro"),
        (
            lambda M: [Loop("epoch", 2, [Event("end", [M])])],
            {"trials": (0,)},
            r"M': trials=\(0,\) counts trials, and no loop",
        ),
        (lambda M: [Loop("trial", 2, [Event("end", [M])])], {"epochs": (0,)}, r"M': epochs=\(0,\) counts epochs, and"),
        (lambda M: [Event("end", [M])], {"steps": (0, 2)}, r"M': steps=\(0, 2\) count within a phase, and 'end' is an"),
    ],
)
def test_a_selection_without_meaning_in_a_node(tree, kwds, message):
    with pytest.raises(InputError, match=message):
        scheduled(tree, **kwds).build()


def test_trials_and_steps_that_a_run_has_not_got():
    def tree(M):
        return [Loop("trial", 4, [Loop("again", 2, [Phase("run", [M], 3)])])]

    simulation = scheduled(tree, trials=(1, -4), steps=(2, 9))
    assert len(simulation.run().monitors["M"]["x"]) == 4
    with pytest.raises(InputError, match=r"M': loop 'trial' has 2 trials, 0 to 1 \(or -2 to -1, .*\). Got -4"):
        simulation.run(counts={"trial": 2})
    with pytest.raises(InputError, match=r"M': steps=\(2, 9\) begin after the end of phase 'run', which has 2 steps"):
        simulation.run(counts={"run": 2})
    assert len(simulation.run(counts={"trial": 0}).monitors["M"]["x"]) == 0


@pytest.mark.parametrize("target", TARGETS)
def test_snapshots_after_epochs_count_epochs(target):
    start(target, dt=DT)
    A = Population(2, "x : 1", name="A")
    count = A.run_regularly("x = 10*epoch + trial", name="count")
    chosen = {"third": {"every": 3}, "last": {"epochs": (-1, 0)}}
    found = [Recorder(A, "x", name=name, **choice) for name, choice in chosen.items()]
    tree = [Loop("epoch", 7, [Loop("trial", 2, [Phase("run", [count], 2)]), Event("after", found)])]
    simulation = Simulation(Schedule(tree), namespace={})
    monitors = simulation.run().monitors
    np.testing.assert_array_equal(monitors["third"]["x"][:, 0], [21, 51])
    np.testing.assert_array_equal(monitors["last"]["x"][:, 0], [1, 61])
    with pytest.raises(InputError, match=r"M': loop 'epoch' has 1 epochs, 0 to 0 .* Got 1"):
        scheduled(lambda M: [Loop("epoch", 1, [Event("end", [M])])], epochs=(1,)).run()


def test_a_recorder_listed_before_what_it_reads_is_refused():
    start("numpy", dt=1 * ms)
    A = Population(3, "x : 1", name="A")
    step = A.run_regularly("x += 1", when="end", name="step")
    with pytest.raises(InputError, match="'step' and 'M' both have when='end', order=0, and one writes A.x"):
        Simulation(Schedule([Phase("run", [step, Recorder(A, "x", name="M")], 3)]), namespace={}).build()
