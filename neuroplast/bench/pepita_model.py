"""neuroplast's own entry in the benchmark: the model `neuroplast.models.pepita` on the engine's cpp target."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from neuroplast.bench.dense import BEGIN, END, STOPWATCH
from neuroplast.bench.pepita_problem import ETA, MOMENTUM, SEED, Contender


class Timed:
    """A model's step, timed by the program's own clock; a mixin of a `Contender`'s class.

    Attributes
    ----------
    simulation : Simulation
        The model's training batches between two looks at the clock.
    begin, state : dict
        Values before and after a run.
    """

    def time_trials(self, model, values):
        """Compile the model's loop of training batches; every run begins with these values in it."""
        from neuroplast.engine import Event, NativeOperation, Population, Schedule, Simulation

        trials = model.simulation.schedule.body[0].body[0]
        watch = Population(1, "seconds : 1", name="watch")
        array = watch.variables["seconds"]

        def stopwatch(name, text, **more):
            def cpp(pointer):
                return text.format(pointer(array))

            return NativeOperation(name, cpp=cpp, numpy=lambda value: None, reads=[], writes=[array], **more)

        begin = Event("watch_begin", [stopwatch("stopwatch_begin", BEGIN, declarations=STOPWATCH)])
        end = Event("watch_end", [stopwatch("stopwatch_end", END)])
        self.kept = model, watch
        self.simulation = Simulation(
            Schedule([begin, trials, end]), "bench", threads=self.threads, namespace={}
        ).build()
        self.begin = self.state = model.initial() | values

    def time(self, steps):
        """Run `steps` steps, from the initial weights; returns seconds per step by the program's own clock."""
        steps = min(steps, self.whole // self.batch)
        self.state = self.simulation.run(self.begin, seed=SEED, counts={"trial": steps}).state
        return float(self.state["watch.seconds"][0]) / steps

    def memory(self):
        """Bytes: the most that this process and the program have had together in an epoch, of the data, the weights.

        What processes share, such as libraries, counts once (Linux; None elsewhere).
        """
        most, done = 0, threading.Event()

        def watch():
            nonlocal most
            while not done.wait(0.02):
                most = max(most, sum(map(proportional_set_size, [os.getpid(), *children()])))

        watching = threading.Thread(target=watch)
        watching.start()
        self.time(self.whole)
        done.set()
        watching.join()
        weights = sum(w.nbytes for w in self.problem.all_weights())
        return {"most": most or None, "data": self.problem.images.nbytes, "weights": weights}


class ModelStep(Timed, Contender):
    """PEPITA as the model runs it, without tests and records.

    Parameters
    ----------
    steps : int
        Steps of each phase, which lasts one time constant: dt = tau/steps.
    **options
        See `neuroplast.bench.pepita_problem.Contender`.
    """

    def __init__(self, batch, dtype, folder, steps=1, target="cpp", **options):
        from brian2 import ms

        from neuroplast.data import Images
        from neuroplast.models import pepita

        super().__init__(batch, dtype, folder, **options)
        problem, hidden = self.problem, tuple(w.shape[1] for w in self.problem.weights[:-1])
        rows, classes = problem.images, problem.weights[-1].shape[1]
        images = Images(
            "synthetic", rows, problem.labels, rows[:batch], problem.labels[:batch], classes,
            (1, 1, rows.shape[1]), 1 / 255, "made for the benchmark",
        )  # fmt: skip
        parameters = pepita.Parameters(
            hidden=hidden, batch=batch, eta=ETA, momentum=MOMENTUM, keep=self.keep, dt=10 * ms / steps
        )
        model = pepita.build(parameters, images, target=target, dtype=dtype, threads=self.threads)
        self.time_trials(model, pepita.weights_to_state([w.T for w in problem.weights], problem.feedback))

    def weights(self):
        """The weights after the last run."""
        shapes = [w.shape for w in self.problem.weights]
        return [self.state[f"w{i}.w"].reshape(shape) for i, shape in enumerate(shapes, 1)]


def children():
    """Process numbers of this process's children (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # one that has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
    return found


def proportional_set_size(process):
    """Memory of a process in bytes, of what it shares its part; 0 if it has gone or the system does not say."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
