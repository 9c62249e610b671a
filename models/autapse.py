r"""A recurrent network of rate units that learns to predict, with autapses' traces (Wang, Gray and Banerjee).

A. Wang, M. Gray, S. Banerjee. A more biologically plausible learning rule for recurrent neural networks (unpublished
report). Numbers in brackets on the right are its equations; it leaves open most of what a simulation needs, marked as
ours below.

Rates :math:`o` (``h`` in the equations), input :math:`x`, output :math:`\hat y`, target :math:`y`:

.. math::

    \tau\,do/dt &= -o + f(a), \quad a = W (o - o_c) + U x + b                                  \\
    \hat y &= V o + c, \quad e = \hat y - y                                                    \\
    \tau_k\,dk/dt &= -k + (o - o_c)                                                      && (7) \\
    dW_{ij}/dt &= -\tfrac{\eta}{T}\,(B e)_i\,k_j                                     && (9)-(11)

The last two lines are the rule AUTAPSE; `neuroplast.rules` has others. U and V are fixed, in the report; with
``readout_rule=DELTA`` V and c learn by the delta rule. A trial is a trajectory and begins with o = 0, k = 0. At
dt = tau, the default, an Euler step is the report's network, o(t) = f(W o(t-1) + U x(t) + b), in this order:

====  ====================================================  ===========================
 1    k                                                     old o, the one that a sees
 2    a = W (o - o_c) + U x + b, then o and f'(a)           old o, new x
 3    y = V o + c, err = y* - y = -e                        new o, old weights
 4    W, V, c: at once ("online"), or summed and changed    new err, k, o
      after every so many trajectories ("trial")
====  ====================================================  ===========================

=============  ========  ================  ==========  ==============================================
name           unit      symbol            default     source
=============  ========  ================  ==========  ==============================================
N              1         n                 2           report
tau            s         tau_m             1 ms        ours; a step is 1 ms here
dt             s         dt                1 ms        tau_m: the report's network
tau_k          s         tau               5 ms        report: 5, 10, 15 (steps, we take it)
activation     --        f                 sigmoid     report; relu, tanh, softplus are ours
centre         1         o_c               0           0; ours: 1/2 in `EXTENSION`
eta_rec        1         eta               1           ours; not given
eta_out        1         --                0.01        ours: of V and c, where they learn
optimiser      --        --                sgd         ours: "adam"
every          trials    --                1           ours: trajectories from change to change
burn_in        steps     --                10          ours: not counted in mean squared errors
g              1         --                0.5         ours
g_in           1         --                1           ours
g_out          1         --                1           ours
g_bias         1         --                0           report: no b is mentioned
g_back         1         --                1           ours
b_sign         1         --                1           report: positive eigenvalues; -1: negative ones
=============  ========  ================  ==========  ==============================================

Initial weights: W ~ N(0, g^2/N), b ~ N(0, g_bias^2), c = 0. Where N is the number of inputs, U = I; else
U ~ N(0, g_in^2/N_x). Where N is the number of outputs, V = I (report), and B = b_sign (Q Q^T/2 + 0.2 I) with
Q ~ N(0, 1) for all rules (ours: its eigenvalues have one sign); else V ~ N(0, g_out^2/N), B ~ b_sign N(0, 1), and for
feedback alignment B_rec ~ b_sign g_back N(0, 1/N). All rules begin with the same ones (report).

The change of a weight is `eta` times the mean over the trajectories since the last one; with "adam", `eta` is the size
of a change.

Departures from the report: the sign in the exponent of its equation 11, which lets the trace grow without bound, is
taken for a slip, as is the index j in (9).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, StateMonitor, ms
from brian2.utils.logger import catch_logs

from neuroplast import network
from neuroplast.engine import DenseSynapses, Event, Loop, Population, Schedule, Simulation, Tape, start
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.learning import OPTIMISERS, learn, projection
from neuroplast.model import Model
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import AUTAPSE, FROZEN
from neuroplast.trials import Plan, rows, task_to_state

UNITS = """
dh/dt = (-h + phi)/tau : 1                  # rate, o
r : 1                                       # activity that a was made of: the old o, from its centre
centre : 1 (shared, constant)               # rate that counts as none, o_c
I_rec : 1                                   # recurrent current, W (o - o_c)
bias : 1 (constant)                         # b
credit : 1                                  # error as it reaches the unit, B err
tau : second (shared, constant)             # time constant
T = n_steps*dt : second (shared)            # duration of a trajectory
"""
# Total current, a, by whether there is an input.
CURRENTS = {
    False: "u = I_rec + bias : 1",
    True: "u = I_rec + I_in + bias : 1",
}
I_IN = """
I_in : 1                                    # input current, U x
"""
BEGIN = """
h = 0
"""
#: What the rate relaxes to, f(a), and the slope of it.
ACTIVATIONS = {
    # 1/(1 + exp(-u)), written so that nothing overflows
    "sigmoid": """
