"""Trained nets of modules that are shown some images and looked at, without learning from them.

At dt = tau, or at smaller steps: the same equations, whatever the program in which the net has learned.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuroplast.data import Images
from neuroplast.errors import InputError
from neuroplast.models import adjoint
from neuroplast.protocols._modules import Common
from neuroplast.recording import as_records


def model(p: Common, images: Images, record, run, **constants):
    """Model in double precision that shows all images at once, once, and does not learn.

    Parameters
    ----------
    p : Common
    images : Images
        From `shown`.
    record : sequence of str
        For its ``build``; what ``--record`` asks for besides is added.
    run : neuroplast.experiment.Run
    **constants
        Parameters of `neuroplast.models.adjoint`, if not its own.
    """
    ours = as_records(record)
    asked = [each for each in run.record if each.name not in {item.name for item in ours}]
    still = {"block": p.block, "batch": len(images.train), "eta": 0.0, "optimiser": "sgd", "shuffle": False}
    chosen = adjoint.Parameters(**still | constants)
    return adjoint.build(chosen, images, record=[*ours, *asked], target=run.target, dtype="float64")


def currents(state, x, p: Common, modules: int, iterations: int = 8) -> list:
    """What modules in a row are clamped to by images, once those below have relaxed.

    Parameters
    ----------
    state : dict of str to array
        Of a net of `neuroplast.models.adjoint` with roles that are not merged.
    x : array, shape (images, features)
    p : Common
    modules : int
    iterations : int
        Of each module, at dt = tau.

    Returns
    -------
    list of array, shape (images, neurons)
    """
    found, sent, n = [], x, 4 * p.block
    for i in range(modules):
        w = np.reshape(state["w_in.w" if i == 0 else f"w{i}.w"], (sent.shape[1], p.block)).astype(float)
        found.append(np.pad(sent @ w, ((0, 0), (0, n - p.block))))
        z, recurrent = np.zeros((len(x), n)), recurrent_of(state, i + 1, p)
        for _ in range(iterations):
            z = np.tanh(z @ recurrent + found[-1])
        sent = z[:, p.block : 2 * p.block]
    return found


def recurrent_of(state, module: int, p: Common):
    """Recurrent weights of a module, presynaptic rows."""
    return np.reshape(state[f"rec_module{module}.w"], (4 * p.block, 4 * p.block)).astype(float)


def shown(images: Images, numbers: Sequence[int]) -> Images:
    """Some test images as a data set of their own, in training and test.

    Raises
    ------
    InputError
        If there are not so many.
    """
    if max(numbers) >= len(images.test):
        raise InputError(f"There are {len(images.test)} test images, counted from 0. Got number {max(numbers)}.")
    chosen, labels = images.test[list(numbers)], images.test_labels[list(numbers)]
    return replace(images, train=chosen, train_labels=labels, test=chosen, test_labels=labels)


def weights(state) -> dict:
    """What a net has learned or was born with: to be given to another one of the same structure."""
    return {name: values for name, values in state.items() if name.endswith((".w", ".f"))}
