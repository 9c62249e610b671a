"""``--full``: the paper's size of a protocol, where that takes hours."""

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neuroplast import catalogue, experiment, protocol
from neuroplast.cli import app
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol

TESTS = Path(__file__).parent
TOY = str(TESTS / "toy_learning.py")
SIZES = 'QUICK = {"trials": 10, "nets": 2}\nFULL = {"trials": 20}\nFULL_TIME = "3 h"\n'


@pytest.fixture
def sized(tmp_path):
    """The toy protocol with a third size."""
    text = Path(TOY).read_text()
    path = tmp_path / "sized.py"
    path.write_text(text.replace('QUICK = {"trials": 10, "nets": 2}\n', SIZES))
    return str(path)


def call(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def pages():
    spec = importlib.util.spec_from_file_location("pages", TESTS.parent / "docs" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_full_changes_the_parameters_and_the_record_says_so(sized, tmp_path):
    out = tmp_path / "run"
    result = call("run", sized, "--full", "--set", "nets=1", "--out", out, "--target", "numpy")
    assert result.exit_code == 0, result.output
    assert "(--full)" in result.output
    written = json.loads((out / "run.json").read_text())
    assert (written["full"], written["quick"]) == (True, False)
    assert (written["parameters"]["trials"]["si"], written["parameters"]["nets"]["si"]) == (20, 1)
    usual = run_protocol(sized, settings=["nets=1", "trials=3"], out=tmp_path / "usual", target="numpy")
    assert usual.record["full"] is False


def test_an_interrupted_run_says_how_it_goes_on(sized, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "train_many", interrupted)
        result = call("run", sized, "--full", "--out", tmp_path / "run", "--target", "numpy")
    assert f"--out {tmp_path / 'run'} --full --target numpy --resume" in result.stderr.replace("\n", " ")
    result = call("run", sized, "--out", tmp_path / "run", "--target", "numpy", "--resume")
    assert result.exit_code == 2 and "trials" in result.stderr  # another size is another run
    result = call("run", sized, "--full", "--out", tmp_path / "run", "--target", "numpy", "--resume")
    assert result.exit_code == 0


def test_a_protocol_without_that_size_names_those_that_have_one(tmp_path, monkeypatch):
    infos = [catalogue.ProtocolInfo("large", Path("large.py"), full=True), catalogue.ProtocolInfo("s", Path("s.py"))]
    monkeypatch.setattr(protocol, "protocols", lambda: infos)
    for command in ("run", "sweep"):
        result = call(command, TOY, "--full", "--out", tmp_path / "run")
        assert result.exit_code == 2
        assert "toy_learning has no --full" in result.stderr and "Protocols that have one: large." in result.stderr
    assert not (tmp_path / "run").exists()


def test_quick_and_full_exclude_each_other(sized, tmp_path):
    result = call("run", sized, "--quick", "--full", "--out", tmp_path / "run")
    assert result.exit_code == 2 and "--quick and --full are two sizes" in result.stderr


def test_a_full_size_that_does_not_fit_is_named(sized, tmp_path):
    path = Path(sized)
    path.write_text(path.read_text().replace('FULL = {"trials": 20}', 'FULL = {"trails": 20}'))
    with pytest.raises(InputError, match="FULL: no parameter is called 'trails'; did you mean trials"):
        run_protocol(sized, full=True, out=tmp_path / "run", target="numpy")


def test_a_sweep_has_that_size_too(sized, tmp_path):
    out = tmp_path / "sweep"
    arguments = ["sweep", sized, "--full", "--set", "nets=1,2", "--jobs", 1, "--target", "numpy", "--out", out]
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    kept = json.loads((out / "sweep.json").read_text())
    assert kept["full"] is True and kept["parameters"]["trials"]["si"] == 20
    del kept["full"]
    (out / "sweep.json").write_text(json.dumps(kept))  # as one from before there were three sizes
    result = call(*arguments)
    assert result.exit_code == 2 and "full: False then, True now" in result.stderr


def test_the_list_and_the_gallery_say_how_long_it_takes(sized, monkeypatch):
    info = catalogue.read_info(Path(sized))
    assert info.full and info.times == "2 s; --full: 3 h"
    assert catalogue.read_info(Path(TOY)).times == "2 s"
    monkeypatch.setattr(catalogue, "protocols", lambda: [info])
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["list"]).output
    assert "2 s; --full: 3 h" in shown
    page = pages().gallery_page(Path(sized).parent, Path(sized))
    assert "   $ neuroplast run sized\n   $ neuroplast run sized --full\n\n" in page
    assert "Usual size: 2 s; ``--full``, the paper's: 3 h.\n" in page
    page = pages().gallery_page(TESTS, Path(TOY))
    assert "--full" not in page and "   $ neuroplast run toy_learning\n\n" in page
