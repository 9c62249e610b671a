"""Protocols: found, checked, run into a folder with a record, a table of claims and a figure."""

import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import xarray as xr
from brian2 import Equations, ms
from fakes import FakeSimulation
from rich.console import Console

from neuroplast import catalogue, experiment, nets
from neuroplast.errors import DivergedError, InputError
from neuroplast.experiment import Run
from neuroplast.progress import Progress
from neuroplast.protocol import Claim, choose_target, holds, run_protocol
from neuroplast.runs import RunFolder
from neuroplast.traces import Traces

TOY = str(Path(__file__).parent / "toy_learning.py")
SMALL = {"target": "numpy", "quick": True}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that has ended."""
    out = tmp_path_factory.mktemp("runs") / "toy"
    run_protocol(TOY, settings=["tau=20*ms"], seed=5, out=out, **SMALL)
    return out


def record(folder):
    return json.loads((folder / "run.json").read_text())


def edited(tmp_path, old, new):
    """The toy protocol with a piece of its text changed."""
    text = Path(TOY).read_text()
    assert old in text
    path = tmp_path / "edited.py"
    path.write_text(text.replace(old, new))
    return str(path)


def test_a_run_leaves_its_files(done):
    there = {path.name for path in done.iterdir()}
    assert there == {"run.json", "results.nc", "figure.png", "figure.svg", "nets"}
    assert (done / "figure.png").read_bytes()[1:4] == b"PNG"
    assert "<svg" in (done / "figure.svg").read_text()


def test_the_record_says_how_the_results_came_about(done):
    written = record(done)
    assert written["status"] == "done"
    assert (written["protocol"], written["seed"], written["target"]) == ("toy_learning", 5, "numpy")
    assert written["quick"] is True
    assert written["rule"] == ["a", "b"]
    assert written["paper"] == {"figure": "Nobody 1900, figure 0", "doi": "10.0/toy"}
    assert written["parameters"]["tau"] == {"value": "20*ms", "si": 0.02, "unit": "s", "doc": "time constant"}
    assert written["parameters"]["trials"]["si"] == 10
    assert written["equations"] == {"fake": {"net": "dr/dt = (tanh(I) - r) / tau : 1", "net_reset": "r = 0.1"}}
    first, second = written["claims"]
    assert (first["name"], first["paper"]) == ("loss falls", "from 1 to 0.1")
    assert second["verdict"] == "not run"


def test_the_measured_value_is_that_of_the_results(done):
    loss = Traces.load(done).metrics.loss
    assert dict(loss.sizes) == {"rule": 2, "net": 2, "trial": 10}
    first, last = float(loss[..., 0].median()), float(loss[..., -1].median())
    claim = record(done)["claims"][0]
    assert claim["measured"] == f"{first:.3f} to {last:.3f}"
    assert claim["verdict"] == ("holds" if last < first else "does not hold")


def test_the_results_say_where_they_are_from(done):
    attrs = xr.open_dataset(done / "results.nc", engine="h5netcdf").attrs
    assert attrs["title"] == "A toy network's loss falls"
    assert attrs["references"] == "10.0/toy"
    assert attrs["seed"] == 5
    assert json.loads(attrs["parameters"])["tau"]["si"] == 0.02


def test_the_same_seed_gives_the_same_bytes(done, tmp_path):
    run_protocol(TOY, settings={"tau": 20 * ms}, seed=5, out=tmp_path / "again", **SMALL)
    for name in ("results.nc", "figure.svg", "figure.png"):
        assert (tmp_path / "again" / name).read_bytes() == (done / name).read_bytes(), name
    run_protocol(TOY, settings=["tau=20*ms"], seed=6, out=tmp_path / "other", **SMALL)
    assert (tmp_path / "other" / "results.nc").read_bytes() != (done / "results.nc").read_bytes()


def test_the_default_folder_is_named_after_protocol_and_seed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    traces = run_protocol(TOY, settings=["trials=2"], seed=3, **SMALL)
    assert traces.folder == Path("runs/toy_learning-3")
    assert traces.dataset.sizes["trial"] == 2


def test_a_done_run_is_only_shown(done):
    before = (done / "run.json").read_bytes()
    console = Console(file=StringIO(), width=300)
    run_protocol(TOY, settings=["tau=20*ms"], seed=5, out=done, resume=True, console=console, **SMALL)
    shown = console.file.getvalue()
    for words in ("loss falls", "from 1 to 0.1", "not run", str(done / "figure.png")):
        assert words in shown
    assert (done / "run.json").read_bytes() == before


def test_an_interrupted_run_goes_on_and_ends_the_same(done, tmp_path, monkeypatch):
    out = tmp_path / "interrupted"
    options = {"settings": ["tau=20*ms"], "seed": 5, "out": out, **SMALL}
    console = Console(file=StringIO(), width=300)

    def interrupted(jobs, *args, **kwargs):
        nets.train_many(jobs[:2], *args, **kwargs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "train_many", interrupted)
        run_protocol(TOY, progress=Progress("toy", console), **options)
    assert record(out)["status"] == "interrupted"
    command = f"neuroplast run {TOY} --set 'tau=20*ms' --seed 5 --out {out} --quick --target numpy --resume\n"
    assert command in console.file.getvalue()
    run_protocol(TOY, resume=True, **options)
    assert record(out)["status"] == "done"
    assert (out / "results.nc").read_bytes() == (done / "results.nc").read_bytes()


def test_a_run_does_not_go_on_with_other_equations(tmp_path, monkeypatch):
    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "train_many", Mock(side_effect=KeyboardInterrupt))
        run_protocol(TOY, out=out, **SMALL)
    monkeypatch.setattr(experiment, "equations", lambda sim: {"net": "dr/dt = -r / tau : 1"})
    with pytest.raises(InputError, match="cannot be resumed, since the equations of fake have changed"):
        run_protocol(TOY, out=out, resume=True, **SMALL)


def test_equations_are_in_one_order_whatever_that_of_brian2():
    """Brian2 sorts by sets of names, whose order is another one in each process: a run could not be resumed."""
    names = list("fcagbhd")
    group = SimpleNamespace(name="group", equations=Equations("\n".join(f"{name} = 0 : 1" for name in names)))
    schedule = SimpleNamespace(leaves=lambda: [SimpleNamespace(objects=[group])])
    (text,) = experiment.equations(SimpleNamespace(schedule=schedule)).values()
    assert text.splitlines() == [f"{name} = 0 : 1" for name in sorted(names)]


def test_simulations_of_one_name_are_told_apart(tmp_path):
    with RunFolder.open(tmp_path, {"protocol": "toy"}) as folder:
        run = Run(folder, 0, "numpy", 1, False, Progress("toy"))
        first, second = FakeSimulation(2), FakeSimulation(2)
        second.schedule.leaves = lambda: []
        trained = [run.train(first), run.train(second, "second"), run.train(first, "third")]
        assert folder.record["equations"].keys() == {"fake", "fake'"}
    assert [net.folder for net in trained] == [tmp_path, tmp_path / "nets/second", tmp_path / "nets/third"]


def test_a_diverged_run_says_so_and_keeps_what_came_before(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(DivergedError, match="4 of 4 nets diverged"):
        run_protocol(TOY, settings=["diverges_at=4"], out=out, **SMALL)
    assert record(out)["status"] == "diverged"
    assert "net.r became NaN" in record(out)["error"]
    assert Traces.load(out).metrics.loss.sizes["trial"] == 4


def test_a_run_that_fails_late_keeps_its_folder(tmp_path):
    path = edited(tmp_path, "fig, ax = figures.subplots()", "raise RuntimeError('no ink')")
    with pytest.raises(RuntimeError, match="no ink"):
        run_protocol(path, out=tmp_path / "run", **SMALL)
    assert record(tmp_path / "run")["status"] == "failed"
    assert record(tmp_path / "run")["error"] == "RuntimeError: no ink"


def test_a_run_that_fails_at_once_leaves_nothing(tmp_path):
    path = edited(tmp_path, "run.note(", "raise ValueError('no such network')\n    run.note(")
    with pytest.raises(ValueError, match="no such network"):
        run_protocol(path, out=tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def test_one_net_is_trained_in_the_run_itself(tmp_path):
    path = Path(edited(tmp_path, "dataset.rule.values", "()"))
    many = "return combine([(net.coords, net.dataset) for net in run.train_many(jobs)])"
    assert many in path.read_text()
    path.write_text(path.read_text().replace(many, "return run.train(sim, recorded=RECORDED).dataset"))
    run_protocol(str(path), out=tmp_path / "run", **SMALL)
    there = {entry.name for entry in (tmp_path / "run").iterdir()}
    assert there == {"run.json", "results.nc", "figure.png", "figure.svg", "checkpoint"}
    assert Traces.load(tmp_path / "run").weights.w.dims == ("snapshot", "pre", "post")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def experiment(", "def experimant(", "Missing: experiment"),
        ("EXPECTED = [", "EXPECTATION = [", "Missing: EXPECTED"),
        (' = parameter(60, "trials per net")', "", "every parameter should have a default"),
        ("@dataclass(frozen=True)\n", "", "Parameters should be a frozen dataclass"),
        ("from fakes", "from fakery", "cannot be imported: No module named 'fakery'"),
        ("def falls(dataset):", "def falls(dataset:", "line 45: .*\n  def falls"),
        ('QUICK = {"trials": 10', 'QUICK = {"trails": 10', "QUICK: no parameter.*did you mean trials"),
        ("return combine(", "return list(", "should return an xarray.Dataset. Got list"),
        ('"data absent", "not run"', '"data absent", "absent"', "Claim 'on real data': check should return"),
    ],
)
def test_a_wrong_protocol_is_refused_in_words(tmp_path, old, new, words):
    with pytest.raises(InputError, match=words):
        run_protocol(edited(tmp_path, old, new), out=tmp_path / "run", **SMALL)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": ["trails=3"]}, "did you mean trials"),
        ({"settings": {"tau": 3}}, "tau should be a quantity"),
        ({"seed": -1}, "seed should be a whole number of at least 0. Got -1"),
        ({"seed": 1.5}, "seed should be a whole number"),
        ({"threads": 0}, "threads should be a whole number of at least 1. Got 0"),
        ({"target": "gpu"}, "target should be one of cpp, numpy. Got 'gpu'"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        run_protocol(TOY, out=tmp_path / "run", **({"target": "numpy"} | options))
    assert not (tmp_path / "run").exists()


def test_the_target_is_numpy_without_a_compiler(monkeypatch):
    monkeypatch.setattr("neuroplast.engine.build.compiler", lambda: None)
    lines = []
    assert choose_target(None, lines.append) == "numpy"
    assert len(lines) == 1 and "no C++ compiler" in lines[0]
    assert choose_target("numpy", lines.append) == "numpy"
    assert len(lines) == 1
    with pytest.raises(InputError, match="target cpp: no C.. compiler.*--target numpy"):
        choose_target("cpp", lines.append)


def test_the_target_is_cpp_with_a_compiler(monkeypatch):
    monkeypatch.setattr("neuroplast.engine.build.compiler", lambda: "/usr/bin/g++")
    assert choose_target(None, pytest.fail) == "cpp"
    assert choose_target("numpy", pytest.fail) == "numpy"


def test_several_nets_run_at_once_only_in_processes_of_their_own(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(experiment, "train_many", lambda jobs, folder, **options: asked.append(options["parallel"]))
    monkeypatch.setattr("neuroplast.engine.build.compiler", lambda: None)
    for number, (target, threads) in enumerate([("numpy", 3), ("cpp", 3), ("cpp", 8)]):
        monkeypatch.setattr("neuroplast.protocol.choose_target", lambda *_, target=target: target)
        with pytest.raises(TypeError):  # what the protocol makes of the missing answer
            run_protocol(TOY, out=tmp_path / str(number), target=target, threads=threads, quick=True)
    assert asked == [1, 3, 4]


def test_claims_are_rows():
    claim = Claim("x", "more than 1", lambda dataset: (2, holds(dataset.x.item() > 1)))
    assert claim.measure(xr.Dataset({"x": 2})) == {
        "name": "x",
        "paper": "more than 1",
        "measured": "2",
        "verdict": "holds",
    }
    assert claim.measure(xr.Dataset({"x": float("nan")}))["verdict"] == "does not hold"


def test_a_protocol_is_listed_without_being_imported(tmp_path):
    path = tmp_path / "dangerous.py"
    path.write_text('"""A title.\n\nMore."""\nPAPER = {"figure": "1"}\nEXPECTED_TIME = "3 s"\nX = f()\n1 / 0\n')
    info = catalogue.read_info(path)
    assert (info.name, info.title, info.figure, info.doi, info.expected_time) == (
        "dangerous",
        "A title",
        "1",
        "",
        "3 s",
    )


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of protocols with the toy in it, in place of neuroplast.protocols."""
    folder = tmp_path / "toy_protocols"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "_helper.py").write_text("")
    shutil.copy(TOY, folder)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(catalogue, "PACKAGE", "toy_protocols")
    return folder


def test_installed_protocols_are_found_by_name(installed, tmp_path):
    assert [info.name for info in catalogue.protocols()] == ["toy_learning"]
    traces = run_protocol("toy_learning", settings=["trials=2"], out=tmp_path / "run", **SMALL)
    assert traces.record["protocol"] == "toy_learning"
    with pytest.raises(InputError, match="No protocol is called 'toy_lerning'. Did you mean toy_learning?"):
        catalogue.find("toy_lerning")
    with pytest.raises(InputError, match="absent.py: there is no such file"):
        catalogue.find("absent.py")


def test_a_package_installed_in_part_is_named(monkeypatch):
    monkeypatch.setattr(catalogue, "PACKAGE", "toy_protocols_absent")
    with pytest.raises(InputError, match="toy_protocols_absent is missing: install"):
        catalogue.protocols()
