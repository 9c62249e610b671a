r"""Layered networks that learn from an error that comes back: BP, feedback alignment, DFA and DRTP.

The baselines of the papers on PEPITA (Dellaferrera and Kreiman 2022) and adjoint propagation, on the same engine:

.. math::

    \tau\,dv_l/dt &= -v_l + W_l r_{l-1} + b_l, \quad r_l = \mu_l\,\phi(v_l), \quad r_0 = x          \\
    p &= \mathrm{softmax}(v_L), \quad e = p - t                                                     \\
    \delta_l &= \mu_l\,\phi'(v_l)\,c_l, \quad \delta_L = e, \quad G_l = \delta_l\,r_{l-1}^T          \\
    \tau_v\,dv/dt &= -v - \eta G/(1-\gamma_v), \quad dW/dt = v/dt

What comes back to a layer, c, is the rule's (`neuroplast.rules.backward`): :math:`W_{l+1}^T \delta_{l+1}` (BP),
:math:`B_{l+1} \delta_{l+1}` (FA_LAYERS), :math:`B_l e` (DFA_LAYERS), :math:`B_l t` (DRTP). It comes in an event, while
time stands still. At dt = tau a forward phase of one step, layer by layer, is the published pass.

=============  ========  ===========  ==========  ===================================================
name           unit      symbol       default     source
=============  ========  ===========  ==========  ===================================================
hidden         1         --           (1024,)     PEPITA's table 2
batch          1         --           64          PEPITA's table 2; AP: 500
eta            1         eta          0.1         PEPITA's table 2: MNIST; DRTP 0.01, AP 0.001
optimiser      --        --           momentum    AP: adam, in whose steps the rate does not fall
momentum       1         gamma_v      0.9         PEPITA's appendix A
decay_at       epochs    --           (60,)       PEPITA's table 2: MNIST; (60, 90) for CIFAR
decay          1         --           0.1         PEPITA's table 2
keep           1         --           0.9         10 % dropout after hidden layers; AP: 1, none
initial        --        --           he          AP: glorot
shuffle        --        --           true        a new order of the images in each epoch
activation     --        phi          relu        DRTP, AP: tanh
output         --        --           softmax     DRTP: sigmoid
biases         --        --           false       DRTP: true
tau            s         --           10 ms       ours
dt             s         --           10 ms       tau: the published pass
forward        s         --           10 ms       ours: duration of the forward phase, one step
=============  ========  ===========  ==========  ===================================================

Initial weights: U(-1, 1) sqrt(6/n_pre), biases 0; with ``biases`` as in the authors' code of DRTP
U(-1, 1)/sqrt(n_pre) for both. Fixed random weights onto n neurons: U(-1, 1) sqrt(6/n). With ``initial="glorot"`` both
are U(-1, 1) sqrt(6/(n_pre + n_post)), as in code of the authors of AP; with ``initial="fan_in"`` U(-1, 1)/sqrt(n_pre)
and U(-1, 1)/sqrt(n), as between the modules of `neuroplast.models.adjoint`. Adam (Kingma and Ba 2015, arXiv 1412.6980)
has beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-8.

Departures: DRTP's code applies dropout to the input of a layer, the image included; here it is applied to what hidden
layers send, for all rules alike. ``np_compat`` follows PEPITA's numpy code, in which an error goes on backward through
neurons that dropout has left out: the mask applies to the change of their own weights alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, ms

from neuroplast import layered
from neuroplast.engine import DenseSynapses, Population, softmax, start
from neuroplast.engine.geometry import norm_variables, norms
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import BP

INPUTS = """
x : 1                                       # image
r = x : 1                                   # what is sent
"""
UNITS = """
dv/dt = (-v + I)/tau : 1                    # potential
I : 1                                       # current, W r of the layer below
tau : second (shared, constant)             # time constant
"""
BIASED = """
dv/dt = (-v + I + bias)/tau : 1             # potential
I : 1                                       # current, W r of the layer below
bias : 1                                    # current that is always there
tau : second (shared, constant)             # time constant
"""
ACTIVATIONS = {
    "relu": """
