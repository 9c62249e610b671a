"""The benchmark of adjoint propagation: steps of learning by neuroplast, and by eager PyTorch."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rich.console import Console

from neuroplast.bench.ap_problem import CASES, MODULES
from neuroplast.bench.batches import (
    check_names,
    check_numbers,
    compare_results,
    make_table,
    measure,
    measure_memory,
    print_remarks,
    versions,
)
from neuroplast.bench.pepita_problem import write_images
from neuroplast.bench.report import check_file, show, show_time
from neuroplast.bench.rflo import divide, processor_name
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "torch")
#: How many times as long PyTorch should at least take.
TARGETS = {"STE 8-8": 1.5, "EPE 8-4": 1.5, "plastic": 1.0}


def run(
    batches=(500,), threads=(1, 2), repeats=9, seconds=1.5, contenders=CONTENDERS, cases=tuple(CASES), json=None,
    rows=10000, console=None,
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
        Of `neuroplast.bench.ap_problem.CASES`.
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
        PyTorch's time over neuroplast's and the `target`; memory : by contender, what an epoch needs in bytes; about :
        what contenders say of themselves.

    Raises
    ------
    InputError
        If an argument is none of the allowed values or `json` is in no existing folder.
    BuildError
        If neuroplast's own step cannot be run, or a contender computes something else.
    """
    check_names("ap", "contenders", contenders, CONTENDERS, some=True)
    check_names("ap", "cases", cases, CASES, some=True)
    check_numbers("ap", batches, threads, repeats, seconds, rows)
    check_file("ap", json)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    found = {}
    with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
        write_images(folder, rows)
        for case in cases:
            compare_results("ap", contenders, cores[-1:], batches[0], f", in '{case}'", folder=folder, case=case)
        for number in (n for n in threads if n == 1 or n <= len(cores)):
            pinned = cores[-number:] if cores else None
            for case in cases:
                options = {"folder": folder, "threads": number, "case": case}
                both = {name: (name, options) for name in contenders}
                steps = {batch: choose_steps(batch, seconds) for batch in batches}
                times = measure("ap", both, pinned, steps, repeats)
                found |= {(number, case, *key): row for key, row in times.items()}
        memory = {name: measure_memory("ap", name, cores[-1:], batches[0], folder=folder) for name in contenders}
    measured = [
        {"threads": number, "case": case, "batch": batch, "contender": name, **row}
        for (number, case, batch, name), row in found.items()
    ]
    result = {
        "processor": processor_name(),
        "rows": measured,
        "ratios": [compare(found, key) for key in dict.fromkeys(key[:3] for key in found)],
        "memory": memory,
        "about": versions(measured),
    }
    if json:
        write_json(Path(json), result)
    print_result(result, contenders, console or Console())
    return result


def choose_steps(batch, seconds):
    """Steps of a sample: about `seconds` of PyTorch on a current core."""
    return max(3, round(seconds / (500e-6 * batch)))


def compare(found, key):
    """PyTorch's time over neuroplast's in one case; None where one is missing."""
    times = {name: found.get((*key, name), {}).get("median") for name in CONTENDERS}
    named = dict(zip(("threads", "case", "batch"), key, strict=True))
    return named | {"torch": divide(times["torch"], times["neuroplast"]), "target": TARGETS[key[1]]}


def print_result(result, contenders, console):
    """A table of times and ratios, and remarks."""
    rows = {(row["threads"], row["case"], row["batch"], row["contender"]): row for row in result["rows"]}
    title = f"µs per step, {MODULES} modules of 1024, float32"
    table = make_table(title, ("threads", "case", "batch", *contenders, "torch / ours", "target"))
    for ratio in result["ratios"]:
        key = ratio["threads"], ratio["case"], ratio["batch"]
        times = (show_time(rows[*key, name]) for name in contenders)
        table.add_row(*map(str, key), *times, show(ratio["torch"], "{:.2f}"), show(ratio["target"], "{:.1f}"))
    console.print(table)
    for name, memory in result["memory"].items():
        if memory and memory["most"]:
            console.print(in_words(name, memory), highlight=False)
    print_remarks(result, console)


def in_words(name, memory):
    """A contender's memory in MB, and what of it are images and weights."""
    most, data, weights = (memory[part] / 1e6 for part in ("most", "data", "weights"))
    return f"{name}: at most {most:.0f} MB with Python, of which images are {data:.0f} and weights {weights:.0f}"
