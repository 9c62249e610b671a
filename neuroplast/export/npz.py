"""A run as one npz file: every array and coordinate as it is in the results, and plain arrays that describe them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from neuroplast.export.series import BLOCK, Contents
from neuroplast.files import written_through

#: Members that describe the others: parallel arrays of texts, and the record as JSON.
ABOUT = ("_names", "_dims", "_units", "_kinds", "_docs", "_record")


def write(contents: Contents, path: Path, *, say) -> None:
    """Write the file, an array at a time and a large array a block at a time.

    Parameters
    ----------
    contents : Contents
    path : pathlib.Path
    say : callable
    """
    variables = contents.dataset.variables
    with written_through(path) as sink, zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        about = {
            "_names": [str(name) for name in variables],
            "_dims": [",".join(map(str, variable.dims)) for variable in variables.values()],
            "_units": [str(variable.attrs.get("units", "")) for variable in variables.values()],
            "_kinds": [
                str(variable.attrs.get("kind", "coordinate" if name in contents.dataset.coords else ""))
                for name, variable in variables.items()
            ],
            "_docs": [str(variable.attrs.get("long_name", "")) for variable in variables.values()],
            "_record": json.dumps(dict(contents.record), ensure_ascii=False),
        }
        for name in ABOUT:
            _write(archive, name, np.array(about[name], dtype=str), sink.check)
        for name, variable in variables.items():
            _write(archive, str(name), variable, sink.check)


def _write(archive, name, variable, check):
    if variable.dtype.kind in "OT":  # texts of any length; without pickle they are numpy's own
        variable = np.asarray(variable.values).astype(str)
    dtype, shape = variable.dtype, variable.shape
    # A fixed date: the same run gives the same bytes.
    with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(file, header)
        for block in _blocks(variable):
            file.write(np.ascontiguousarray(block, dtype=dtype).data)
            check()


def _blocks(variable, index=()):
    """An array piece by piece in C order."""
    here = variable[index] if index else variable
    if not here.ndim or here.nbytes <= BLOCK:
        yield np.asarray(here.values if hasattr(here, "values") else here)
        return
    rows = max(1, BLOCK * len(here) // here.nbytes) if len(here) else 1
    if here.nbytes // len(here) <= BLOCK:
        for a in range(0, len(here), rows):
            yield from _blocks(here[a : a + rows])
        return
    for row in range(len(here)):
        yield from _blocks(here[row])
