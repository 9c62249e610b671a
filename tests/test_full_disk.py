"""A disk that is full: said so, nothing damaged under a final name, and the run goes on to the same bytes.

The limit is a real one of the kernel's on the size of files, which fails a write just as a full disk does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import RECORDED, FakeSimulation

from neuroplast import files
from neuroplast.checkpoints import read_state
from neuroplast.files import DiskFull, Sink, write_json, written_through
from neuroplast.nets import Job, train_many
from neuroplast.traces import Traces
from neuroplast.training import Pace, train

TESTS = Path(__file__).parent
TOY = str(TESTS / "toy_learning.py")
LIMITED = f"""
import os, resource, sys
sys.path.insert(0, {str(TESTS)!r})
from test_full_disk import *
folder, limit, trials = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def limited(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
"""
TRAINED = """
trained(folder.parent / "before", 2)  # what is imported and opened once is not counted
limited(limit)
before = os.listdir("/proc/self/fd")
try:
    trained(folder, trials)
except DiskFull as err:
    limited(resource.RLIM_INFINITY)
    print(err, len(os.listdir("/proc/self/fd")) - len(before), sep="\\n")
"""


def trained(folder, trials, large=0, **options):
    """A training whose state is larger than a segment, if wanted."""
    sim = FakeSimulation(trials)
    sim.initial["net.large"] = np.arange(float(large))
    return train(sim, folder, recorded=RECORDED, pace=Pace(positions=90), **options)


def child(code, *arguments):
    command = [sys.executable, "-c", LIMITED + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def outcome(folder):
    state = {name: array.tobytes() for name, array in read_state(folder).items()}
    return (folder / "results.nc").read_bytes(), state


def left(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("full", "limit", "large", "there"),
    [
        ("segments/0000.nc", 3_000, 0, set()),
        ("checkpoint/state-0000.npz", 100_000, 20_000, {"segments/0000.nc"}),
        ("results.nc", 40_000, 0, {"checkpoint/pointer.json", "checkpoint/state-0009.npz", "segments/0009.nc"}),
    ],
)
def test_a_full_disk_leaves_what_is_whole(tmp_path, full, limit, large, there):
    trials = 300
    code = TRAINED.replace("trained(folder, trials)", f"trained(folder, trials, {large})")
    message, handles = child(code, tmp_path / "run", limit, trials).splitlines()
    assert f"run/{full}: cannot be written (File too large). Free some space and go on with --resume" in message
    assert handles == "0"  # a file that stays open keeps its room
    assert there <= left(tmp_path / "run") and not any(name.endswith(".tmp") for name in left(tmp_path / "run"))
    assert full not in left(tmp_path / "run")
    trained(tmp_path / "run", trials, large, resume=True)
    trained(tmp_path / "whole", trials, large)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_what_was_done_before_the_disk_was_full_can_be_read(tmp_path):
    code = TRAINED.replace("trained(folder, trials)", "trained(folder, trials, resume=True)")
    child(code, tmp_path / "run", 40_000, 300)
    found = Traces.load(tmp_path / "run").metrics.loss
    np.testing.assert_array_equal(found, FakeSimulation(300).run().monitors["score"]["loss"][:, 0])


RUN = """
from neuroplast.progress import Progress
from neuroplast.protocol import run_protocol
from rich.console import Console
limited(limit)
options = {"settings": [f"trials={trials}", "nets=1"], "seed": 5, "quick": True, "target": "numpy", "out": folder}
try:
    run_protocol(TOY, progress=Progress("toy", Console(width=1000)), **options)
except DiskFull as err:
    limited(resource.RLIM_INFINITY)
    print(err)
"""


def test_a_run_on_a_full_disk_can_be_resumed(tmp_path):
    shown = child(RUN, tmp_path / "run", 6_000, 30)
    assert "run/nets/a-0/segments/0000.nc: cannot be written (File too large)" in shown
    assert "The disk is full; what is done is kept in" in shown and "--quick --target numpy --resume" in shown
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "interrupted" and "File too large" in record["error"]
    from neuroplast.protocol import run_protocol

    options = {"settings": ["trials=30", "nets=1"], "seed": 5, "quick": True, "target": "numpy"}
    for folder in ("run", "whole"):
        traces = run_protocol(TOY, out=tmp_path / folder, resume=True, **options)
        assert traces.record["status"] == "done" and "error" not in traces.record
    assert (tmp_path / "run" / "results.nc").read_bytes() == (tmp_path / "whole" / "results.nc").read_bytes()


def test_a_disk_too_full_for_the_record(tmp_path):
    """Not even the status can be written then; the error is the same, and the run can be resumed."""
    code = RUN.replace("limited(limit)\n", "", 1).replace("options =", "record_room(); options =")
    room = """
def record_room():
    from neuroplast.runs import RunFolder
    update = RunFolder.update
    def full(self, **entries):
        limited(limit if entries.get("status") != "interrupted" else 10)
        update(self, **entries)
    RunFolder.update = full
"""
    shown = child(room + code, tmp_path / "run", 6_000, 30)
    assert "nets/a-0/segments/0000.nc: cannot be written (File too large)" in shown
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "running"
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_all_nets_stop_where_one_finds_the_disk_full(tmp_path, monkeypatch):
    replace, jobs = os.replace, []

    def full(source, target):
        if "net-1" in str(target) and "0003.nc" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    for net in range(2):
        jobs.append(Job(f"net-{net}", FakeSimulation(100, sleep=0.001), {"net": net}, net, recorded=RECORDED))
    with pytest.raises(DiskFull, match="net-1/segments/0003.nc: cannot be written .No space left"):
        train_many(jobs, tmp_path, segment_seconds=0.02)
    assert jobs[0].sim.calls[-1][1] < jobs[0].sim.length()


@pytest.mark.parametrize("number", [28, 122, 27])
def test_what_counts_as_full(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files.os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
    with pytest.raises(DiskFull, match=os.strerror(number)):
        with written_through(tmp_path / "x") as sink:
            assert sink.write(b"1234") == 4 and sink.tell() == 4  # the library is told that all is well
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_library_for_want_of_what_was_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull, match="No space left"):
        with written_through(tmp_path / "x") as sink:
            sink.write(b"1234")
            raise RuntimeError("cannot find object")
    with pytest.raises(RuntimeError, match="another"):
        with written_through(tmp_path / "x"):
            raise RuntimeError("another")


def test_a_sink_is_a_file(tmp_path):
    sink = Sink(tmp_path / "x")
    sink.write(b"abcdef")
    sink.seek(2)
    sink.write(b"X")
    sink.seek(-1, 2)
    sink.write(b"Y")
    sink.truncate(8)
    buffer = bytearray(4)
    assert (sink.seek(0), sink.readinto(buffer), sink.seek(1, 1)) == (0, 4, 5)
    sink.check()
    sink.close()
    assert bytes(buffer) == b"abXd" and (tmp_path / "x").read_bytes() == b"abXdeY\0\0"


def test_json_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DiskFull, match="x.json: cannot be written .No space left on device.. Free some space"):
        write_json(tmp_path / "x.json", {})
