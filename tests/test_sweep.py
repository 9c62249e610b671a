"""Sweeps on this machine: every point once, one dataset, resumable, and what goes wrong said in words."""

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console
from typer.testing import CliRunner

from neuroplast.cli import app
from neuroplast.errors import InputError
from neuroplast.progress import Progress
from neuroplast.protocol import run_protocol
from neuroplast.sweep import run_sweep
from neuroplast.sweep_results import print_sweep

TESTS = Path(__file__).parent
TOY = str(TESTS / "toy_learning.py")
SMALL = {"quick": True, "target": "numpy"}
SETTINGS = ["trials=4,6", "diverges_at=-1,4"]  # with 4 trials, the trial 4 is never reached


def read(folder):
    return json.loads((folder / "sweep.json").read_text())


def events(lines):
    return [json.loads(line) for line in lines.getvalue().splitlines()]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A sweep of two parameters and two seeds, one of whose four cases diverges; and what it said, line by line."""
    out, lines = tmp_path_factory.mktemp("sweeps") / "toy", StringIO()
    sweep = run_sweep(
        TOY, settings=SETTINGS, seeds=2, out=out, jobs=2, progress=Progress("toy_learning", lines=lines), **SMALL
    )
    return sweep, events(lines)


def test_every_point_is_a_run_of_its_own(done, tmp_path):
    sweep, _ = done
    names = {f"trials={n}_diverges_at={at}_seed={seed}" for n in (4, 6) for at in (-1, 4) for seed in (0, 1)}
    assert {path.name for path in sweep.folder.iterdir()} == names | {"sweep.json", "sweep.nc"}
    run_protocol(TOY, settings=["trials=6"], seed=1, out=tmp_path / "alone", **SMALL)
    point = sweep.folder / "trials=6_diverges_at=-1_seed=1"
    assert (point / "results.nc").read_bytes() == (tmp_path / "alone" / "results.nc").read_bytes()
    assert json.loads((point / "run.json").read_text())["seed"] == 1


def test_the_results_are_labelled_by_values_and_seed(done):
    sweep, _ = done
    with xr.open_dataset(sweep.folder / "sweep.nc", engine="h5netcdf") as found:
        assert found.loss.sizes == {"trials": 2, "diverges_at": 2, "seed": 2, "rule": 2, "net": 2, "trial": 6}
        assert found.trials.values.tolist() == [4, 6] and found.seed.values.tolist() == [0, 1]
        with xr.open_dataset(sweep.folder / "trials=4_diverges_at=4_seed=1/results.nc", engine="h5netcdf") as one:
            here = found.loss.sel(trials=4, diverges_at=4, seed=1)
            np.testing.assert_array_equal(here.isel(trial=slice(4)), one.loss)
        assert here.isel(trial=slice(4, None)).isnull().all()  # the longer trials of others
        # Whole numbers, too: the last sample of a longer run is of no trial here.
        last = found.sample_trial.isel(sample=-1)
        assert last.sel(trials=4).isnull() and last.sel(trials=6) == 5
        assert found.loss.sel(trials=6, diverges_at=4).isnull().all()  # diverged
        assert found.loss.sel(trials=6, diverges_at=-1).notnull().all()


def test_a_point_that_diverges_does_not_stop_the_others(done):
    sweep, said = done
    assert sweep.exit_code == 3
    status = {name: point["status"] for name, point in read(sweep.folder)["points"].items()}
    assert {name for name, ended in status.items() if ended == "diverged"} == {
        f"trials=6_diverges_at=4_seed={seed}" for seed in (0, 1)
    }
    assert sorted(status.values()).count("done") == 6
    ends = [event for event in said if event["event"] == "point"]
    assert {event["task"]: event["status"] for event in ends} == status and len(ends) == 8
    assert all("net.r became NaN" in event["reason"] for event in ends if event["status"] == "diverged")


def test_progress_is_told_as_json_lines(done):
    _, said = done
    progress = [event for event in said if event["event"] == "progress"]
    assert {event["metric"] for event in progress} == {"loss", None}
    assert all(event["tasks"] == 8 and 0 <= event["fraction"] <= 1 for event in progress)
    assert progress[-1]["fraction"] == 1 and progress[-1]["done"] == 8
    assert said[-1] == {
        "event": "end",
        "protocol": "toy_learning",
        "status": "incomplete",
        "folder": str(done[0].folder),
    }


def test_the_tables_at_the_end(done):
    console = Console(file=StringIO(), width=200)
    print_sweep(done[0], console)
    shown = console.file.getvalue()
    for words in (
        "trials=6, diverges_at=-1",
        "2 of 2",
        "0 of 2",
        "not run",
        "net.r became NaN",
        "sweep.nc",
        "loss falls",
    ):
        assert words in shown


def test_a_second_start_runs_what_is_missing_only(done, tmp_path):
    out, lines = tmp_path / "toy", StringIO()
    options = {"out": out, "jobs": 1, **SMALL}
    run_sweep(TOY, settings=["trials=4"], seeds=1, **options)
    first = (out / "trials=4_seed=0" / "run.json").read_bytes()
    run_sweep(TOY, settings=["trials=4,6"], seeds=2, progress=Progress("toy", lines=lines), **options)
    ran = {event["task"] for event in events(lines) if event["event"] == "point"}
    assert ran == {"trials=4_seed=1", "trials=6_seed=0", "trials=6_seed=1"}
    assert (out / "trials=4_seed=0" / "run.json").read_bytes() == first
    assert any("1 of 4 points are there already" in event.get("text", "") for event in events(lines))
    with xr.open_dataset(out / "sweep.nc", engine="h5netcdf") as found:
        assert found.loss.sizes["trials"] == 2 and found.loss.sizes["seed"] == 2
    with pytest.raises(InputError) as caught:
        run_sweep(TOY, settings=["tau=5*ms"], seeds=2, **options)
    assert "holds another sweep" in str(caught.value) and "swept: trials then, tau now" in str(caught.value)
    assert "trials: absent then, 10 now" in str(caught.value)


def test_a_point_that_fails_is_run_again_next_time(tmp_path):
    path, out = tmp_path / "toy.py", tmp_path / "sweep"
    path.write_text(Path(TOY).read_text().replace("run.note(", "1 / (run.seed - 1)\n    run.note("))
    (tmp_path / "fakes.py").write_text((TESTS / "fakes.py").read_text())
    sweep = run_sweep(str(path), seeds=2, out=out, jobs=1, **SMALL)
    assert sweep.exit_code == 1
    point = read(out)["points"]["seed=1"]
    assert point["status"] == "failed" and point["error"] == "ZeroDivisionError: division by zero"
    assert "in experiment" in point["traceback"]
    path.write_text(Path(TOY).read_text())
    lines = StringIO()
    assert run_sweep(str(path), seeds=2, out=out, jobs=1, progress=Progress("toy", lines=lines), **SMALL).exit_code == 0
    assert [event["task"] for event in events(lines) if event["event"] == "point"] == ["seed=1"]
    assert any("has changed since this sweep began" in event.get("text", "") for event in events(lines))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "teu=1,2"], "did you mean tau?"),
        (["--set", "tau=3*mV,2*ms"], "units of s"),
        (["--set", "tau=3*ms,"], "a value is empty"),
        (["--set", "tau="], "a value is empty"),
        (["--set", "tau"], "should be key=value"),
        (["--set", "tau=3*ms,0.003*second"], "a value comes twice"),
        (["--set", "tau=3*ms", "--set", "tau=4*ms"], "tau is given twice"),
        (["--seeds", "0"], "--seeds"),
        (["--jobs", "0"], "--jobs"),
        (["--target", "gpu"], "target should be one of cpp, numpy"),
        (["--out", "/dev/null/sweep"], "/dev/null/sweep: this folder"),
        (["--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers there"),
        (["--scheduler", "nowhere"], "no Dask scheduler answers there"),
        (["--record", "units.h:each=10"], "options are every="),
    ],
)
def test_bad_usage_is_status_2_and_one_message(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["sweep", TOY, "--quick", "--target", "numpy", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*seed=*"))


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        run_sweep(TOY, out=tmp_path, **SMALL)


def start(*arguments, ignored=False):
    """The command line in a process of its own, with SIGINT as a terminal's shell leaves it, or ignored."""
    what = signal.SIG_IGN if ignored else signal.SIG_DFL
    return subprocess.Popen(
        [sys.executable, "-m", "neuroplast.cli", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, what),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_ctrl_c_leaves_a_sweep_to_go_on_with(tmp_path):
    out = tmp_path / "sweep"
    arguments = ["sweep", TOY, "--quick", "--target", "numpy", "--seeds", 2, "--jobs", 1, "--out", out]
    slow = [*arguments, "--set", "sleep=0.02", "--json"]
    with start(*slow) as child:
        while json.loads(child.stdout.readline())["event"] != "progress":
            pass
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=120)
    assert child.returncode == 130 and "Traceback" not in errors
    said = [json.loads(line) for line in rest.splitlines()]
    command = f"neuroplast sweep {TOY} --set sleep=0.02 --seeds 2 --jobs 1 --out {out} --quick --target numpy"
    assert any(event.get("text", "").endswith(command) for event in said)
    assert said[-1]["status"] == "interrupted" == read(out)["status"]
    halfway = json.loads((out / "sleep=0.02_seed=0" / "run.json").read_text())
    assert halfway["status"] == "interrupted" and not (out / "sleep=0.02_seed=1").exists()
    sweep = run_sweep(TOY, settings=["sleep=0.02"], seeds=2, out=out, jobs=2, **SMALL)
    assert sweep.exit_code == 0
    assert len(json.loads((out / "sleep=0.02_seed=0" / "run.json").read_text())["resumed"]) == 1
    run_protocol(TOY, settings=["sleep=0.02"], seed=0, out=tmp_path / "alone", **SMALL)
    results = (tmp_path / "alone" / "results.nc").read_bytes()
    assert (out / "sleep=0.02_seed=0" / "results.nc").read_bytes() == results


