"""The command line: thin, and quick to say what it can do."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from neuroplast.errors import InputError, NeuroplastError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Biologically detailed learning in rate networks: run the figures of papers, keep the traces.",
    epilog="Exit status: 0 done, 1 a check failed, 2 bad usage or input, 3 the simulation diverged.",
)
INTERRUPTED = 130  # what shells give a command ended by Ctrl-C
DEBUG = "NEUROPLAST_DEBUG"


def reporting(command):
    """Turn the errors that a user can cause into one message on stderr and an exit status."""

    @functools.wraps(command)
    def wrapped(*args, **kwargs):
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise  # the command says itself how it ended
        except Exception as err:
            message = explanation(err)
            if message is None or os.environ.get(DEBUG, "0") not in ("", "0"):
                # Here and not at the top: Brian2's hook takes every error for one of its own, and the frames of the
                # command line's library are no help to somebody whose protocol has a mistake.
                traceback.print_exception(err.with_traceback(err.__traceback__.tb_next))
                raise typer.Exit(1) from None
            typer.echo(f"error: {message}", err=True)
            raise typer.Exit(getattr(err, "exit_code", 2)) from None

    return wrapped


def explanation(err: BaseException) -> str | None:
    """Message for an error that the user can do something about; None for a fault of the program.

    Brian2 wraps errors: the real one, which shows the line of the equation, comes first.
    """
    if isinstance(err, NeuroplastError):
        return str(err)
    chain = [err]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    if not any(_is_brians(link) for link in chain):
        return None
    messages = dict.fromkeys(str(link).strip() for link in reversed(chain))
    return "\n".join(message for message in messages if message)


def _is_brians(err):
    """Whether an error is of Brian2's own kinds or was raised in its code."""
    frames = list(traceback.walk_tb(err.__traceback__))
    where = frames[-1][0].f_globals.get("__name__", "") if frames else ""
    return any(name.split(".")[0] == "brian2" for name in (type(err).__module__, where))


@app.command("list")
@reporting
def list_protocols():
    """Protocols: name, paper figure, expected time."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from neuroplast.catalogue import protocols

    infos = protocols()
    table = Table("name", "paper figure", "expected time", "what it shows")
    table.columns[0].min_width = max((len(info.name) for info in infos), default=0)  # it is there to be copied
    for info in infos:
        table.add_row(*map(Text, (info.name, info.figure, info.times, info.title)))
    if infos:
        Console().print(table)
    else:
        typer.echo("No protocols are installed; run a file of your own with: neuroplast run PATH.py")


@contextlib.contextmanager
def _progress(protocol, json_lines):
    """Progress for a command, and the console for its tables: None if stdout is for JSON lines."""
    from rich.console import Console

    from neuroplast.progress import Progress

    errors = None if json_lines else Console(stderr=True)
    yield (
        Progress(Path(protocol).stem, errors, lines=sys.stdout if json_lines else None),
        None if json_lines else Console(),
    )


# What several commands take.
Protocol = Annotated[str, typer.Argument(metavar="NAME|PATH.py", help="A protocol's name, or your file.")]
Quick = Annotated[bool, typer.Option("--quick", help="The protocol's small size.")]
Full = Annotated[bool, typer.Option("--full", help="The paper's size, where that takes hours: see list.")]
Target = Annotated[
    str | None, typer.Option(metavar="cpp|numpy", help="Where it runs.", show_default="cpp if there is a compiler")
]
JsonLines = Annotated[bool, typer.Option("--json", help="Progress on stdout, a JSON object per line; no tables.")]


@app.command()
@reporting
def run(
    protocol: Protocol,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter, with its unit: tau=20*ms."),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(metavar="GROUP.VARIABLE", help="What to record: units.h:every=10, units.spikes:trials=-1."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/NAME-SEED")] = None,
    quick: Quick = False,
    full: Full = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    reuse: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="A run whose nets are taken where they are the same.")
    ] = None,
    target: Target = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Cores to use.", show_default="all")] = None,
    json_lines: JsonLines = False,
):
    """Run a protocol; ends with a table of the paper's values and the measured ones."""
    from neuroplast.protocol import run_protocol

    with _progress(protocol, json_lines) as (progress, console):
        run_protocol(
            protocol,
            settings=settings or (),
            record=record or (),
            seed=seed,
            out=out,
            quick=quick,
            full=full,
            resume=resume,
            reuse=reuse or (),
            target=target,
            threads=threads,
            console=console,
            progress=progress,
        )


