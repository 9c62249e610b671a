"""`Run`: what a protocol's experiment is given."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any

from neuroplast.asked import check_asked, check_space
from neuroplast.errors import InputError, Resized
from neuroplast.nets import Job, train_many
from neuroplast.progress import Progress
from neuroplast.reuse import Reuse
from neuroplast.runs import RunFolder
from neuroplast.traces import NETS
from neuroplast.training import Trained, train


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
    reuse : Reuse or None
        Nets of other runs, which are taken instead of being trained again; the record says which were.
    """

    folder: RunFolder
    seed: int
    target: str
    threads: int
    quick: bool
    progress: Progress
    record: tuple = ()
    others: tuple = ()
    reuse: Reuse | None = None
    _noted: dict = dataclasses.field(default_factory=dict, repr=False)
    _kept: set = dataclasses.field(default_factory=set, repr=False)

    def train(self, sim, name: str = "", **options) -> Trained:
        """Train one net, in the run's own folder or in ``nets/NAME`` (needed for a second one).

        Options are those of `neuroplast.training.train`.
        """
        self._prepare([sim], options.get("recorded", ()))
        folder = self.folder.path / NETS / name if name else self.folder.path
        options = {"label": name or self.progress.title, "progress": self.progress} | options
        options = {"attrs": provenance(self.folder.record), "reuse": self.reuse} | options
        trained = train(sim, folder, resume=self.folder.resumed, **options)
        self._note_taken([trained])
        return trained

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
        options |= {"attrs": provenance(self.folder.record), "reuse": self.reuse}
        trained = train_many(jobs, self.folder.path / part, diverged=diverged, **options)
        self._note_taken(trained)
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

    def _note_taken(self, nets):
        """Keep in the record which nets another run has trained."""
        taken = {str(net.folder.relative_to(self.folder.path)): str(net.source) for net in nets if net.source}
        if taken:
            self.note(taken=self.folder.record.get("taken", {}) | taken)
            self.progress.say(f"{len(taken)} of {len(nets)} nets taken from other runs.")

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
                # Sorted: the order that Brian2 finds is another one in each process.
                found[group.name] = "\n".join(sorted([*str(group.equations).splitlines(), *lines]))
            for part in (item, *getattr(item, "contained_objects", ())):
                if type(part).__name__ == "CodeRunner":
                    found[part.name] = part.abstract_code
    return found


def provenance(record):
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
