"""Take out of a sweep over synapses what depends on one neuron only."""

from __future__ import annotations

import ast
from copy import copy

from brian2.codegen.statements import Statement
from brian2.core.functions import Function
from brian2.parsing.rendering import NodeRenderer
from brian2.utils.stringtools import get_identifiers

_SIDES = {"_presynaptic_idx": "pre", "_postsynaptic_idx": "post"}


class Hoister(ast.NodeTransformer):
    """Split the statements of a sweep into those per presynaptic neuron, per postsynaptic neuron and per synapse.

    A call such as ``tanh(u_post)`` inside a sweep would be evaluated once per synapse. Statements and costly
    subexpressions that read variables of one side only are evaluated once per neuron into a buffer instead.

    Parameters
    ----------
    variables, indices : dict
        Brian2 variables by name, and the index that each is read with.
    dtype : numpy dtype
        Of the new values.

    Attributes
    ----------
    pre, post, inner : list of Statement
        The split; `pre` and `post` hold only definitions of new constants.
    """

    def __init__(self, variables, indices, dtype):
        self.variables, self.indices, self.dtype = variables, indices, dtype
        self.pre, self.post, self.inner = [], [], []
        self._side = {}  # of names defined by hoisted statements
        self._local = set()  # names that statements of the sweep define

    def split(self, statements):
        """Distribute `statements` over `pre`, `post` and `inner`."""
        for statement in statements:
            side = self._side_of(get_identifiers(statement.expr))
            # A sum of one side's values alone stays in the sweep, which adds it up.
            summed = statement.var.startswith("_synaptic_")
            if side and statement.op == ":=" and statement.constant and not summed:
                getattr(self, side).append(statement)
                self._side[statement.var] = side
                continue
            if statement.used_boolean_variables is None or not len(statement.used_boolean_variables):
                tree = self.visit(ast.parse(statement.expr, mode="eval").body)
                statement = copy(statement)  # Brian2 keeps the original for the next code that is the same
                statement.expr = NodeRenderer().render_node(tree)
            if statement.op == ":=" or statement.var not in self.variables:
                self._local.add(statement.var)
            self.inner.append(statement)
        return self

    def values(self, side):
        """Names that the sweep reads from the buffers of one side."""
        used = set()
        for statement in self.inner:
            used |= get_identifiers(statement.expr)
        return [s.var for s in getattr(self, side) if s.var in used]

    def _side_of(self, names):
        """Side ("pre" or "post") that all of the names belong to, shared values aside, or None."""
        sides = set()
        for name in names:
            if name in self._side:
                sides.add(self._side[name])
            elif name in self._local:
                return None
            elif isinstance(variable := self.variables.get(name), Function):
                if not variable.stateless:
                    return None
            elif variable is None or getattr(variable, "scalar", False):
                continue
            elif self.indices[name] in _SIDES:
                sides.add(_SIDES[self.indices[name]])
            else:
                return None
        return sides.pop() if len(sides) == 1 else None

    def _hoist(self, node):
        text = NodeRenderer().render_node(node)
        side = self._side_of(get_identifiers(text))
        if side is None:
            return None
        bucket = getattr(self, side)
        for known in bucket:
            if known.expr == text:
                return ast.Name(known.var)
        name = f"_{side}_value_{len(bucket)}"
        bucket.append(Statement(name, ":=", text, "", dtype=self.dtype, constant=True))
        self._side[name] = side
        return ast.Name(name)

    def visit_Call(self, node):
        """Hoist a function call of one side's variables."""
        return self._hoist(node) or self.generic_visit(node)

    def visit_BinOp(self, node):
        """Hoist a power or quotient of one side's variables; products and sums cost less than a load."""
        costly = any(isinstance(n, ast.Call | ast.Pow | ast.Div) for n in ast.walk(node))
        return (self._hoist(node) if costly else None) or self.generic_visit(node)
