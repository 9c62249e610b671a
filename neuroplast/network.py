"""What recurrent networks have in common that learn from the error of their output.

Units with a rate ``h``, a current ``u`` and its slope, outputs with an error ``err``, inputs ``x``: a model writes
their equations; here is how rules, tasks and schedules are tied to them.

`nodes` is a dict of lists: the name of a node of the schedule, and the objects that it runs. ``reset`` and ``step`` are
shared by trials of training and by tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, have_same_dimensions, ms, second

from neuroplast.engine import Event, Phase, Population, Tape
from neuroplast.errors import InputError
from neuroplast.learning import SGD, backward, learn, projection
from neuroplast.parameters import parameter
from neuroplast.trials import rows

#: Places within a step, in the order of Murray (2019); the rules' own are at 30 and 26.
INPUT, CURRENT, RATES, MOVE, OUTPUT, GOAL, ERROR, LOSS, CREDIT, BACK = -10, 0, 10, 15, 20, 21, 22, 23, 25, 27

INPUTS = """
x : 1                                       # input
r : 1                                       # input that the traces see
"""
AFFERENT = """
I_in_post = w*x_pre : 1 (summed)            # W_in x
"""
#: What the readout's synapses add to bring the error, or the output, to the units: by a rule's `feedback`.
FEEDBACK = {
    "random": "credit_pre = b*err_post : 1 (summed)",  # B err
    "symmetric": "credit_pre = w*err_post : 1 (summed)",  # W_out^T err
    "output": "I_fb_pre = b*y_post : 1 (summed)",  # B y
    "": "",
}


@dataclass(frozen=True)
class Network:
    """Constants of a recurrent network, whether it learns or not."""

    N: int = parameter(30, "recurrent units")
    tau: Quantity = parameter(10 * ms, "time constant of the units and of the eligibility traces")
    dt: Quantity = parameter(1 * ms, "time step")

    def __post_init__(self):
        if self.N < 1:
            raise InputError(f"N should be a positive number of units. Got {self.N!r}.")
        for name in ("tau", "dt"):
            check_time(name, getattr(self, name))
        if self.dt > self.tau:
            raise InputError(f"dt should be at most tau. Got dt={self.dt} and tau={self.tau}.")


def check_time(name, value):
    """Refuse what is no positive time.

    Raises
    ------
    InputError
    """
    if not (have_same_dimensions(value, second) and float(value) > 0):
        raise InputError(f"{name} should be a positive time such as 10*ms. Got {value}.")


def check_trace(rule, parameters):
    """Refuse a time constant of the autapses' traces, if the rule has these, that is too short for Euler steps.

    Raises
    ------
    InputError
    """
    tau_k, dt = parameters.tau_k, parameters.dt
    if "tau_k" in rule.presynaptic and tau_k < dt:
        raise InputError(
            f"tau_k should be at least dt under the rule '{rule.name}'. Got tau_k={tau_k} and dt={dt}: an Euler step "
            "multiplies what is left of the trace by 1 - dt/tau_k < 0, so that it overshoots the activity and swings "
            "about it, without bound below dt/2. tau_k=dt is the trace without memory, the activity itself; for less, "
            "take a smaller dt."
        )


def check_every(every, update):
    """Refuse a number of trials between changes where weights change after each step.

    Raises
    ------
    InputError
    """
    if update == "online" and every != 1:
        raise InputError(f"every={every} trials needs update='trial'. Got update='online', which is after each step.")


def polarity(N):
    """Signs of the units under Dale's law, an array: the first half excites, 1, the others inhibit, -1."""
    return np.where(np.arange(N) < N / 2, 1.0, -1.0)


def population(N, text, name, order, constants):
    """Population whose ODEs are integrated, and whose (constant over dt) values are taken, at these places."""
    group = Population(N, text, method="euler", order=order, name=name)
    group.subexpression_updater.when, group.subexpression_updater.order = "groups", constants
    return group