r = mask*v*int(v > 0) : 1 (constant over dt)  # what is sent
slope = int(v > 0)*1.0 : 1                  # phi'(v)
""",
    "tanh": """
phi = tanh(v) : 1 (constant over dt)
r = mask*phi : 1
slope = 1 - phi**2 : 1
""",
}
BACK = """
credit : 1                                  # what comes back
delta = mask*slope*credit*int(copy < n_valid) : 1  # error of the potential
back = delta : 1                            # what goes further back
"""
NP_BACK = """
credit : 1
delta = mask*back : 1
back = slope*credit*int(copy < n_valid) : 1
"""
OUTPUTS = """
p : 1                                       # output
target : 1                                  # 1 for the image's class, else 0
delta : 1                                   # error, p - target
back = delta : 1                            # what goes back
"""
SAMPLE = {
    "softmax": "delta = int(copy < n_valid)*(p - target)",
    # 1/(1 + exp(-v)), written so that nothing overflows; the cross entropy of sigmoids has the same error
    "sigmoid": "p = (1 + tanh(v/2))/2\ndelta = int(copy < n_valid)*(p - target)",
}
ONE = """
r : 1 (constant)                            # what biases come from: 1
"""
BIAS = """
bias_post = w*r_pre : 1 (summed)
"""
#: What a projection adds to bring the error back, by the rule's `feedback`.
BETWEEN = {
    "symmetric": """
credit_pre = w*back_post : 1 (summed)       # W^T delta
""",
    "random": """
b : 1 (constant)                            # fixed random weight
credit_pre = b*back_post : 1 (summed)       # B delta
""",
}
#: Projections from the outputs straight to the hidden layers.
DIRECT = {
    "direct": """
b : 1 (constant)
credit_post = b*delta_pre : 1 (summed)      # B e
""",
    "target": """