@app.command()
@reporting
def sweep(
    protocol: Protocol,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE,VALUE", help="Values of a parameter: period=200*ms,400*ms."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0 to K-1 at each combination of values.")] = 1,
    jobs: Annotated[int | None, typer.Option(min=1, help="Points at the same time.", show_default="cores")] = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder.", show_default="sweeps/NAME")] = None,
    quick: Quick = False,
    full: Full = False,
    target: Target = None,
    record: Annotated[
        list[str] | None, typer.Option(metavar="GROUP.VARIABLE", help="What to record besides, as for run.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask scheduler, whose workers run the points.")
    ] = None,
    json_lines: JsonLines = False,
):
    """Run a protocol at many values and seeds; the same command again runs what is missing."""
    from neuroplast.sweep import run_sweep
    from neuroplast.sweep_results import print_sweep

    with _progress(protocol, json_lines) as (progress, console):
        done = run_sweep(
            protocol,
            settings=settings or (),
            seeds=seeds,
            out=out,
            jobs=jobs,
            quick=quick,
            full=full,
            target=target,
            record=record or (),
            scheduler=scheduler,
            progress=progress,
        )
    if console is not None:
        print_sweep(done, console)
    if done.exit_code:
        raise typer.Exit(done.exit_code)


@app.command()
@reporting
def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, its name in runs/, or a net's folder.")],
    plot: Annotated[
        str | None,
        typer.Option(metavar="rates|raster|weights|loss|alignment", help="Draw this instead of the record."),
    ] = None,
    net: Annotated[str | None, typer.Option(metavar="LABEL", help="Which net to draw.")] = None,
    variable: Annotated[str | None, typer.Option(metavar="NAME", help="What to draw, such as units.h.")] = None,
    trials: Annotated[str | None, typer.Option(metavar="N,N", help="Trials to draw, such as 0,-1.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the picture.", show_default="the run's")] = None,
):
    """The record of a run, with the table of paper and measured values and what was recorded; or pictures of it."""
    from rich.console import Console

    from neuroplast.files import read_json
    from neuroplast.report import print_contents, print_paths, print_record
    from neuroplast.runs import is_running
    from neuroplast.traces import NETS, RECORD, Traces

    of_a_net = run.parent.name == NETS and (run.parents[1] / RECORD).exists() and run.is_dir()
    folder = run if of_a_net or (run / RECORD).exists() else Path("runs") / run
    if not of_a_net and not (folder / RECORD).exists():
        there = sorted(path.parent.name for path in Path("runs").glob(f"*/{RECORD}"))
        raise InputError(f"{run}: is no run's folder. In runs/ there are: {', '.join(there) or 'none'}.")
    if plot is not None:
        from neuroplast.pictures import write
        from neuroplast.pictures.choice import numbers

        options = {"net": net, "variable": variable, "trials": numbers(trials)}
        for path in write(Traces.load(folder), plot, out, **options):
            typer.echo(path)
        return
    if any(option is not None for option in (net, variable, trials, out)):
        raise InputError("--net, --variable, --trials and --out say what to draw: give --plot too.")
    whole = folder.parents[1] if of_a_net else folder
    console, record = Console(), read_json(whole / RECORD)
    if record["status"] == "running" and not is_running(whole):
        record["status"] = "killed before its end; go on with --resume"
    print_record(record, console)
    print_contents(folder, console)
    print_paths(folder, console)


