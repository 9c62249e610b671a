r"""A recurrent network of rate units that learns a task from its output error (Murray 2019).

J. M. Murray (2019). Local online learning in recurrent networks with random feedback. eLife 8:e43299,
https://doi.org/10.7554/eLife.43299. Numbers in brackets on the right are the paper's equations.

Units :math:`h`, output :math:`y`, input :math:`x`, target :math:`y^*`:

.. math::

    \tau\,dh/dt &= -h + \tanh u, \quad u = W h + W_{in} x                               && (1) \\
    y &= W_{out} h, \quad \varepsilon = y^* - y, \quad
        L = \frac{1}{2T}\int |\varepsilon|^2\,dt                                         && (2) \\
    \tau\,dp_{ab}/dt &= -p_{ab} + \phi'(u_a)\,h_b                                        && (5) \\
    \tau\,dq_{ab}/dt &= -q_{ab} + \phi'(u_a)\,x_b                                        && (6) \\
    dW_{out}/dt &= \tfrac{\eta}{T}\,\varepsilon\,h^T, \quad
        dW_{ab}/dt = \tfrac{\eta}{T}\,(B\varepsilon)_a\,p_{ab}, \quad
        dW_{in,ab}/dt = \tfrac{\eta}{T}\,(B\varepsilon)_a\,q_{ab}

The last line is the rule RFLO; `neuroplast.rules` has others; one feeds the output back, u = W h + W_in x + B y.
At dt = tau/10 an Euler step is the published algorithm, in this order, from sample k to k + 1:

====  ====================================================  ===========================
 1    u = W h + W_in x                                      old h, new x
 2    h, phi'(u)                                            new u
 3    y = W_out h, err = y* - y                             new h, old weights
 4    p, q                                                  new u, old h, old x (`q_lag`)
 5    W_out, W, W_in: at once ("online"), or summed and     new err, p, q
      added after the trial ("trial")
====  ====================================================  ===========================

=============  ========  ================  ==========  ==============================================
name           unit      symbol            default     source
=============  ========  ================  ==========  ==============================================
N              1         N                 30          figure 2
tau            s         tau               10 ms       tau = 10 steps; a step is 1 ms here
dt             s         dt                1 ms        1 step
g              1         g                 1.5         Materials and methods
eta_rec        1         eta_2             0.01        figure 2, T = 40 tau; searched for per task
eta_in         1         eta_3             0.01        the same for all three
eta_out        1         eta_1             0.01        the same for all three
h0             1         h(0)              0.1         authors' code
sigma          s^-1/2    --                0           ours: white noise, none in the paper
q_lag          steps     --                1           (6) at dt = 1 step; 0: the input that u reads
every          trials    --                1           figure 3: 10
g_out          1         g                 1           1; figure 2 - figure supplement 3: as g
tau_k          s         --                10 ms       ours: the rule "autapse" is another paper's
carry          --        --                false       ours: rates go on from trial to trial
=============  ========  ================  ==========  ==============================================

Initial weights (Materials and methods): W ~ N(0, g^2/N), W_in ~ U(-1, 1), W_out ~ g_out U(-1, 1)/sqrt(N), B ~ N(0, 1).
Under Dale's law the first half of the units is excitatory, ``W_ab = |W_ab|``, the rest inhibitory,
``W_ab = -|W_ab|``.

A trial is of a `Condition` of the task; trials of different conditions may last differently long.

Departures from the paper: none by default. ``notebook_compat`` follows the authors' code where that departs from the
paper: phi' = cosh(10 tanh(u/10))^-2; q(0) = x(0)/tau instead of 0; the loss counts the first sample, with y = 0; BPTT
reads the error one sample late.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, StateMonitor, have_same_dimensions, ms, second
from brian2.utils.logger import catch_logs

from neuroplast import network
from neuroplast.engine import DenseSynapses, Loop, Population, Schedule, Simulation, Tape, start
from neuroplast.equations import DURATION
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.learning import WEIGHTS, learn, projection
from neuroplast.model import Model
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import DELTA, RFLO
from neuroplast.trials import Plan, rows, task_to_state

UNITS = """
h0 : 1                                      # rate at the start of a trial
carry : 1 (shared, constant)                # 1: go on from the rate that the trial before ended with
phi = tanh(u) : 1 (constant over dt)        # what the rate relaxes to
I_rec : 1                                   # recurrent current, W h
tau : second (shared, constant)             # time constant
"""
LEARNING = """
r : 1                                       # rate that u was made of: the old h
credit : 1                                  # error as it reaches the unit, B err
"""
BEGIN = """
h = (1 - carry)*h0 + carry*h
"""
QUIET = """
dh/dt = (-h + phi)/tau : 1                  # rate                                     (1)
"""
NOISY = """
dh/dt = (-h + phi)/tau + sigma*xi : 1       # rate                                     (1)
sigma : second**-0.5 (shared, constant)     # strength of the noise
"""
# Total current by whether there is an input, and whether the output is fed back.
CURRENTS = {
    (False, False): "u = I_rec : 1  # total current",
    (True, False): "u = I_rec + I_in : 1  # total current",
    (False, True): "u = I_rec + I_fb : 1  # total current",
    (True, True): "u = I_rec + I_in + I_fb : 1  # total current",
}
I_IN = """
I_in : 1                                    # input current, W_in x
"""
I_FB = """
I_fb : 1                                    # current from the output, B y
"""
SLOPE = """
slope = 1 - phi**2 : 1 (constant over dt)   # phi'(u)
"""
GUARDED_SLOPE = """
slope = cosh(10*tanh(u/10))**-2 : 1 (constant over dt)
"""
OUTPUTS = """
y : 1                                       # output
goal : 1                                    # target
goal0 : 1                                   # its first sample
scored : 1                                  # 1 where the output should be the target, 0 where it is free
err = scored*(goal - y) : 1 (constant over dt)  # error
dloss/dt = err**2/(2*T) : 1                 # loss of each output                      (2)
dot : 1                                     # alignment's parts: W_out B,
w_norm2 : 1                                 # |W_out|^2
b_norm2 : 1                                 # |B|^2
"""
SCORE = """
loss : 1                                    # loss of the trial                        (2)
alignment = dot/sqrt(w_norm2*b_norm2) : 1   # cosine between W_out and B transposed
dot : 1
w_norm2 : 1
b_norm2 : 1
"""

RECURRENT = """
I_rec_post = w*h_pre : 1 (summed)           # W h
"""
READOUT = """
b : 1                                       # feedback weight, from the output back to the unit
y_post = w*h_pre : 1 (summed)               # W_out h
dot_post = w*b : 1 (summed)
w_norm2_post = w**2 : 1 (summed)
b_norm2_post = b**2 : 1 (summed)
"""
TOTAL = """
loss_post = loss_pre : 1 (summed)
dot_post = dot_pre : 1 (summed)
w_norm2_post = w_norm2_pre : 1 (summed)
b_norm2_post = b_norm2_pre : 1 (summed)
"""

NOTEBOOK_START = "p = x_pre*dt/tau_post"

# In the event after a trial, once the weights have changed.
SCORING = dict.fromkeys(("dot_post", "w_norm2_post", "b_norm2_post"), WEIGHTS + 1)
TOTALLING = dict.fromkeys(("loss_post", *SCORING), WEIGHTS + 2)

MATRICES = {"w_rec": "recurrent.w", "w_in": "afferent.w", "w_out": "readout.w", "b": "readout.b"}
#: What the populations' rates are; those of the units lie between -1 and 1 by (1), without noise.
RATE_OF = {"units": Rate("h", -1, 1), "outputs": Rate("y")}
#: Nodes in which records are taken.
RECORDED = ("run", "end", "test", "test_end")
#: What is compiled in: a net of the same model cannot have others.
FIXED = ("N", "dt", "q_lag", "notebook_compat", "noisy")


@dataclass(frozen=True)
class Parameters(network.Network):
    """Constants of the model; see the table above."""

    g: float = parameter(1.5, "gain of the initial recurrent weights")
    eta_rec: float = parameter(0.01, "learning rate of the recurrent weights")
    eta_in: float = parameter(0.01, "learning rate of the input weights")
    eta_out: float = parameter(0.01, "learning rate of the readout weights")
    h0: float = parameter(0.1, "rates at the start of a trial")
    sigma: Quantity = parameter(0 * second**-0.5, "strength of white noise in the rates")
    q_lag: int = parameter(1, "steps by which the input traces lag behind the input", choices=(0, 1))
    every: int = parameter(1, "trials between changes of the weights, which are summed meanwhile")
    g_out: float = parameter(1.0, "gain of the initial readout weights")
    tau_k: Quantity = parameter(10 * ms, "time constant of the autapses' traces, in the rule of that name")
    carry: bool = parameter(False, "keep the rates from trial to trial instead of starting each at h0")
    notebook_compat: bool = parameter(False, "follow the authors' code where it departs from the paper")

    def __post_init__(self):
        super().__post_init__()
        if self.every < 1:
            raise InputError(f"every should be a positive number of trials. Got {self.every!r}.")
        network.check_time("tau_k", self.tau_k)
        if not (have_same_dimensions(self.sigma, second**-0.5) and float(self.sigma) >= 0):
            raise InputError(f"sigma should be at least 0 and per square root of a time. Got {self.sigma!r}.")

    @property
    def noisy(self):
        """Whether there is noise in the rates."""
        return float(self.sigma) > 0


def learning_rates(eta):
    """Arguments of `Parameters` that make all weights learn at one rate, as throughout the paper."""
    return dict.fromkeys(("eta_rec", "eta_in", "eta_out"), eta)


def build(
    parameters, task, rule=RFLO, *, readout_rule=None, update="trial", seed=0, record=(), target="cpp",
    dtype="float64", threads=1,
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of trials (``begin``, ``run``, for BPTT ``turn`` and ``backward``, ``end``), then
    a loop of tests, which are trials without learning (``test_begin``, ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    task : Task
        Input and target; also the largest that the model can be given later.
    rule : Rule
        Of the recurrent and the input weights: one of `neuroplast.rules`, or your own.
    readout_rule : Rule, optional
        Of the readout weights; by default what the rule says, or DELTA.
    update : {"trial", "online"}
        When weights change: after every so many trials by the sum over them, or after each step.
    seed : int
        Of the initial weights and the noise, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each trial's loss and alignment and the tests' outputs, such as ``"units.h"`` or
        ``"recurrent.w:every=10"``, see `neuroplast.records`: of the populations units, outputs and inputs, and of the
        projections recurrent, readout and afferent (input to units).
    target : {"cpp", "numpy"}
        Where it runs.
    dtype : {"float64", "float32"}
    threads : int

    Returns
    -------
    Model
        Its methods take other ``parameters=`` (except N, dt, q_lag, notebook_compat, and noise where there
        is none) and another ``task=`` (of as many channels and trials in its order, and no larger) for each net.

    Raises
    ------
    InputError
        If a rule reads what the network does not define, or cannot learn online; for a `record` of what there is not.
    """
    start(target, dtype=dtype, dt=parameters.dt)
    steps, compat, fed = task.samples - 1, parameters.notebook_compat, rule.feedback == "output"
    readout_rule = readout_rule or rule.readout or DELTA
    nodes = defaultdict(list)  # node of the schedule -> its objects; trial and test share reset, step, score
    text = DURATION + UNITS + LEARNING + (NOISY if parameters.noisy else QUIET) + CURRENTS[task.inputs > 0, fed]
    text += (I_IN if task.inputs else "") + (I_FB if fed else "") + (GUARDED_SLOPE if compat else SLOPE)
    text += rule.neuron + rule.presynaptic

    units = network.population(parameters.N, text, "units", network.MOVE, network.RATES)
    outputs = network.population(task.outputs, DURATION + OUTPUTS, "outputs", network.LOSS, network.ERROR)
    recurrent = projection(units, units, RECURRENT, rule, update, "recurrent", {"I_rec_post": network.CURRENT})
    places = {"y_post": network.OUTPUT, "credit_pre": network.CREDIT, "I_fb_pre": network.CURRENT, **SCORING}
    readout = projection(
        units, outputs, READOUT + network.FEEDBACK[rule.feedback], readout_rule, update, "readout", places
    )
    goals, plan = Tape(outputs, ["goal", "scored"], rows(task), name="goals"), Plan(task)
    groups, samples = {"units": units, "outputs": outputs, "recurrent": recurrent, "readout": readout}, {"goals": goals}
    rules = {"recurrent": rule, "readout": readout_rule, "afferent": rule}

    nodes["begin"].append(plan.choose)
    nodes["test_begin"].append(plan.choose_test)
    nodes["reset"] += [units.run_regularly(BEGIN + rule.presynaptic_start), outputs.run_regularly("loss = 0\ny = 0")]
    nodes["step"] += [
        recurrent.summed_updaters["I_rec_post"], units.run_regularly("r = h", when="groups", order=network.CURRENT),
        units.subexpression_updater, units.state_updater,
        readout.summed_updaters["y_post"], plan.load(goals, order=network.GOAL),
        outputs.subexpression_updater, outputs.state_updater,
    ]  # fmt: skip
    if fed:
        nodes["step"].append(readout.summed_updaters["I_fb_pre"])
    # In the authors' code each step reads the error that the step before it should have read.
    tapes = network.bring_error(rule, recurrent, readout, steps, nodes, late=compat)
    learn(recurrent, rule, update, nodes, tapes=tapes)
    learn(readout, readout_rule, update, nodes)
    if task.inputs:
        begin = NOTEBOOK_START if compat else None
        added, samples["drive"] = network.add_input(
            units, task, rule, update, nodes, tapes, plan, lag=parameters.q_lag, start=begin
        )
        groups |= added
    if compat:
        nodes["reset"].append(plan.load_first(goals, {"goal": "goal0"}))
    score = _add_score(outputs, readout, nodes, compat)
    recorded = _add_monitors(score["score"], outputs, nodes)
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=RATE_OF, rules=rules)
    groups |= plan.groups | score | samples

    nodes["end"] += nodes["score"]
    nodes["test_end"] = nodes["score"] + nodes["test_end"]
    trials, tests = (make(nodes, steps, plan.length) for make in (network.training_trial, network.test_trial))
    schedule = Schedule([Loop("trial", 1, trials), Loop("tests", len(task.tests), tests, counter="trial")])
    simulation = Simulation(schedule, name="rflo", threads=threads, namespace={})
    values = partial(initial_values, rule=rule, update=update)
    return Model(simulation, groups, recorded, parameters, task, FIXED, values, seed)


