"""What a picture shows: which net, array and trials; and how it says so."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroplast.errors import InputError
from neuroplast.files import read_json
from neuroplast.traces import POINTER

if TYPE_CHECKING:
    import xarray as xr

    from neuroplast.traces import Traces

LISTED = 12  # names that an error lists before it only counts them


@dataclass(frozen=True)
class Shown:
    """One array (or the spikes of one population) out of a run, and the words that say where it is from.

    Attributes
    ----------
    name : str
    data : xarray.DataArray or xarray.Dataset
    traces, run : Traces
        Of the net, and of the run that it belongs to; the same if there is but one net.
    where : str
        Which net it is, out of how many; "" if there is only one.
    """

    name: str
    data: Any
    traces: Traces
    run: Traces
    where: str = ""

    @property
    def coords(self) -> dict:
        """Place among the run's nets, such as ``{"rule": "rflo", "net": 3}``."""
        pointer = Path(self.traces.folder or "") / POINTER
        if self.traces is not self.run and pointer.exists():
            return read_json(pointer)["coords"]
        return {dim: self.data[dim].item() for dim in self.data.coords if self.data[dim].ndim == 0}

    def single(self, keep: Sequence[str]) -> Shown:
        """The first along each dimension that is not to be kept: the combined results of a run hold several nets."""
        others = [dim for dim in self.data.dims if dim not in keep]
        if not others:
            return self
        data = self.data.isel(dict.fromkeys(others, 0))
        labels = [f"{dim}={data[dim].item() if dim in data.coords else 0}" for dim in others]
        sizes = int(np.prod([self.data.sizes[dim] for dim in others]))
        where = ", ".join(labels) + (f" (the first of {sizes})" if sizes > 1 else "")
        return replace(self, data=data, where=where if sizes > 1 else self.where)


def shown(
    traces: Traces,
    net: str | None,
    variable: str | None,
    of: Callable[[Traces], Any],
    names: Callable[[Traces], Sequence[str]],
    missing: str,
) -> Shown:
    """Find the array to draw.

    Parameters
    ----------
    traces : Traces
    net, variable : str, optional
        As for `neuroplast.pictures.plot`.
    of : callable
        From traces to the mapping that holds it.
    names : callable
        From traces to the names that could be drawn, the best first.
    missing : str
        What the error says if there is none.
    """
    where, chosen = "", traces
    nets = traces.nets
    if net is not None and net not in nets:
        there = f"There are: {listed(nets)}" if nets else "There is only one here: leave --net out"
        raise InputError(f"{net}: is no net of this run. {there}.")
    if net is not None:
        where, chosen = f"net {net}", nets[net]
    elif nets:
        for number, (label, one) in enumerate(nets.items()):
            if names(one) if variable is None else _has(of(one), variable):
                where, chosen = f"net {label} ({_ordinal(number)} of {len(nets)})", one
                break
    if variable is not None:
        data, named = of(chosen)[variable], [name for name in of(chosen) if name.startswith(f"{variable}.")]
        return Shown(variable if variable in of(chosen) else named[0], data, chosen, traces, where)
    there = names(chosen)
    if not there:
        raise InputError(f"{missing} {recorded(chosen)}")
    return Shown(there[0], of(chosen)[there[0]], chosen, traces, where)


def _has(mapping, name):
    """Whether a mapping of traces knows the name, which may be short for another."""
    try:
        mapping[name]
    except (KeyError, InputError):
        return False
    return True


def _ordinal(number):
    return "the first" if number == 0 else f"number {number + 1}"


def recorded(traces: Traces) -> str:
    """Sentence that lists what there is."""
    kinds = {"rates": traces.rates, "weights": traces.weights, "spikes": traces.spikes, "metrics": traces.metrics}
    texts = [f"{kind}: {listed(mapping)}" for kind, mapping in kinds.items() if len(mapping)]
    return f"Recorded were {'; '.join(texts)}." if texts else "Nothing was recorded."


def listed(names) -> str:
    """Names with commas between them; of many the first and the number of the others."""
    names = [str(name) for name in names]
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def again(traces: Traces, record: str) -> str:
    """How to run it so that the record is made."""
    return f"Run it with: neuroplast run {traces.record.get('protocol', 'NAME')} --record {record}."


