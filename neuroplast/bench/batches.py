"""What benchmarks of learning from batches have in common: contenders in processes of their own, which take turns."""

from __future__ import annotations

import os
from contextlib import ExitStack

import numpy as np
from rich.table import Table

from neuroplast.bench.report import disturbance
from neuroplast.bench.timing import QUIET_SHARE, summarize
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError

#: Largest relative difference between what contenders learn in three steps, in single precision.
SAME = 0.02


def check_names(bench, name, values, allowed, *, some=False):
    """Refuse names that are not allowed, and with `some` none at all."""
    wrong = [value for value in values if value not in allowed]
    if wrong or (some and not values):
        raise InputError(f"bench {bench}: {name} should be of {', '.join(allowed)}. Got {wrong} instead.")


def check_numbers(bench, batches, threads, repeats, seconds, rows):
    """Refuse what cannot be measured before anything has been compiled."""
    if min((*batches, *threads, repeats), default=0) < 1 or not batches or not threads or seconds <= 0:
        raise InputError(
            f"bench {bench}: batches, threads and repeats should be at least 1 and seconds above 0. Got "
            f"batches={tuple(batches)}, threads={tuple(threads)}, {repeats=}, {seconds=} instead."
        )
    if rows < 3 * max(batches):
        raise InputError(f"bench {bench}: rows should be three batches at least. Got {rows} of {max(batches)} instead.")


def available_cores():
    """Cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def on_cores(threads, cores):
    """Yield each number of threads for which there are cores, and these; None where they are not known."""
    for number in threads:
        if number == 1 or number <= len(cores):
            yield number, cores[-number:] if cores else None


def choose_steps(batches, seconds, cost):
    """Steps of a sample by batch: about `seconds`, if an image costs so many."""
    return {batch: max(3, round(seconds / (cost * batch))) for batch in batches}


def worker(bench, name, pinned, **options):
    """A contender's process."""
    return Worker(f"{bench}_{name}", pinned if not pinned or len(pinned) > 1 else pinned[0], options)


def compare_results(bench, contenders, core, batch, where="", **options):
    """Refuse contenders that learn something else than the first; those that are not installed are passed over.

    Parameters
    ----------
    bench : str
    contenders : sequence of str
    core : list of int
    batch : int
    where : str
        End of the message, such as the case in which they differ.
    **options
        For the contenders.

    Raises
    ------
    BuildError
    """
    learned = {}
    for name in contenders:
        with worker(bench, name, core, **options) as process:
            answer = process.value(batch, "float32", "changed")
        if "value" in answer:
            learned[name] = np.array(answer["value"])
        elif name == "neuroplast":
            raise BuildError(f"bench {bench}: {answer['error']}")
    for name, values in learned.items():
        first = next(iter(learned.values()))
        if not np.allclose(values, first, rtol=SAME, atol=0):
            raise BuildError(f"bench {bench}: {name} learned {values}, and {next(iter(learned))} {first}{where}.")


def measure(bench, contenders, pinned, steps, repeats):
    """Summaries of the contenders' samples, which they make in turns.

    Parameters
    ----------
    bench : str
    contenders : dict
        By any key: (name, options for it).
    pinned : list of int
        Cores.
    steps : dict of int to int
        Of each batch, the steps of a sample.
    repeats : int

    Returns
    -------
    dict of (batch, key) to dict
    """
    answers = {(batch, key): [] for batch in steps for key in contenders}
    with ExitStack() as stack:
        workers = {
            key: stack.enter_context(worker(bench, name, pinned, **options))
            for key, (name, options) in contenders.items()
        }
        for _ in range(repeats):
            for batch, count in steps.items():
                for key, process in workers.items():
                    answers[batch, key].append(undisturbed(process, batch, count))
    return {key: summary(found) for key, found in answers.items()}


def measure_memory(bench, name, core, batch, **options):
    """What an epoch of a contender's steps needs, in bytes; None if it cannot say."""
    with worker(bench, name, core, **options) as process:
        return process.value(batch, "float32", "memory").get("value")


def undisturbed(process, batch, steps, attempts=3):
    """One sample, taken again while other processes had a part of the cores, up to so many times."""
    for _ in range(attempts):
        answer = process.measure(batch, "float32", steps)
        if answer.get("share", 1) >= QUIET_SHARE:
            break
    return answer


def summary(answers):
    """Summary of samples, or the first error."""
    errors = [answer["error"] for answer in answers if "error" in answer]
    return {"error": errors[0]} if errors else summarize(answers) | {"samples": answers}


def versions(rows):
    """What contenders say of themselves, by name."""
    return {row["contender"]: row["samples"][-1]["about"] for row in rows if "samples" in row}


def make_table(title, columns):
    """Table of numbers."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def print_remarks(result, console, more=()):
    """Versions, what could not be measured, and how the medians were; `more` are rows besides those of the result."""
    for name, about in result["about"].items():
        console.print(f"{name}: {about}" if about else name, highlight=False, markup=False)
    for error in dict.fromkeys(row["error"] for row in result["rows"] if "error" in row):
        console.print(error, highlight=False, markup=False)
    kept = [row for row in (*result["rows"], *more) if "kept" in row]
    console.print(f"medians on {result['processor']}, ± half of the range{disturbance(kept)}", highlight=False)
