"""`Population`: a Brian2 `NeuronGroup` that knows batches and the schedule's integers."""

from __future__ import annotations

import numpy as np
from brian2 import NeuronGroup

from neuroplast.engine.targets import active_device
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
        If `N` or `batch` is no positive integer.
    """

    def __init__(self, N, model, *, batch=1, order=0, **kwargs):
        for label, value in (("N", N), ("batch", batch)):
            if int(value) != value or value < 1:
                name = kwargs.get("name", "population")
                raise InputError(f"Population '{name}': {label} should be a positive integer. Got {value!r}.")
        self.features = int(N)
        self.batch = int(batch)
        super().__init__(self.features * self.batch, model, order=order, **kwargs)
        self._network = "a schedule's"  # Brian2 warns of objects that were in no network of its own
        self.variables.add_constant("batch", value=self.batch)
        self.variables.add_subexpression("copy", expr="i % batch", dtype=np.int32)
        self.variables.add_subexpression("feature", expr="i // batch", dtype=np.int32)
        active_device().counters.join(self)

    def __getitem__(self, item):
        """Subgroup of neurons: ``population[2:5]`` holds neurons 2, 3, 4 with all their copies."""
        if not isinstance(item, slice):
            raise InputError(f"Population '{self.name}': only slices give a subgroup. Got {item!r}.")
        start, stop, step = item.indices(self.features)
        if step != 1 or start >= stop:
            raise InputError(
                f"Population '{self.name}' of {self.features} neurons: a subgroup should be a contiguous, "
                f"non-empty slice. Got {item!r}."
            )
        return super().__getitem__(slice(start * self.batch, stop * self.batch))


def batch_of(group):
    """Number of copies per neuron of a population or of a subgroup of one (1 for a plain NeuronGroup)."""
    return getattr(getattr(group, "source", group), "batch", 1)
