"""The benchmark's contenders compute one and the same step, and its harness reports what it measured."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from oracles import rflo as oracle
from rich.console import Console

from neuroplast.bench import autapse, build, record, rflo
from neuroplast.bench.bandwidth import Sweep
from neuroplast.bench.jax_rflo import JaxRFLO
from neuroplast.bench.native import compile_native
from neuroplast.bench.numpy_rflo import NumpyRFLO
from neuroplast.bench.problem import PERIOD, RATE, STATE, TAU, make_problem
from neuroplast.bench.timing import choose_core, summarize
from neuroplast.bench.worker import Worker, child_environment
from neuroplast.errors import BuildError, InputError

N, STEPS = 7, PERIOD + 50
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}

NATIVE = """
import sys
import brian2 as b
import numpy as np
from neuroplast.bench.native import build_network
from neuroplast.bench.problem import make_problem
b.prefs.codegen.target = "numpy"
for dtype, path in zip(("float64", "float32"), sys.argv[3:]):
    b.prefs.core.default_float_dtype = np.dtype(dtype).type
    network, state = build_network(make_problem(int(sys.argv[1]), dtype), int(sys.argv[2]))
    network.run(int(sys.argv[2]) * b.ms)
    np.savez(path, **state())
"""


@pytest.fixture(scope="module")
def expected():
    """State after STEPS steps of the benchmark's problem, by the oracle."""
    problem = make_problem(N, "float64")
    k = np.arange(STEPS + 1) % PERIOD
    x, target = problem.drive[k][:, None], problem.target[k][:, None]
    weights = oracle.Weights(problem.w_in[:, None], problem.w, problem.w_out[None])
    feedback = problem.feedback[:, None]
    rule = oracle.Rule("local", "B", q_lag=1, q_start=True)
    eta = [RATE * (STEPS + 1)] * 3
    learned, trial = oracle.run_trial(weights, feedback, x, target, problem.h, TAU, eta, rule, online=True)
    p, q = oracle.start_traces(weights, x[0], TAU, rule)
    for i in range(1, STEPS + 1):
        p = oracle.move_trace(p, weights, trial.u[i], trial.h[i - 1], TAU, rule)
        q = oracle.move_trace(q, weights, trial.u[i], x[i - 1], TAU, rule)
    state = dict(h=trial.h[-1], p=p, q=q[:, 0], w=learned.rec, w_in=learned.inp[:, 0], w_out=learned.out[0])
    assert np.abs(learned.rec - problem.w).max() > 1e-3
    return state


@pytest.fixture(scope="module")
def native_states(tmp_path_factory):
    """Brian2's state after STEPS steps, in a process of its own, on Brian2's numpy target."""
    paths = {dtype: tmp_path_factory.mktemp("native") / f"{dtype}.npz" for dtype in TOLERANCE}
    command = [sys.executable, "-c", NATIVE, str(N), str(STEPS), *map(str, paths.values())]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return {dtype: dict(np.load(path)) for dtype, path in paths.items()}


def assert_state(found, expected, dtype):
    for name in STATE:
        assert np.asarray(found[name]).dtype == dtype, name
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=TOLERANCE[dtype], err_msg=name)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_numpy_computes_the_step(dtype, expected):
    contender = NumpyRFLO(N, dtype)
    assert contender.time(STEPS - 10) > 0
    contender.run(10)
    assert_state(contender.state, expected, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_computes_the_step(dtype, expected, native_states):
    assert_state(native_states[dtype], expected, dtype)


def numpy_as_jax():
    """As much of JAX as the contender uses, in numpy and without compiling."""

    def scan(step, state, inputs):
        for values in zip(*inputs, strict=True):
            state, _ = step(state, values)
        return state, None

    return SimpleNamespace(
        config=SimpleNamespace(update=lambda name, value: None),
        numpy=np,
        lax=SimpleNamespace(scan=scan),
        jit=lambda function, donate_argnums: function,
        block_until_ready=lambda state: state,
        __version__="0",
    )


def test_jax_computes_the_step(monkeypatch, expected):
    monkeypatch.setitem(sys.modules, "jax", numpy_as_jax())
    contender = JaxRFLO(N, "float64")
    assert contender.time(STEPS - 10) > 0
    contender.time(10)
    assert_state(contender.state, expected, "float64")


def test_missing_jax_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(InputError, match=r"jax not installed: pip install neuroplast\[bench\]"):
        JaxRFLO(N, "float64")


def test_native_that_does_not_build_shows_the_last_lines(tmp_path):
    with pytest.raises(BuildError, match="RFLO with N=0, float64 was not built:\n(.*\n)*.*Error"):
        compile_native(0, "float64", 10, tmp_path)


@pytest.mark.parametrize("kind, bytes_moved", [("copy", 2 * 16 * 4), ("update", 4 * 16 * 4)])
def test_sweep_measures_and_counts_its_bytes(kind, bytes_moved):
    sweep = Sweep(4, "float32", kind)
    assert sweep.bytes == bytes_moved
    assert 0 < sweep.time(100) < 1e-3


def test_sweep_without_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match="install a C\\+\\+ compiler"):
        Sweep(4, "float64", "copy")


