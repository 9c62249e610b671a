"""A run as a folder of CSV files, one for each array, with units in the header."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neuroplast.errors import InputError
from neuroplast.export.series import Contents, Entry

#: Written into every such folder: the run's record. A folder without it is never replaced.
MARKER = "run.json"


def write(contents: Contents, path: Path, *, say) -> None:
    """Write the folder.

    Parameters
    ----------
    contents : Contents
    path : pathlib.Path
    say : callable
    """
    import pandas as pd

    with folder_written_whole(path) as folder:
        names = _Names(folder)
        for array, series in itertools.groupby(contents.records, lambda series: series.array):
            _write_records(names(array), list(series))
        for array, spikes in itertools.groupby(contents.spikes, lambda spikes: spikes.name.split(" ")[0]):
            _write_spikes(names(array), list(spikes))
        for table in contents.tables:
            columns = {_head(name, column.unit): column.values for name, column in table.columns.items()}
            _append(pd.DataFrame(columns), names(table.name), first=True)
        if contents.trials:
            frame = pd.DataFrame(contents.trials, columns=["trial", "start (s)", "stop (s)"])
            _append(frame, names("trials"), first=True)
        _append(pd.DataFrame(contents.entries, columns=Entry._fields), names("about"), first=True)
        text = json.dumps(dict(contents.record), indent=1, ensure_ascii=False)
        (folder / MARKER).write_text(text + "\n", encoding="utf-8")


class _Names:
    """Names of files that are there only once, whatever the arrays are called."""

    def __init__(self, folder):
        self.folder, self.taken = folder, set()

    def __call__(self, name):
        plain = re.sub(r"[^\w.=+-]", "_", str(name))
        number = next(n for n in itertools.count(1) if (plain if n == 1 else f"{plain}-{n}") not in self.taken)
        plain = plain if number == 1 else f"{plain}-{number}"
        self.taken.add(plain)
        return self.folder / f"{plain}.csv"


def _head(name, unit):
    return f"{name} ({unit})" if unit else str(name)


def _write_records(path, series):
    """A row for each time; of weights a row for each time and presynaptic neuron."""
    import pandas as pd

    first = True
    for item in series:
        rows_dim = item.dims[0] if len(item.dims) > 1 else None
        rest = item.shape[1:] if rows_dim else item.shape
        dims = item.dims[1:] if rows_dim else item.dims
        unit = item.unit
        if item.kind == "weights":
            heads = [f"{item.array}[{dims[0]}={k}] ({unit})" for k in range(rest[0])]
        else:
            places = itertools.product(*map(range, rest))
            heads = [f"{item.array}[{','.join(map(str, place))}] ({unit})" for place in places]
            heads = [f"{item.array} ({unit})"] if not rest else heads
        for block in item.blocks():
            count = len(block.values)
            across = block.values.shape[1] if rows_dim else 1
            columns = {dim: np.full(count * across, value) for dim, value in item.labels.items()}
            if block.trials is not None:
                columns["trial" if item.fold is None else item.fold] = np.repeat(block.trials, across)
            if block.times is not None:
                columns["time (s)"] = np.repeat(block.times, across)
            if rows_dim:
                begin = block.part.start or 0
                columns[rows_dim] = np.tile(np.arange(begin, begin + across), count)
            values = block.values.reshape(count * across, len(heads))
            frame = pd.concat([pd.DataFrame(columns), pd.DataFrame(values, columns=heads)], axis=1)
            _append(frame, path, first)
            first = False


def _write_spikes(path, spikes):
    import pandas as pd

    first = True
    for item in spikes:
        for neuron, time, trial in item.blocks():
            columns = {dim: np.full(len(time), value) for dim, value in item.labels.items()}
            if trial is not None:
                columns["trial"] = trial
            columns |= {"time (s)": time, "neuron": neuron}
            _append(pd.DataFrame(columns), path, first)
            first = False
    if first:  # a silent population
        _append(pd.DataFrame(columns=["time (s)", "neuron"]), path, first)


def _append(frame, path, first):
    """Rows at the end of a file; numbers as the shortest text that reads back the same."""
    frame.to_csv(path, mode="a", header=first, index=False, lineterminator="\n")


@contextlib.contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Temporary folder beside `path` that takes its place when the block ends without an error.

    Raises
    ------
    InputError
        If it cannot be written (permission, disk full, ...).
    """
    temporary, old = (path.with_name(path.name + ending) for ending in (".part", ".old"))
    try:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    except OSError as err:
        raise InputError(
            f"{path}: cannot be written ({err.strerror or err}). Free some space, or give another name with --out."
        ) from err
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)
