"""Choosing where a simulation runs: compiled C++ or numpy."""

from __future__ import annotations

import numpy as np
from brian2 import defaultclock, ms, prefs, second
from brian2.core.names import Nameable
from brian2.units.fundamentalunits import have_same_dimensions

from neuroplast.engine.active import make_active
from neuroplast.engine.cpp_device import CppDevice
from neuroplast.engine.numpy_device import NumpyDevice
from neuroplast.errors import InputError

TARGETS = ("cpp", "numpy")
DTYPES = {"float64": np.float64, "float32": np.float32}


def start(target="cpp", *, dtype="float64", dt=None):
    """Begin a simulation: an empty device, the precision and the time step.

    Call it before the first population is made; objects made before belong to no simulation.

    Parameters
    ----------
    target : {"cpp", "numpy"}
        Compiled C++, or numpy where there is no compiler (same results up to rounding).
    dtype : {"float64", "float32"}
        Precision of all state variables.
    dt : Quantity, optional
        Time step (second); Brian2's 0.1 ms by default.

    Returns
    -------
    device
        The active device.

    Raises
    ------
    InputError
        For an unknown target or dtype, or a time step that is no positive time.
    """
    if target not in TARGETS:
        raise InputError(f"target should be one of {', '.join(TARGETS)}. Got {target!r}.")
    if dtype not in DTYPES:
        raise InputError(f"dtype should be one of {', '.join(DTYPES)}. Got {dtype!r}.")
    if dt is not None and not (have_same_dimensions(dt, second) and float(dt) > 0):
        raise InputError(f"dt should be a positive time such as 1*ms. Got {dt!r}.")
    prefs.codegen.target = "numpy"  # what is not ours at run time (reading values back) needs no compiler
    # Names that Brian2 gives depend on the objects that it remembers. They key random numbers and the build
    # cache, so they must not depend on what else lives in the process.
    Nameable.__instances__().clear()
    # A device of its own for each simulation: what an earlier one holds stays usable.
    device = {"cpp": CppDevice, "numpy": NumpyDevice}[target]()
    device.dtype = np.dtype(DTYPES[dtype])
    make_active(device)
    device.activate(build_on_run=False)
    device.begin()
    defaultclock.dt = 0.1 * ms if dt is None else dt
    return device
