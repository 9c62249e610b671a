"""Sums over sums, taken in the order that costs least: W (F e), whose F comes from few neurons, as (W F) e."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2.synapses.synapses import SummedVariableUpdater

from neuroplast.engine.operations import NativeOperation, access_of

#: The product of both matrices has to save this part of the multiplications: small products are slower ones.
SAVED = 0.5


@dataclass(frozen=True)
class Product:
    """A sum over a batch that is the product of a weight and an activity, both variables as they stand.

    Attributes
    ----------
    weight, activity, target : ArrayVariable
        Of shapes (pre, post), (pre, batch) and (post, batch), the latter two from `start` and `place` on.
    pre, post, batch, start, place : int
    """

    weight: Any
    activity: Any
    target: Any
    pre: int
    post: int
    batch: int
    start: int
    place: int

    def feeds(self, other):
        """Whether the other one sums over what this one has summed."""
        same = self.target is other.activity and self.place == other.start
        return same and (self.post, self.batch) == (other.pre, other.batch)

    def saves(self, other):
        """Whether both weights should be multiplied first."""
        first = self.pre * other.post * (other.pre + self.batch)
        return first < (1 - SAVED) * other.pre * other.post * other.batch


def shorten(nodes):
    """Operations of each node, with sums over sums taken in the cheaper order.

    A sum W (F e) is exchanged if the sum F e stands before it in the node and nothing between them writes F, e or
    F e. What F e is summed into is still there: only who sums over it next is spared.

    Parameters
    ----------
    nodes : dict of str to list
        Sorted operations of each node.

    Returns
    -------
    dict of str to list
    """
    made = {}
    return {
        name: [_shortened(operations, place, made) for place in range(len(operations))]
        for name, operations in nodes.items()
    }


def _shortened(operations, place, made):
    """The operation at a place of a node, or what stands for it."""
    operation = operations[place]
    second = _product(operation)
    for earlier in range(place - 1, -1, -1) if second is not None else ():
        first = _product(operations[earlier])
        if first is None or not first.feeds(second):
            continue
        used, between = {first.weight, first.activity, first.target}, operations[earlier + 1 : place]
        if not first.saves(second) or any(access_of(other).writes & used for other in between):
            break
        name = f"{operation.name}_of_{operations[earlier].name}"
        return made.setdefault(name, _chain(name, first, second))
    return operation


def _product(operation):
    """The operation as `Product`, or None."""
    if not isinstance(operation, SummedVariableUpdater) or operation.template != "dense_product":
        return None
    kwds, (term, *others) = operation.template_kwds, operation.template_kwds["_terms"]
    plain = all(factor is not None and factor[0] == "variable" for factor in (term["syn"], term["pre"]))
    if others or kwds["_onto"] != "post" or not plain or term["post"] or term["scale"]:
        return None
    weight, activity = (operation.group.variables[term[kind][1]] for kind in ("syn", "pre"))
    places = (kwds[name] for name in ("_n_pre", "_n_post", "_batch", "_pre_start", "_target_start"))
    return Product(weight, activity, operation.target_var, *places)


def _chain(name, first, second):
    """The second sum, as an operation."""
    size = first.pre * second.post
    kind = "double" if second.weight.dtype == np.float64 else "float"

    def cpp(pointer):
        f, w, e = pointer(first.weight), pointer(second.weight), f"{pointer(first.activity)} + {first.start}"
        return (
            f"static {kind}* const both = new {kind}[{size}];\n"
            f"gemm<{kind}>(false, false, {first.pre}, {second.post}, {second.pre}, 1, {f}, {second.pre}, {w}, "
            f"{second.post}, 0, both, {second.post});\n"
            f"gemm<{kind}>(true, false, {second.post}, {second.batch}, {first.pre}, 1, both, {second.post}, {e}, "
            f"{second.batch}, 0, {pointer(second.target)} + {second.place}, {second.batch});"
        )

    reads = [first.weight, first.activity, second.weight]
    return NativeOperation(name, cpp=cpp, numpy=None, reads=reads, writes=[second.target], blas=True)
