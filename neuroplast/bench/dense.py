"""neuroplast's own entry in the benchmark: the step of `neuroplast.models.rflo`, on the engine's cpp target."""

from __future__ import annotations

import os
from contextlib import contextmanager

import numpy as np

from neuroplast.bench.problem import PERIOD, RATE, TAU, make_problem

# A stopwatch inside the program; the engine's headers bring <chrono>.
STOPWATCH = "static std::chrono::steady_clock::time_point bench_began;"
BEGIN = "bench_began = std::chrono::steady_clock::now();"
END = "{}[0] = std::chrono::duration<double>(std::chrono::steady_clock::now() - bench_began).count();"


def dense_rflo(N, dtype):
    """The benchmark's step (neuroplast.bench.problem), compiled and ready to run.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}

    Returns
    -------
    DenseRFLO
    """
    return DenseRFLO(N, dtype)


def start_rflo(N, dtype, cache):
    """Build the same network and stop when it could run.

    Parameters
    ----------
    N : int
    dtype : {"float64", "float32"}
    cache : path
        Folder of the build cache: empty for a cold build.
    """
    with _cache_in(cache):
        DenseRFLO(N, dtype)


class DenseRFLO:
    """Online RFLO on the engine.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    target : {"cpp", "numpy"}
        Numpy computes the same, but there is no stopwatch.

    Attributes
    ----------
    state : dict of str to array
        After the last run, with the names and shapes of `neuroplast.bench.problem`.

    Raises
    ------
    BuildError
        If the C++ compiler fails.
    """

    def __init__(self, N, dtype, target="cpp"):
        from brian2 import ms

        from neuroplast.engine import Event, Loop, NativeOperation, Phase, Population, Schedule, Simulation
        from neuroplast.models import rflo
        from neuroplast.tasks import Condition, Task

        problem = make_problem(N, dtype)
        k = np.arange(PERIOD + 1) % PERIOD
        task = Task(Condition(problem.target[k, None], problem.drive[k, None]))
        eta = RATE * (PERIOD + 1)
        parameters = rflo.Parameters(N=N, tau=TAU * ms, dt=1 * ms, **rflo.learning_rates(eta))
        model = rflo.build(parameters, task, update="online", target=target, dtype=dtype)
        # The model's step alone, period after period: no reset, no monitors.
        step = next(leaf.objects for leaf in model.simulation.schedule.leaves() if leaf.name == "run")
        watch = Population(1, "seconds : 1", name="watch")
        seconds = watch.variables["seconds"]

        def stopwatch(name, text, **options):
            def cpp(pointer):
                return text.format(pointer(seconds))

            return NativeOperation(name, cpp=cpp, numpy=lambda value: None, reads=[], writes=[seconds], **options)

        begin = Event("begin", [stopwatch("stopwatch_begin", BEGIN, declarations=STOPWATCH)])
        end = Event("end", [stopwatch("stopwatch_end", END)])
        schedule = Schedule([begin, Loop("period", 1, [Phase("run", step, PERIOD)]), end])
        self.simulation = Simulation(schedule, "bench", namespace={}).build()
        self.kept, self.N, self.state = (model, watch), N, None
        weights = {"w_rec": problem.w, "w_in": problem.w_in[:, None], "w_out": problem.w_out[None]}
        self.begin = model.initial() | rflo.weights_to_state(**weights, b=problem.feedback[:, None])
        self.begin |= {"units.h": problem.h, "inputs.x": problem.drive[0], "afferent.p": problem.drive[0] / TAU}

    def time(self, steps):
        """Run whole periods, as many as `steps` begin; returns seconds per step by the program's own clock."""
        periods = -(-steps // PERIOD)
        out = self.simulation.run(self.begin, counts={"period": periods}).state
        names = {"h": "units.h", "q": "afferent.p", "w_in": "afferent.w", "w_out": "readout.w"}
        self.state = {name: out[variable] for name, variable in names.items()}
        self.state |= {name: out[f"recurrent.{name}"].reshape(self.N, self.N).T for name in ("p", "w")}
        return float(out["watch.seconds"][0]) / (periods * PERIOD)


@contextmanager
def _cache_in(folder):
    """Environment in which compiled programs are kept in a folder."""
    before = os.environ.get("NEUROPLAST_CACHE")
    os.environ["NEUROPLAST_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["NEUROPLAST_CACHE"]
        else:
            os.environ["NEUROPLAST_CACHE"] = before