def test_run_reports_and_writes_all_samples(tmp_path):
    console = Console(record=True, width=100, file=open("/dev/null", "w"))
    path = tmp_path / "rflo.json"
    result = rflo.run((3, 5), 2, ("float32",), path, ("numpy",), seconds=1e-4, console=console)
    assert json.loads(path.read_text()) == result
    rows = [row for row in result["rows"] if row["contender"] == "numpy"]
    assert [row["N"] for row in rows] == [3, 5]
    assert all(len(row["samples"]) == row["taken"] == 2 for row in rows)
    assert all(0 < row["low"] <= row["median"] <= row["high"] < 1e-2 for row in rows)
    assert [ratio["bytes"] for ratio in result["ratios"]] == [4 * 9 * 4, 4 * 25 * 4]
    printed = console.export_text()
    assert "online RFLO step, float32" in printed and result["machine"]["about"]["numpy"] in printed


def test_ratios_and_shares_of_the_bandwidth():
    times = {"neuroplast": 2e-6, "native": 10e-6, "copy": 0.5e-6, "update": 1e-6}
    rows = [{"N": 10, "dtype": "float64", "contender": name, "median": time} for name, time in times.items()]
    rows.append({"N": 10, "dtype": "float64", "contender": "jax", "error": "jax not installed"})
    ratio = rflo.compare(10, "float64", rows, ("neuroplast", "native", "jax"))
    assert (ratio["native"], ratio["jax"]) == (pytest.approx(5), None)
    # A step moves 3200 bytes in 2 us: 1.6 GB/s. The copy moves 1600 in 0.5 us, the update 3200 in 1 us.
    assert (ratio["copy"], ratio["update"]) == (pytest.approx(3.2e9), pytest.approx(3.2e9))
    assert (ratio["of_copy"], ratio["of_update"]) == (pytest.approx(0.5), pytest.approx(0.5))


