"""Choosing where a simulation runs: compiled C++ or numpy."""

from __future__ import annotations

import os
import shutil

import numpy as np
from brian2 import defaultclock, prefs, second, set_device
from brian2.devices.device import all_devices, get_device
from brian2.units.fundamentalunits import have_same_dimensions

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
    from neuroplast.engine.cpp_device import CppDevice
    from neuroplast.engine.numpy_device import NumpyDevice

    if target not in TARGETS:
        raise InputError(f"target should be one of {', '.join(TARGETS)}. Got {target!r}.")
    if dtype not in DTYPES:
        raise InputError(f"dtype should be one of {', '.join(DTYPES)}. Got {dtype!r}.")
    if dt is not None and not (have_same_dimensions(dt, second) and float(dt) > 0):
        raise InputError(f"dt should be a positive time such as 1*ms. Got {dt!r}.")
    prefs.core.default_float_dtype = DTYPES[dtype]
    prefs.codegen.target = "numpy"  # what is not ours at run time (reading values back) needs no compiler
    # A device of its own for each simulation: what an earlier one holds stays usable.
    device = all_devices[f"neuroplast_{target}"] = {"cpp": CppDevice, "numpy": NumpyDevice}[target]()
    set_device(f"neuroplast_{target}", build_on_run=False)
    device.dtype = np.dtype(DTYPES[dtype])
    device.begin()
    if dt is not None:
        defaultclock.dt = dt
    return device


def active_device():
    """The device that `start` chose; an error that says so if it has not been called."""
    device = get_device()
    if not hasattr(device, "counters"):
        raise InputError(
            "No simulation has been started. Call neuroplast.start(target='cpp') (or 'numpy') before making "
            "populations and synapses."
        )
    return device


def have_compiler():
    """Whether a C++ compiler can be found (``c++``, ``g++`` or ``clang++``, or Brian2's preference)."""
    return compiler() is not None


def compiler():
    """Path of the C++ compiler, or None."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return shutil.which(name)
    return None
