"""What benchmarks of several cases against eager PyTorch have in common: measure, compare, print."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from neuroplast.bench.report import check_file, show, show_time
from neuroplast.bench.rflo import divide, processor_name
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "torch")


@dataclass(frozen=True)
class Comparison:
    """A benchmark of steps of learning, by neuroplast and by eager PyTorch.

    Attributes
    ----------
    bench : str
        Its name; the contenders are those of `neuroplast.bench.worker.FACTORIES` that begin with it.
    title : str
        Of the table.
    targets : dict of str to float
        How many times as long PyTorch should at least take, by case.
    cost : float
        Seconds that PyTorch takes for an image on a current core, about.
    write : callable
        ``write(folder, rows, cases)`` writes the images.
    """

    bench: str
    title: str
    targets: Mapping[str, float]
    cost: float
    write: Callable

    def run(self, batches, threads, repeats, seconds, contenders, cases, json, rows, console):
        """Measure, print tables and return what was measured; see `neuroplast.bench.ap.run`."""
        check_names(self.bench, "contenders", contenders, CONTENDERS, some=True)
        check_names(self.bench, "cases", cases, self.targets, some=True)
        check_numbers(self.bench, batches, threads, repeats, seconds, rows)
        check_file(self.bench, json)
        cores, steps, found = available_cores(), choose_steps(batches, seconds, self.cost), {}
        with tempfile.TemporaryDirectory(prefix="neuroplast-bench-") as folder:
            self.write(folder, rows, cases)
            for case in cases:
                where, options = f", in '{case}'", {"folder": folder, "case": case}
                compare_results(self.bench, contenders, cores[-1:], batches[0], where, **options)
            for number, pinned in on_cores(threads, cores):
                for case in cases:
                    options = {"folder": folder, "threads": number, "case": case}
                    times = measure(self.bench, {name: (name, options) for name in contenders}, pinned, steps, repeats)
                    found |= {(number, case, *key): row for key, row in times.items()}
            options = {"folder": folder, "case": cases[0]}
            memory = {n: measure_memory(self.bench, n, cores[-1:], batches[0], **options) for n in contenders}
        measured = [
            {"threads": number, "case": case, "batch": batch, "contender": name, **row}
            for (number, case, batch, name), row in found.items()
        ]
        result = {
            "processor": processor_name(),
            "rows": measured,
            "ratios": [self.compare(found, key) for key in dict.fromkeys(key[:3] for key in found)],
            "memory": memory,
            "about": versions(measured),
        }
        if json:
            write_json(Path(json), result)
        self.print(result, contenders, console or Console())
        return result

    def compare(self, found, key):
        """PyTorch's time over neuroplast's in one case; None where one is missing."""
        times = {name: found.get((*key, name), {}).get("median") for name in CONTENDERS}
        named = dict(zip(("threads", "case", "batch"), key, strict=True))
        return named | {"torch": divide(times["torch"], times["neuroplast"]), "target": self.targets[key[1]]}

    def print(self, result, contenders, console):
        """A table of times and ratios, and remarks."""
        rows = {(row["threads"], row["case"], row["batch"], row["contender"]): row for row in result["rows"]}
        table = make_table(self.title, ("threads", "case", "batch", *contenders, "torch / ours", "target"))
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
    return f"{name}: at most {most:.0f} MB with Python, of which images are {data:.0f} and weights {weights:.2g}"
