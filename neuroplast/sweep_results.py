"""Results of a sweep: one labelled dataset, the programs that served it, the tables at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuroplast.report import COLOURS
from neuroplast.traces import RESULTS as RUN_RESULTS
from neuroplast.traces import combine, open_netcdf, write_dataset

if TYPE_CHECKING:
    import xarray as xr

SWEEP = "sweep.json"
RESULTS = "sweep.nc"


def write_results(sweep, title: str) -> None:
    """Write ``sweep.nc`` of the points that are done; NaN stands where one is not. Without any, there is none."""
    parts = []
    for point in sweep.points:
        if sweep.outcomes.get(point.name, {}).get("status") == "done":
            with open_netcdf(sweep.folder / point.name / RUN_RESULTS) as dataset:
                # Without the types of the files: a whole number that is missing elsewhere becomes NaN.
                parts.append((point.coords, dataset.load().drop_encoding()))
    path = sweep.folder / RESULTS
    if not parts:
        path.unlink(missing_ok=True)
        return
    labels = {axis.key: list(axis.values) for axis in sweep.axes}
    labels["seed"] = sorted({point.seed for point in sweep.points})
    dataset = together(parts, labels)
    for axis in sweep.axes:
        dataset[axis.key].attrs.update({"units": axis.unit} if axis.unit else {}, long_name=axis.field)
    dataset = dataset.squeeze([axis.key for axis in sweep.axes if len(axis.values) == 1])
    write_dataset(dataset.assign_attrs(title=title), path)


def together(parts, labels) -> xr.Dataset:
    """One dataset from the points' results.

    Parameters
    ----------
    parts : list of (dict, xarray.Dataset)
        Coordinates of each point and its results.
    labels : dict
        All values of each coordinate; NaN stands for points that are missing.

    Returns
    -------
    xarray.Dataset
        Dimensions of the points that have one entry, another one at each point, become coordinates along the sweep:
        else the results would be a block diagonal of NaN. What is called as a swept parameter is becomes ``run_NAME``.
    """
    sets = [dataset for _, dataset in parts]
    attrs = {
        name: value
        for name, value in sets[0].attrs.items()
        if all(_same(dataset.attrs.get(name), value) for dataset in sets)
    }
    sets = [dataset.drop_attrs(deep=False) for dataset in sets]
    shared = [dim for dim in sets[0].dims if all(dim in dataset.indexes for dataset in sets)]
    single = [dim for dim in shared if all(dataset.sizes[dim] == 1 for dataset in sets)]
    moved = [dim for dim in single if len({dataset[dim].values[0] for dataset in sets}) > 1]
    sets = [_renamed(dataset.squeeze(moved), labels) for dataset in sets]
    whole = combine([(coords, dataset) for (coords, _), dataset in zip(parts, sets, strict=True)])
    return whole.reindex(labels).assign_attrs(attrs)


def _renamed(dataset, labels):
    taken = [name for name in labels if name in dataset.dims or name in dataset.variables]
    return dataset.rename({name: f"run_{name}" for name in taken})


def _same(one, other):
    return type(one) is type(other) and bool((one == other) if not hasattr(one, "shape") else (one == other).all())


def programs_text(sweep) -> str:
    """How many compiled programs served the points, how many were built, and which values are compiled in."""
    served = {
        point.name: (point, frozenset(outcome.get("programs", {})))
        for point in sweep.points
        if (outcome := sweep.outcomes.get(point.name)) and outcome.get("programs")
    }
    if not served:
        return ""
    programs = frozenset().union(*(names for _, names in served.values()))
    built = {
        name for each in sweep.outcomes.values() for name, how in each.get("programs", {}).items() if how == "built"
    }
    text = (
        f"{_count(len(programs))} served {len(served)} points ({len(built)} built, {len(programs) - len(built)} found)"
    )
    sized = _by(served, lambda point: str(sweep.outcomes[point.name].get("sizes", {})))
    if len(sized) > 1:
        return f"{text}; points that were done earlier have programs of their own size"
    compiled = []
    for axis in sweep.axes:
        by_value = _by(served, lambda point, key=axis.key: point.coords[key])
        if len(set(by_value.values())) > 1:
            pairs = zip(axis.texts, axis.values, strict=True)
            values = ", ".join(f"{axis.key}={text}" for text, value in pairs if value in by_value)
            compiled.append(f"{values} ({axis.key} is compiled in)")
    return f"{text}: {'; '.join(compiled)}" if compiled else text


def _by(served, what):
    """Programs of the points, by a property of theirs."""
    found: dict = {}
    for point, programs in served.values():
        found[what(point)] = found.get(what(point), frozenset()) | programs
    return found


def _count(number):
    return "1 program" if number == 1 else f"{number} programs"


def print_sweep(sweep, console) -> None:
    """Table of the claims at each value, of the points that did not end well, the programs, and where it all is."""
    from rich.table import Table
    from rich.text import Text

    cases: dict[str, list] = {}
    for point in sweep.points:
        cases.setdefault(point.case, []).append(sweep.outcomes.get(point.name, {}))
    names = list(
        dict.fromkeys(claim["name"] for each in cases.values() for one in each for claim in one.get("claims", ()))
    )
    if names:
        size = " (--quick: a small size)" if any(one.get("quick") for one in sweep.outcomes.values()) else ""
        size = " (--full)" if any(one.get("full") for one in sweep.outcomes.values()) else size
        table = Table(
            "values", "seeds done", *names, title=f"seeds at which each claim holds{size}", title_justify="left"
        )
        table.columns[0].min_width = max(len(part) for case in cases for part in f"{case} defaults".split())
        for case, outcomes in cases.items():
            done = [one for one in outcomes if one.get("status") == "done"]
            cells = [
                _held([claim for one in done for claim in one["claims"] if claim["name"] == name]) for name in names
            ]
            table.add_row(Text(case or "defaults"), f"{len(done)} of {len(outcomes)}", *cells)
        console.print(table)
    bad = {name: one for name, one in sweep.outcomes.items() if one["status"] != "done"}
    if bad:
        table = Table("point", "status", "reason", title="points without results", title_justify="left")
        for name, one in bad.items():
            table.add_row(Text(name), one["status"], Text(one.get("error", "")))
        console.print(table)
    if sweep.programs:
        console.print(sweep.programs, highlight=False, markup=False, soft_wrap=True)
    for name in ("", RESULTS, SWEEP):
        if (sweep.folder / name).exists():
            console.print(f"{name or 'sweep':<15}{sweep.folder / name}", soft_wrap=True, highlight=False, markup=False)


def _held(claims):
    """Text such as "7 of 9"; seeds at which a claim could not be judged do not count."""
    from rich.text import Text

    judged = [claim["verdict"] for claim in claims if claim["verdict"] != "not run"]
    if not judged:
        return Text("not run", style=COLOURS["not run"])
    held = judged.count("holds")
    return Text(f"{held} of {len(judged)}", style=COLOURS["holds" if 2 * held > len(judged) else "does not hold"])
