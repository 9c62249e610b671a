"""The table of data sets."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from neuroplast.data import places, sets


def print_sets(console) -> None:
    """Print every data set with its size, and where it is or how to get it.

    Parameters
    ----------
    console : rich.console.Console

    Raises
    ------
    InputError
        If ``NEUROPLAST_DATA`` is no folder.
    """
    table = Table("name", "train", "test", "pixels", "download", "where it is, or how to get it")
    table.columns[0].min_width = max(map(len, sets.SETS))  # it is there to be copied
    table.columns[-1].overflow = "fold"
    for known in sets.SETS.values():
        found, _ = places.search(known)
        if found is None:
            where = Text(known.advice(), "yellow")
        else:
            where = Text(f"in {known.package}" if known.package else str(next(iter(found.values())).parent))
        channels, rows, columns = known.shape
        pixels = f"{rows}x{columns}" + (f"x{channels}" if channels > 1 else "")
        size = f"{known.size / 1e6:.0f} MB" if known.size else "-"
        table.add_row(Text(known.name), str(sum(known.train)), str(sum(known.test)), pixels, size, where)
    console.print(table)
