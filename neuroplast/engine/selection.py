"""Which records of a monitor a run keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from neuroplast.engine.schedule import Event, Loop
from neuroplast.errors import InputError

#: No upper bound: the greatest int32.
NO_END = 2**31 - 1


class Around(NamedTuple):
    """The loops around a node that count its trials and epochs, None where there is none; the phases that it follows.

    Passes are numbered over all epochs: what recurs in each epoch would have the same number there.
    """

    trial: Loop | None = None
    epoch: Loop | None = None
    before: tuple = ()

    def inside(self, loop) -> Around:
        """The loops around what stands in one more."""
        return self._replace(**{loop.counter: loop}) if loop.counter else self

    def in_epoch(self, counts) -> int:
        """Passes in an epoch, or altogether where there are none."""
        return counts[self.trial.name] if self.trial else 1

    def passes(self, counts) -> int:
        """Passes altogether."""
        return self.in_epoch(counts) * (counts[self.epoch.name] if self.epoch else 1)

    def number(self, trial, epoch, counts) -> int:
        """Number of a pass."""
        return (epoch * self.in_epoch(counts) if self.epoch else 0) + (trial if self.trial else 0)

    def number_text(self) -> str:
        """The same in the compiled program."""
        each = f"*(int32_t)count_{self.trial.name}" if self.trial else ""
        return " + ".join(([f"NP_epoch{each}"] if self.epoch else []) + (["NP_trial"] if self.trial else [])) or "0"


@dataclass(frozen=True)
class Selection:
    """What a `Recorder` records; see there.

    Attributes
    ----------
    owner : str
        Who selects, for messages.
    """

    owner: str
    every: int = 1
    first: int = 0
    last: int | None = None
    trials: tuple | None = None
    epochs: tuple | None = None
    around: Around = Around()

    def check(self, node, around):
        """Refuse a node in which the selection has no meaning.

        Parameters
        ----------
        node : Phase or Event
        around : Around
            The loops around it.

        Raises
        ------
        InputError
            If trials or epochs are selected and no loop counts them, or steps and the node is an event.
        """
        event = isinstance(node, Event)
        if event and (self.first, self.last) != (0, None):
            raise InputError(
                f"{self.owner}: steps={self.first, self.last} count within a phase, and '{node.name}' is an event. "
                "Give the event a recorder of its own."
            )
        every = event and self.every > 1 and not around.epoch
        for label, counted, wanted in (
            (f"every={self.every}", "trial", every),
            (f"trials={self.trials}", "trial", self.trials is not None),
            (f"epochs={self.epochs}", "epoch", self.epochs is not None),
        ):
            if wanted and getattr(around, counted) is None:
                raise InputError(
                    f"{self.owner}: {label} counts {counted}s, and no loop around '{node.name}' does. Put the node "
                    f"into Loop('{counted}', ...), or one with counter='{counted}'."
                )

    def of_run(self, node, around, counts):
        """The selection with the counts of a run: as trials the numbers of all passes to record, none negative.

        Parameters
        ----------
        node, around
            See `check`.
        counts : dict of str to int
            Passes of loops and steps of phases.

        Raises
        ------
        InputError
            For trials or epochs that the loops have not got.
        """
        trials = self._chosen("trials", around.trial, around.passes(counts)) if self.trials is not None else None
        if self.epochs is not None:
            each = around.in_epoch(counts)
            epochs = self._chosen("epochs", around.epoch, counts[around.epoch.name])
            passes = frozenset(epoch * each + one for epoch in epochs for one in range(each))
            trials = passes if trials is None else passes & trials
        last = NO_END if self.last is None else self.last
        return Selection(self.owner, self.every, self.first, last, trials, around=around)

    def _chosen(self, what, loop, passes):
        chosen = getattr(self, what)
        wrong = [number for number in chosen if not -passes <= number < passes]
        if wrong and passes:
            raise InputError(
                f"{self.owner}: loop '{loop.name}' has {passes} {what}, 0 to {passes - 1} (or -{passes} to -1, "
                f"from the end). Got {', '.join(map(str, wrong))}."
            )
        return frozenset(number % passes for number in chosen) if passes else frozenset()

    def reaches(self, begin, end):
        """Whether any of the steps from `begin` to before `end` is in the window."""
        return self.first < end and (self.last is None or self.last > begin)

    def in_phase(self, k, number):
        """Whether a step of a phase is recorded, in the pass of that number."""
        return self.first <= k < self.last and (k + 1) % self.every == 0 and self._has(number)

    def in_event(self, number):
        """Whether an event is recorded."""
        return (number + 1) % self.every == 0 and self._has(number)

    def _has(self, number):
        return self.trials is None or number in self.trials

    def line(self, monitor, node):
        """The selection as the compiled program reads it."""
        trials = [-1] if self.trials is None else [len(self.trials), *sorted(self.trials)]
        return " ".join(map(str, (monitor, node, self.every, self.first, min(self.last, NO_END), *trials)))


def selections(schedule, operations):
    """(operation, node, the loops around it) of each recorder in each node that has it.

    Parameters
    ----------
    schedule : Schedule
    operations : dict of str to list
        Of each phase and event.
    """
    found = {}

    def visit(body, around):
        for node in body:
            if isinstance(node, Loop):
                visit(node.body, around.inside(node))
            else:
                found[node.name] = around._replace(before=schedule.before(node))

    visit(schedule.body, Around())
    return [
        (operation, node, found[node.name])
        for node in schedule.leaves()
        for operation in operations[node.name]
        if hasattr(operation, "_selection")
    ]


def selected(found, counts):
    """The selections of a run: (name of the monitor, of the node) -> `Selection`.

    Parameters
    ----------
    found : list
        From `selections`.
    counts : dict of str to int

    Raises
    ------
    InputError
        For trials, epochs or steps that the run has not got.
    """
    check_steps(found, counts)
    return {(op.name, node.name): op._selection.of_run(node, around, counts) for op, node, around in found}


def check_steps(found, counts):
    """Refuse steps that a run has not got: neither the phase, nor one that it follows or that follows it.

    Parameters
    ----------
    found : list
        From `selections`.
    counts : dict of str to int

    Raises
    ------
    InputError
    """
    outside, reached = {}, set()
    for op, node, around in found:
        if not counts.get(node.name):
            continue
        # What lasts as long as an integer says may last no step.
        begin = sum(counts[phase.name] for phase in around.before if phase.length is None)
        end = sum(counts[phase.name] for phase in (*around.before, node))
        presentation = (op.name, (*around.before, node)[0].name)
        if op._selection.reaches(begin, end):
            reached.add(presentation)
        else:
            outside[presentation] = (op._selection, node, begin, end)
    for presentation, (selection, node, begin, end) in outside.items():
        if presentation not in reached:
            where = "begin after the end" if selection.first >= end else "end before the beginning"
            steps = counts[node.name]
            has = f"which has {steps} steps, {begin}" if end - begin == steps else f"whose steps lie within {begin}"
            raise InputError(
                f"{selection.owner}: steps={selection.first, selection.last} {where} of phase '{node.name}', {has} to "
                f"{end - 1}."
            )
