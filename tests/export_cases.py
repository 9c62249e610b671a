"""Runs to be exported, made of numbers that are known: in the layout of ``results.nc``, without a simulation."""

import numpy as np
import xarray as xr

from neuroplast.files import write_json
from neuroplast.traces import write_dataset

DT = 0.001
RECORD = {
    "protocol": "rflo_periodic",
    "seed": 3,
    "target": "cpp",
    "status": "done",
    "title": "RFLO learns a short periodic output as well as BPTT does",
    "paper": {"figure": "Murray 2019, figure 2a", "doi": "10.7554/eLife.43299"},
    "started": "2026-03-01T09:00:00+00:00",
    "parameters": {
        "tau": {"value": "10*ms", "si": 0.01, "unit": "s", "doc": "time constant"},
        "eta": {"value": "0.1,0.3", "si": [0.1, 0.3], "unit": "", "doc": "learning rates"},
    },
    "environment": {
        "versions": {"python": "3.12.1", "neuroplast": "0.1.0"},
        "git_commit": "0123abc",
        "command": ["neuroplast", "run", "rflo_periodic"],
    },
    "claims": [{"name": "it learns", "paper": "below 0.1", "measured": "0.05", "verdict": "holds"}],
}


def rates(name="units.h", *, lengths=(5, 5, 5), neurons=3, dtype=float, unit="1", trials=None, first=0, random=None):
    """Rates of trials of different lengths, NaN after the end of the shorter ones; `first` steps are not recorded."""
    random = random or np.random.default_rng(1)
    trials = list(range(len(lengths))) if trials is None else trials
    data = random.normal(size=(len(lengths), max(lengths) - first, neurons)).astype(dtype)
    for row, length in enumerate(lengths):
        if length < max(lengths):
            data[row, length - first :] = np.nan
    everything = np.full(max(trials) + 1, lengths[0])
    everything[trials] = lengths
    start = (np.cumsum(everything) - everything)[trials] * DT
    time = (np.arange(first, max(lengths)) + 1) * DT
    dims = [f"{name}_{dim}" for dim in ("trial", "time", "neuron")]
    attrs = {"kind": "rates", "units": unit, "long_name": "rate of the units", "time_step": DT}
    coords = {
        dims[0]: trials,
        dims[1]: (dims[1], time, {"units": "s"}),
        f"{name}_start": (dims[0], start, {"units": "s"}),
    }
    return xr.Dataset({name: (dims, data, attrs)}, coords)


def weights(name="recurrent.w", *, trials=(0, 1, 2), pre=3, post=4, dtype=float):
    """Snapshots of weights."""
    data = np.random.default_rng(2).normal(size=(len(trials), pre, post)).astype(dtype)
    dims = [f"{name}_{dim}" for dim in ("trial", "pre", "post")]
    start = (np.array(trials) + 1) * 5 * DT
    coords = {dims[0]: list(trials), f"{name}_start": (dims[0], start, {"units": "s"})}
    return xr.Dataset({name: (dims, data, {"kind": "weights", "units": "1", "long_name": "recurrent weights"})}, coords)


def spikes(name="units.spikes", *, count=40, neurons=3, stop=0.015, step=DT, length=5 * DT, seed=3, whole=False):
    """Spikes in time order, several at the same time, the last neuron silent."""
    random = np.random.default_rng(seed)
    time = np.sort(random.integers(1, round(stop / step) + 1, size=count)) * step
    if whole:
        time, stop = np.ceil(time), 1.0 if not count else np.ceil(time).max()
    neuron = random.integers(0, max(1, neurons - 1), size=count).astype(np.int32)
    dim = f"{name}_spike"
    attrs = {
        "kind": "spikes", "neurons": neurons, "time_step": step, "start": 0.0, "stop": float(stop), "seed": 3,
        "map": "100*Hz*(1 + h)/2", "process": "inhomogeneous Poisson, sampled from rates", "refractory": 0.002,
    }  # fmt: skip
    coords = {
        f"{name}_time": (dim, time, {"units": "s"}),
        f"{name}_trial": (dim, np.clip(np.ceil(time / length - 1e-9) - 1, 0, 2).astype(np.int32)),
    }
    return xr.Dataset({name: (dim, neuron, attrs)}, coords)


