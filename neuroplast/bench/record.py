"""What recording costs: complete trainings with and without every unit's rate at every step."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from neuroplast.bench.report import check_file, disturbance
from neuroplast.bench.timing import choose_core, summarize
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError
from neuroplast.files import write_json

#: What is recorded by the contender of that name.
RECORD = {"plain": (), "recorded": ("units.h",)}
STEPS = 200  # of a trial
MOST = 200_000  # steps of a training: what small networks record is on disk twice
RATE = 1e-5  # at which weights learn: low enough never to diverge
#: Recording may slow a run of this many units by this much, see issue 4.
LIMIT = {400: 1.15}


class Training:
    """Trainings of an online RFLO network by `neuroplast.training.train`, each in a folder that is then removed.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    record : sequence of str
        What is recorded.
    """

    def __init__(self, N, dtype, record):
        from neuroplast.models import rflo
        from neuroplast.tasks import periodic

        parameters = rflo.Parameters(N=N, **rflo.learning_rates(RATE))
        task = periodic(STEPS + 1)
        self.model = rflo.build(parameters, task, update="online", record=tuple(record), dtype=dtype)
        self.model.simulation.build()
        self.state = self.model.initial()

    def time(self, steps):
        """Seconds per step of a whole training: segments, checkpoints and results included."""
        from neuroplast.training import train

        trials = max(1, steps // STEPS)
        with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
            start = time.perf_counter()
            train(
                self.model.simulation, folder, state=self.state, counts=self.model.counts(trials),
                recorded=self.model.recorded,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            self.about = {"bytes": (Path(folder) / "results.nc").stat().st_size}
        return seconds / (trials * STEPS)


def run(sizes=(30, 400), repeats=7, seconds=4.0, dtype="float64", json=None, core=None, console=None):
    """Measure, print a table and return what was measured.

    Both trainings live in processes of their own, pinned on the same core, and take turns. On one core what writes
    the files does not run beside the simulation, as it does on two: the ratio is the worst that there is.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of recurrent units.
    repeats : int
        Samples of each.
    seconds : float
        About what a training without recording takes.
    dtype : {"float64", "float32"}
    json : path, optional
        File for the result, samples included.
    core : int, optional
        Core to measure on; by default the last that this process may use.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        core : int; rows : one per size with `N`, `steps`, `plain` and `recorded` (seconds per step, see
        `neuroplast.bench.timing.summarize`, and `cpu`, the median of the core's time alone), `ratio`, `cpu_ratio`
        (which other processes change less), `limit` (or None) and `bytes` of the results.

    Raises
    ------
    InputError
        If an argument is none of the allowed values, or `json` is in no existing folder.
    BuildError
        If a training fails.
    """
    if not sizes or min(sizes) < 1 or repeats < 1 or seconds <= 0:
        raise InputError(
            "bench record: sizes and repeats should be at least 1 and seconds above 0. "
            f"Got sizes={tuple(sizes)}, repeats={repeats}, seconds={seconds} instead."
        )
    check_file("record", json)
    core = choose_core() if core is None else core
    samples = {(N, name): [] for N in sizes for name in RECORD}
    with ExitStack() as stack:
        workers = {n: stack.enter_context(Worker(n, core, {"record": record})) for n, record in RECORD.items()}
        for _ in range(repeats):
            for N in sizes:
                for name, worker in workers.items():
                    samples[N, name].append(measure(worker, N, dtype, choose_steps(N, seconds)))
    result = {"core": core, "rows": [summary(N, samples, seconds) for N in sizes]}
    if json:
        write_json(Path(json), result)
    print_result(result, dtype, console or Console())
    return result


def choose_steps(N, seconds):
    """Steps of a training: about `seconds` on a current core, whole trials."""
    return max(1, int(min(MOST, seconds / (2e-7 + 6e-10 * N * N)) / STEPS)) * STEPS


def measure(worker, N, dtype, steps):
    """One sample of a worker."""
    answer = worker.measure(N, dtype, steps)
    if "error" in answer:
        raise BuildError(f"bench record: {answer['error']}")
    return answer


def summary(N, samples, seconds):
    """Medians of one size, and their ratio."""
    row = {"N": N, "steps": choose_steps(N, seconds), "limit": LIMIT.get(N)}
    for name in RECORD:
        cpu = statistics.median(sample["seconds"] * sample["share"] for sample in samples[N, name])
        row[name] = summarize(samples[N, name]) | {"cpu": cpu, "samples": samples[N, name]}
    for ratio, value in (("ratio", "median"), ("cpu_ratio", "cpu")):
        row[ratio] = row["recorded"][value] / row["plain"][value]
    return row | {"bytes": samples[N, "recorded"][-1]["about"]["bytes"]}


def print_result(result, dtype, console):
    """A table, and what it says of how quiet the core was."""
    table = Table(title=f"training online RFLO, recording every unit's rate at every step, {dtype}")
    for column in ("N", "steps", "without, µs a step", "recording, µs a step", "ratio", "of CPU time", "limit", "MB"):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        times = [f"{row[name]['median'] * 1e6:.3g}" for name in RECORD]
        limit = f"{row['limit']:.2f}" if row["limit"] else "-"
        ratios = [f"{row[name]:.3f}" for name in ("ratio", "cpu_ratio")]
        table.add_row(str(row["N"]), f"{row['steps']:,}", *times, *ratios, limit, f"{row['bytes'] / 1e6:.1f}")
    console.print(table)
    disturbed = disturbance(row[name] for row in result["rows"] for name in RECORD)
    console.print(f"medians of whole trainings on core {result['core']}{disturbed}", highlight=False)
