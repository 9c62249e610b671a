"""The shared integers that a schedule writes and equations read."""

from __future__ import annotations

import numpy as np
from brian2.core.names import Nameable
from brian2.core.variables import Variables
from brian2.groups.group import VariableOwner

#: name -> (dtype, meaning); `tick` keys the random numbers and is saved with the state.
COUNTERS = {
    "epoch": (np.int32, "pass of the loop called epoch, or of one with that counter"),
    "trial": (np.int32, "pass of the loop called trial, or of one with that counter"),
    "k": (np.int32, "step within the phase; runs down with direction -1, goes on from the phase that it follows"),
    "n_steps": (np.int32, "number of steps of the phase"),
    "n_valid": (np.int32, "copies of a batch that hold data (the rest of a partial batch is padding)"),
    "tick": (np.int64, "steps and events done since the start"),
}

#: Of each phase that another one follows: the step at which it ended. Only where there are such phases.
ENDED = "ended"


class Counters(VariableOwner, Nameable):
    """Owner of the schedule's integers, made as Brian2 makes its `Clock`.

    Every `Population` and `DenseSynapses` refers to them, so that equations read ``k`` or ``trial``
    like any shared parameter, and monitors record them.
    """

    def __init__(self):
        Nameable.__init__(self, name="schedule")
        self.variables = Variables(self)
        for name, (dtype, _) in COUNTERS.items():
            self.variables.add_array(name, size=1, dtype=dtype, scalar=True, read_only=True)
        self.variables.add_constant("N", value=1)
        self.members = []
        self._enable_group_attributes()

    def keep_ends(self, phases):
        """Room in the state for the steps at which phases ended: a run may be cut before those that follow them."""
        if phases:
            self.variables.add_array(ENDED, size=phases, dtype=np.int32, read_only=True)

    def join(self, group):
        """Let the equations of `group` read the counters (names that it defines itself are kept).

        The group then lives as long as the simulation: Brian2's operations refer to theirs weakly, and a
        schedule may list nothing of a group but an operation.
        """
        self.members.append(group)
        for name in COUNTERS:
            group.variables.add_reference(name, self)
