r"""Maps of two-compartment neurons that share kernels and learn from two passes (Dellaferrera and Kreiman 2022).

G. Dellaferrera, G. Kreiman (2022). Error-driven input modulation: solving the credit assignment problem without a
backward pass. ICML, PMLR 162:4937-4955, section 3.3: a layer of filters, each of which has a map of neurons that see
the image through the same kernel; the greatest response of each small window of a map; outputs. Neurons are those of
`neuroplast.models.pepita`: the dendrite integrates the present input, the soma holds the response to the original one.
With the kernel k of a filter, p a position of its map, x(p) what is seen from there:

.. math::

    \tau_d\,dv^d(p)/dt &= -v^d(p) + k \cdot r_0(p), \quad r = \phi(v^d)                            \\
    \tau_s\,dv^s(p)/dt &= \gamma\,(-v^s(p) + v^d(p)), \quad m = \phi(v^s)                          \\
    \hat r &= \phi(\max_{p\ \text{in the window}} v^d(p)), \quad \tau_d\,dv^d_2/dt = -v^d_2 + W_2 \hat r    \\
    e &= p - t, \quad p = \mathrm{softmax}(v^d_2)                                                  \\
    r_0 &= x \;(\gamma = 1,\ \text{standard}), \quad r_0 = x + F e \;(\gamma = 0,\ \text{modulated})

Plasticity, at the end of the modulated phase, with means over the batch: a kernel changes with the mean over the
positions P of its map of the difference that the modulation has made, times what the position sees of the modulated
input,

.. math::

    G_1 = \frac{1}{P} \sum_p (m(p) - r(p))\,r_0(p), \quad G_2 = e^m\,\hat r^T, \quad
    \tau_v\,dv/dt = -v - \eta G/(1-\gamma_v), \quad dW/dt = v/dt

That is the rule PEPITA_CONV; PEPITA_SCRIPT is what the authors' published script does. All neurons of a map take part,
winners of their windows or not: the difference is that of the maps, before pooling. At dt = tau_d = tau_s, with phases
of one step, the equations are the paper's algorithm, in this order:

====  ==========================================================  =====================================
 1    v_d, v_s of the maps, then the windows' maxima
 2    v_d of the outputs, p, e; r_0 = x + F e
 3    v_d of the maps, the windows' maxima; v_s hold              the same weights; winners anew
 4    v_d of the outputs, p, e of the modulated pass; all G       weights of the two passes
 5    all W
====  ==========================================================  =====================================

=============  ========  ===========  ============  ===================================================
name           unit      symbol       default       source
=============  ========  ===========  ============  ===================================================
filters        1         --           32            table 2
kernel         pixels    --           5             table 2
stride         pixels    --           1             table 2
padding        pixels    --           0             ours: the paper has no number
pool           pixels    --           2             ours: the paper has no number; its code 2
batch          1         --           100           table 2
eta            1         eta          0.1           table 2
momentum       1         gamma_v      0.9           appendix A
decay_at       epochs    --           (10, 30, 50)  table 2
decay          1         --           0.1           table 2
shuffle        --        --           true          a new order of the images in each epoch
f_scale        1         --           0.05          F ~ f_scale U(-1, 1) sqrt(6/n_in); negative: x - F e
tau_d, tau_s   s         --           10 ms         ours
dt             s         --           10 ms         tau: the paper's algorithm
standard       s         --           10 ms         ours: duration of the standard phase, one step
modulated      s         --           10 ms         ours: and of the modulated one
=============  ========  ===========  ============  ===================================================

Initial weights: U(-1, 1) sqrt(6/n_pre), no biases; n_pre of a kernel are the pixels that it sees. No dropout.

Departures from the paper: none that it has words for. Padding and windows are not in it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from brian2 import Quantity, linked_var, ms

from neuroplast import convolved, layered
from neuroplast.engine import DenseSynapses, Population, softmax, start
from neuroplast.engine.geometry import norm_variables, norms
from neuroplast.errors import InputError
from neuroplast.models.pepita import (
    DENDRITE,
    FEEDBACK,
    INCOMING,
    OUTPUTS,
    RECORDED,
    SAMPLE,
    SAMPLE_MODULATED,
    SOMA,
    trials,
)
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import FROZEN, PEPITA_CONV

INPUTS = """
x : 1                                       # image
shift : 1                                   # what is added to it in the modulated phase: F e
r = int(copy < n_valid)*(x + shift) : 1     # what is sent; nothing by copies that a partial batch leaves empty
"""
MAPS = """
r = v_d*int(v_d > 0) : 1                    # response to the present input
m = v_s*int(v_s > 0) : 1                    # response to the original input, as the soma remembers it
v_s : 1 (linked)                            # potential of the soma
mismatch = m - r : 1                        # what the modulation changes
"""
POOLED = (
    convolved.POOLED
    + """
