r"""Maps of neurons that share kernels and learn by backpropagation, feedback alignment or random projection.

The baselines of `neuroplast.models.pepita_conv`, on the same network: a layer of filters, each of which has a map of
neurons that see the image through the same kernel k; the greatest response of each small window of a map; outputs.

.. math::

    \tau\,dv(p)/dt &= -v(p) + k \cdot x(p), \quad r = \phi(v)                                      \\
    \hat r &= \phi(\max_{p\ \text{in the window}} v(p)), \quad \tau\,dv_2/dt = -v_2 + W_2 \hat r         \\
    e &= p - t, \quad p = \mathrm{softmax}(v_2)

What comes back to a window reaches its winner alone, and a kernel sums over the positions of its map, over which it is
shared; with means over the batch:

.. math::

    G_2 = e\,\hat r^T, \quad \delta(p) = \phi'(v(p))\,c(p), \quad G_1 = \sum_p \delta(p)\,x(p), \quad
    c(p) = \begin{cases} \hat c & p\ \text{has won its window} \\ 0 & \text{else} \end{cases}

====================  ==============================  ====================================
rule                  credit of a window              reference
====================  ==============================  ====================================
BP                    W_2^T e                         Rumelhart et al. 1986
FA_LAYERS, DFA        B e                             Lillicrap et al. 2016, Nokland 2016
DRTP                  B t                             Frenkel et al. 2021
====================  ==============================  ====================================

With one layer of filters feedback alignment and direct feedback alignment are the same. Weights then move with
momentum, see `neuroplast.equations`. At dt = tau, with a phase of one step, these are the published algorithms.

=============  ========  ===========  ============  ===================================================
name           unit      symbol       default       source
=============  ========  ===========  ============  ===================================================
filters        1         --           32            PEPITA, table 2
kernel         pixels    --           5             PEPITA, table 2
stride         pixels    --           1             PEPITA, table 2
padding        pixels    --           0             ours; 2 in DRTP's code
pool           pixels    --           2             ours; also in the code of PEPITA and DRTP
batch          1         --           100           PEPITA, table 2
eta            1         eta          0.1           PEPITA, table 2: BP and FA on MNIST
momentum       1         --           0.9           PEPITA, appendix A
decay_at       epochs    --           (10, 30, 50)  PEPITA, table 2
decay          1         --           0.1           PEPITA, table 2
shuffle        --        --           true          a new order of the images in each epoch
activation     --        phi          relu          PEPITA: relu; DRTP: tanh
output         --        p            softmax       PEPITA: softmax; DRTP: sigmoid
biases         --        --           false         true in DRTP's code, one for each filter and output
tau            s         --           10 ms         ours
dt             s         --           10 ms         tau: the published algorithms
forward        s         --           10 ms         ours: one step
=============  ========  ===========  ============  ===================================================

`DRTP_NETWORK` has what DRTP's authors use. Initial weights: U(-1, 1) sqrt(6/n_pre), or sqrt(1/n_pre) with biases, as in
DRTP's code; n_pre of a kernel are the pixels that it sees. B onto n pooled neurons: U(-1, 1) sqrt(6/n).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, ms

from neuroplast import convolved, layered
from neuroplast.engine import DenseSynapses, Population, ReceptiveField, softmax, start
from neuroplast.engine.geometry import norm_variables, norms
from neuroplast.errors import InputError
from neuroplast.models.feedforward import (
    BETWEEN,
    BIAS,
    BIASED,
    DIRECT,
    DRTP_NETWORK,
    ONE,
    OUTPUTS,
    RATES,
    RECORDED,
    SAMPLE,
    UNITS,
)
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import BP

__all__ = ["DRTP_NETWORK", "FIXED", "Parameters", "build", "initial_values"]

INPUTS = """
x : 1                                       # image
r = int(copy < n_valid)*x : 1               # what is sent; nothing by copies that a partial batch leaves empty
"""
ACTIVATIONS = {
    "relu": """
r = v*int(v > 0) : 1                        # what is sent
""",
    "tanh": """
r = tanh(v) : 1
""",
}
SLOPES = {
    "relu": """
slope = int(v > 0)*1.0 : 1                  # phi'(v)
""",
    "tanh": """
slope = 1 - tanh(v)**2 : 1
""",
}
BACK = """
credit : 1                                  # what comes back to the winner of a window
delta = slope*credit : 1                    # error of the potential
"""
ONES = """
r = int(copy < n_valid)*1.0 : 1             # what the filters' biases come from: 1, or 0 in copies that are empty
"""
POOLED = (
    convolved.POOLED
    + """
