"""Parameters: frozen dataclasses whose fields may carry Brian2 units, described and set from text.

A set of parameters is an ordinary frozen dataclass::

    @dataclass(frozen=True)
    class Parameters:
        tau: Quantity = parameter(10*ms, "time constant of the rates")
        N: int = parameter(30, "recurrent units")
        rule: str = parameter("rflo", "learning rule", choices=("rflo", "bptt"))

`describe` turns it into the table that a run keeps; `with_settings` changes it from texts such as
``tau=20*ms``. Text is never evaluated: `neuroplast.unittext` reads it.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neuroplast.errors import InputError
from neuroplast.unittext import dimensions, read, unit_text


def parameter(default, doc: str = "", *, choices: Iterable | None = None, least=None, like=None) -> Any:
    """Field of a frozen dataclass of parameters.

    Parameters
    ----------
    default : Quantity, float, int, bool, str, tuple or None
        Default value; it also fixes the type and the dimensions of what may be set. Several values are
        a tuple.
    doc : str
        What it is, kept in the run's record.
    choices : iterable, optional
        The only values allowed.
    least : Quantity, float or int, optional
        The lowest value allowed.
    like : optional
        What each of several values is like, where the default is the empty tuple.

    Returns
    -------
    dataclasses.Field

    Raises
    ------
    InputError
        If the default is an array.
    """
    if not isinstance(default, tuple | str) and np.ndim(default) > 0:
        raise InputError(f"a parameter with several values should be a tuple, such as (1*ms, 2*ms). Got {default!r}.")
    metadata = {"doc": doc} | ({} if choices is None else {"choices": tuple(choices)})
    metadata |= {} if least is None else {"least": least}
    metadata |= {} if like is None else {"like": like}
    return dataclasses.field(default_factory=lambda: copy.copy(default), metadata=metadata)


def describe(parameters) -> dict[str, dict]:
    """Every parameter as plain data that JSON can hold.

    Returns
    -------
    dict of str to dict
        For each field ``value`` (text that ``--set`` takes back), ``si`` (the number in SI units, exact;
        a list for a tuple; the value itself for texts and booleans), ``unit`` (SI, "" without one) and
        ``doc``.
    """
    table = {}
    for field in dataclasses.fields(parameters):
        table[field.name] = {**describe_value(getattr(parameters, field.name)), "doc": field.metadata.get("doc", "")}
    return table


def describe_value(value) -> dict:
    """``value``, ``si`` and ``unit`` of one parameter, as in `describe`."""
    sample = value[0] if isinstance(value, tuple) and value else value
    unit = "" if _is_plain(sample) else str(dimensions(sample))
    return {"value": _text(value), "si": _si(value), "unit": unit}


def parse_setting(defaults, text: str) -> tuple[str, Any]:
    """Key and value of one ``key=value`` text, checked against the default's type and dimensions.

    A parameter that holds several values can be set to one under its singular: ``period=200*ms`` is
    ``periods=200*ms``.

    Raises
    ------
    InputError
        If the key does not exist or the value does not fit.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(f"--set {text}: should be key=value, such as --set {_example(defaults)}")
    field = _field(defaults, key)
    default, value = getattr(defaults, field.name), value.strip()
    if isinstance(default, tuple) and all(isinstance(item, str) for item in default) and default:
        inner = value[1:-1] if value.startswith("(") and value.endswith(")") else value
        found = tuple(item.strip() for item in inner.split(",") if item.strip())
    elif isinstance(default, str):
        found = value
    else:
        found = () if default == () and not value else read(value, key)
    return field.name, _checked(field, default, _one(field, key, found))


def with_overrides(defaults, overrides: Mapping[str, Any]):
    """Copy of `defaults` with some values changed, each checked.

    Raises
    ------
    InputError
        If a key does not exist, a value does not fit its default, or the dataclass refuses it.
    """
    checked = {}
    for key, value in overrides.items():
        field = _field(defaults, key)
        checked[field.name] = _checked(field, getattr(defaults, field.name), _one(field, key, value))
    try:
        return dataclasses.replace(defaults, **checked)
    except (ValueError, TypeError) as err:
        raise err if isinstance(err, InputError) else InputError(str(err)) from err