r = v*int(v > 0) : 1                        # what is sent: the greatest response of the window
"""
)
#: Places within a step: the maps' currents, potentials, somata, maxima; the outputs' currents and potentials.
SEE, SETTLE, REMEMBER, POOL, READ, OUT = 10, 11, 13, 14, 20, 21
#: The shift of the input, in the event between the phases, before the maps see it.
SHIFT = 7
FIXED = (*convolved.FIXED, "standard", "modulated")


@dataclass(frozen=True)
class Parameters(convolved.Maps):
    """Constants of the model; see the table above."""

    f_scale: float = parameter(0.05, "scale of the feedback weights; negative ones subtract F e")
    tau_d: Quantity = parameter(10 * ms, "time constant of the dendrites")
    tau_s: Quantity = parameter(10 * ms, "time constant of the somata")
    standard: Quantity = parameter(10 * ms, "duration of the standard phase")
    modulated: Quantity = parameter(10 * ms, "duration of the modulated phase")

    def __post_init__(self):
        super().__post_init__()
        self.check_tau("tau_d")
        self.check_tau("tau_s")
        self.steps("standard"), self.steps("modulated")


def build(
    parameters, images, rule=PEPITA_CONV, *, seed=0, record=(), target="cpp", dtype="float32", threads=1
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``standard``,
    ``modulate``, ``modulated``, ``learn``), then every batch of test images without learning (``test_begin``,
    ``test``, ``test_end``).

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images
    rule : Rule
        PEPITA_CONV, PEPITA_SCRIPT or FROZEN_HIDDEN of `neuroplast.rules`, or your own.
    seed : int
        Of the initial weights and the order of images, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies, losses and the norms of the weights, see `neuroplast.records`:
        of the populations inputs, maps, soma, pooled and outputs, and of the projections w1 and w2.
    target : {"cpp", "numpy"}
    dtype : {"float32", "float64"}
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``. Its methods take other ``parameters=`` except batch, dt, the sizes of filters and windows, and
        the durations of the phases.

    Raises
    ------
    InputError
        If filters or windows do not fit into the images, a rule reads what the network does not define; for a `record`
        of what there is not.
    """
    p, two, field = parameters, len(rule.phases) > 1, parameters.field(images)
    start(target, dtype=dtype, dt=p.dt)
    nodes = defaultdict(list)
    rules = {"w1": rule, "w2": rule.readout or FROZEN}

    inputs = Population(images.features, INPUTS, batch=p.batch, name="inputs")
    text, options = DENDRITE + INCOMING, {"batch": p.batch, "method": "euler"}
    maps = Population(field.outputs, text + MAPS, order=SETTLE, name="maps", **options)
    soma = Population(field.outputs, SOMA, order=REMEMBER, name="soma", **options)
    maps.v_s, soma.v_d = linked_var(soma, "v_s"), linked_var(maps, "v_d")
    pooled, windows = convolved.pool(maps, p, images, POOLED)
    text += OUTPUTS + layered.SCORE + norm_variables(2)
    outputs = Population(images.classes, text, order=OUT, name="outputs", **options)
    w1 = layered.project(inputs, maps, layered.SUMMED, rules["w1"], "w1", field=field)
    w2 = layered.project(pooled, outputs, layered.SUMMED, rules["w2"], "w2")
    projections = {"w1": w1, "w2": w2}
    see, read = (synapses.summed_updaters["I_post"] for synapses in projections.values())
    see.order, read.order = SEE, READ

    layered.present(images, inputs, outputs, nodes, p.shuffle)
    # The standard phase: the image is seen once, for its current does not change.
    unshifted = inputs.run_regularly("shift = 0", when="groups", order=layered.MAKE, name="inputs_unshifted")
    for node in ("begin", "test_begin"):
        nodes[node] += [unshifted, see] if two else [see]
    settle = [maps.state_updater, windows.greatest("v_d", "v", order=POOL), read, outputs.state_updater]
    nodes["test"] += settle
    nodes["standard"] += [*settle, soma.state_updater] if two else settle
    probabilities = softmax(outputs, "v_d", "p", order=layered.OUTPUT, name="outputs_softmax")
    nodes["modulate"] += [
        probabilities,
        outputs.run_regularly(SAMPLE, when="groups", order=layered.ERROR, name="sample"),
    ]
    nodes["test_end"].append(probabilities)
    groups = {group.name: group for group in (inputs, maps, soma, pooled, outputs)} | projections
    if two:
        groups |= _modulated_pass(inputs, soma, outputs, see, rule, nodes)
    else:
        again = outputs.run_regularly("err_m = err", when="groups", order=layered.ERROR, name="only_error")
        nodes["learn"].append(again)
    for name, synapses in projections.items():
        layered.learn(synapses, rules[name], nodes)
    layered.count(outputs, nodes, "modulate")
    nodes["epoch_end"].append(norms(outputs, [w1, w2], order=1))
    more = [(f"norm_{name}", f"Frobenius norm of {name}") for name in projections]
    recorded = layered.record_epochs(outputs, projections, nodes, more)
    rates = {group.name: Rate("r", 0, np.inf) for group in (maps, pooled)}
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)

    return layered.make_model(
        "pepita_conv", p, images, trials(p, two, nodes), nodes, groups, recorded,
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
    values = {"w1.w": layered.he_uniform(rng, field.offsets, field.channels)}
    values["w2.w"] = layered.he_uniform(rng, int(np.prod(p.windows(images))), images.classes)
    bound = p.f_scale * np.sqrt(6 / images.features)
    f = rng.uniform(-abs(bound), abs(bound), (images.features, images.classes)).T
    values["feedback.f"] = -f if p.f_scale < 0 else f
    values |= {"maps.tau_d": float(p.tau_d), "outputs.tau_d": float(p.tau_d), "soma.tau_s": float(p.tau_s)}
    return values | layered.momentum_state(p, ("w1", "w2"))


def _modulated_pass(inputs, soma, outputs, see, rule, nodes):
    """The shifted input in, responses anew, while the somata hold; the error of the outputs at the end."""
    if rule.feedback not in FEEDBACK:
        allowed = ", ".join(map(repr, FEEDBACK))
        raise InputError(
            f"Rule '{rule.name}' has feedback={rule.feedback!r}. Here the error shifts the input: take a rule whose "
            f"feedback is one of {allowed}."
        )
    nodes["begin"].append(soma.run_regularly("gate = 1", name="soma_follow"))
    nodes["modulate"] += [soma.run_regularly("gate = 0", name="soma_hold"), see]
    nodes["modulated"] += [*nodes["standard"]]
    nodes["learn"] += [
        softmax(outputs, "v_d", "p", order=layered.OUTPUT, name="outputs_softmax_modulated"),
        outputs.run_regularly(SAMPLE_MODULATED, when="groups", order=layered.ERROR, name="sample_modulated"),
    ]
    feedback = DenseSynapses(outputs, inputs, FEEDBACK[rule.feedback], order={"shift_post": SHIFT}, name="feedback")
    nodes["modulate"].append(feedback.summed_updaters["shift_post"])
    return {"feedback": feedback}
