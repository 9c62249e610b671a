"""The command line: exit status, messages, and no heavy import before it is needed."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
from brian2 import BrianObjectException, Network, NeuronGroup, ms, set_device
from typer.testing import CliRunner

from neuroplast.cli import app, explanation

TESTS = Path(__file__).parent
TOY = str(TESTS / "toy_learning.py")
SMALL = ["--quick", "--target", "numpy", "--set", "trials=3"]


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the command line in an empty folder; returns the result with output and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUROPLAST_DEBUG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_is_quick_to_come():
    heavy = "{'brian2', 'matplotlib', 'numpy', 'sympy', 'xarray'}"
    code = f"""
import sys
from neuroplast.cli import main
sys.argv = ["neuroplast", "--help"]
try:
    main()
except SystemExit as done:
    assert done.code in (0, None)
sys.exit(", ".join({heavy} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("list", "run", "show", "verify", "bench"):
        assert command in done.stdout


def test_run_ends_with_the_table_and_the_paths(call):
    result = call("run", TOY, *SMALL, "--seed", 2)
    assert result.exit_code == 0
    for words in ("loss falls", "from 1 to 0.1", "data absent", "not run", "runs/toy_learning-2/figure.png"):
        assert words in result.stdout
    assert "toy_learning: 100%" in result.stderr
    assert json.loads(Path("runs/toy_learning-2/run.json").read_text())["status"] == "done"


def test_run_twice_and_resume(call):
    assert call("run", TOY, *SMALL).exit_code == 0
    again = call("run", TOY, *SMALL)
    assert again.exit_code == 2
    assert again.stderr.startswith("error: runs/toy_learning-0: already holds a run")
    assert "Traceback" not in again.stderr
    resumed = call("run", TOY, *SMALL, "--resume")
    assert resumed.exit_code == 0 and "this run is done" in resumed.stderr
    other = call("run", TOY, *SMALL, "--resume", "--set", "tau=20*ms")
    assert other.exit_code == 2 and "tau: 10*ms then, 20*ms now" in other.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "absent.py"], "absent.py: there is no such file"),
        (["run", "no_such_protocol"], "No protocol is called 'no_such_protocol'"),
        (["run", TOY, "--set", "teu=1"], "did you mean tau?"),
        (["run", TOY, "--set", "tau=3"], "units of s"),
        (["run", TOY, "--target", "gpu"], "target should be one of cpp, numpy"),
        (["run", TOY, "--target", "numpy", "--out", "/dev/null/run"], "/dev/null/run: this folder"),
        (["run", TOY, "--seed", "-1"], "--seed"),
        (["run", TOY, "--threads", "0"], "--threads"),
        (["run", TOY, "--no-such-option"], "--no-such-option"),
        (["run"], "NAME|PATH.py"),
        (["frobnicate"], "frobnicate"),
        (["show", "absent"], "absent: is no run's folder. In runs/ there are: none"),
        (["verify", "absent.npz"], "absent.npz: there is no such file"),
        (["verify"], "FILE"),
        (["bench", "absent"], "No benchmark is called absent. There are:"),
    ],
)
def test_bad_usage_is_status_2_and_one_message(call, arguments, words):
    result = call(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert not Path("runs").exists()


def test_divergence_is_status_3(call):
    result = call("run", TOY, *SMALL, "--set", "diverges_at=1")
    assert result.exit_code == 3
    assert "net.r became NaN" in result.stderr and "is kept in runs/toy_learning-0" in result.stderr


def test_debugging_shows_where(call, monkeypatch):
    monkeypatch.setenv("NEUROPLAST_DEBUG", "1")
    result = call("run", "absent.py")
    assert result.exit_code == 1
    assert "InputError: absent.py: there is no such file." in result.stderr and "Traceback" in result.stderr


def test_a_fault_of_the_program_keeps_its_traceback(call, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(Path(TOY).read_text().replace("run.note(", "run.no_such_method("))
    result = call("run", broken, *SMALL)
    assert result.exit_code == 1
    assert "in experiment" in result.stderr and "AttributeError" in result.stderr
    assert "typer" not in result.stderr


def test_an_error_of_brian2_shows_the_cause_first():
    set_device("runtime")
    group = NeuronGroup(1, "dv/dt = -u/(10*second) : 1", method="euler", name="leaky")
    network = Network(group)
    with pytest.raises(BrianObjectException) as caught:
        network.run(1 * ms, namespace={})
    group._network = network.id  # or Brian2 warns at the end that it was never used
    lines = explanation(caught.value).split("\n")
    assert "identifier" in lines[0] and "u" in lines[0]
    assert any("leaky" in line for line in lines[1:])


def test_errors_of_brian2_are_messages(call, tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(Path(TOY).read_text().replace("run.note(", "10 * ms + 1\n    run.note("))
    result = call("run", wrong, *SMALL)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: Cannot calculate") and "units do not match" in result.stderr


def test_faults_have_no_explanation():
    assert explanation(ZeroDivisionError("division by zero")) is None


def test_show_prints_the_record(call):
    call("run", TOY, *SMALL)
    for name in ("toy_learning-0", "runs/toy_learning-0"):
        result = call("show", name)
        assert result.exit_code == 0
        for words in ("toy_learning", "done", "10*ms", "time constant", "loss falls", "brian2", "results.nc"):
            assert words in result.stdout
    assert "there are: toy_learning-0." in call("show", "other").stderr


def test_show_knows_a_killed_run(call, tmp_path):
    call("run", TOY, *SMALL)
    path = Path("runs/toy_learning-0/run.json")
    path.write_text(path.read_text().replace('"status": "done"', '"status": "running"'))
    assert "killed before its end; go on with --resume" in call("show", "toy_learning-0").stdout
    held = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert "killed" not in call("show", "toy_learning-0").stdout
    os.close(held)


def test_list_shows_the_installed_protocols(call, tmp_path, monkeypatch):
    package = tmp_path / "listed_protocols"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("neuroplast.catalogue.PACKAGE", "listed_protocols")
    assert "No protocols are installed" in call("list").stdout
    shutil.copy(TOY, package)
    result = call("list")
    assert result.exit_code == 0
    for words in ("toy_learning", "Nobody 1900, figure 0", "2 s", "A toy network's loss falls"):
        assert words in result.stdout
    assert "listed_protocols.toy_learning" not in sys.modules


def test_list_never_cuts_a_name(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    assert "│ rflo_size_and_gain " in call("list").stdout


def test_verify_is_status_1_if_a_file_fails(call, monkeypatch):
    answers = {"good": (1e-12, 1e-9, True, "3 trials"), "bad": (1e-3, 1e-9, False, "w[0] off")}
    module = types.ModuleType("neuroplast.verify")
    module.verify_file = lambda path: answers[Path(path).stem]
    monkeypatch.setitem(sys.modules, "neuroplast.verify", module)
    for name in answers:
        Path(f"{name}.npz").write_text("")
    good = call("verify", "good.npz")
    assert good.exit_code == 0 and "1.0e-12" in good.stdout and "PASS" in good.stdout
    both = call("verify", "good.npz", "bad.npz")
    assert both.exit_code == 1
    assert "PASS" in both.stdout and "FAIL" in both.stdout and "w[0] off" in both.stdout


@pytest.fixture
def benchmarks(tmp_path, monkeypatch):
    """A benchmark and a part of one, in place of those of the package."""
    package = types.ModuleType("neuroplast.bench")
    package.__path__ = [str(tmp_path)]
    (tmp_path / "quick.py").write_text("def run():\n    print('measured')\n    return {'step': 1.5}\n")
    (tmp_path / "part.py").write_text("def measure():\n    pass\n")
    monkeypatch.setattr("neuroplast.bench", package, raising=False)
    monkeypatch.setitem(sys.modules, "neuroplast.bench", package)
    yield
    sys.modules.pop("neuroplast.bench.quick", None)


def test_bench_runs_and_keeps_figures(call, benchmarks):
    result = call("bench", "quick", "--json", "figures.json")
    assert result.exit_code == 0 and "measured" in result.stdout
    assert json.loads(Path("figures.json").read_text()) == {"quick": {"step": 1.5}}
    assert call("bench").exit_code == 0
    assert "There are: quick." in call("bench", "part").stderr
    absent = call("bench", "quick", "--json", "absent/figures.json")
    assert absent.exit_code == 2 and "there is no folder absent" in absent.stderr


def test_interrupting_leaves_a_run_to_resume(call, tmp_path):
    arguments = [
        "run",
        TOY,
        "--target",
        "numpy",
        "--quick",
        "--out",
        str(tmp_path / "run"),
        "--set",
        "sleep=0.01",
    ]
    command = [sys.executable, "-m", "neuroplast.cli", *arguments]
    options = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(TESTS)}, **options) as child:
        first = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        _, rest = child.communicate(timeout=60)
    assert first.startswith("toy_learning: ")
    assert child.returncode == 130
    assert "--resume" in rest and "Traceback" not in rest
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    resumed = call(*arguments, "--resume")
    assert resumed.exit_code == 0 and "loss falls" in resumed.stdout
