"""Which neurons see which: receptive fields of shared kernels, and windows of pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroplast.engine.messages import whole_number
from neuroplast.errors import InputError


@dataclass(frozen=True)
class ReceptiveField:
    """What part of an image each neuron of a map sees, with a kernel that all positions share.

    Neurons are counted as pixels in `neuroplast.data.Images`: channel after channel, each row by row. A kernel's
    weights are a matrix with a row for each offset, a pair of input channel and place in the kernel, and a column for
    each output channel: as in `DenseSynapses` presynaptic rows and postsynaptic columns, and as a matrix product takes
    them. `to_matrix` and `to_kernels` convert from and to the (output channels, input channels, rows, columns) of
    other libraries.

    Attributes
    ----------
    shape : tuple of int
        (channels, rows, columns) of the image.
    channels : int
        Of the output: kernels, each with a map of its own.
    kernel, stride, padding : int or (int, int)
        Rows and columns of a kernel, of the steps from one position to the next, and of zeros around the image.

    Raises
    ------
    InputError
        If a number is no whole one that makes sense, or the kernel is larger than the image with its padding.
    """

    shape: tuple
    channels: int
    kernel: int | tuple
    stride: int | tuple = 1
    padding: int | tuple = 0

    def __post_init__(self):
        owner = type(self).__name__
        object.__setattr__(self, "shape", image_shape(owner, self.shape))
        whole_number(owner, "channels", self.channels, 1)
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, pair(owner, name, getattr(self, name), least))
        available = [size + 2 * around for size, around in zip(self.shape[1:], self.padding, strict=True)]
        if any(k > size for k, size in zip(self.kernel, available, strict=True)):
            raise InputError(
                f"{owner}: a kernel of {self.kernel[0]} x {self.kernel[1]} does not fit into an image of "
                f"{self.shape[1]} x {self.shape[2]} with padding {self.padding}. Take a smaller kernel or more padding."
            )

    @property
    def output(self):
        """Shape of what it maps onto: (channels, rows, columns)."""
        return (self.channels, *self.map)

    @property
    def map(self):
        """(rows, columns) of positions."""
        sizes = zip(self.shape[1:], self.padding, self.kernel, self.stride, strict=True)
        return tuple((size + 2 * around - k) // step + 1 for size, around, k, step in sizes)

    @property
    def positions(self):
        """Number of positions, which share each weight."""
        return self.map[0] * self.map[1]

    @property
    def inputs(self):
        """Number of neurons of the image."""
        return int(np.prod(self.shape))

    @property
    def outputs(self):
        """Number of neurons of all maps."""
        return self.channels * self.positions

    @property
    def offsets(self):
        """Number of weights of a kernel: what a neuron of a map gets sums over."""
        return self.shape[0] * self.kernel[0] * self.kernel[1]

    def to_matrix(self, kernels):
        """Matrix (offsets, channels) of kernels (channels, input channels, rows, columns).

        Raises
        ------
        InputError
            If they have another shape.
        """
        kernels, shape = np.asarray(kernels), (self.channels, self.shape[0], *self.kernel)
        if kernels.shape != shape:
            raise InputError(
                f"kernels should have shape (channels, input channels, rows, columns) = {shape}. Got {kernels.shape}."
            )
        return kernels.reshape(self.channels, self.offsets).T

    def to_kernels(self, matrix):
        """Kernels (channels, input channels, rows, columns) of a matrix (..., offsets, channels), or of several."""
        matrix = np.asarray(matrix)
        turned = np.swapaxes(matrix, -1, -2)
        return turned.reshape(*matrix.shape[:-2], self.channels, self.shape[0], *self.kernel)

    # -- the numpy target ------------------------------------------------------------------------------------

    def patches(self, image):
        """What each position sees.

        Parameters
        ----------
        image : array, shape (inputs, copies)

        Returns
        -------
        array, shape (offsets, positions*copies)
        """
        image = np.reshape(image, (*self.shape, -1))
        (around_rows, around_columns), (down, across) = self.padding, self.stride
        padded = np.pad(image, ((0, 0), (around_rows, around_rows), (around_columns, around_columns), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, axis=(1, 2))[:, ::down, ::across]
        return windows.transpose(0, 4, 5, 1, 2, 3).reshape(self.offsets, -1)

    def spread(self, patches):
        """The reverse: sums, for each neuron of the image, over all patches that it is part of.

        Parameters
        ----------
        patches : array, shape (offsets, positions*copies)

        Returns
        -------
        array, shape (inputs, copies)
        """
        (channels, rows, columns), (around_rows, around_columns) = self.shape, self.padding
        (down, across), (high, wide) = self.stride, self.map
        patches = np.reshape(patches, (channels, *self.kernel, high, wide, -1))
        padded = np.zeros((channels, rows + 2 * around_rows, columns + 2 * around_columns, patches.shape[-1]))
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                padded[:, row : row + down * high : down, column : column + across * wide : across] += patches[
                    :, row, column
                ]
        inner = padded[:, around_rows : around_rows + rows, around_columns : around_columns + columns]
        return inner.reshape(self.inputs, -1).astype(patches.dtype)


def image_shape(owner, shape):
    """(channels, rows, columns) as a tuple of int.

    Raises
    ------
    InputError
        If it is none.
    """
    if not isinstance(shape, tuple | list | np.ndarray) or len(shape) != 3:
        raise InputError(f"{owner}: shape should be (channels, rows, columns) of an image. Got {shape!r}.")
    names = ("channels", "rows", "columns")
    return tuple(whole_number(owner, f"{n} of shape", size, 1) for n, size in zip(names, shape, strict=True))


def pair(owner, name, value, least):
    """(rows, columns) of one number for both or of two.

    Raises
    ------
    InputError
        If they are no whole numbers from `least` on.
    """
    values = value if isinstance(value, tuple | list | np.ndarray) else (value, value)
    if len(values) != 2:
        raise InputError(f"{owner}: {name} should be one number, or (of rows, of columns). Got {value!r}.")
    return tuple(whole_number(owner, name, one, least) for one in values)
