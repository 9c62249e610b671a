"""neuroplast data: what it prints, and its exit status."""

import dataclasses
import subprocess
import sys

import pytest
from image_files import idx_files, small_sets, write  # noqa: F401
from typer.testing import CliRunner

from neuroplast import data
from neuroplast.cli import app
from neuroplast.data import sets


@pytest.fixture
def call(small, monkeypatch):
    """Call neuroplast data; returns exit status, stdout, stderr. Nothing can be downloaded."""
    monkeypatch.chdir(small)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("NEUROPLAST_DEBUG", raising=False)
    known = dataclasses.replace(sets.SETS["mnist"], mirrors=("http://127.0.0.1:1/",))
    monkeypatch.setitem(sets.SETS, "mnist", known)

    def called(*arguments, width=100):
        done = CliRunner().invoke(app, ["data", *arguments], env={"COLUMNS": str(width)})
        return done.exit_code, done.stdout, done.stderr

    return called


def test_list(call, small):
    write(small / "system" / "fashion-mnist", idx_files("fashion-mnist"))
    status, out, _ = call("list", width=140)
    rows = {line.split()[1]: [cell.strip() for cell in line.split("│")[1:-1]] for line in out.split("\n")[3:-2]}
    assert status == 0 and list(rows) == data.names()
    assert rows["mnist"][1:] == ["30", "10", "28x28", "12 MB", "neuroplast data get mnist"]
    assert rows["cifar100"][3:] == ["32x32x3", "169 MB", "neuroplast data get cifar100"]
    assert rows["digits"] == ["digits", "1500", "297", "8x8", "-", "in scikit-learn"]
    assert rows["fashion-mnist"][-1].startswith(str(small)[:20])


@pytest.mark.parametrize("width", [40, 60, 80])
def test_list_keeps_names_whole(call, width):
    _, out, _ = call("list", width=width)
    assert all(f" {name} " in out for name in data.names())


def test_path_and_get_of_what_is_here(call, small):
    folder = write(small / "system" / "mnist", idx_files("mnist"))
    paths = "".join(f"{folder / name}\n" for name in idx_files("mnist"))
    assert call("path", "mnist") == call("get", "mnist") == (0, paths, "")


@pytest.mark.parametrize("command", ["path", "get"])
def test_unknown_name(call, command):
    status, out, err = call(command, "fashion")
    assert (status, out) == (2, "") and err.startswith(
        "error: No data set is called 'fashion'. Did you mean fashion-mnist?"
    )
    assert "There are: mnist, fashion-mnist, cifar10, cifar100, digits, mnist-5000." in err


def test_path_of_what_is_not_here(call):
    status, out, err = call("path", "mnist")
    assert (status, out) == (2, "") and "Get it with: neuroplast data get mnist" in err


def test_get_without_network(call):
    status, out, err = call("get", "mnist")
    assert (status, out) == (2, "") and "http://127.0.0.1:1/: no connection" in err and "Traceback" not in err


@pytest.mark.parametrize("command", ["list", "path", "get"])
def test_wrong_folder(call, monkeypatch, command):
    monkeypatch.setenv("NEUROPLAST_DATA", "/nowhere")
    status, out, err = call(command, *["mnist"] * (command != "list"))
    assert (status, out, err) == (2, "", "error: NEUROPLAST_DATA should be a folder. There is none called /nowhere.\n")


@pytest.mark.parametrize("arguments", [["path"], ["get"], ["load"], ["get", "mnist", "cifar10"], ["list", "mnist"]])
def test_bad_usage(call, arguments):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "") and "Usage: " in err


def test_data_import_little():
    heavy = "{'brian2', 'matplotlib', 'pooch', 'requests', 'rich', 'scipy', 'sklearn', 'sympy', 'xarray'}"
    code = f"""
import sys
from neuroplast import data
assert data.present("digits")
sys.exit(", ".join({heavy} & set(sys.modules)) or 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
