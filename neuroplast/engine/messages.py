"""What is wrong, in words: Brian2's errors with the object, the equation and what to do; and numbers."""

from __future__ import annotations

import re

import numpy as np

from neuroplast.errors import InputError, NeuroplastError


def explained(owner, error, equations=None, code="", group=None):
    """The InputError behind an error of Brian2: its first cause, then the equation or the statements.

    Parameters
    ----------
    owner : str
        What the user has called the object.
    error : Exception
    equations : Equations, optional
        The object's equations; shown are those that the error is about.
    code : str or dict of str, optional
        Statements of the object.
    group : Group, optional
        Whose variables the statements use.

    Returns
    -------
    InputError
        Or the error of ours that Brian2 has wrapped.
    """
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    for part in chain:
        if isinstance(part, NeuroplastError):
            return part
    text = _missing(chain[-1], group) or str(chain[-1]).strip().replace("expected unit radian", "expected unit 1")
    named = re.findall(r"(?:defining variable '|in subexpression )(\w+)", str(error))
    lines = [str(e) for e in (equations or {}).values() if not named or e.varname in named]
    lines += ("\n".join(code.values()) if isinstance(code, dict) else code).splitlines()
    return InputError("\n".join([f"{owner}: {text}", *(f"    {line.strip()}" for line in lines if line.strip())]))


def _missing(error, group):
    """Of an unknown name: who lacks it, what there is, and how to add it; None for another error."""
    if not isinstance(error, KeyError) or group is None:
        return None
    found = re.fullmatch(r'The identifier "(\w+)" could not be resolved\.|(\w+)', str(error.args[0]))
    if found is None:
        return str(error.args[0])
    name = found[1] or found[2]
    owner, variable = group, name
    for suffix, side in (("_pre", "source"), ("_post", "target")):
        if name.endswith(suffix) and hasattr(group, side):
            owner, variable = getattr(group, side), name.removesuffix(suffix)
    has = ", ".join(sorted(getattr(owner, "equations", None) or {})) or "none"
    return (
        f"'{owner.name}' has no variable '{variable}'; its variables are {has}. Add '{variable}' to its equations, or "
        f"give a constant '{name}' in the namespace."
    )


def integer(owner, label, value):
    """`value` as int.

    Raises
    ------
    InputError
        If it is no integer; names the owner and the label.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{owner}: {label} should be an integer. Got {value!r}.")
    return int(value)


def whole_number(owner, label, value, least):
    """`value` as int.

    Raises
    ------
    InputError
        If it is no whole number of at least `least`; names the owner and the label.
    """
    try:
        whole = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value or whole < least:
        raise InputError(f"{owner}: {label} should be a whole number of at least {least}. Got {value!r}.")
    return whole