def initial_values(parameters, task, seed, rule=RFLO, update="trial"):
    """Initial values of a net: the paper's weights drawn by a seed, the constants, the task.

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
        If weights that change at each step should change every so many trials, or a trace is shorter than a step.
    """
    p, rng = parameters, np.random.default_rng(seed)
    network.check_trace(rule, p)
    network.check_every(p.every, update)
    polarity = network.polarity(p.N)
    weights = dict(
        w_rec=p.g / np.sqrt(p.N) * rng.standard_normal((p.N, p.N)),
        w_out=p.g_out * rng.uniform(-1, 1, (task.outputs, p.N)) / np.sqrt(p.N),
        b=rng.standard_normal((p.N, task.outputs)),
    )
    if rule.constraint:
        weights["w_rec"] = polarity * abs(weights["w_rec"])
    if task.inputs:
        weights["w_in"] = rng.uniform(-1, 1, (p.N, task.inputs))
    b_rec = p.g / np.sqrt(p.N) * rng.standard_normal((p.N, p.N))  # of rules that bring errors back through it
    values = {"units.tau": float(p.tau), "units.sigma": float(p.sigma), "units.polarity": polarity}
    values |= {"units.tau_k": float(p.tau_k), "inputs.tau_k": float(p.tau_k), "recurrent.b": b_rec}
    values |= {"units.h0": p.h0, "units.h": p.h0, "units.carry": float(p.carry)}
    for name, eta in {"recurrent": p.eta_rec, "afferent": p.eta_in, "readout": p.eta_out}.items():
        values |= {f"{name}.eta": eta, f"{name}.every": p.every}
    return values | task_to_state(task) | weights_to_state(**weights)


