r"""A layered network with symmetric weights that settles, is nudged, and settles again (Scellier and Bengio 2017).

B. Scellier, Y. Bengio (2017). Equilibrium propagation: bridging the gap between energy-based models and
backpropagation. Frontiers in Computational Neuroscience 11:24, https://doi.org/10.3389/fncom.2017.00024. It is what
Liu et al. (2026) compare adjoint propagation with (figure 4): two or three hidden layers of 256 neurons. States s,
rates :math:`\rho(s) = \min(\max(s, 0), 1)`, inputs r_0 = x, outputs the last layer:

.. math::

    \tau\,ds_l/dt &= -s_l + \rho'(s_l)\,(W_l\,r_{l-1} + W_{l+1}^T\,r_{l+1} + b_l) - \beta\,(s_l - t)\,[l = L]   \\
    \Delta W_l &\propto \tfrac{1}{\beta}\,(r_l r_{l-1}^T - r^0_l r^{0\,T}_{l-1})

beta is 0 in the free phase, whose rates at the end are r^0. States are kept within [0, 1], as in the authors' code. Its
sign alternates from batch to batch (there: drawn at random), which takes away the first-order error of the gradient.

=============  ========  ===========  ==================  ===============================================
name           unit      symbol       default             source
=============  ========  ===========  ==================  ===============================================
hidden         1         --           (256, 256)          Liu et al., figure 4
batch          1         --           20                  Scellier and Bengio, section 4
etas           1         --           (0.4, 0.1, 0.01)    Scellier and Bengio, two hidden layers
nudging        1         beta         1                   Scellier and Bengio
tau            s         tau          10 ms               ours
dt             s         dt           5 ms                tau/2: epsilon = 0.5 of the authors
free           s         --           500 ms              100 iterations; 500 for three hidden layers
nudged         s         --           30 ms               6 iterations; 8 for three hidden layers
=============  ========  ===========  ==================  ===============================================

Three hidden layers: etas (0.128, 0.032, 0.008, 0.002). Initial weights: U(-1, 1) sqrt(6/(n_pre + n_post)).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, ms

from neuroplast import layered
from neuroplast.engine import Event, Phase, Population, start
from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import EP

INPUTS = """
x : 1                                       # image
r = clip(x, 0, 1) : 1                       # rate
r_0 = clip(x, 0, 1) : 1                     # rate at the end of the free phase
"""
LAYER = """
ds/dt = (-s + inside*(I_up + I_down + bias) - force)/tau : 1  # state
inside = int(s >= 0)*int(s <= 1) : 1        # slope of the rate
r = clip(s, 0, 1) : 1                       # rate
r_0 : 1                                     # rate at the end of the free phase
I_up : 1                                    # from the layer below
I_down : 1                                  # from the layer above
bias : 1                                    # what is always there
there = int(copy < n_valid)*1.0 : 1         # 0 for copies without an image
tau : second (shared, constant)             # time constant
"""
NO_FORCE = """
force = 0 : 1
"""
OUTPUTS = """
force = phase*pull*(1 - 2*(trial % 2))*(s - target) : 1  # beta (s - t), in the nudged phase
pull : 1 (shared, constant)                 # strength of the nudging
phase : 1 (shared)                          # 0 in the free phase, 1 in the nudged one
target : 1                                  # 1 for the image's class, else 0
p = clip(s, 1e-6, 1) : 1 (constant over dt)  # what is counted
"""
BETWEEN = """
I_up_post = w*r_pre : 1 (summed)            # W r of the layer below
I_down_pre = w*r_post : 1 (summed)          # W^T r of the layer above
"""
FIRST = """
I_up_post = w*r_pre : 1 (summed)
"""
ONE = """
r : 1 (constant)                            # what biases come from: 1
r_0 : 1 (constant)
"""
BIAS = """
bias_post = w*r_pre : 1 (summed)
"""
CURRENT, MOVE, KEEP = 10, 20, 30
RECORDED = ("run", "end", "test", "test_end", "epoch_end")
FIXED = ("hidden", "batch", "dt", "free", "nudged", "shuffle")


@dataclass(frozen=True)
class Parameters:
    """Constants of the model; see the table above."""

    hidden: tuple = parameter((256, 256), "neurons of each hidden layer", least=1)
    batch: int = parameter(20, "images that are presented side by side", least=1)
    etas: tuple = parameter((0.4, 0.1, 0.01), "learning rates, from the first layer's weights to the outputs'", least=0)
    nudging: float = parameter(1.0, "strength of the pull towards the target")
    tau: Quantity = parameter(10 * ms, "time constant")
    dt: Quantity = parameter(5 * ms, "time step")
    free: Quantity = parameter(500 * ms, "duration of the free phase")
    nudged: Quantity = parameter(30 * ms, "duration of the nudged phase")
    shuffle: bool = parameter(True, "whether each epoch has the training images in an order of its own")

    steps, check_tau = layered.Layers.steps, layered.Layers.check_tau

    def __post_init__(self):
        self.check_tau("tau")
        self.steps("free"), self.steps("nudged")
        if len(self.etas) != len(self.hidden) + 1:
            raise InputError(
                f"etas should be {len(self.hidden) + 1} rates, one for each layer of weights. Got {self.etas}."
            )
        if self.nudging == 0:
            raise InputError("nudging should not be 0: changes are divided by it. Take a small one.")
        if self.batch < 1:
            raise InputError(f"batch should be a positive number of images. Got {self.batch}.")


def build(parameters, images, rule=EP, *, seed=0, record=(), target="cpp", dtype="float32", threads=1):
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``free_phase``,
    ``settled``, ``nudged_phase``, ``learn``), then every batch of test images (``test_begin``, ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images
    rule : Rule
    seed : int
        Of the initial weights and the order of images, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies: of the populations inputs, hidden1, ..., outputs, and of the
        projections w1, w2, ...
    target : {"cpp", "numpy"}
    dtype : {"float32", "float64"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``.

    Raises
    ------
    InputError
        If a rule reads what the network does not define; for a `record` of what there is not.
    """
    p = parameters
    start(target, dtype=dtype, dt=p.dt)
    nodes, sizes = defaultdict(list), [images.features, *map(int, p.hidden), images.classes]
    L = len(sizes) - 1
    inputs = Population(sizes[0], INPUTS, batch=p.batch, name="inputs")
    hidden = [_layer(n, LAYER + NO_FORCE, p.batch, f"hidden{i}") for i, n in enumerate(sizes[1:-1], 1)]
    outputs = _layer(sizes[-1], LAYER + OUTPUTS + layered.SCORE, p.batch, "outputs")
    layers, one = [inputs, *hidden, outputs], Population(1, ONE, batch=p.batch, name="one")
    projections, biases = {}, {}
    for i in range(1, L + 1):
        text = BETWEEN if i > 1 else FIRST
        projections[f"w{i}"] = layered.project(layers[i - 1], layers[i], text, rule, f"w{i}", "sgd")
        biases[f"bias{i}"] = layered.project(one, layers[i], BIAS, rule, f"bias{i}", "sgd")
    groups = {group.name: group for group in (*layers, one)} | projections | biases

    layered.present(images, inputs, outputs, nodes, p.shuffle)
    _settle(layers, projections, biases, nodes)
    for synapses in (*projections.values(), *biases.values()):
        layered.learn(synapses, rule, nodes, "sgd")
    layered.count(outputs, nodes, "settled")
    recorded = layered.record_epochs(outputs, projections, nodes)
    rates = {layer.name: Rate("r", 0, 1) for layer in hidden}
    rules = dict.fromkeys((*projections, *biases), rule)
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)
    trial = [
        Event("begin", nodes["begin"]),
        Phase("free_phase", nodes["settling"] + nodes["run"], p.steps("free")),
        Event("settled", nodes["settled"]),
        Phase("nudged_phase", nodes["settling"] + nodes["run"], p.steps("nudged"), follows="free_phase"),
        Event("learn", nodes["learn"] + nodes["end"]),
    ]
    test = [
        Event("test_begin", nodes["test_begin"]),
        Phase("test", nodes["settling"] + nodes["test"], p.steps("free")),
        Event("test_end", nodes["test_end"]),
    ]
    return layered.make_model(
        "equilibrium", p, images, (trial, test), nodes, groups, recorded,
        fixed=FIXED, values=initial_values, seed=seed, threads=threads,
    )  # fmt: skip


