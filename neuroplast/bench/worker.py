"""A contender in a process of its own, on one core, with one thread, answering requests line by line.

The processes live as long as the benchmark, so that repeats can be interleaved without starting Python,
importing JAX or compiling again.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from importlib import import_module

from neuroplast.errors import NeuroplastError

# module:factory, called with (N, dtype) and giving an object with time(steps) -> seconds per step.
FACTORIES = {
    "neuroplast": "dense:dense_rflo",
    "native": "native:NativeRFLO",
    "numpy": "numpy_rflo:NumpyRFLO",
    "jax": "jax_rflo:JaxRFLO",
    "copy": "bandwidth:Sweep",
    "update": "bandwidth:Sweep",
    "plain": "record:Training",
    "recorded": "record:Training",
    "learning": "autapse:Learning",
}
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
# Settings for another machine's CPU would choose the wrong kernels and block sizes in OpenBLAS.
FOREIGN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def child_environment():
    """Environment with BLAS and XLA on one thread and their choice of kernels left to them."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN} | ONE_THREAD


class Worker:
    """Handle on a contender's process; a context manager that ends it.

    Parameters
    ----------
    contender : str
        A key of `FACTORIES`.
    core : int or None
        Core that the process and its children are kept on; None where the system cannot do that.
    options : dict
        Keyword arguments of the factory.
    """

    def __init__(self, contender, core, options=None):
        self.contender, self.failed = contender, {}
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, contender, json.dumps(core), json.dumps(options or {})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=child_environment(),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(BrokenPipeError):  # of a process that has died; its error is in the answers
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def measure(self, N, dtype, steps):
        """One sample.

        The first call for a size and precision builds the contender and runs once for nothing. After a
        failure the size and precision are not tried again.

        Returns
        -------
        dict
            "seconds" per step, "share" of the core's time that the contender got meanwhile, "about"; or
            "error".
        """
        if (N, dtype) not in self.failed:
            answer = self.ask({"N": N, "dtype": dtype, "steps": steps})
            if "error" not in answer:
                return answer
            self.failed[N, dtype] = answer
        return self.failed[N, dtype]

    def ask(self, request):
        """Send a request and wait for its answer; a process that has died answers with its last lines."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            line = ""
        else:
            line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.errors.seek(0)
        tail = "\n".join(self.errors.read().splitlines()[-10:])
        return {"error": f"{self.contender}: the process ended:\n{tail}"}


def cpu_seconds():
    """CPU time of this process and of the children that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def serve(make, requests, answers):
    """Answer requests until they end.

    Parameters
    ----------
    make : callable
        (N, dtype) -> contender.
    requests : iterable of str
        JSON lines with N, dtype and steps.
    answers : file
        Receives a JSON line each.
    """
    ready = {}
    for line in requests:
        request = json.loads(line)
        key = request["N"], request["dtype"], request["steps"]
        try:
            if key not in ready:
                ready[key] = make(*key[:2])
                ready[key].time(key[2])
            cpu, start = cpu_seconds(), time.perf_counter()
            seconds = ready[key].time(key[2])
            share = (cpu_seconds() - cpu) / (time.perf_counter() - start)
            answer = {"seconds": seconds, "share": share, "about": getattr(ready[key], "about", None)}
        except NeuroplastError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(contender, core, options):
    """Body of the child process; what libraries print goes to standard error, not between the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if core is not None:
        os.sched_setaffinity(0, {core})
    module, factory = FACTORIES[contender].split(":")
    make = getattr(import_module(f"neuroplast.bench.{module}"), factory)
    serve(partial(make, **options), sys.stdin, answers)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
