"""`Dataset`: rows of a file or an array, presented to a population batch by batch."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.units.fundamentalunits import get_dimensions

from neuroplast.engine import philox
from neuroplast.engine.cpp_codegen import stream_key
from neuroplast.engine.numpy_device import running
from neuroplast.engine.operations import NativeOperation, array_variable
from neuroplast.engine.population import batch_of
from neuroplast.engine.targets import active_device
from neuroplast.errors import InputError

#: Types that features may have, and their names in C++.
DTYPES = {"uint8": "uint8_t", "float32": "float", "float64": "double"}


class Dataset:
    """Rows of features, each maybe with a label, in the order of a permutation drawn anew for each epoch.

    Parameters
    ----------
    features : array or memmap, shape (rows, columns)
        uint8, float32 or float64. A `numpy.memmap`, or a view of one with contiguous rows, is read in place; anything
        else is written once to a file of the simulation.
    labels : sequence of int, shape (rows,), optional
        Classes, counted from 0.
    name : str
        An identifier: with it, the data of a run can be replaced (``simulation.run(data={name: other})``).

    Raises
    ------
    InputError
        For features of another type or shape, without rows or with numbers that are not finite, and for labels that
        are no whole numbers from 0 or are not as many as the rows.
    """

    def __init__(self, features, labels=None, *, name="data"):
        if not str(name).isidentifier():
            raise InputError(f"A data set's name should be an identifier. Got {name!r}.")
        self.name = str(name)
        features = np.asanyarray(features)
        if features.dtype.name not in DTYPES:
            raise InputError(
                f"Dataset '{name}': features should be {', '.join(DTYPES)}. Got {features.dtype.name}; convert them, "
                "for example with .astype(numpy.float32)."
            )
        if features.ndim != 2 or 0 in features.shape:
            raise InputError(
                f"Dataset '{name}': features should have shape (rows, columns). Got {features.shape}; flatten images "
                "with .reshape(len(images), -1)."
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
                f"Dataset '{name}': {path} holds {held} bytes after the first {offset}, which is no whole number of "
                f"rows of {width} bytes ({columns} {np.dtype(dtype).name}). Is it truncated? Give rows= to read a part."
            )
        rows = held // width if rows is None else int(rows)
        if held < rows * width:
            raise InputError(
                f"Dataset '{name}': {path} should hold {offset + rows * width} bytes for {rows} rows of {columns} "
                f"{np.dtype(dtype).name}. It has {offset + held}: it is truncated."
            )
        features = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(rows, columns))
        return cls(features, labels, name=name)

    def _check_finite(self):
        if self.features.dtype.kind != "f":
            return
        for first in range(0, self.rows, 4096):
            bad = np.argwhere(~np.isfinite(self.features[first : first + 4096]))
            if len(bad):
                row, column = bad[0] + (first, 0)
                raise InputError(
                    f"Dataset '{self.name}': features[{row}, {column}] is {self.features[row, column]}. Leave such rows "
                    "out or fill them in."
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

        Copy ``c`` of the population gets row ``trial*batch + c`` of the epoch's order. Copies beyond the last row get
        zeros, and ``n_valid``, the number of copies that hold data, says how many are left.

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
            Present the rows in an order that is drawn for each ``epoch`` (it depends on the run's seed, the epoch and
            the name of the data set alone); otherwise as they stand.
        when, order : str, int
            Place in the step.
        name : str, optional

        Returns
        -------
        operation : Presentation

        Raises
        ------
        InputError
            If the sizes of data, population and target don't fit, there are no labels for the target, a label is out
            of range, or a variable is unknown or has other units. While running, if ``trial`` is past the last batch.
        """
        name = name or f"{self.name}_present"
        return Presentation(self, population, variable, scale, offset, target, permute, when, order, name)

    def indices(self, number, size, permute, epoch):
        """Rows of batch `number` of an epoch, in the numpy target's present run.

        Raises
        ------
        InputError
            If the number is past the last batch.
        """
        if number >= self.batches(size):
            raise InputError(
                f"{self.name} has {self.rows} rows, which make {self.batches(size)} batches of {size}. Trial {number} "
                "asks for another one"
            )
        chosen = slice(number * size, (number + 1) * size)
        if not permute:
            return np.arange(self.rows)[chosen]
        key = (running.seed, self.name, epoch)
        if self._order is None or self._order[0] != key:
            self._order = key, philox.permutation(running.seed, self.stream, epoch, self.rows)
        return self._order[1][chosen]

    @property
    def stream(self):
        """Stream of random numbers (int) that the orders of the rows are drawn from."""
        return stream_key(self.name, 0)

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
            For ``"features"`` and ``"labels"``: first byte, bytes from row to row, number of rows, and path.
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
    """(first byte, bytes from row to row, path) of an array that is part of a mapped file as it stands, or None."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if (
        not isinstance(root, np.memmap)
        or root.filename is None
        or root.mode == "c"
        or not array.dtype.isnative
    ):
        return None
    stride = array.strides[0]
    offset = root.offset + array.ctypes.data - root.ctypes.data
    if (
        array.strides[1] != array.itemsize
        or stride <= 0
        or stride % array.itemsize
        or offset % array.itemsize
    ):
        return None
    return offset, stride, os.path.abspath(root.filename)


class Presentation(NativeOperation):
    """What `Dataset.present` returns.

    Attributes
    ----------
    dataset : Dataset
    classes : int
        Number of classes of the target; 0 without one.
    """

    def __init__(self, dataset, population, variable, scale, offset, target, permute, when, order, name):
        self.dataset, self.batch = dataset, batch_of(population)
        features = len(population) // self.batch
        if features != dataset.columns:
            raise InputError(
                f"Dataset '{dataset.name}' has {dataset.columns} columns. '{population.name}', which should have a "
                f"neuron for each, has {features}."
            )
        x = array_variable(name, population, variable)
        scale, offset = (_in_units(name, x, *pair) for pair in (("scale", scale), ("offset", offset)))
        self.classes, t = 0, None
        if target is not None:
            classes, label = target
            t = array_variable(name, classes, label)
            if batch_of(classes) != self.batch:
                raise InputError(
                    f"'{name}': '{population.name}' and '{classes.name}' should have the same batch size. Got "
                    f"{self.batch} and {batch_of(classes)}."
                )
            self.classes = len(classes) // self.batch
        self.check(dataset)
        counters = active_device().counters.variables
        x_start, x_stop = _span(population)
        t_start, t_stop = _span(classes) if t is not None else (0, 0)

        def cpp(pointer):
            real, label = c_data_type(x.dtype), f'"{dataset.name}"'
            stored, width = DTYPES[dataset.dtype.name], dataset.columns * dataset.dtype.itemsize
            lines = [
                f'DataFile& file = data_file("{dataset.name}.features", {width});',
                f"const Batch batch = batch_of(file, {label}, {pointer(counters['trial'])}[0], {self.batch}, "
                f"{str(bool(permute)).lower()}, {dataset.stream}u, {pointer(counters['epoch'])}[0]);",
                f"gather<{stored}, {real}>(file, batch, {dataset.columns}, {self.batch}, {scale!r}, {offset!r}, "
                f"{pointer(x)} + {x_start});",
                f"{pointer(counters['n_valid'])}[0] = batch.valid;",
            ]
            if t is not None:
                labels = f'data_file("{dataset.name}.labels", 4)'
                lines.append(
                    f"one_hot({labels}, batch, {self.classes}, {self.batch}, {pointer(t)} + {t_start});"
                )
            return "\n".join(lines)

        def numpy(value):
            data = running.data[dataset.name]
            number, epoch = (int(value(counters[n])[0]) for n in ("trial", "epoch"))
            rows = data.indices(number, self.batch, permute, epoch)
            real, valid = np.dtype(x.dtype).type, len(rows)
            out = value(x)[x_start:x_stop].reshape(-1, self.batch)
            out[:, :valid] = (real(scale) * data.features[rows].astype(real) + real(offset)).T
            out[:, valid:] = 0
            value(counters["n_valid"])[0] = valid
            if t is not None:
                out = value(t)[t_start:t_stop].reshape(-1, self.batch)
                out[...] = 0
                out[data.labels[rows], np.arange(valid)] = 1

        writes = [x, counters["n_valid"], *([t] if t is not None else [])]
        reads = [counters["trial"], counters["epoch"]]
        super().__init__(name, cpp=cpp, numpy=numpy, reads=reads, writes=writes, when=when, order=order)

    def check(self, other):
        """Refuse a data set that cannot be presented here.

        Parameters
        ----------
        other : Dataset

        Raises
        ------
        InputError
            If its columns or type differ from those of the data set that was compiled, or its labels are missing or
            out of range.
        """
        name, own = other.name, self.dataset
        if (other.columns, other.dtype) != (own.columns, own.dtype):
            raise InputError(
                f"Dataset '{name}' should have {own.columns} columns of {own.dtype.name}, as '{own.name}' that it "
                f"replaces. Got {other.columns} of {other.dtype.name}."
            )
        if self.classes and other.labels is None:
            raise InputError(f"Dataset '{name}' has no labels for the target. Give labels= when making it.")
        if self.classes and other.labels.max() >= self.classes:
            raise InputError(
                f"Dataset '{name}': label {other.labels.max()} at row {other.labels.argmax()} is out of range: the "
                f"target has {self.classes} neurons, for labels 0 to {self.classes - 1}."
            )


def _span(group):
    start = getattr(group, "start", 0)
    return start, start + len(group)


def _in_units(name, variable, label, value):
    if get_dimensions(value) is not variable.dim and not (
        label == "offset" and np.all(np.asarray(value) == 0)
    ):
        raise InputError(
            f"'{name}': {label} should have the units of {variable.name} ({variable.unit!r}). Got {value!r}."
        )
    if not np.isfinite(float(value)):
        raise InputError(f"'{name}': {label} should be finite. Got {value!r}.")
    return float(value)


def chosen_data(operations, replaced):
    """Data sets of one run by name.

    Parameters
    ----------
    operations : iterable
        Of all nodes of the schedule.
    replaced : dict of str to Dataset
        Data sets to take in place of the schedule's own.

    Raises
    ------
    InputError
        If two data sets have one name, a name is unknown, or a data set does not fit.
    """
    presentations = [op for op in operations if isinstance(op, Presentation)]
    chosen = {}
    for op in presentations:
        if chosen.setdefault(op.dataset.name, op.dataset) is not op.dataset:
            raise InputError(f"Two data sets are called '{op.dataset.name}'. Give each its own name.")
    for name, dataset in replaced.items():
        if name not in chosen:
            raise InputError(
                f"The schedule presents no data set called '{name}'; there are {', '.join(chosen) or 'none'}."
            )
        for op in presentations:
            if op.dataset.name == name:
                op.check(dataset)
    return {**chosen, **replaced}