def initial_values(parameters, images, seed):
    """Initial values of a net: weights drawn by a seed, and the constants.

    Parameters
    ----------
    parameters : Parameters
    images : Images
    seed : int

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.
    """
    p, rng = parameters, np.random.default_rng(seed)
    sizes = [images.features, *map(int, p.hidden), images.classes]
    values = {"one.r": 1.0, "one.r_0": 1.0, "outputs.pull": p.nudging}
    for i, (n_pre, n_post) in enumerate(zip(sizes, sizes[1:], strict=False), 1):
        bound = np.sqrt(6 / (n_pre + n_post))
        values |= {f"w{i}.w": rng.uniform(-bound, bound, (n_pre, n_post)), f"bias{i}.w": 0.0}
        for name in (f"w{i}", f"bias{i}"):
            values |= {f"{name}.eta": p.etas[i - 1], f"{name}.nudging": p.nudging}
        values[(f"hidden{i}" if i < len(sizes) - 1 else "outputs") + ".tau"] = float(p.tau)
    return values


def _layer(N, text, batch, name):
    group = Population(N, text, batch=batch, method="euler", order=MOVE, name=name)
    if group.subexpression_updater is not None:
        group.subexpression_updater.when, group.subexpression_updater.order = "groups", layered.OUTPUT
    return group


def _settle(layers, projections, biases, nodes):
    """All layers relax at once, from 0; in the nudged phase they go on from where the free one has ended."""
    inputs, *moving = layers
    outputs = moving[-1]
    first, *others = projections.values()
    sums = [s.summed_updaters[name] for s in others for name in ("I_up_post", "I_down_pre")]
    for operation in sums:
        operation.order = CURRENT
    first.summed_updaters["I_up_post"].order = layered.SEND  # the image is held: once for both phases
    nodes["settling"] += [*sums, *(layer.state_updater for layer in moving)]
    nodes["settling"] += [
        layer.run_regularly("s = clip(s, 0, 1)", when="groups", order=KEEP, name=f"{layer.name}_bound")
        for layer in moving
    ]
    for node in ("begin", "test_begin"):
        nodes[node].append(first.summed_updaters["I_up_post"])
        for layer in moving:
            nodes[node].append(layer.run_regularly("s = 0", order=layered.PRESENT, name=f"{node}_{layer.name}"))
        nodes[node].append(outputs.run_regularly("phase = 0", order=layered.MAKE, name=f"{node}_free"))
        for synapses in biases.values():
            synapses.summed_updaters["bias_post"].order = layered.SEND
            nodes[node].append(synapses.summed_updaters["bias_post"])
    nodes["settled"] += [
        layer.run_regularly("r_0 = clip(s, 0, 1)", order=layered.OUTPUT, name=f"{layer.name}_keep") for layer in moving
    ]
    nodes["settled"].append(outputs.run_regularly("phase = 1", order=layered.OUTPUT, name="nudge"))
    for node in ("settled", "test_end"):
        nodes[node].append(outputs.subexpression_updater)
