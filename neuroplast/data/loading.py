"""Data sets by name: find the files, check them, map them."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from neuroplast.data import places, sets
from neuroplast.data.bundled import read_bundled
from neuroplast.data.cifar import read_cifar
from neuroplast.data.download import fetch
from neuroplast.data.idx import read_idx
from neuroplast.data.images import Images
from neuroplast.data.unusable import Unusable
from neuroplast.errors import InputError

READERS = {"cifar": read_cifar, "bundled": read_bundled}
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
    return places.search(sets.find(name), folder)[0] is not None


def files(name: str, *, folder=None) -> dict[str, Path]:
    """The files of a data set that would be read.

    Returns
    -------
    files : dict of str to Path
        By what they hold.

    Raises
    ------
    InputError
        If they are not on this machine.
    """
    known = sets.find(name)
    found, remarks = places.search(known, folder)
    if found is not None:
        return found
    if known.package:
        raise InputError(f"{name} comes with the package {known.package}, which is not installed: {known.advice()}.")
    looked = ", ".join(map(str, places.folders(known, folder)))
    raise InputError(
        " ".join([f"{name} is not on this machine; looked in {looked}.", *remarks])
        + f" Get it with: {known.advice()}; or put its files into a folder {name} and name the folder above it in "
        f"{places.FOLDER}."
    )


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
        If there is no data set of that name; if its files are not there, one of them is damaged or holds something
        else, or they cannot be downloaded (says how to get good ones); if the user's cache cannot be written to.
    """
    known = sets.find(name)
    if download and not known.package and not present(name, folder=folder):
        if folder is not None:
            raise InputError(f"{name} is not in {folder}. Downloads go to the user's cache: leave folder out.")
        fetch(known)
    found = files(name, folder=folder)
    try:
        parts = _read(known, found)
    except Unusable as err:
        again = (
            f"Install {known.package} anew."
            if known.package
            else f"Replace it, or remove it and run: neuroplast data get {name}."
        )
        raise InputError(f"{err} {again}") from err
    return Images(
        name,
        *parts,
        classes=len(known.train),
        shape=known.shape,
        scale=SCALES.get(name, 1 / 255),
        source=f"{known.package} {version(known.package)}" if known.package else str(_folder(found)),
    )


def get(name: str, console=None) -> dict[str, Path]:
    """Files of a data set, downloaded if they are not on this machine, and checked.

    Parameters
    ----------
    name : str
    console : rich.console.Console, optional
        Where to show progress.

    Returns
    -------
    files : dict of str to Path

    Raises
    ------
    InputError
        See `load`.
    """
    known = sets.find(name)
    found, _ = places.search(known)
    # A download that is there is checked and, if it is damaged, replaced; other folders are the user's.
    if not known.package and (found is None or places.cache_folder() in _folder(found).parents):
        fetch(known, console)
    load(name)
    return files(name)


def _folder(found):
    return next(iter(found.values())).parent


def _read(known, found):
    """Features and labels of the two parts, checked against what the data set should hold."""
    if known.kind == "idx":
        parts = [_read_idx(known, found, part) for part in ("train", "test")]
        train, train_labels, test, test_labels = (*parts[0], *parts[1])
    else:
        train, train_labels, test, test_labels = READERS[known.kind](found, known)
    _check_labels(known, found, "train", train_labels, known.train)
    _check_labels(known, found, "test", test_labels, known.test)
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


def _check_labels(known, found, part, labels, counts):
    if known.kind == "idx":
        where = found[f"{part}_labels"]
    else:
        where = f"{found.get('archive') or found.get('all') or _folder(found)}, images to {part}"
    if labels.max() >= len(counts):
        at = int(np.argmax(labels >= len(counts)))
        raise Unusable(
            f"{where}: labels of {known.name} should lie from 0 to {len(counts) - 1}. Number {at} is {labels[at]}."
        )
    numbers = np.bincount(labels, minlength=len(counts))
    differ = np.flatnonzero(numbers != counts)
    if len(differ):
        one = differ[0]
        raise Unusable(
            f"{where}: {known.name} has {counts[one]} images of class {one} here. There are {numbers[one]}: "
            "these are other data."
        )
