"""Layered networks in loops over images and plain numpy, with PEPITA's two passes and the errors that go back.

Written from spec and papers, apart from the package: matrices are (postsynaptic, presynaptic), one image at a time.
"""

import numpy as np


def relu(a):
    return np.where(a > 0, a, 0.0)


def softmax(a):
    made = np.exp(a - a.max())
    return made / made.sum()


def forward(weights, x, masks, phi=relu):
    """Potentials and responses of every layer; the response of the last is its potential."""
    potentials, responses = [], [x]
    for layer, w in enumerate(weights):
        a = w @ responses[-1]
        potentials.append(a)
        responses.append(phi(a) * masks[layer] if layer < len(masks) else a)
    return potentials, responses


def pepita(weights, F, images, targets, masks, variant="pepita", noise=None, np_compat=False):
    """Mean gradients of a batch by two passes; F is (inputs, outputs), masks[layer] is (images, neurons)."""
    total = [np.zeros_like(w) for w in weights]
    for b, (x, t) in enumerate(zip(images, targets, strict=True)):
        mask = [m[b] for m in masks]
        _, first = forward(weights, x, mask)
        e = softmax(first[-1]) - t
        if variant == "frozen_hidden":
            total[-1] += np.outer(e, first[-2])
            continue
        sent = {"error_sign": 0.1 * np.sign(e)}.get(variant, e)
        shifted = x + noise[b] if variant == "random_perturbation" else x + F @ sent
        _, second = forward(weights, shifted, mask)
        e_m = softmax(second[-1]) - t
        before = first if variant == "pepita_standard" else second
        for layer in range(len(weights) - 1):
            change = first[layer + 1] - second[layer + 1]
            change = change * mask[layer] if np_compat else change
            total[layer] += np.outer(change, before[layer])
        total[-1] += np.outer(e_m, before[-2])
    return [g / len(images) for g in total]


def backward(weights, images, targets, masks, bring):
    """Mean gradients of a batch by errors that go back: ``bring(layer, delta, e, t)`` is what comes to a layer."""
    total = [np.zeros_like(w) for w in weights]
    for b, (x, t) in enumerate(zip(images, targets, strict=True)):
        mask = [m[b] for m in masks]
        potentials, responses = forward(weights, x, mask)
        e = delta = softmax(potentials[-1]) - t
        total[-1] += np.outer(delta, responses[-2])
        for layer in range(len(weights) - 2, -1, -1):
            delta = bring(layer, delta, e, t) * (potentials[layer] > 0) * mask[layer]
            total[layer] += np.outer(delta, responses[layer])
    return [g / len(images) for g in total]


def loss(weights, images, targets, masks):
    """Mean cross entropy of a batch."""
    found = 0.0
    for b, (x, t) in enumerate(zip(images, targets, strict=True)):
        potentials, _ = forward(weights, x, [m[b] for m in masks])
        found -= np.log(softmax(potentials[-1])) @ t
    return found / len(images)
