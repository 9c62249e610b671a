"""The benchmark's step of a convolutional network in eager PyTorch, without autograd, in place where it can be."""

from __future__ import annotations

import os
import time

import numpy as np

from neuroplast.bench.conv_problem import ETA, MOMENTUM, POOL, Contender
from neuroplast.bench.pepita_model import proportional_set_size
from neuroplast.bench.pepita_torch import load_torch


class TorchStep(Contender):
    """PEPITA or backpropagation in PyTorch; see `neuroplast.bench.conv_problem.Contender`.

    Raises
    ------
    InputError
        If PyTorch is not installed.
    """

    def __init__(self, batch, dtype, folder, **options):
        torch = self.torch = load_torch()
        super().__init__(batch, dtype, folder, **options)
        torch.set_num_threads(self.threads)
        self.about = f"torch {torch.__version__}"
        problem = self.problem
        # A map that may be written to (and is not): PyTorch warns of others.
        self.images = torch.from_numpy(np.memmap(problem.images.filename, np.uint8, "c", shape=problem.images.shape))
        self.labels, self.feedback = torch.from_numpy(problem.labels).long(), torch.from_numpy(problem.feedback)
        self.kernels, self.readout = (torch.from_numpy(w.copy()) for w in (problem.kernels, problem.readout))
        self.velocities = [torch.zeros_like(w) for w in (self.kernels, self.readout)]
        columns = problem.images.shape[1]
        self.bytes = torch.empty((batch, columns), dtype=torch.uint8)
        self.x, self.shifted = (torch.empty((batch, columns)) for _ in range(2))
        self.copies = torch.arange(batch)

    def weights(self):
        """The weights as they are now."""
        return [self.kernels.numpy(), self.readout.numpy()]

    def time(self, steps):
        """Run `steps` more steps; returns seconds per step."""
        with self.torch.inference_mode():
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

    def step(self, rows):
        """Learn from a batch."""
        torch, labels = self.torch, self.labels[rows]
        torch.index_select(self.images, 0, rows, out=self.bytes)
        self.x.copy_(self.bytes).mul_(1 / 255)
        if self.rule == "pepita":
            maps, _, error, _ = self.forward(self.x, labels)
            torch.addmm(self.x, error, self.feedback.T, out=self.shifted)
            again, pooled, error, _ = self.forward(self.shifted, labels)
            seen, change = self.shifted, maps.sub_(again)
            positions = maps.shape[2] * maps.shape[3]
        else:
            maps, pooled, error, places = self.forward(self.x, labels, places=True)
            credit = torch.mm(error, self.readout.T).reshape(places.shape)
            change = torch.nn.functional.max_unpool2d(credit, places, POOL, output_size=maps.shape[2:])
            change.mul_(maps > 0)
            seen, positions = self.x, 1
        gradient = torch.nn.grad.conv2d_weight(self.as_images(seen), self.kernels.shape, change)
        velocity = self.velocities[0].mul_(MOMENTUM)
        self.kernels.add_(velocity.sub_(gradient.mul_(ETA / self.batch / positions)))
        self.readout.add_(self.velocities[1].addmm_(pooled.T, error, beta=MOMENTUM, alpha=-ETA / self.batch))

    def as_images(self, x):
        """Rows as images of channels, rows and columns."""
        return x.reshape((self.batch, *self.shape))

    def forward(self, x, labels, places=False):
        """Maps, maxima as rows, the error of the output, and where the maxima are if that is wanted."""
        functional = self.torch.nn.functional
        maps = functional.conv2d(self.as_images(x), self.kernels).clamp_min_(0)
        pooled = functional.max_pool2d(maps, POOL, return_indices=places)
        pooled, places = pooled if places else (pooled, None)
        pooled = pooled.reshape((self.batch, -1))
        error = self.torch.softmax(self.torch.mm(pooled, self.readout), 1)
        error[self.copies, labels] -= 1
        return maps, pooled, error, places
