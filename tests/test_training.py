"""Training in segments: the cuts leave no mark, and neither does being killed at any moment."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from fakes import RECORDED, FakeSimulation
from rich.console import Console as Terminal

from neuroplast import files, training
from neuroplast.checkpoints import Checkpoint
from neuroplast.errors import DivergedError, InputError
from neuroplast.experiment import Run
from neuroplast.labels import Recorded
from neuroplast.nets import Job, train_many
from neuroplast.progress import Progress, duration
from neuroplast.runs import RunFolder
from neuroplast.traces import Traces
from neuroplast.training import Pace, Stopped, train

TESTS = Path(__file__).parent


def outcome(trained):
    """Everything that a training leaves, as bytes."""
    state = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in trained.state.items()}
    return (trained.folder / "results.nc").read_bytes(), state


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return outcome(train(FakeSimulation(), tmp_path_factory.mktemp("unbroken"), seed=3, recorded=RECORDED))


@pytest.mark.parametrize("positions", [1, 5, 12, 36, 1000])
def test_the_cuts_leave_no_mark(tmp_path, unbroken, positions):
    trained = train(FakeSimulation(), tmp_path, seed=3, recorded=RECORDED, pace=Pace(positions=positions))
    assert outcome(trained) == unbroken


def test_a_training_is_one_run_of_the_simulation(tmp_path):
    trained = train(FakeSimulation(), tmp_path, seed=3, recorded=RECORDED)
    direct = FakeSimulation().run(seed=3)
    np.testing.assert_array_equal(trained.dataset.loss, direct.monitors["score"]["loss"][:, 0])
    np.testing.assert_array_equal(trained.dataset.y, direct.monitors["probe"]["y"])
    assert trained.state.keys() == direct.state.keys()
    for name, array in trained.state.items():
        np.testing.assert_array_equal(array, direct.state[name])


def test_seed_state_and_counts_reach_the_simulation(tmp_path, unbroken):
    start = {"net.w": np.full(9, 0.5)}
    trained = train(FakeSimulation(), tmp_path, seed=4, counts={"trial": 2, "run": 3}, state=start, recorded=RECORDED)
    direct = FakeSimulation().run(state=start, seed=4, counts={"trial": 2, "run": 3})
    assert trained.dataset.sizes["sample"] == 6
    np.testing.assert_array_equal(trained.dataset.y, direct.monitors["probe"]["y"])
    assert outcome(trained) != unbroken


def test_nothing_but_results_and_the_last_state_is_left(tmp_path):
    train(FakeSimulation(), tmp_path, recorded=RECORDED, pace=Pace(positions=10))
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["checkpoint/pointer.json", "checkpoint/state-0003.npz", "results.nc"]


class Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("after", [False, True], ids=["before the rename", "after the rename"])
def test_ending_at_any_rename_leaves_no_mark(tmp_path, monkeypatch, unbroken, after):
    rename = os.replace
    for last in range(100):
        left = iter(range(last))

        def dying(source, target, left=left):
            alive = next(left, None) is not None
            if alive or after:
                rename(source, target)
            if not alive:
                raise Killed

        folder = tmp_path / str(last)
        options = {"seed": 3, "recorded": RECORDED, "resume": True}
        monkeypatch.setattr(files.os, "replace", dying)
        try:
            train(FakeSimulation(), folder, pace=Pace(positions=18), **options)
            break
        except Killed:
            monkeypatch.setattr(files.os, "replace", rename)
            assert outcome(train(FakeSimulation(), folder, **options)) == unbroken
    assert last == 2 * 3 + 2  # 2 segments of data, state and pointer; the results and their pointer


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from fakes import RECORDED, FakeSimulation
from neuroplast.nets import Job, train_many
sim = FakeSimulation(12, sleep=0.01)
jobs = [Job(f"net-{{i}}", sim, {{"net": i}}, i, recorded=RECORDED) for i in range(2)]
print("ready", flush=True)
train_many(jobs, {folder!r}, resume=True, segment_seconds=0.05)
print("done", flush=True)
"""


