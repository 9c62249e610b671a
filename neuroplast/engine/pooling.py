"""Maximum pooling: a neuron sends what the winner of its window sends, and what comes back reaches the winner alone."""

from __future__ import annotations

import numpy as np

from neuroplast.engine.fields import image_shape, pair
from neuroplast.engine.operations import NativeOperation, array_variable
from neuroplast.engine.population import batch_of
from neuroplast.errors import InputError


class MaxPooling:
    """Windows over the maps of a population, each with a neuron of another one.

    Its methods make operations for a schedule. `greatest` lets the windows' winners be sent on and keeps which they
    are; `of_winners` and `back` follow these gates, whatever the activities have become. Of equal activities the first
    wins, row by row. Windows lie inside the maps: what is left over at their ends is in none.

    Parameters
    ----------
    source, target : Population
        Of as many copies; the target has the integer variable `winner`.
    shape : tuple of int
        (channels, rows, columns) of the source's maps.
    size : int or (int, int)
        Rows and columns of a window.
    stride : int or (int, int), optional
        From one window to the next; they touch if it is not given.
    winner : str
        Variable of the target that keeps the neuron of the source that has won.
    name : str, optional

    Attributes
    ----------
    output : tuple of int
        (channels, rows, columns) of the target.

    Raises
    ------
    InputError
        If the populations have other sizes or copies, the window is larger than the maps, or there is no such variable.
    """

    def __init__(self, source, target, shape, size=2, stride=None, *, winner="winner", name=None):
        self.name = name or f"{target.name}_pooling"
        owner = f"MaxPooling '{self.name}'"
        self.source, self.target = source, target
        self.shape, self.size = image_shape(owner, shape), pair(owner, "size", size, 1)
        self.stride = self.size if stride is None else pair(owner, "stride", stride, 1)
        self.batch = batch_of(source)
        self.output = pooled(owner, self.shape, self.size, self.stride)
        if batch_of(target) != self.batch:
            raise InputError(
                f"{owner}: source and target should have the same batch size. Got {self.batch} and {batch_of(target)}."
            )
        for side, group, wanted in (("source", source, self.shape), ("target", target, self.output)):
            if len(group) != np.prod(wanted) * self.batch:
                raise InputError(
                    f"{owner}: its {side} has the shape (channels, rows, columns) = {wanted}, {np.prod(wanted)} "
                    f"neurons. Got a {side} of {len(group) // self.batch}."
                )
        self.winner = target.variables.get(winner)
        if self.winner is None or self.winner.scalar or self.winner.dtype != np.int32:
            raise InputError(
                f"{owner}: '{winner}' should be an integer variable of '{target.name}'. Add '{winner} : integer' to "
                "its equations."
            )

    def greatest(self, variable, into, **place):
        """Operation: the greatest activity of each window into a variable of the target, and whose it is.

        Parameters
        ----------
        variable, into : str
            Of the source, of the target.
        **place
            ``when``, ``order`` and ``name`` of the operation.

        Raises
        ------
        InputError
            For a variable that a population has not got.
        """

        def twin(z, out, winner):
            places = self.places()
            seen = z[places]
            best = seen.argmax(axis=0)
            out[...] = np.take_along_axis(seen, best[None], 0)[0]
            winner[...] = places[best, np.arange(len(out))[:, None]]

        return self._operation("greatest", self.source, variable, self.target, into, twin, place, decides=True)

    def of_winners(self, variable, into, **place):
        """Operation: what the windows' winners have of another variable, into one of the target; see `greatest`."""

        def twin(z, out, winner):
            out[...] = np.take_along_axis(z, winner, 0)

        return self._operation("of_winners", self.source, variable, self.target, into, twin, place)

    def back(self, variable, into, **place):
        """Operation: from the target to the winners of the source, to all others 0; see `greatest`."""

        def twin(z, out, winner):
            out[...] = 0
            np.add.at(out, (winner, np.arange(self.batch)[None]), z)

        return self._operation("back", self.target, variable, self.source, into, twin, place)

    def places(self):
        """Neurons of the source in each window, shape (window's places, neurons of the target)."""
        neurons = np.arange(np.prod(self.shape)).reshape(self.shape)
        (down, across) = self.stride
        windows = np.lib.stride_tricks.sliding_window_view(neurons, self.size, axis=(1, 2))[:, ::down, ::across]
        return windows.reshape(np.prod(self.output), -1).T

    def _operation(self, function, source, variable, target, into, twin, place, decides=False):
        name = place.pop("name", None) or f"{self.name}_{function}_{into}"
        z, out = array_variable(name, source, variable), array_variable(name, target, into)
        if z.dim != out.dim:
            raise InputError(f"'{name}': '{variable}' and '{into}' should have the same units.")
        numbers = (*self.shape, *self.size, *self.stride, *self.output[1:], self.batch)
        parts = [
            (v, getattr(g, "start", 0), len(g)) for v, g in ((z, source), (out, target), (self.winner, self.target))
        ]

        def cpp(pointer):
            arrays = ", ".join(f"{pointer(v)} + {start}" for v, start, _ in parts)
            return f"pool_{function}(Windows{{{', '.join(map(str, numbers))}}}, {arrays});"

        def numpy(value):
            twin(*(value(v)[start : start + size].reshape(-1, self.batch) for v, start, size in parts))

        reads, writes = [z], [out]
        (writes if decides else reads).append(self.winner)
        return NativeOperation(name, cpp=cpp, numpy=numpy, reads=reads, writes=writes, **place)


def pooled(owner, shape, size, stride):
    """Shape (channels, rows, columns) of what windows make of maps.

    Raises
    ------
    InputError
        If a window is larger than the maps.
    """
    if any(window > there for window, there in zip(size, shape[1:], strict=True)):
        raise InputError(
            f"{owner}: a window of {size[0]} x {size[1]} does not fit into maps of {shape[1]} x {shape[2]}."
        )
    rows = zip(shape[1:], size, stride, strict=True)
    return (shape[0], *((there - window) // step + 1 for there, window, step in rows))
