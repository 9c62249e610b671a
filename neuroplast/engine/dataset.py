"""`Dataset`: rows of a file or an array, presented to a population batch by batch."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

import numpy as np

from neuroplast.engine import philox
from neuroplast.engine.numpy_device import running
from neuroplast.engine.presenting import DTYPES, Presentation
from neuroplast.errors import InputError


class Dataset:
    """Rows of features, each maybe with a label, in the order of a permutation drawn anew for each epoch.

    Parameters
    ----------
    features : array or memmap, shape (rows, columns)
        uint8, float32 or float64. A `numpy.memmap`, or a view of one with contiguous rows, is read in
        place; anything else is written once to a file of the simulation.
    labels : sequence of int, shape (rows,), optional
        Classes, counted from 0.
    name : str
        An identifier: with it, the data of a run can be replaced (``simulation.run(data={name: other})``).

    Raises
    ------
    InputError
        For features of another type or shape, without rows or with numbers that are not finite, and for
        labels that are no whole numbers from 0 or are not as many as the rows.
    """

    def __init__(self, features, labels=None, *, name="data"):
        if not str(name).isidentifier():
            raise InputError(f"A data set's name should be an identifier. Got {name!r}.")
        self.name = str(name)
        features = np.asanyarray(features)
        if features.dtype.name not in DTYPES:
            raise InputError(
                f"Dataset '{name}': features should be {', '.join(DTYPES)}. Got {features.dtype.name}; "
                "convert them, for example with .astype(numpy.float32)."
            )
        if features.ndim != 2 or 0 in features.shape:
            raise InputError(
                f"Dataset '{name}': features should have shape (rows, columns). Got {features.shape}; "
                "flatten images with .reshape(len(images), -1)."
            )
        self.features = features
        self.rows, self.columns = features.shape
        self.dtype = features.dtype.newbyteorder("=")
        self._check_finite()
        self.labels = None if labels is None else self._checked_labels(labels)
        self._order = None

    @classmethod
    def from_file(cls, path, columns, dtype, *, offset=0, rows=None, labels=None, name="data"):
        """Data set in a raw file of rows, which is mapped and never loaded as a whole.

        Parameters
        ----------
        path : str or path
        columns : int
            Numbers in a row.
        dtype : {"uint8", "float32", "float64"}
        offset : int
            Bytes before the first row (16 in the IDX files of MNIST).
        rows : int, optional
            By default as many as the file holds.
        labels, name
            See `Dataset`.

        Raises
        ------
        InputError
            If the file is missing, holds fewer rows or no whole number of them.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"Dataset '{name}': there is no file {path}.")
        if np.dtype(dtype).name not in DTYPES:
            raise InputError(f"Dataset '{name}': dtype should be one of {', '.join(DTYPES)}. Got {dtype!r}.")
        width, held = columns * np.dtype(dtype).itemsize, path.stat().st_size - offset
        if rows is None and (held <= 0 or held % width):
            raise InputError(
                f"Dataset '{name}': {path} holds {held} bytes after the first {offset}, which is no whole "
                f"number of rows of {width} bytes ({columns} {np.dtype(dtype).name}). Is it truncated? Give "
                "rows= to read a part."
            )
        rows = held // width if rows is None else int(rows)
        if held < rows * width:
            raise InputError(
                f"Dataset '{name}': {path} should hold {offset + rows * width} bytes for {rows} rows of "
                f"{columns} {np.dtype(dtype).name}. It has {offset + held}: it is truncated."
            )
        features = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(rows, columns))
        return cls(features, labels, name=name)

    @cached_property
    def digest(self):
        """Hash of features and labels."""
        digest = hashlib.sha256(f"{self.features.shape} {self.dtype}".encode())
        for first in range(0, self.rows, 4096):
            digest.update(np.ascontiguousarray(self.features[first : first + 4096]))
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()

    def _check_finite(self):
        if self.features.dtype.kind != "f":
            return
        for first in range(0, self.rows, 4096):
            bad = np.argwhere(~np.isfinite(self.features[first : first + 4096]))
            if len(bad):
                row, column = bad[0] + (first, 0)
                raise InputError(
                    f"Dataset '{self.name}': features[{row}, {column}] is {self.features[row, column]}. "
                    "Leave such rows out or fill them in."
                )

    def _checked_labels(self, labels):
        labels = np.asarray(labels)
        if labels.shape != (self.rows,):
            raise InputError(
                f"Dataset '{self.name}': labels should have shape ({self.rows},), one for each row. Got {labels.shape}."
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 2**31 - 1:
            raise InputError(
                f"Dataset '{self.name}': labels should be whole numbers from 0. Got {labels.dtype.name} from "
                f"{labels.min()} to {labels.max()}."
            )
        return labels.astype(np.int32)

    def batches(self, size):
        """Number of batches of `size` rows in one epoch, the last of which may be partial."""
        return -(-self.rows // int(size))

    # -- presenting ------------------------------------------------------------------------------------------

    def present(
        self,
        population,
        variable,
        *,
        scale=1,
        offset=0,
        target=None,
        permute=True,
        when="groups",
        order=0,
        name=None,
    ):
        """Operation that presents batch number ``trial`` of the epoch: list it in an `Event`.

        Copy ``c`` of the population gets row ``trial*batch + c`` of the epoch's order. Copies beyond the
        last row get zeros, and ``n_valid``, the number of copies that hold data, says how many are left.

        Parameters
        ----------
        population : Population or Subgroup
            Has as many neurons as the data has columns.
        variable : str
            Takes ``scale*features + offset``.
        scale, offset : float or Quantity
            In the units of the variable.
        target : (population, str), optional
            A population with a neuron for each class, and the variable of it that takes one-hot labels.
        permute : bool
            Present the rows in an order that is drawn for each ``epoch`` (it depends on the run's seed, the
            epoch and the name of the data set alone); otherwise as they stand.
        when, order : str, int
            Place in the step.
        name : str, optional

        Returns
        -------
        operation : Presentation

        Raises
        ------
        InputError
            If the sizes of data, population and target don't fit, there are no labels for the target, a
            label is out of range, or a variable is unknown or has other units. While running, if ``trial``
            is past the last batch.
        """
        name = name or f"{self.name}_present"
        return Presentation(self, population, variable, scale, offset, target, permute, when, order, name)

    def order(self, stream, epoch):
        """Rows in the order of an epoch, in the numpy target's present run.

        Parameters
        ----------
        stream : int
            Stream of random numbers that the order is drawn from.
        epoch : int

        Returns
        -------
        order : int32 array, shape (rows,)
        """
        key = (running.seed, stream, epoch)
        if self._order is None or self._order[0] != key:
            self._order = key, philox.permutation(running.seed, stream, epoch, self.rows)
        return self._order[1]

    # -- files -----------------------------------------------------------------------------------------------

    def write(self, folder):
        """Write what is not on disk yet, for a compiled program.

        Parameters
        ----------
        folder : Path
            Exists.

        Returns
        -------
        files : dict of str to str
            For ``"features"`` and ``"labels"``: first byte, bytes from row to row, number of rows, and
            path.
        """
        place = _on_disk(self.features)
        if place is None:
            path = folder / f"{self.name}.features"
            np.ascontiguousarray(self.features, dtype=self.dtype).tofile(path)
            place = 0, self.columns * self.dtype.itemsize, path
        files = {"features": f"{place[0]},{place[1]},{self.rows},{place[2]}"}
        if self.labels is not None:
            path = folder / f"{self.name}.labels"
            self.labels.tofile(path)
            files["labels"] = f"0,4,{self.rows},{path}"
        return files


def _on_disk(array):
    """(first byte, bytes from row to row, path) of an array that is part of a mapped file, or None."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.filename is None or root.mode == "c" or not array.dtype.isnative:
        return None
    stride = array.strides[0]
    offset = root.offset + array.ctypes.data - root.ctypes.data
    if array.strides[1] != array.itemsize or stride <= 0 or stride % array.itemsize or offset % array.itemsize:
        return None
    return offset, stride, os.path.abspath(root.filename)
