"""Recognise sums over a batch that are matrix products."""

from __future__ import annotations

import numpy as np
import sympy
from brian2 import prefs
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str
from brian2.utils.stringtools import get_identifiers, word_substitute

from neuroplast.errors import InputError

_KINDS = {"_presynaptic_idx": "pre", "_postsynaptic_idx": "post", "_idx": "syn"}
#: The two factors that the matrix product takes; the third scales its result.
OPERANDS = {"post": ("pre", "syn"), "pre": ("post", "syn"), "synapse": ("pre", "post")}
#: An expression that multiplies out to more products than this is cheaper in the loop over pairs.
MOST_PRODUCTS = 8


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
        Abstract code of each factor that is more than a plain variable; None if the expression is not such
        a sum of products (it then goes to the tiled loop).
    terms : list of dict
        For each product the three factors, and what scales all of it: ``{"pre": factor, "syn": factor, "post":
        factor, "scale": factor}``; a factor is None (one), ``("variable", name)`` or ``("block", key)``.

    Raises
    ------
    InputError
        If the expression draws random numbers.
    """
    text = _inline(synapses, expression)
    if {"rand", "randn", "poisson"} & get_identifiers(text):
        raise InputError(
            f"{synapses.title}: random numbers have no meaning inside a sum over a batch "
            f"('{expression}'). Draw them in the population and read them from there."
        )
    # sympy writes a // b as floor(a/b), which rounds differently.
    products = None if "//" in text else _products(synapses, text)
    if products is None:
        return None, []
    operands = OPERANDS[onto]
    scale = next(kind for kind in ("pre", "syn", "post") if kind not in operands)
    # Products that share all but one operand become one: w*a_pre + w*b_pre is one product with a_pre + b_pre.
    joined = {}
    for parts in products:
        joined.setdefault((parts[operands[1]], parts[scale]), []).append((parts["shared"], parts[operands[0]]))
    blocks, terms = {"empty": ""}, []
    for number, ((second, third), firsts) in enumerate(joined.items()):
        shared, first = firsts[0][0], sum(factor for _, factor in firsts)
        if onto != "synapse" or any(other != shared for other, _ in firsts):
            shared, first = sympy.S.One, sum(other * factor for other, factor in firsts)
        factors = {operands[0]: first, operands[1]: second, scale: third, "scale": shared}
        # The operands have to be there as arrays, even where they are one.
        terms.append(
            {
                kind: _factor(synapses, factors[kind], f"{kind}{number}", blocks, kind in operands)
                for kind in ("pre", "syn", "post", "scale")
            }
        )
    return blocks, terms


def plain_variables(terms):
    """Names of the factors of `product_blocks` that are variables as they stand: their code names them nowhere."""
    return [factor[1] for term in terms for factor in term.values() if factor and factor[0] == "variable"]


def _inline(synapses, expression):
    """Write out the synapses' own subexpressions (those of the populations stay: they are per neuron)."""
    while True:
        own = {
            name: f"({var.expr})"
            for name in get_identifiers(expression)
            if isinstance(var := synapses.variables.get(name), Subexpression)
            and synapses.variables.indices[name] == "_idx"
        }
        if not own:
            return expression
        expression = word_substitute(expression, own)


def _products(synapses, text):
    """The expression as list of {"pre", "syn", "post", "shared"} of sympy factors, or None."""
    try:
        found = _separated(synapses, str_to_sympy(text))
    except (SyntaxError, TypeError, ValueError):
        return None
    return found if found is not None and len(found) <= MOST_PRODUCTS else None


def _separated(synapses, expression):
    # Multiplies out only what mixes kinds of variables: gain_post*(a_pre + b_pre)*w stays one product.
    found = []
    for term in sympy.Add.make_args(expression):
        parts = dict.fromkeys(("pre", "syn", "post", "shared"), sympy.S.One)
        mixed = None
        for factor in sympy.Mul.make_args(term):
            kinds = {kind for symbol in factor.free_symbols if (kind := _kind(synapses, str(symbol)))}
            if len(kinds) > 1:
                mixed = factor
            else:
                kind = kinds.pop() if kinds else "shared"
                parts[kind] = parts[kind] * factor
        if mixed is None:
            found.append(parts)
        elif isinstance(mixed, sympy.Add):
            for addend in mixed.args:
                more = _separated(synapses, term / mixed * addend)
                if more is None:
                    return None
                found += more
        else:
            return None
    return found


def _kind(synapses, name):
    variable = synapses.variables.get(name)
    if variable is None or getattr(variable, "scalar", True):
        return None
    if name in ("i", "j"):
        return {"i": "pre", "j": "post"}[name]
    return _KINDS.get(synapses.variables.indices[name])


def _factor(synapses, factor, key, blocks, needed):
    if factor == 1 and not needed:
        return None
    if isinstance(factor, sympy.Symbol):
        variable = synapses.variables.get(str(factor))
        real = np.dtype(prefs.core.default_float_dtype)
        if isinstance(variable, ArrayVariable) and not variable.scalar and variable.dtype == real:
            return ("variable", str(factor))
    blocks[key] = f"_{key} = {sympy_to_str(factor) if factor != 1 else '1.0'}"
    return ("block", key)
