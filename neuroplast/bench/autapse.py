"""What a step of learning costs in the autapse network: time against units, time and memory against trajectories."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from neuroplast.bench.dense import BEGIN, END, STOPWATCH
from neuroplast.bench.report import check_file, disturbance, show_time
from neuroplast.bench.timing import choose_core, summarize
from neuroplast.bench.worker import Worker
from neuroplast.errors import BuildError, InputError
from neuroplast.files import write_json

#: When weights change, by the contender's rule: the autapse rule in each step, the others after each trajectory.
UPDATES = {"autapse": "online", "dfa": "trial", "bptt": "trial", "fa": "trial"}
CHANNELS = 2  # inputs and outputs, as the ball has
RATE = 1e-6  # at which weights learn: low enough never to diverge
#: Networks of this many units and more count in the exponent: below, what each step costs whatever its size counts.
LARGE = 64
#: Where a trajectory is kept for the way back, see `neuroplast.network.bring_error`.
TAPES = ("units_run", "units_backward", "errors")
#: The most memory that the program has had; Linux says it of programs, not of what started them.
PEAK = """
static double bench_peak() {
    std::ifstream status("/proc/self/status");
    std::string word;
    double kilobytes = 0;
    while (status >> word)
        if (word == "VmHWM:") { status >> kilobytes; break; }
    return 1024*kilobytes;
}
"""


class Learning:
    """Trajectories on which a network of sigmoid units learns, without tests and monitors.

    Parameters
    ----------
    N : int
        Recurrent units.
    dtype : {"float64", "float32"}
    rule : str
        A key of `UPDATES`.
    length : int
        Steps of a trajectory, T.

    Attributes
    ----------
    about : dict
        ``tapes``, bytes of what a trajectory leaves on tapes for the way back; ``state``, bytes of all variables, the
        trajectory itself included; ``peak``, the most memory of the program's process after the last run, or None
        where the system does not say.
    """

    def __init__(self, N, dtype, rule, length):
        from neuroplast import rules
        from neuroplast.engine import Event, NativeOperation, Population, Schedule, Simulation
        from neuroplast.models import autapse
        from neuroplast.tasks import Condition, Task

        k = np.arange(length + 1)[:, None]
        wave = 0.5 + 0.3 * np.sin(k / 10 + np.arange(CHANNELS))
        parameters = autapse.Parameters(N=N, burn_in=0, eta_rec=RATE)
        self.length = length
        self.model = autapse.build(
            parameters, Task(Condition(wave, wave)), getattr(rules, rule.upper()), update=UPDATES[rule], dtype=dtype
        )
        trials = next(node for node in self.model.simulation.schedule.body[0].body if node.name == "trial")
        watch = Population(1, "seconds : 1\npeak : 1", name="watch")

        def measuring(name, text, variable, **options):
            array = watch.variables[variable]

            def cpp(pointer):
                return text.format(pointer(array))

            return NativeOperation(name, cpp=cpp, numpy=lambda value: None, reads=[], writes=[array], **options)

        begin = Event("watch_begin", [measuring("watch_begin", BEGIN, "seconds", declarations=STOPWATCH)])
        end = Event("watch_end", [
            measuring("watch_end", END, "seconds"),
            measuring("watch_peak", "{}[0] = bench_peak();", "peak", declarations=PEAK),
        ])  # fmt: skip
        self.simulation, self.watch = Simulation(Schedule([begin, trials, end]), "bench", namespace={}).build(), watch
        self.begin = self.model.initial()
        sizes = {name: v.size * np.dtype(v.dtype).itemsize for name, v in self.simulation.variables.items()}
        tapes = [size for name, size in sizes.items() if name.split(".")[0] in TAPES]
        self.about = {"tapes": sum(tapes), "state": sum(sizes.values()), "peak": None}

    def time(self, steps):
        """Run whole trajectories, as many as `steps` begin; returns seconds per step by the program's own clock."""
        trials = -(-steps // self.length)
        out = self.simulation.run(self.begin, counts={"trial": trials}).state
        self.about["peak"] = int(out["watch.peak"][0]) or None
        return float(out["watch.seconds"][0]) / (trials * self.length)


def run(
    sizes=(8, 16, 32, 64, 128, 256), lengths=(100, 200, 400, 800), repeats=7, seconds=0.1, units=128, steps=200,
    dtype="float64", json=None, core=None, console=None,
):  # fmt: skip
    """Measure, print tables and return what was measured.

    Each rule lives in a process of its own, pinned on the same core, and they take turns.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of units N, with trajectories of `steps` steps.
    lengths : sequence of int
        Steps T of a trajectory, with `units` units.
    repeats : int
        Samples of each.
    seconds : float
        About what a sample takes.
    units, steps : int
        See `sizes` and `lengths`.
    dtype : {"float64", "float32"}
    json : path, optional
        File for the result, samples included.
    core : int, optional
        Core to measure on; by default the last that this process may use.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        core : int; sizes, lengths : one row per rule and N or T, with `rule`, `N`, `T`, the seconds per step (see
        `neuroplast.bench.timing.summarize`) and what `Learning` says `about` itself; exponents : of the time per step
        in N, by rule, over networks of `LARGE` units and more, or None of fewer than two; growth : by rule, how many
        times as much `time` per step and on `tapes` the longest trajectory needs as the shortest, and how many bytes
        more of memory (`peak`), None where it is not known.

    Raises
    ------
    InputError
        If an argument is none of the allowed values, or `json` is in no existing folder.
    BuildError
        If a rule cannot be run.
    """
    if min((*sizes, *lengths, repeats, units, steps), default=0) < 1 or not sizes or not lengths or seconds <= 0:
        raise InputError(
            "bench autapse: sizes, lengths, repeats, units and steps should be at least 1 and seconds above 0. Got "
            f"sizes={tuple(sizes)}, lengths={tuple(lengths)}, {repeats=}, {units=}, {steps=}, {seconds=} instead."
        )
    check_file("autapse", json)
    core = choose_core() if core is None else core
    by_size = measure([(N, steps) for N in sizes], repeats, seconds, dtype, core)
    by_length = measure([(units, T) for T in lengths], repeats, seconds, dtype, core)
    result = {
        "core": core,
        "sizes": by_size,
        "lengths": by_length,
        "exponents": {rule: exponent(row for row in by_size if row["rule"] == rule) for rule in UPDATES},
        "growth": {rule: growth([row for row in by_length if row["rule"] == rule]) for rule in UPDATES},
    }
    if json:
        write_json(Path(json), result)
    print_result(result, dtype, console or Console())
    return result


def measure(cases, repeats, seconds, dtype, core):
    """A row for each rule and each of several (N, T)."""
    samples = {(*case, rule): [] for case in cases for rule in UPDATES}
    for length in dict.fromkeys(T for _, T in cases):  # a length's processes end before the next one's begin
        with ExitStack() as stack:
            workers = {
                rule: stack.enter_context(Worker("learning", core, {"rule": rule, "length": length}))
                for rule in UPDATES
            }
            for _ in range(repeats):
                for N in (N for N, T in cases if T == length):
                    for rule, worker in workers.items():
                        answer = worker.measure(N, dtype, choose_steps(N, length, seconds))
                        if "error" in answer:
                            raise BuildError(f"bench autapse: {rule}: {answer['error']}")
                        samples[N, length, rule].append(answer)
    return [
        {"rule": rule, "N": N, "T": T, **summarize(found), **found[-1]["about"], "samples": found}
        for (N, T, rule), found in samples.items()
    ]


def choose_steps(N, length, seconds):
    """Steps of a sample: about `seconds` on a current core, whole trajectories."""
    return max(1, round(seconds / (3e-7 + 6e-10 * N * N) / length)) * length


def exponent(rows):
    """Slope of the time per step over the number of units, both as logarithms; None of fewer than two networks."""
    points = [(row["N"], row["median"]) for row in rows if row["N"] >= LARGE]
    if len({N for N, _ in points}) < 2:
        return None
    return float(np.polyfit(*np.log(np.array(points)).T, 1)[0])


def growth(rows):
    """What the longest trajectory needs, over what the shortest does; of the memory the bytes more."""
    first, last = (choose(rows, key=lambda row: row["T"]) for choose in (min, max))
    known = None not in (first["peak"], last["peak"])
    return {
        "time": last["median"] / first["median"],
        "tapes": last["tapes"] / first["tapes"] if first["tapes"] else None,
        "peak": last["peak"] - first["peak"] if known else None,
    }


def print_result(result, dtype, console):
    """Two tables, and what follows from them."""
    for rows, axis in ((result["sizes"], "N"), (result["lengths"], "T")):
        fixed = {"N": "T", "T": "N"}[axis]
        console.print(table_of(rows, axis, f"µs per step of learning, {fixed} = {rows[0][fixed]}, {dtype}", show_time))
    for title, name in (("tapes, kB", "tapes"), ("most memory of the process, MB", "peak")):
        scale = {"tapes": 1e3, "peak": 1e6}[name]

        def show(row, name=name, scale=scale):
            return "-" if row[name] is None else f"{row[name] / scale:,.2f}"

        console.print(table_of(result["lengths"], "T", f"{title}, N = {result['lengths'][0]['N']}", show))
    found = {rule: "-" if value is None else f"{value:.2f}" for rule, value in result["exponents"].items()}
    console.print(f"time per step grows as N to the power of (N >= {LARGE}): {in_words(found)}", highlight=False)
    found = {rule: f"{value['time']:.2f}" for rule, value in result["growth"].items()}
    lengths = [row["T"] for row in result["lengths"]]
    console.print(f"time per step at T = {max(lengths)} over T = {min(lengths)}: {in_words(found)}", highlight=False)
    disturbed = disturbance([*result["sizes"], *result["lengths"]])
    console.print(f"medians on core {result['core']}, ± half of the range{disturbed}", highlight=False)


def in_words(found):
    """Rules with a text each."""
    return ", ".join(f"{rule} {text}" for rule, text in found.items())


def table_of(rows, axis, title, show):
    """A row for each value of the axis, a column for each rule."""
    table = Table(title=title, title_justify="left")
    for column in (axis, *UPDATES):
        table.add_column(column, justify="right")
    cells = {(row[axis], row["rule"]): show(row) for row in rows}
    for value in dict.fromkeys(row[axis] for row in rows):
        table.add_row(str(value), *(cells[value, rule] for rule in UPDATES))
    return table
