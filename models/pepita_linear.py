r"""The linear network of PEPITA's antialignment proof (Dellaferrera and Kreiman 2022, appendix E).

G. Dellaferrera, G. Kreiman (2022). Error-driven input modulation: solving the credit assignment problem without a
backward pass. ICML, PMLR 162:4937-4955. One hidden layer, no nonlinearity, inputs that are standard normal, a linear
teacher T:

.. math::

    h &= W_1 x, \quad y = W_2 h, \quad e = y - T x, \quad x \sim N(0, I)                                     \\
    h^m &= W_1 (x + F e), \quad e^m = W_2 h^m - T x                                                          \\
    \Delta W_1 &= -\eta\,(h - h^m)\,r_0^T, \quad \Delta W_2 = -\eta\,e^m\,r_1^T, \quad h - h^m = -W_1 F e

Under the rule PEPITA the presynaptic activities are those of the modulated pass, r_0 = x + F e and r_1 = h^m
(algorithm 1); under PEPITA_STANDARD those of the standard pass, r_0 = x and r_1 = h, as in the proof. Changes are means
over a batch. With E = T - W_2 W_1, so that e = -E x, the mean over x of PEPITA_STANDARD's is the proof's flow

.. math::

    dW_1/dt = -\eta\,W_1 F E, \quad dW_2/dt = \eta\,(I + W_2 W_1 F)\,E\,W_1^T

The signs: the mismatch m - r is h - h^m = -W_1 F e, and plasticity goes down G_1 = (m - r) r_0^T, so W_1 moves along
+W_1 F e x^T; with the error as output minus target that is -W_1 F E. An error of target minus output, or an input of
x - F e (negative `f_scale`), turns the sign around; taking r - m and going up G_1 changes nothing.

Neurons have the two compartments of `neuroplast.models.pepita`, at dt = tau: one step of the dendrites is a pass, and
the somata hold the standard one during the modulated one.

=============  ========  ===========  ==========  ===================================================
name           unit      symbol       default     source
=============  ========  ===========  ==========  ===================================================
inputs         1         --           30          ours, as all sizes: the paper proves, and simulates none
hidden         1         --           20          ours
outputs        1         --           5           ours
batch          1         --           64          ours
eta            1         eta          0.01        ours
f_scale        1         --           0.2         ours: F ~ f_scale N(0, 1/inputs); negative: x - F e
first, second  trials    --           0, 0        ours: W_1 learns in the first trials only, W_2 from the second on
every          trials    --           100         ours: from snapshot to snapshot of the weights
tau            s         --           10 ms       ours
=============  ========  ===========  ==========  ===================================================

A trial is a batch. Initial weights: W_1 and T ~ N(0, 1/inputs), W_2 = 0 as in the proof's first phase. With ``first``
and ``second`` at the same trial the weights learn in turn, as in the proof; with both at 0 they learn all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, linked_var, ms

from neuroplast.engine import (
    DenseSynapses,
    Event,
    Loop,
    NativeOperation,
    Phase,
    Population,
    Recorder,
    Schedule,
    Simulation,
    start,
)
from neuroplast.equations import RATE, WEIGHT
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.layered import SUMMED, no_lengths
from neuroplast.model import Model
from neuroplast.models.pepita import DENDRITE, FEEDBACK, INCOMING, SOMA
from neuroplast.network import check_time
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import PEPITA

INPUTS = """
x : 1                                       # input, drawn anew for each trial and copy
shift : 1                                   # what is added to it in the modulated pass: F e
r = x + shift : 1                           # what is sent
m = x : 1                                   # what was sent in the standard pass
"""
HIDDEN = """
v_s : 1 (linked)                            # potential of the soma
r = v_d : 1                                 # what is sent on
m = v_s : 1                                 # response to the original input, as the soma remembers it
mismatch = m - r : 1                        # -W_1 F e
"""
OUTPUTS = """
target : 1                                  # T x
err : 1                                     # error of the standard pass, e
err_m : 1                                   # error of the modulated pass, e^m
"""
TEACHER = """
target_post = w*x_pre : 1 (summed)          # T x
"""
#: When a projection learns.
SPAN = """
begin : integer (shared, constant)          # trial from which the weights learn
end : integer (shared, constant)            # trial from which they no longer do
learns = int(trial >= begin)*int(trial < end) : 1 (shared)
"""
LEARN = "w += learns*eta*change"
#: Places within an event: the input, its target, errors, the current into the hidden layer; then the
#: gradients of both layers before any weight. Within a step: dendrites, somata, current into the outputs, outputs.
FILL, DRAW, AIM, SAMPLE, FEED, SEND, GRADIENT, WEIGHTS = range(8)
DENDRITES, SOMATA, CURRENT, READ = range(4)
ALWAYS = np.iinfo(np.int32).max
RATES = {"hidden": Rate("r", -np.inf, np.inf)}
#: What is compiled in: a net of the same model cannot have others.
FIXED = ("inputs", "hidden", "outputs", "batch", "tau", "every")


@dataclass(frozen=True)
class Parameters:
    """Constants of the model; see the table above."""

    inputs: int = parameter(30, "inputs", least=1)
    hidden: int = parameter(20, "hidden neurons", least=1)
    outputs: int = parameter(5, "outputs", least=1)
    batch: int = parameter(64, "inputs that are presented side by side, to copies that share the weights", least=1)
    eta: float = parameter(0.01, "learning rate of both layers")
    f_scale: float = parameter(0.2, "scale of the feedback weights; negative ones subtract F e")
    first: int = parameter(0, "trials in which W_1 learns; 0: in all", least=0)
    second: int = parameter(0, "trial from which W_2 learns", least=0)
    every: int = parameter(100, "trials from snapshot to snapshot of the weights", least=1)
    tau: Quantity = parameter(10 * ms, "time constant of dendrites and somata, and the time step")

    def __post_init__(self):
        check_time("tau", self.tau)
        for name in ("inputs", "hidden", "outputs", "batch", "every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} should be at least 1. Got {getattr(self, name)}.")


def build(parameters, rule=PEPITA, *, seed=0, record=(), target="cpp", dtype="float64", threads=1):
    """Make the network and its schedule: a loop of trials, a batch each (``begin``, two passes, ``learn``).

    Parameters
    ----------
    parameters : Parameters
    rule : Rule
        PEPITA or PEPITA_STANDARD of `neuroplast.rules`.
    seed : int
        Of the weights, the teacher and the inputs, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides the weights, see `neuroplast.records`: of the populations inputs, hidden, soma and
        outputs, and of the projections w1, w2 (and teacher, feedback).
    target : {"cpp", "numpy"}
    dtype : {"float64", "float32"}
    threads : int

    Returns
    -------
    Model
        ``run(trials)``; results are ``w1`` and ``w2`` (trial, pre, post), after every so many trials.

    Raises
    ------
    InputError
        If the rule does not modulate the input by the error; for a `record` of what there is not.
    """
    p = parameters
    if rule.feedback != "input" or rule.modulation or len(rule.phases) != 2 or rule.readout is None:
        raise InputError(f"The linear network takes the rules pepita and pepita_standard. Got '{rule.name}'.")
    start(target, dtype=dtype, dt=p.tau)

    def population(N, text, place, name):
        return Population(N, text, batch=p.batch, method="euler", order=place, name=name)

    def does(group, code, place):
        return group.run_regularly(code, when="groups", order=place)

    inputs = population(p.inputs, INPUTS, 0, "inputs")
    hidden = population(p.hidden, DENDRITE + INCOMING + HIDDEN, DENDRITES, "hidden")
    soma = population(p.hidden, SOMA, SOMATA, "soma")
    outputs = population(p.outputs, DENDRITE + INCOMING + OUTPUTS, READ, "outputs")
    hidden.v_s, soma.v_d = linked_var(soma, "v_s"), linked_var(hidden, "v_d")
    w1 = _projection(inputs, hidden, rule, SEND, "w1")
    w2 = _projection(hidden, outputs, rule.readout, CURRENT, "w2")
    teacher = DenseSynapses(inputs, outputs, WEIGHT + TEACHER, order={"target_post": AIM}, name="teacher")
    feedback = DenseSynapses(outputs, inputs, FEEDBACK["input"], order={"shift_post": FEED}, name="feedback")
    groups = {g.name: g for g in (inputs, hidden, soma, outputs, w1, w2, teacher, feedback)}

    send, settle = w1.summed_updaters["I_post"], [hidden, soma, w2.summed_updaters["I_post"], outputs]
    nodes = {
        "begin": [
            _fill(inputs, p.batch),
            does(inputs, "x = randn()\nshift = 0", DRAW),
            does(soma, "gate = 1", DRAW),
            teacher.summed_updaters["target_post"],
            send,
        ],
        "modulate": [
            does(outputs, "err = v_d - target", SAMPLE),
            does(soma, "gate = 0", SAMPLE),
            feedback.summed_updaters["shift_post"],
            send,
        ],
        "learn": [
            does(outputs, "err_m = v_d - target", SAMPLE),
            *_learn(w1, rule),
            *_learn(w2, rule.readout),
        ],
    }
    for group in (w1, w2):
        nodes["learn"].append(Recorder(group, ["w", "trial"], every=p.every, name=f"{group.name}_snapshots"))
    run = []
    lists = {"run": run, "end": nodes["learn"]}
    asked = add_records(record, groups, lists, rates=RATES, rules={"w1": rule, "w2": rule.readout})
    trial = [
        Event("begin", nodes["begin"]),
        Phase("standard", [*settle, *run], 1),
        Event("modulate", nodes["modulate"]),
        Phase("modulated", [*settle, *run], 1, follows="standard"),
        Event("learn", nodes["learn"]),
    ]
    simulation = Simulation(Schedule([Loop("trial", 1, trial)]), name="pepita_linear", threads=threads, namespace={})
    recorded = tuple(
        Recorded(name, f"{name}_snapshots.w", "weights", axes, groups[name].shape, along="trial", doc=doc)
        for name, axes, doc in (
            ("w1", ("input", "unit"), "W_1, transposed"),
            ("w2", ("unit", "channel"), "W_2, transposed"),
        )
    )
    return Model(
        simulation, groups, recorded + asked, p, None, FIXED, initial_values, seed,
        lambda trials, task: {"trial": trials}, no_lengths, lambda *names: None,
    )  # fmt: skip


def initial_values(parameters, task, seed):
    """Initial values of a net: weights, teacher and feedback drawn by a seed, and the constants.

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.
    """
    p, rng = parameters, np.random.default_rng(seed)
    scale = p.inputs**-0.5
    values = {
        "w1.w": scale * rng.standard_normal((p.inputs, p.hidden)),
        "teacher.w": scale * rng.standard_normal((p.inputs, p.outputs)),
        "feedback.f": p.f_scale * scale * rng.standard_normal((p.outputs, p.inputs)),
        "w2.w": 0.0,
        "hidden.tau_d": float(p.tau),
        "outputs.tau_d": float(p.tau),
        "soma.tau_s": float(p.tau),
    }
    for name, begin, end in (("w1", 0, p.first or ALWAYS), ("w2", p.second, ALWAYS)):
        values |= {f"{name}.eta": p.eta, f"{name}.begin": begin, f"{name}.end": end}
    return values


def _projection(source, target, rule, place, name):
    rule.check(source, target)
    text = WEIGHT + SUMMED + rule.synapse + RATE + SPAN
    return DenseSynapses(source, target, text, order={"I_post": place}, name=name)


def _fill(inputs, batch):
    """Operation: every copy of the batch holds data."""
    count = inputs.variables["n_valid"]

    def cpp(pointer):
        return f"{pointer(count)}[0] = {batch};"

    def numpy(value):
        value(count)[0] = batch

    return NativeOperation("fill", cpp=cpp, numpy=numpy, reads=[], writes=[count], order=FILL)


def _learn(synapses, rule):
    """Gradients of all projections come first, then their weights."""
    gradient = synapses.accumulate(*rule.gradient, order=GRADIENT)
    return gradient, synapses.run_regularly(LEARN, order=WEIGHTS)