credit : 1                                  # what comes back to the window
"""
)
#: Places within a step: the maps' currents, potentials, maxima; the outputs' currents and potentials.
SEE, SETTLE, POOL, READ, OUT = 10, 11, 14, 20, 21
FIXED = (*convolved.FIXED, "activation", "output", "biases", "forward")


@dataclass(frozen=True)
class Parameters(convolved.Maps):
    """Constants of the model; see the table above."""

    activation: str = parameter("relu", "response to the potential", choices=tuple(ACTIVATIONS))
    output: str = parameter("softmax", "response of the outputs", choices=tuple(SAMPLE))
    biases: bool = parameter(False, "whether filters and outputs have biases, which learn")
    tau: Quantity = parameter(10 * ms, "time constant of the neurons")
    forward: Quantity = parameter(10 * ms, "duration of the forward phase")

    def __post_init__(self):
        super().__post_init__()
        self.check_tau("tau")
        self.steps("forward")
        for name, allowed in {"activation": ACTIVATIONS, "output": SAMPLE}.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} should be one of {', '.join(allowed)}. Got {getattr(self, name)!r}.")


def build(
    parameters, images, rule=BP, *, seed=0, record=(), target="cpp", dtype="float32", threads=1
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``forward``, ``learn``),
    then every batch of test images without learning (``test_begin``, ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images
    rule : Rule
        BP, FA_LAYERS, DFA_LAYERS or DRTP of `neuroplast.rules`, or your own.
    seed : int
        Of the initial weights and the order of images, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies, losses and the norms of the weights, see `neuroplast.records`:
        of the populations inputs, maps, pooled and outputs, and of the projections w1 and w2.
    target : {"cpp", "numpy"}
    dtype : {"float32", "float64"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``. Its methods take other ``parameters=`` except batch, dt, the sizes of filters and windows,
        activation, output, biases and forward.

    Raises
    ------
    InputError
        If filters or windows do not fit into the images, a rule reads what the network does not define; for a `record`
        of what there is not.
    """
    p, field = parameters, parameters.field(images)
    start(target, dtype=dtype, dt=p.dt)
    nodes = defaultdict(list)

    units = BIASED if p.biases else UNITS
    inputs = Population(images.features, INPUTS, batch=p.batch, name="inputs")
    text = units + ACTIVATIONS[p.activation] + SLOPES[p.activation] + BACK
    maps = Population(field.outputs, text, batch=p.batch, method="euler", order=SETTLE, name="maps")
    pooled, windows = convolved.pool(maps, p, images, POOLED + ACTIVATIONS[p.activation])
    text = units + OUTPUTS + layered.SCORE + norm_variables(2)
    outputs = Population(images.classes, text, batch=p.batch, method="euler", order=OUT, name="outputs")
    w1 = layered.project(inputs, maps, layered.SUMMED, rule, "w1", field=field)
    w2 = layered.project(pooled, outputs, layered.SUMMED + BETWEEN.get(rule.feedback, ""), rule, "w2")
    projections = {"w1": w1, "w2": w2}
    see, read = (synapses.summed_updaters["I_post"] for synapses in projections.values())
    see.order, read.order = SEE, READ

    layered.present(images, inputs, outputs, nodes, p.shuffle)
    settle = [maps.state_updater, windows.greatest("v", "v", order=POOL), read, outputs.state_updater]
    for node, phase, end in (("begin", "forward", "learn"), ("test_begin", "test", "test_end")):
        nodes[node].append(see)
        nodes[phase] += settle
        nodes[end] += _responses(outputs, p.output, end)
    groups = {group.name: group for group in (inputs, maps, pooled, outputs)} | projections
    if rule.feedback in BETWEEN:
        bring = w2.summed_updaters["credit_pre"]
    else:
        groups["feedback"] = DenseSynapses(outputs, pooled, DIRECT[rule.feedback], name="feedback")
        bring = groups["feedback"].summed_updaters["credit_post"]
    bring.order = layered.CREDIT
    nodes["learn"] += [bring, windows.back("credit", "credit", order=layered.CREDIT + 1)]
    learning = dict(projections)
    if p.biases:
        biases = _biases(maps, outputs, field, rule, p, nodes)
        groups |= biases
        learning |= {name: biases[name] for name in ("bias1", "bias2")}
    for synapses in learning.values():
        layered.learn(synapses, rule, nodes)
    layered.count(outputs, nodes, "learn")
    nodes["epoch_end"].append(norms(outputs, [w1, w2], order=1))
    more = [(f"norm_{name}", f"Frobenius norm of {name}") for name in projections]
    recorded = layered.record_epochs(outputs, projections, nodes, more)
    rates = {group.name: Rate("r", *RATES[p.activation]) for group in (maps, pooled)}
    rules = dict.fromkeys(learning, rule)
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)

    return layered.make_model(
        "feedforward_conv", p, images, layered.forward_trials(p, nodes), nodes, groups, recorded,
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
    p, rng, field = parameters, np.random.default_rng(seed), parameters.field(images)
    pooled, drtp = int(np.prod(p.windows(images))), 6**-0.5 if p.biases else 1
    pairs = {1: (field.offsets, field.channels), 2: (pooled, images.classes)}
    values = {f"w{i}.w": layered.he_uniform(rng, *pair) * drtp for i, pair in pairs.items()}
    b = layered.he_uniform(rng, pooled, images.classes)
    values |= {"w2.b": b, "feedback.b": b.T, "one.r": 1.0}
    values |= {f"bias{i}.w": layered.he_uniform(rng, *pair)[0] * drtp for i, pair in pairs.items()}
    values |= {"maps.tau": float(p.tau), "outputs.tau": float(p.tau)}
    return values | layered.momentum_state(p, ("w1", "w2", "bias1", "bias2"))


def _responses(outputs, kind, node):
    """Operations that make the outputs' probabilities and errors of their potentials."""
    place, made = layered.OUTPUT, []
    if kind == "softmax":
        made.append(softmax(outputs, "v", "p", order=place, name=f"{node}_softmax"))
        place = layered.ERROR
    return [*made, outputs.run_regularly(SAMPLE[kind], when="groups", order=place, name=f"{node}_sample")]


def _biases(maps, outputs, field, rule, p, nodes):
    """A bias of each filter, which all positions share, and of each output."""
    ones = Population(field.positions, ONES, batch=p.batch, name="ones")
    one = Population(1, ONE, batch=p.batch, name="one")
    everywhere = ReceptiveField((1, *field.map), field.channels, kernel=1)
    found = {
        "bias1": layered.project(ones, maps, BIAS, rule, "bias1", field=everywhere),
        "bias2": layered.project(one, outputs, BIAS, rule, "bias2"),
    }
    for bias in found.values():
        bias.summed_updaters["bias_post"].order = layered.SEND
        for node in ("begin", "test_begin"):
            nodes[node].append(bias.summed_updaters["bias_post"])
    return found | {"ones": ones, "one": one}
