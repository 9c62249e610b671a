"""A run's record as tables for the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuroplast.errors import InputError
from neuroplast.progress import duration
from neuroplast.traces import Traces

COLOURS = {"holds": "green", "does not hold": "red", "not run": "yellow"}


def print_claims(record: dict, console: Console) -> None:
    """Table of what the paper says, what was measured, and the verdict."""
    claims = record.get("claims") or []
    if not claims:
        return
    table = Table("claim", "paper", "measured", "verdict", title=_title(record), title_justify="left")
    for claim in claims:
        verdict = Text(claim["verdict"], style=COLOURS.get(claim["verdict"], ""))
        table.add_row(Text(claim["name"]), Text(claim["paper"]), Text(claim["measured"]), verdict)
    console.print(table)


def print_record(record: dict, console: Console) -> None:
    """The record in short: status, parameters with units, versions; then the table of claims."""
    environment = record.get("environment", {})
    versions = ", ".join(f"{name} {number}" for name, number in environment.get("versions", {}).items())
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("protocol", record.get("protocol")),
        ("status", record.get("status")),
        ("error", record.get("error")),
        ("seed", record.get("seed")),
        ("target", record.get("target")),
        ("started", record.get("started")),
        ("took", duration(record["seconds"]) if "seconds" in record else None),
        ("versions", versions),
        ("compiler", environment.get("compiler")),
        ("git commit", environment.get("git_commit")),
    ):
        if value is not None:
            facts.add_row(name, Text(str(value)))
    console.print(facts)
    parameters = Table("parameter", "value", "", title="parameters", title_justify="left")
    for name, entry in record.get("parameters", {}).items():
        parameters.add_row(name, Text(entry["value"]), Text(entry["doc"]))
    console.print(parameters)
    print_claims(record, console)


def print_contents(folder: Path, console: Console) -> None:
    """Table of what was recorded, and the nets; reads no data."""
    try:
        traces = Traces.load(folder)
        arrays, nets = traces.dataset.data_vars, traces.nets
    except InputError as err:
        console.print(f"recorded: {err}", highlight=False, markup=False)
        return
    table = Table("recorded", "kind", "dimensions", "unit", "size", title_justify="left")
    for name, array in arrays.items():
        table.add_row(*_row(name, array))
    if nets:
        label, first = next(iter(nets.items()))
        table.title = f"{len(nets)} nets; below the line what each has in nets/LABEL (here {label})"
        table.add_section()
        for name, array in first.dataset.data_vars.items():
            table.add_row(*_row(name, array))
    console.print(table)


def _row(name, array):
    sizes = " × ".join(f"{str(dim).removeprefix(f'{name}_')} {size}" for dim, size in array.sizes.items())
    return [Text(str(text)) for text in (name, array.attrs.get("kind", ""), sizes, _unit(array), _bytes(array.nbytes))]


def _unit(array):
    return array.attrs.get("units", "")


def _bytes(number):
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} GB"


def print_paths(folder: Path, console: Console) -> None:
    """Where the run, its figure, its results and its record are."""
    for name in ("", "figure.png", "animation.gif", "results.nc", "run.json"):
        if (folder / name).exists():
            console.print(f"{name or 'run':<15}{folder / name}", soft_wrap=True, highlight=False, markup=False)


def _title(record):
    size = " (--quick: a small size, at which the paper's claims need not hold)" if record.get("quick") else ""
    size = " (--full)" if record.get("full") else size
    return f"{record.get('protocol')}: paper and measurement{size}"
