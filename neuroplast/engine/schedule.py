"""A protocol's time structure as data: loops, phases and events over Brian2 objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from neuroplast.engine.messages import whole_number
from neuroplast.engine.operations import one_integer
from neuroplast.errors import InputError

#: Shared integers that a loop may write.
LOOP_COUNTERS = ("trial", "epoch")


def _check_name(kind, name):
    # Names become identifiers of the compiled program.
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise InputError(f"{kind} {name!r}: the name should be an identifier, such as 'my_{kind.lower()}'.")


def _check_list(owner, label, value):
    if not isinstance(value, list | tuple):
        raise InputError(f"{owner}: {label} should be a list. Got {value!r}; write [{label}].")


@dataclass(frozen=True)
class Event:
    """Each object once, while time stands still.

    Parameters
    ----------
    name : str
    objects : sequence
        Brian2 objects (groups bring the operations they contain) and native operations; they run sorted by
        (when, order).
    """

    name: str
    objects: Sequence = field(repr=False)

    def __post_init__(self):
        _check_name("Event", self.name)
        _check_list(f"Event '{self.name}'", "objects", self.objects)


@dataclass(frozen=True)
class Phase:
    """Each object once per step, for a number of steps.

    Parameters
    ----------
    name : str
    objects : sequence
        As in `Event`.
    steps : int
        Number of steps; can be set anew for each run. With `length`, the most that there may be.
    clock : {"advance", "hold"}
        Whether ``t`` goes on with the steps.
    direction : {1, -1}
        Whether ``k`` counts up from 0 or down to 0 (to replay a `Tape` backward).
    length : (Population, str), optional
        A population of one neuron and its integer variable (or a shared integer): what it holds when the phase is
        reached is the number of steps of this pass, from 0 to `steps`.
    follows : str, optional
        Name of a phase before it in the same body: ``k`` goes on counting where that one ended, so that the two are one
        presentation. ``n_steps`` is still the number of steps of this phase.
    """

    name: str
    objects: Sequence = field(repr=False)
    steps: int
    clock: str = "advance"
    direction: int = 1
    length: tuple | None = field(default=None, repr=False)
    follows: str | None = None

    def __post_init__(self):
        owner = f"Phase '{self.name}'"
        _check_name("Phase", self.name)
        _check_list(owner, "objects", self.objects)
        object.__setattr__(self, "steps", whole_number(owner, "steps", self.steps, 0))
        if self.clock not in ("advance", "hold"):
            raise InputError(f"{owner}: clock should be 'advance' or 'hold'. Got {self.clock!r}.")
        if self.direction not in (1, -1):
            raise InputError(f"{owner}: direction should be 1 or -1. Got {self.direction!r}.")
        if self.length is not None:
            self.length_at()
        if self.follows is not None and self.direction != 1:
            raise InputError(f"{owner}: follows={self.follows!r} goes on counting up; it takes direction=1. Got -1.")

    def length_at(self):
        """The array of `length` and the element in it."""
        return one_integer(f"Phase '{self.name}': length", self.length)

    def wrong_length(self, length, most):
        """What is said of a length that is none, here as in the compiled program."""
        group, name = self.length
        return (
            f"Phase '{self.name}': '{name}' of '{group.name}' should be a number of steps from 0 to {most}. Got "
            f"{length}; give the phase more steps, or correct it."
        )


@dataclass(frozen=True)
class Loop:
    """Nodes that are passed through several times.

    Parameters
    ----------
    name : str
    count : int
        Number of passes; can be set anew for each run.
    body : sequence of Loop, Phase or Event
    counter : {"trial", "epoch"}, optional
        Shared integer that counts the passes. Loops called ``"trial"`` or ``"epoch"`` write that one by
        default.
    """

    name: str
    count: int
    body: Sequence = field(repr=False)
    counter: str | None = None

    def __post_init__(self):
        owner = f"Loop '{self.name}'"
        _check_name("Loop", self.name)
        _check_list(owner, "body", self.body)
        object.__setattr__(self, "count", whole_number(owner, "count", self.count, 0))
        if self.counter is None and self.name in LOOP_COUNTERS:
            object.__setattr__(self, "counter", self.name)
        if self.counter not in (None, *LOOP_COUNTERS):
            allowed = ", ".join(LOOP_COUNTERS)
            raise InputError(f"{owner}: counter should be one of {allowed}. Got {self.counter!r}.")


class Schedule:
    """The tree of a protocol.

    Parameters
    ----------
    body : sequence of Loop, Phase or Event

    Raises
    ------
    InputError
        For a node of another type, a name used twice, or a loop within another one that writes the same
        integer.

    Notes
    -----
    A *position* counts the phases and events done since the start; a run can be cut and resumed at any
    position.
    """

    def __init__(self, body):
        _check_list("Schedule", "body", body)
        self.body = tuple(body)
        names = set()
        for node in self.nodes():
            if not isinstance(node, Loop | Phase | Event):
                raise InputError(f"A schedule is made of Loop, Phase and Event. Got {node!r}.")
            if node.name in names:
                raise InputError(f"Schedule: two nodes are called '{node.name}'. Give each its own name.")
            names.add(node.name)
            for inner in self.nodes(node.body) if isinstance(node, Loop) and node.counter else ():
                if getattr(inner, "counter", None) == node.counter:
                    raise InputError(
                        f"Schedule: loop '{inner.name}' stands within loop '{node.name}' and both write "
                        f"{node.counter}. Give the inner one another name or counter."
                    )
        self._follow(self.body)

    def _follow(self, body):
        """Check what the phases of a body and of the loops in it follow."""
        before = {}
        for node in body:
            if isinstance(node, Loop):
                self._follow(node.body)
            elif isinstance(node, Phase):
                if node.follows is not None and node.follows not in before:
                    known = ", ".join(before) or "none"
                    raise InputError(
                        f"Phase '{node.name}': follows should name a phase that stands before it in the same body and "
                        f"has direction=1; there are {known}. Got {node.follows!r}."
                    )
                if node.direction == 1:
                    before[node.name] = node

    def before(self, node):
        """The phases whose steps are counted before those of a node: what it follows, and what that one follows."""
        named, found = {leaf.name: leaf for leaf in self.leaves()}, []
        while getattr(node, "follows", None) is not None:
            node = named[node.follows]
            found.insert(0, node)
        return tuple(found)

    def followed(self):
        """Names of the phases that others follow, in the order of the schedule."""
        names = {getattr(node, "follows", None) for node in self.leaves()}
        return [node.name for node in self.leaves() if node.name in names]

    def nodes(self, body=None):
        """All nodes, depth first, parents before children."""
        for node in self.body if body is None else body:
            yield node
            if isinstance(node, Loop):
                yield from self.nodes(node.body)

    def leaves(self):
        """All phases and events, in the order of the schedule."""
        return [node for node in self.nodes() if not isinstance(node, Loop)]

    def leaf(self, position, counts=None):
        """The phase or event at a position."""
        counts, body = self.counts(counts), self.body
        while True:
            for node in body:
                length = self.length(counts, [node])
                if position < length:
                    break
                position -= length
            if not isinstance(node, Loop):
                return node
            position, body = position % self.length(counts, node.body), node.body

    def counts(self, changed=None):
        """Passes of each loop and steps of each phase, with some of them changed.

        Raises
        ------
        InputError
            For a name that is no loop or phase, or a count that is no whole number.
        """
        counts = {
            node.name: node.count if isinstance(node, Loop) else node.steps
            for node in self.nodes()
            if not isinstance(node, Event)
        }
        for name, value in (changed or {}).items():
            if name not in counts:
                known = ", ".join(counts) or "none"
                raise InputError(f"Schedule: no loop or phase is called '{name}'; there are {known}.")
            counts[name] = whole_number(f"Schedule: '{name}'", "the count", value, 0)
        return counts

    def length(self, counts=None, body=None):
        """Number of positions: every phase and event once for each time that it is reached."""
        counts = self.counts(counts)
        return sum(
            counts[node.name] * self.length(counts, node.body) if isinstance(node, Loop) else 1
            for node in (self.body if body is None else body)
        )

    def position(self, loop, index, counts=None):
        """Position at which pass `index` of an outermost loop begins.

        Raises
        ------
        InputError
            If no outermost loop has that name, or it has no such pass.
        """
        counts = self.counts(counts)
        position = 0
        for node in self.body:
            if isinstance(node, Loop) and node.name == loop:
                if not 0 <= index <= counts[loop]:
                    passes = counts[loop]
                    raise InputError(f"Schedule: loop '{loop}' has {passes} passes. Got index {index!r}.")
                return position + index * self.length(counts, node.body)
            position += self.length(counts, [node])
        known = ", ".join(node.name for node in self.body if isinstance(node, Loop)) or "none"
        raise InputError(f"Schedule: no outermost loop is called '{loop}'; there are {known}.")
