"""What an export takes: time, and memory beyond that of an idle process, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from neuroplast.errors import InputError
from neuroplast.files import write_json

EXPORT = """
import importlib, json, re, sys, time
from pathlib import Path
def peak():  # not that of getrusage, which begins with the parent's
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
packages, (folder, to) = sys.argv[3:], sys.argv[1:3]
for name in packages:
    importlib.import_module(name)
import h5netcdf, xarray
from neuroplast.export import export
before = peak()
start, cpu = time.perf_counter(), time.process_time()
path = export(folder, to)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
size = sum(part.stat().st_size for part in ([path] if path.is_file() else path.iterdir()))
found = {"seconds": seconds, "cpu_seconds": cpu, "file_MB": size / 1e6}
print(json.dumps(found | {"idle_MB": before, "peak_MB": peak()}))
"""
PACKAGES = {"nwb": ["pynwb"], "npz": []}


def run(megabytes=1000, formats=("nwb", "npz"), neurons=400, steps=1000, json=None, console=None):
    """Export traces of a given size.

    Parameters
    ----------
    megabytes : float
        Size of the traces.
    formats : sequence of {"nwb", "npz"}
        Those that stream binary data.
    neurons, steps : int
        Recorded neurons, and samples of each trial; the last trial is shorter.
    json : path, optional
        File for the result.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        For each format seconds, cpu_seconds, idle_MB (after imports), peak_MB and file_MB.

    Raises
    ------
    InputError
        If an export fails; ends with its last lines.
    """
    result = {"megabytes": megabytes, "neurons": neurons, "steps": steps}
    with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
        _write_traces(Path(folder), megabytes, neurons, steps)
        for to in formats:
            result[to] = export_in_process(folder, to)
    if json:
        write_json(Path(json), result)
    table = Table(
        "format", "s", "s of a core", "MB at its peak", "MB before", "MB written", title=f"export of {megabytes:g} MB"
    )
    for to in formats:
        row = result[to]
        cells = (f"{row[key]:.0f}" for key in ("peak_MB", "idle_MB", "file_MB"))
        table.add_row(to, f"{row['seconds']:.1f}", f"{row['cpu_seconds']:.1f}", *cells)
    (console or Console()).print(table)
    return result


def export_in_process(folder, to) -> dict:
    """Time and memory of one export in a process of its own."""
    command = [sys.executable, "-c", EXPORT, str(folder), to, *PACKAGES[to]]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-10:])
        raise InputError(f"bench export: {to} failed:\n{tail}")
    return json.loads(done.stdout)


def _write_traces(folder, megabytes, neurons, steps):
    """Rates of one trial after the other, as a run leaves them, written a trial at a time."""
    import h5netcdf

    from neuroplast import hdf5

    dt, trials = 0.001, max(2, round(megabytes * 1e6 / 8 / neurons / steps))
    dims = [f"units.h_{dim}" for dim in ("trial", "time", "neuron")]
    random = np.random.default_rng(0)
    with hdf5.new_file(folder / "results.nc") as (stored, check), h5netcdf.File(stored, "r+") as file:
        file.dimensions = dict(zip(dims, (trials, steps, neurons), strict=True))
        for name, dim, values in (
            (dims[0], dims[0], np.arange(trials)),
            (dims[1], dims[1], (np.arange(steps) + 1) * dt),
            ("units.h_start", dims[0], np.arange(trials) * steps * dt),
        ):
            file.create_variable(name, (dim,), data=values)
        rates = file.create_variable("units.h", dims, float, **hdf5.layout((trials, steps, neurons), float))
        rates.attrs.update(kind="rates", units="1", time_step=dt, coordinates="units.h_start")
        for trial in range(trials):
            values = random.normal(size=(steps, neurons))
            if trial == trials - 1:
                values[steps // 2 :] = np.nan
            rates[trial] = values
            check()
    write_json(folder / "run.json", {"protocol": "bench", "started": "2026-01-01T00:00:00+00:00"})
