"""The benchmark of the online RFLO step: neuroplast, native Brian2, numpy and JAX on one core."""

from __future__ import annotations

import platform
import tempfile
from contextlib import ExitStack
from pathlib import Path

from neuroplast.bench.native import compile_native
from neuroplast.bench.problem import bytes_per_step
from neuroplast.bench.report import check_file, print_report
from neuroplast.bench.timing import QUIET_SHARE, choose_core, summarize
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError
from neuroplast.files import write_json

CONTENDERS = ("neuroplast", "native", "numpy", "jax")
MEMORY = ("copy", "update")
DTYPES = ("float64", "float32")


def run(
    sizes=(30, 100, 400, 1000),
    repeats=9,
    dtypes=DTYPES,
    json=None,
    contenders=CONTENDERS,
    seconds=0.1,
    core=None,
    builds=None,
    console=None,
):
    """Measure, print a table and return what was measured.

    Each contender lives in a process of its own, pinned on the same core and with one thread. A repeat
    takes one sample of every contender at every size and precision before the next begins, so that a change
    of the machine's speed falls on all of them. A sample that other processes disturbed is taken again, twice
    at most, and left out of the median if there are others.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of recurrent units N.
    repeats : int
        Samples of each.
    dtypes : sequence of {"float64", "float32"}
    json : path, optional
        File for the result, samples included.
    contenders : sequence of str
        Of `CONTENDERS`.
    seconds : float
        About what one sample of native Brian2 takes; all contenders run the same number of steps.
    core : int, optional
        Core to measure on; by default the last that this process may use.
    builds : path, optional
        Folder that keeps the compiled programs of native Brian2 for the next call (12 s each to make).
    console : rich.console.Console, optional

    Returns
    -------
    dict
        machine : core, processor, what each contender says about itself; rows : one per N, dtype and
        contender, with `median`, `low`, `high` (s), `samples`, or `error`; ratios : one per N and dtype,
        with each other contender's time over neuroplast's, `bytes` per step, `copy` and `update` (bytes per
        second that the core reaches on matrices of this size) and `of_copy`, `of_update` (neuroplast's
        bytes per second as a fraction of them).

    Raises
    ------
    InputError
        If an argument is none of the allowed values or `json` is in no existing folder.
    """
    check(sizes, repeats, dtypes, json, contenders, seconds)
    core = choose_core() if core is None else core
    cases = [(N, dtype) for dtype in dtypes for N in sizes]
    answers = {(*case, name): [] for case in cases for name in (*contenders, *MEMORY)}
    with ExitStack() as stack:
        folder = builds or stack.enter_context(tempfile.TemporaryDirectory(prefix="neuroplast-bench-"))
        options = {"native": {"builds": str(folder)}} | {kind: {"kind": kind} for kind in MEMORY}
        if "native" in contenders:
            build_native(cases, seconds, folder)
        workers = {}
        for name in (*contenders, *MEMORY):
            workers[name] = stack.enter_context(Worker(name, core, options.get(name)))
        for _ in range(repeats):
            for N, dtype in cases:
                for name, worker in workers.items():
                    answers[N, dtype, name].append(measure_undisturbed(worker, N, dtype, seconds))
    rows = [make_row(*key, choose_steps(key[0], seconds), found) for key, found in answers.items()]
    result = {
        "machine": describe_machine(core, answers),
        "rows": rows,
        "ratios": [compare(N, dtype, rows, contenders) for N, dtype in cases],
    }
    if json:
        write_json(Path(json), result)
    print_report(result, contenders, console)
    return result


def check(sizes, repeats, dtypes, json, contenders, seconds):
    """Refuse what cannot be measured before anything has been compiled."""
    for name, values, allowed in (("dtypes", dtypes, DTYPES), ("contenders", contenders, CONTENDERS)):
        wrong = [value for value in values if value not in allowed]
        if wrong or not values:
            got = wrong or "none"
            raise InputError(f"bench rflo: {name} should be of {', '.join(allowed)}. Got {got} instead.")
    if not sizes or min(sizes) < 1 or repeats < 1 or seconds <= 0:
        raise InputError(
            "bench rflo: sizes and repeats should be at least 1 and seconds above 0. "
            f"Got sizes={tuple(sizes)}, repeats={repeats}, seconds={seconds} instead."
        )
    check_file("rflo", json)


def choose_steps(N, seconds):
    """Steps of a sample: about `seconds` of native Brian2 on a current core."""
    return max(20, int(seconds / (2e-6 + 2.2e-9 * N * N)))


def measure_undisturbed(worker, N, dtype, seconds, attempts=3):
    """One sample, taken again while other processes had a part of the core, up to so many times."""
    for _ in range(attempts):
        answer = worker.measure(N, dtype, choose_steps(N, seconds))
        if answer.get("share", 1) >= QUIET_SHARE:
            break
    return answer


def build_native(cases, seconds, folder):
    """Compile native Brian2's programs on all cores; what fails here is reported by the contender itself."""
    for N, dtype in cases:
        try:
            compile_native(N, dtype, choose_steps(N, seconds), folder)
        except BuildError:
            return


def make_row(N, dtype, contender, steps, answers):
    """Summary of one contender's samples, or its error."""
    row = {"N": N, "dtype": dtype, "contender": contender, "steps": steps}
    errors = [answer["error"] for answer in answers if "error" in answer]
    return row | ({"error": errors[0]} if errors else summarize(answers) | {"samples": answers})


def compare(N, dtype, rows, contenders):
    """Ratios of one size and precision; a value is None where a contender is missing."""
    times = {row["contender"]: row.get("median") for row in rows if (row["N"], row["dtype"]) == (N, dtype)}
    moved, ours = bytes_per_step(N, dtype), times.get("neuroplast")
    # A copy reads one matrix and writes the other, half of what a step moves.
    reached = {"copy": divide(moved / 2, times["copy"]), "update": divide(moved, times["update"])}
    ratios = {name: divide(times[name], ours) for name in contenders if name != "neuroplast"}
    fractions = {f"of_{kind}": divide(divide(moved, ours), reached[kind]) for kind in MEMORY}
    return {"N": N, "dtype": dtype, "bytes": moved} | ratios | reached | fractions


def divide(a, b):
    """Quotient, or None if either is missing."""
    return None if a is None or b is None else a / b


def describe_machine(core, answers):
    """Core, processor and what the contenders say about themselves."""
    last = {name: found[-1] for (_, _, name), found in answers.items()}
    about = {name: answer["about"] for name, answer in last.items() if answer.get("about")}
    return {"core": core, "processor": processor_name(), "python": platform.python_version(), "about": about}


def processor_name():
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
