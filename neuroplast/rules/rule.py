"""`Rule`: a learning rule as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from neuroplast.errors import InputError

SIDES = {"pre": "presynaptic", "post": "postsynaptic"}
FEEDBACKS = ("random", "symmetric", "output", "input", "input_sign", "direct", "target", "")


@dataclass(frozen=True)
class Rule:
    """What a learning rule adds to a model: its text, what the text reads, where in a trial it acts.

    A model applies a rule to any projection; swapping the rule is passing another one to ``build()``.

    Attributes
    ----------
    name : str
    synapse : str
        Equations of every projection that learns. They define ``change``, dimensionless, the direction in which the
        weight ``w`` moves; ``eta``, the learning rate, is the model's.
    recurrent : str
        Further equations of a projection from a population onto itself.
    neuron : str
        Equations of the postsynaptic population.
    presynaptic, presynaptic_start : str
        Equations of every presynaptic population, the one that projects onto itself included, and statements that
        begin a trial there: for what depends on the presynaptic neuron alone, such as a trace of its activity.
    needs : dict of str to str
        Variables of the pre- and postsynaptic populations that the equations read, such as ``"slope_post"``, each with
        a line that would define it.
    order : dict of str to int
        Place within the step of what `synapse` and `recurrent` define: ``"update"`` for their ODEs, or the name of a
        summed variable. The weights come after all of them.
    start : str
        Statements of the synapses that begin a trial.
    phases : tuple of str
        ``("run",)`` for a rule that acts while the trial goes on, ``("run", "backward")`` for one that needs the whole
        trial, run through backward. Rules of networks that learn from batches name the phases of these.
    tape : dict of str to tuple of str
        Phase, and the variables of the postsynaptic population that it records.
    turn, backward : str
        Statements of the postsynaptic population: once before the backward phase, and in each of its steps.
    gradient : tuple of (str, str), optional
        Synaptic variable, and the product of a pre- and a postsynaptic variable that is summed over the trial into it.
    modulation : str
        Statements of the input population between two passes, which set ``shift``: what is added to the input ``x`` in
        the second one, if that is not the error that the feedback brings.
    feedback : {"random", "symmetric", "output", "input", "input_sign", "direct", "target", ""}
        Weights that bring the error to the units: fixed random ones or the readout's own. With "output" the random
        ones bring the output itself, as a current; with "input" they bring the error, with "input_sign" its sign, to
        the inputs; with "direct" the error and with "target" the target to every hidden layer; with "" there are none.
    constraint : str
        Statements of a recurrent projection's synapses that follow each change of the weights.
    readout : Rule, optional
        Of the readout weights, if it is not the delta rule.
    records : tuple of str
        Synaptic variables that are worth recording: what the name of a projection alone stands for in ``record=``.
    reference : str
        Paper and equations.

    Raises
    ------
    InputError
        If `synapse` does not define ``change``, `order` names what the text does not define, `needs` a variable of
        neither side, or the feedback is unknown.
    """

    name: str
    synapse: str = ""
    recurrent: str = ""
    neuron: str = ""
    presynaptic: str = ""
    presynaptic_start: str = ""
    needs: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[str, int] = field(default_factory=dict)
    start: str = ""
    phases: tuple[str, ...] = ("run",)
    tape: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    turn: str = ""
    backward: str = ""
    modulation: str = ""
    gradient: tuple[str, str] | None = None
    feedback: str = ""
    constraint: str = ""
    readout: Rule | None = None
    records: tuple[str, ...] = ()
    reference: str = ""

    def __post_init__(self):
        if self.synapse and not re.search(r"\bchange\b", self.synapse):
            raise InputError(
                f"Rule '{self.name}': synapse should define change, the direction in which w moves, such as\n"
                "    change = err_post*r_pre : 1"
            )
        unknown = sorted(name for name in self.order if name != "update" and name not in self.synapse + self.recurrent)
        if unknown:
            raise InputError(
                f"Rule '{self.name}': order should name 'update' or a summed variable of its text. Got "
                f"{', '.join(unknown)}."
            )
        sideless = sorted(name for name in self.needs if not name.endswith(("_pre", "_post")))
        if sideless:
            raise InputError(
                f"Rule '{self.name}': needs should name variables with their side, such as 'r_pre' or 'slope_post'. "
                f"Got {', '.join(sideless)}."
            )
        if self.feedback not in FEEDBACKS:
            allowed = ", ".join(map(repr, FEEDBACKS))
            raise InputError(f"Rule '{self.name}': feedback should be one of {allowed}. Got {self.feedback!r}.")

    @property
    def learns(self) -> bool:
        """Whether it changes weights at all."""
        return bool(self.synapse)

    @property
    def online(self) -> bool:
        """Whether the weights can change while the trial goes on."""
        return self.phases == ("run",)

    def check(self, source, target) -> None:
        """Refuse populations that lack what the rule reads.

        Parameters
        ----------
        source, target : Population
            The pre- and postsynaptic neurons.

        Raises
        ------
        InputError
            Naming the variable, the population, what that defines, and a line to add.
        """
        for name, line in self.needs.items():
            variable, _, side = name.rpartition("_")
            group = {"pre": source, "post": target}[side]
            if variable not in group.variables:
                defined = ", ".join(sorted(group.equations.names))
                where = "its equations, or to the rule's neuron text" if source is target else "its equations"
                raise InputError(
                    f"Rule '{self.name}' reads {variable} of the {SIDES[side]} neurons, which '{group.name}' does not "
                    f"define; it defines {defined}. Add a line to {where}, such as:\n    {line}"
                )

    def check_update(self, update: str) -> None:
        """Refuse a time of updating that is unknown or that the rule cannot do.

        Raises
        ------
        InputError
        """
        if update not in ("trial", "online"):
            raise InputError(f"update should be 'trial' or 'online'. Got {update!r}.")
        if update == "online" and self.learns and not self.online:
            raise InputError(
                f"Rule '{self.name}' needs the whole trial before a weight can change. Choose update='trial'."
            )