def metrics(trials=3, **values):
    """Metrics by trial, with the time of each."""
    values = {"loss": np.random.default_rng(4).random(trials)} | values
    arrays = {name: ("trial", np.asarray(value), {"kind": "metrics"}) for name, value in values.items()}
    time = (np.arange(trials) + 1) * 5 * DT
    return xr.Dataset(arrays, {"trial": range(trials), "trial_time": ("trial", time, {"units": "s"})})


def nets(**options):
    """Several nets of two rules side by side, whose outputs have different lengths, and what they should produce."""
    random = np.random.default_rng(5)
    output = random.normal(size=(2, 2, 2, 8, 1))
    output[:, 0, :, 5:] = np.nan
    times = 0.1 + np.arange(8) * DT + np.zeros((2, 1))
    times[0, 5:] = np.nan
    loss = random.random((2, 2, 2, 4))
    loss[1, 1, 1, 2:] = np.nan
    target = np.where(np.isnan(times), np.nan, np.sin(np.arange(8)))
    return xr.Dataset(
        {
            "loss": (("rule", "period", "net", "trial"), loss, {"kind": "metrics"}),
            "output": (("rule", "period", "net", "step", "channel"), output, {"kind": "rates", "long_name": "output"}),
            "target": (("period", "step"), target),
        },
        {
            "rule": ["bptt", "rflo"],
            "period": [20, 160],
            "net": [0, 1],
            "trial": range(4),
            "step": range(8),
            "test_step_time": (("period", "step"), times, {"units": "s"}),
        },
    )


def write_run(folder, *parts, record=RECORD):
    """A run's folder that holds these datasets; returns them as one."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset = xr.merge(parts)
    write_dataset(dataset, folder / "results.nc")
    if record is not None:
        write_json(folder / "run.json", record)
    return dataset


SELDOM = np.where(np.arange(1000) % 100 == 99, 0.5, np.nan)
#: What nwbinspector has something to say about, unless it is written with care.
CASES = {
    "everything": lambda: [rates(lengths=(5, 3, 5)), weights(), spikes(), metrics()],
    "few samples": lambda: [
        rates("more_neurons.h", neurons=40),
        rates("single_sample.h", lengths=(1,), trials=[2]),
        rates("single_number.h", lengths=(1,), neurons=1, trials=[2]),
        weights("single_row.w", trials=(7,), pre=1),
        weights("single_weight.w", trials=(7,), pre=1, post=1),
        weights("single_snapshot.w", trials=(7,)),
    ],
    "one trial": lambda: [
        rates(lengths=(5,)), metrics(1), weights(trials=(0,)), spikes(neurons=1, count=4, stop=DT * 5)
    ],
    "two of each": lambda: [
        rates(lengths=(5, 4), neurons=2), metrics(2), weights(trials=(0, 1), pre=2, post=2), spikes(neurons=2)
    ],
    "windows": lambda: [
        rates(lengths=(9, 9), trials=[1, 4], first=5),
        rates("outputs.y", lengths=(6,), trials=[2], dtype=np.float32, unit="Hz"),
        weights(dtype=np.float32),
        spikes(count=3),
    ],
    "silent": lambda: [rates(), spikes(count=0)],
    "one population silent": lambda: [spikes(), spikes("quiet.spikes", count=0)],
    "whole seconds and coarse steps": lambda: [spikes(whole=True), spikes("coarse.spikes", step=0.05, stop=2.0)],
    "a single spike at a whole second": lambda: [spikes(whole=True, count=1)],
    "several nets": lambda: [nets()],
    "metrics": lambda: [
        metrics(
            1000, seldom=SELDOM, never=np.full(1000, np.nan), n=np.arange(1000) + 5, ok=np.arange(1000) % 3 == 0,
            bits=np.arange(1000) % 2, ones_and_zeros_first=np.r_[[0.0, 1.0] * 140, np.full(720, 0.5)],
            id=np.arange(1000.0), name=np.arange(1000.0), description=np.arange(1000.0), colnames=np.arange(1000.0),
        )
    ],
    "long names": lambda: [rates("population_of_excitatory_units_" * 6 + ".h"), weights("w" * 200 + ".w")],
}  # fmt: skip
