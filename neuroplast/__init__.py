"""Biologically detailed learning in rate networks, written as Brian2 equations and compiled to dense C++."""

from importlib.metadata import version

__version__ = version("neuroplast")
