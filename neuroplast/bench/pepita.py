"""The benchmark of learning from batches: PEPITA's step by neuroplast, numpy, PyTorch, JAX, and its bare products."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from neuroplast.bench.pepita_problem import COLUMNS, ROWS, write_images
from neuroplast.bench.report import check_file, disturbance, show, show_time
from neuroplast.bench.rflo import divide, processor_name
from neuroplast.bench.timing import QUIET_SHARE, summarize
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "numpy", "torch", "jax")
#: Networks whose steps are compared with that of one hidden layer of 1024 neurons and one step for each phase.
GROWTH = {
    "layers": [{"hidden": [1024] * layers} for layers in (1, 2, 3)],
    "width": [{"hidden": [width]} for width in (256, 512, 1024, 2048)],
    "dt": [{"steps": steps} for steps in (1, 2, 4, 10, 20)],
}
#: Largest relative difference between what contenders learn in three steps, in single precision.
SAME = 0.02


def run(
    batches=(64, 512), threads=(1, 2), repeats=9, seconds=0.4, contenders=CONTENDERS, growth=tuple(GROWTH), json=None,
    rows=ROWS, console=None,
):  # fmt: skip
    """Measure, print tables and return what was measured.

    Each contender lives in a process of its own, pinned on as many cores as it has threads, and they take turns. Before
    that all of them learn three batches without dropout, and have to have learned the same.

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
    growth : sequence of str
        Of `GROWTH`: what the cost of neuroplast's step is shown against, on one thread.
    json : path, optional
        File for the result, samples included.
    rows : int
        Images.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        processor : str; rows : one per number of threads, batch and contender (the bare products are "sgemm") with
        the seconds per step (see `neuroplast.bench.timing.summarize`) or `error`; ratios : one per number of threads
        and batch, with each other contender's time over neuroplast's, and `of_sgemm`, the bare products' share of
        neuroplast's time; growth : by name, rows with what was varied; memory : what neuroplast needs for an epoch in
        bytes, or None; about : what contenders say of themselves.

    Raises
    ------
    InputError
        If an argument is none of the allowed values or `json` is in no existing folder.
    BuildError
        If neuroplast's own step cannot be run, or a contender computes something else.
    """
    check(batches, threads, repeats, seconds, contenders, growth, rows)
    check_file("pepita", json)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
        write_images(folder, rows)
        compare_results(contenders, folder, cores[-1:])
        found = {}
        for number in (n for n in threads if n == 1 or n <= len(cores)):
            pinned = cores[-number:] if cores else None
            with ExitStack() as stack:
                found |= measure(stack, [*contenders, "sgemm"], batches, number, pinned, repeats, seconds, folder)
        grown = {name: measure_growth(GROWTH[name], repeats, seconds, folder, cores[-1:]) for name in growth}
        memory = measure_memory(folder, cores[-1:]) if "neuroplast" in contenders else None
    measured = [
        {"threads": number, "batch": batch, "contender": name, **row} for (number, batch, name), row in found.items()
    ]
    result = {
        "processor": processor_name(),
        "rows": measured,
        "ratios": [compare(measured, *case, contenders) for case in dict.fromkeys(key[:2] for key in found)],
        "growth": grown,
        "memory": memory,
        "about": {row["contender"]: row["samples"][-1]["about"] for row in measured if "samples" in row},
    }
    if json:
        write_json(Path(json), result)
    print_result(result, contenders, console or Console())
    return result


def check(batches, threads, repeats, seconds, contenders, growth, rows):
    """Refuse what cannot be measured before anything has been compiled."""
    for name, values, allowed in (("contenders", contenders, CONTENDERS), ("growth", growth, GROWTH)):
        wrong = [value for value in values if value not in allowed]
        if wrong:
            raise InputError(f"bench pepita: {name} should be of {', '.join(allowed)}. Got {wrong} instead.")
    if min((*batches, *threads, repeats), default=0) < 1 or not batches or not threads or seconds <= 0:
        raise InputError(
            "bench pepita: batches, threads and repeats should be at least 1 and seconds above 0. Got "
            f"batches={tuple(batches)}, threads={tuple(threads)}, {repeats=}, {seconds=} instead."
        )
    if rows < 3 * max(batches):
        raise InputError(f"bench pepita: rows should be three batches at least. Got {rows} of {max(batches)} instead.")


def choose_steps(batch, seconds):
    """Steps of a sample: about `seconds` on a current core."""
    return max(3, round(seconds / (65e-6 * batch)))


def worker(name, pinned, **options):
    """A contender's process."""
    return Worker(f"pepita_{name}", pinned if not pinned or len(pinned) > 1 else pinned[0], options)


