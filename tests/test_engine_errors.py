"""Bad input to the engine: each error names the object, gives the value and says what to do."""

import re

import brian2
import numpy as np
import pytest
from bad_input import build, error_of, pair, refused
from brian2 import ms, volt
from engine_models import Native

from neuroplast.engine import DenseSynapses, Event, NativeOperation, Phase, Population, Schedule, Simulation, start
from neuroplast.engine.operations import operations_of
from neuroplast.errors import InputError

TARGETS = ["numpy", "cpp"]


@pytest.fixture(params=TARGETS)
def target(request):
    """A target that has been started; nothing here gets as far as the compiler."""
    start(request.param, dt=1 * ms)
    return request.param


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "got"),
    [
        (np.zeros(5), "Got 5 values of shape (5,)"),
        (np.zeros((2, 3)), "Got 6 values of shape (2, 3)"),
        (np.zeros((3, 2, 1)), "Got 6 values of shape (3, 2, 1)"),
        (np.zeros(0), "Got 0 values of shape (0,)"),
    ],
)
def test_weights_of_the_wrong_shape(target, weights, got):
    _, _, S = pair()
    text = error_of(lambda: setattr(S, "w", weights))
    assert text == f"S.w takes one value or 6 values or a matrix of shape (3, 2). {got}."


def test_parts_of_the_wrong_size(target):
    A, _, S = pair()
    refused(r"S.w takes one value or 2 values. Got 3", lambda: S.w.__setitem__((0, slice(None)), [1, 2, 3]))
    refused(r"A.x takes one value or 2 values. Got 3", lambda: A.x.__setitem__(slice(1, 3), [1, 2, 3]))
    refused(r"A\w*.x takes one value or 2 values. Got 1 .*|Got 3", lambda: setattr(A[1:3], "x", [1, 2, 3]))


def test_values_that_fit_are_taken_as_matrix_flat_and_by_expression(target):
    A, _, S = pair("w : 1\nu : 1\nv : 1\nz : 1")
    matrix = np.arange(6.0).reshape(3, 2)
    S.w, S.u, S.v = matrix, matrix.ravel(), "i*10 + j + x_pre"
    S.z[1, :], S.z[:, 0], S.z["i == j"] = 7, [1, 2, 3], -1
    A.x, A.h[1:], A.I["i > 0"] = "i/N", [4, 5], 6
    for found, values in (
        (S.w, matrix), (S.u, matrix), (S.v, [[0, 1], [10, 11], [20, 21]]), (S.z, [[-1, 0], [2, -1], [3, 0]]),
        (A.x, [0, 1 / 3, 2 / 3]), (A.h, [0, 4, 5]), (A.I, [0, 6, 6]),
    ):  # fmt: skip
        np.testing.assert_allclose(np.asarray(found), np.ravel(values))


def test_random_initial_values_by_string(target):
    A, _, S = pair()
    refused(r"'A': rand\(\) in a string cannot set initial values.*numpy.random.default_rng", setattr, A, "x", "rand()")
    refused(r"'S': randn\(\) in a string", setattr, S, "w", "0.1*randn()")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"S.weight": 1}, "'net': no state variable is called 'S.weight'; there are A.I, A.h.*S.w"),
        ({"S.w": np.zeros((2, 3))}, r"'net': S.w takes .* 6 numbers or a matrix of shape \(3, 2\)\. .*\(2, 3\)"),
        ({"A.x": np.zeros(4)}, r"'net': A.x takes one number, 3 numbers or a matrix of shape \(3, 1\)\. .*\(4,\)"),
        ({"A.x": [0, np.nan, 0]}, r"'net': A.x\[1\] is nan at the start"),
        ({"A.x": [0, 0, np.inf]}, r"'net': A.x\[2\] is inf at the start"),
        ({"A.x": "many"}, "'net': A.x takes one number, .* Got <U4 values"),
    ],
)
def test_bad_states(state, words):
    start("numpy", dt=1 * ms)
    refused(words, build(*pair()).run, state)


def test_values_that_are_not_finite_from_the_start():
    start("numpy")
    A, B, S = pair()
    S.w[2, 1] = np.nan
    refused(r"'net': S.w\[5\] is nan at the start. Give finite values", build(A, B, S).run)


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, "1"])
def test_bad_seeds(seed):
    start("numpy")
    simulation = build(*pair())
    refused("seed is .*from 0 to 2", lambda: simulation.run(seed=seed))


# -- sizes, masks, batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("N", [0, -3, 2.5, "five", None])
def test_sizes_of_populations(target, N):
    refused(f"'A': N should be a whole number of at least 1. Got {N!r}", lambda: Population(N, "x : 1", name="A"))
    refused(f"'A': batch .* Got {N!r}", lambda: Population(2, "x : 1", name="A", batch=N))


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.ones(6, bool), np.ones((3, 3), bool), True])
def test_masks_of_the_wrong_shape(target, mask):
    words = rf"'S': the mask should have shape \(N_pre, N_post\) = \(3, 2\)\. Got {re.escape(str(np.shape(mask)))}"
    refused(words, lambda: pair(mask=mask))


