"""neuroplast's own entry in the benchmark of adjoint propagation: `neuroplast.models.adjoint` on the cpp target."""

from __future__ import annotations

from neuroplast.bench.ap_problem import ALPHA, ETA, Contender
from neuroplast.bench.pepita_model import Timed


class ModelStep(Timed, Contender):
    """Adjoint propagation as the model runs it, without tests and records; see `ap_problem.Contender`."""

    def __init__(self, batch, dtype, folder, target="cpp", **options):
        from brian2 import ms

        from neuroplast.data import Images
        from neuroplast.models import adjoint

        super().__init__(batch, dtype, folder, **options)
        problem, case = self.problem, self.case
        rows, (block, classes) = problem.images, problem.weights["w_out"].shape
        images = Images(
            "synthetic", rows, problem.labels, rows[:batch], problem.labels[:batch], classes,
            (1, 1, rows.shape[1]), 1 / 255, "made for the benchmark",
        )  # fmt: skip
        parameters = adjoint.Parameters(
            block=block, batch=batch, eta=ETA, alpha=ALPHA if case["plastic"] else 0.0, density=0.0, epe=case["epe"],
            inference=10 * ms * case["inference"], learning=10 * ms * case["learning"],
        )  # fmt: skip
        model = adjoint.build(parameters, images, target=target, dtype=dtype, threads=self.threads)
        values = {f"{name}.w": w for name, w in problem.weights.items()}
        values |= {f"rec_module{i}.w": w for i, w in enumerate(problem.recurrent, 1)}
        values |= {f"{name}.f": w for name, w in problem.errors.items()}
        self.time_trials(model, values)

    def learned(self):
        """The weights that learn, after the last run."""
        found = {name: self.state[f"{name}.w"].reshape(w.shape) for name, w in self.problem.weights.items()}
        if self.case["plastic"]:
            for i, w in enumerate(self.problem.recurrent):
                found[f"rec_{i}"] = self.state[f"rec_module{i + 1}.w"].reshape(w.shape)
        return found