def compare_results(contenders, folder, core):
    """Refuse contenders that learn something else than the first; those that are not installed are passed over."""
    learned = {}
    for name in contenders:
        with worker(name, core, folder=folder, keep=1.0) as process:
            answer = process.value(64, "float32", "changed")
        if "value" in answer:
            learned[name] = np.array(answer["value"])
        elif name == "neuroplast":
            raise BuildError(f"bench pepita: {answer['error']}")
    for name, values in learned.items():
        first = next(iter(learned.values()))
        if not np.allclose(values, first, rtol=SAME, atol=0):
            raise BuildError(f"bench pepita: {name} learned {values}, and {next(iter(learned))} {first}.")


def measure(stack, names, batches, threads, pinned, repeats, seconds, folder):
    """Summary of each contender's samples by (threads, batch, name); they take turns."""
    workers = {name: stack.enter_context(worker(name, pinned, folder=folder, threads=threads)) for name in names}
    answers = {(threads, batch, name): [] for batch in batches for name in names}
    for _ in range(repeats):
        for batch in batches:
            for name, process in workers.items():
                answers[threads, batch, name].append(undisturbed(process, batch, choose_steps(batch, seconds)))
    return {key: summary(found) for key, found in answers.items()}


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


def measure_growth(cases, repeats, seconds, folder, core, batch=64):
    """Our step in several networks, which take turns on one core."""
    with ExitStack() as stack:
        workers = [stack.enter_context(worker("neuroplast", core, folder=folder, **case)) for case in cases]
        answers = [[] for _ in cases]
        for _ in range(repeats):
            for process, found in zip(workers, answers, strict=True):
                found.append(undisturbed(process, batch, choose_steps(batch, seconds)))
    return [case | summary(found) for case, found in zip(cases, answers, strict=True)]


def measure_memory(folder, core):
    """What an epoch of neuroplast's step needs, in bytes."""
    with worker("neuroplast", core, folder=folder) as process:
        return process.value(64, "float32", "memory").get("value")


def compare(rows, threads, batch, contenders):
    """Ratios for one number of threads and one batch; a value is None where a contender is missing."""
    times = {row["contender"]: row.get("median") for row in rows if (row["threads"], row["batch"]) == (threads, batch)}
    ours = times.get("neuroplast")
    ratios = {name: divide(times[name], ours) for name in contenders if name != "neuroplast"}
    return {"threads": threads, "batch": batch, "of_sgemm": divide(times["sgemm"], ours)} | ratios


def print_result(result, contenders, console):
    """Tables of times, of ratios, and of the cost of larger networks and smaller steps."""
    names, others = [*contenders, "sgemm"], [name for name in contenders if name != "neuroplast"]
    rows = {(row["threads"], row["batch"], row["contender"]): row for row in result["rows"]}
    times = make_table(f"µs per step, {COLUMNS}-1024-10, float32", ("threads", "batch", *names, "images/s"))
    speed = make_table("times neuroplast's time", ("threads", "batch", *others, "of sgemm's rate"))
    for ratio in result["ratios"]:
        case = ratio["threads"], ratio["batch"]
        ours = rows.get((*case, "neuroplast"), {}).get("median")
        rate = show(divide(ratio["batch"], ours), "{:,.0f}")
        times.add_row(*map(str, case), *(show_time(rows[*case, name]) for name in names), rate)
        of_sgemm = show(ratio["of_sgemm"], "{:.0%}")
        speed.add_row(*map(str, case), *(show(ratio[name], "{:.2f}") for name in others), of_sgemm)
    for table in (times, speed):
        console.print(table)
    for name, cases in result["growth"].items():
        console.print(growth_table(name, cases))
    if result["memory"] and result["memory"]["most"]:
        console.print(in_words(result["memory"]), highlight=False)
    for name, about in result["about"].items():
        console.print(f"{name}: {about}" if about else name, highlight=False, markup=False)
    for error in dict.fromkeys(row["error"] for row in result["rows"] if "error" in row):
        console.print(error, highlight=False, markup=False)
    kept = [row for row in (*result["rows"], *sum(result["growth"].values(), [])) if "kept" in row]
    console.print(f"medians on {result['processor']}, ± half of the range{disturbance(kept)}", highlight=False)


def make_table(title, columns):
    """Table of numbers."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def growth_table(name, cases):
    """Our time against the layers, the width or the time step, and that time over the first."""
    said = {
        "layers": lambda case: "-".join(map(str, case["hidden"])),
        "width": lambda case: str(case["hidden"][0]),
        "dt": lambda case: f"tau/{case['steps']}" if case["steps"] > 1 else "tau",
    }[name]
    table = make_table(f"neuroplast against {name}, µs per batch of 64 on one thread", (name, "µs", "times the first"))
    for case in cases:
        table.add_row(said(case), show_time(case), show(divide(case.get("median"), cases[0].get("median")), "{:.2f}"))
    return table


def in_words(memory):
    """The memory of an epoch in MB, and how much of it is neither data nor weights."""
    most, data, weights = (memory[name] / 1e6 for name in ("most", "data", "weights"))
    return (
        f"most memory of the program and Python: {most:.0f} MB, {most - data - 4 * weights:.0f} MB more than the data "
        f"({data:.0f}) and four times the weights ({weights:.1f})"
    )
