"""Running a protocol: what its module declares, and everything that every run does around it.

A protocol is a module of 30 to 80 lines that declares

- a docstring: the paper, the figure, what must be seen;
- ``PAPER = {"figure": ..., "doi": ...}`` and ``EXPECTED_TIME = "40 s"``, shown by ``neuroplast list``;
- ``Parameters``, a frozen dataclass, and ``QUICK``, the values that ``--quick`` changes;
- ``FULL``, those that ``--full`` changes, where the paper's size takes hours, and ``FULL_TIME`` (optional);
- ``EXPECTED``, a list of `Claim`;
- ``experiment(parameters, run)``, which returns an `xarray.Dataset`; `Run` is what it gets;
- ``figure(dataset)``, which returns a matplotlib figure, and ``animation(dataset)``, which returns a matplotlib
  animation (both optional).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neuroplast.asked import say_unrecorded
from neuroplast.catalogue import ProtocolInfo, find, load, protocols
from neuroplast.errors import DivergedError, InputError
from neuroplast.experiment import Run, provenance
from neuroplast.files import DiskFull
from neuroplast.parameters import describe, with_overrides, with_settings
from neuroplast.progress import Progress
from neuroplast.report import print_claims, print_paths
from neuroplast.reuse import Reuse
from neuroplast.runs import RunFolder, compiler_version, environment
from neuroplast.traces import RESULTS, Traces, only_aside, open_netcdf, write_dataset

VERDICTS = ("holds", "does not hold", "not run")
TARGETS = ("cpp", "numpy")


@dataclasses.dataclass(frozen=True)
class Claim:
    """Something that the paper says and a run can tell.

    Parameters
    ----------
    name : str
    paper : str
        The value or the ordering in the paper, in words.
    check : callable
        From the results (`xarray.Dataset`) to ``(measured, verdict)``: a text and one of "holds",
        "does not hold", "not run".
    values : dict of str to float
        Metrics with the numbers that they are compared with, such as ``{"alignment": 0.7}``: lines in the pictures of
        ``neuroplast show --plot``.
    """

    name: str
    paper: str
    check: Callable[[xr.Dataset], tuple[str, str]]
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def measure(self, dataset: xr.Dataset) -> dict[str, Any]:
        """Row of the table: name, paper, measured, verdict; and the values, if there are any.

        Raises
        ------
        InputError
            If the check returns anything else than a text and a verdict.
        """
        answer = self.check(dataset)
        if not (isinstance(answer, tuple) and len(answer) == 2 and answer[1] in VERDICTS):
            raise InputError(
                f"Claim {self.name!r}: check should return (measured text, one of {', '.join(VERDICTS)}). "
                f"Got {answer!r} instead."
            )
        row = {"name": self.name, "paper": self.paper, "measured": str(answer[0]), "verdict": answer[1]}
        return row | ({"values": dict(self.values)} if self.values else {})


def holds(condition) -> str:
    """Verdict of a comparison."""
    return VERDICTS[0] if bool(condition) else VERDICTS[1]


def run_protocol(
    protocol: str | ProtocolInfo,
    *,
    settings: Iterable[str] | Mapping[str, Any] = (),
    record: Iterable = (),
    seed: int = 0,
    out: str | Path | None = None,
    quick: bool = False,
    full: bool = False,
    resume: bool = False,
    target: str | None = None,
    threads: int | None = None,
    console=None,
    progress: Progress | None = None,
    others: Iterable = (),
    reuse: Iterable[str | Path] = (),
) -> Traces:
    """Run a protocol from parameters to figure, in a folder of its own.

    Parameters
    ----------
    protocol : str or ProtocolInfo
        Name or path of a file.
    settings : iterable of str, or dict
        Parameters that differ: ``["tau=20*ms"]`` or ``{"tau": 20*ms}``.
    record : iterable of str or Record
        What to record besides, such as ``"units.h:trials=-1"`` (see `neuroplast.records`); kept with each net.
    seed : int
    out : path, optional
        Folder of the run; by default ``runs/NAME-SEED``.
    quick, full : bool
        The protocol's small size, or the paper's size, where that takes hours and is not the usual one.
    resume : bool
        Go on with the run in the folder; if there is none, begin.
    target : {"cpp", "numpy"}, optional
        By default cpp if there is a compiler.
    threads : int, optional
        By default all cores that the process may use.
    console : rich.console.Console, optional
        Where tables and paths are shown; by default nowhere.
    progress : Progress, optional
        Where progress is shown; by default nowhere.
    others : iterable
        Settings of each run of the sweep that this one is part of, see `Run.largest`.
    reuse : iterable of path
        Folders of runs whose nets are taken where they are the same, see `neuroplast.reuse`.

    Returns
    -------
    Traces
        Results, and the record with the claims.

    Raises
    ------
    InputError
        If something given cannot be used.
    DivergedError
        If the simulation diverges; the run's status says so, and what came before is kept.
    """
    from neuroplast.recording import as_records  # the engine takes a second

    info = find(protocol) if isinstance(protocol, str) else protocol
    record = tuple(dataclasses.replace(item, aside=True) for item in as_records(record))
    module = load(info)
    settings = settings if isinstance(settings, Mapping) else list(settings)
    parameters = parameters_of(info, module, settings, quick, full)
    progress = progress or Progress(info.name)
    target = choose_target(target, progress.say)
    threads = whole_number("threads", threads, 1) if threads is not None else len(os.sched_getaffinity(0))
    identity = {
        "protocol": info.name,
        "seed": whole_number("seed", seed, 0),
        "target": target,
        "record": [str(item) for item in record],
        "parameters": describe(parameters),
    }
    reuse = tuple(reuse)
    nets = Reuse(reuse) if reuse else None
    path = Path(out) if out is not None else Path("runs") / f"{info.name}-{seed}"
    with RunFolder.open(path, identity, resume=resume) as folder:
        if folder.done:
            progress.say(f"{path}: this run is done; nothing is left to do.")
        else:
            folder.update(**_origin(info, target, threads, quick, full))
            others = tuple(parameters_of(info, module, each, quick, full) for each in others)
            run = Run(folder, identity["seed"], target, threads, quick, progress, record, others, nets)
            again = _command(info, settings, identity["record"], seed, out, size_options(quick, full), target, reuse)
            try:
                _carry_out(module, parameters, run, again)
            finally:
                progress.event(
                    "end", **{name: folder.record.get(name) for name in ("status", "error", "claims")}, folder=str(path)
                )
        if console is not None:
            print_claims(folder.record, console)
            print_paths(path, console)
        return Traces(record=folder.record, folder=path)


def choose_target(wanted: str | None, say: Callable[[str], None]) -> str:
    """Target to run on: the one wanted, else cpp where there is a compiler; says so where there is none.

    Raises
    ------
    InputError
        For an unknown target, or cpp without a compiler.
    """
    from neuroplast.engine.build import compiler

    if wanted not in (None, *TARGETS):
        raise InputError(f"target should be one of {', '.join(TARGETS)}. Got {wanted!r} instead.")
    if wanted == "numpy" or compiler() is not None:
        return wanted or "cpp"
    missing = "no C++ compiler (g++, clang++ or c++) was found; install one, or set CXX to its path"
    if wanted == "cpp":
        raise InputError(f"target cpp: {missing}. Or run with --target numpy, which is slower.")
    say(f"Running on the numpy target, which is slower: {missing}.")
    return "numpy"


def _carry_out(module, parameters, run, again):
    folder = run.folder
    try:
        with run.progress:
            dataset = module.experiment(parameters, run)
        if not isinstance(dataset, xr.Dataset):
            raise InputError(f"experiment() should return an xarray.Dataset. Got {type(dataset).__name__}.")
        dataset = _with_aside(dataset, folder.path / RESULTS).assign_attrs(provenance(folder.record))
        write_dataset(dataset, folder.path / RESULTS)
        claims = [claim.measure(dataset) for claim in module.EXPECTED]
        _draw(module, dataset, folder.path)
        say_unrecorded(run.record, run._kept, run.progress.say)
        folder.end("done", claims=claims)
    except (KeyboardInterrupt, DiskFull) as err:
        full = isinstance(err, DiskFull)
        with contextlib.suppress(InputError):  # where there is no room for the record either, it says "running"
            folder.end("interrupted", **({"error": str(err)} if full else {}))
        why = "The disk is full" if full else "Interrupted"
        run.progress.say(f"{why}; what is done is kept in {folder.path}. Go on with:\n  {again}")
        raise
    except DivergedError as err:
        folder.end("diverged", error=str(err))
        run.progress.say(f"What came before is kept in {folder.path}.")
        raise
    except BaseException as err:
        if not folder.discard_if_unused():
            folder.end("failed", error=f"{type(err).__name__}: {err}")
        raise


def _with_aside(dataset, results):
    """The experiment's results, with what a net trained in the run's own folder recorded for itself."""
    if not results.exists():
        return dataset
    aside = only_aside(open_netcdf(results))
    aside = aside.drop_vars([name for name in aside.data_vars if name in dataset])
    if not aside.data_vars:
        return dataset
    try:
        return xr.merge([dataset, aside], compat="override", join="exact", combine_attrs="override")
    except ValueError as err:
        raise InputError(
            f"{', '.join(aside.data_vars)}: recorded for this net only, with dimensions that the experiment's results "
            f"have in other sizes ({err}). Give these arrays dimensions of their own: Recorded(..., prefix=True)."
        ) from err


def _draw(module, dataset, folder):
    if not (hasattr(module, "figure") or hasattr(module, "animation")):
        return
    from neuroplast import figures  # matplotlib takes a third of a second

    with figures.style():
        if hasattr(module, "figure"):
            figures.save(module.figure(dataset), folder)
        if hasattr(module, "animation"):
            figures.save_animation(module.animation(dataset), folder)


def parameters_of(
    info: ProtocolInfo, module, settings: Iterable[str] | Mapping[str, Any], quick: bool, full: bool = False
):
    """Parameters of a protocol at one of its sizes, with some changed.

    Raises
    ------
    InputError
        If a value does not fit, the protocol declares its parameters wrongly, or it has no such size.
    """
    if quick and full:
        raise InputError("--quick and --full are two sizes: give one of them, or neither.")
    if full and not hasattr(module, "FULL"):
        others = ", ".join(each.name for each in protocols() if each.full)
        raise InputError(
            f"{info.name} has no --full: its usual size is the largest. Leave --full out; --set makes it larger. "
            f"Protocols that have one: {others or 'none'}."
        )
    try:
        defaults = module.Parameters()
    except TypeError as err:
        raise InputError(f"{info.path}: every parameter should have a default: {err}") from err
    try:
        parameters = with_overrides(defaults, module.QUICK if quick else module.FULL if full else {})
    except InputError as err:
        raise InputError(f"{info.path}: {'QUICK' if quick else 'FULL'}: {err}") from err
    change = with_overrides if isinstance(settings, Mapping) else with_settings
    return change(parameters, settings)


def size_options(quick: bool, full: bool) -> list[str]:
    """The option of the command line that says the size."""
    return ["--quick"] * quick + ["--full"] * full


def _origin(info, target, threads, quick, full):
    from neuroplast.engine import build

    source = info.path.read_bytes()
    machine = environment()
    if target == "cpp":
        machine |= {"compiler": compiler_version(build.compiler()), "flags": build.FLAGS}
    return {
        "title": info.title,
        "paper": {"figure": info.figure, "doi": info.doi},
        "quick": quick,
        "full": full,
        "threads": threads,
        "protocol_sha256": hashlib.sha256(source).hexdigest(),
        "environment": machine,
    }


def _command(info, settings, record, seed, out, size, target, reuse):
    """Command that goes on with this run."""
    if isinstance(settings, Mapping):
        return "the same call with resume=True"
    words = ["neuroplast", "run", info.name if info.module else str(info.path)]
    for setting in settings:
        words += ["--set", setting]
    for asked in record:
        words += ["--record", asked]
    words += ["--seed", str(seed)] if seed else []
    words += ["--out", str(out)] if out is not None else []
    words += size
    words += ["--target", "numpy"] if target == "numpy" else []
    for folder in reuse:
        words += ["--reuse", str(folder)]
    return shlex.join([*words, "--resume"])


def whole_number(name: str, value, least: int) -> int:
    """The value if it is a whole number of at least so much, else an InputError that names it."""
    if isinstance(value, bool) or int(value) != value or value < least:
        raise InputError(f"{name} should be a whole number of at least {least}. Got {value!r} instead.")
    return int(value)
