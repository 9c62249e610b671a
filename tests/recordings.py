"""What monitors of a population, a projection and spikes record, by loops that anybody can check."""

import h5py
import numpy as np

from neuroplast.labels import Recorded

DT, LENGTHS = 0.5, {0: 4, 1: 2, 4: 3}  # s; trial -> steps
UNITS = Recorded(
    "units.h", "units_h.h", "rates", ("neuron",), fold="trial", along="time", dt=DT, prefix=True, unit="Hz", doc="rate"
)
OUTPUTS = Recorded("outputs.y", "outputs_y.y", "rates", ("neuron",), fold="trial", along="time", dt=DT, prefix=True)
WEIGHTS = Recorded("recurrent.w", "recurrent_w.w", "weights", ("pre", "post"), (2, 3), along="trial", prefix=True)
SPIKES = Recorded("units.spikes", "units_spikes.i", "spikes", prefix=True, attrs={"neurons": 3, "refractory": 0.002})
LOSS = Recorded("loss", "score.loss", doc="loss")
EVERY = (UNITS, OUTPUTS, WEIGHTS, SPIKES, LOSS)


def h(trial, k, neuron):
    """The rate of a neuron in a step of a trial."""
    return 100 * trial + 10 * k + neuron


def monitors(neurons=3, lengths=LENGTHS):
    """Rates at each step of some trials, outputs at every other step of the last one, a matrix after two trials, spikes
    of the neuron k in step k. Each trial begins 10 s after the one before.
    """
    places = [(trial, k) for trial, steps in lengths.items() for k in range(steps)]
    trial, k = np.array(places, dtype=np.int32).T
    t = 10.0 * trial + DT * k
    late = (trial == max(lengths)) & (k % 2 == 1)
    fired = k < neurons
    return {
        "units_h": {
            "t": t, "trial": trial, "k": k, "tick": np.arange(len(t)),
            "h": np.array([[h(i, j, n) for n in range(neurons)] for i, j in places], dtype=float),
        },
        "outputs_y": {"t": t[late], "trial": trial[late], "k": k[late], "y": 1.0 * k[late, None]},
        "recurrent_w": {"t": np.array([2.0, 12.0]), "trial": np.array([0, 1]), "w": np.arange(12.0).reshape(2, 6)},
        "units_spikes": {"t": t[fired], "trial": trial[fired], "k": k[fired], "i": k[fired]},
        "score": {"t": np.array([2.0, 11.0]), "trial": np.array([0, 1]), "loss": np.array([[0.5], [0.25]])},
    }  # fmt: skip


def arrays(**options):
    """The same by ``monitor.variable``."""
    return {f"{m}.{v}": values for m, found in monitors(**options).items() for v, values in found.items()}


def flip(path, name, chunk=0):
    """Change one byte of an array, as a bad disk does."""
    with h5py.File(path, "r") as file:
        place = file[name].id.get_chunk_info(chunk)
    with open(path, "r+b") as file:
        file.seek(place.byte_offset + place.size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
