"""What ``--record`` asks a run for: whether its models have it, whether the disk has room, whether it was recorded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from neuroplast.errors import InputError
from neuroplast.records import Record

#: Bytes from which on a run says how much its recorders will write.
MUCH = 1e9


def check_asked(records: Sequence[Record]) -> None:
    """Refuse records that every model built so far has missed.

    Raises
    ------
    InputError
        With what a model said: what there is to record.
    """
    for record in records:
        if record.missed and not record.made:
            raise InputError("\n".join(f"--record {text}" for text in dict.fromkeys(record.missed)))


def check_space(records: Sequence[Record], sizes: Sequence[int], folder: Path, say: Callable[[str], None]) -> None:
    """Say how much the recorders of some nets will write, if it is much; refuse what the disk has no room for.

    Parameters
    ----------
    records : sequence of Record
    sizes : sequence of int
        Bytes of each net.
    folder : Path
    say : callable

    Raises
    ------
    InputError
    """
    total, free = sum(sizes), shutil.disk_usage(folder).free
    what = " ".join(f"--record {record}" for record in records) or "What the protocol records"
    # The results of a net are put together from its segments, which are removed afterwards.
    if total + max(sizes, default=0) > free:
        raise InputError(
            f"{what}: would write about {gigabytes(total)} to {folder}, where {gigabytes(free)} are free. "
            "Record less, with :trials=-1 or :every=10, or give a folder on another disk with --out DIR."
        )
    if total > MUCH:
        say(f"{what}: will write about {gigabytes(total)}; add :trials=-1 or :every=10 to record less.")


def say_unrecorded(records: Sequence[Record], names: set[str], say: Callable[[str], None]) -> None:
    """Say which records no net of the run keeps, and why.

    Parameters
    ----------
    records : sequence of Record
    names : set of str
        Arrays that nets were asked to keep.
    say : callable
    """
    for record in records:
        if not any(record.gave(name) for name in names):
            why = (
                "no net has such trials or steps"
                if record.made
                else "the protocol does not pass it on, by build(record=run.record)"
            )
            say(f"--record {record}: nothing was recorded, since {why}.")


def gigabytes(size: float) -> str:
    """Text of a number of bytes, such as ``120 GB``."""
    return f"{size / 1e9:.2g} GB" if size < 100e9 else f"{size / 1e9:.0f} GB"
