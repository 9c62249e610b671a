"""Imports run one way: equations <- rules <- models <- protocols; engine and results know nothing of them."""

import ast
import re
import sys
from configparser import ConfigParser
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for top in ("neuroplast", "models", "protocols") for path in (ROOT / top).rglob("*.py"))
# What a part may import of ours, or must not import at all; a part is the first name below neuroplast.
ONLY = {"equations": set(), "rules": {"rules", "equations", "errors"}}
RESULTS = ("traces", "runs", "analysis", "figures", "pictures", "export", "data")
NEVER = {"engine": {"rules", "models", "protocols"}, "models": {"protocols"}}
NEVER |= {part: {"brian2", "engine"} for part in RESULTS}
# Where the name to import differs from the name to install.
IMPORT_NAMES = {"scipy-openblas32": "scipy_openblas32", "scikit-learn": "sklearn"}


def imported(source, package):
    """Yield (True, part) for each import of ours and (False, top-level name) for each other, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{origin}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            yield (True, rest.partition(".")[0]) if top == "neuroplast" else (False, top)


def broken_arrows(source, module):
    """Imports in the source of ``module`` (say ``neuroplast.rules.rflo``) that point the wrong way."""
    part = module.split(".")[1]
    never = NEVER.get(part, set()) | {"cli"}
    for ours, name in imported(source, module.rpartition(".")[0]):
        if name in never or (ours and part in ONLY and name not in ONLY[part]):
            yield f"{module} imports {name}"


def modules_of(source, module, modules):
    """Those of `modules` that the source of ``module`` imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), module.rpartition(".")[0])
            names = [name if (name := f"{origin}.{alias.name}") in modules else origin for alias in node.names]
        else:
            continue
        yield from (name for name in names if name in modules)


def circle(sources):
    """Modules that import each other in a circle, or None; from their sources by name."""
    graph = {module: set(modules_of(source, module, sources)) for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]


def undeclared(source, module, requirements):
    """Third-party names that the source imports and the requirements (setup.cfg's text) don't name."""
    names = {re.split(r"[\[<>=!~;\s]", line, maxsplit=1)[0] for line in requirements.split("\n")}
    known = {IMPORT_NAMES.get(name, name) for name in names} | set(sys.stdlib_module_names)
    return {name for ours, name in imported(source, module.rpartition(".")[0]) if not ours} - known


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "neuroplast" else ("neuroplast", *parts))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_run_one_way(path):
    assert not list(broken_arrows(path.read_text(), module_name(path)))


def test_no_modules_import_each_other():
    assert circle({module_name(path).removesuffix(".__init__"): path.read_text() for path in FILES}) is None


def test_a_circle_is_found_within_functions_and_through_packages():
    sources = {
        "neuroplast.a": "def f():\n    from neuroplast.b import g",
        "neuroplast.b": "from neuroplast import c",
        "neuroplast.c": "import neuroplast.a",
    }
    assert set(circle(sources)) == set(sources)
    assert circle(sources | {"neuroplast.c": "import numpy"}) is None


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_every_import_is_a_declared_dependency(path):
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    requirements = config["options"]["install_requires"]
    for extra in {"bench": ["bench"], "export": ["nwb", "neo"]}.get(path.parent.name, ()):
        requirements += config["options.extras_require"][extra]
    for name, extra in {"sweep_cluster": "cluster", "embedding": "embedding"}.items():
        if path.stem == name:
            requirements += config["options.extras_require"][extra]
    assert undeclared(path.read_text(), module_name(path), requirements) == set()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("neuroplast.equations", "from neuroplast.errors import InputError"),
        ("neuroplast.rules.rflo", "from ..engine import start"),
        ("neuroplast.engine.dense", "def late():\n    import neuroplast.rules.rflo"),
        ("neuroplast.engine.dense", "from neuroplast import models"),
        ("neuroplast.traces", "import brian2.units as u"),
        ("neuroplast.analysis.alignment", "from neuroplast.engine.tape import Tape"),
        ("neuroplast.models.rflo", "from neuroplast.protocols import rflo_periodic"),
        ("neuroplast.training", "from .cli import main"),
    ],
)
def test_checker_sees_a_wrong_import(module, source):
    assert len(list(broken_arrows(source, module))) == 1


def test_checker_lets_the_arrows_pass():
    source = "import numpy\nfrom neuroplast.equations import RATE\nfrom neuroplast.rules.rule import Rule"
    assert not list(broken_arrows(source, "neuroplast.rules.rflo"))


def test_checker_sees_an_undeclared_import():
    source = "import os\nimport numpy.linalg\nimport scipy_openblas32\nfrom torch import nn"
    requirements = "numpy<2.4; python_version<'3.12'\nscipy-openblas32"
    assert undeclared(source, "neuroplast.tasks", requirements) == {"torch"}
