r"""Layers of two-compartment neurons that learn from two forward passes (Dellaferrera and Kreiman 2022).

G. Dellaferrera, G. Kreiman (2022). Error-driven input modulation: solving the credit assignment problem without a
backward pass. ICML, PMLR 162:4937-4955. The paper suggests in its discussion, and does not build, what is built here:
the dendrite integrates the present input, the soma holds the response to the original one, and their mismatch drives
plasticity. There are two phases. In the standard one the input is the image x, in the modulated one x + F e:

.. math::

    \tau_d\,dv^d_l/dt &= -v^d_l + W_l r_{l-1}, \quad r_l = \mu_l\,\phi(v^d_l)                     \\
    \tau_s\,dv^s_l/dt &= \gamma\,(-v^s_l + v^d_l), \quad m_l = \mu_l\,\phi(v^s_l)                 \\
    e &= p - t, \quad p = \mathrm{softmax}(v^d_L)                                                 \\
    r_0 &= x \;(\gamma = 1,\ \text{standard}), \quad r_0 = x + F e \;(\gamma = 0,\ \text{modulated})

What a neuron sends on is r in both phases, so that the modulated signal travels through the layers, while the soma is
memory alone. The softmax is a divisive normalisation: exp(v) over the sum of all of them. Error neurons sample p - t at
the end of the standard phase and hold it. Plasticity, at the end of the modulated phase, with means over the batch:

.. math::

    G_l = (m_l - r_l)\,r_{l-1}^T, \quad G_L = (p - t)\,r_{L-1}^T, \quad
    \tau_v\,dv/dt = -v - \eta G/(1-\gamma_v), \quad dW/dt = v/dt

That is the rule PEPITA; `neuroplast.rules` has variants. At dt = tau_d = tau_s, with phases of one step, the equations
are the paper's algorithm, in this order:

====  ==========================================================  =====================================
 1    v_d, r, then v_s of layer 1, of layer 2, ...                 new r of the layer below
 2    p, e of the outputs; r_0 = x + F e
 3    v_d, r of layer 1, of layer 2, ...; v_s hold                 the same weights and dropout
 4    p, e of the modulated pass; all G                            weights of the two passes
 5    all W
====  ==========================================================  =====================================

At small dt they are a network in continuous time. Potentials go on from batch to batch, and F e is small, so `standard`
should then last 12 to 16 time constants: what somata still hold of the image before is else larger than the modulation,
and makes the weights grow (protocol ``pepita_timestep``). `modulated` may be shorter, which scales the mismatch.

=============  ========  ===========  ==========  ===================================================
name           unit      symbol       default     source
=============  ========  ===========  ==========  ===================================================
hidden         1         --           (1024,)     table 2
batch          1         --           64          table 2
eta            1         eta          0.1         table 2: MNIST; 0.01 for CIFAR
momentum       1         gamma_v      0.9         appendix A
decay_at       epochs    --           (60,)       table 2: MNIST; (60, 90) for CIFAR
decay          1         --           0.1         table 2
keep           1         --           0.9         10 % dropout after hidden layers
shuffle        --        --           true        a new order of the images in each epoch
f_scale        1         --           0.05        F ~ f_scale U(-1, 1) sqrt(6/n_in); negative: x - F e
strength       1         lambda       0.1         ours: of random perturbations
activation     --        phi          relu        paper
tau_d, tau_s   s         --           10 ms       ours
dt             s         --           10 ms       tau: the paper's algorithm
standard       s         --           10 ms       ours: duration of the standard phase, one step
modulated      s         --           10 ms       ours: and of the modulated one
=============  ========  ===========  ==========  ===================================================

Initial weights: U(-1, 1) sqrt(6/n_pre), no biases.

Departures from the paper: none by default. ``np_compat`` follows the authors' numpy code, which multiplies the mismatch
by the dropout mask once more.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, linked_var, ms

from neuroplast import layered
from neuroplast.engine import DenseSynapses, Event, Phase, Population, softmax, start
from neuroplast.engine.geometry import feedback_angle, norm_variables, norms
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import FROZEN, PEPITA

INPUTS = """
x : 1                                       # image
shift : 1                                   # what is added to it in the modulated phase: F e
r = x + shift : 1                           # what is sent
m = x : 1                                   # what was sent in the standard phase
strength : 1 (shared, constant)             # of random perturbations
"""
DENDRITE = """
dv_d/dt = (-v_d + I)/tau_d : 1              # potential of the dendrite: it integrates the present input
tau_d : second (shared, constant)           # time constant of the dendrite
"""
INCOMING = """
I : 1                                       # current, W r of the layer below
"""
INCOMING_SHIFTED = """
I = I_x + I_shift : 1                       # current, W r
I_x : 1                                     # W x, held in both phases
I_shift : 1                                 # W of the shift
"""
FIRST_SUMMED = """
I_x_post = w*x_pre : 1 (summed)             # W x
I_shift_post = w*shift_pre : 1 (summed)     # W F e: the engine takes it as (W F) e
"""
RESPONSES = {
    "relu": """
