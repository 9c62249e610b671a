"""From a rule to the objects of a schedule.

`nodes` is a dict of lists: the name of a node of the schedule (``begin``, ``run``, ``turn``, ``backward``,
``end``), and the objects that the node runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroplast import equations
from neuroplast.engine import DenseSynapses, Tape
from neuroplast.equations import SUM_OF_CHANGES, WEIGHT
from neuroplast.errors import InputError

#: Place of the weights within a step: after everything that a rule reads.
LEARNING = 40
#: Places within the event that ends a trial.
GRADIENT, SUM, WEIGHTS = 0, 1, 2


@dataclass(frozen=True)
class Optimiser:
    """How the direction in which a rule moves a weight becomes a change of it.

    Attributes
    ----------
    name : str
    synapse : str
        Equations of every projection that learns.
    gather, apply : str
        Statements of its synapses: in each step of a trial, and after it.
    online : str
        Statements in each step instead, if the weights change at once.
    constants : dict of str to float
        Values of the constants in `synapse`, besides the learning rate ``eta``; initial values are the model's to set.
    """

    name: str
    synapse: str
    gather: str
    apply: str
    online: str
    constants: Mapping[str, float] = field(default_factory=dict)

    def state(self, projection, eta, every=1) -> dict[str, float]:
        """Initial values of a projection's constants.

        Parameters
        ----------
        projection : str
            Its name.
        eta : float
            Learning rate for the mean change over trials.
        every : int
            Trials from change to change.
        """
        # SGD adds the changes up; Adam takes their mean, whose size does not count.
        eta = eta / every if self.name == "sgd" else eta
        return {f"{projection}.{name}": value for name, value in {**self.constants, "eta": eta, "every": every}.items()}


#: Steps in the direction that the rule gives, of `eta` times its size.
SGD = Optimiser("sgd", equations.RATE, equations.GATHER, equations.APPLY, equations.LEARN)
#: Kingma and Ba (2015), arXiv 1412.6980: steps of about `eta` whatever the size, from running means per synapse.
ADAM = Optimiser(
    "adam", equations.ADAM, equations.GATHER_MEAN, equations.APPLY_ADAM, equations.LEARN_ADAM,
    equations.ADAM_CONSTANTS,
)  # fmt: skip
OPTIMISERS = {optimiser.name: optimiser for optimiser in (SGD, ADAM)}


def projection(source, target, text, rule, update, name, order, optimiser=SGD):
    """A projection with what its rule adds.

    Parameters
    ----------
    source, target : Population
    text : str
        Equations besides the weight ``w`` and the rule's own.
    rule : Rule
    update : {"trial", "online"}
    name : str
    order : dict of str to int
        Places within the step of the summed variables in `text`.
    optimiser : Optimiser

    Returns
    -------
    DenseSynapses

    Raises
    ------
    InputError
        If a population lacks what the rule reads, or the rule cannot do the update.
    """
    rule.check_update(update)
    rule.check(source, target)
    text = WEIGHT + text
    if rule.learns:
        text += optimiser.synapse + rule.synapse + ("\n" + rule.recurrent if source is target else "")
        text += SUM_OF_CHANGES if update == "trial" else ""
    places = {key: place for key, place in {**rule.order, **order}.items() if key == "update" or key in text}
    return DenseSynapses(source, target, text, order=places, method="euler", name=name)


def learn(synapses, rule, update, nodes, *, tapes=(), start=None, optimiser=SGD):
    """Add a projection's learning to the nodes.

    Parameters
    ----------
    synapses : DenseSynapses
        From `projection`.
    rule : Rule
    update : {"trial", "online"}
    nodes : dict of str to list
    tapes : sequence of Tape
        Where a rule with a `gradient` finds its factors.
    start : str, optional
        Statements that begin a trial, instead of the rule's.
    optimiser : Optimiser
        As given to `projection`.

    Raises
    ------
    InputError
        If the rule needs the trial run backward, and the model has no tapes of that.
    """
    if not rule.learns:
        return
    if rule.start:
        nodes["begin"].append(synapses.run_regularly(start or rule.start))
    if synapses.state_updater is not None:
        nodes["run"].append(synapses.state_updater)
    constraint = rule.constraint if synapses.source is synapses.target else ""
    if update == "online":
        nodes["run"].append(synapses.run_regularly(optimiser.online + constraint, order=LEARNING))
        return
    if rule.gradient:
        if not tapes:
            raise InputError(
                f"Rule '{rule.name}' runs the trial backward, and '{synapses.name}' has no tapes of that. Choose "
                "another rule, or give the model that phase with neuroplast.learning.backward."
            )
        nodes["end"].append(synapses.accumulate(*rule.gradient, over=tapes, order=GRADIENT))
        nodes["end"].append(synapses.run_regularly(optimiser.gather, order=SUM))
    else:
        nodes["run"].append(synapses.run_regularly(optimiser.gather, order=LEARNING))
    nodes["end"].append(synapses.run_regularly(optimiser.apply + constraint, order=WEIGHTS))


def backward(recurrent, rule, steps, nodes, *, order):
    """Add the phase that runs the recorded trial backward; nothing for rules without one.

    Parameters
    ----------
    recurrent : DenseSynapses
        Of the population whose variables the rule records and whose adjoint it integrates.
    rule : Rule
    steps : int
        The most steps that a trial may have.
    nodes : dict of str to list
    order : int
        Place of the rule's backward statements within the step.

    Returns
    -------
    list of Tape
        What was recorded forward, and what the backward phase adds; empty for rules without one.
    """
    if rule.online:
        return []
    units = recurrent.target
    forward, adjoint = (
        Tape(units, rule.tape[phase], steps, name=f"{units.name}_{phase}") for phase in ("run", "backward")
    )
    nodes["run"].append(forward.store())
    nodes["turn"].append(units.run_regularly(rule.turn))
    statements = units.run_regularly(rule.backward, when="groups", order=order)
    sums = [summed for name, summed in recurrent.summed_updaters.items() if name in rule.recurrent]
    nodes["backward"] += [forward.load(), *sums, statements, adjoint.store()]
    return [forward, adjoint]