def test_killed_at_random_moments_and_resumed(tmp_path):
    code = CHILD.format(tests=str(TESTS), folder=str(tmp_path / "killed"))
    moments = np.random.default_rng().uniform(0.05, 0.5, size=30) * np.arange(1, 31)
    kills = 0
    for moment in moments:
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout.readline() == "ready\n"
            try:
                child.wait(moment)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                kills += child.wait() == -signal.SIGKILL
            if child.stdout.read() == "done\n":
                break
    assert kills >= 1
    jobs = [Job(f"net-{i}", FakeSimulation(12), {"net": i}, i, recorded=RECORDED) for i in range(2)]
    whole = train_many(jobs, tmp_path / "whole")
    again = train_many(jobs, tmp_path / "killed", resume=True)
    assert [outcome(net) for net in again] == [outcome(net) for net in whole], f"killed at {moments}"
    assert not list((tmp_path / "killed").rglob("*.tmp"))


def test_a_training_is_not_taken_up_unasked(tmp_path):
    train(FakeSimulation(2), tmp_path, recorded=RECORDED)
    with pytest.raises(InputError, match="already holds a training"):
        train(FakeSimulation(2), tmp_path, recorded=RECORDED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed: 0 then, 1 now"),
        ({"counts": {"trial": 3}}, "counts: {} then, {'trial': 3} now"),
        ({"state": {"net.w": np.zeros(9)}}, "fingerprint"),
        ({"coords": {"net": 1}}, "coords"),
    ],
)
def test_another_training_is_not_resumed(tmp_path, change, words):
    train(FakeSimulation(2), tmp_path, recorded=RECORDED)
    with pytest.raises(InputError, match=words):
        train(FakeSimulation(2), tmp_path, recorded=RECORDED, resume=True, **change)


def test_an_ended_training_is_not_run_again(tmp_path):
    before = outcome(train(FakeSimulation(), tmp_path, recorded=RECORDED))
    sim = FakeSimulation()
    assert outcome(train(sim, tmp_path, recorded=RECORDED, resume=True)) == before
    assert sim.calls == []


def test_coordinates_are_plain(tmp_path):
    trained = train(FakeSimulation(2), tmp_path / "a", coords={"T": np.int64(20)}, counts={"run": np.int64(3)})
    assert trained.coords == {"T": 20} and type(trained.coords["T"]) is int
    with pytest.raises(InputError, match="coordinate T should be a number without a unit or a text"):
        train(FakeSimulation(2), tmp_path / "b", coords={"T": [1, 2]})


def test_an_empty_schedule_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to run.*'trial': 0"):
        train(FakeSimulation(), tmp_path, counts={"trial": 0})


def test_an_unknown_source_is_refused_after_the_first_segment(tmp_path):
    sim = FakeSimulation()
    with pytest.raises(InputError, match="no monitor recorded 'score.los'. Recorded were: .*score.loss"):
        train(sim, tmp_path, recorded=[Recorded("loss", "score.los")])
    assert len(sim.calls) == 1


@pytest.mark.parametrize("positions", [4, 100])
def test_what_came_before_a_divergence_is_kept(tmp_path, positions):
    with pytest.raises(DivergedError, match="net.r became NaN") as caught:
        train(FakeSimulation(diverges_at=6), tmp_path, recorded=RECORDED, pace=Pace(positions=positions))
    assert caught.value.where == {"trial": 6}
    loss = Traces.load(tmp_path).metrics.loss
    np.testing.assert_array_equal(loss, FakeSimulation(6).run().monitors["score"]["loss"][:, 0])


def test_a_training_stops_where_it_is_asked_to(tmp_path, unbroken):
    stop = threading.Event()
    sim = FakeSimulation()
    run = sim.run

    def stopping(**options):
        stop.set()
        return run(**options)

    sim.run = stopping
    with pytest.raises(Stopped):
        train(sim, tmp_path, seed=3, recorded=RECORDED, stop=stop, pace=Pace(positions=9))
    assert sim.calls == [(0, 9)]
    assert outcome(train(FakeSimulation(), tmp_path, seed=3, recorded=RECORDED, resume=True)) == unbroken


