"""The benchmark's step of a convolutional network in eager PyTorch, without autograd, in place where it can be."""

from __future__ import annotations

from neuroplast.bench.conv_problem import ETA, MOMENTUM, POOL, Contender
from neuroplast.bench.pepita_torch import Eager


class TorchStep(Eager, Contender):
    """PEPITA or backpropagation in PyTorch; see `neuroplast.bench.conv_problem.Contender`.

    Raises
    ------
    InputError
        If PyTorch is not installed.
    """

    def __init__(self, batch, dtype, folder, **options):
        super().__init__(batch, dtype, folder, **options)
        torch, problem = self.torch, self.problem
        self.feedback = torch.from_numpy(problem.feedback)
        self.kernels, self.readout = (torch.from_numpy(w.copy()) for w in (problem.kernels, problem.readout))
        self.velocities = [torch.zeros_like(w) for w in (self.kernels, self.readout)]
        self.x, self.shifted = (torch.empty(self.bytes.shape) for _ in range(2))

    def weights(self):
        """The weights as they are now."""
        return [self.kernels.numpy(), self.readout.numpy()]

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
