"""A layer of filters with maximum pooling in loops over images, positions and windows, and plain numpy.

Written from spec and papers, apart from the package: kernels are (filters, channels, rows, columns), the readout is
(classes, pooled neurons), one image (channels, rows, columns) at a time. Pooled neurons are counted filter by filter,
row by row.
"""

from itertools import product

import numpy as np


def softmax(a):
    made = np.exp(a - a.max())
    return made / made.sum()


def relu(a):
    return np.where(a > 0, a, 0.0)


def convolve(kernels, x, padding):
    """Currents of the maps."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    size = kernels.shape[-1]
    rows, columns = (n - size + 1 for n in padded.shape[1:])
    maps = np.empty((len(kernels), rows, columns))
    for k, r, c in product(*map(range, maps.shape)):
        maps[k, r, c] = (kernels[k] * padded[:, r : r + size, c : c + size]).sum()
    return maps


def correlate(change, x, size, padding):
    """Sum over positions of a change of the map times what the position sees: as large as the kernels."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    made = np.zeros((len(change), len(x), size, size))
    for k, r, c in product(*map(range, change.shape)):
        made[k] += change[k, r, c] * padded[:, r : r + size, c : c + size]
    return made


def pool(maps, size):
    """Maxima of the windows, and where they are."""
    filters, rows, columns = maps.shape
    values, places = [], []
    for k, r, c in product(range(filters), range(rows // size), range(columns // size)):
        window = maps[k, r * size : (r + 1) * size, c * size : (c + 1) * size]
        i, j = np.unravel_index(window.argmax(), window.shape)
        values.append(window[i, j])
        places.append((k, r * size + i, c * size + j))
    return np.array(values), places


def forward(kernels, readout, x, padding, size, phi=relu, biases=(0, 0)):
    """Currents and responses of the maps, maxima and their places, currents of the outputs."""
    currents = convolve(kernels, x, padding) + np.reshape(biases[0], (-1, 1, 1))
    maps = phi(currents)
    pooled, places = pool(maps, size)
    return currents, maps, pooled, places, readout @ pooled + biases[1]


def pepita(kernels, readout, F, images, targets, padding, size, script=False, frozen=False):
    """Mean gradients of a batch by two passes, F is (inputs, classes): of the paper, or of the authors' script."""
    total = [np.zeros_like(kernels), np.zeros_like(readout)]
    for x, t in zip(images, targets, strict=True):
        _, first, pooled, _, out = forward(kernels, readout, x, padding, size)
        e = softmax(out) - t
        if frozen:
            total[1] += np.outer(e, pooled)
            continue
        shifted = x + (F @ e).reshape(x.shape)
        _, second, pooled, _, out = forward(kernels, readout, shifted, padding, size)
        mean = correlate(first - second, shifted, kernels.shape[-1], padding) / first[0].size
        total[0] += -mean / len(images) if script else mean
        total[1] += np.outer(e if script else softmax(out) - t, pooled)
    return [g / len(images) for g in total]


def backward(kernels, readout, images, targets, padding, size, bring):
    """Mean gradients of a batch by errors that go back: ``bring(e, t)`` is what comes to the windows."""
    total = [np.zeros_like(kernels), np.zeros_like(readout)]
    for x, t in zip(images, targets, strict=True):
        currents, maps, pooled, places, out = forward(kernels, readout, x, padding, size)
        e = softmax(out) - t
        delta = np.zeros_like(maps)
        for place, credit in zip(places, bring(e, t), strict=True):
            delta[place] = credit * (currents[place] > 0)
        total[0] += correlate(delta, x, kernels.shape[-1], padding)
        total[1] += np.outer(e, pooled)
    return [g / len(images) for g in total]