r = mask*v_d*int(v_d > 0) : 1 (constant over dt)  # what is sent on: the response to the present input
m = mask*v_s*int(v_s > 0) : 1               # response to the original input, as the soma remembers it
""",
    "tanh": """
r = mask*tanh(v_d) : 1 (constant over dt)
m = mask*tanh(v_s) : 1
""",
    "linear": """
r = mask*v_d : 1 (constant over dt)
m = mask*v_s : 1
""",
}
MISMATCH = """
v_s : 1 (linked)                            # potential of the soma
mismatch = int(copy < n_valid)*(m - r) : 1  # what the modulation changes
"""
NP_MISMATCH = """
v_s : 1 (linked)
mismatch = mask*int(copy < n_valid)*(m - r) : 1
"""
SOMA = """
dv_s/dt = gate*(-v_s + v_d)/tau_s : 1       # potential of the soma: it follows the dendrite, or holds
v_d : 1 (linked)                            # potential of the dendrite
gate : 1 (shared)                           # 1 in the standard phase, 0 in the modulated one
tau_s : second (shared, constant)           # time constant of the soma
"""
OUTPUTS = """
p : 1                                       # probability of each class
target : 1                                  # 1 for the image's class, else 0
err : 1                                     # error of the standard phase, which is held
err_m : 1                                   # error of the modulated phase
m : 1                                       # (the readout compares with the target instead)
"""
GEOMETRY = """
angle : 1 (shared)                          # degrees between W_1^T ... W_L^T and F
"""
SAMPLE = "err = int(copy < n_valid)*(p - target)"
SAMPLE_MODULATED = "err_m = int(copy < n_valid)*(p - target)"
#: Synapses that bring the error to the inputs, by the rule's `feedback`.
FEEDBACK = {
    "input": """
f : 1 (constant)                            # fixed random weight
shift_post = f*err_pre : 1 (summed)         # F e
""",
    "input_sign": """
