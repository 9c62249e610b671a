"""The benchmark of learning from batches: PEPITA's step by neuroplast, numpy, PyTorch, JAX, and its bare products."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from neuroplast.bench.batches import (
    available_cores,
    check_names,
    check_numbers,
    choose_steps,
    compare_results,
    make_table,
    measure,
    measure_memory,
    on_cores,
    print_remarks,
    versions,
)
from neuroplast.bench.pepita_problem import COLUMNS, ROWS, write_images
from neuroplast.bench.report import check_file, show, show_time
from neuroplast.bench.rflo import divide, processor_name
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "numpy", "torch", "jax")
#: Seconds that an image takes on a current core, about.
COST = 65e-6
#: Networks whose steps are compared with that of one hidden layer of 1024 neurons and one step for each phase.
GROWTH = {
    "layers": [{"hidden": [1024] * layers} for layers in (1, 2, 3)],
    "width": [{"hidden": [width]} for width in (256, 512, 1024, 2048)],
    "dt": [{"steps": steps} for steps in (1, 2, 4, 10, 20)],
}


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
    check_names("pepita", "contenders", contenders, CONTENDERS)
    check_names("pepita", "growth", growth, GROWTH)
    check_numbers("pepita", batches, threads, repeats, seconds, rows)
    check_file("pepita", json)
    cores = available_cores()
    with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
        write_images(folder, rows)
        compare_results("pepita", contenders, cores[-1:], 64, folder=folder, keep=1.0)
        found = {}
        for number, pinned in on_cores(threads, cores):
            options = {"folder": folder, "threads": number}
            all_of_them = {name: (name, options) for name in (*contenders, "sgemm")}
            times = measure("pepita", all_of_them, pinned, choose_steps(batches, seconds, COST), repeats)
            found |= {(number, *key): row for key, row in times.items()}
        grown = {name: measure_growth(GROWTH[name], repeats, seconds, folder, cores[-1:]) for name in growth}
        ours = "neuroplast" in contenders
        memory = measure_memory("pepita", "neuroplast", cores[-1:], 64, folder=folder) if ours else None
    measured = [
        {"threads": number, "batch": batch, "contender": name, **row} for (number, batch, name), row in found.items()
    ]
    result = {
        "processor": processor_name(),
        "rows": measured,
        "ratios": [compare(measured, *case, contenders) for case in dict.fromkeys(key[:2] for key in found)],
        "growth": grown,
        "memory": memory,
        "about": versions(measured),
    }
    if json:
        write_json(Path(json), result)
    print_result(result, contenders, console or Console())
    return result


def measure_growth(cases, repeats, seconds, folder, core, batch=64):
    """Our step in several networks, which take turns on one core."""
    networks = {number: ("neuroplast", {"folder": folder, **case}) for number, case in enumerate(cases)}
    found = measure("pepita", networks, core, choose_steps([batch], seconds, COST), repeats)
    return [case | found[batch, number] for number, case in enumerate(cases)]


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
    print_remarks(result, console, sum(result["growth"].values(), []))


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