def test_sigint_ignored_by_the_shell_stays_ignored(tmp_path):
    arguments = [
        "run",
        TOY,
        "--quick",
        "--target",
        "numpy",
        "--set",
        "sleep=0.005",
        "--out",
        tmp_path / "run",
        "--json",
    ]
    with start(*arguments, ignored=True) as child:
        while json.loads(child.stdout.readline())["event"] != "progress":
            pass
        child.send_signal(signal.SIGINT)
        rest, errors = child.communicate(timeout=120)
    assert (child.returncode, errors) == (0, "")
    end = json.loads(rest.splitlines()[-1])
    assert (end["event"], end["status"]) == ("end", "done") and end["claims"][0]["name"] == "loss falls"


def test_a_second_ctrl_c_ends_the_programs_under_way():
    code = """
import subprocess, sys
from neuroplast.interrupts import install
install()
child = subprocess.Popen(["sleep", "1000"], process_group=0, stdout=subprocess.DEVNULL)
try:
    print("begun", flush=True)
    child.wait()
except KeyboardInterrupt:
    print("saving", flush=True)
    sys.exit(child.wait())
"""
    options = {"text": True, "stdout": subprocess.PIPE}
    default = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen([sys.executable, "-c", code], **options, **default) as process:
        for line in ("begun\n", "saving\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 256 - signal.SIGKILL
