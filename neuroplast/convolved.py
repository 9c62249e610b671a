"""What convolutional networks that learn to tell images apart have in common.

Images, maps of filters that all positions share, a maximum over small windows, outputs: a model writes the equations;
here are their sizes and constants. How images, rules, momentum and counting are tied to them is in
`neuroplast.layered`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroplast.engine import MaxPooling, Population, ReceptiveField
from neuroplast.engine.pooling import pooled
from neuroplast.layered import Learning
from neuroplast.parameters import parameter

#: Neurons that take the maximum of a window. Responses rise with potentials: the greatest response is that of the
#: greatest potential.
POOLED = """
v : 1                                       # the greatest potential of the window
winner : integer                            # the neuron that has it
"""
#: What is compiled in besides what the models name.
FIXED = ("batch", "dt", "shuffle", "filters", "kernel", "stride", "padding", "pool")


@dataclass(frozen=True)
class Maps(Learning):
    """Constants of a network of one layer of filters, which learns from batches with momentum."""

    batch: int = parameter(100, "images that are presented side by side, to copies that share the weights", least=1)
    decay_at: tuple = parameter((10, 30, 50), "epochs after which the rate falls, at most three", least=0, like=60)
    filters: int = parameter(32, "filters, each with a map of its own", least=1)
    kernel: int = parameter(5, "rows and columns that a filter sees", least=1)
    stride: int = parameter(1, "pixels from one position of a filter to the next", least=1)
    padding: int = parameter(0, "zeros around the image", least=0)
    pool: int = parameter(2, "rows and columns of the windows whose maximum is taken", least=1)

    def field(self, images):
        """What each neuron of the maps sees of an image.

        Raises
        ------
        InputError
            If a filter does not fit into the images.
        """
        return ReceptiveField(images.shape, self.filters, self.kernel, self.stride, self.padding)

    def windows(self, images):
        """Shape (filters, rows, columns) of the maps' maxima.

        Raises
        ------
        InputError
            If a window does not fit into the maps.
        """
        return pooled("pool", self.field(images).output, (self.pool, self.pool), (self.pool, self.pool))


def pool(maps, parameters, images, text):
    """The population of the maps' maxima, and its windows."""
    size = int(np.prod(parameters.windows(images)))
    neurons = Population(size, text, batch=parameters.batch, name="pooled")
    return neurons, MaxPooling(maps, neurons, parameters.field(images).output, parameters.pool, name="pool")


def weights_to_state(parameters, images, kernels, readout):
    """State variables for weights as other libraries have them, to be given as ``state=``.

    Parameters
    ----------
    parameters : Maps
    images : Images
    kernels : array_like, shape (filters, channels, kernel, kernel)
    readout : array_like, shape (classes, pooled neurons)

    Returns
    -------
    dict of str to array
    """
    return {"w1.w": parameters.field(images).to_matrix(kernels), "w2.w": np.transpose(readout)}
