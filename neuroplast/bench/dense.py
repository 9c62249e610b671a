"""neuroplast's own entry in the benchmark."""

from __future__ import annotations

from neuroplast.errors import InputError


def dense_rflo(N, dtype):
    """The benchmark's step (neuroplast.bench.problem) on the engine's cpp target, compiled and ready to run.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}

    Returns
    -------
    object
        `time(steps)` runs the steps on the cores that the calling process may use and returns seconds per
        step, timed inside the compiled program.
    """
    raise InputError("neuroplast: the engine's RFLO step is not there yet")


def start_rflo(N, dtype, cache):
    """Build the same network and stop when it could run.

    Parameters
    ----------
    N : int
    dtype : {"float64", "float32"}
    cache : path
        Folder of the build cache: empty for a cold build.
    """
    raise InputError("neuroplast: the engine's RFLO step is not there yet")
