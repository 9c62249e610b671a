"""Values with units, read from text and written as text, without evaluating any code.

Reads what ``20*ms``, ``-3.5*mV/ms``, ``1e4``, ``(1, 2)``, ``200*ms,400*ms``, ``true`` or ``'text'`` mean; the
names that are known are Brian2's units.
"""

from __future__ import annotations

import ast
import functools
import math
import operator

import numpy as np

from neuroplast.errors import InputError

LONGEST = 1000
LARGEST_POWER = 20
_OPERATIONS = {ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow}


def read(text: str, name: str = "value"):
    """Value that a text stands for.

    Parameters
    ----------
    text : str
        Numbers, unit names, ``*``, ``/``, ``**``, signs, tuples, quoted texts, ``true`` and ``false``.
    name : str
        What the value is for; named in errors.

    Returns
    -------
    Quantity, float, int, bool, str or tuple

    Raises
    ------
    InputError
        If the text holds anything else, or is no finite number.
    """
    if len(text) > LONGEST:
        raise InputError(f"{name}={text[:40]}...: longer than {LONGEST} characters")
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise InputError(
            f"{name}={text}: cannot be read as a value. Write numbers with units, such as 20*ms or 0.03"
        ) from None
    except (_Unreadable, ArithmeticError, TypeError) as err:
        raise InputError(f"{name}={text}: {err}") from None
    return value


def dimensions(value):
    """Brian2's dimensions of a value; text and other things without a unit have none."""
    from brian2.units.fundamentalunits import get_dimensions

    return get_dimensions(0 if isinstance(value, str | None) else value)


def unit_text(value) -> str:
    """Text of a number, quantity or array of quantities that `read` takes back, such as ``20*ms``."""
    if dimensions(value).is_dimensionless:
        return _number_text(np.asarray(value).tolist())
    unit = value.get_best_unit()
    if str(unit) == "s" and np.max(np.abs(np.asarray(value))) < 1:
        unit = _units()["ms"]  # 400*ms, as one would write it, in place of 0.4*second
    name = str(unit) if str(unit) in _units() else repr(unit).removeprefix("1. * ").replace(" ", "")
    number = np.asarray(value / unit).tolist()
    if isinstance(number, list):
        return ",".join(f"{_number_text(item)}*{name}" for item in number)
    return f"{_number_text(number)}*{name}"


class _Unreadable(Exception):
    """A part of the text that means nothing here."""


def _number_text(number):
    if isinstance(number, list):
        return ",".join(_number_text(item) for item in number)
    return f"{number:.15g}" if isinstance(number, float) else str(number)


@functools.cache
def _units():
    from brian2.core.namespace import DEFAULT_UNITS

    return DEFAULT_UNITS


def _value(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, bool, str):
        return _finite(node.value)
    if isinstance(node, ast.Name):
        return _named(node.id)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _number(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        left, right = _number(node.left), _number(node.right)
        if isinstance(node.op, ast.Pow) and not (dimensions(right).is_dimensionless and abs(right) <= LARGEST_POWER):
            raise _Unreadable(f"a power should be a number up to {LARGEST_POWER}")
        return _finite(_OPERATIONS[type(node.op)](left, right))
    raise _Unreadable(f"{ast.unparse(node)} is not allowed here; write numbers with units, such as 20*ms or 0.03")


def _named(name):
    if name.lower() in ("true", "false"):
        return name.lower() == "true"
    if name in _units():
        return _units()[name]
    raise _Unreadable(f"{name} is no unit that Brian2 knows (such as ms, second, mV, nS, Hz)")


def _number(node):
    value = _value(node)
    if isinstance(value, bool | str | tuple):
        raise _Unreadable(f"{ast.unparse(node)} is no number")
    return value


def _finite(value):
    if isinstance(value, bool | str):
        return value
    if isinstance(value, complex) or not math.isfinite(float(np.asarray(value))):
        raise _Unreadable("should be a finite number")
    return value
