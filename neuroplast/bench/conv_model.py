"""neuroplast's own entry in the benchmark of convolutional networks: the models on the engine's cpp target."""

from __future__ import annotations

from neuroplast.bench.conv_problem import ETA, KERNEL, MOMENTUM, POOL, Contender
from neuroplast.bench.pepita_model import Timed


class ModelStep(Timed, Contender):
    """PEPITA or backpropagation as the models run them, without tests and records; see `conv_problem.Contender`."""

    def __init__(self, batch, dtype, folder, target="cpp", **options):
        from neuroplast.convolved import weights_to_state
        from neuroplast.data import Images
        from neuroplast.models import feedforward_conv, pepita_conv

        super().__init__(batch, dtype, folder, **options)
        problem = self.problem
        rows, classes = problem.images, problem.readout.shape[1]
        images = Images(
            "synthetic", rows, problem.labels, rows[:batch], problem.labels[:batch], classes, problem.shape, 1 / 255,
            "made for the benchmark",
        )  # fmt: skip
        module = pepita_conv if self.rule == "pepita" else feedforward_conv
        parameters = module.Parameters(
            filters=len(problem.kernels), kernel=KERNEL, pool=POOL, batch=batch, eta=ETA, momentum=MOMENTUM
        )
        model = module.build(parameters, images, target=target, dtype=dtype, threads=self.threads)
        state = weights_to_state(parameters, images, problem.kernels, problem.readout.T)
        if self.rule == "pepita":
            state["feedback.f"] = problem.feedback.T
        self.field = parameters.field(images)
        self.time_trials(model, state)

    def weights(self):
        """Kernels and readout after the last run."""
        matrix = self.state["w1.w"].reshape(self.field.offsets, self.field.channels)
        return [self.field.to_kernels(matrix), self.state["w2.w"].reshape(self.problem.readout.shape)]
