"""A contender in a process of its own, on one core or on several, answering requests line by line.

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
from pathlib import Path

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
    "pepita_neuroplast": "pepita_model:ModelStep",
    "pepita_numpy": "pepita_numpy:NumpyStep",
    "pepita_torch": "pepita_torch:TorchStep",
    "pepita_jax": "pepita_jax:JaxStep",
    "pepita_sgemm": "pepita_sgemm:Products",
    "ap_neuroplast": "ap_model:ModelStep",
    "ap_torch": "ap_torch:TorchStep",
    "conv_neuroplast": "conv_model:ModelStep",
    "conv_torch": "conv_torch:TorchStep",
}
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Settings for another machine's CPU would choose the wrong kernels and block sizes in OpenBLAS.
FOREIGN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def child_environment(threads=1):
    """Environment with BLAS and XLA on so many threads and their choice of kernels left to them.

    XLA takes one thread, or as many as the process has cores.
    """
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    if threads == 1:
        kept["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return kept | dict.fromkeys(THREADS, str(threads)) | {"JAX_PLATFORMS": "cpu"}


class Worker:
    """Handle on a contender's process; a context manager that ends it.

    Parameters
    ----------
    contender : str
        A key of `FACTORIES`.
    core : int, list of int or None
        Core or cores that the process and its children are kept on, with a thread for each; None where the system
        cannot do that.
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
            env=child_environment(len(core) if isinstance(core, list) else 1),
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
            "seconds" per step, "share" of the cores' time that the contender got meanwhile, or could have had, "about";
            or "error".
        """
        if (N, dtype) not in self.failed:
            answer = self.ask({"N": N, "dtype": dtype, "steps": steps})
            if "error" not in answer:
                return answer
            self.failed[N, dtype] = answer
        return self.failed[N, dtype]

    def value(self, N, dtype, name):
        """What a method of the contender gives: {"value": ...}, or {"error": ...}."""
        return self.ask({"N": N, "dtype": dtype, "steps": 0, "call": name})

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


def busy_seconds(cores):
    """Time in which cores have been busy, with whatever (Linux), to a hundredth of a second."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = {words[0]: list(map(int, words[1:])) for line in lines if (words := line.split())}
    ticks = sum(sum(fields[f"cpu{core}"]) - sum(fields[f"cpu{core}"][3:5]) for core in cores)  # less idle and iowait
    return ticks / os.sysconf("SC_CLK_TCK")


def serve(make, requests, answers, cores=None):
    """Answer requests until they end.

    Parameters
    ----------
    make : callable
        (N, dtype) -> contender.
    requests : iterable of str
        JSON lines with N, dtype and steps; with ``call``, the name of a method, its value is asked for.
    answers : file
        Receives a JSON line each.
    cores : list of int, optional
        Several cores, whose time the contender may not need as a whole: its share is then what others leave of it.
    """
    ready = {}
    for line in requests:
        request = json.loads(line)
        key = request["N"], request["dtype"], request["steps"]
        try:
            if key not in ready:
                ready[key] = make(*key[:2])
                if "call" not in request:
                    ready[key].time(key[2])
            if "call" in request:
                answer = {"value": getattr(ready[key], request["call"])()}
            else:
                answer = sample(ready[key], key[2], cores)
        except NeuroplastError as error:
            answer = {"error": str(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def sample(contender, steps, cores):
    """Seconds per step, and the share of the time that the contender got."""
    busy = busy_seconds(cores) if cores else 0
    cpu, start = cpu_seconds(), time.perf_counter()
    seconds = contender.time(steps)
    cpu, passed = cpu_seconds() - cpu, time.perf_counter() - start
    share = cpu / passed
    if cores:
        share = 1 - max(0, busy_seconds(cores) - busy - cpu) / (len(cores) * passed)
    return {"seconds": seconds, "share": share, "about": getattr(contender, "about", None)}


def main(contender, core, options):
    """Body of the child process; what libraries print goes to standard error, not between the answers."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cores = core if isinstance(core, list) else None
    if core is not None:
        os.sched_setaffinity(0, set(cores or [core]))
    module, factory = FACTORIES[contender].split(":")
    make = getattr(import_module(f"neuroplast.bench.{module}"), factory)
    serve(partial(make, **options), sys.stdin, answers, cores)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3]))
