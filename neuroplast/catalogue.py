"""Which protocols there are: read from their text, imported only when one is run."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from typing import Any

from neuroplast.errors import InputError

PACKAGE = "neuroplast.protocols"
REQUIRED = ("Parameters", "EXPECTED", "experiment")


@dataclasses.dataclass(frozen=True)
class ProtocolInfo:
    """What can be said about a protocol without importing it.

    Attributes
    ----------
    name : str
    path : pathlib.Path
    module : str
        Name to import it by; empty for a file of the user's.
    title : str
        First line of its docstring.
    figure, doi : str
        The paper's figure or table, and its DOI.
    expected_time : str
    full : bool
        Whether it has a size of its own for ``--full``.
    full_time : str
        How long that takes.
    """

    name: str
    path: Path
    module: str = ""
    title: str = ""
    figure: str = ""
    doi: str = ""
    expected_time: str = ""
    full: bool = False
    full_time: str = ""

    @property
    def times(self) -> str:
        """How long it takes, and how long with ``--full``."""
        return "; ".join(filter(None, (self.expected_time, f"--full: {self.full_time or '?'}" if self.full else "")))


def protocols() -> list[ProtocolInfo]:
    """All protocols of the package, by name.

    Raises
    ------
    InputError
        If the package is not installed completely.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{PACKAGE} is missing: install the package, with pip install --editable . in its folder.")
    infos = []
    for module in pkgutil.iter_modules(spec.submodule_search_locations):
        path = Path(module.module_finder.path) / f"{module.name}.py"
        if not module.ispkg and not module.name.startswith("_"):
            infos.append(read_info(path, f"{PACKAGE}.{module.name}"))
    return sorted(infos, key=lambda info: info.name)


def find(name: str) -> ProtocolInfo:
    """Protocol of that name, or the file at that path.

    Raises
    ------
    InputError
        If there is none.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise InputError(f"{name}: there is no such file.")
        return read_info(Path(name))
    infos = {info.name: info for info in protocols()}
    if name not in infos:
        close = difflib.get_close_matches(name, infos, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise InputError(
            f"No protocol is called {name!r}.{hint} There are: {', '.join(infos) or 'none'}; or give a file PATH.py."
        )
    return infos[name]


def read_info(path: Path, module: str = "") -> ProtocolInfo:
    """What a protocol's text says about it: docstring, ``PAPER``, ``EXPECTED_TIME``, ``FULL`` and ``FULL_TIME``.

    Raises
    ------
    InputError
        If the file is no Python.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except SyntaxError as err:
        raise InputError(f"{path}, line {err.lineno}: {err.msg}\n  {(err.text or '').strip()}") from err
    except (OSError, ValueError) as err:
        raise InputError(f"{path}: cannot be read as Python ({err}).") from err
    constants, assigned = {}, set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.add(node.targets[0].id)
            try:
                constants[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue  # made by code: known after the import
    paper = constants.get("PAPER", {})
    title = (ast.get_docstring(tree) or "").split("\n")[0].rstrip(".")
    return ProtocolInfo(
        path.stem,
        path,
        module,
        title,
        paper.get("figure", ""),
        paper.get("doi", ""),
        str(constants.get("EXPECTED_TIME", "")),
        "FULL" in assigned,
        str(constants.get("FULL_TIME", "")),
    )


def load(info: ProtocolInfo) -> Any:
    """Import a protocol and check that it declares what it must.

    Returns
    -------
    module
        With ``Parameters``, ``QUICK``, ``EXPECTED``, ``experiment`` and perhaps ``FULL`` and ``figure``.

    Raises
    ------
    InputError
        If it cannot be imported or lacks something.
    """
    try:
        module = importlib.import_module(info.module) if info.module else _import_file(info.path)
    except ImportError as err:
        raise InputError(f"{info.path}: cannot be imported: {err}") from err
    missing = [name for name in REQUIRED if not hasattr(module, name)]
    if missing:
        raise InputError(
            f"{info.path}: a protocol declares Parameters (a frozen dataclass), EXPECTED (a list of Claim) "
            f"and experiment(parameters, run). Missing: {', '.join(missing)}."
        )
    if not dataclasses.is_dataclass(module.Parameters):
        raise InputError(f"{info.path}: Parameters should be a frozen dataclass. Got {module.Parameters!r}.")
    if not hasattr(module, "QUICK"):
        module.QUICK = {}
    return module


def _import_file(path):
    name = f"neuroplast_protocol_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # a protocol may import a model that lies beside it
    spec.loader.exec_module(module)
    return module