phi = (1 + tanh(u/2))/2 : 1 (constant over dt)
slope = phi*(1 - phi) : 1 (constant over dt)
""",
    "tanh": """
phi = tanh(u) : 1 (constant over dt)
slope = 1 - phi**2 : 1 (constant over dt)
""",
    "relu": """
phi = u*int(u > 0) : 1 (constant over dt)
slope = int(u > 0)*1.0 : 1 (constant over dt)
""",
    # log(1 + exp(u)), written so that nothing overflows
    "softplus": """
phi = u*int(u > 0) + log(1 + exp(-abs(u))) : 1 (constant over dt)
slope = (1 + tanh(u/2))/2 : 1 (constant over dt)
""",
}
OUTPUTS = """
y = I_out + c : 1                           # output
I_out : 1                                   # V o
c : 1                                       # offset
goal : 1                                    # target
scored : 1                                  # 1 where the output should be the target, 0 where it is free
err = scored*(goal - y) : 1 (constant over dt)  # error, -e
T = n_steps*dt : second (shared)            # duration of a trajectory
burn_in : integer (shared, constant)        # steps that are not counted
squared : 1                                 # sum of squared errors, and
counted : 1                                 # their number: over the trajectories since it was last taken
"""
COUNT = """
squared += int(k >= burn_in)*err**2
counted += int(k >= burn_in)*scored
"""
FORGET = """
squared = 0
counted = 0
"""
SCORE = """
train_mse : 1                               # mean squared error of an output: in training, while learning,
validation_mse : 1                          # and in the tests, thereafter
squared : 1
counted : 1
"""
TRAINED = """
train_mse = squared/counted
"""
VALIDATED = """
validation_mse = squared/counted
"""
ONE = """
h : 1 (constant)                            # what the offset's weights come from: 1
"""

RECURRENT = """
I_rec_post = w*r_pre : 1 (summed)           # W (o - o_c)
"""
READOUT = """
b : 1                                       # feedback weight, from the error back to the unit
I_out_post = w*h_pre : 1 (summed)           # V o
"""
OFFSET = """
c_post = w*h_pre : 1 (summed)
"""
TOTAL = """
squared_post = squared_pre : 1 (summed)
counted_post = counted_pre : 1 (summed)
"""

# The activity is taken before the currents; in the event after an epoch, sums are taken before they are forgotten.
ACTIVITY, FIRST_SUM, SECOND_SUM, FORGOTTEN = network.CURRENT - 1, 0, 1, 2

#: Name of a matrix -> (state variable, what it has of rows and columns).
MATRICES = {
    "w_rec": ("recurrent.w", ("N", "N")),
    "w_in": ("afferent.w", ("N", "inputs")),
    "w_out": ("readout.w", ("outputs", "N")),
    "b": ("readout.b", ("N", "outputs")),
    "b_rec": ("recurrent.b", ("N", "N")),
}
#: What a unit's rate is, and between what it lies.
RATE_OF = {"sigmoid": Rate("h", 0, 1), "tanh": Rate("h", -1, 1), "relu": Rate("h"), "softplus": Rate("h")}
#: Nodes in which records are taken.
RECORDED = ("run", "end", "epoch_end", "test", "test_end", "fit", "fit_end")
#: What is compiled in: a net of the same model cannot have others.
FIXED = ("N", "dt", "activation", "optimiser")
#: Constants of a network that can scale its output (ours): larger, with biases, for ``readout_rule=DELTA``.
EXTENSION = {
    "N": 32, "g": 4.0, "g_in": 2 * 2**0.5, "g_out": 0.0, "g_bias": 1.0, "g_back": 4.0, "centre": 0.5,
    "optimiser": "adam", "eta_rec": 3e-3, "eta_out": 1e-2,
}  # fmt: skip


@dataclass(frozen=True)
class Parameters(network.Network):
    """Constants of the model; see the table above."""

    N: int = parameter(2, "units")
    tau: Quantity = parameter(1 * ms, "time constant of the units")
    tau_k: Quantity = parameter(5 * ms, "time constant of the autapses' traces")
    activation: str = parameter("sigmoid", "what a rate relaxes to, of the current", choices=tuple(ACTIVATIONS))
    centre: float = parameter(0.0, "rate that the recurrent weights take for none")
    eta_rec: float = parameter(1.0, "learning rate of the recurrent weights")
    eta_out: float = parameter(0.01, "learning rate of the readout, where it learns")
    optimiser: str = parameter("sgd", "how changes are made of gradients", choices=tuple(OPTIMISERS))
    every: int = parameter(1, "trajectories from change to change, over which it is averaged")
    burn_in: int = parameter(10, "first steps of a trajectory, not counted in mean squared errors")
    g: float = parameter(0.5, "gain of the initial recurrent weights")
    g_in: float = parameter(1.0, "gain of the input weights, unless they are the identity")
    g_out: float = parameter(1.0, "gain of the initial readout weights, unless they are the identity")
    g_bias: float = parameter(0.0, "standard deviation of the biases")
    g_back: float = parameter(1.0, "gain of the weights that bring errors back in time, in feedback alignment")
    b_sign: int = parameter(1, "sign of the feedback weights", choices=(1, -1))

    def __post_init__(self):
        super().__post_init__()
        network.check_time("tau_k", self.tau_k)
        for name, allowed in {"activation": ACTIVATIONS, "optimiser": OPTIMISERS}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} should be one of {', '.join(allowed)}. Got {getattr(self, name)!r}.")
        for name, least in {"every": 1, "burn_in": 0}.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} should be a whole number from {least}. Got {getattr(self, name)!r}.")


def build(
    parameters, task, rule=AUTAPSE, *, readout_rule=FROZEN, update="trial", seed=0, record=(), target="cpp",
    dtype="float64", threads=1,
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs: every trial of the task's order once (``begin``, ``run``, for some rules ``turn``
    and ``backward``, ``end``), ``trained``, then every test without learning (``validation``), ``epoch_end``. After
    the last epoch come the tests (``test``) and the trials of the order (``fit``) once more, without learning, for
    their outputs.

    Parameters
    ----------
    parameters : Parameters
    task : Task
        Trajectories to be trained on are its order, those for validation its tests: see `neuroplast.worlds.ball`.
    rule : Rule
        Of the recurrent weights.
    readout_rule : Rule
        Of the readout: DELTA, with which its offset learns as well, or FROZEN.
    update : {"trial", "online"}
        When weights change: after every so many trajectories, or after each step.
    seed : int
        Of the initial weights, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides the mean squared errors of each epoch (``train_mse``, taken while learning, and
        ``validation_mse``, after it), the final outputs (``output`` in the tests, ``training_output`` in the trials of
        the order) and the final weights, see `neuroplast.records`: ``"units.h:epochs=-1"`` in the last epoch,
        ``"units.trace:phase=fit"`` in the trials of the order after it, ``"recurrent.w:at=epoch"`` after each. There
        are the populations units, outputs and inputs, and the projections recurrent, readout, afferent and offset.
    target : {"cpp", "numpy"}
    dtype : {"float64", "float32"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``. Its methods take other ``parameters=`` (except N, dt, activation, optimiser) and another
        ``task=`` (of as many channels and trials in its order, and no larger) for each net.

    Raises
    ------
    InputError
        If a rule reads what the network does not define, or cannot learn online; for a burn-in that leaves nothing to
        count, or a `record` of what there is not.
    """
    if rule.feedback == "output":
        raise InputError(
            f"Rule '{rule.name}' feeds the output back into the units, which 'autapse' has no current for. Choose "
            "another rule, or the model 'rflo'."
        )
    start(target, dtype=dtype, dt=parameters.dt)
    steps, optimiser = task.samples - 1, OPTIMISERS[parameters.optimiser]
    nodes = defaultdict(list)  # node of the schedule -> its objects; all trials share reset and step
    text = UNITS + CURRENTS[task.inputs > 0] + (I_IN if task.inputs else "") + ACTIVATIONS[parameters.activation]
    text += rule.neuron + rule.presynaptic

    units = network.population(parameters.N, text, "units", network.MOVE, network.RATES)
    outputs = network.population(task.outputs, OUTPUTS, "outputs", network.LOSS, network.ERROR)
    places = {"I_out_post": network.OUTPUT, "credit_pre": network.CREDIT}
    text = READOUT + network.FEEDBACK[rule.feedback]
    recurrent = projection(
        units, units, RECURRENT, rule, update, "recurrent", {"I_rec_post": network.CURRENT}, optimiser
    )
    readout = projection(units, outputs, text, readout_rule, update, "readout", places, optimiser)
    goals, plan = Tape(outputs, ["goal", "scored"], rows(task), name="goals"), Plan(task)
    groups, samples = {"units": units, "outputs": outputs, "recurrent": recurrent, "readout": readout}, {"goals": goals}

    for node in ("begin", "fit_begin"):
        nodes[node].append(plan.choose)
    for node in ("validation_begin", "test_begin"):
        nodes[node].append(plan.choose_test)
    nodes["reset"].append(units.run_regularly(BEGIN + rule.presynaptic_start))
    nodes["step"] += [
        units.run_regularly("r = h - centre", when="groups", order=ACTIVITY), recurrent.summed_updaters["I_rec_post"],
        units.subexpression_updater, units.state_updater,
        readout.summed_updaters["I_out_post"], plan.load(goals, order=network.GOAL), outputs.subexpression_updater,
    ]  # fmt: skip
    tapes = network.bring_error(rule, recurrent, readout, steps, nodes)
    learn(recurrent, rule, update, nodes, tapes=tapes, optimiser=optimiser)
    learn(readout, readout_rule, update, nodes, optimiser=optimiser)
    if readout_rule.learns:
        groups |= _add_offset(outputs, readout_rule, update, nodes, optimiser)
    if task.inputs:
        added, samples["drive"] = network.add_input(units, task, FROZEN, update, nodes, [], plan)
        groups |= added
    rules = {"recurrent": rule, "readout": readout_rule, "offset": readout_rule, "afferent": FROZEN}
    rates = {"units": RATE_OF[parameters.activation], "outputs": Rate("y")}
    score = _add_score(outputs, nodes)
    recorded = _add_monitors(groups | score, nodes)
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)
    groups |= score | plan.groups | samples

    simulation = Simulation(_schedule(nodes, steps, task, plan.length), name="autapse", threads=threads, namespace={})
    values = partial(initial_values, rule=rule, update=update)
    return Model(simulation, groups, recorded, parameters, task, FIXED, values, seed, passes)


