"""What networks of layers have in common that learn to tell images apart.

Inputs with an activity ``r``, hidden layers, ``outputs`` with probabilities ``p``, one-hot labels ``target`` and an
error ``err``: a model writes their equations; here is how images, rules, momentum and counting are tied to them.

`nodes` is a dict of lists: the name of a node of the schedule, and the objects that it runs. A batch is presented and
learned from in ``begin`` ... ``learn``; after those of an epoch comes ``trained``, then the test batches
(``test_begin``, ``test``, ``test_end``), then ``epoch_end``; after the last epoch ``final``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from brian2 import Quantity, ms

from neuroplast import equations
from neuroplast.engine import (
    ConvSynapses,
    Dataset,
    DenseSynapses,
    Event,
    Loop,
    Phase,
    Recorder,
    Schedule,
    Simulation,
    count_correct,
    cross_entropy,
)
from neuroplast.equations import BATCH_GRADIENT, DOWN, KEPT, MOMENTUM, MOVE, WEIGHT
from neuroplast.errors import InputError
from neuroplast.labels import Recorded
from neuroplast.model import Model
from neuroplast.network import check_time
from neuroplast.parameters import parameter

#: The place after all that comes one after the other, layer by layer or path by path, however many there are.
LAST = 100_000
#: Places within an event: what is presented, what is made of it, the current into the first layer.
PRESENT, MAKE, SEND = 0, 1, 2
#: Places within the event that learns: the output, its error, from `CREDIT` on the errors of the layers below, one
#: after the other, then all gradients, then all weights.
OUTPUT, ERROR, CREDIT, GRADIENT, WEIGHTS = 0, 1, 2, LAST, LAST + 1

SCORE = """
correct : integer (shared)                  # images whose greatest output was that of their class
loss : 1 (shared)                           # sum of their cross entropies
seen : integer (shared)                     # images so far
train_accuracy : 1 (shared)                 # of an epoch, counted while learning
train_loss : 1 (shared)
test_accuracy : 1 (shared)                  # of the test images, after it
test_loss : 1 (shared)
"""
TRAINED = """
train_accuracy = correct/seen
train_loss = loss/seen
correct = 0
loss = 0
seen = 0
"""
TESTED = """
test_accuracy = correct/seen
test_loss = loss/seen
correct = 0
loss = 0
seen = 0
"""
SUMMED = """
I_post = w*r_pre : 1 (summed)               # W r
"""
#: Equations of what makes changes of gradients, and its statements: of each projection that learns.
OPTIMISERS = {
    "momentum": (equations.MOMENTUM, equations.APPLY_MOMENTUM),
    "adam": (equations.ADAM_BATCH, equations.APPLY_ADAM_BATCH),
    "sgd": (equations.SGD_BATCH, equations.APPLY_SGD_BATCH),
}
DROP = "mask = int(rand() < keep)/keep"
KEEP = """
keep : 1 (shared, constant)                 # probability that dropout leaves a neuron in
mask : 1                                    # dropout: 0, or 1/keep
"""
METRICS = {
    "test_accuracy": "fraction of test images that are classified rightly, after the epoch",
    "test_loss": "mean cross entropy of the test images",
    "train_accuracy": "fraction of training images that are classified rightly, while learning",
    "train_loss": "mean cross entropy of the training images, while learning",
}


@dataclass(frozen=True)
class Learning:
    """Constants of a network that learns images from batches with momentum."""

    batch: int = parameter(64, "images that are presented side by side, to copies that share the weights", least=1)
    eta: float = parameter(0.1, "learning rate")
    momentum: float = parameter(0.9, "what is kept of a change from batch to batch")
    decay: float = parameter(0.1, "factor of the learning rate at each of the epochs in decay_at")
    decay_at: tuple = parameter((60,), "epochs after which the rate falls, at most three", least=0, like=60)
    shuffle: bool = parameter(True, "whether each epoch has the training images in an order of its own")
    dt: Quantity = parameter(10 * ms, "time step")

    def __post_init__(self):
        check_time("dt", self.dt)
        if self.batch < 1:
            raise InputError(f"batch should be a positive number of images. Got {self.batch}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum should be at least 0 and below 1. Got {self.momentum}.")
        if len(self.decay_at) > 3:
            raise InputError(f"decay_at should name at most three epochs. Got {self.decay_at}.")

    def steps(self, name):
        """Steps of a phase, whose duration is the attribute `name`; 1 at least."""
        duration, dt = getattr(self, name), self.dt
        check_time(name, duration)
        steps = float(duration / dt)
        if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
            raise InputError(f"{name} should be a whole number of time steps, dt={dt}. Got {duration}.")
        return round(steps)

    def check_tau(self, name):
        """Refuse a time constant that is no time, or shorter than a step."""
        tau = getattr(self, name)
        check_time(name, tau)
        if tau < self.dt:
            raise InputError(
                f"{name} should be at least dt. Got {name}={tau} and dt={self.dt}: Euler steps would overshoot. "
                "Take a smaller dt; at dt = tau a step is the published algorithm's."
            )


@dataclass(frozen=True)
class Layers(Learning):
    """The same, of fully connected layers."""

    hidden: tuple = parameter((1024,), "neurons of each hidden layer", least=1)
    keep: float = parameter(0.9, "probability that dropout leaves a hidden neuron in")

    def __post_init__(self):
        super().__post_init__()
        if not self.hidden or any(int(n) != n or n < 1 for n in self.hidden):
            raise InputError(f"hidden should be the neurons of each hidden layer, such as (1024,). Got {self.hidden}.")
        if not 0 < self.keep <= 1:
            raise InputError(f"keep should be a probability above 0, 1 for no dropout. Got {self.keep}.")

    @property
    def dropout(self):
        """Whether neurons are left out."""
        return self.keep < 1


def project(source, target, text, rule, name, optimiser="momentum", field=None):
    """A projection, with what its rule and the optimiser, one of `OPTIMISERS`, add if it learns.

    With a `ReceptiveField` its neurons share kernels.

    Raises
    ------
    InputError
        If a population lacks what the rule reads.
    """
    rule.check(source, target)
    text = WEIGHT + text
    if _straight(rule, optimiser):
        text += MOMENTUM + DOWN
    elif rule.learns:
        text += rule.synapse + OPTIMISERS[optimiser][0]
    if field is not None:
        return ConvSynapses(source, target, text, field=field, name=name)
    return DenseSynapses(source, target, text, name=name)


def _straight(rule, optimiser):
    """Whether the weights go down the mean gradient with momentum: it then needs no matrix of its own."""
    return optimiser == "momentum" and rule.synapse == BATCH_GRADIENT


def learn(synapses, rule, nodes, optimiser="momentum"):
    """Let a projection learn from a batch in the event ``learn``: gradients of all first, then all weights."""
    if _straight(rule, optimiser):
        gradient = synapses.accumulate("velocity", "-rate*(" + rule.gradient[1] + ")", keep=KEPT, order=GRADIENT)
        nodes["learn"] += [gradient, synapses.run_regularly(MOVE, order=WEIGHTS)]
    elif rule.learns:
        nodes["learn"].append(synapses.accumulate(*rule.gradient, order=GRADIENT))
        nodes["learn"].append(synapses.run_regularly(OPTIMISERS[optimiser][1], order=WEIGHTS))


def present(images, inputs, outputs, nodes, shuffle=True, name="images", place=PRESENT):
    """Present a batch of training images in ``begin``, in a new order in each epoch or not, and of test images.

    Returns
    -------
    training, test : operation
        For other nodes that present the same.
    """
    shown = []
    for node, part, features, labels, permute in (
        ("begin", f"training_{name}", images.train, images.train_labels, shuffle),
        ("test_begin", f"test_{name}", images.test, images.test_labels, False),
    ):
        rows = Dataset(features, labels, name=part)
        shown.append(
            rows.present(
                inputs, "x", scale=images.scale, target=(outputs, "target"), permute=permute, order=place, name=part
            )
        )
        nodes[node].append(shown[-1])
    return shown


def drop(layers, parameters, nodes):
    """Draw which hidden neurons are left out, anew for each batch; none in the tests."""
    if parameters.dropout:
        for layer in layers:
            nodes["begin"].append(layer.run_regularly(DROP, when="groups", order=PRESENT, name=f"{layer.name}_drop"))
            nodes["trained"].append(layer.run_regularly("mask = 1", name=f"{layer.name}_undrop"))


def count(outputs, nodes, training, *, test="test_end", trained="trained"):
    """Count right answers and losses of the training batches, in the node `training`, and of the tests.

    The outputs' probabilities have to be there before place `ERROR`; the epoch's numbers are taken in the nodes
    `trained` and ``epoch_end``.
    """
    owner = outputs.name
    for node in (training, test):
        nodes[node] += [
            count_correct(outputs, "p", "target", "correct", order=ERROR, name=f"{owner}_{node}_count"),
            outputs.run_regularly("seen += n_valid", when="groups", order=ERROR + 1, name=f"{owner}_{node}_seen"),
            cross_entropy(outputs, "p", "target", "loss", order=ERROR + 2, name=f"{owner}_{node}_cross_entropy"),
        ]
    nodes[trained].append(outputs.run_regularly(TRAINED, when="groups", order=1, name=f"{owner}_trained"))
    nodes["epoch_end"].append(outputs.run_regularly(TESTED, when="groups", order=0, name=f"{owner}_tested"))


def record_epochs(outputs, projections, nodes, more=(), suffix=""):
    """Record each epoch's numbers, and the final weights.

    Parameters
    ----------
    outputs : Population
    projections : dict of str to DenseSynapses
        Those whose weights are kept at the end.
    nodes : dict of str to list
    more : sequence of (str, str)
        Shared variables of the outputs besides those of `METRICS`, and what they are.
    suffix : str
        Of the numbers' names, where there are several outputs.

    Returns
    -------
    list of Recorded
    """
    metrics = METRICS | dict(more)
    monitor = f"epochs{suffix}"
    nodes["epoch_end"].append(Recorder(outputs, [*metrics, "epoch"], name=monitor))
    recorded = [
        Recorded(f"{name}{suffix}", f"{monitor}.{name}", along="epoch", doc=doc) for name, doc in metrics.items()
    ]
    for name, synapses in projections.items():
        nodes["final"].append(Recorder(synapses, ["w", "epoch"], name=f"{name}_weights"))
        axes = (f"{name}_pre", f"{name}_post")
        recorded.append(Recorded(f"w_{name}", f"{name}_weights.w", "weights", axes, synapses.shape, along="snapshot"))
    return recorded


def make_model(name, parameters, images, trials, nodes, groups, recorded, *, fixed, values, seed, threads):
    """The model whose schedule is a loop of epochs: all training batches, then all test batches.

    Parameters
    ----------
    name : str
    parameters : Learning
    images : Images
    trials : pair of list of Event and Phase
        Nodes of a training batch, and of a test batch.
    nodes : dict of str to list
    groups, recorded, fixed, values, seed
        See `neuroplast.model.Model`.
    threads : int

    Returns
    -------
    Model
        ``run(epochs)``.
    """
    counts, (trial, test) = passes(parameters.batch, 1, images), trials
    epoch = [
        Loop("trial", counts["trial"], trial),
        Event("trained", nodes["trained"]),
        Loop("tests", counts["tests"], test, counter="trial"),
        Event("epoch_end", nodes["epoch_end"]),
    ]
    schedule = Schedule([Loop("epoch", 1, epoch), Event("final", nodes["final"])])
    simulation = Simulation(schedule, name=name, threads=threads, namespace={})
    return Model(
        simulation, groups, tuple(recorded), parameters, images, fixed, values, seed,
        partial(passes, parameters.batch), no_lengths, check_images,
    )  # fmt: skip


def forward_trials(parameters, nodes):
    """Nodes of a training batch and of a test batch of networks that see each image in one phase, ``forward``."""
    steps = parameters.steps("forward")
    trial = [
        Event("begin", nodes["begin"]),
        Phase("forward", nodes["forward"] + nodes["run"], steps),
        Event("learn", nodes["learn"] + nodes["end"]),
    ]
    test = [
        Event("test_begin", nodes["test_begin"]),
        Phase("test", nodes["test"], steps),
        Event("test_end", nodes["test_end"]),
    ]
    return trial, test


def passes(batch, epochs, images):
    """Counts of the schedule for a number of epochs; the last batch of an epoch may be partial."""
    return {"epoch": epochs, "trial": -(-len(images.train) // batch), "tests": -(-len(images.test) // batch)}


def no_lengths(images, counts):
    """All phases last as long as they are declared: for `neuroplast.model.Model`."""
    return {}


def check_images(name, ours, given):
    """Refuse other images than the model was built with.

    Raises
    ------
    InputError
    """
    if given is not ours:
        raise InputError(
            f"The model '{name}' was built with the images of {ours.name}. Build another one for those of {given.name}."
        )


def momentum_state(parameters, projections):
    """Initial constants of the projections that learn."""
    p = parameters
    at = [*sorted(map(int, p.decay_at)), *[np.iinfo(np.int32).max] * 3][:3]
    constants = {"momentum": p.momentum, "eta": p.eta, "decay": p.decay}
    constants |= dict(zip(("fall_1", "fall_2", "fall_3"), at, strict=True))
    return {f"{name}.{key}": value for name in projections for key, value in constants.items()}


def adam_state(eta, projections):
    """Initial constants of projections that learn with Adam, beside `eta` those that its authors recommend."""
    constants = {"eta": eta, **equations.ADAM_CONSTANTS}
    return {f"{name}.{key}": value for name in projections for key, value in constants.items()}


def he_uniform(rng, n_pre, n_post):
    """Weights drawn evenly between plus and minus sqrt(6/n_pre), presynaptic rows, rounded to single precision."""
    bound = np.sqrt(6 / n_pre)
    return rng.uniform(-bound, bound, (n_pre, n_post)).astype(np.float32).astype(float)
