r"""A trained recurrent network whose own states choose its next input (Murray 2019, figure 4).

J. M. Murray (2019). Local online learning in recurrent networks with random feedback. eLife 8:e43299,
https://doi.org/10.7554/eLife.43299, figure 4b. The network is that of `neuroplast.models.rflo`, with weights that no
longer change. Its output is the velocity of a cursor; one of its inputs is on during each movement. At the end of each
syllable (a movement and a hold), units, through the weights :math:`W_s`, drive the inputs' neurons; the one driven
most is the next input:

.. math::

    \tau\,dh/dt &= -h + \tanh u, \quad u = W h + W_{in} x, \quad y = W_{out} h          && (1) \\
    ds/dt &= v\,y                                        && \text{cursor} \\
    z &= W_s h, \quad a_i = 1 \text{ for the greatest } z_i, \text{ else } 0             && \text{winner takes all} \\
    \Delta W_s &= \eta_s R\,a\,h^T                       && \text{while learning}

With probability `explore` the winner is drawn at random instead. R is 1 if the winner is the input that should come
next, else 0. The next input x is a while the movement lasts.

Order at the end of a syllable: z; whether to explore; winner; R; W_s; next input. What a trial is: one syllable, from
the state that the one before left, or from h0.

=============  ========  ================  ==========  ==============================================
name           unit      symbol            default     source
=============  ========  ================  ==========  ==============================================
N              1         N                 100         figure 4
tau            s         tau               10 ms       tau = 10 steps; a step is 1 ms here
dt             s         dt                1 ms        1 step
eta_s          1         eta_s             0.01        ours
explore        1         p_explore         0.1         figure 4
hebb           --        --                winner      a in the rule; "drive": a z, ours
speed          s^-1      v                 5 / s       ours: a movement of 20 tau goes 0.5 far
moving         steps     --                200         ours: steps of a syllable with the input on
h0             1         h(0)              0.1         authors' code
carry          --        --                true        ours: rates go on from syllable to syllable
=============  ========  ================  ==========  ==============================================

Initially W_s ~ U(-1, 1)/sqrt(N) (ours). The movements are the conditions of a task, their order is the task's `order`,
and `tests` are the syllables that the test goes through, in which nothing is explored or learned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, StateMonitor, have_same_dimensions, second
from brian2.utils.logger import catch_logs

from neuroplast import network
from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, start
from neuroplast.equations import WEIGHT
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.model import Model
from neuroplast.models import rflo
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records

OUTPUTS = """
y : 1                                       # output: velocity of the cursor in one direction
ds/dt = speed*y : 1                         # position of the cursor
speed : Hz (shared, constant)               # velocity where the output is 1
"""
INPUTS = """
x : 1                                       # input
a : 1                                       # 1 for the input that is chosen, else 0
first : 1                                   # what is chosen first in the test
moving : integer (shared, constant)         # steps of a syllable for which the input is on
z : 1                                       # drive from the units, W_s h
rank : 1                                    # what competes: the drive, or a random number
beaten : 1                                  # inputs of a higher rank
wanted : 1                                  # 1 for the input that should come next
R : 1                                       # reward
explore : 1 (shared, constant)              # probability of a random choice
exploring : 1 (shared)                      # whether this one is random
drive_counts : 1 (shared, constant)         # 1: the rule's postsynaptic factor is a z instead of a
"""
LOOP = """
eta : 1 (shared, constant)                  # learning rate
z_post = w*h_pre : 1 (summed)               # W_s h
"""
# Of equal ranks the first wins; a weight is 1 from each input to the one that should follow it.
COMPETITION = """
beaten_post = int(rank_pre > rank_post) + int(rank_pre == rank_post)*int(i < j) : 1 (summed)
wanted_post = w*a_pre : 1 (summed)
"""
REWARD = """
R_post = a_pre*wanted_pre : 1 (summed)
"""

# Places in the event that ends a syllable.
DRIVE, EXPECT, EXPLORE, COMPETE, WIN, PAY, LEARN = range(7)
CHOOSE = {
    "learn": "exploring = int(rand() < explore)\nrank = (1 - exploring)*z + exploring*rand()",
    "test": "rank = z",
}
WINNER = "a = int(beaten < 0.5)"
HEBB = "w += eta*R_post*a_post*(1 + drive_counts_post*(z_post - 1))*h_pre"
INPUT = "x = a*int(k + 1 < moving)"
RATE_OF = {"units": Rate("h", -1, 1), "outputs": Rate("y"), "inputs": Rate("x", 0, 1)}
FIXED = ("N", "dt")


@dataclass(frozen=True)
class Parameters(network.Network):
    """Constants of the model; see the table above."""

    N: int = parameter(100, "recurrent units")
    eta_s: float = parameter(0.01, "learning rate of the weights that choose the next input")
    explore: float = parameter(0.1, "probability of a random choice while learning")
    hebb: str = parameter("winner", "postsynaptic factor of the rule: a or a*z", choices=("winner", "drive"))
    speed: Quantity = parameter(5 / second, "velocity of the cursor where the output is 1")
    moving: int = parameter(200, "steps of a syllable for which the input is on")
    h0: float = parameter(0.1, "rates at the start")
    carry: bool = parameter(True, "keep the rates from syllable to syllable instead of starting each at h0")

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.explore <= 1:
            raise InputError(f"explore should be a probability from 0 to 1. Got {self.explore!r}.")
        if not have_same_dimensions(self.speed, 1 / second):
            raise InputError(f"speed should be a rate such as 5/second. Got {self.speed!r}.")


def build(parameters, task, *, seed=0, record=(), target="cpp", dtype="float64", threads=1):
    """Make the network with its loop.

    The schedule is a loop of trials, a syllable each (``begin``, ``run``, ``transition``), and after ``start``, which
    puts the network back to its start, a loop of syllables without learning (``test_begin``, ``test``,
    ``test_transition``).

    Parameters
    ----------
    parameters : Parameters
    task : Task
        Movements as conditions, all of the same duration; `order` is the sequence.
    seed : int
        Of the initial W_s, of the random choices, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides the rewards and the tests' path, see `neuroplast.records`: of the populations units,
        outputs and inputs, and of the projections recurrent, afferent, readout and loop (W_s).
    target : {"cpp", "numpy"}
    dtype : {"float64", "float32"}
    threads : int

    Returns
    -------
    Model
        Give the trained weights as ``state=``; they have the names of `neuroplast.models.rflo`.

    Raises
    ------
    InputError
        If the movements last differently long, or there is not an input for each; for a `record` of what there is not.
    """
    p = parameters
    if len({condition.samples for condition in task.conditions}) > 1 or task.inputs != len(task.conditions):
        raise InputError(
            f"The loop needs an input for each movement, and movements of the same duration. Got {task.inputs} inputs "
            f"and {len(task.conditions)} movements of {[condition.samples for condition in task.conditions]} samples."
        )
    start(target, dtype=dtype, dt=p.dt)
    text = rflo.UNITS + rflo.QUIET + rflo.CURRENTS[True, False] + rflo.I_IN
    units = network.population(p.N, text, "units", network.MOVE, network.RATES)
    outputs = Population(task.outputs, OUTPUTS, method="euler", order=network.LOSS, name="outputs")
    inputs = Population(task.inputs, INPUTS, name="inputs")

    def synapses(source, target, text, name, order):
        return DenseSynapses(source, target, text, order=order, name=name)

    recurrent = synapses(units, units, WEIGHT + rflo.RECURRENT, "recurrent", {"I_rec_post": network.CURRENT})
    afferent = synapses(inputs, units, WEIGHT + network.AFFERENT, "afferent", {"I_in_post": network.CURRENT})
    readout = synapses(units, outputs, WEIGHT + "y_post = w*h_pre : 1 (summed)", "readout", {"y_post": network.OUTPUT})
    loop = synapses(units, inputs, WEIGHT + LOOP, "loop", {"z_post": DRIVE})
    places = {"beaten_post": COMPETE, "wanted_post": EXPECT}
    competition = synapses(inputs, inputs, WEIGHT + COMPETITION, "competition", places)
    reward = synapses(inputs, inputs, REWARD, "reward", {"R_post": PAY})

    step = [
        inputs.run_regularly(INPUT, when="groups", order=network.INPUT), recurrent.summed_updaters["I_rec_post"],
        afferent.summed_updaters["I_in_post"], units.subexpression_updater, units.state_updater,
        readout.summed_updaters["y_post"], outputs.state_updater,
    ]  # fmt: skip
    drive, compete = loop.summed_updaters["z_post"], competition.summed_updaters["beaten_post"]
    winner = inputs.run_regularly(WINNER, when="groups", order=WIN)
    expect, pay = competition.summed_updaters["wanted_post"], reward.summed_updaters["R_post"]
    learning, testing = (inputs.run_regularly(CHOOSE[name], when="groups", order=EXPLORE) for name in CHOOSE)
    hebb = loop.run_regularly(HEBB, order=LEARN)
    again = [units.run_regularly("h = h0"), outputs.run_regularly("s = 0"), inputs.run_regularly("a = first")]
    with catch_logs():  # Brian2 warns that the schedule's integers are recorded once per neuron
        trials = StateMonitor(inputs, ["R", "trial"], record=[0], when="end", name="trials")
        cursor = StateMonitor(outputs, ["s", "y", "trial", "k"], record=True, when="end", name="cursor")
        choices = StateMonitor(inputs, ["x", "trial", "k"], record=True, when="end", name="choices")
    nodes = {
        "run": step, "end": [drive, learning, compete, expect, winner, pay, hebb, trials],
        "test": [*step, cursor, choices], "test_end": [drive, testing, compete, winner],
    }  # fmt: skip
    groups = {group.name: group for group in (units, outputs, inputs, recurrent, afferent, readout, loop)}
    asked = add_records(record, groups, nodes, rates=RATE_OF)
    steps, begin = task.samples - 1, [units.run_regularly(rflo.BEGIN)]
    schedule = Schedule([
        Loop("trial", 1, [
            Event("begin", begin),
            Phase("run", nodes["run"], steps),
            Event("transition", nodes["end"]),
        ]),
        Event("start", again),
        Loop("tests", len(task.tests), [
            Event("test_begin", begin),
            Phase("test", nodes["test"], steps),
            Event("test_transition", nodes["test_end"]),
        ], counter="trial"),
    ])  # fmt: skip
    simulation = Simulation(schedule, name="rflo_loop", threads=threads, namespace={})
    recorded = (
        Recorded("reward", "trials.R", doc="whether the next input was the right one"),
        Recorded("cursor", "cursor.s", "rates", ("axis",), along="step", fold="syllable", doc="position of the cursor"),
        Recorded("velocity", "cursor.y", "rates", ("axis",), along="step", fold="syllable", doc="output"),
        Recorded("input", "choices.x", "rates", ("channel",), along="step", fold="syllable", doc="input"),
    )
    groups["competition"] = competition
    return Model(simulation, groups, recorded + asked, parameters, task, FIXED, initial_values, seed)


def initial_values(parameters, task, seed):
    """Initial values of a net with its loop, the trained weights aside.

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.
    """
    p, rng = parameters, np.random.default_rng(seed)
    follows = np.zeros((task.inputs, task.inputs))
    follows[task.order, np.roll(task.order, -1)] = 1
    first = np.eye(task.inputs)[task.tests[0]]
    return {
        "units.tau": float(p.tau),
        "units.h0": p.h0,
        "units.h": p.h0,
        "units.carry": float(p.carry),
        "outputs.speed": float(p.speed),
        "inputs.first": first,
        "inputs.a": first,
        "inputs.moving": p.moving,
        "inputs.explore": p.explore,
        "inputs.drive_counts": float(p.hebb == "drive"),
        "loop.eta": p.eta_s,
        "loop.w": rng.uniform(-1, 1, (p.N, task.inputs)) / np.sqrt(p.N),
        "competition.w": follows,
    }
