"""What setup.cfg declares is what the tree holds: an unlisted package or file silently misses the wheel."""

import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import neuroplast

ROOT = Path(__file__).parents[1]
TOPS = [ROOT / "neuroplast", ROOT / "models", ROOT / "protocols"]


def declared():
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config


def package_folders():
    """Folder of each package, by name, as setup.cfg lists and maps them."""
    options = declared()["options"]
    mapping = dict(line.split(" = ") for line in options["package_dir"].split("\n") if line)
    folders = {}
    for name in options["packages"].split():
        base = max((key for key in mapping if f"{name}.".startswith(f"{key}.")), key=len)
        folders[name] = ROOT.joinpath(mapping[base], *name.removeprefix(base).split(".")[1:])
    return folders


def test_every_package_of_the_tree_is_listed():
    in_tree = {path.parent for top in TOPS for path in top.rglob("*.py")}
    assert in_tree == set(package_folders().values())


def test_every_package_has_an_init():
    bare = [name for name, folder in package_folders().items() if not (folder / "__init__.py").is_file()]
    assert bare == []


def test_every_data_file_is_listed():
    folders, data = package_folders(), declared()["options.package_data"]
    listed = {path for name in data for glob in data[name].split() for path in folders[name].glob(glob)}
    files = {path for top in TOPS for path in top.rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix not in (".py", ".pyc")} == listed


def test_version_is_the_same_everywhere():
    version = declared()["metadata"]["version"]
    assert neuroplast.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_console_script_is_a_function():
    (script,) = entry_points(group="console_scripts", name="neuroplast")
    assert callable(script.load())


@pytest.mark.parametrize(
    "module, heavy",
    [
        ("neuroplast", {"brian2", "matplotlib", "numpy", "sympy", "xarray"}),
        # Brian2 brings matplotlib and scipy.
        ("neuroplast.models.rflo", {"h5netcdf", "h5py", "pandas", "rich", "typer", "xarray"}),
    ],
)
def test_importing_is_cheap(module, heavy):
    code = f"import sys, {module}; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
