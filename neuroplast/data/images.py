"""`Images`: rows of features with labels, to train on and to test on."""

from __future__ import annotations

import dataclasses
import math
import operator

import numpy as np

from neuroplast.errors import InputError

DTYPES = ("uint8", "float32", "float64")


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in two parts: to train on, and to test on.

    Features are kept as they are, so that those of a mapped file stay there. Labels are converted.

    Attributes
    ----------
    name : str
    train : uint8, float32 or float64 array or memmap, shape (rows, features)
        An image a row: row-major, channel after channel.
    train_labels : int32 array, shape (rows,)
        Classes, counted from 0.
    test, test_labels
        The same for the test.
    classes : int
        Number of classes.
    shape : tuple of int
        (channels, rows, columns) of an image.
    scale : float
        ``scale*features`` is what a model gets; of brightness, it lies in [0, 1].
    source : str
        Where the images come from.

    Raises
    ------
    InputError
        If types, shapes, numbers of rows or labels do not fit.
    """

    name: str
    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    classes: int
    shape: tuple[int, int, int]
    scale: float = 1.0
    source: str = ""

    def __post_init__(self):
        shape = tuple(self.shape)
        if len(shape) != 3 or not all(isinstance(size, (int, np.integer)) and size > 0 for size in shape):
            raise InputError(f"Images '{self.name}': shape should be (channels, rows, columns). Got {self.shape!r}.")
        if not isinstance(self.classes, (int, np.integer)) or self.classes < 1:
            raise InputError(f"Images '{self.name}': classes should be a whole number from 1. Got {self.classes!r}.")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"Images '{self.name}': scale should be a positive number. Got {self.scale!r}.")
        object.__setattr__(self, "shape", tuple(int(size) for size in shape))
        for part in ("train", "test"):
            self._check_features(part)
            object.__setattr__(self, f"{part}_labels", self._checked_labels(part))
        if self.train.dtype != self.test.dtype:
            raise InputError(
                f"Images '{self.name}': train and test should be of one type. Got {self.train.dtype.name} and "
                f"{self.test.dtype.name}."
            )

    def _check_features(self, part):
        features = getattr(self, part)
        if not isinstance(features, np.ndarray) or features.dtype.name not in DTYPES:
            found = features.dtype.name if isinstance(features, np.ndarray) else type(features).__name__
            raise InputError(
                f"Images '{self.name}': {part} should be an array of {', '.join(DTYPES)}. Got {found}; convert it, "
                "for example with numpy.asarray(..., dtype=numpy.float32)."
            )
        wanted = math.prod(self.shape)
        if features.ndim != 2 or len(features) == 0 or features.shape[1] != wanted:
            channels, rows, columns = self.shape
            raise InputError(
                f"Images '{self.name}': {part} should have shape (rows, {wanted}) for images of {channels} x {rows} x "
                f"{columns}, with at least one row. Got {features.shape}; flatten with .reshape(len(images), -1)."
            )

    def _checked_labels(self, part):
        labels, rows = np.asarray(getattr(self, f"{part}_labels")), len(getattr(self, part))
        if labels.shape != (rows,) or labels.dtype.kind not in "iu":
            raise InputError(
                f"Images '{self.name}': {part}_labels should be {rows} whole numbers, one for each row of {part}. Got "
                f"{labels.dtype.name} of shape {labels.shape}."
            )
        if labels.min() < 0 or labels.max() >= self.classes:
            raise InputError(
                f"Images '{self.name}': {part}_labels should lie from 0 to {self.classes - 1}, since there are "
                f"{self.classes} classes. They go from {labels.min()} to {labels.max()}."
            )
        return labels.astype(np.int32)

    @property
    def features(self) -> int:
        """Numbers in an image."""
        return self.train.shape[1]

    @property
    def rows(self) -> int:
        """Number of images to train on."""
        return len(self.train)

    def split(self, validation: int) -> Images:
        """Images for choosing parameters: the last `validation` rows of ``train`` are the test, the rest to train on.

        Parameters
        ----------
        validation : int
            From 1 to one less than the rows of ``train``.

        Returns
        -------
        images : Images
            Rows that are mapped stay so. The true test is not among them.

        Raises
        ------
        InputError
            If nothing would be left on one side.
        """
        held = self._count("validation", validation, self.rows - 1)
        cut = self.rows - held
        return dataclasses.replace(
            self,
            train=self.train[:cut],
            train_labels=self.train_labels[:cut],
            test=self.train[cut:],
            test_labels=self.train_labels[cut:],
            source=f"{self.source}; the last {held} training images are the test",
        )

    def first(self, train: int | None = None, test: int | None = None) -> Images:
        """Images with fewer rows: the first of each part.

        Parameters
        ----------
        train, test : int, optional
            How many; by default all.

        Returns
        -------
        images : Images
            Rows that are mapped stay so.

        Raises
        ------
        InputError
            If there are not so many.
        """
        n = self.rows if train is None else self._count("train", train, self.rows)
        m = len(self.test) if test is None else self._count("test", test, len(self.test))
        return dataclasses.replace(
            self,
            train=self.train[:n],
            train_labels=self.train_labels[:n],
            test=self.test[:m],
            test_labels=self.test_labels[:m],
            source=f"{self.source}; the first {n} and {m}",
        )

    def whitened(self, epsilon: float = 0.1) -> Images:
        """Images after ZCA whitening: see `neuroplast.analysis.whitening.zca`.

        Mean and covariance are those of ``train``; ``test`` goes through the same map.

        Parameters
        ----------
        epsilon : float
            Added to the variances. By default as in the spec of appendix G of Dellaferrera and Kreiman (2022).

        Returns
        -------
        images : Images
            Of float32 features, in memory; their scale is 1, and they are positive and negative.

        Raises
        ------
        InputError
            If `epsilon` is negative, or 0 while some features depend on each other.
        """
        from neuroplast.analysis.whitening import zca

        whitening = zca(self.train, epsilon, self.scale)
        return dataclasses.replace(
            self,
            name=f"{self.name}-whitened",
            train=whitening.apply(self.train, self.scale),
            test=whitening.apply(self.test, self.scale),
            scale=1.0,
            source=f"{self.source}; ZCA-whitened with epsilon {epsilon:g}",
        )

    def _count(self, argument, value, largest):
        try:
            count = operator.index(value)
        except TypeError:
            count = 0
        if not 1 <= count <= largest:
            raise InputError(
                f"Images '{self.name}': {argument} should be a whole number of rows from 1 to {largest}. Got {value!r}."
            )
        return count
