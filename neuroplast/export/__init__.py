"""Runs in other formats: NWB, NIX (by Neo), CSV and numpy's npz."""

from neuroplast.export.export import FORMATS, export

__all__ = ["FORMATS", "export"]
