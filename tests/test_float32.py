"""Single precision: everywhere in the generated code, and with the results of double precision up to rounding."""

import re
import subprocess

import numpy as np
import pytest
from brian2 import ms
from engine_models import Dense, own_arrays

from neuroplast.engine import Phase, Population, Schedule, Simulation, build, start

STEPS = 5
NEURONS = """
dh/dt = (-h + tanh(I + 0.3*y))/tau : 1
f = exp(-h**2)/(1 + abs(x)) : 1
c = clip(0.7*x, -0.5, 0.5) + gain : 1 (constant over dt)
I : 1
J : 1
x : 1
y : 1
n : integer
"""
SYNAPSES = """
w : 1
q : 1
g : 1 (shared)
u = 0.1 + w*f_pre**2 : 1
dp/dt = (-p + 1e-2*u/(1 + q**2) + c_post/3)/tau : 1 (clock-driven)
I_post = 0.25*w*h_pre : 1 (summed)
J_pre = p*f_post - 1/8 : 1 (summed)
"""
POWERS = """
a = abs(w) + 0.5
q = a**2 + a**0.5 + a**w + 2**w + a**(-3) + (1 + i)**0.5 + a**i + 2**i + n_pre**2/10 + (k + 1)**h_pre
"""
FUNCTIONS = """
q = 0.1*(sin(w) + cos(x_pre) + exp(-0.3*abs(w)) + log(2 + y_post) + sqrt(1 + p**2) + tanh(q) + arctan(p))
q += 0.01*(floor(3.5*w) + ceil(w) + sign(w) + int(w > 0.1)*0.3 + int(w > 0.1 and p < 0.2) + exprel(w) + w % 0.7)
q += 0.01*(i % 3 + (i - 5) % 4 + (j - 3)//2 + 2.3//(1 + abs(w)) + 7 % (i + 2))
"""
STATEMENTS = """
g = 0.9*g + dt/tau
w = clip(w + eta*g*p*h_post + (k + 1)/(n_steps + 3)*1e-3 + i/(N_pre + j)*1e-3, -1, 1)
"""


def network(kit):
    A = kit.population("A", 9, NEURONS, order=10)
    B = kit.population("B", 1, NEURONS, order=11)
    orders = {"I_post": 0, "J_pre": 2, "update": 20}
    for name, source, target, shift in (("S", A, A, 0), ("T", B, A[3:], 0), ("U", A, B, 1)):
        model = SYNAPSES.replace("I_post", "y_post").replace("J_pre", "x_pre") if name != "S" else SYNAPSES
        renamed = {key.replace("I_", "y_").replace("J_", "x_"): place + 1 + shift for key, place in orders.items()}
        S = kit.synapses(name, source, target, model, orders if name == "S" else renamed)
        kit.regularly(S, POWERS, 30)
        kit.regularly(S, FUNCTIONS, 31)
        kit.regularly(S, STATEMENTS, 32)
        kit.fill(S, "w", "p", "q")
    for group in (A, B):
        kit.fill(group, "h", "x", "y")
        kit.set(group, "n", np.arange(len(group)))
    kit.regularly(A, "y = 0.9*y + 0.1*sin(0.3*h)**2 + 1e-3*n", 40)
    kit.monitor("M", A, ["h", "f"])


def noise(kit):
    """Random numbers: in neurons, synapses and sums."""
    A = kit.population("A", 6, "dh/dt = (-h + 0.5*randn())/tau : 1\nI : 1", order=10)
    S = kit.synapses("S", A, A, "w : 1\nI_post = w*rand() : 1 (summed)", {"I_post": 1})
    kit.regularly(S, "w += 0.1*(rand() - 0.5)", 30)


@pytest.fixture(scope="module")
def single():
    return Dense("cpp", dtype="float32").build({"net": network, "noise": noise}).simulation(STEPS).build()


@pytest.fixture(scope="module")
def double():
    return Dense("numpy").build({"net": network}).simulation(STEPS).run()


def assert_close(found, truth):
    for part in ("state", "monitors"):
        assert set(getattr(truth, part)) <= set(getattr(found, part))
    for name, expected in truth.state.items():
        if name.startswith("net"):
            np.testing.assert_allclose(found.state[name], expected, rtol=2e-5, atol=2e-5, err_msg=name)
    for name, expected in truth.monitors["net_M"].items():
        np.testing.assert_allclose(found.monitors["net_M"][name], expected, rtol=2e-5, atol=2e-5, err_msg=name)


def test_compiled_results_are_those_of_double_precision(single, double):
    assert_close(single.run(), double)


def test_numpy_results_are_those_of_double_precision(double):
    kit = Dense("numpy", dtype="float32").build({"net": network})
    result = kit.simulation(STEPS).run()
    assert_close(result, double)
    for group in kit.groups.values():
        assert {array.dtype.name for _, array in own_arrays(group)} <= {"float32", "int32", "bool"}


def test_random_numbers_are_the_same_on_both_targets(single):
    expected = Dense("numpy", dtype="float32").build({"noise": noise}).simulation(STEPS).run(seed=3)
    state = single.run(seed=3).state
    for name in ("noise_A.h", "noise_A.I", "noise_S.w"):
        np.testing.assert_allclose(state[name], expected.state[name], rtol=1e-5, atol=1e-6, err_msg=name)
        assert state[name].dtype == np.float32


def bodies(simulation):
    """The functions of the generated operations, by name; the clock, and monitors of it, stay double."""
    monitors = {f"{monitor.name}_codeobject" for monitor in simulation._backend.monitors}
    for path in sorted((simulation._backend.project / "code_objects").glob("*.cpp")):
        if path.stem in monitors:
            continue
        body = path.read_text().split(f"void _run_{path.stem}()")[1]
        yield path.stem, "\n".join(line for line in body.splitlines() if "_ptr_array_defaultclock_" not in line)


def test_no_double_in_generated_code(single):
    found = dict(bodies(single))
    assert len(found) > 20
    assert not {name: body for name, body in found.items() if re.search(r"\bdouble\b", body)}


def test_nothing_is_promoted_to_double(single, tmp_path):
    # The compiler sees what is computed in double, written or not: the last line shows that it looks.
    project, source = single._backend.project, tmp_path / "check.cpp"
    source.write_text('#include "hot.cpp"\nfloat promoted(float x) { return 0.5 * x; }\n')
    flags = [flag for flag in build.flags(single.device)[0] if flag != "-w"]
    includes = [f"-I{project}", f"-I{build.TEMPLATES}"]
    command = [build.compiler(), *flags, "-fsyntax-only", "-Wdouble-promotion", *includes, str(source)]
    messages = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    warnings = [line for line in messages if "[-Wdouble-promotion]" in line]
    assert warnings and all(line.startswith(str(source)) for line in warnings), warnings


@pytest.mark.parametrize("dtype, ends", [("float32", True), ("float64", False)])
@pytest.mark.parametrize("threads", [1, 2])
def test_what_fades_ends_at_zero_in_single_precision(dtype, ends, threads):
    # Products with numbers below the normal ones take a hundred times as long. Panels for two threads.
    start("cpp", dt=1 * ms, dtype=dtype)
    group = Population(9000, "x : 1", name="group")
    group.x = np.finfo(dtype).tiny * 2.0 ** (np.arange(9000) % 20)
    fade = group.run_regularly("x *= 0.5", name="fade")
    simulation = Simulation(Schedule([Phase("run", [fade], 22)]), name="fading", threads=threads)
    x = simulation.run().state["group.x"]
    assert (x == 0).all() if ends else (x > 0).all()
