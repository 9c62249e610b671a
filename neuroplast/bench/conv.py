"""The benchmark of convolutional networks: steps of learning by neuroplast, and by eager PyTorch."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console

from neuroplast.bench.ap import in_words
from neuroplast.bench.conv_problem import CASES
from neuroplast.bench.pepita import make_table, summary, undisturbed
from neuroplast.bench.pepita_problem import write_images
from neuroplast.bench.report import check_file, disturbance, show, show_time
from neuroplast.bench.rflo import divide, processor_name
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "torch")
#: How many times as long PyTorch should at least take.
TARGET = 1.0
#: Largest relative difference between what contenders learn in three steps, in single precision.
SAME = 0.02


def run(
    batches=(100,), threads=(1, 2), repeats=9, seconds=1.5, contenders=CONTENDERS, cases=tuple(CASES), json=None,
    rows=5000, console=None,
):  # fmt: skip
    """Measure, print tables and return what was measured.

    Each contender lives in a process of its own, pinned on as many cores as it has threads, and they take turns. Before
    that all of them learn three batches, and have to have learned the same.

    Parameters
    ----------
    batches, threads : sequence of int
        Numbers of images in a batch and of threads; those of which there are more than cores are left out.
    repeats : int
        Samples of each.
    seconds : float
        About what a sample takes.
    contenders : sequence of str
        Of `CONTENDERS`.
    cases : sequence of str
        Of `neuroplast.bench.conv_problem.CASES`.
    json : path, optional
        File for the result, samples included.
    rows : int
        Images.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        processor : str; rows : one per number of threads, case, batch and contender with the seconds per step (see
        `neuroplast.bench.timing.summarize`) or `error`; ratios : one per number of threads, case and batch, with
        PyTorch's time over neuroplast's and the `target`; memory : by contender, what an epoch of the first case needs
        in bytes; about : what contenders say of themselves.

    Raises
    ------
    InputError
        If an argument is none of the allowed values or `json` is in no existing folder.
    BuildError
        If neuroplast's own step cannot be run, or a contender computes something else.
    """
    check(batches, threads, repeats, seconds, contenders, cases, rows)
    check_file("conv", json)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found = {}
    with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
        write_all(folder, rows, cases)
        for case in cases:
            compare_results(contenders, folder, cores[-1:], case, batches[0])
        for number in (n for n in threads if n == 1 or n <= len(cores)):
            pinned = cores[-number:] if cores else None
            for case in cases:
                found |= measure(contenders, case, batches, number, pinned, repeats, seconds, folder)
        memory = {name: measure_memory(name, folder, cores[-1:], batches[0], cases[0]) for name in contenders}
    measured = [
        {"threads": number, "case": case, "batch": batch, "contender": name, **row}
        for (number, case, batch, name), row in found.items()
    ]
    result = {
        "processor": processor_name(),
        "rows": measured,
        "ratios": [compare(found, key) for key in dict.fromkeys(key[:3] for key in found)],
        "memory": memory,
        "about": {row["contender"]: row["samples"][-1]["about"] for row in measured if "samples" in row},
    }
    if json:
        write_json(Path(json), result)
    print_result(result, contenders, console or Console())
    return result


def check(batches, threads, repeats, seconds, contenders, cases, rows):
    """Refuse what cannot be measured before anything has been compiled."""
    for name, values, allowed in (("contenders", contenders, CONTENDERS), ("cases", cases, CASES)):
        wrong = [value for value in values if value not in allowed]
        if wrong or not values:
            raise InputError(f"bench conv: {name} should be of {', '.join(allowed)}. Got {list(values)} instead.")
    if min((*batches, *threads, repeats), default=0) < 1 or not batches or not threads or seconds <= 0:
        raise InputError(
            "bench conv: batches, threads and repeats should be at least 1 and seconds above 0. Got "
            f"batches={tuple(batches)}, threads={tuple(threads)}, {repeats=}, {seconds=} instead."
        )
    if rows < 3 * max(batches):
        raise InputError(f"bench conv: rows should be three batches at least. Got {rows} of {max(batches)} instead.")


def write_all(folder, rows, cases):
    """Images of each size that the cases have, in a folder called after the number of pixels."""
    for pixels in {int(np.prod(CASES[case][1])) for case in cases}:
        (Path(folder) / str(pixels)).mkdir()
        write_images(Path(folder) / str(pixels), rows, pixels)


def choose_steps(batch, seconds):
    """Steps of a sample: about `seconds` of PyTorch on a current core."""
    return max(3, round(seconds / (300e-6 * batch)))


def worker(name, pinned, **options):
    """A contender's process."""
    return Worker(f"conv_{name}", pinned if not pinned or len(pinned) > 1 else pinned[0], options)


