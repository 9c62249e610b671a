"""Digits that Python packages carry. Their files are read; importing the packages would take seconds."""

from __future__ import annotations

import math
import zlib

import numpy as np

from neuroplast.data.unusable import Unusable


def read_bundled(found, known):
    """Features and labels of the two parts.

    Digits keep scikit-learn's order: the first 1500 are to train on, the last 297 to test on. Of mnist-5000, which is
    sorted by class, the first 400 of each class are to train on and the last 100 to test on; classes take turns, so
    that any successive rows hold all of them alike.

    Returns
    -------
    train, train_labels, test, test_labels : uint8 arrays

    Raises
    ------
    InputError
        If the package's file is missing or holds something else.
    """
    path = found["all"]
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
    except (OSError, ValueError, EOFError, zlib.error) as err:
        raise Unusable(f"{path}: cannot be read ({err}).") from err
    n, m = sum(known.train), sum(known.test)
    wanted = n + m, math.prod(known.shape) + 1
    if table.shape != wanted:
        raise Unusable(f"{path}: should be a table of {wanted[0]} x {wanted[1]} numbers. Got shape {table.shape}.")
    table = table.astype(np.uint8)
    if known.name == "mnist-5000":
        by_class = table[np.argsort(table[:, -1], kind="stable")].reshape(len(known.train), -1, table.shape[1])
        table = by_class.transpose(1, 0, 2).reshape(table.shape)
    features, labels = np.ascontiguousarray(table[:, :-1]), table[:, -1]
    return features[:n], labels[:n], features[n:], labels[n:]
