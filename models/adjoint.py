r"""Modules of recurrent neurons with roles: errors are displacements that the same dynamics carry (Liu et al. 2026).

Z. Liu, H. Shu, L. Wang, X. Meng, Y. Wang, X. Li, W. Wang, T. Chen (2026). Adjoint propagation of error signal through
modular recurrent neural networks for biologically plausible learning. eLife 15:e108237,
https://doi.org/10.7554/eLife.108237. Numbers in brackets on the right are the paper's equations.

Neurons of a module receive inference (RI), send it (SI), receive error (RE), send it (SE), see `neuroplast.modules`:

.. math::

    \tau\,dz_i/dt &= -z_i + \tanh u_i, \quad u_i = W_i z_i + b_i + c_i + a_i                            && (1) \\
    c_i &= W_{i-1,i}\,z_{i-1} \;\text{on RI of SI}, \quad c_1 = W_{in}\,x                                 \\
    p &= \mathrm{softmax}(W_{out}\,z_L + b_{out}), \quad e_{out} = p - t                                  \\
    a_L &= -\beta\,E_{out}\,e_{out}, \quad a_i = -\beta\,E_i\,e_{i+1} \;\text{on RE of SE}, \quad
        e_i = z^0_i - z_i                                                                             && (2) \\
    \Delta W &\propto -e_{post}\,z^0_{pre}                                                            && (3)

In the inference phase the modules relax one after the other from z = 0, with a = 0; z^0 is what they end with. In the
learning phase they relax anew, from the last one down, with the same c and with the error's current: from z = 0 again
(short-trajectory errors, STE) or from z^0 (error-perturbed errors, EPE). The last line is the rule AP; then Adam, or
plain steps. At dt = tau a step is an iteration of the paper, in this order:

====  ====================================================  =====================================
 1    z of module 1, ..., of module L: t1 steps each        c of the modules before it, at rest
 2    p, e_out; a_L
 3    z of module L, ..., of module 1: t2 steps each        the same c; e of the module above, at rest
 4    all gradients, then all weights
====  ====================================================  =====================================

With ``simultaneous`` all modules relax at once, in both phases, and c and a follow.

=============  ========  ===========  ==========  =====================================================
name           unit      symbol       default     source
=============  ========  ===========  ==========  =====================================================
modules        1         --           2           figure 2: two modules in a row
block          1         n_b          256         neurons of a role; 1024 in a module
merged         --        --           none        role constraints, see `neuroplast.modules.Roles`
batch          1         --           500         authors' code
eta            1         --           0.001       table 2
optimiser      --        --           adam        "sgd": plain steps
alpha          1         --           0           rate of recurrent weights, times eta (code: 1e-4)
beta           1         beta         1           strength of the fed-back error
radius         1         SR           0.25        spectral radius of W_i
density        1         CR           0.25        index pairs drawn, of n^2 (a share 1 - e^-CR is there)
bias_scale     1         --           0           of b_out (code: 1; paper: all biases are zero)
epe            --        --           false       EPE instead of STE
tau            s         tau          10 ms       ours; an iteration at dt = tau
dt             s         dt           10 ms       tau: the paper's algorithm
inference      s         t1           80 ms       8 iterations
learning       s         t2           80 ms       8 iterations
simultaneous   --        --           false       ours
=============  ========  ===========  ==========  =====================================================

Initial weights: uniform, up to 1/sqrt(number that sends) for paths and E_out, up to 1 for E_i; where all roles are
merged, E up to radius/sqrt(number that sends). W_i: pairs are drawn with replacement, weights uniform in [-1, 1], those
of the same pair added up, then scaled to the spectral radius.

Departures from the paper: E_out is that of the authors' code; in the paper it is uniform up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, ms

from neuroplast import layered, relaxing
from neuroplast.engine import DenseSynapses, Population, Simulation, start
from neuroplast.errors import InputError
from neuroplast.model import Model
from neuroplast.modules import MERGED, Roles, chain
from neuroplast.parameters import parameter
from neuroplast.recording import Rate, add_records
from neuroplast.rules import AP, FROZEN, RECURRENT_PLASTICITY

INPUTS = """
x : 1                                       # image
z = x : 1                                   # what is sent
z_0 = x : 1                                 # what was sent in the inference phase
"""
MODULE = """
dz/dt = (-z + tanh(u))/tau : 1              # activity                                          (1)
u = I_rec + I_in + I_more + I_err + bias : 1  # current
I_rec : 1                                   # W z
I_in : 1                                    # inference, on the neurons that receive it
I_err : 1                                   # error, on the neurons that receive it
z_0 : 1                                     # activity at the end of the inference phase, remembered
err = int(copy < n_valid)*(z_0 - z) : 1     # displacement by the error                         (2)
slope = 1 - z_0**2 : 1                      # slope of the response
tau : second (shared, constant)             # time constant
"""
NO_BIAS = """
bias = 0 : 1
"""
BIAS = """
bias : 1                                    # what is always there
"""
NO_MORE = """
I_more = 0 : 1
"""
MORE = """
I_more : 1                                  # inference of a second path onto the same neurons
"""
OUTPUTS = """
v = I_in + I_more + bias : 1 (constant over dt)  # sum of what comes in
I_in : 1
bias : 1
p : 1                                       # probability of each class
target : 1                                  # 1 for the image's class, else 0
err : 1                                     # error of the output
slope = 1 : 1
"""
SAMPLE = "err = int(copy < n_valid)*(p - target)"
ONE = """
z : 1 (constant)                            # what biases come from: 1
z_0 : 1 (constant)
"""
RECURRENT = """
I_rec_post = w*z_pre : 1 (summed)           # W z
"""
FEED = """
I_in_post = w*z_pre : 1 (summed)
"""
FEED_MORE = """
I_more_post = w*z_pre : 1 (summed)
"""
FEED_BIAS = """
bias_post = w*z_pre : 1 (summed)
"""
ERROR = """
f : 1 (constant)                            # fixed random weight
beta : 1 (shared, constant)                 # strength of the fed-back error
I_err_post = -beta*f*err_pre : 1 (summed)
"""
#: Nodes in which records are taken.
RECORDED = ("run", "end", "test", "test_end", "epoch_end")
#: What is compiled in: a net of the same model cannot have others.
FIXED = (
    "modules", "block", "merged", "batch", "dt", "optimiser", "plastic", "epe", "inference", "learning", "simultaneous",
    "learn_bias", "shuffle",
)  # fmt: skip


@dataclass(frozen=True)
class Parameters:
    """Constants of the model; see the table above."""

    modules: int = parameter(2, "modules in a row", least=1)
    block: int = parameter(256, "neurons of each role", least=1)
    merged: str = parameter("none", "roles that share neurons", choices=tuple(MERGED))
    batch: int = parameter(500, "images that are presented side by side", least=1)
    eta: float = parameter(1e-3, "learning rate; with Adam the size of a change")
    optimiser: str = parameter("adam", "how changes are made of gradients", choices=("adam", "sgd"))
    alpha: float = parameter(0.0, "learning rate of the recurrent weights, times eta; 0: they are fixed", least=0.0)
    beta: float = parameter(1.0, "strength of the fed-back error")
    radius: float = parameter(0.25, "spectral radius of the recurrent weights")
    density: float = parameter(0.25, "pairs of neurons that are drawn to be connected, of all")
    bias_scale: float = parameter(0.0, "bound of the outputs' biases, times 1/sqrt(neurons that send)")
    learn_bias: bool = parameter(False, "whether biases learn")
    epe: bool = parameter(False, "error-perturbed errors: the learning phase goes on from the inference phase")
    tau: Quantity = parameter(10 * ms, "time constant")
    dt: Quantity = parameter(10 * ms, "time step")
    inference: Quantity = parameter(80 * ms, "duration of the inference phase of a module")
    learning: Quantity = parameter(80 * ms, "duration of the learning phase of a module")
    simultaneous: bool = parameter(False, "all modules relax at once")
    shuffle: bool = parameter(True, "whether each epoch has the training images in an order of its own")

    steps, check_tau = layered.Layers.steps, layered.Layers.check_tau

    def __post_init__(self):
        self.check_tau("tau")
        for name in ("inference", "learning"):
            if self.steps(name) * float(self.dt / self.tau) < 2:
                raise InputError(
                    f"{name} should be at least two time constants, 2*tau = {2 * self.tau}. Got {getattr(self, name)}: "
                    "the first iteration only loads the neurons that receive, so that nothing arrives where it is sent."
                )
        if self.batch < 1 or self.modules < 1:
            raise InputError(f"batch and modules should be positive. Got {self.batch} and {self.modules}.")
        if not (self.radius >= 0 and self.density >= 0):
            raise InputError(f"radius and density should be at least 0. Got {self.radius} and {self.density}.")

    @property
    def plastic(self):
        """Whether recurrent weights learn."""
        return self.alpha > 0


def build(
    parameters, images, rule=AP, *, graph=None, sizes=None, tasks=None, seed=0, record=(), target="cpp",
    dtype="float32", threads=1,
):  # fmt: skip
    """Make the network and its schedule.

    The schedule is a loop of epochs. Each presents every batch of training images (``begin``, ``infer_...`` and
    ``send_...`` of each module, ``judge``, ``adjoint_...`` and ``tell_...``, ``learn``), then every batch of test
    images.

    Parameters
    ----------
    parameters : Parameters
    images : neuroplast.data.Images or dict of str to Images
        By the name of the input, if the graph has several.
    rule : Rule
        AP or AP_DERIVATIVE of `neuroplast.rules`, or your own.
    graph : Graph, optional
        Of modules; by default those of the parameters in a row.
    sizes : dict of str to int, optional
        Neurons of a role, for `neuroplast.modules.Roles`, if there is no graph.
    tasks : sequence of sequences of str, optional
        Outputs that are trained together, one such task after the other in each epoch; by default all at once.
    seed : int
        Of the initial weights and the order of images, unless the model's methods are given another one.
    record : sequence of str or Record
        What to record besides each epoch's accuracies and losses, see `neuroplast.records`: of the populations inputs,
        module1, ... and outputs, and of the projections.
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
        If a rule reads what the network does not define; for a graph in which nothing arrives somewhere.
    """
    p = parameters
    graph = graph or chain(p.modules, Roles(p.block, p.merged, sizes or {}))
    images = dict(images) if isinstance(images, Mapping) else {"inputs": images}
    tasks = [tuple(task) for task in tasks or [graph.outputs]]
    start(target, dtype=dtype, dt=p.dt)
    more = _second_paths(graph)
    inputs = {name: Population(each.features, INPUTS, batch=p.batch, name=name) for name, each in images.items()}
    modules, outputs = {}, {}
    for name, n in graph.modules.items():
        text = MODULE + (BIAS if p.learn_bias else NO_BIAS) + (MORE if name in more.values() else NO_MORE)
        modules[name] = Population(n, text, batch=p.batch, method="euler", order=relaxing.MOVE, name=name)
    for name, source in graph.outputs.items():
        text = OUTPUTS + layered.SCORE + (MORE if name in more.values() else NO_MORE)
        outputs[name] = Population(images[source].classes, text, batch=p.batch, name=name)
        outputs[name].subexpression_updater.when = "groups"
        outputs[name].subexpression_updater.order = relaxing.JUDGE
    parts = inputs | modules | outputs

    rules, projections = {path.name: FROZEN for path in graph.paths}, {}
    rules |= {path.name: rule for path in graph.learning()}
    for path in graph.paths:
        text = FEED_MORE if path.name in more else FEED
        ends = parts[path.source][path.sends], parts[path.target][path.hears]
        projections[path.name] = layered.project(*ends, text, rules[path.name], path.name, p.optimiser)
    recurrent, errors = {}, {}
    for name, module in modules.items():
        own = rules[f"rec_{name}"] = RECURRENT_PLASTICITY if p.plastic and name in graph.backward_order else FROZEN
        recurrent[f"rec_{name}"] = layered.project(module, module, RECURRENT, own, f"rec_{name}", p.optimiser)
    for path in graph.errors:
        ends = parts[path.source][path.sends], parts[path.target][path.hears]
        errors[path.name] = DenseSynapses(*ends, ERROR, name=path.name)
    groups = parts | projections | recurrent | errors
    network = relaxing.Network(p, graph, parts, projections, recurrent, errors, SAMPLE)
    biases = _add_biases(network, rule if p.learn_bias else FROZEN, rules)
    groups |= biases
    for output, source in graph.outputs.items():
        network.show(images[source], source, output)
    rounds = [network.round(task, rules, groups, biases) for task in tasks]

    nodes, suffixes = network.nodes, {name: f"_{name}" if len(outputs) > 1 else "" for name in outputs}
    recorded = []
    for number, (name, output) in enumerate(outputs.items()):
        recorded += layered.record_epochs(output, {} if number else projections, nodes, suffix=suffixes[name])
    rates = {name: Rate("z", -1, 1) for name in modules}
    recorded += add_records(record, groups, {name: nodes[name] for name in RECORDED}, rates=rates, rules=rules)
    passes = partial(relaxing.passes, p.batch, [each.sizes for each in rounds])
    plan = network.schedule(rounds, passes(1))
    simulation = Simulation(plan, name="adjoint", threads=threads, namespace={})
    values = partial(initial_values, graph=graph)
    return Model(
        simulation, groups, tuple(recorded), p, images, FIXED, values, seed,
        passes, layered.no_lengths, layered.check_images,
    )  # fmt: skip


def initial_values(parameters, images, seed, graph):
    """Initial values of a net: weights drawn by a seed, and the constants.

    Parameters
    ----------
    parameters : Parameters
    images : dict of str to Images
        By the name of the input.
    seed : int
    graph : Graph

    Returns
    -------
    dict of str to array
        ``object.variable`` to values.
    """
    p, rng, values = parameters, np.random.default_rng(seed), {"one.z": 1.0, "one.z_0": 1.0}
    sizes = {name: each.features for name, each in images.items()} | dict(graph.modules)
    sizes |= {name: images[source].classes for name, source in graph.outputs.items()}

    def drawn(path, bound):
        shape = [len(range(sizes[end])[part]) for end, part in ((path.source, path.sends), (path.target, path.hears))]
        if path.normal is not None:
            return path.normal * rng.standard_normal(shape)
        bound = bound(shape[0]) if path.scale is None else path.scale
        return rng.uniform(-bound, bound, shape)

    for path in graph.paths:
        values[f"{path.name}.w"] = drawn(path, lambda n: n**-0.5)
    scaled = p.radius if p.merged == "all" else 1.0
    for path in graph.errors:
        fan_in = p.merged == "all" or path.source in graph.outputs
        values[f"{path.name}.f"] = drawn(path, (lambda n: scaled * n**-0.5) if fan_in else (lambda n: 1.0))
        values[f"{path.name}.beta"] = p.beta
    for name, n in graph.modules.items():
        values[f"rec_{name}.w"] = sparse_recurrent(rng, n, p.density, p.radius)
        values[f"{name}.tau"] = float(p.tau)
    for name in graph.outputs:
        senders = min(len(range(sizes[path.source])[path.sends]) for path in graph.paths if path.target == name)
        bias = p.bias_scale * rng.uniform(-1, 1, sizes[name]) * senders**-0.5
        values |= {f"bias_{name}.w": bias, f"{name}.bias": np.repeat(bias, p.batch)}
    learning = [name.removesuffix(".w") for name in values if name.endswith(".w")]
    values |= layered.adam_state(p.eta, [*learning, *(f"bias_{name}" for name in graph.modules)])
    return values | {f"rec_{name}.eta": p.eta * p.alpha for name in graph.modules}


def sparse_recurrent(rng, n, density, radius):
    """Recurrent weights: ``int(density*n^2)`` pairs drawn with replacement, scaled to a spectral radius.

    Parameters
    ----------
    rng : numpy.random.Generator
    n : int
        Neurons.
    density, radius : float

    Returns
    -------
    array, shape (n, n)
        Rows are presynaptic.
    """
    count, w = int(density * n * n), np.zeros((n, n))
    pairs = rng.integers(0, n, (2, count))
    np.add.at(w, tuple(pairs), rng.uniform(-1, 1, count))
    largest = np.abs(np.linalg.eigvals(w)).max() if count and radius else 0.0
    return w * (radius / largest) if largest > 0 else np.zeros((n, n))


def _second_paths(graph):
    """Paths onto neurons that another one already leads to, with their targets: they get a current of their own."""
    heard, more = {}, {}
    for path in graph.paths:
        size = graph.modules.get(path.target, 1)
        neurons = set(range(size)[path.hears]) if path.target in graph.modules else {0}
        before = heard.setdefault(path.target, set())
        if before & neurons:
            if path.target in more.values():
                raise InputError(f"Graph: more than two paths lead to the same neurons of '{path.target}'.")
            more[path.name] = path.target
        before |= neurons
    return more


def _add_biases(network, rule, rules):
    """Biases that learn, as synapses from a neuron that is always 1; for each batch they are taken anew."""
    p, found = network.parameters, {}
    if not p.learn_bias:
        return found
    found["one"] = Population(1, ONE, batch=p.batch, name="one")
    for name in (*network.graph.backward_order, *network.graph.outputs):
        bias = f"bias_{name}"
        rules[bias] = rule
        found[bias] = layered.project(found["one"], network.parts[name], FEED_BIAS, rule, bias, p.optimiser)
    return found