b : 1 (constant)
credit_post = b*target_pre : 1 (summed)     # B t
""",
}
OPTIMISERS = ("momentum", "adam")
#: Bound of the initial weights between so many neurons, in units of sqrt(6/n_pre).
INITIAL = {
    "he": lambda n_pre, n_post: 1,
    "glorot": lambda n_pre, n_post: np.sqrt(n_pre / (n_pre + n_post)),
    "fan_in": lambda n_pre, n_post: 6**-0.5,
}
RATES = {"relu": (0, np.inf), "tanh": (-1, 1)}
#: Nodes in which records are taken.
RECORDED = ("run", "end", "test", "test_end", "epoch_end")
#: What is compiled in: a net of the same model cannot have others.
FIXED = (
    "hidden", "batch", "dt", "activation", "output", "biases", "dropout", "shuffle", "np_compat", "forward",
    "optimiser",
)  # fmt: skip


@dataclass(frozen=True)
class Parameters(layered.Layers):
    """Constants of the model; see the table above."""

    activation: str = parameter("relu", "response to the potential", choices=tuple(ACTIVATIONS))
    output: str = parameter("softmax", "response of the outputs", choices=tuple(SAMPLE))
    biases: bool = parameter(False, "whether neurons have biases, which learn")
    optimiser: str = parameter("momentum", "how changes are made of gradients", choices=OPTIMISERS)
    initial: str = parameter("he", "bound of the initial weights", choices=tuple(INITIAL))
    tau: Quantity = parameter(10 * ms, "time constant of the neurons")
    forward: Quantity = parameter(10 * ms, "duration of the forward phase")
    np_compat: bool = parameter(
        False, "follow PEPITA's numpy code, which sends errors through neurons that were left out"
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_tau("tau")
        self.steps("forward")
        choices = {"activation": ACTIVATIONS, "output": SAMPLE, "optimiser": OPTIMISERS, "initial": INITIAL}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} should be one of {', '.join(allowed)}. Got {getattr(self, name)!r}.")


#: What DRTP's authors use besides the rule, and those of adjoint propagation for BP and FA.
DRTP_NETWORK = {"activation": "tanh", "output": "sigmoid", "biases": True, "eta": 0.01}
AP_NETWORK = {"activation": "tanh", "optimiser": "adam", "initial": "glorot", "eta": 1e-3, "batch": 500, "keep": 1.0}


def build(
    parameters, images, rule=BP, *, seed=0, record=(), target="cpp", dtype="float32", threads=1
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``forward``, ``learn``),
    then every batch of test images without dropout and learning (``test_begin``, ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images
    rule : Rule
        BP, FA_LAYERS, DFA_LAYERS or DRTP of `neuroplast.rules`, or your own.
    seed : int
        Of the initial weights, the order of images and the dropout, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies, losses and norms of the weights, see `neuroplast.records`: of
        the populations inputs, hidden1, ... and outputs, and of the projections w1, w2, ...
    target : {"cpp", "numpy"}
    dtype : {"float32", "float64"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``. Its methods take other ``parameters=`` except hidden, batch, dt, activation, output, biases,
        forward, optimiser, and dropout where there is none.

    Raises
    ------
    InputError
        If a rule reads what the network does not define; for a `record` of what there is not.
    """
    p = parameters
    start(target, dtype=dtype, dt=p.dt)
    nodes = defaultdict(list)
    sizes = [images.features, *map(int, p.hidden), images.classes]
    L = len(sizes) - 1

    inputs = Population(sizes[0], INPUTS, batch=p.batch, name="inputs")
    units = BIASED if p.biases else UNITS
    text = units + layered.KEEP + ACTIVATIONS[p.activation] + (NP_BACK if p.np_compat else BACK)
    hidden = [_layer(n, text, p.batch, f"hidden{i}", i) for i, n in enumerate(sizes[1:-1], 1)]
    outputs = _layer(sizes[-1], units + OUTPUTS + layered.SCORE + norm_variables(L), p.batch, "outputs", L)
    layers = [inputs, *hidden, outputs]
    projections = {}
    for i in range(1, L + 1):
        text = layered.SUMMED + (BETWEEN.get(rule.feedback, "") if i > 1 else "")
        projections[f"w{i}"] = layered.project(layers[i - 1], layers[i], text, rule, f"w{i}", p.optimiser)
        projections[f"w{i}"].summed_updaters["I_post"].order = _place(i)

    layered.present(images, inputs, outputs, nodes, p.shuffle)
    layered.drop(hidden, p, nodes)
    _forward(hidden, outputs, projections, p, nodes)
    groups = {group.name: group for group in layers} | projections
    groups |= _backward(hidden, outputs, projections, rule, nodes)
    learning = dict(projections)
    if p.biases:
        added = _add_biases([*hidden, outputs], rule, p, nodes)
        groups |= added
        learning |= {name: group for name, group in added.items() if name != "one"}
    for synapses in learning.values():
        layered.learn(synapses, rule, nodes, p.optimiser)
    layered.count(outputs, nodes, "learn")
    nodes["epoch_end"].append(norms(outputs, list(projections.values()), order=1))
    more = [(f"norm_w{i}", f"Frobenius norm of W_{i}") for i in range(1, L + 1)]
    recorded = layered.record_epochs(outputs, projections, nodes, more)
    rates = {layer.name: Rate("r", *RATES[p.activation]) for layer in hidden}
    rules = dict.fromkeys(learning, rule)
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)

    return layered.make_model(
        "feedforward", p, images, layered.forward_trials(p, nodes), nodes, groups, recorded,
        fixed=FIXED, values=partial(initial_values, rule=rule), seed=seed, threads=threads,
    )  # fmt: skip


def initial_values(parameters, images, seed, rule=BP):
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
    p, rng, values = parameters, np.random.default_rng(seed), {"one.r": 1.0}
    sizes = [images.features, *map(int, p.hidden), images.classes]
    pairs = {f"w{i}": pair for i, pair in enumerate(zip(sizes, sizes[1:], strict=False), 1)}
    for name, pair in pairs.items():
        initial = "fan_in" if p.biases and p.initial == "he" else p.initial  # of DRTP's authors
        values[f"{name}.w"] = layered.he_uniform(rng, *pair) * INITIAL[initial](*pair)
    for i, (n_pre, n_post) in enumerate(pairs.values(), 1):
        values[f"bias{i}.w"] = layered.he_uniform(rng, n_pre, n_post)[0] * INITIAL["fan_in"](n_pre, n_post)
        # Onto n_pre neurons, from the layer above or straight from the outputs.
        values[f"w{i}.b"] = layered.he_uniform(rng, n_pre, n_post) * INITIAL[p.initial](n_pre, n_post)
        direct = layered.he_uniform(rng, n_pre, sizes[-1]).T
        values[f"feedback{i - 1}.b"] = direct * INITIAL[p.initial](n_pre, sizes[-1])
        name = f"hidden{i}" if i < len(pairs) else "outputs"
        values |= {f"{name}.tau": float(p.tau), f"{name}.keep": p.keep, f"{name}.mask": 1.0}
    learning = [*pairs, *(f"bias{i}" for i in range(1, len(sizes)))]
    return values | layered.momentum_state(p, learning) | layered.adam_state(p.eta, learning)


