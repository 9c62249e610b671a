"""Which samples of a task each trial goes through, inside the compiled program.

The samples of all conditions stand on tapes end to end. A population of one neuron, ``plan``, holds the row at which
the present trial's condition begins and the number of its steps; the event that begins a trial loads both by the
trial's number, so that trials of any length and order need no second program.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroplast.engine import Population, Tape
from neuroplast.tasks import Condition, Task

PLAN = """
first : integer                             # row at which the condition of this trial begins
length : integer                            # steps of this trial
"""

#: Places in the event that begins a trial: the plan before what reads it.
CHOOSE, FIRST_SAMPLE = -2, -1


def rows(task) -> int:
    """Samples of all conditions of a task."""
    return sum(condition.samples for condition in task.conditions)


def covering(tasks: Sequence[Task]) -> Task:
    """A task as large as the largest of several in every respect, to build a model for all of them.

    Its samples are zeros; it has the channels and the number of trials in the order that all of them should have.
    """
    longest = max(task.samples for task in tasks)
    inputs = tasks[0].inputs
    count = -(-max(rows(task) for task in tasks) // longest)
    condition = Condition(np.zeros((longest, tasks[0].outputs)), np.zeros((longest, inputs)) if inputs else None)
    tests = max(len(task.tests) for task in tasks)
    return Task([condition] * count, "covering", tasks[0].order * 0, np.zeros(tests, int))


class Plan:
    """The plan of a task's trials and tests.

    Parameters
    ----------
    task : Task

    Attributes
    ----------
    groups : dict
        The population ``plan`` and the tapes ``training`` and ``testing``.
    length : tuple
        For `Phase`: the steps of the present trial.
    choose, choose_test : NativeOperation
        For the event that begins a trial or a test.
    """

    def __init__(self, task):
        plan = Population(1, PLAN, name="plan")
        training = Tape(plan, ["first", "length"], len(task.order), name="training")
        testing = Tape(plan, ["first", "length"], len(task.tests), name="testing")
        self.groups = {"plan": plan, "training": training, "testing": testing}
        self.first, self.length = (plan, "first"), (plan, "length")
        self.choose = training.load(row="trial", cycle=True, order=CHOOSE)
        self.choose_test = testing.load(row="trial", order=CHOOSE)

    def load(self, tape, *, order):
        """Operation that loads, in step k, the sample after it: a step goes from sample k to sample k + 1."""
        return tape.load(row=("k", self.first), shift=1, when="groups", order=order)

    def load_first(self, tape, into=None):
        """Operation that loads the first sample of a trial, in the event that begins it."""
        return tape.load(into, row=[self.first], order=FIRST_SAMPLE, name=f"{tape.name}_first")


def task_to_state(task) -> dict[str, np.ndarray]:
    """Values of the plan, and of tapes called ``goals`` (goal, scored) and ``drive`` (x), for a task."""
    samples = np.array([condition.samples for condition in task.conditions])
    first = np.cumsum(samples) - samples
    values = {
        "goals.goal": np.concatenate([condition.target for condition in task.conditions]),
        "goals.scored": np.repeat(np.concatenate([c.scored for c in task.conditions]), task.outputs),
    }
    if task.inputs:
        values["drive.x"] = np.concatenate([condition.drive for condition in task.conditions])
    for name, chosen in {"training": task.order, "testing": task.tests}.items():
        values |= {f"{name}.first": first[chosen], f"{name}.length": samples[chosen] - 1}
    return values
