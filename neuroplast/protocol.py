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
import json
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neuroplast.asked import check_asked, check_space, say_unrecorded
from neuroplast.catalogue import ProtocolInfo, find, load, protocols
from neuroplast.errors import DivergedError, InputError, Resized
from neuroplast.files import DiskFull
from neuroplast.nets import Job, train_many
from neuroplast.parameters import describe, with_overrides, with_settings
from neuroplast.progress import Progress
from neuroplast.report import print_claims, print_paths
from neuroplast.runs import RunFolder, compiler_version, environment
from neuroplast.traces import NETS, RESULTS, Traces, only_aside, open_netcdf, write_dataset
from neuroplast.training import Trained, train

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


@dataclasses.dataclass(frozen=True)
class Run:
    """What an experiment is given: where it runs, on what, and how it trains.

    Attributes
    ----------
    folder : RunFolder
    seed : int
    target : {"cpp", "numpy"}
        For `neuroplast.engine.start`.
    threads : int
        Cores to use.
    quick : bool
        Whether it is the small size.
    progress : Progress
    record : tuple of Record
        What ``--record`` asks for, to be passed on: ``build(record=run.record)``. A model that lacks what a record
        names leaves it to the others that were built before the run trains its first net.
    others : tuple
        Parameters of all runs of the sweep that this one is part of.
    """

    folder: RunFolder
    seed: int
    target: str
    threads: int
    quick: bool
    progress: Progress
    record: tuple = ()
    others: tuple = ()
    _noted: dict = dataclasses.field(default_factory=dict, repr=False)
    _kept: set = dataclasses.field(default_factory=set, repr=False)

    def train(self, sim, name: str = "", **options) -> Trained:
        """Train one net, in the run's own folder or in ``nets/NAME`` (needed for a second one).

        Options are those of `neuroplast.training.train`.
        """
        self._prepare([sim], options.get("recorded", ()))
        folder = self.folder.path / NETS / name if name else self.folder.path
        options = {"label": name or self.progress.title, "progress": self.progress} | options
        options = {"attrs": _provenance(self.folder.record)} | options
        return train(sim, folder, resume=self.folder.resumed, **options)

    def train_many(self, jobs: Iterable[Job], *, part: str = "", diverged: str = "raise") -> list[Trained]:
        """Train nets side by side on the cores that the run may use; see `neuroplast.nets.train_many`.

        Parameters
        ----------
        jobs : iterable of Job
        part : str
            Folder within the run's for nets that are not among the results, such as those of a search.
        diverged : {"raise", "omit"}
            With "omit" nets that diverged are left out, and the run's record lists them.
        """
        jobs = list(jobs)
        self._prepare([job.sim for job in jobs], [item for job in jobs for item in job.recorded])
        if not self.folder.resumed:
            check_space(self.record, [job.size for job in jobs], self.folder.path, self.progress.say)
        # The numpy target runs in this process and on Brian2's arrays: one at a time.
        parallel = 1 if self.target == "numpy" else max(1, min(self.threads, len(jobs)))
        options = {"parallel": parallel, "resume": self.folder.resumed, "progress": self.progress}
        options["attrs"] = _provenance(self.folder.record)
        trained = train_many(jobs, self.folder.path / part, diverged=diverged, **options)
        left_out = {job.label for job in jobs} - {net.folder.name for net in trained}
        if left_out:
            self.note(diverged=sorted(left_out.union(self.folder.record.get("diverged", []))))
        return trained

    def largest(self, name: str, parameters, measure: Callable[[Any], int]) -> int:
        """Size to build a model for: the largest that this run, or another of its sweep, needs.

        All runs of a sweep then share one compiled program. The size is kept in the run's record.

        Parameters
        ----------
        name : str
            What is measured, such as "samples".
        parameters
            This run's.
        measure : callable
            From parameters to a number.

        Raises
        ------
        Resized
            If a run that is resumed was begun with another size.
        """
        size = max(measure(each) for each in (parameters, *self.others))
        sizes = self.folder.record.get("sizes", {})
        if self.folder.resumed and sizes.get(name, size) != size:
            raise Resized(
                f"{self.folder.path}: the run there cannot be resumed, since its models were made for {name} up to "
                f"{sizes[name]}, and now they are for {size}. A run of a sweep goes on with neuroplast sweep."
            )
        self.note(sizes=sizes | {name: size})
        return size

    def note(self, **entries) -> None:
        """Keep something in the run's record, such as ``rule=``."""
        self.folder.update(**entries)

    def _prepare(self, sims, recorded):
        """Build what is going to run; keep in the record from which equations, and which program serves it."""
        check_asked(self.record)
        self._kept.update(item.name for item in recorded)
        self._note_equations(sims)
        programs = dict(self.folder.record.get("programs", {}))
        for sim in {id(sim): sim for sim in sims}.values():
            program = getattr(sim.build(), "program", None)
            if program is not None:
                # What a run that is resumed finds, it may have built itself when it began.
                programs.setdefault(program[0], "found" if program[1] else "built")
        self.note(programs=programs)

    def _note_equations(self, sims):
        """Keep the equations; refuse to go on with a run that was started with others."""
        before = self.folder.record.get("equations", {})
        for sim in {id(sim): sim for sim in sims}.values():
            name, text = sim.name, equations(sim)
            while self._noted.get(name, text) != text:
                name += "'"
            self._noted[name] = text
            if self.folder.resumed and before.get(name, text) != text:
                raise InputError(
                    f"{self.folder.path}: the run there cannot be resumed, since the equations of {name} "
                    "have changed. Undo the change, or give another folder with --out DIR."
                )
        self.note(equations=before | self._noted)