def test_what_lies_beyond_the_pointer_is_removed(tmp_path):
    stop = threading.Event()
    sim = FakeSimulation()
    run = sim.run

    def stopping(**options):
        if sim.calls:
            stop.set()
        return run(**options)

    sim.run = stopping
    options = {"recorded": RECORDED, "resume": True, "pace": Pace(positions=9), "stop": stop}
    with pytest.raises(Stopped):
        train(sim, tmp_path, **options)
    for name in (
        "segments/0002.nc",
        "segments/0007.nc",
        "checkpoint/state-0002.npz",
        "checkpoint/pointer.json.tmp",
    ):
        (tmp_path / name).write_text("half")
    with pytest.raises(Stopped):
        train(sim, tmp_path, **options)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    kept = {"segments/0000.nc", "segments/0001.nc", "checkpoint/pointer.json", "checkpoint/state-0001.npz"}
    assert left == kept


def test_the_pace_aims_at_its_time():
    pace = Pace(seconds=2.0)
    first = pace.next()
    pace.took(first, 0.001)
    assert first < pace.next() <= 50 * first  # grows, but not by more than the first measurement is worth
    pace.took(1000, 4.0)
    assert pace.next() == 500
    pace.took(1, 60.0)
    assert pace.next() == 1
    assert Pace(positions=7).next() == 7
    for wrong in ({"seconds": 0}, {"positions": 0}, {"most": 0}):
        with pytest.raises(InputError, match="longer than 0"):
            Pace(**wrong)


def test_segments_of_long_runs_are_longer_up_to_a_limit():
    pace = Pace(seconds=2.0)
    for seconds, wanted in ((10, 2), (30, 4), (160, 10), (500, 10)):
        pace.took(100 * seconds, seconds)  # a hundred positions a second
        assert abs(pace.next() - 100 * wanted) <= 1


def test_the_pace_keeps_segments_small():
    pace = Pace(seconds=2.0, most=1000)
    pace.took(10, 0.001, 500)
    assert pace.next() == 20
    pace.took(20, 0.001, 100_000)
    assert pace.next() == 1  # one position is never divided


def test_a_segment_holds_no_more_than_it_should(tmp_path):
    sim = FakeSimulation(trials=40)
    bytes_per_trial = 4 + 8 + 8 + 4 * (3 + 3) * 8  # loss, t, trial; y, t, trial, k of four steps
    train(sim, tmp_path, recorded=RECORDED[:2], pace=Pace(seconds=1000, most=10 * bytes_per_trial))
    lengths = [stop - start for start, stop in sim.calls]
    assert lengths[0] == 4 and max(lengths[1:]) > 15
    for start, stop in sim.calls[2:-1]:  # from the second on the size is known well
        assert 20 <= stop - start <= 40


def test_the_next_stretch_runs_while_a_segment_is_written(tmp_path, monkeypatch, unbroken):
    """The pointer moves when its segment is on disk, and no run is more than one segment ahead."""
    sim, run, written = FakeSimulation(), FakeSimulation.run, training.write_segment
    second = threading.Event()

    def running(**options):
        if options["start"] == 9:
            second.set()
        return run(sim, **options)

    def waiting(folder, number, *arguments):
        if number == 0:
            assert second.wait(10)
            assert not (folder / "checkpoint" / "pointer.json").exists()
        written(folder, number, *arguments)

    sim.run = running
    monkeypatch.setattr(training, "write_segment", waiting)
    assert outcome(train(sim, tmp_path, seed=3, recorded=RECORDED, pace=Pace(positions=9))) == unbroken


def test_a_segment_that_cannot_be_written_ends_the_training(tmp_path, monkeypatch, unbroken):
    sim, written = FakeSimulation(), training.write_segment

    def failing(folder, number, *arguments):
        if number == 1:
            raise InputError("no room")
        written(folder, number, *arguments)

    with monkeypatch.context() as patch, pytest.raises(InputError, match="no room"):
        patch.setattr(training, "write_segment", failing)
        train(sim, tmp_path, seed=3, recorded=RECORDED, pace=Pace(positions=9))
    assert sim.calls == [(0, 9), (9, 18), (18, 27)]
    resumed = FakeSimulation()
    assert outcome(train(resumed, tmp_path, seed=3, recorded=RECORDED, resume=True)) == unbroken
    assert resumed.calls[0][0] == 9


