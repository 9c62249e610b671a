"""The same seed gives the same bytes: in pieces or at once, on any number of threads, in any process."""

import numpy as np
import pytest
from brian2 import StateMonitor, ms
from engine_models import numbers

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, Tape, start

TARGETS = ["numpy", "cpp"]
TRIALS, STEPS = 50, 3


def learning(threads=1):
    """Trials that are recorded, run backward and learnt from, with noise everywhere; and a batch with products."""
    R = Population(
        6,
        """dh/dt = (-h + tanh(I) + 0.1*randn())/(10*ms) : 1
        I : 1
        last : 1
        back : 1
        z : 1""",
        method="euler",
        order=10,
        name="R",
    )
    W = DenseSynapses(
        R,
        R,
        """w : 1
        G : 1
        dp/dt = (h_pre - p)/(5*ms) : 1 (clock-driven)
        I_post = w*h_pre : 1 (summed)
        back_pre = (w + 0.01*rand())*z_post : 1 (summed)""",
        order={"I_post": 0, "back_pre": 5, "update": 20},
        name="W",
    )
    total, back = W.summed_updaters["I_post"], W.summed_updaters["back_pre"]
    last = R.run_regularly("last = h", when="groups", order=5, name="last")
    online = W.run_regularly("w += 1e-3*p*h_post", order=30, name="online")
    reset = R.run_regularly("h = 0.1*rand()\nz = 0", name="reset")
    adjoint = R.run_regularly("z = 0.9*z + 0.1*back + last + 0.01*randn()", when="groups", order=10, name="adjoint")
    update = W.run_regularly("w -= 1e-3*G + 1e-4*rand()", order=0, name="update")
    tape, other = Tape(R, ["last"], STEPS, name="tape"), Tape(R, ["z"], STEPS, name="other")
    gradient = W.accumulate("G", "last_pre*z_post", over=(tape, other), name="gradient")
    M = StateMonitor(R, ["h", "z", "trial", "k"], record=True, when="end", name="M")
    W.w = numbers("w", (6, 6))
    # Large enough for sweeps that alternate their direction.
    L = Population(250, "x : 1\nJ : 1", name="L")
    V = DenseSynapses(L, L, "v : 1\nJ_post = v*x_pre : 1 (summed)", order={"J_post": 0}, name="V")
    L.run_regularly("x = tanh(J + 0.1*rand())", when="groups", order=10, name="large")
    V.run_regularly("v += 1e-3*x_pre*x_post", order=20, name="hebb")
    V.v = 0.1 * numbers("v", (250, 250))
    body = [
        Event("reset", [reset]),
        Phase("run", [total, last, R.state_updater, W.state_updater, online, tape.store(), M], STEPS),
        Phase("replay", [tape.load(), back, adjoint, other.store(), M], STEPS, clock="hold", direction=-1),
        Event("gradient", [gradient]),
        Event("update", [update]),
        Phase("large", [L, V, V.summed_updaters["J_post"]], 2),
        Event("sum", [V.summed_updaters["J_post"]]),
    ]
    return Simulation(Schedule([Loop("trial", TRIALS, body)]), namespace={}, threads=threads)


@pytest.fixture(scope="module", params=TARGETS)
def simulation(request):
    start(request.param, dt=1 * ms)
    return learning().build()


@pytest.fixture(scope="module")
def whole(simulation):
    return simulation.run(seed=7)


def assert_same_bytes(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name


# Positions within a trial: 0 reset, 1 run, 2 replay, 3 gradient, 4 update, 5 large, 6 sum.
@pytest.mark.parametrize(
    "cuts",
    [(70, 200), (2,), (3, 4), (347, 348, 349), (1, 8, 9, 295), (175,), (0, 350)],
    ids=["70,200", "before replay", "between events", "around large", "odd places", "half", "at the ends"],
)
def test_pieces_are_the_whole(simulation, whole, cuts):
    assert simulation.length() == 350
    state, position, pieces = None, 0, []
    for stop in (*cuts, 350):
        piece = simulation.run(state, start=position, stop=stop, seed=7)
        state, position = piece.state, piece.position
        pieces.append(piece.monitors["M"])
    assert_same_bytes(state, whole.state)
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in whole.monitors["M"]}
    assert_same_bytes(joined, whole.monitors["M"])


