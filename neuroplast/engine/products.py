"""Recognise sums over a batch that are matrix products."""

from __future__ import annotations

import numpy as np
import sympy
from brian2 import prefs
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.utils.stringtools import get_identifiers
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str
from brian2.utils.stringtools import word_substitute

from neuroplast.errors import InputError

_KINDS = {"_presynaptic_idx": "pre", "_postsynaptic_idx": "post", "_idx": "syn"}


def product_blocks(synapses, expression, onto):
    """Split an expression into products of a presynaptic, a synaptic and a postsynaptic factor.

    Parameters
    ----------
    synapses : DenseSynapses
    expression : str
        Brian2 expression, for example ``"w * x_pre * gain_post + bias_pre * w"``.
    onto : {"post", "pre", "synapse"}
        What the sum runs onto: presynaptic neurons, postsynaptic neurons, or the copies of the batch.

    Returns
    -------
    blocks : dict of str to str, or None
        Abstract code of each factor that is more than a plain variable; None if the expression is not such a sum of
        products (it then goes to the tiled loop).
    terms : list of dict
        For each product the three factors: ``{"pre": factor, "syn": factor, "post": factor}``; a factor is None
        (one), ``("variable", name)`` or ``("block", key)``.
    """
    text = _inline(synapses, expression)
    if {"rand", "randn", "poisson"} & get_identifiers(text):
        raise InputError(
            f"DenseSynapses '{synapses.name}': random numbers have no meaning inside a sum over a batch "
            f"('{expression}'). Draw them in the population and read them from there."
        )
    try:
        terms = sympy.Add.make_args(sympy.expand(str_to_sympy(text)))
    except (SyntaxError, TypeError, ValueError):
        return None, []
    # The factor that the product sums over must be there; a plain sum without weights is left to the tiled loop.
    needed = {"post": "syn", "pre": "syn", "synapse": "post"}[onto]
    blocks, found = {"empty": ""}, []
    for number, term in enumerate(terms):
        factors = {"pre": [], "syn": [], "post": []}
        for factor in sympy.Mul.make_args(term):
            kinds = {kind for s in factor.free_symbols if (kind := _kind(synapses, str(s)))}
            if len(kinds) > 1:
                return None, []
            factors[kinds.pop() if kinds else "pre" if onto != "pre" else "post"].append(factor)
        if not factors[needed]:
            return None, []
        parts = {}
        for kind, members in factors.items():
            parts[kind] = _factor(synapses, kind, members, f"{kind}{number}", blocks)
        summed = {"post": ("pre", "syn"), "pre": ("post", "syn"), "synapse": ("pre", "post")}[onto]
        for kind in summed:  # the two operands of the product have to be there as arrays
            if parts[kind] is None:
                blocks[f"{kind}{number}"] = f"_{kind}{number} = 1.0"
                parts[kind] = ("block", f"{kind}{number}")
        found.append(parts)
    return blocks, found


def _inline(synapses, expression):
    """Write out the synapses' own subexpressions (those of the populations stay: they are per neuron)."""
    for _ in range(20):
        own = {
            name: f"({var.expr})"
            for name in get_identifiers(expression)
            if isinstance(var := synapses.variables.get(name), Subexpression)
            and synapses.variables.indices[name] == "_idx"
        }
        if not own:
            return expression
        expression = word_substitute(expression, own)
    return expression


def _kind(synapses, name):
    variable = synapses.variables.get(name)
    if variable is None or getattr(variable, "scalar", True):
        return None
    if name in ("i", "j"):
        return {"i": "pre", "j": "post"}[name]
    return _KINDS.get(synapses.variables.indices[name])


def _factor(synapses, kind, members, key, blocks):
    if not members:
        return None
    product = sympy.Mul(*members)
    if product == 1:
        return None
    if isinstance(product, sympy.Symbol):
        variable = synapses.variables.get(str(product))
        if isinstance(variable, ArrayVariable) and variable.dtype == np.dtype(prefs.core.default_float_dtype):
            return ("variable", str(product))
    blocks[key] = f"_{key} = {sympy_to_str(product)}"
    return ("block", key)