def jobs_for(sim, count=4):
    return [Job(f"net-{i}", sim, {"net": i}, seed=i, recorded=RECORDED) for i in range(count)]


def test_side_by_side_is_the_same_as_one_by_one(tmp_path):
    many = train_many(jobs_for(FakeSimulation()), tmp_path / "many", parallel=3)
    assert [net.coords["net"] for net in many] == [0, 1, 2, 3]
    for net in many:
        alone = tmp_path / f"alone-{net.coords['net']}"
        single = train(FakeSimulation(), alone, seed=net.coords["net"], coords=net.coords, recorded=RECORDED)
        assert outcome(net) == outcome(single)


def test_nets_run_at_the_same_time(tmp_path):
    together = threading.Barrier(3, timeout=10)
    sim = FakeSimulation(2)
    run = sim.run

    def meeting(**options):
        together.wait()  # a deadlock, broken after 10 s, if they ran one after the other
        return run(**options)

    sim.run = meeting
    assert len(train_many(jobs_for(sim, 3), tmp_path, parallel=3)) == 3


def test_ended_nets_are_not_run_again(tmp_path):
    sim = FakeSimulation()
    train_many(jobs_for(sim, 2), tmp_path)
    with pytest.raises(InputError, match="already holds a training"):
        train_many(jobs_for(sim, 3), tmp_path)
    shutil.rmtree(tmp_path / "nets" / "net-2", ignore_errors=True)
    sim.calls.clear()
    train_many(jobs_for(sim, 3), tmp_path, resume=True)
    assert sum(start == 0 for start, _ in sim.calls) == 1


def test_a_net_that_diverges_does_not_stop_the_others(tmp_path):
    good, bad = FakeSimulation(), FakeSimulation(diverges_at=2)
    jobs = [Job("bad", bad, {"net": 0}, recorded=RECORDED), *jobs_for(good, 3)[1:]]
    with pytest.raises(DivergedError, match="1 of 3 nets diverged, first bad: net.r became NaN") as caught:
        train_many(jobs, tmp_path, parallel=1)
    assert caught.value.variable == "net.r"
    loss = Traces.load(tmp_path).metrics.loss
    assert list(loss.count("trial").values) == [2, 12, 12]


def test_nets_that_diverge_can_be_left_out(tmp_path):
    good, bad = FakeSimulation(), FakeSimulation(diverges_at=2)
    good_job, bad_job = jobs_for(good, 2)[1], Job("bad", bad, {"net": 0}, recorded=RECORDED)
    trained = train_many([bad_job, good_job], tmp_path / "run", diverged="omit")
    assert [net.coords for net in trained] == [{"net": 1}]
    again = train_many([bad_job, good_job], tmp_path / "run", diverged="omit", resume=True)
    assert [outcome(net) for net in again] == [outcome(net) for net in trained]
    with pytest.raises(DivergedError, match="1 of 1 nets diverged"):  # nothing would be left
        train_many([bad_job], tmp_path / "none", diverged="omit")
    with pytest.raises(InputError, match="diverged should be 'raise' or 'omit'. Got 'ignore'"):
        train_many([good_job], tmp_path / "other", diverged="ignore")


def test_a_run_keeps_which_nets_were_left_out(tmp_path):
    jobs = [Job(name, FakeSimulation(diverges_at=at), {"net": 0}) for name, at in (("bad", 2), ("good", None))]
    with RunFolder.open(tmp_path / "run", {"protocol": "toy"}) as folder:
        run = Run(folder, 0, "cpp", 2, False, Progress())
        (left,) = run.train_many(jobs, part="search", diverged="omit")
        assert left.folder == tmp_path / "run" / "search" / "nets" / "good"
        run.train_many([jobs[1]])
        assert folder.record["diverged"] == ["bad"]


