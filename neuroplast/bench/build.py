"""How long a user waits: the first start, which compiles, and the second, which does not."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from neuroplast.errors import BuildError
from neuroplast.files import write_json

IMPORT = "import brian2"
START = "from neuroplast.bench.dense import start_rflo; start_rflo({N}, {dtype!r}, {cache!r})"


def run(N=100, dtype="float64", repeats=3, json=None, console=None):
    """Measure whole Python processes: `import brian2`, and a start with an empty and with a full build cache.

    Parameters
    ----------
    N : int
        Recurrent units of the online RFLO network that is built.
    dtype : {"float64", "float32"}
    repeats : int
        Samples of each, interleaved; each cold start has a cache of its own.
    json : path, optional
        File for the result.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        Medians in seconds: `import_brian2`; `cold_start` and `second_start` beyond it; `cold_build`, their
        difference.

    Raises
    ------
    BuildError
        If a start fails; ends with its last lines.
    """
    samples = {"import": [], "cold": [], "second": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as cache:
            start = START.format(N=N, dtype=dtype, cache=cache)
            for name, code in (("import", IMPORT), ("cold", start), ("second", start)):
                samples[name].append(time_python(code))
    imported, cold, second = (statistics.median(samples[name]) for name in ("import", "cold", "second"))
    result = {
        "import_brian2": imported,
        "cold_start": cold - imported,
        "second_start": second - imported,
        "cold_build": cold - second,
        "samples": samples,
    }
    if json:
        write_json(Path(json), result)
    (console or Console()).print(
        f"online RFLO, N={N}, {dtype}: cold build {cold - second:.2f} s; "
        f"beyond import brian2 ({imported:.2f} s) "
        f"the first start takes {cold - imported:.2f} s, the second {second - imported:.2f} s",
        highlight=False,
    )
    return result


def time_python(code):
    """Seconds that a fresh Python process takes for the code."""
    command = [sys.executable, "-c", code]
    # What is installed has its bytecode: without it a tenth of a second would go into compiling our own Python.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    child = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    taken = time.perf_counter() - start
    if child.returncode:
        tail = "\n".join(child.stdout.splitlines()[-10:])
        raise BuildError(f"bench build: a start failed:\n{tail}")
    return taken
