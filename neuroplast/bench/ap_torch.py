"""The benchmark's step of adjoint propagation in eager PyTorch, without autograd, into tensors made once."""

from __future__ import annotations

from neuroplast.bench.ap_problem import ALPHA, BETAS, EPSILON, ETA, MODULES, Contender
from neuroplast.bench.pepita_torch import Eager


class TorchStep(Eager, Contender):
    """Adjoint propagation in PyTorch, as the authors write it but in place; see `ap_problem.Contender`.

    Adam is PyTorch's fused one, the fastest that it has for this processor.

    Raises
    ------
    InputError
        If PyTorch is not installed.
    """

    mode = "no_grad"  # as PyTorch's optimisers run

    def __init__(self, batch, dtype, folder, **options):
        super().__init__(batch, dtype, folder, **options)
        torch, problem = self.torch, self.problem
        columns, (block, classes) = problem.images.shape[1], problem.weights["w_out"].shape
        self.RI, self.SI, self.RE, self.SE = (slice(i * block, (i + 1) * block) for i in range(4))
        self.w = {name: torch.from_numpy(w.copy()) for name, w in problem.weights.items()}
        self.recurrent = [torch.from_numpy(w.copy()) for w in problem.recurrent]
        self.there = [w.ne(0).float() for w in self.recurrent]
        self.e_out, self.e1 = (torch.from_numpy(problem.errors[name]) for name in ("e_out", "e1"))
        groups = [{"params": list(self.w.values())}]
        if self.case["plastic"]:
            groups.append({"params": self.recurrent, "lr": ETA * ALPHA})
        for group in groups:
            for w in group["params"]:
                w.grad = torch.zeros_like(w)
        self.adam = torch.optim.Adam(groups, lr=ETA, betas=BETAS, eps=EPSILON, fused=True)
        self.x, self.out = torch.empty((batch, columns)), torch.empty((batch, classes))
        self.c, self.sent = torch.empty((MODULES, batch, block)), torch.empty((batch, block))
        self.u, self.z, self.z_0 = (torch.empty((MODULES, batch, 4 * block)) for _ in range(3))

    def learned(self):
        """The weights that learn, as they are now."""
        plastic = self.recurrent if self.case["plastic"] else ()
        found = {**self.w, **{f"rec_{i}": w for i, w in enumerate(plastic)}}
        return {name: w.numpy() for name, w in found.items()}

    def step(self, rows):
        """Learn from a batch."""
        torch, (w_in, w1, w_out) = self.torch, self.w.values()
        torch.index_select(self.images, 0, rows, out=self.bytes)
        self.x.copy_(self.bytes).mul_(1 / 255)
        for i, (sent, w) in enumerate(((self.x, w_in), (self.z[0, :, self.SI], w1))):
            torch.mm(sent, w, out=self.c[i])
            self.relax(i, self.z[i].zero_(), self.case["inference"])
        torch.mm(self.z[1, :, self.SI], w_out, out=self.out)
        error = torch.softmax(self.out, 1)
        error[self.copies, self.labels[rows]] -= 1
        self.z_0.copy_(self.z)
        for i, (e, back) in ((1, (error, self.e_out)), (0, (self.z[1, :, self.SE], self.e1))):
            torch.mm(e, back, out=self.sent)
            self.relax(i, self.z[i] if self.case["epe"] else self.z[i].zero_(), self.case["learning"], self.sent)
            torch.sub(self.z_0[i], self.z[i], out=self.z[i])  # the displacement
        self.learn(w_in, self.x, self.z[0, :, self.RI])
        self.learn(w1, self.z_0[0, :, self.SI], self.z[1, :, self.RI])
        self.learn(w_out, self.z_0[1, :, self.SI], error)
        for i, there in enumerate(self.there if self.case["plastic"] else ()):
            self.learn(self.recurrent[i], self.z_0[i], self.z[i])
            self.recurrent[i].grad.mul_(there)
        self.adam.step()

    def relax(self, module, z, iterations, sent=None):
        """Iterate a module with its inference's current, and less that of the error."""
        u = self.u[module]
        for _ in range(iterations):
            self.torch.mm(z, self.recurrent[module], out=u)
            u[:, self.RI].add_(self.c[module])
            if sent is not None:
                u[:, self.RE].sub_(sent)
            self.torch.tanh(u, out=z)

    def learn(self, w, pre, error):
        """The gradient of a matrix: the mean over the batch."""
        self.torch.mm(pre.T, error, out=w.grad).mul_(1 / self.batch)