def passes(epochs, task):
    """Counts of the schedule for a number of epochs of a task."""
    trials, tests = len(task.order), len(task.tests)
    return {"epoch": epochs, "trial": trials, "validations": tests, "tests": tests, "fits": trials}


def initial_values(parameters, task, seed, rule=AUTAPSE, update="trial"):
    """Initial values of a net: weights drawn by a seed, the constants, the task.

    Parameters
    ----------
    parameters : Parameters
    task : Task
    seed : int
    rule : Rule
        Whether it is sign-constrained decides the signs of the initial recurrent weights.
    update : {"trial", "online"}

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.

    Raises
    ------
    InputError
        If weights that change at each step should change every so many trajectories, if changes do not come out even
        with the epochs, the burn-in leaves nothing to count, or a trace is shorter than a step.
    """
    p, optimiser = parameters, OPTIMISERS[parameters.optimiser]
    network.check_trace(rule, p)
    network.check_every(p.every, update)
    if len(task.order) % p.every:
        raise InputError(
            f"every should divide the {len(task.order)} trajectories of an epoch, so that none waits for the next one. "
            f"Got {p.every}."
        )
    shortest = min(condition.samples for condition in task.conditions) - 1
    if p.burn_in >= shortest:
        raise InputError(
            f"burn_in should be less than the {shortest} steps of the shortest trajectory, to leave some to count. Got "
            f"{p.burn_in}."
        )
    polarity = network.polarity(p.N)
    values = {"units.tau": float(p.tau), "units.tau_k": float(p.tau_k), "units.centre": p.centre}
    values |= {"units.polarity": polarity, "outputs.burn_in": p.burn_in, "one.h": 1.0}
    for name, eta in {"recurrent": p.eta_rec, "readout": p.eta_out, "offset": p.eta_out}.items():
        values |= optimiser.state(name, eta, p.every)
    weights = _draw(p, task.inputs, task.outputs, np.random.default_rng(seed))
    values["units.bias"] = weights.pop("bias")
    if rule.constraint:
        weights["w_rec"] = polarity * abs(weights["w_rec"])
    return values | task_to_state(task) | weights_to_state(**weights)


