"""A sweep on a real Dask cluster: a scheduler and two worker processes, one of which is killed meanwhile."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neuroplast.catalogue import read_info
from neuroplast.errors import InputError
from neuroplast.sweep import run_sweep
from neuroplast.sweep_cluster import ClusterWorkers, check_versions, protocol_files, write_folder
from neuroplast.sweep_worker import code_version

TESTS = Path(__file__).parent
SETTINGS = {"settings": ["tau=10*ms,20*ms"], "seeds": 2, "quick": True, "target": "numpy"}
# Each run leaves a mark of the process that it is in, and takes half a second.
MARKED = """run.note(machine="{machine}")
    Path(os.environ["NEUROPLAST_MARKS"], f"{parameters.tau / ms:g}-{run.seed}-{os.getpid()}").touch()
    run.note("""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Folder of a user with a protocol and the module that it imports, on no path of the workers."""
    folder = tmp_path_factory.mktemp("lab")
    text = (TESTS / "toy_learning.py").read_text()
    text = text.replace("run.note(", MARKED.replace("{machine}", "any")).replace("fakes", "lab_fakes")
    text = text.replace("parameter(0.0, ", "parameter(0.004, ").partition("def figure(")[0]
    (folder / "lab_toy.py").write_text(
        text.replace("from dataclasses", "import os\nfrom pathlib import Path\nfrom dataclasses")
    )
    (folder / "lab_fakes.py").write_text((TESTS / "fakes.py").read_text())
    return folder


def wait_for(condition, what, seconds=120):
    """Poll until something is there; the time is far more than it takes."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.01)
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address, worker processes, and the folder of their marks."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "marks").mkdir()
    file = folder / "scheduler.json"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"NEUROPLAST_MARKS": str(folder / "marks"), "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}
    options = {"cwd": folder, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def dask(kind, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *arguments]
        return subprocess.Popen(command, **options)

    processes = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))]
    try:
        wait_for(file.exists, "scheduler")
        address = json.loads(file.read_text())["address"]
        for name in "ab":
            processes.append(dask("worker", address, "--no-nanny", "--nthreads", "1", "--name", name))
        yield address, processes[1:], folder / "marks"
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def sweeps(cluster, lab, tmp_path_factory):
    """The same sweep here, and on the cluster, one of whose workers is killed while it runs a point."""
    address, workers, marks = cluster
    folder = tmp_path_factory.mktemp("sweeps")
    command = [
        sys.executable,
        "-m",
        "neuroplast.cli",
        "sweep",
        str(lab / "lab_toy.py"),
        "--scheduler",
        address,
        "--json",
    ]
    command += [
        "--set",
        "tau=10*ms,20*ms",
        "--seeds",
        "2",
        "--quick",
        "--target",
        "numpy",
        "--out",
        str(folder / "far"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as driver:
        victim = workers[0]
        wait_for(
            lambda: list(marks.glob(f"*-{victim.pid}")) or driver.poll(), "point on the worker that is to be killed"
        )
        victim.send_signal(signal.SIGKILL)
        output, errors = driver.communicate(timeout=300)
    assert (driver.returncode, errors) == (0, ""), output
    ran = collections.Counter(mark.name.rpartition("-")[0] for mark in marks.iterdir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROPLAST_MARKS", str(folder))
        here = run_sweep(str(lab / "lab_toy.py"), out=folder / "here", jobs=1, **SETTINGS)
    return here, folder / "far", [json.loads(line) for line in output.splitlines()], ran


def test_all_results_arrive_once_each(sweeps):
    here, far, said, ran = sweeps
    ends = [(event["task"], event["status"]) for event in said if event["event"] == "point"]
    assert sorted(ends) == sorted((point.name, "done") for point in here.points)
    assert len(ran) == 4 and sum(ran.values()) > 4  # the point that was lost was run again
    assert {event["metric"] for event in said if event["event"] == "progress"} >= {"loss"}


def test_results_are_those_of_this_machine_to_the_bit(sweeps):
    here, far, _, _ = sweeps
    names = {str(path.relative_to(here.folder)) for path in here.folder.rglob("*.nc")}
    assert names == {str(path.relative_to(far)) for path in far.rglob("*.nc")}
    assert len(names) == 1 + 4 * 5  # the sweep's; for each point its own and those of four nets
    for name in names:
        assert (far / name).read_bytes() == (here.folder / name).read_bytes(), name
    for point in here.points:
        assert {path.name for path in (far / point.name).iterdir()} == {
            path.name for path in (here.folder / point.name).iterdir()
        }


def test_a_sweep_of_a_cluster_goes_on_here(sweeps, lab):
    _, far, _, _ = sweeps
    before = {path: path.read_bytes() for path in far.rglob("run.json")}
    sweep = run_sweep(str(lab / "lab_toy.py"), out=far, jobs=1, **SETTINGS)
    assert sweep.exit_code == 0
    assert {path: path.read_bytes() for path in far.rglob("run.json")} == before


def test_a_module_that_has_changed_is_taken_anew(cluster, lab, tmp_path, sweeps):
    """The workers live on, and must not run what they have imported for an earlier sweep."""
    for file in lab.glob("*.py"):
        (tmp_path / file.name).write_text(file.read_text().replace("0.05 * np.outer", "0.07 * np.outer"))
    options = {"settings": ["tau=10*ms"], "quick": True, "target": "numpy", "scheduler": cluster[0]}
    sweep = run_sweep(str(tmp_path / "lab_toy.py"), out=tmp_path / "sweep", **options)
    assert sweep.exit_code == 0
    old = (sweeps[1] / "tau=10ms_seed=0" / "results.nc").read_bytes()
    assert (tmp_path / "sweep" / "tau=10ms_seed=0" / "results.nc").read_bytes() != old


def test_what_travels_is_the_file_and_what_it_imports_beside_it(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("")
    (tmp_path / "mine" / "part.py").write_text("import far")
    (tmp_path / "far.py").write_text("def late():\n    import toy")
    (tmp_path / "other.py").write_text("")
    (tmp_path / "toy.py").write_text("import numpy\nfrom mine.part import x\n")
    names = list(protocol_files(tmp_path / "toy.py"))
    assert names[0] == "toy.py" and set(names[1:]) == {"mine/__init__.py", "mine/part.py", "far.py"}


def test_other_versions_are_refused(cluster, monkeypatch):
    assert code_version().startswith("0.1.0 (code ")
    with pytest.raises(InputError, match=r"tcp://w has neuroplast 0\.2, and here it is neuroplast 0\.1"):
        check_versions({"tcp://w": "0.2"}, "0.1")
    with pytest.raises(InputError, match="no neuroplast that can be used .*No module"):
        check_versions({"tcp://w": ModuleNotFoundError("No module named 'neuroplast'")}, "0.1")
    code_version.cache_clear()
    monkeypatch.setattr("neuroplast.__version__", "9.9")
    try:
        with pytest.raises(InputError, match=r"has neuroplast 0\.1\.0 .*here it is neuroplast 9\.9 .*Install the same"):
            ClusterWorkers(cluster[0], None, read_info(TESTS / "toy_learning.py"))
    finally:
        code_version.cache_clear()


def test_without_dask_the_command_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'neuroplast\[cluster\]'"):
        run_sweep(str(TESTS / "toy_learning.py"), out=tmp_path / "sweep", scheduler="tcp://127.0.0.1:1", quick=True)


def test_a_folder_arrives_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "point"
    write_folder(folder, {"run.json": b"1", "nets/a/results.nc": b"2"})
    write_folder(folder, {"run.json": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"run.json": b"3"}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neuroplast.sweep_cluster.os.rename", full)
    with pytest.raises(InputError, match="other: cannot be written .No space left"):
        write_folder(tmp_path / "other", {"run.json": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["point"]
