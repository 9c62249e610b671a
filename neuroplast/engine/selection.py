"""Which records of a monitor a run keeps."""

from __future__ import annotations

from dataclasses import dataclass

from neuroplast.engine.schedule import Event, Loop
from neuroplast.errors import InputError

#: No upper bound: the greatest int32.
NO_END = 2**31 - 1


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

    def check(self, node, loop):
        """Refuse a node in which the selection has no meaning.

        Parameters
        ----------
        node : Phase or Event
        loop : Loop or None
            The one around it that counts the trials.

        Raises
        ------
        InputError
            If trials are selected and there is no such loop, or steps and the node is an event.
        """
        event = isinstance(node, Event)
        if event and (self.first, self.last) != (0, None):
            raise InputError(
                f"{self.owner}: steps={self.first, self.last} count within a phase, and '{node.name}' is an event. "
                "Give the event a recorder of its own."
            )
        label = f"every={self.every}" if event and self.every > 1 else None
        label = label if self.trials is None else f"trials={self.trials}"
        if label and loop is None:
            raise InputError(
                f"{self.owner}: {label} counts trials, and no loop around '{node.name}' does. Put the node into "
                "Loop('trial', ...), or one with counter='trial'."
            )

    def of_run(self, node, loop, counts):
        """The selection with the counts of a run: no negative trials.

        Parameters
        ----------
        node, loop
            See `check`.
        counts : dict of str to int
            Passes of loops and steps of phases.

        Raises
        ------
        InputError
            For trials that the loop, or first steps that the phase has not got.
        """
        steps = counts.get(node.name, 0)
        if steps and self.first >= steps:
            raise InputError(
                f"{self.owner}: steps={self.first, self.last} begin after the end of phase '{node.name}', which has "
                f"{steps} steps, 0 to {steps - 1}."
            )
        trials = self.trials
        if trials is not None:
            passes = counts[loop.name]
            wrong = [trial for trial in trials if not -passes <= trial < passes]
            if wrong and passes:
                raise InputError(
                    f"{self.owner}: loop '{loop.name}' has {passes} trials, 0 to {passes - 1} (or -{passes} to -1, "
                    f"from the end). Got {', '.join(map(str, wrong))}."
                )
            trials = frozenset(trial % passes for trial in trials) if passes else frozenset()
        return Selection(self.owner, self.every, self.first, NO_END if self.last is None else self.last, trials)

    def in_phase(self, k, trial):
        """Whether a step of a phase is recorded."""
        return self.first <= k < self.last and (k + 1) % self.every == 0 and self._has(trial)

    def in_event(self, trial):
        """Whether an event is recorded."""
        return (trial + 1) % self.every == 0 and self._has(trial)

    def _has(self, trial):
        return self.trials is None or trial in self.trials

    def line(self, monitor, node):
        """The selection as the compiled program reads it."""
        trials = [-1] if self.trials is None else [len(self.trials), *sorted(self.trials)]
        return " ".join(map(str, (monitor, node, self.every, self.first, min(self.last, NO_END), *trials)))


def selections(schedule, operations):
    """(operation, node, the loop around it that counts trials) of each recorder in each node that has it.

    Parameters
    ----------
    schedule : Schedule
    operations : dict of str to list
        Of each phase and event.
    """
    loops = {}

    def visit(body, loop):
        for node in body:
            if isinstance(node, Loop):
                visit(node.body, node if node.counter == "trial" else loop)
            else:
                loops[node.name] = loop

    visit(schedule.body, None)
    return [
        (operation, node, loops[node.name])
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
    """
    return {(op.name, node.name): op._selection.of_run(node, loop, counts) for op, node, loop in found}
