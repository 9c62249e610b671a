"""The command `neuroplast export`: from texts to the call."""

from __future__ import annotations

from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.export.export import export
from neuroplast.traces import RECORD, Traces


def export_run(run: Path, to: str, out: Path | None, *, subject=None, **options) -> Path:
    """Export a run given by its folder or by its name in ``runs/``.

    Parameters
    ----------
    run : pathlib.Path
    to : str
        The format.
    out : pathlib.Path or None
        What to write.
    subject : sequence of str, optional
        ``key=value``, several in one text with commas between.
    **options
        As for `neuroplast.export.export`.

    Returns
    -------
    pathlib.Path
        What was written.
    """
    folder = run if run.is_dir() else Path("runs") / run
    if not folder.is_dir():
        there = sorted(path.parent.name for path in Path("runs").glob(f"*/{RECORD}"))
        raise InputError(f"{run}: is no run's folder. In runs/ there are: {', '.join(there) or 'none'}.")
    return export(Traces.load(folder), to, out, subject=parse_subject(subject or ()), **options)


def parse_subject(texts) -> dict[str, str]:
    """Keys and values of ``species=Mus musculus,sex=M``; a comma begins a new pair where a key follows it."""
    found = {}
    for text in texts:
        pairs = []
        for part in text.split(","):
            if "=" in part:
                pairs.append(part)
            elif pairs:
                pairs[-1] += f",{part}"
            else:
                raise InputError(f"subject: should be KEY=VALUE, such as species=Mus musculus. Got {text!r}.")
        found |= {key.strip(): value.strip() for key, value in (pair.split("=", 1) for pair in pairs)}
    return found