def _draw(p, inputs, outputs, rng):
    """Initial matrices; what is drawn does not depend on the rule."""
    w_rec, q, w_in, w_out, b, b_rec, bias = (
        rng.standard_normal(shape)
        for shape in ((p.N, p.N), (p.N, p.N), (p.N, inputs), (outputs, p.N), (p.N, outputs), (p.N, p.N), p.N)
    )
    found = {"w_rec": p.g / np.sqrt(p.N) * w_rec, "bias": p.g_bias * bias}
    if inputs:
        found["w_in"] = np.eye(p.N) if p.N == inputs else p.g_in / np.sqrt(inputs) * w_in
    if p.N == outputs:
        positive = q @ q.T / 2 + 0.2 * np.eye(p.N)
        found |= {"w_out": np.eye(p.N), "b": p.b_sign * positive, "b_rec": p.b_sign * positive}
    else:
        found |= {"w_out": p.g_out / np.sqrt(p.N) * w_out, "b": p.b_sign * b}
        found |= {"b_rec": p.b_sign * p.g_back / np.sqrt(p.N) * b_rec}
    return found


def weights_to_state(**weights):
    """State variables for the report's matrices, to be given as ``state=``.

    Parameters
    ----------
    **weights : array_like
        Of w_rec (W, N x N), w_in (U, N x inputs), w_out (V, outputs x N), b (B, N x outputs), b_rec (B in the place of
        W in feedback alignment, N x N).

    Returns
    -------
    dict of str to array
        ``object.variable`` to matrices, whose rows are presynaptic.

    Raises
    ------
    InputError
        For another name, or matrices whose shapes do not fit each other; that they fit the network is checked when it
        is run.
    """
    sizes, found = {}, {}
    for name, values in weights.items():
        if name not in MATRICES:
            raise InputError(f"weights_to_state: there are {', '.join(MATRICES)}. Got {name!r}.")
        variable, axes = MATRICES[name]
        shape = np.shape(values)
        known = dict(zip(axes, shape, strict=False)) | sizes
        if len(shape) != 2 or shape != tuple(known[axis] for axis in axes):
            wanted = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
            raise InputError(f"weights_to_state: {name} should have shape ({wanted}). Got {shape}.")
        sizes = known
        # Synapses have presynaptic rows; those of b are the units, which it leads to.
        found[variable] = np.asarray(values, float) if name == "b" else np.transpose(values).astype(float)
    return found


