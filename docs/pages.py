"""Pages that follow the tree: one API page per package, one gallery page per protocol.

Nothing here lists modules or protocols by hand, so a new file is documented from the next build on.
"""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

from neuroplast.catalogue import read_info

PACKAGES = {"neuroplast": "neuroplast", "neuroplast.models": "models"}


def write_pages(root: Path, target: Path) -> None:
    """Write all generated pages anew.

    Parameters
    ----------
    root : Path
        The repository.
    target : Path
        Folder for the pages; what it held before is removed.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    api = {f"api-{name}": api_page(name, modules) for name, modules in packages(root).items()}
    gallery = {f"gallery-{path.stem}": gallery_page(root, path) for path in protocols(root)}
    pages = {**api, "api": index_page("API", api), **gallery, "gallery": index_page("Gallery", gallery)}
    for name, text in pages.items():
        (target / f"{name}.rst").write_text(text, encoding="utf-8")


def packages(root: Path) -> dict[str, list[str]]:
    """Names of the public modules of each package, the package itself first."""
    found: dict[str, list[str]] = {}
    for top, folder in PACKAGES.items():
        for init in sorted((root / folder).rglob("__init__.py")):
            name = ".".join((top, *init.parent.relative_to(root / folder).parts))
            modules = sorted(path.stem for path in init.parent.glob("*.py") if not path.stem.startswith("_"))
            found[name] = [name, *(f"{name}.{module}" for module in modules)]
    return found


def protocols(root: Path) -> list[Path]:
    """The protocol scripts, in order of their names."""
    return sorted(path for path in (root / "protocols").glob("*.py") if not path.stem.startswith("_"))


def heading(title: str, line: str) -> str:
    """Title with its underline."""
    return f"{title}\n{line * len(title)}\n\n"


def index_page(title: str, names) -> str:
    """Page with a table of contents."""
    entries = "".join(f"   {name}\n" for name in names)
    return heading(title, "=") + ".. toctree::\n   :maxdepth: 2\n\n" + entries


def api_page(package: str, modules: list[str]) -> str:
    """Reference of a package: its modules with their public members; what the package itself exports is in them."""
    text = heading(package, "=") + f".. automodule:: {package}\n\n"
    for module in modules[1:]:
        text += heading(module, "-") + f".. automodule:: {module}\n   :members:\n   :show-inheritance:\n\n"
    return text


def gallery_page(root: Path, path: Path) -> str:
    """A protocol's docstring, its figure and animation where there are any, the command and the code below."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    title, _, body = (ast.get_docstring(tree) or path.stem).partition("\n")
    text = heading(title.rstrip("."), "=") + body.strip() + "\n\n"
    for name, what in ((f"{path.stem}.png", "figure"), (f"{path.stem}.gif", "animation")):
        if (root / "docs" / "_static" / name).exists():
            text += f".. image:: /_static/{name}\n   :alt: {what} made by {path.stem}\n\n"
    text += f".. code-block:: console\n\n   $ neuroplast run {path.stem}\n"
    info = read_info(path)
    text += f"   $ neuroplast run {path.stem} --full\n\n" if info.full else "\n"
    times = {"Usual size": info.expected_time, "``--full``, the paper's": info.full_time} if info.full else {}
    if any(times.values()):
        text += "; ".join(f"{size}: {time}" for size, time in times.items() if time) + ".\n\n"
    first = tree.body[0].end_lineno + 1 if ast.get_docstring(tree) else 1
    source = Path("../..") / path.relative_to(root)
    return text + f".. literalinclude:: {source.as_posix()}\n   :language: python\n   :lines: {first}-\n"