@app.command()
@reporting
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its name in runs/.")],
    to: Annotated[str, typer.Option(metavar="nwb|nix|csv|npz", help="The format.")],
    out: Annotated[Path | None, typer.Option(help="What to write.", show_default="RUN/NAME.nwb, ...")] = None,
    net: Annotated[str | None, typer.Option(metavar="LABEL", help="One of the run's nets, complete.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Take the place of what is there.")] = False,
    subject: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="NWB's subject: species, sex, age, ...")
    ] = None,
    experimenter: Annotated[str | None, typer.Option(help="For NWB: 'Last, First'.")] = None,
    institution: Annotated[str | None, typer.Option(help="For NWB.")] = None,
):
    """Write a run as NWB, NIX (Neo), CSV or npz."""
    from neuroplast.export.command import export_run

    options = {"subject": subject, "experimenter": experimenter, "institution": institution}
    path = export_run(run, to, out, net=net, force=force, say=lambda line: typer.echo(line, err=True), **options)
    typer.echo(path)


@app.command()
@reporting
def verify(files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Reference vectors (.npz).")]):
    """Run our models from reference vectors' initial values and compare; exit status 1 if any fails."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise InputError(f"{', '.join(absent)}: there is no such file.")
    from neuroplast.verify import verify_file

    console, table = Console(), Table("file", "largest deviation", "tolerance", "result")
    details, failed = [], 0
    for path in files:
        deviation, tolerance, passed, detail = verify_file(path)
        failed += not passed
        result = Text("PASS", "green") if passed else Text("FAIL", "red")
        table.add_row(Text(path.name), f"{deviation:.1e}", f"{tolerance:.0e}", result)
        details.append(f"{path.name}: {detail}")
    console.print(table)
    console.print("\n".join(details), highlight=False, markup=False)
    if failed:
        raise typer.Exit(1)


@app.command()
@reporting
def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Which; all by default.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Keep figures here.")] = None,
):
    """Measure speed, side by side with what one would use otherwise."""
    import neuroplast.bench
    from neuroplast.files import write_json

    there = _benchmarks(neuroplast.bench.__path__)
    unknown = [name for name in names or () if name not in there]
    if unknown:
        raise InputError(f"No benchmark is called {', '.join(unknown)}. There are: {', '.join(there) or 'none'}.")
    if json_file is not None and not json_file.parent.is_dir():
        raise InputError(f"{json_file}: there is no folder {json_file.parent}.")
    figures = {name: importlib.import_module(f"neuroplast.bench.{name}").run() for name in names or there}
    if json_file is not None:
        write_json(json_file, figures)
        typer.echo(json_file)


data = typer.Typer(no_args_is_help=True, help="Images to learn from: which there are, where, and how to get them.")
app.add_typer(data, name="data")
DataName = Annotated[str, typer.Argument(metavar="NAME", help="As neuroplast data list has it.")]


@data.command("list")
@reporting
def list_data():
    """Data sets: how large, and where they are on this machine or how to get them."""
    from rich.console import Console

    from neuroplast.data.listing import print_sets

    print_sets(Console())


@data.command("path")
@reporting
def data_path(name: DataName):
    """Print the files that are read, one a line."""
    from neuroplast.data import files

    for path in files(name).values():
        typer.echo(path)


@data.command("get")
@reporting
def data_get(name: DataName):
    """Download a data set unless it is there, check it, and print its files."""
    from rich.console import Console

    from neuroplast.data import get

    for path in get(name, Console(stderr=True)).values():
        typer.echo(path)


def _benchmarks(folders):
    """Modules that define ``run``; the others in the package are their parts."""
    names = []
    for module in pkgutil.iter_modules(folders):
        text = (Path(module.module_finder.path) / f"{module.name}.py").read_text(encoding="utf-8")
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in ast.parse(text).body):
            names.append(module.name)
    return names


def main():
    """Entry point of the command ``neuroplast``."""
    from neuroplast.interrupts import install

    install()
    try:
        app(prog_name="neuroplast")
    except KeyboardInterrupt:  # before the command had begun
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