def positions(labels: Sequence[int], wanted: Sequence[int] | None, name: str = "trial") -> list[int]:
    """Where the wanted trials stand among those recorded.

    Parameters
    ----------
    labels : sequence of int
        Numbers of the recorded trials.
    wanted : sequence of int or None
        Numbers; negative ones count from the last recorded. None: the first and the last.
    name : str
        Of one of them, for the message.
    """
    labels = [int(label) for label in labels]
    if wanted is None:
        return list(range(len(labels)))[:: max(1, len(labels) - 1)]
    found = []
    for number in wanted:
        if number < 0 and -number <= len(labels):
            found.append(len(labels) + number)
        elif number in labels:
            found.append(labels.index(number))
        else:
            there = listed(labels) + (f" (the last is {labels[-1]})" if len(labels) > LISTED else "")
            raise InputError(f"{name} {number} was not recorded. Recorded were: {there}.")
    return list(dict.fromkeys(found))


def numbers(text: str | None) -> tuple[int, ...] | None:
    """Trials as they are given on the command line, such as ``0,-1``."""
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--trials should be numbers such as 0,-1. Got {text!r}.") from None


def title(fig, shown: Shown, *notes: str) -> None:
    """Head a figure by what it shows: protocol, seed, array, net; then notes, in smaller letters."""
    record = shown.traces.record
    head = ", ".join(
        [
            *([record["protocol"]] if "protocol" in record else []),
            *([f"seed {record['seed']}"] if "seed" in record else []),
        ]
    )
    size = "".join(f" (--{name})" for name in ("quick", "full") if record.get(name))
    head = f"{head}{size}: {shown.name}" if head else shown.name
    width = int(fig.get_figwidth() * 15)  # letters of the size of the notes
    lines = textwrap.wrap(head, int(width * 0.85))
    where = f"{shown.where[0].upper()}{shown.where[1:]}." if shown.where else ""
    small = [line for note in (where, *notes) if note for line in textwrap.wrap(note, width)]
    fig.set_figheight(fig.get_figheight() + 0.18 * len(lines) + 0.14 * len(small))
    fig.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=10, fontweight="bold")
    if small:
        fig.supxlabel("\n".join(small), x=0.01, ha="left", fontsize=8, color="0.25")


def quantity(name: str, attrs: dict) -> str:
    """Name of what an axis shows, with its unit."""
    return f"{name} ({unit(attrs)})"


def meaning(name: str, attrs: dict) -> str:
    """Sentence that says what an array is, if its name does not."""
    text = str(attrs.get("long_name", ""))
    return f"{name}: {text}." if text and not text.startswith(name) else ""


def unit(attrs: dict) -> str:
    """Unit of an array; numbers without one are called so."""
    text = str(attrs.get("units", ""))
    return text if text not in ("", "1") else "dimensionless"


def in_time(array: xr.DataArray, dim: str, traces: Traces, trial: str) -> tuple[np.ndarray, str]:
    """Places along a dimension of time, and the label of their axis: seconds or ms if the step is known, else steps."""
    if dim == "time" and dim in array.coords:
        seconds = np.asarray(array[dim].values, dtype=float)
    else:
        steps = array[dim].values if dim in array.coords else np.arange(array.sizes[dim])
        dt = array.attrs.get("time_step") or _dt(traces)
        if dim != "step" or dt is None:
            return np.asarray(steps, dtype=float), dim
        seconds = (steps + 1) * float(dt)
    return scaled(seconds, f"time in the {trial}")


def _dt(traces):
    """The protocol's time step (s), if that is what its parameter ``dt`` is."""
    entry = traces.record.get("parameters", {}).get("dt", {})
    return entry.get("si") if entry.get("unit") == "s" else None


def scaled(seconds: np.ndarray, what: str) -> tuple[np.ndarray, str]:
    """Times in ms, or in s if they are long; and the label of their axis."""
    span = np.ptp(seconds) if len(seconds) else 0.0
    return (seconds, f"{what} (s)") if span >= 10 else (seconds * 1000, f"{what} (ms)")