def weights_to_state(**weights):
    """State variables for the paper's matrices, whose rows are postsynaptic: w_rec, w_in, w_out, and b."""
    return {MATRICES[name]: (w if name == "b" else np.transpose(w)).ravel() for name, w in weights.items()}


def state_to_weights(state, N):
    """The paper's matrices in a state, the inverse of `weights_to_state`.

    Parameters
    ----------
    state : dict of str to array
        ``object.variable`` to values.
    N : int
        Recurrent units.

    Returns
    -------
    dict of str to array
        w_rec (N, N), w_out (N_y, N), b (N, N_y), and with an input w_in (N, N_x).
    """
    found = {}
    for name, variable in MATRICES.items():
        if variable in state:
            values = np.asarray(state[variable])
            matrix = values.reshape(-1, N) if name == "w_in" else values.reshape(N, -1)
            found[name] = matrix if name == "b" else matrix.T
    return found


def _add_score(outputs, readout, nodes, from_first_sample):
    score = Population(1, SCORE, name="score")
    total = DenseSynapses(outputs, score, TOTAL, order=TOTALLING, name="total")
    if from_first_sample:
        nodes["score"].append(outputs.run_regularly("loss += goal0**2*dt/(2*T)"))
    nodes["score"] += [readout.summed_updaters[name] for name in SCORING]
    nodes["score"] += [total.summed_updaters[name] for name in TOTALLING]
    return {"score": score, "total": total}


def _add_monitors(score, outputs, nodes):
    """Add the monitors of every run to the nodes; returns how they appear in the results."""
    recorded = (
        Recorded("loss", "trials.loss", doc="loss of the trial"),
        Recorded("alignment", "trials.alignment", doc="cosine of readout and feedback weights, after the trial"),
        Recorded("test_loss", "tests.loss", along="test", doc="loss of the test after learning"),
        Recorded(
            "output", "test_output.y", "rates", ("channel",), along="step", fold="test", doc="output in the tests"
        ),
    )

    def monitor(node, group, variables, name):
        with catch_logs():  # Brian2 warns that the schedule's integers are recorded once per neuron
            nodes[node].append(StateMonitor(group, variables, record=True, when="end", name=name))

    monitor("end", score, ["loss", "alignment", "trial"], "trials")
    monitor("test_end", score, ["loss", "alignment"], "tests")
    monitor("test", outputs, ["y", "trial", "k"], "test_output")
    return recorded
