"""The benchmark's step in eager PyTorch, without autograd: in place, and into tensors made once."""

from __future__ import annotations

import os
import time

import numpy as np

from neuroplast.bench.pepita_model import proportional_set_size
from neuroplast.bench.pepita_problem import ETA, MOMENTUM, Contender
from neuroplast.errors import InputError


def load_torch():
    """PyTorch.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as missing:
        raise InputError("torch not installed: pip install neuroplast[bench]") from missing
    return torch


class Eager:
    """A step in eager PyTorch on batches of images; a mixin of a `Contender`'s class.

    Attributes
    ----------
    images, labels : Tensor
    bytes : Tensor, shape (batch, columns)
        Takes the images of a batch.
    copies : Tensor
        Numbers of the images of a batch.
    mode : str
        Context of `torch` in which steps run.
    """

    mode = "inference_mode"

    def take(self, problem, batch, threads):
        """Take batches of a problem's images, from the first one on; make tensors of them."""
        torch = self.torch = load_torch()
        super().take(problem, batch, threads)
        torch.set_num_threads(threads)
        self.about = f"torch {torch.__version__}"
        # A map that may be written to (and is not): PyTorch warns of others.
        self.images = torch.from_numpy(np.memmap(problem.images.filename, np.uint8, "c", shape=problem.images.shape))
        self.labels = torch.from_numpy(problem.labels).long()
        self.bytes = torch.empty((batch, problem.images.shape[1]), dtype=torch.uint8)
        self.copies = torch.arange(batch)

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step."""
        with getattr(self.torch, self.mode)():
            start = time.perf_counter()
            for _ in range(steps):
                self.step(self.torch.from_numpy(self.rows()))
            return (time.perf_counter() - start) / steps

    def memory(self):
        """Bytes: what this process has after an epoch (Linux; None elsewhere), of the data, the weights."""
        self.time(self.whole // self.batch)
        weights = sum(w.nbytes for w in self.problem.all_weights())
        most = proportional_set_size(os.getpid()) or None
        return {"most": most, "data": self.problem.images.nbytes, "weights": weights}


class TorchStep(Eager, Contender):
    """PEPITA in PyTorch; see `neuroplast.bench.pepita_problem.Contender`.

    Dropout compares random integers with a threshold, which takes two thirds of the time of `bernoulli_`.

    Raises
    ------
    InputError
        If PyTorch is not installed.
    """

    def __init__(self, batch, dtype, folder, **options):
        super().__init__(batch, dtype, folder, **options)
        torch, problem = self.torch, self.problem
        sizes, columns = [w.shape[1] for w in problem.weights], problem.images.shape[1]
        self.feedback = torch.from_numpy(problem.feedback)
        self.w = [torch.from_numpy(w.copy()) for w in problem.weights]
        self.v = [torch.zeros_like(w) for w in self.w]
        self.x, self.shifted = (torch.empty((batch, columns)) for _ in range(2))
        self.m, self.r = ([torch.empty((batch, n)) for n in sizes] for _ in range(2))
        self.mask = [torch.ones((batch, n)) for n in sizes[:-1]]
        self.drawn = [torch.empty((batch, n), dtype=torch.int32) for n in sizes[:-1]]
        self.kept = [torch.empty((batch, n), dtype=torch.bool) for n in sizes[:-1]]
        torch.manual_seed(0)

    def weights(self):
        """The weights as they are now."""
        return [w.numpy() for w in self.w]

    def step(self, rows):
        """Learn from a batch."""
        torch, labels = self.torch, self.labels[rows]
        torch.index_select(self.images, 0, rows, out=self.bytes)
        self.x.copy_(self.bytes).mul_(1 / 255)
        if self.keep < 1:
            for mask, drawn, kept in zip(self.mask, self.drawn, self.kept, strict=True):
                torch.lt(drawn.random_(), round(self.keep * 2**31), out=kept)
                torch.mul(kept, 1 / self.keep, out=mask)
        self.forward(self.x, self.m, labels)
        torch.addmm(self.x, self.m[-1], self.feedback.T, out=self.shifted)
        self.forward(self.shifted, self.r, labels)
        differences = [m.sub_(r) for m, r in zip(self.m[:-1], self.r[:-1], strict=True)] + [self.r[-1]]
        before = [self.shifted, *self.r[:-1]]
        for w, v, r, difference in zip(self.w, self.v, before, differences, strict=True):
            w.add_(v.addmm_(r.T, difference, beta=MOMENTUM, alpha=-ETA / self.batch))

    def forward(self, x, responses, labels):
        """Responses of the hidden layers, and the error of the output."""
        torch = self.torch
        for w, mask, response in zip(self.w, self.mask, responses, strict=False):
            torch.mm(x, w, out=response)
            x = response.clamp_min_(0).mul_(mask)
        error = responses[-1]
        torch.mm(x, self.w[-1], out=error)
        torch.softmax(error, 1, out=error)
        error[self.copies, labels] -= 1
