"""The points of a sweep: values of some parameters, all combinations of them, each with every seed."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from neuroplast.errors import InputError
from neuroplast.parameters import describe_value, parse_setting, with_settings

LONGEST_NAME = 120


@dataclass(frozen=True)
class Axis:
    """One parameter with the values that it takes.

    Attributes
    ----------
    key : str
        As it was given, perhaps the singular of `field`.
    field : str
        Name of the parameter.
    settings : tuple of str
        ``key=value``, one for each value.
    texts : tuple of str
        The values as text, such as "200*ms".
    values : tuple
        The values as coordinates: numbers in SI units, texts.
    unit : str
        SI unit.
    """

    key: str
    field: str
    settings: tuple[str, ...]
    texts: tuple[str, ...]
    values: tuple
    unit: str


@dataclass(frozen=True)
class Point:
    """One run of a sweep.

    Attributes
    ----------
    name : str
        Of its folder.
    case : str
        Its values in words, without the seed: "period=200*ms".
    coords : dict
        Its place in the results, ``seed`` last.
    settings : tuple of str
    seed : int
    parameters : object
    """

    name: str
    case: str
    coords: dict
    settings: tuple[str, ...]
    seed: int
    parameters: Any


def read_axes(defaults, settings: Iterable[str]) -> list[Axis]:
    """Axes of ``key=value,value`` texts, in the order of the protocol's parameters.

    Raises
    ------
    InputError
        For unknown keys, values that do not fit, are empty or come twice, and keys that come twice.
    """
    axes: dict[str, Axis] = {}
    for setting in settings:
        key, equals, values = setting.partition("=")
        key, pieces = key.strip(), split(values)
        if equals and key and "" in pieces:
            raise InputError(f"--set {setting}: a value is empty. Give one or several: {key}=VALUE,VALUE.")
        found = [parse_setting(defaults, f"{key}={piece}" if equals else setting) for piece in pieces]
        field = found[0][0]
        described = [describe_value(value) for _, value in found]
        texts = tuple(each["value"] for each in described)
        if field in axes or key == "seed":
            raise InputError(f"--set {setting}: {field} is given twice. Give all its values at once, by commas.")
        if len(set(texts)) < len(texts):
            raise InputError(f"--set {setting}: a value comes twice. Seeds are given by --seeds.")
        values = tuple(_coordinate(each) for each in described)
        settings_ = tuple(f"{key}={piece}" for piece in pieces)
        axes[field] = Axis(key, field, settings_, texts, values, described[0]["unit"])
    order = list(vars(defaults))
    return sorted(axes.values(), key=lambda axis: order.index(axis.field))


def split(text: str) -> list[str]:
    """Parts of a text between commas that stand outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def make_points(defaults, axes: list[Axis], seeds: int) -> list[Point]:
    """All points, seeds fastest; every combination of values is checked.

    Raises
    ------
    InputError
        If the protocol refuses a combination.
    """
    points = []
    for places in itertools.product(*(range(len(axis.texts)) for axis in axes)):
        chosen = list(zip(axes, places, strict=True))
        settings = tuple(axis.settings[place] for axis, place in chosen)
        case = ", ".join(f"{axis.key}={axis.texts[place]}" for axis, place in chosen)
        coords = {axis.key: axis.values[place] for axis, place in chosen}
        try:
            parameters = with_settings(defaults, settings)
        except InputError as err:
            raise InputError(f"{case}: {err}") from err
        for seed in range(seeds):
            name = _file_name(f"{axis.key}={axis.texts[place]}" for axis, place in chosen)
            points.append(Point(f"{name}seed={seed}", case, coords | {"seed": seed}, settings, seed, parameters))
    if len({point.name for point in points}) < len(points):
        raise InputError("Two points of the sweep would have the same folder. Sweep fewer parameters at once.")
    return points


def _coordinate(described):
    value = described["si"]
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else _short(described, value)


def _short(described, value):
    """A tuple of one value is that value; several are their text."""
    alone = isinstance(value, list) and len(value) == 1 and not isinstance(value[0], bool | list)
    return value[0] if alone else described["value"]


def _file_name(parts):
    """Values as a plain file name that ends with "_", or empty."""
    name = "".join(re.sub(r"[^\w.=+-]", "", part.replace(",", "+").replace("/", "per")) + "_" for part in parts)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}{hashlib.sha256(name.encode()).hexdigest()[:8]}_"
