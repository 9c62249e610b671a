"""The benchmark's step in Brian2's own `Synapses`, C++ standalone, written for speed.

Fewest sweeps over the N x N synapses that Brian2 allows: one for the sum, one `run_regularly` that moves
the trace and then the weight (an ODE for the trace would be a third). tanh and the input are evaluated once
per neuron; the error is read from the readout by the synapses that need it. Constants of the sweeps are
folded into neuron variables or are shared parameters: written into the C++ they would be doubles, and in
single precision turn the whole statement into double arithmetic (1.4 times slower). Compiler flags are
Brian2's defaults. Every object has an explicit order. Programs are compiled in a child process: Brian2 has
one device per process.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neuroplast.bench import problem as problem_file
from neuroplast.bench.problem import PERIOD, RATE, TAU, make_problem
from neuroplast.errors import BuildError

PORT = """
x = drive(t) : 1 (constant over dt)
x_last = drive_last(t) : 1 (constant over dt)
goal = target(t) : 1 (constant over dt)
y : 1
"""
UNITS = """
I_rec : 1
I_in : 1
feedback : 1
slope : 1
h : 1
h_last : 1
"""
# With a plain "h_last = h" both would be the same array on Brian2's numpy target, and h_last change with h.
MOVE_UNITS = """
r = tanh(I_rec + I_in)
slope = leak*(1 - r*r)
h_last = -(-h)
h += leak*(r - h)
"""
RECURRENT = """
keep : 1 (shared, constant)
w : 1
p : 1
I_rec_post = w*h_pre : 1 (summed)
"""
LEARN_RECURRENT = """
p = keep*p + slope_post*h_last_pre
w += feedback_post*p
"""
INPUT = """
keep : 1 (shared, constant)
w : 1
q : 1
I_in_post = w*x_pre : 1 (summed)
"""
LEARN_INPUT = """
q = keep*q + slope_post*x_last_pre
w += feedback_post*q
"""
READOUT = """
w : 1
y_post = w*h_pre : 1 (summed)
"""
LEARN_READOUT = """
w += rate*(goal_post - y_post)*h_pre
"""
FEEDBACK = """
B : 1
feedback_post = rate*B*(goal_pre - y_pre) : 1 (summed)
"""


def build_network(problem, steps):
    """Brian2 network of the step on the active device.

    Parameters
    ----------
    problem : Problem
        `prefs.core.default_float_dtype` must have its precision already.
    steps : int
        Run length: input and target are laid out for that many steps.

    Returns
    -------
    network : brian2.Network
    state : callable
        Returns the arrays of problem.STATE after the run.
    """
    import brian2 as b

    b.defaultclock.dt = dt = 1 * b.ms
    k = np.arange(steps + 1) % PERIOD
    names = {
        "drive": b.TimedArray(problem.drive[k[1:]], dt),
        "drive_last": b.TimedArray(problem.drive[k[:-1]], dt),
        "target": b.TimedArray(problem.target[k[1:]], dt),
        "leak": 1 / TAU,
        "rate": RATE,
    }
    N = problem.N
    port = b.NeuronGroup(1, PORT, namespace=names)
    units = b.NeuronGroup(N, UNITS, namespace=names)
    recurrent = b.Synapses(units, units, RECURRENT, namespace=names)
    inputs = b.Synapses(port, units, INPUT, namespace=names)
    readout = b.Synapses(units, port, READOUT, namespace=names)
    feedback = b.Synapses(port, units, FEEDBACK, namespace=names)
    groups = (port, units, recurrent, inputs, readout, feedback)
    for synapses in groups[2:]:
        synapses.connect()
    updaters = (
        recurrent.summed_updaters["I_rec_post"],
        inputs.summed_updaters["I_in_post"],
        units.run_regularly(MOVE_UNITS),
        readout.summed_updaters["y_post"],
        feedback.summed_updaters["feedback_post"],
        recurrent.run_regularly(LEARN_RECURRENT),
        inputs.run_regularly(LEARN_INPUT),
        readout.run_regularly(LEARN_READOUT),
    )
    for order, updater in enumerate(updaters):
        updater.when, updater.order = "groups", order
    recurrent.keep = inputs.keep = 1 - 1 / TAU
    units.h = problem.h
    recurrent.w = problem.w.T.ravel()  # Brian2 numbers synapses with the postsynaptic unit running fastest
    inputs.w, readout.w, feedback.B = problem.w_in, problem.w_out, problem.feedback
    inputs.q = problem.drive[0] / TAU

    def state():
        w, p = (np.asarray(values).reshape(N, N).T for values in (recurrent.w[:], recurrent.p[:]))
        vectors = dict(h=units.h[:], q=inputs.q[:], w_in=inputs.w[:], w_out=readout.w[:])
        return {name: np.asarray(values) for name, values in vectors.items()} | {"p": p, "w": w}

    return b.Network(*groups), state


def compile_here(N, dtype, steps, folder):
    """Generate and compile the program into `folder`, using up this process's Brian2 device."""
    import brian2 as b

    b.set_device("cpp_standalone", directory=folder, build_on_run=False)
    b.prefs.core.default_float_dtype = np.dtype(dtype).type
    network, _ = build_network(make_problem(N, dtype), steps)
    network.run(steps * b.defaultclock.dt, namespace={})
    b.device.build(directory=folder, compile=True, run=False)


def compile_native(N, dtype, steps, builds):
    """Folder under `builds` with the program for these steps, compiled in a child process if it is not there.

    Raises
    ------
    BuildError
        If Brian2 or the compiler fails; ends with the last lines that they wrote.
    """
    text = Path(__file__).read_bytes() + Path(problem_file.__file__).read_bytes()
    folder = Path(builds) / f"native-{N}-{dtype}-{steps}-{hashlib.sha256(text).hexdigest()[:8]}"
    if not (folder / "main").exists():
        command = [sys.executable, "-m", "neuroplast.bench.native", str(N), dtype, str(steps), str(folder)]
        child = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if child.returncode:
            tail = "\n".join(child.stdout.splitlines()[-10:])
            raise BuildError(f"native Brian2 RFLO with N={N}, {dtype} was not built:\n{tail}")
    return folder


class NativeRFLO:
    """Online RFLO in Brian2's Synapses; each number of steps is a program of its own.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    builds : path, optional
        Folder that keeps the programs; by default one that goes with this object.

    Raises
    ------
    BuildError
        If Brian2 or the compiler fails.
    """

    def __init__(self, N, dtype, builds=None):
        self.N, self.dtype = N, dtype
        self.about = f"Brian2 {version('brian2')}"
        self.kept = None if builds else tempfile.TemporaryDirectory(prefix="neuroplast-bench-")
        self.builds = builds or self.kept.name

    def time(self, steps):
        """Run the program from the start; returns seconds per step as Brian2 measures its own loop."""
        folder = compile_native(self.N, self.dtype, steps, self.builds)
        subprocess.run(["./main"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return float((folder / "results" / "last_run_info.txt").read_text().split()[0]) / steps


if __name__ == "__main__":
    compile_here(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
