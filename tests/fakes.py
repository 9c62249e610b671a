"""A small network that learns, with the interface of `neuroplast.engine.Simulation`, in plain numpy."""

import time
from types import SimpleNamespace

import numpy as np

from neuroplast.errors import DivergedError
from neuroplast.labels import Recorded

RECORDED = (
    Recorded("loss", "score.loss", doc="mean squared error of a trial"),
    Recorded("y", "probe.y", "rates", ("output",), along="sample", unit="Hz"),
    Recorded("w", "snapshots.w", "weights", ("pre", "post"), shape=(3, 3)),
)


class CodeRunner:
    """What `run_regularly` leaves in a group."""

    name = "net_reset"
    abstract_code = "r = 0.1"


NET = SimpleNamespace(name="net", equations="dr/dt = (tanh(I) - r) / tau : 1", contained_objects=[CodeRunner()])
NODES = 3  # per trial: reset, run, update


class FakeSimulation:
    """Trials of three positions (reset, run, update); random numbers depend on (seed, tick) alone.

    Parameters
    ----------
    trials, steps : int
        Counts of the loop ``trial`` and of the phase ``run``.
    sleep : float
        Seconds that a position takes at least.
    diverges_at : int, optional
        Trial in which a variable becomes NaN.
    """

    def __init__(self, trials=12, steps=4, sleep=0.0, diverges_at=None):
        self.counts = {"trial": trials, "run": steps}
        self.sleep = sleep
        self.diverges_at = diverges_at
        self.name = "fake"
        self.schedule = SimpleNamespace(leaves=lambda: [SimpleNamespace(objects=[NET])])
        self.calls = []
        self.initial = {
            "net.w": np.linspace(-1, 1, 9),
            "net.r": np.zeros(3),
            "net.sum": np.zeros(1, dtype=np.float32),
            "schedule.tick": np.zeros((), dtype=np.int64),
        }

    def build(self):
        return self

    def length(self, counts=None):
        return NODES * (self.counts | (counts or {}))["trial"]

    def run(self, state=None, start=0, stop=None, seed=0, counts=None):
        counts = self.counts | (counts or {})
        stop = self.length(counts) if stop is None else stop
        self.calls.append((start, stop))
        state = {name: np.array(value) for name, value in {**self.initial, **(state or {})}.items()}
        out = {"score": {}, "probe": {}, "snapshots": {}}
        for position in range(start, stop):
            time.sleep(self.sleep)
            trial, node = divmod(position, NODES)
            if trial == self.diverges_at:
                partial = SimpleNamespace(monitors=_stacked(out), position=position)
                raise DivergedError("net.r became NaN", "net.r", 1, {"trial": trial}, partial)
            (_reset, _run, _update)[node](state, out, trial, counts["run"], seed)
        return SimpleNamespace(state=state, monitors=_stacked(out), position=stop)


def _reset(state, out, trial, steps, seed):
    state["net.r"][:] = 0.1
    state["net.sum"][:] = 0


def _run(state, out, trial, steps, seed):
    w = state["net.w"].reshape(3, 3)
    for k in range(steps):
        noise = np.random.default_rng((seed, int(state["schedule.tick"]))).normal(size=3)
        state["net.r"] += 0.1 * (np.tanh(state["net.r"] @ w) - state["net.r"] + 0.1 * noise)
        state["net.sum"] += np.float32(np.sum(state["net.r"] ** 2))
        state["schedule.tick"] += 1
        t = float(state["schedule.tick"]) * 0.001
        _append(out["probe"], t=t, trial=trial, k=k, y=state["net.r"].copy())


def _update(state, out, trial, steps, seed):
    state["net.w"] -= 0.05 * np.outer(state["net.r"], state["net.r"]).ravel()
    t = float(state["schedule.tick"]) * 0.001
    _append(out["score"], t=t, trial=trial, loss=state["net.sum"].copy())
    if trial % 5 == 0:
        _append(out["snapshots"], t=t, trial=trial, w=state["net.w"].copy())


def _append(monitor, **values):
    for name, value in values.items():
        monitor.setdefault(name, []).append(value)


def _stacked(out):
    empty = {"score": {"loss": (0, 1)}, "probe": {"y": (0, 3)}, "snapshots": {"w": (0, 9)}}
    return {
        monitor: {name: np.array(values) for name, values in variables.items()}
        or {name: np.zeros(shape) for name, shape in empty[monitor].items()}
        for monitor, variables in out.items()
    }
