"""The device in use: the one that `start` chose, or that of a simulation which is being built."""

from __future__ import annotations

import importlib
from contextlib import contextmanager

from brian2 import prefs
from brian2.devices.device import get_device

from neuroplast.errors import InputError


def make_active(device):
    """Make `device` Brian2's active one, with its precision."""
    # Not Brian2's set_device, which gives the device the time step of the one before.
    importlib.import_module("brian2.devices.device").active_device = device
    if hasattr(device, "dtype"):
        prefs.core.default_float_dtype = device.dtype.type


@contextmanager
def activated(device):
    """Make `device` Brian2's active one for a while: code is generated for the device that is active."""
    before, dtype = get_device(), prefs.core.default_float_dtype
    make_active(device)
    try:
        yield
    finally:
        make_active(before)
        prefs.core.default_float_dtype = dtype


def active_device():
    """The device that `start` chose; an error that says so if it has not been called."""
    device = get_device()
    if not hasattr(device, "counters"):
        raise InputError(
            "No simulation has been started. Call neuroplast.engine.start('cpp') (or 'numpy') before making "
            "populations and synapses."
        )
    return device


def named_arrays(device):
    """(``object.variable``, variable) of each array of a device whose owner still lives.

    Owners may be gone for helpers that Brian2 made in passing.
    """
    for variable in list(device.arrays):
        try:
            name = f"{variable.owner.name}.{variable.name}"
        except (ReferenceError, AttributeError):
            continue
        yield name, variable