def test_masks_that_are_no_booleans(target):
    refused("'S': the mask should hold booleans. Got float64", lambda: pair(mask=np.full((3, 2), 0.5)))


def test_batches_that_differ(target):
    A, B = Population(3, "x : 1", batch=4, name="A"), Population(2, "x : 1", batch=5, name="B")
    refused("'S': source and target should have the same batch size. Got 4 for 'A' and 5 for 'B'",
            lambda: DenseSynapses(A, B, "w : 1", name="S"))  # fmt: skip


@pytest.mark.parametrize("item", [1, [0, 1], slice(None, None, 2), slice(2, 2), slice(5, 9), "i > 2"])
def test_subgroups_that_are_no_slices(target, item):
    refused("Population 'A'.*Got ", lambda: Population(4, "x : 1", name="A")[item])


def test_a_slice_of_a_slice_counts_neurons(target):
    A = Population(8, "x : 1", batch=4, name="A")
    part = A[2:7][1:3]
    assert (part.start, part.stop) == (12, 20)
    refused("a subgroup should be a contiguous", lambda: part[2:])


# -- what has no place in a schedule -------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["on_pre", "on_post", "delay", "multisynaptic_index"])
def test_spikes_and_delays(target, option):
    refused(f"'S': {option} has no dense form.*brian2.Synapses have it", lambda: pair(**{option: "w += 1"}))


def test_equations_that_wait_for_spikes(target):
    refused(r"'S': p would change with spikes only. Write \(clock-driven\)",
            lambda: pair("dp/dt = -p/ms : 1 (event-driven)"))  # fmt: skip


def test_connecting_again(target):
    A, _, S = pair()
    refused(r"'S': connect\(\) is not for schedules.*mask=", lambda: S.connect(p=0.1))
    plain = brian2.Synapses(A, A, "w : 1", name="plain")
    refused(r"'plain': connect\(\) is not for schedules", lambda: plain.connect(i=0, j=1))


def test_clocks_of_their_own(target):
    A, B, S = pair()
    refused(r"'S': an operation with a dt of its own.*k % 10 == 0", lambda: S.run_regularly("w = 1", dt=2 * ms))
    A.run_regularly("x = 1", dt=2 * ms, name="slow")
    refused(r"'slow' has a clock of its own \(dt = 2. ms\).*k % n == 0", build, A)


def test_a_monitor_with_a_clock_of_its_own(target):
    A, *_ = pair()
    M = brian2.StateMonitor(A, "x", record=True, dt=5 * ms, name="M")
    refused(r"'M' has a clock of its own \(dt = 5. ms\)", build, A, M)


def test_what_a_schedule_cannot_run(target):
    A = Population(2, "x : 1", threshold="x > 1", name="A")

    def python():
        pass

    objects = [
        brian2.PopulationRateMonitor(A),
        brian2.NetworkOperation(python),
        brian2.PoissonInput(A, "x", 1, 1 * brian2.Hz, 1),
        A[0:1],
        3,
    ]
    for thing in objects:
        with pytest.raises(InputError, match=f"A schedule runs populations.*a {type(thing).__name__}"):
            operations_of([A, thing], set())


def test_objects_of_the_simulation_before(target):
    A = Population(2, "x : 1", name="A")
    A.run_regularly("x = 1", name="old")
    start(target, dt=1 * ms)
    refused("'old' belongs to an earlier simulation. Make all objects .* after one start", build, A)


def test_objects_made_before_any_start():
    Native()
    for make in (lambda: Population(2, "x : 1", name="A"), lambda: Simulation(Schedule([]))):
        refused(r"No simulation has been started. Call neuroplast.engine.start\('cpp'\)", make)


def test_two_objects_of_one_name(target):
    A, other = Population(2, "x : 1", name="A"), Population(3, "y : 1", name="A")
    refused("'net': there are two A.i. Give each object a name of its own", build, A, other)


def test_two_operations_of_one_name(target):
    A = Population(2, "x : 1", name="A")
    A.run_regularly("x = 1", name="same"), A.run_regularly("x = 2", name="same", order=1)
    refused("Two objects of the schedule are called 'same'", build, A)


def test_two_simulations_of_the_same_objects():
    start("numpy")
    A = Population(2, "x : 1", name="A")
    build(A)
    refused("'net': simulation 'net' has been built, or tried, .* since start.*one schedule", build, A)


