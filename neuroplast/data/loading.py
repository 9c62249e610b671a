"""Data sets by name: find the files, check them, map them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroplast.data import bundled, places, sets
from neuroplast.data.idx import read_idx
from neuroplast.data.images import Images
from neuroplast.data.unusable import Unusable
from neuroplast.errors import InputError

SCALES = {"digits": 1 / 16}  # others have brightness from 0 to 255


def names() -> list[str]:
    """Names of the data sets."""
    return list(sets.SETS)


def present(name: str, *, folder=None) -> bool:
    """Whether a data set's files are on this machine; nothing is read.

    Raises
    ------
    InputError
        If there is no data set of that name, or `folder` or ``NEUROPLAST_DATA`` is no folder.
    """
    return _found(sets.find(name), folder)[0] is not None


def files(name: str, *, folder=None) -> dict[str, Path]:
    """The files of a data set that would be read.

    Returns
    -------
    files : dict of str to Path

    Raises
    ------
    InputError
        If they are not on this machine.
    """
    known = sets.find(name)
    found, partial = _found(known, folder)
    if found is not None:
        return found
    if known.package:
        raise InputError(f"{name} comes with the package {known.package}, which is not installed: {known.advice()}.")
    parts = "".join(f" {text}" for text in partial)
    looked = ", ".join(map(str, places.folders(known, folder)))
    raise InputError(
        f"{name} is not on this machine; looked in {looked}.{parts} Get it with: {known.advice()}; or put its files "
        f"into a folder {known.name} and name the folder above it in {places.FOLDER}."
    )


def _found(known, folder):
    """The first complete set of files or None, and what was found of incomplete ones."""
    if known.package:
        if folder is not None:
            raise InputError(f"{known.name} comes with the package {known.package}: leave folder out.")
        path = bundled.bundled_file(known)
        return (None if path is None else {"all": path}), []
    partial = []
    for place in places.folders(known, folder):
        there = {}
        for part, choices in known.parts.items():
            path = next((place / choice for choice in choices if (place / choice).is_file()), None)
            if path is not None:
                there[part] = path
        if len(there) == len(known.parts):
            return there, []
        if there:
            missing = ", ".join(choices[0] for part, choices in known.parts.items() if part not in there)
            partial.append(f"{place} is incomplete: {missing} is missing (it may end in .gz).")
    return None, partial


def load(name: str, *, folder=None, download: bool = False) -> Images:
    """A data set, its features mapped.

    Files are looked for in ``NEUROPLAST_DATA``, in the user's cache and where Debian's packages put them. They are
    checked: format, size, and the number of images of each class. Compressed ones are decompressed once into the user's
    cache.

    Parameters
    ----------
    name : str
        One of `names`.
    folder : str or path, optional
        Look here alone.
    download : bool
        Download the files if they are not on this machine.

    Returns
    -------
    images : Images

    Raises
    ------
    InputError
        If there is no data set of that name, its files are not there, or one of them is damaged or holds something
        else; says how to get a good one.
    """
    known = sets.find(name)
    found = files(name, folder=folder)
    try:
        parts = _read(known, found)
    except Unusable as err:
        raise InputError(f"{err} Replace it, or remove it and get another: {known.advice()}.") from err
    return Images(
        name,
        *parts,
        classes=len(known.train),
        shape=known.shape,
        scale=SCALES.get(known.kind, 1 / 255),
        source=str(next(iter(found.values())).parent),
    )


def _read(known, found):
    """Features and labels of the two parts, checked against what the data set should hold."""
    if known.kind == "idx":
        parts = [_read_idx(known, found, part) for part in ("train", "test")]
        train, train_labels, test, test_labels = (*parts[0], *parts[1])
    else:
        train, train_labels, test, test_labels = bundled.read_bundled(found["all"], known)
    for labels, counts, part in ((train_labels, known.train, "train_labels"), (test_labels, known.test, "test_labels")):
        _check_labels(known, found.get(part) or next(iter(found.values())), labels, counts)
    return train, train_labels, test, test_labels


def _read_idx(known, found, part):
    images, labels = read_idx(found[part], 3), read_idx(found[f"{part}_labels"], 1)
    if images.shape[1:] != known.shape[1:]:
        wanted, got = ("{} x {}".format(*shape) for shape in (known.shape[1:], images.shape[1:]))
        raise Unusable(f"{found[part]}: images of {known.name} should have {wanted} pixels. They have {got}.")
    wanted = sum(getattr(known, part))
    if len(images) != wanted:
        raise Unusable(f"{found[part]}: {known.name} has {wanted} images here. The file has {len(images)}.")
    if len(labels) != wanted:
        raise Unusable(
            f"{found[f'{part}_labels']}: should hold {wanted} labels, one for each image. It has {len(labels)}."
        )
    return images.reshape(wanted, -1), labels


def _check_labels(known, path, labels, counts):
    if labels.max() >= len(counts):
        at = int(np.argmax(labels >= len(counts)))
        raise Unusable(
            f"{path}: labels of {known.name} should lie from 0 to {len(counts) - 1}. Number {at} is {labels[at]}."
        )
    found = np.bincount(labels, minlength=len(counts))
    differ = np.flatnonzero(found != counts)
    if len(differ):
        one = differ[0]
        raise Unusable(
            f"{path}: {known.name} has {counts[one]} images of class {one} here. The file has {found[one]}: "
            "it holds other data."
        )