def equations(sim) -> dict[str, str]:
    """Equations of every group in a simulation's schedule, and the code that it runs regularly, by name."""
    found = {}
    for leaf in sim.schedule.leaves():
        for item in leaf.objects:
            group = getattr(item, "group", item)
            if hasattr(group, "equations"):
                sums = getattr(group, "summed_updaters", {})  # Brian2 takes them out of the equations
                lines = [f"{name} = {updater.expression} (summed)" for name, updater in sums.items()]
                found[group.name] = "\n".join([str(group.equations), *lines])
            for part in (item, *getattr(item, "contained_objects", ())):
                if type(part).__name__ == "CodeRunner":
                    found[part.name] = part.abstract_code
    return found


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
    path = Path(out) if out is not None else Path("runs") / f"{info.name}-{seed}"
    with RunFolder.open(path, identity, resume=resume) as folder:
        if folder.done:
            progress.say(f"{path}: this run is done; nothing is left to do.")
        else:
            folder.update(**_origin(info, target, threads, quick, full))
            others = tuple(parameters_of(info, module, each, quick, full) for each in others)
            run = Run(folder, identity["seed"], target, threads, quick, progress, record, others)
            again = _command(info, settings, identity["record"], seed, out, size_options(quick, full), target)
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
    from neuroplast.engine.targets import compiler

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
        dataset = _with_aside(dataset, folder.path / RESULTS).assign_attrs(_provenance(folder.record))
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
    from neuroplast.engine import build, targets

    source = info.path.read_bytes()
    machine = environment()
    if target == "cpp":
        machine |= {"compiler": compiler_version(targets.compiler()), "flags": build.FLAGS}
    return {
        "title": info.title,
        "paper": {"figure": info.figure, "doi": info.doi},
        "quick": quick,
        "full": full,
        "threads": threads,
        "protocol_sha256": hashlib.sha256(source).hexdigest(),
        "environment": machine,
    }


def _provenance(record):
    """What results.nc says about itself; nothing in it depends on when or how fast it was made."""
    version, paper = record.get("environment", {}).get("versions", {}).get("neuroplast"), record.get("paper", {})
    found = {
        "title": record.get("title") or record.get("protocol"),
        "source": f"neuroplast {version}, protocol {record.get('protocol')}",
        "references": paper.get("doi") or paper.get("figure"),
        "seed": record.get("seed"),
        "parameters": json.dumps(record.get("parameters", {})),
    }
    return {name: value for name, value in found.items() if value is not None}


def _command(info, settings, record, seed, out, size, target):
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
    return shlex.join([*words, "--resume"])


def whole_number(name: str, value, least: int) -> int:
    """The value if it is a whole number of at least so much, else an InputError that names it."""
    if isinstance(value, bool) or int(value) != value or value < least:
        raise InputError(f"{name} should be a whole number of at least {least}. Got {value!r} instead.")
    return int(value)