def test_a_simulation_is_built_after_another_was_started(target):
    """Neither the device, the precision nor the time step of the other get in."""
    if target == "cpp":
        start("numpy", dt=1 * ms)
    A = Population(2, "x : 1", name="A")
    A.run_regularly("x += t/ms + 1", name="step")
    simulation = Simulation(Schedule([Phase("run", [A], 3)]), namespace={})
    start("cpp", dtype="float32", dt=5 * ms)
    B = Population(2, "y : 1", name="B")
    result = simulation.run()
    np.testing.assert_allclose(result.state["A.x"], 6)
    assert result.state["A.x"].dtype == np.float64
    assert B.y_.dtype == np.float32 and brian2.defaultclock.dt == 5 * ms


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"target": "gpu"}, "target should be one of cpp, numpy. Got 'gpu'"),
        ({"dtype": "float16"}, "dtype should be one of float64, float32. Got 'float16'"),
        ({"dt": 1}, "dt should be a positive time such as 1.ms. Got 1"),
        ({"dt": -1 * ms}, "dt should be a positive time"),
        ({"dt": 1 * volt}, "dt should be a positive time"),
    ],
)
def test_bad_starts(arguments, words):
    refused(words, lambda: start(**arguments))


def test_the_time_step_of_the_simulation_before_is_forgotten():
    start("numpy", dt=7 * ms)
    start("numpy")
    assert brian2.defaultclock.dt == 0.1 * ms


# -- order ---------------------------------------------------------------------------------------------------


def test_unknown_keys_of_order(target):
    equations = "dw/dt = -w/ms : 1 (clock-driven)\nI_post = w*x_pre : 1 (summed)"
    refused("'S': order names I_pre, updates; allowed are update, I_post",
            lambda: pair(equations, order={"I_pre": 1, "updates": 2}))  # fmt: skip


@pytest.mark.parametrize("order", ["first", {"I_post": "last"}, {"I_post": 1.5}, None])
def test_orders_that_are_no_integers(target, order):
    words = "'S': order of (update|I_post) should be an integer. Got ('first'|'last'|1.5|None)"
    refused(words, lambda: pair("w : 1\nI_post = w*x_pre : 1 (summed)", order=order))
    if not isinstance(order, dict):
        refused("'C': order should be an integer", lambda: Population(2, "x : 1", name="C", order=order))


def test_two_operations_whose_order_is_open(target):
    A, B, S = pair("w : 1\nI_post = w*x_pre : 1 (summed)", order={"I_post": 3})
    A.run_regularly("x = 1", when="groups", order=3, name="set_x")
    words = "'run': '(S_summed_variable_I_post|set_x)' and '.*' both have when='groups', order=3, and one writes A.x"
    refused(words, build, A, B, S)


def test_operations_that_do_not_touch_may_share_a_place(target):
    A, B, S = pair("w : 1\nI_post = w*x_pre : 1 (summed)", order={"I_post": 3})
    A.run_regularly("h = x", when="groups", order=3, name="set_h")
    if target == "numpy":
        build(A, B, S)


def test_two_sums_into_one_variable(target):
    A, B, S = pair("w : 1\nI_post = w*x_pre : 1 (summed)", order={"I_post": 3})
    T = DenseSynapses(A, B[0:1], "u : 1\nI_post = u*x_pre : 1 (summed)", name="T", order={"I_post": 4})
    refused("'run': 'S' and 'T' both sum into B.I.*a variable of its own", build, A, B, S, T)


def test_sums_into_parts_that_do_not_overlap(target):
    A, B = Population(3, "x : 1", name="A"), Population(4, "I : 1", name="B")
    parts = [
        DenseSynapses(A, B[n : n + 2], "w : 1\nI_post = w*x_pre : 1 (summed)", name=f"S{n}", order={"I_post": n})
        for n in (0, 2)
    ]
    if target == "numpy":
        build(A, B, *parts)


def test_a_sum_that_reads_what_it_replaces(target):
    A, equations = Population(3, "x : 1\nI : 1", name="A"), "w : 1\nI_post = w*I_pre + x_pre : 1 (summed)"
    words = "'S': the sum into I_post reads I_pre, the variable that it replaces"
    refused(words, lambda: DenseSynapses(A, A, equations, name="S"))


# -- native operations ---------------------------------------------------------------------------------------


def test_native_operations(target):
    def nothing(value):
        return ""

    kwds = {"cpp": nothing, "numpy": nothing, "reads": (), "writes": ()}
    refused("name should be an identifier. Got 'two words'", lambda: NativeOperation("two words", **kwds))
    refused("'op': when should be one of before_start, .* Got 'sometimes'",
            lambda: NativeOperation("op", when="sometimes", **kwds))  # fmt: skip


@pytest.mark.parametrize("threads", [0, -1, 1.5, "two"])
def test_threads(target, threads):
    refused(f"'net': threads should be a whole number of at least 1. Got {threads!r}",
            lambda: Simulation(Schedule([Event("x", [])]), name="net", threads=threads))  # fmt: skip