def begun(sim, calls=1):
    """Wait until a simulation has been called so often."""
    while len(sim.calls) < calls:
        time.sleep(0.001)
    return True


def test_another_error_stops_all_nets(tmp_path):
    broken, slow = FakeSimulation(), FakeSimulation(sleep=0.002)
    broken.run = lambda **options: begun(slow) / 0
    jobs = [Job("slow", slow, {"net": 0}, recorded=RECORDED), Job("broken", broken, {"net": 1})]
    with pytest.raises(ZeroDivisionError):
        train_many(jobs, tmp_path, segment_seconds=0.01)
    assert slow.calls[-1][1] < slow.length()


@pytest.fixture
def interruptible():
    """Python's own answer to SIGINT: a test runner in the background of a shell has been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupted_nets_keep_what_they_have(tmp_path, interruptible):
    sim = FakeSimulation(200, sleep=0.002)
    # Of two nets side by side one then has a segment behind it.
    threading.Thread(target=lambda: begun(sim, calls=4) and os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        train_many(jobs_for(sim), tmp_path, segment_seconds=0.05)
    assert Traces.load(tmp_path).metrics.loss.sizes["trial"] > 0


@pytest.mark.parametrize("label", ["", "a/b", "..", ".hidden", "a b"])
def test_labels_are_file_names(tmp_path, label):
    with pytest.raises(InputError, match="label should be a plain file name"):
        train_many([Job(label, FakeSimulation())], tmp_path)


def test_wrong_jobs_are_refused(tmp_path):
    with pytest.raises(InputError, match="two nets are called 'a'"):
        train_many([Job("a", FakeSimulation()), Job("a", FakeSimulation())], tmp_path)
    with pytest.raises(InputError, match="at least one job"):
        train_many([], tmp_path)


class Console:
    """Keeps what is printed."""

    is_terminal = False

    def __init__(self):
        self.lines = []

    def print(self, text, **options):
        self.lines.append(text)


def test_plain_lines_show_share_metric_and_time_left(tmp_path):
    console = Console()
    with Progress("toy", console) as progress:
        train(FakeSimulation(), tmp_path, recorded=RECORDED, progress=progress, pace=Pace(positions=9))
    first, *_, last = console.lines
    assert first.startswith("toy: 25%, trial 3, loss 0.")
    assert last.startswith("toy: 100%, trial 12, loss 0.") and "left" not in last


def test_time_left_counts_each_group_at_its_own_speed():
    progress = Progress(parallel=2)
    assert progress.seconds_left() is None
    for label, group in (("a", "quick"), ("b", "quick"), ("c", "slow"), ("d", "slow")):
        progress.add(label, 100, group=group)
    progress.advance("a", 10, seconds=0.1)  # too short to tell
    assert progress.seconds_left() is None
    progress.advance("a", 100, seconds=9)
    progress.advance("c", 50, seconds=50)
    # 100 positions of the quick kind at 10 per second, 150 of the slow kind at 1 per second, by two processes
    assert progress.seconds_left() == pytest.approx((10 + 150) / 2)
    assert progress.fraction() == pytest.approx(150 / 400)


def test_resumed_positions_do_not_count_as_fast():
    console = Console()
    progress = Progress("toy", console)
    progress.add("a", 1000, done=900)
    progress.advance("a", 910, seconds=5)
    assert progress.seconds_left() == pytest.approx(45)
    assert console.lines == ["toy: 91%, about 45 s left"]


def test_bars_on_a_terminal(tmp_path):
    terminal = Terminal(file=StringIO(), force_terminal=True, width=120)
    with Progress("toy", terminal) as progress:
        train_many(jobs_for(FakeSimulation(), 2), tmp_path, progress=progress)
    shown = terminal.file.getvalue()
    assert "toy" in shown and "2 of 2 done" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.2, "1 s"), (89, "89 s"), (200, "3 min"), (9000, "2.5 h")],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_checkpoint_has_no_state_before_the_first_segment(tmp_path):
    checkpoint = Checkpoint(tmp_path, {"seed": 0})
    checkpoint.take_up()
    assert checkpoint.state() is None
    assert checkpoint.position == 0