def bring_error(rule, recurrent, readout, steps, nodes, *, late=False):
    """Add what brings the error to the units: in each step, or in those of a backward phase.

    Parameters
    ----------
    rule : Rule
        Of the recurrent weights; neither without feedback nor with that of the output.
    recurrent, readout : DenseSynapses
        From `neuroplast.learning.projection`; the readout has the text that `FEEDBACK` gives for the rule.
    steps : int
        The most steps that a trial may have.
    nodes : dict of str to list
    late : bool
        Whether the backward phase reads the error of the step after, as the authors' code of RFLO does.

    Returns
    -------
    list of Tape
        What a rule with a backward phase recorded; give them to `neuroplast.learning.learn`.
    """
    tapes = backward(recurrent, rule, steps, nodes, order=BACK)
    if tapes:
        errors = Tape(readout.target, ["err"], steps, name="errors")
        nodes["run"].append(errors.store())
        nodes["backward"].append(errors.load(when="end" if late else "start"))
    if rule.feedback in ("random", "symmetric"):
        nodes[rule.phases[-1]].append(readout.summed_updaters["credit_pre"])
    return tapes


def add_input(units, task, rule, update, nodes, tapes, plan, *, lag=0, start=None, optimiser=SGD):
    """Add the inputs, their samples, and their weights onto the units.

    Parameters
    ----------
    units : Population
        Has a current ``I_in``.
    task : Task
    rule : Rule
        Of the input weights.
    update : {"trial", "online"}
    nodes : dict of str to list
    tapes : list of Tape
        From `bring_error`.
    plan : Plan
    lag : {0, 1}
        Steps by which the activity that online rules see lags behind the input.
    start : str, optional
        Statements of the synapses that begin a trial, instead of the rule's.
    optimiser : Optimiser

    Returns
    -------
    dict
        ``inputs`` and ``afferent``.
    Tape
        ``drive``, the samples.
    """
    inputs = Population(task.inputs, INPUTS + rule.presynaptic, method="euler", order=MOVE, name="inputs")
    afferent = projection(inputs, units, AFFERENT, rule, update, "afferent", {"I_in_post": CURRENT}, optimiser)
    drive = Tape(inputs, ["x"], rows(task), name="drive")
    lag = lag if rule.online else 0
    seen = inputs.run_regularly("r = x", when="groups", order=INPUT - 1 if lag else INPUT + 1)
    nodes["reset"].append(plan.load_first(drive))
    if rule.presynaptic_start:
        nodes["reset"].append(inputs.run_regularly(rule.presynaptic_start))
    nodes["step"] += [seen, plan.load(drive, order=INPUT), afferent.summed_updaters["I_in_post"]]
    if inputs.state_updater is not None:
        nodes["step"].append(inputs.state_updater)
    if tapes:
        past = Tape(inputs, ["r"], task.samples - 1, name="inputs_run")
        nodes["run"].append(past.store())
        tapes = [*tapes, past]
    learn(afferent, rule, update, nodes, tapes=tapes, start=start, optimiser=optimiser)
    return {"inputs": inputs, "afferent": afferent}, drive


def training_trial(nodes, steps, length):
    """Nodes of a trial that learns: ``begin``, ``run``, for some rules ``turn`` and ``backward``, ``end``."""
    found = [
        Event("begin", nodes["reset"] + nodes["begin"]),
        Phase("run", nodes["step"] + nodes["run"], steps, length=length),
    ]
    if nodes["backward"]:
        found.append(Event("turn", nodes["turn"]))
        found.append(Phase("backward", nodes["backward"], steps, clock="hold", direction=-1, length=length))
    return [*found, Event("end", nodes["end"])]


def test_trial(nodes, steps, length, name="test"):
    """Nodes of a trial without learning: ``NAME_begin``, ``NAME``, ``NAME_end``."""
    return [
        Event(f"{name}_begin", nodes["reset"] + nodes[f"{name}_begin"]),
        Phase(name, nodes["step"] + nodes[name], steps, length=length),
        Event(f"{name}_end", nodes[f"{name}_end"]),
    ]