f : 1 (constant)
shift_post = 0.1*f*sign(err_pre) : 1 (summed)
""",
}
RATES = {"relu": (0, np.inf), "tanh": (-1, 1), "linear": (-np.inf, np.inf)}
#: Nodes in which records are taken; a presentation's steps are those of both phases.
RECORDED = ("run", "end", "test", "test_end", "epoch_end")
#: What is compiled in: a net of the same model cannot have others.
FIXED = ("hidden", "batch", "dt", "activation", "dropout", "shuffle", "np_compat", "standard", "modulated")


@dataclass(frozen=True)
class Parameters(layered.Layers):
    """Constants of the model; see the table above."""

    f_scale: float = parameter(0.05, "scale of the feedback weights; negative ones subtract F e")
    strength: float = parameter(0.1, "strength of random perturbations, in the rule of that name")
    activation: str = parameter("relu", "response to the potential", choices=tuple(RESPONSES))
    tau_d: Quantity = parameter(10 * ms, "time constant of the dendrites")
    tau_s: Quantity = parameter(10 * ms, "time constant of the somata")
    standard: Quantity = parameter(10 * ms, "duration of the standard phase")
    modulated: Quantity = parameter(10 * ms, "duration of the modulated phase")
    np_compat: bool = parameter(False, "follow the authors' numpy code where it departs from the paper")

    def __post_init__(self):
        super().__post_init__()
        self.check_tau("tau_d")
        self.check_tau("tau_s")
        self.steps("standard"), self.steps("modulated")
        if self.activation not in RESPONSES:
            raise InputError(f"activation should be one of {', '.join(RESPONSES)}. Got {self.activation!r}.")


def build(
    parameters, images, rule=PEPITA, *, seed=0, record=(), target="cpp", dtype="float32", threads=1
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``standard``,
    ``modulate``, ``modulated``, ``learn``), then every batch of test images without dropout and learning
    (``test_begin``, ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images
    rule : Rule
        PEPITA, PEPITA_STANDARD, ERROR_SIGN, RANDOM_PERTURBATION or FROZEN_HIDDEN of `neuroplast.rules`, or your own.
    seed : int
        Of the initial weights, the order of images and the dropout, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies, losses, the angle between the product of the weights and F,
        and the norms of the weights, see `neuroplast.records`: of the populations inputs, hidden1, soma1, ... and
        outputs, and of the projections w1, w2, ..., such as ``"soma1.v_s:trials=0,-1"``.
    target : {"cpp", "numpy"}
    dtype : {"float32", "float64"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``. Its methods take other ``parameters=`` except hidden, batch, dt, activation, the durations of
        the phases, and dropout where there is none.

    Raises
    ------
    InputError
        If a rule reads what the network does not define; for a `record` of what there is not.
    """
    p, two = parameters, len(rule.phases) > 1
    start(target, dtype=dtype, dt=p.dt)
    nodes = defaultdict(list)
    sizes = [images.features, *map(int, p.hidden), images.classes]
    readout_rule = rule.readout or FROZEN

    inputs = Population(sizes[0], INPUTS, batch=p.batch, name="inputs")
    text = DENDRITE + layered.KEEP + RESPONSES[p.activation] + (NP_MISMATCH if p.np_compat else MISMATCH)
    hidden = [
        _compartment(n, text + (INCOMING if i > 1 else INCOMING_SHIFTED), p.batch, f"hidden{i}", i)
        for i, n in enumerate(sizes[1:-1], 1)
    ]
    somata = [
        Population(n, SOMA, batch=p.batch, method="euler", order=_place(i) + 3, name=f"soma{i}")
        for i, n in enumerate(sizes[1:-1], 1)
    ]
    for dendrite, soma in zip(hidden, somata, strict=True):
        dendrite.v_s, soma.v_d = linked_var(soma, "v_s"), linked_var(dendrite, "v_d")
    L = len(sizes) - 1
    text = DENDRITE + INCOMING + OUTPUTS + layered.SCORE + GEOMETRY + norm_variables(L)
    outputs = _compartment(sizes[-1], text, p.batch, "outputs", L)
    layers = [inputs, *hidden, outputs]
    rules = {f"w{i}": rule if i < L else readout_rule for i in range(1, L + 1)}
    projections = {
        name: layered.project(layers[i], layers[i + 1], layered.SUMMED if i else FIRST_SUMMED, rules[name], name)
        for i, name in enumerate(rules)
    }
    for i, synapses in enumerate(projections.values(), 1):
        for updater in synapses.summed_updaters.values():
            updater.order = _place(i)

    layered.present(images, inputs, outputs, nodes, p.shuffle)
    layered.drop(hidden, p, nodes)
    _standard_pass(inputs, hidden, somata, outputs, projections, nodes, two)
    groups = {group.name: group for group in (*layers, *somata)} | projections
    if two:
        groups |= _modulated_pass(inputs, hidden, somata, outputs, projections, rule, nodes)
    for name, synapses in projections.items():
        layered.learn(synapses, rules[name], nodes)
    layered.count(outputs, nodes, "modulate")
    recorded = _record(outputs, projections, groups.get("feedback"), nodes)
    rates = {layer.name: Rate("r", *RATES[p.activation]) for layer in hidden}
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)

    return layered.make_model(
        "pepita", p, images, trials(p, two, nodes), nodes, groups, recorded,
        fixed=FIXED, values=partial(initial_values, rule=rule), seed=seed, threads=threads,
    )  # fmt: skip


def initial_values(parameters, images, seed, rule=PEPITA):
    """Initial values of a net: weights drawn by a seed, and the constants.

    Parameters
    ----------
    parameters : Parameters
    images : Images
    seed : int
    rule : Rule

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.
    """
    p, rng = parameters, np.random.default_rng(seed)
    sizes = [images.features, *map(int, p.hidden), images.classes]
    names = [f"w{i}" for i in range(1, len(sizes))]
    values = {f"{name}.w": layered.he_uniform(rng, *pair) for name, *pair in zip(names, sizes, sizes[1:], strict=False)}
    bound = p.f_scale * np.sqrt(6 / sizes[0])
    f = rng.uniform(-abs(bound), abs(bound), (sizes[0], sizes[-1])).T
    values["feedback.f"] = -f if p.f_scale < 0 else f
    values["inputs.strength"] = p.strength
    for i in range(1, len(sizes)):
        name = f"hidden{i}" if i < len(sizes) - 1 else "outputs"
        values |= {f"{name}.tau_d": float(p.tau_d), f"{name}.keep": p.keep, f"{name}.mask": 1.0}
        values[f"soma{i}.tau_s"] = float(p.tau_s)
    return values | layered.momentum_state(p, names)


def weights_to_state(weights, feedback=None):
    """State variables for the paper's matrices, to be given as ``state=``.

    Parameters
    ----------
    weights : sequence of array_like
        W_1, ..., W_L, each of shape (postsynaptic, presynaptic).
    feedback : array_like, shape (n_in, n_out), optional
        F.

    Returns
    -------
    dict of str to array
        ``object.variable`` to matrices, whose rows are presynaptic.
    """
    values = {f"w{i}.w": np.transpose(w) for i, w in enumerate(weights, 1)}
    return values | ({} if feedback is None else {"feedback.f": np.transpose(feedback)})


