"""Sphinx configuration; the API and gallery pages are written from the tree when the build starts."""

import importlib.metadata
import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from pages import write_pages  # noqa: E402

project = "neuroplast"
author = "neuroplast developers"
copyright = "neuroplast developers"
release = importlib.metadata.version("neuroplast")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
myst_enable_extensions = ["deflist", "dollarmath"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["_static"]

# Single backticks in docstrings are code, as numpydoc writers mean them.
default_role = "code"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# A "References" section lists sources, whether or not the text points at each by number.
# Names that are imported for type checking alone are looked up by their last part, which two classes may share.
suppress_warnings = ["ref.citation", "ref.footnote", "ref.python"]


def setup(app):
    """Write the generated pages before Sphinx looks for its sources."""
    write_pages(DOCS.parent, DOCS / "generated")
