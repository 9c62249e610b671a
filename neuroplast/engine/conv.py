"""`ConvSynapses`: synapses that share kernels, lowered to patches and the same matrix products as dense ones."""

from __future__ import annotations

import numpy as np

from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.fields import ReceptiveField
from neuroplast.engine.population import Population
from neuroplast.errors import InputError


class ConvSynapses(DenseSynapses):
    """Synapses from the neurons of an image onto those of maps, in each of which all have the same receptive field.

    Equations are those of `DenseSynapses`: ``(summed)`` variables onto post- or presynaptic neurons, `accumulate`,
    `run_regularly`, ODEs of the weights. The weight of a synapse follows from its offset, the place of its presynaptic
    neuron within the field of its postsynaptic one: a synaptic variable is a matrix (offsets, channels), see
    `ReceptiveField`, and each of its elements belongs to all positions of the kernel as to all copies of a batch.
    `accumulate` sums over both; ``positions``, their number, can be read in equations, for means.

    Parameters
    ----------
    source, target : Population or a slice of one
        Neurons of the image and of the maps: ``field.inputs`` and ``field.outputs``.
    model : str or Equations
    field : ReceptiveField
    order, **kwargs
        See `DenseSynapses`.

    Raises
    ------
    InputError
        As `DenseSynapses`; if the populations have other sizes than the field; for sums that are no products of a
        presynaptic, a synaptic and a postsynaptic factor, for a mask and for sums over tapes.
    """

    def __init__(self, source, target, model=None, *, field, order=0, **kwargs):
        owner = f"ConvSynapses '{kwargs.get('name', 'synapses')}'"
        if "mask" in kwargs:
            raise InputError(f"{owner}: the field says which pairs are connected. Leave out mask.")
        if not isinstance(field, ReceptiveField):
            raise InputError(f"{owner}: field should be a ReceptiveField. Got a {type(field).__name__}, {field!r}.")
        self.field = field
        for side, group in (("source", source), ("target", target)):
            if not isinstance(getattr(group, "source", group), Population):
                raise InputError(f"{owner}: the {side} should be a Population or a slice of one. Got {group!r}.")
        super().__init__(source, target, model, order=order, **kwargs)
        if "positions" in self.variables:
            raise InputError(
                f"{owner}: positions is the number of a kernel's positions. Give the variable another name."
            )
        self.variables.add_constant("positions", value=field.positions)

    def _matrix(self, owner, n_pre, n_post):
        field = self.field
        for side, number, wanted, shape in (
            ("source", n_pre, field.inputs, field.shape),
            ("target", n_post, field.outputs, field.output),
        ):
            if number != wanted:
                raise InputError(
                    f"{owner}: the field's {side} has the shape (channels, rows, columns) = {shape}, {wanted} neurons. "
                    f"Got a {side} of {number}."
                )
        if self.sharing == 1:
            raise InputError(
                f"{owner}: a kernel of one position without a batch is shared by nothing. Use DenseSynapses."
            )
        return field.offsets, field.channels

    @property
    def sharing(self):
        """How many pairs of neurons have the same weight: one at each position, in each copy."""
        return self.field.positions * self.batch

    @property
    def shapes(self):
        """Matrices of each side's activity, and of a synaptic variable."""
        return {"pre": (self.field.inputs, self.batch), "post": (self.shape[1], self.sharing), "syn": self.shape}

    def pairs(self):
        """Neurons of each synapse, of which there are many: Brian2 gets one."""
        offset, channel = super().pairs()
        return np.minimum(offset, self.field.inputs - 1), channel

    def geometry(self):
        """Sizes for the templates, see `DenseSynapses.geometry`."""
        field = self.field
        numbers = (*field.shape, *field.kernel, *field.stride, *field.padding, *field.map)
        return {**super().geometry(), "_field": ", ".join(map(str, numbers))}

    def _template(self, operation, blocks, expression):
        if not blocks:
            raise InputError(
                f"{self.title}: '{expression}' is no sum of products of a presynaptic, a synaptic and a postsynaptic "
                "factor, which is what shared kernels can sum, such as 'w*r_pre'. Take the rest into the populations."
            )
        return f"conv_{operation}"

    def accumulate(self, variable, expression, *, over=None, **kwds):
        """Sum an expression over copies and positions; see `DenseSynapses.accumulate`.

        Raises
        ------
        InputError
            As there; and for `over`, since tapes are not summed over positions.
        """
        if over is not None:
            raise InputError(f"{self.title}: accumulate cannot sum over a tape. Leave out over=.")
        return super().accumulate(variable, expression, **kwds)