def _place(layer):
    """Place of a layer's current within a step; its dendrite, its response and its soma follow."""
    return 10 * layer


def _compartment(N, text, batch, name, layer):
    group = Population(N, text, batch=batch, method="euler", order=_place(layer) + 1, name=name)
    if group.subexpression_updater is not None:
        group.subexpression_updater.when, group.subexpression_updater.order = "groups", _place(layer) + 2
    return group


def _standard_pass(inputs, hidden, somata, outputs, projections, nodes, two):
    """Image in, potentials and responses of each layer in turn; the input's current is constant within a phase."""
    first, *others = projections.values()
    send, currents = first.summed_updaters["I_x_post"], [synapses.summed_updaters["I_post"] for synapses in others]
    settle = [part for layer in hidden for part in (layer.state_updater, layer.subexpression_updater)]
    settle += [*currents, outputs.state_updater]
    shifts = [(inputs, "shift = 0"), (hidden[0], "I_shift = 0")] if two else []
    for node in ("begin", "test_begin"):
        nodes[node] += [send, *(_rest(group, code, node) for group, code in shifts)]
    nodes["standard"] += [*settle, *(soma.state_updater for soma in somata if two)]
    nodes["test"] += settle
    sample = softmax(outputs, "v_d", "p", order=layered.OUTPUT, name="outputs_softmax")
    nodes["modulate"] += [sample, outputs.run_regularly(SAMPLE, when="groups", order=layered.ERROR, name="sample")]
    nodes["test_end"].append(sample)
    if not two:
        again = outputs.run_regularly("err_m = err", when="groups", order=layered.ERROR, name="only_error")
        nodes["learn"].append(again)


def _rest(group, code, node):
    return group.run_regularly(code, when="groups", order=layered.MAKE, name=f"{node}_{group.name}_rest")


def _modulated_pass(inputs, hidden, somata, outputs, projections, rule, nodes):
    """The shifted input in, responses anew, while the somata hold; the error of the outputs at the end."""
    for soma in somata:
        nodes["begin"].append(soma.run_regularly("gate = 1", name=f"{soma.name}_follow"))
        nodes["modulate"].append(soma.run_regularly("gate = 0", name=f"{soma.name}_hold"))
    send = next(iter(projections.values())).summed_updaters["I_shift_post"]
    if rule.modulation:
        nodes["modulate"].append(inputs.run_regularly(rule.modulation, when="groups", order=8, name="inputs_modulate"))
    nodes["modulated"] += [*nodes["standard"]]
    nodes["learn"] += [
        softmax(outputs, "v_d", "p", order=layered.OUTPUT, name="outputs_softmax_modulated"),
        outputs.run_regularly(SAMPLE_MODULATED, when="groups", order=layered.ERROR, name="sample_modulated"),
    ]
    nodes["modulate"].append(send)
    if rule.feedback not in FEEDBACK:
        return {}
    feedback = DenseSynapses(outputs, inputs, FEEDBACK[rule.feedback], order={"shift_post": 7}, name="feedback")
    nodes["modulate"].append(feedback.summed_updaters["shift_post"])
    return {"feedback": feedback}


def _record(outputs, projections, feedback, nodes):
    more = [(f"norm_w{i}", f"Frobenius norm of W_{i}") for i in range(1, len(projections) + 1)]
    nodes["epoch_end"].append(norms(outputs, list(projections.values()), order=1))
    if feedback is not None:
        nodes["epoch_end"].append(feedback_angle(outputs, list(projections.values()), feedback, "f", "angle", order=1))
        more.append(("angle", "degrees between the product of the transposed weights and F"))
    return layered.record_epochs(outputs, projections, nodes, more)


def trials(p, two, nodes):
    """Nodes of a training batch and of a test batch."""
    nodes["standard"] += nodes["run"]
    nodes["modulated"] += nodes["run"] if two else []
    trial = [
        Event("begin", nodes["begin"]),
        Phase("standard", nodes["standard"], p.steps("standard")),
        Event("modulate", nodes["modulate"]),
    ]
    if two:
        trial.append(Phase("modulated", nodes["modulated"], p.steps("modulated"), follows="standard"))
    trial.append(Event("learn", nodes["learn"] + nodes["end"]))
    test = [
        Event("test_begin", nodes["test_begin"]),
        Phase("test", nodes["test"], p.steps("standard")),
        Event("test_end", nodes["test_end"]),
    ]
    return trial, test
