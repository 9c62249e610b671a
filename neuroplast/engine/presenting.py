"""The operation that presents a batch of a `Dataset`, and the choice of data sets for a run."""

from __future__ import annotations

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.units.fundamentalunits import get_dimensions

from neuroplast.engine.active import active_device
from neuroplast.engine.cpp_codegen import stream_key
from neuroplast.engine.numpy_device import running
from neuroplast.engine.operations import NativeOperation, array_variable
from neuroplast.engine.population import batch_of
from neuroplast.errors import InputError

#: Types that features may have, and their names in C++.
DTYPES = {"uint8": "uint8_t", "float32": "float", "float64": "double"}


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
                f"Dataset '{dataset.name}' has {dataset.columns} columns. '{population.name}', which should "
                f"have a neuron for each, has {features}."
            )
        x = array_variable(name, population, variable)
        scale, offset = (_in_units(name, x, *pair) for pair in (("scale", scale), ("offset", offset)))
        self.classes, t = 0, None
        if target is not None:
            classes, label = target
            t = array_variable(name, classes, label)
            if batch_of(classes) != self.batch:
                raise InputError(
                    f"'{name}': '{population.name}' and '{classes.name}' should have the same batch size. "
                    f"Got {self.batch} and {batch_of(classes)}."
                )
            self.classes = len(classes) // self.batch
        self.check(dataset)
        counters = active_device().counters.variables
        stream = stream_key(dataset.name, 0)
        x_start, x_stop = _span(population)
        t_start, t_stop = _span(classes) if t is not None else (0, 0)

        def cpp(pointer):
            real, label = c_data_type(x.dtype), f'"{dataset.name}"'
            stored, width = DTYPES[dataset.dtype.name], dataset.columns * dataset.dtype.itemsize
            lines = [
                f'DataFile& file = data_file("{dataset.name}.features", {width});',
                f"const Batch batch = batch_of(file, {label}, {pointer(counters['trial'])}[0], {self.batch}, "
                f"{str(bool(permute)).lower()}, {stream}u, {pointer(counters['epoch'])}[0]);",
                f"gather<{stored}, {real}>(file, batch, {dataset.columns}, {self.batch}, {scale!r}, "
                f"{offset!r}, {pointer(x)} + {x_start});",
                f"{pointer(counters['n_valid'])}[0] = batch.valid;",
            ]
            if t is not None:
                labels = f'data_file("{dataset.name}.labels", 4)'
                lines.append(f"one_hot({labels}, batch, {self.classes}, {self.batch}, {pointer(t)} + {t_start});")
            return "\n".join(lines)

        def numpy(value):
            data = running.data[dataset.name]
            number, epoch = (int(value(counters[n])[0]) for n in ("trial", "epoch"))
            if number >= data.batches(self.batch):
                raise InputError(
                    f"{dataset.name} has {data.rows} rows, which make {data.batches(self.batch)} batches of "
                    f"{self.batch}. Trial {number} asks for another one"
                )
            order = data.order(stream, epoch) if permute else np.arange(data.rows)
            rows = order[number * self.batch : (number + 1) * self.batch]
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
            If its columns or type differ from those of the data set that was compiled, or its labels are
            missing or out of range.
        """
        name, own = other.name, self.dataset
        if (other.columns, other.dtype) != (own.columns, own.dtype):
            raise InputError(
                f"Dataset '{name}' should have {own.columns} columns of {own.dtype.name}, as '{own.name}' "
                f"that it replaces. Got {other.columns} of {other.dtype.name}."
            )
        if self.classes and other.labels is None:
            raise InputError(f"Dataset '{name}' has no labels for the target. Give labels= when making it.")
        if self.classes and other.labels.max() >= self.classes:
            raise InputError(
                f"Dataset '{name}': label {other.labels.max()} at row {other.labels.argmax()} is out of "
                f"range: the target has {self.classes} neurons, for labels 0 to {self.classes - 1}."
            )


def _span(group):
    start = getattr(group, "start", 0)
    return start, start + len(group)


def _in_units(name, variable, label, value):
    if get_dimensions(value) is not variable.dim and not (label == "offset" and np.all(np.asarray(value) == 0)):
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