def compare_results(contenders, folder, core, case, batch):
    """Refuse contenders that learn something else than the first; those that are not installed are passed over."""
    learned = {}
    for name in contenders:
        with worker(name, core, folder=folder, case=case) as process:
            answer = process.value(batch, "float32", "changed")
        if "value" in answer:
            learned[name] = np.array(answer["value"])
        elif name == "neuroplast":
            raise BuildError(f"bench conv: {answer['error']}")
    for name, values in learned.items():
        first = next(iter(learned.values()))
        if not np.allclose(values, first, rtol=SAME, atol=0):
            raise BuildError(f"bench conv: {name} learned {values}, and {next(iter(learned))} {first}, in '{case}'.")


def measure(names, case, batches, threads, pinned, repeats, seconds, folder):
    """Summary of each contender's samples by (threads, case, batch, name); they take turns."""
    answers = {(threads, case, batch, name): [] for batch in batches for name in names}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(worker(name, pinned, folder=folder, threads=threads, case=case)) for name in names
        }
        for _ in range(repeats):
            for batch in batches:
                for name, process in workers.items():
                    sample = undisturbed(process, batch, choose_steps(batch, seconds))
                    answers[threads, case, batch, name].append(sample)
    return {key: summary(found) for key, found in answers.items()}


def measure_memory(name, folder, core, batch, case):
    """What an epoch of a contender's steps needs, in bytes."""
    with worker(name, core, folder=folder, case=case) as process:
        return process.value(batch, "float32", "memory").get("value")


def compare(found, key):
    """PyTorch's time over neuroplast's in one case; None where one is missing."""
    times = {name: found.get((*key, name), {}).get("median") for name in CONTENDERS}
    named = dict(zip(("threads", "case", "batch"), key, strict=True))
    return named | {"torch": divide(times["torch"], times["neuroplast"]), "target": TARGET}


def print_result(result, contenders, console):
    """A table of times and ratios, and remarks."""
    rows = {(row["threads"], row["case"], row["batch"], row["contender"]): row for row in result["rows"]}
    title = "µs per step, 32 filters of 5 x 5, float32"
    table = make_table(title, ("threads", "case", "batch", *contenders, "torch / ours", "target"))
    for ratio in result["ratios"]:
        key = ratio["threads"], ratio["case"], ratio["batch"]
        times = (show_time(rows[*key, name]) for name in contenders)
        table.add_row(*map(str, key), *times, show(ratio["torch"], "{:.2f}"), show(ratio["target"], "{:.1f}"))
    console.print(table)
    for name, memory in result["memory"].items():
        if memory and memory["most"]:
            console.print(in_words(name, memory), highlight=False)
    for name, about in result["about"].items():
        console.print(f"{name}: {about}" if about else name, highlight=False, markup=False)
    for error in dict.fromkeys(row["error"] for row in result["rows"] if "error" in row):
        console.print(error, highlight=False, markup=False)
    kept = [row for row in result["rows"] if "kept" in row]
    console.print(f"medians on {result['processor']}, ± half of the range{disturbance(kept)}", highlight=False)