def _add_offset(outputs, rule, update, nodes, optimiser):
    one = Population(1, ONE, name="one")
    offset = projection(one, outputs, OFFSET, rule, update, "offset", {"c_post": network.OUTPUT}, optimiser)
    nodes["step"].append(offset.summed_updaters["c_post"])
    learn(offset, rule, update, nodes, optimiser=optimiser)
    return {"one": one, "offset": offset}


def _add_score(outputs, nodes):
    score = Population(1, SCORE, name="score")
    order = {"squared_post": FIRST_SUM, "counted_post": SECOND_SUM}
    total = DenseSynapses(outputs, score, TOTAL, order=order, name="total")
    count = outputs.run_regularly(COUNT, when="groups", order=network.LOSS)
    forget = outputs.run_regularly(FORGET, when="groups", order=FORGOTTEN)
    for phase, event, text in (("run", "trained", TRAINED), ("validation", "epoch_end", VALIDATED)):
        taken = score.run_regularly(text, when="groups", order=FORGOTTEN)
        nodes[phase].append(count)
        nodes[event] += [*total.summed_updaters.values(), taken, forget]
    return {"score": score, "total": total}


def _add_monitors(groups, nodes):
    """Add monitors to the nodes; returns how they appear in the results."""
    recorded = [
        Recorded("train_mse", "epochs.train_mse", along="epoch", doc="mean squared error in training, while learning"),
        Recorded("validation_mse", "epochs.validation_mse", along="epoch", doc="the same in the tests, thereafter"),
    ]

    def monitor(node, group, variables, name):
        with catch_logs():  # Brian2 warns that the schedule's integers are recorded once per neuron
            nodes[node].append(StateMonitor(groups[group], variables, record=True, when="end", name=name))

    monitor("epoch_end", "score", ["train_mse", "validation_mse", "epoch"], "epochs")
    for name, node, fold in (("output", "test", "test"), ("training_output", "fit", "trajectory")):
        monitor(node, "outputs", ["y", "trial", "k"], name)
        doc = f"output after learning, of each {fold}"
        recorded.append(Recorded(name, f"{name}.y", "rates", ("channel",), along="step", fold=fold, doc=doc))
    for name in ("recurrent", "readout", "offset"):
        if name in groups:
            monitor("final", name, ["w", "epoch"], f"{name}_weights")
            axes, shape = (f"{name}_pre", f"{name}_post"), groups[name].shape
            recorded.append(Recorded(f"w_{name}", f"{name}_weights.w", "weights", axes, shape, along="snapshot"))
    return tuple(recorded)


def _schedule(nodes, steps, task, length):
    counts = passes(1, task)
    epoch = [
        Loop("trial", counts["trial"], network.training_trial(nodes, steps, length)),
        Event("trained", nodes["trained"]),
        Loop("validations", counts["tests"], network.test_trial(nodes, steps, length, "validation"), counter="trial"),
        Event("epoch_end", nodes["epoch_end"]),
    ]
    return Schedule([
        Loop("epoch", 1, epoch),
        Loop("tests", counts["tests"], network.test_trial(nodes, steps, length), counter="trial"),
        Loop("fits", counts["fits"], network.test_trial(nodes, steps, length, "fit"), counter="trial"),
        Event("final", nodes["final"]),
    ])  # fmt: skip
