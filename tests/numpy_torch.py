"""As much of PyTorch as the benchmarks use, in numpy: their tests do not need it to be installed."""

import contextlib
from types import SimpleNamespace

import numpy as np


class Tensor(np.ndarray):
    """As much of a PyTorch tensor as the benchmarks use."""

    def long(self):
        return self.astype(np.int64)

    def numpy(self):
        return np.asarray(self)

    def float(self):
        return self.astype(np.float32)

    def ne(self, other):
        return self != other

    def zero_(self):
        return self.copy_(0)

    def copy_(self, other):
        self[...] = other
        return self

    def mul_(self, factor):
        return self.copy_(self * factor)

    def add_(self, other):
        return self.copy_(self + other)

    def sub_(self, other):
        return self.copy_(self - other)

    def reshape(self, shape):
        return super().reshape(tuple(shape))

    def clamp_min_(self, least):
        return self.copy_(np.maximum(self, least))

    def random_(self):
        return self.copy_(np.random.default_rng(0).integers(0, 2**31, self.shape))

    def addmm_(self, a, b, beta, alpha):
        return self.copy_(beta * self + alpha * (a @ b))


class Adam:
    """PyTorch's optimiser of this name, as far as it is used."""

    def __init__(self, groups, lr, betas, eps, fused):
        self.betas, self.eps, self.updates = betas, eps, 0
        self.rates = [(w, group.get("lr", lr), np.zeros(w.shape), np.zeros(w.shape)) for group in groups
                      for w in group["params"]]  # fmt: skip

    def step(self):
        self.updates += 1
        for w, rate, mean, square in self.rates:
            for moments, beta, power in ((mean, self.betas[0], 1), (square, self.betas[1], 2)):
                moments += (1 - beta) * (np.asarray(w.grad, float) ** power - moments)
            m, v = (x / (1 - beta**self.updates) for x, beta in zip((mean, square), self.betas, strict=True))
            w -= rate * m / (np.sqrt(v) + self.eps)


def conv2d(x, kernels):
    """Correlation with kernels of (filters, channels, rows, columns), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernels.shape[2:], axis=(2, 3))
    return np.einsum("bcyxij,kcij->bkyx", windows, kernels).view(Tensor)


def conv2d_weight(x, shape, change):
    """Gradient of the kernels."""
    windows = np.lib.stride_tricks.sliding_window_view(x, shape[2:], axis=(2, 3))
    return np.einsum("bcyxij,bkyx->kcij", windows, change).view(Tensor)


def max_pool2d(maps, size, return_indices=False):
    """Maxima of windows that touch, and their pixels, counted row by row."""
    batch, filters, rows, columns = maps.shape
    pixels = np.broadcast_to(np.arange(rows * columns).reshape(rows, columns), maps.shape)

    def windows(a):
        cut = a[..., : rows // size * size, : columns // size * size]
        cut = np.asarray(cut).reshape(batch, filters, rows // size, size, columns // size, size)
        return np.moveaxis(cut, 3, 4).reshape(batch, filters, rows // size, columns // size, -1)

    best = windows(maps).argmax(axis=-1)[..., None]
    values, places = (np.take_along_axis(windows(a), best, -1)[..., 0].view(Tensor) for a in (maps, pixels))
    return (values, places) if return_indices else values


def max_unpool2d(values, places, size, output_size):
    """Values at the places of `max_pool2d`, zeros elsewhere."""
    made = np.zeros((*values.shape[:2], np.prod(output_size)), np.float32)
    flat = (*values.shape[:2], -1)
    np.put_along_axis(made, places.reshape(flat), values.reshape(flat), axis=2)
    return made.reshape(*values.shape[:2], *output_size).view(Tensor)


def numpy_as_torch():
    """As much of PyTorch as the benchmarks use, in numpy."""

    def softmax(x, dim, out=None):
        made = np.exp(x - x.max(axis=dim, keepdims=True))
        made /= made.sum(axis=dim, keepdims=True)
        return made if out is None else out.copy_(made)

    return SimpleNamespace(
        __version__="0", uint8=np.uint8, int32=np.int32, bool=bool,
        set_num_threads=lambda number: None, manual_seed=lambda seed: None, inference_mode=contextlib.nullcontext,
        from_numpy=lambda array: np.asarray(array).view(Tensor),
        zeros_like=lambda tensor: np.zeros_like(tensor).view(Tensor),
        empty=lambda shape, dtype=np.float32: np.full(shape, 77, dtype).view(Tensor),
        ones=lambda shape: np.ones(shape, np.float32).view(Tensor),
        arange=np.arange,
        index_select=lambda source, dim, index, out: out.copy_(np.take(source, index, axis=dim)),
        lt=lambda a, b, out: out.copy_(a < b),
        mul=lambda a, b, out: out.copy_(a * b),
        mm=lambda a, b, out=None: a @ b if out is None else out.copy_(a @ b),
        addmm=lambda c, a, b, out: out.copy_(c + a @ b),
        sub=lambda a, b, out: out.copy_(a - b),
        tanh=lambda a, out: out.copy_(np.tanh(a)),
        softmax=softmax,
        nn=SimpleNamespace(
            functional=SimpleNamespace(conv2d=conv2d, max_pool2d=max_pool2d, max_unpool2d=max_unpool2d),
            grad=SimpleNamespace(conv2d_weight=conv2d_weight),
        ),
        no_grad=contextlib.nullcontext, optim=SimpleNamespace(Adam=Adam),
    )  # fmt: skip
