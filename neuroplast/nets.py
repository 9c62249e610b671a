"""Several trainings side by side: each in its own folder and its own process, under one progress display."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuroplast.errors import DivergedError, InputError
from neuroplast.labels import Recorded
from neuroplast.progress import Progress
from neuroplast.reuse import Reuse
from neuroplast.traces import NETS
from neuroplast.training import Pace, Stopped, Trained, train


@dataclass(frozen=True)
class Job:
    """One net to train.

    Parameters
    ----------
    label : str
        Name of its folder below ``nets/`` (letters, digits, ``.``, ``_``, ``-``, ``=``, ``+``).
    sim : Simulation
        May be shared by jobs that differ in their state, seed or counts only.
    coords : dict
        Its place among the nets, such as ``{"rule": "rflo", "net": 3}``; become dimensions of the results.
    seed, state, counts, recorded
        As in `neuroplast.training.train`.
    size : int
        Bytes that its recorders will write, as far as that is known.
    """

    label: str
    sim: Any = field(repr=False)
    coords: Mapping = field(default_factory=dict)
    seed: int = 0
    state: Mapping[str, np.ndarray] | None = field(default=None, repr=False)
    counts: Mapping[str, int] | None = None
    recorded: Sequence[Recorded] = ()
    size: int = 0


def label_of(coords: Mapping) -> str:
    """Label of a net for its place among the nets, such as ``rule=rflo_net=3``."""
    return re.sub(r"[^\w.=+-]+", "-", "_".join(f"{name}={value}" for name, value in coords.items()))


def places_of(jobs: Sequence[Job]) -> dict[str, list]:
    """Values of each coordinate of the jobs, in their order."""
    return {name: list(dict.fromkeys(job.coords[name] for job in jobs)) for name in jobs[0].coords}


def train_many(
    jobs: Sequence[Job],
    folder,
    *,
    parallel: int = 2,
    resume: bool = False,
    diverged: str = "raise",
    progress: Progress | None = None,
    segment_seconds: float = 2.0,
    attrs: Mapping | None = None,
    reuse: Reuse | None = None,
) -> list[Trained]:
    """Train several nets side by side; with `resume`, those that have ended are not run again.

    A net that diverges does not stop the others.

    Parameters
    ----------
    jobs : sequence of Job
    folder : str or pathlib.Path
        The run's folder; each net has ``nets/LABEL`` in it.
    parallel : int
        Nets that run at the same time.
    resume : bool
        Go on with the nets that are there.
    diverged : {"raise", "omit"}
        What becomes of nets that diverged once the others have ended: an error, or they are left out.
    progress : Progress, optional
    segment_seconds : float
        Time that a segment should take at first.
    attrs : dict, optional
        Attributes of each net's results: where they come from.
    reuse : Reuse, optional
        Nets of other runs, which are taken instead of being trained again.

    Returns
    -------
    list of Trained
        In the order of the jobs; with "omit" without those that diverged.

    Raises
    ------
    InputError
        For labels that are no file names or come twice, and what `neuroplast.training.train` raises.
    DivergedError
        After all other nets have ended, if one has diverged; with "omit" if all have.
    KeyboardInterrupt
        After the segments under way have ended.
    """
    _check(jobs, parallel, diverged)
    progress = progress or Progress()
    progress.parallel = parallel
    stop = threading.Event()
    paces = {id(job.sim): Pace(segment_seconds) for job in jobs}
    lost: dict[str, DivergedError] = {}

    def run(job):
        try:
            return train(
                job.sim,
                Path(folder) / NETS / job.label,
                seed=job.seed,
                counts=job.counts,
                state=job.state,
                recorded=job.recorded,
                coords=job.coords,
                resume=resume,
                progress=progress,
                label=job.label,
                pace=paces[id(job.sim)],
                stop=stop,
                attrs=attrs,
                reuse=reuse,
            )
        except DivergedError as err:
            lost[job.label] = err
            progress.say(f"{job.label}: {err}")
            return None

    for job in jobs:
        job.sim.build()  # one after the other: Brian2's code generation is not made for threads
        progress.add(job.label, job.sim.length(dict(job.counts or {})), group=id(job.sim))
    with ThreadPoolExecutor(parallel) as pool:
        try:
            futures = [pool.submit(run, job) for job in jobs]
            _wait(futures)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if len(lost) == len(jobs) or (lost and diverged == "raise"):
        label, first = next(iter(lost.items()))
        message = f"{len(lost)} of {len(jobs)} nets diverged, first {label}: {first}"
        raise DivergedError(message, first.variable, first.index, first.where) from first
    return [trained for trained in (future.result() for future in futures) if trained is not None]


def _wait(futures):
    """Wait for all; raise the first error at once, so that the rest can be stopped."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            error = future.exception()
            if error is not None and not isinstance(error, Stopped):
                raise error


def _check(jobs, parallel, diverged):
    if diverged not in ("raise", "omit"):
        raise InputError(f"diverged should be 'raise' or 'omit'. Got {diverged!r}.")
    labels = [job.label for job in jobs]
    for label in labels:
        if not re.fullmatch(r"[\w=+-][\w.=+-]*", label):
            raise InputError(f"Job: label should be a plain file name such as rflo-3. Got {label!r}.")
        if labels.count(label) > 1:
            raise InputError(f"Job: two nets are called {label!r}. Give each its own label.")
    if not jobs or parallel < 1:
        raise InputError(f"There should be at least one job and parallel=1. Got {len(jobs)}, {parallel}.")
