"""The call and the command `export`: which traces, to which format, under which name."""

from __future__ import annotations

import importlib
from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.export.contents import contents_of
from neuroplast.export.packages import require
from neuroplast.traces import Traces

#: Format -> module that writes it, ending of the name, packages that it needs beyond the plain installation, and the
#: extra that brings those.
FORMATS = {
    "nwb": ("nwb", ".nwb", ("pynwb",), "nwb"),
    "nix": ("nix", ".nix", ("neo", "nixio"), "neo"),
    "csv": ("csv_folder", "-csv", (), ""),
    "npz": ("npz", ".npz", (), ""),
}


def export(traces, to: str, path=None, *, force: bool = False, net: str | None = None, say=None, **options) -> Path:
    """Write a run in another format, whole or not at all.

    Parameters
    ----------
    traces : Traces, str or pathlib.Path
        A run, complete or not, or its folder.
    to : {"nwb", "nix", "csv", "npz"}
        CSV is a folder with one file for each array; the others are single files.
    path : str or pathlib.Path, optional
        What to write; by default in the run's folder, with the run's name.
    force : bool
        Take the place of what is there.
    net : str, optional
        One of the run's nets, with everything that was recorded of it; by default what stands at the run's level.
    say : callable, optional
        Called with a line about each thing that the format does not hold.
    **options
        For NWB: ``subject``, a dict with ``species``, ``sex``, ``age``, ...; ``experimenter`` and ``institution``.

    Returns
    -------
    pathlib.Path
        What was written.

    Raises
    ------
    InputError
        If something given cannot be used, a package is missing, the path is taken or cannot be written.
    """
    if to not in FORMATS:
        raise InputError(f"to: the format should be one of {', '.join(FORMATS)}. Got {to!r}.")
    module, ending, packages, extra = FORMATS[to]
    require(to, packages, extra)
    writer = importlib.import_module(f"neuroplast.export.{module}")
    options = {name: value for name, value in options.items() if value}
    unknown = [name for name in options if name not in getattr(writer, "OPTIONS", ())]
    if unknown:
        raise InputError(f"{', '.join(unknown)}: {to} does not take this; it goes with --to nwb.")
    getattr(writer, "check", lambda: None)(**options)
    if not isinstance(traces, Traces):
        traces = Traces.load(traces)
    say = say or (lambda line: None)
    chosen = traces if net is None else net_of(traces, net)
    contents = contents_of(chosen, net)
    if path is None:
        path = default_path(traces, net, ending)
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}.")
    check_target(path, folder=to == "csv", force=force)
    if net is None:
        missing = only_in_nets(traces)
        if missing:
            say(f"the nets hold {', '.join(missing)} too, each net its own: --net LABEL exports them")
    writer.write(contents, path, say=say, **options)
    return path


def net_of(traces, label: str):
    """Traces of one of a run's nets.

    Raises
    ------
    InputError
        If no net is called so; lists those that there are.
    """
    if label not in traces.nets:
        raise InputError(f"no net is called {label!r}. {_listed(list(traces.nets))}")
    return traces.nets[label]


def only_in_nets(traces) -> list[str]:
    """Arrays that the first net holds and the run's level does not."""
    for net in traces.nets.values():
        return [str(name) for name in net.dataset.data_vars if name not in traces.dataset]
    return []


def default_path(traces, net, ending) -> Path:
    """NAME.nwb or NAME-LABEL.nwb in the run's folder."""
    if not traces.folder:
        raise InputError("these traces are not from a folder, so that the name to write to has to be given as path=.")
    folder = Path(traces.folder).resolve()
    return Path(traces.folder) / f"{folder.name}{'' if net is None else f'-{net}'}{ending}"


def check_target(path: Path, *, folder: bool, force: bool) -> None:
    """Raise InputError if something is at the path that must not, or cannot, be replaced."""
    if not path.exists():
        return
    if path.is_dir() != folder:
        kind = "a folder, and this format is a file" if path.is_dir() else "a file, and this format is a folder"
        raise InputError(f"{path}: is {kind}. Give another name with --out.")
    if not force:
        raise InputError(f"{path}: exists already, and nothing is overwritten. Add --force, or give another --out.")
    if folder:
        from neuroplast.export.csv_folder import MARKER

        if not (path / MARKER).exists():
            raise InputError(f"{path}: was not written by neuroplast export (it has no {MARKER}). Give another --out.")


def _listed(nets):
    if not nets:
        return "This run has no nets of their own: leave out --net."
    shown = ", ".join(nets[:12])
    return f"There are: {shown}" + (f" and {len(nets) - 12} more." if len(nets) > 12 else ".")
