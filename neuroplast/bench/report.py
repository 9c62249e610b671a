"""Tables of what the benchmarks measured."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from neuroplast.bench.timing import QUIET_SHARE
from neuroplast.errors import InputError


def check_file(bench, path):
    """Refuse a file for the result, if there should be one, in a folder that there is not: before all the measuring.

    Raises
    ------
    InputError
    """
    if path and not Path(path).absolute().parent.is_dir():
        raise InputError(f"bench {bench}: {path} cannot be written: make its folder first.")


def print_report(result, contenders, console=None):
    """Print times, ratios, the distance from the memory's limit and remarks of a `bench.rflo.run`."""
    console = console or Console()
    others = [name for name in contenders if name != "neuroplast"]
    rows = {(row["N"], row["dtype"], row["contender"]): row for row in result["rows"]}
    for dtype in dict.fromkeys(ratio["dtype"] for ratio in result["ratios"]):
        console.print(f"\nonline RFLO step, {dtype}")
        times = make_table("µs", contenders)
        speed = make_table("times neuroplast's time", others)
        memory = make_table(
            "bytes per step (W and p, read and written), what the core moves, neuroplast's share of it",
            ("bytes", "copy GB/s", "in place GB/s", "in place µs", "of copy", "of in place"),
        )
        for ratio in (ratio for ratio in result["ratios"] if ratio["dtype"] == dtype):
            N = ratio["N"]
            times.add_row(str(N), *(show_time(rows[N, dtype, name]) for name in contenders))
            speed.add_row(str(N), *(show(ratio[name], "{:.2f}") for name in others))
            memory.add_row(
                str(N),
                f"{ratio['bytes']:,}",
                *(show(ratio[kind], "{:.0f}", 1e-9) for kind in ("copy", "update")),
                show_time(rows[N, dtype, "update"]),
                *(show(ratio[f"of_{kind}"], "{:.0%}") for kind in ("copy", "update")),
            )
        for table in (times, speed, memory):
            console.print(table)
    for line in remarks(result):
        console.print(line, highlight=False, markup=False)


def make_table(title, columns):
    """Table of numbers with N in front."""
    table = Table(title=title, title_justify="left")
    for column in ("N", *columns):
        table.add_column(column, justify="right")
    return table


def remarks(result):
    """Lines on the machine, on contenders that did not run and on samples that other processes disturbed."""
    machine = result["machine"]
    yield "medians, ± half of the range; one thread each, all on the same core"
    yield f"core {machine['core']} of {machine['processor']}, Python {machine['python']}"
    for name, about in machine["about"].items():
        yield f"{name}: {about}"
    yield from dict.fromkeys(row["error"] for row in result["rows"] if "error" in row)
    left_out, taken = disturbed(row for row in result["rows"] if "kept" in row)
    if left_out:
        yield f"left out, with less than {QUIET_SHARE:.0%} of the core: {left_out} of {taken} samples"
        yield "? median of such samples alone: repeat it when the machine is idle"


def disturbed(summaries):
    """How many samples other processes disturbed, of how many, in summaries of `timing.summarize`."""
    summaries = list(summaries)
    kept, taken = (sum(summary[name] for summary in summaries) for name in ("kept", "taken"))
    return taken - kept, taken


def disturbance(summaries):
    """The same as the end of a sentence; nothing if all were quiet."""
    left_out, taken = disturbed(summaries)
    return f"; other processes disturbed {left_out} of {taken} samples" if left_out else ""


def show(value, form, scale=1):
    """The value as text, or a dash."""
    return "-" if value is None else form.format(value * scale)


def show_time(row):
    """Microseconds of a row and half of their range in percent, or a dash."""
    if "error" in row:
        return "-"
    doubt = "" if row["kept"] else " ?"
    return f"{row['median'] * 1e6:.3g} ±{(row['high'] - row['low']) / 2 / row['median']:.0%}{doubt}"