def weights_to_state(weights, feedback=()):
    """State variables for matrices as papers have them, to be given as ``state=``.

    Parameters
    ----------
    weights : sequence of array_like
        W_1, ..., W_L, each of shape (postsynaptic, presynaptic).
    feedback : sequence of array_like
        B onto the first hidden layer, the second, ..., of shape (neurons, what comes back): from the layer above for
        FA_LAYERS, from the outputs for DFA_LAYERS and DRTP.

    Returns
    -------
    dict of str to array
        ``object.variable`` to matrices, whose rows are presynaptic. Both places where a rule may look for B are given.
    """
    values = {f"w{i}.w": np.transpose(w) for i, w in enumerate(weights, 1)}
    for i, b in enumerate(feedback, 1):
        values |= {f"w{i + 1}.b": np.asarray(b), f"feedback{i}.b": np.transpose(b)}
    return values


def _place(layer):
    """Place of a layer's current within a step; its potentials and responses follow."""
    return 10 * layer


def _layer(N, text, batch, name, layer):
    group = Population(N, text, batch=batch, method="euler", order=_place(layer) + 1, name=name)
    if group.subexpression_updater is not None:
        group.subexpression_updater.when, group.subexpression_updater.order = "groups", _place(layer) + 2
    return group


def _forward(hidden, outputs, projections, p, nodes):
    """Potentials and responses of each layer in turn; the input's current is constant within a phase."""
    send, *currents = (synapses.summed_updaters["I_post"] for synapses in projections.values())
    settle = [part for layer in hidden for part in (layer.state_updater, layer.subexpression_updater)]
    settle += [*currents, outputs.state_updater]
    for node, phase, end in (("begin", "forward", "learn"), ("test_begin", "test", "test_end")):
        nodes[node].append(send)
        nodes[phase] += settle
        if p.output == "softmax":
            nodes[end].append(softmax(outputs, "v", "p", order=layered.OUTPUT, name=f"{end}_softmax"))
        place = layered.ERROR if p.output == "softmax" else layered.OUTPUT
        sample = outputs.run_regularly(SAMPLE[p.output], when="groups", order=place, name=f"{end}_sample")
        nodes[end].append(sample)


def _backward(hidden, outputs, projections, rule, nodes):
    """What comes back to each hidden layer, from the last to the first; returns the projections that bring it."""
    found = {}
    for i, layer in enumerate(hidden, 1):
        if rule.feedback in BETWEEN:
            bring = projections[f"w{i + 1}"].summed_updaters["credit_pre"]
        else:
            found[f"feedback{i}"] = DenseSynapses(outputs, layer, DIRECT[rule.feedback], name=f"feedback{i}")
            bring = found[f"feedback{i}"].summed_updaters["credit_post"]
        bring.order = layered.CREDIT + len(hidden) - i
        nodes["learn"].append(bring)
    return found


def _add_biases(layers, rule, parameters, nodes):
    one = Population(1, ONE, batch=parameters.batch, name="one")
    found = {"one": one}
    for i, layer in enumerate(layers, 1):
        bias = layered.project(one, layer, BIAS, rule, f"bias{i}", parameters.optimiser)
        bias.summed_updaters["bias_post"].order = layered.SEND
        for node in ("begin", "test_begin"):
            nodes[node].append(bias.summed_updaters["bias_post"])
        found[f"bias{i}"] = bias
    return found