def test_disturbed_samples_are_left_out_if_there_are_others():
    samples = [{"seconds": s, "share": share} for s, share in ((1, 1.0), (3, 0.96), (9, 0.5))]
    assert summarize(samples) == {"median": 2, "low": 1, "high": 3, "kept": 2, "taken": 3}
    assert summarize(samples[2:]) == {"median": 9, "low": 9, "high": 9, "kept": 0, "taken": 1}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"dtypes": ("float16",)}, "dtypes should be of float64, float32. Got \\['float16'\\]"),
        (
            {"contenders": ("torch",)},
            "contenders should be of neuroplast, .*jax. Got \\['torch'\\]",
        ),
        ({"contenders": ()}, "Got none"),
        ({"sizes": (30, 0)}, "sizes=\\(30, 0\\)"),
        ({"repeats": 0}, "repeats=0"),
        ({"json": "/nowhere/at/all.json"}, "/nowhere/at/all.json cannot be written"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        rflo.run(**arguments)


def test_worker_survives_a_contender_that_cannot_run(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with Worker("copy", choose_core(), {"kind": "copy"}) as worker:
        assert "install a C++ compiler" in worker.measure(4, "float64", 10)["error"]
        assert "install a C++ compiler" in worker.measure(4, "float32", 10)["error"]


def test_worker_tells_why_a_process_died():
    with Worker("numpy", choose_core()) as worker:
        assert "negative dimensions" in worker.measure(-1, "float64", 10)["error"]
        assert "the process ended" in worker.measure(4, "float64", 10)["error"]


def test_children_choose_their_own_kernels_and_one_thread(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Nehalem")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    environment = child_environment()
    assert {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"}.isdisjoint(environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


def test_build_takes_the_import_off(monkeypatch, tmp_path):
    taken = {build.IMPORT: 1.0, "cold": 6.0, "second": 1.25}
    starts = []

    def fake(code):
        starts.append(code)
        return taken.get(code) or taken["second" if starts.count(code) == 2 else "cold"]

    monkeypatch.setattr(build, "time_python", fake)
    path = tmp_path / "build.json"
    result = build.run(repeats=2, json=path, console=Console(file=open("/dev/null", "w")))
    found = {name: result[name] for name in ("import_brian2", "cold_start", "second_start", "cold_build")}
    assert found == {"import_brian2": 1.0, "cold_start": 5.0, "second_start": 0.25, "cold_build": 4.75}
    assert json.loads(path.read_text()) == result


def test_starts_may_keep_their_bytecode(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    build.time_python("import sys; assert not sys.dont_write_bytecode")


def test_build_that_fails_shows_the_last_lines():
    assert build.time_python("pass") > 0
    with pytest.raises(BuildError, match="a start failed:\n(.*\n)*ZeroDivisionError"):
        build.time_python("1 / 0")


def test_record_trains_as_a_user_does():
    training = record.Training(3, "float64", record.RECORD["plain"])
    assert training.time(2 * record.STEPS) > 0
    assert training.about["bytes"] > 1000


def test_record_compares_whole_trainings(monkeypatch, tmp_path):
    class Known:
        """Answers without measuring: recording takes a fifth longer, of which a half is waiting for the disk."""

        def __init__(self, name, core, options):
            self.seconds, self.share = {"plain": (1e-4, 1.0), "recorded": (1.2e-4, 1.1 / 1.2)}[name]
            assert options == {"record": record.RECORD[name]}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def measure(self, N, dtype, steps):
            return {"seconds": N / 400 * self.seconds, "share": self.share, "about": {"bytes": 8 * N * steps}}

    monkeypatch.setattr(record, "Worker", Known)
    console = Console(width=150, record=True, quiet=True)
    result = record.run(repeats=3, json=tmp_path / "record.json", console=console)
    assert json.loads((tmp_path / "record.json").read_text()) == json.loads(json.dumps(result))
    small, large = result["rows"]
    assert [row["limit"] for row in result["rows"]] == [None, 1.15]
    assert large["ratio"] == pytest.approx(1.2) and large["cpu_ratio"] == pytest.approx(1.1)
    assert small["plain"]["median"] == pytest.approx(7.5e-6) and large["bytes"] == 3200 * large["steps"]
    assert large["steps"] % record.STEPS == 0 and small["steps"] == record.MOST
    monkeypatch.setattr(Known, "measure", lambda *_: {"error": "no compiler"})
    with pytest.raises(BuildError, match="bench record: no compiler"):
        record.run(console=console)
    with pytest.raises(InputError, match="bench record: sizes and repeats should be at least 1"):
        record.run(sizes=())
    with pytest.raises(InputError, match="absent/record.json cannot be written: make its folder first"):
        record.run(json=tmp_path / "absent" / "record.json")


@pytest.mark.parametrize("rule", autapse.UPDATES)
def test_learning_counts_what_it_keeps(rule):
    found = {}
    for length in (5, 40):
        learning = autapse.Learning(3, "float64", rule, length)
        assert learning.time(60) > 0
        found[length] = learning.about
        assert 0 < found[length]["tapes"] + 8 * 3 * 3 <= found[length]["state"] < 1e5
        assert found[length]["peak"] is None or 1e5 < found[length]["peak"] < 1e9
    kept = (2 * 3 + 3 + autapse.CHANNELS) * 8  # activity, slope, adjoint and error of a step
    assert [found[length]["tapes"] for length in (5, 40)] == (
        [5 * kept, 40 * kept] if rule in ("bptt", "fa") else [0, 0]
    )


def test_autapse_reports_growth_with_units_and_trajectories(monkeypatch, tmp_path):
    class Known:
        """Answers without measuring: N^2 nanoseconds a step; BPTT keeps three numbers of each unit and step."""

        def __init__(self, name, core, options):
            assert name == "learning" and options.keys() == {"rule", "length"}
            self.options = options

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def measure(self, N, dtype, steps):
            length, bptt = self.options["length"], self.options["rule"] == "bptt"
            assert steps % length == 0
            tapes = 3 * 8 * N * length * bptt
            peak = None if self.options["rule"] == "fa" else 10**7 + tapes
            return {"seconds": 1e-9 * N**2, "share": 1.0, "about": {"tapes": tapes, "state": 10**4, "peak": peak}}

    monkeypatch.setattr(autapse, "Worker", Known)
    console = Console(width=150, record=True, file=open("/dev/null", "w"))
    path = tmp_path / "autapse.json"
    result = autapse.run((8, 64, 128), (10, 40), 2, units=100, json=path, console=console)
    assert json.loads(path.read_text()) == result
    assert [(row["rule"], row["N"], row["T"]) for row in result["sizes"][:5]] == [
        *((rule, 8, 200) for rule in autapse.UPDATES), ("autapse", 64, 200)
    ]  # fmt: skip
    assert result["exponents"] == pytest.approx(dict.fromkeys(autapse.UPDATES, 2.0))
    assert result["growth"]["autapse"] == {"time": pytest.approx(1), "tapes": None, "peak": 0}
    assert result["growth"]["bptt"] == {"time": pytest.approx(1), "tapes": 4, "peak": 3 * 8 * 100 * 30}
    assert result["growth"]["fa"]["peak"] is None
    printed = console.export_text()
    assert "N to the power of (N >= 64): autapse 2.00, dfa 2.00" in printed and "tapes, kB, N = 100" in printed
    assert autapse.exponent([{"N": 64, "median": 1}, {"N": 8, "median": 1}]) is None
    monkeypatch.setattr(Known, "measure", lambda *_: {"error": "no compiler"})
    with pytest.raises(BuildError, match="bench autapse: autapse: no compiler"):
        autapse.run(console=console)
    for wrong in ({"sizes": ()}, {"lengths": (0,)}, {"seconds": 0}):
        with pytest.raises(InputError, match="bench autapse: sizes, lengths, repeats, units and steps should be at"):
            autapse.run(**wrong)
    with pytest.raises(InputError, match="absent/autapse.json cannot be written: make its folder first"):
        autapse.run(json=tmp_path / "absent" / "autapse.json")
