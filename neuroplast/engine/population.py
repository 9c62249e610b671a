"""`Population`: a Brian2 `NeuronGroup` that knows batches and the schedule's integers."""

from __future__ import annotations

import numpy as np
from brian2 import NeuronGroup, Subgroup
from brian2.core.variables import LinkedVariable

from neuroplast.engine.active import active_device
from neuroplast.engine.messages import explained, integer, whole_number
from neuroplast.errors import InputError


class Population(NeuronGroup):
    """A `NeuronGroup` of ``N`` neurons, each in ``batch`` independent copies.

    Equations are Brian2's. They can read the schedule's integers (``trial``, ``epoch``, ``k``, ``n_steps``,
    ``n_valid``, ``tick``) like shared parameters, and ``feature`` and ``copy``, a neuron's place in its batch
    (``i`` and ``N`` count all copies).

    Parameters
    ----------
    N : int
        Number of neurons (features).
    model : str or Equations
        Brian2 equations.
    batch : int, optional
        Number of copies that share the weights. Copy ``b`` of neuron ``i`` has index ``i*batch + b``,
        so that a slice of neurons is contiguous.
    order : int, optional
        Place within Brian2's slot ``groups``; always give it where several objects act in one step.
    **kwargs
        Everything else that `brian2.NeuronGroup` takes.

    Raises
    ------
    InputError
        If `N` or `batch` is no positive integer, or for what Brian2 refuses.
    """

    def __init__(self, N, model, *, batch=1, order=0, **kwargs):
        device = active_device()
        owner = f"Population '{kwargs.get('name', 'population')}'"
        self.features = whole_number(owner, "N", N, 1)
        self.batch = whole_number(owner, "batch", batch, 1)
        self.text = str(model)  # with its comments, which say what each variable is
        try:
            super().__init__(self.features * self.batch, model, order=integer(owner, "order", order), **kwargs)
        except Exception as error:
            self._network = "none"  # Brian2 warns of objects that were in no network
            raise explained(owner, error, code=str(model)) from error
        reserved = sorted({"batch", "copy", "feature"} & set(self.equations))
        if reserved:
            raise InputError(
                f"{owner}: {', '.join(reserved)} means the place in the batch. Give the variable another name."
            )
        self._network = "a schedule's"  # Brian2 warns of objects that were in no network of its own
        self.variables.add_constant("batch", value=self.batch)
        self.variables.add_subexpression("copy", expr="i % batch", dtype=np.int32)
        self.variables.add_subexpression("feature", expr="i // batch", dtype=np.int32)
        device.counters.join(self)

    def __setattr__(self, key, value, level=0):
        """Set a variable, or link one: ``spiking.h = linked_var(network, "h")``."""
        if not isinstance(value, LinkedVariable):
            return super().__setattr__(key, value, level + 1)
        try:
            return super().__setattr__(key, value, level + 1)
        except Exception as error:
            raise explained(f"Population '{self.name}'", error) from error

    def __getitem__(self, item):
        """Subgroup of neurons: ``population[2:5]`` holds neurons 2, 3, 4 with all their copies."""
        return self.part(item, 0, self.features)

    def part(self, item, first, count):
        """Subgroup of a part of the population: a slice of `count` neurons that begin with neuron `first`."""
        if not isinstance(item, slice):
            raise InputError(f"Population '{self.name}': only slices give a subgroup. Got {item!r}.")
        start, stop, step = item.indices(count)
        if step != 1 or start >= stop:
            raise InputError(
                f"Population '{self.name}', {count} neurons: a subgroup should be a contiguous, non-empty slice. Got "
                f"{item!r}."
            )
        return PopulationSlice(self, (first + start) * self.batch, (first + stop) * self.batch)


class PopulationSlice(Subgroup):
    """Neurons of a `Population` that follow one another, with all their copies."""

    def __getitem__(self, item):
        """Subgroup of the subgroup; counts neurons from its first."""
        batch = self.source.batch
        return self.source.part(item, self.start // batch, len(self) // batch)


def batch_of(group):
    """Number of copies per neuron of a population or of a subgroup of one (1 for a plain NeuronGroup)."""
    return getattr(getattr(group, "source", group), "batch", 1)