def with_settings(defaults, texts: Iterable[str]):
    """Copy of `defaults` changed by ``key=value`` texts; the last one wins if a key comes twice."""
    return with_overrides(defaults, dict(parse_setting(defaults, text) for text in texts))


def check_one_each(name: str, values, others, what: str = "value") -> None:
    """Refuse a parameter that has not as many values as another one has.

    Raises
    ------
    InputError
        Naming both.
    """
    if len(values) != len(others):
        raise InputError(f"{name} should have a {what} for each of {others}. Got {values}.")


def _field(defaults, key):
    fields = {field.name: field for field in dataclasses.fields(defaults) if field.init}
    if key in fields:
        return fields[key]
    if f"{key}s" in fields and isinstance(getattr(defaults, f"{key}s"), tuple):
        return fields[f"{key}s"]
    close = [name for name in fields if name.lower() == key.lower()]
    close = close or difflib.get_close_matches(key, fields, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    allowed = ", ".join(f"{name}={_text(getattr(defaults, name))}" for name in fields)
    raise InputError(f"no parameter is called {key!r}{hint} Allowed, with their defaults: {allowed}")


def _one(field, key, value):
    """The value; under the singular of a field that holds several, not more than one."""
    if key != field.name and isinstance(value, tuple | list) and len(value) != 1:
        raise InputError(f"{key} should be one value; several are {field.name}={_text(value)}.")
    return value


def _checked(field, default, value):
    """The value, converted to the default's type, or an error that says what was expected."""
    if isinstance(default, tuple):
        items = value if isinstance(value, tuple | list) else (value,)
        if default and not items:
            raise InputError(f"{field.name} should have at least one value, such as {_text(default[:1])}.")
        sample = default[0] if default else field.metadata.get("like")
        items = [_checked_item(field.name, sample, item) for item in items]
        value = tuple(items)
    else:
        value = _checked_item(field.name, default, value)
    choices = field.metadata.get("choices")
    if choices is not None:
        for item in value if isinstance(value, tuple) else (value,):
            if item not in choices:
                allowed = ", ".join(_text(choice) for choice in choices)
                raise InputError(f"{field.name} should be one of {allowed}. Got {_text(item)} instead.")
    least = field.metadata.get("least")
    for item in value if isinstance(value, tuple) else (value,):
        if least is not None and item < least:
            raise InputError(f"{field.name} should be at least {_text(least)}. Got {_text(item)} instead.")
    return value


def _checked_item(name, default, value):
    if default is None:
        return value
    if isinstance(default, bool | str):
        fits = isinstance(value, type(default))
    elif isinstance(value, bool | str | tuple | list | None) or np.ndim(value):
        fits = False
    else:
        fits = bool(np.isfinite(np.asarray(value))) and dimensions(value) == dimensions(default)
        if fits and isinstance(default, int):
            fits = int(value) == value
    if not fits:
        raise InputError(f"{name} should be {_kind(default)}. Got {_text(value)} instead.")
    return type(default)(value) if type(default) in (int, float) else value


def _kind(default):
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, str):
        return "a text"
    if dimensions(default).is_dimensionless:
        return "a whole number" if isinstance(default, int) else "a number without a unit"
    return f"a quantity in units of {dimensions(default)}, such as {_text(default)}"


def _is_plain(value):
    return isinstance(value, tuple) or dimensions(value).is_dimensionless


def _example(defaults):
    field = dataclasses.fields(defaults)[0].name
    return f"{field}={_text(getattr(defaults, field))}"


def _text(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(_text(item) for item in value)
    if isinstance(value, str) or value is None:
        return str(value)
    return unit_text(value)


def _si(value):
    if isinstance(value, tuple | list):
        return [_si(item) for item in value]
    if isinstance(value, bool | str | None):
        return value
    return np.asarray(value).tolist()