def test_a_run_leaves_nothing_for_the_next(simulation, whole):
    simulation.run({"W.w": np.zeros((6, 6))}, seed=1, counts={"trial": 2, "run": 2})
    again = simulation.run(seed=7)
    assert_same_bytes(again.state, whole.state)
    assert_same_bytes(again.monitors["M"], whole.monitors["M"])


def test_another_seed_gives_other_numbers(simulation, whole):
    other = simulation.run(seed=8)
    for name in ("R.h", "W.w", "W.p", "R.z"):
        assert (other.state[name] != whole.state[name]).all(), name
    assert (other.monitors["M"]["h"] != whole.monitors["M"]["h"]).all()


def test_both_targets_draw_the_same_numbers():
    states = []
    for target in TARGETS:
        start(target, dt=1 * ms)
        states.append(learning().run(seed=7, counts={"trial": 3}).state)
    for name, values in states[0].items():
        np.testing.assert_allclose(values, states[1][name], rtol=1e-11, atol=1e-12, err_msg=name)


def test_calls_of_random_functions_are_independent():
    """Each call in each operation has numbers of its own, each step and each neuron as well."""
    start("numpy", dt=1 * ms)
    A = Population(500, "a : 1\nb : 1\nc : 1\nd : 1", name="A")
    A.run_regularly("a = randn()\nb = randn()", name="first")
    A.run_regularly("c = randn()", name="second", order=1)
    A.run_regularly("d = c", name="last", order=-1)
    state = Simulation(Schedule([Phase("run", [A], 2)]), namespace={}).run(seed=1).state
    drawn = [state[f"A.{name}"] for name in "abcd"] + [np.roll(state["A.a"], 1)]
    correlations = np.corrcoef(drawn)[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(500)


def test_names_that_brian2_gives_do_not_depend_on_what_lives():
    """Two networks without names in one process: the same numbers, though the first is still there."""
    runs, kept = [], []
    for _ in range(2):
        start("numpy", dt=1 * ms)
        A = Population(5, "dx/dt = -x/(10*ms) : 1", method="euler")
        A.run_regularly("x = rand()")
        kept.append(A)
        runs.append(Simulation(Schedule([Phase("run", [A], 3)]), namespace={}).run(seed=2).state)
    assert_same_bytes(*runs)


def batch(threads):
    """Products that are large enough to be shared out over threads, in both directions."""
    start("cpp", dtype="float32", dt=1 * ms)
    A = Population(800, "x : 1\nI : 1", batch=64, name="A", order=10)
    B = Population(60, "y : 1\nJ : 1", batch=64, name="B", order=10)
    S = DenseSynapses(
        A, B, "w : 1\nG : 1\nc : 1\nplace : 1\nJ_post = w*x_pre : 1 (summed)\nI_pre = w*y_post : 1 (summed)",
        order={"J_post": 0, "I_pre": 12}, name="S",
    )  # fmt: skip
    A.run_regularly("x = tanh(0.1*I) + 0.1*randn()", when="groups", order=11, name="draw_x")
    B.run_regularly("y = tanh(J)", when="groups", order=11, name="draw_y")
    S.accumulate("G", "x_pre*y_post", order=20, name="gradient")
    S.run_regularly("w -= 1e-3*G\nc = N_pre - N_post + place", order=30, name="learn")
    S.w, S.place = 0.05 * numbers("w", (800, 60)), "i/(j + 1)"
    return Simulation(Schedule([Phase("run", [A, B, S], 5)]), namespace={}, threads=threads).run(seed=3)


@pytest.fixture(scope="module")
def batches():
    return [batch(threads).state for threads in (1, 2, 3)]


def test_threads_do_not_change_a_byte(batches):
    one, two, three = batches
    assert np.abs(one["S.w"]).max() > 0.01 and np.isfinite(one["A.I"]).all()
    assert_same_bytes(two, one)
    assert_same_bytes(three, one)


def test_indices_and_sizes_in_a_batch_count_neurons(batches):
    i, j = np.arange(800)[:, None], np.arange(60)
    np.testing.assert_allclose(batches[0]["S.c"].reshape(800, 60), 740 + i / (j + 1), rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 2**64 - 1, np.int64(5)])
def test_every_64_bit_seed_is_taken(simulation, seed):
    state = simulation.run(seed=seed, stop=1).state
    assert len(set(state["R.h"])) == 6
