"""Tapes: a phase that is recorded and run backward, and the products over what was recorded."""

import numpy as np
import pytest
from brian2 import StateMonitor, ms
from engine_models import numbers

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, Tape, start
from neuroplast.errors import InputError

STEPS, N = 12, 5
TARGETS = ["numpy", "cpp"]
SHARE = 0.1  # dt/tau


def recurrent(length=None):
    """A recurrent network, its adjoint on the recorded trial, and the gradient as a product over two tapes."""
    R = Population(
        N,
        """dh/dt = (-h + tanh(I))/(10*ms) : 1
        I : 1
        last : 1
        slope : 1
        err : 1
        z : 1
        back : 1
        delta : 1""",
        method="euler",
        order=10,
        name="R",
    )
    W = DenseSynapses(
        R,
        R,
        """w : 1
        G : 1
        I_post = w*h_pre : 1 (summed)
        back_pre = w*delta_post : 1 (summed)""",
        order={"I_post": 0, "back_pre": 5},
        name="W",
    )
    last = R.run_regularly("last = h", when="groups", order=5, name="R_last")
    error = R.run_regularly("slope = 1 - tanh(I)**2\nerr = h - sin(0.3*k + i)", when="groups", order=15, name="R_error")
    adjoint = R.run_regularly(
        "z = (1 - 0.1)*z + back + err\ndelta = 0.1*slope*z", when="groups", order=10, name="R_adjoint"
    )
    begin = R.run_regularly("z = 0\ndelta = 0", name="R_begin")
    forward = Tape(R, ["last", "slope", "err"], STEPS, name="forward")
    backward = Tape(R, ["delta"], STEPS, name="backward")
    gradient = W.accumulate("G", "last_pre*delta_post", over=(forward, backward), name="W_gradient")
    R.h = numbers("h", N)
    W.w = 1.5 * numbers("w", (N, N))
    back = W.summed_updaters["back_pre"]
    return [
        Phase(
            "run", [W.summed_updaters["I_post"], last, R.state_updater, error, forward.store()], STEPS, length=length
        ),
        Event("begin", [begin]),
        Phase("replay", [forward.load(), back, adjoint, backward.store()], STEPS, "hold", -1, length),
        Event("gradient", [gradient]),
    ]


def loss_and_gradient(w, steps, h=None):
    """The same in numpy: half the sum of squared errors, and its derivative by backpropagation through time."""
    h, loss, trace = numbers("h", N) if h is None else h, 0.0, []
    for k in range(steps):
        slope = 1 - np.tanh(h @ w) ** 2
        new = (1 - SHARE) * h + SHARE * np.tanh(h @ w)
        error = new - np.sin(0.3 * k + np.arange(N))
        trace.append((h, slope, error))
        h, loss = new, loss + 0.5 * np.sum(error**2)
    gradient, z, delta = np.zeros((N, N)), np.zeros(N), np.zeros(N)
    for last, slope, error in reversed(trace):
        z = (1 - SHARE) * z + w @ delta + error
        delta = SHARE * slope * z
        gradient += np.outer(last, delta)
    return loss, gradient


def test_the_truth_is_the_derivative():
    w, direction = 1.5 * numbers("w", (N, N)), numbers("direction", (N, N))
    step = 1e-5 * direction
    slope = (loss_and_gradient(w + step, STEPS)[0] - loss_and_gradient(w - step, STEPS)[0]) / 2e-5
    np.testing.assert_allclose(np.sum(loss_and_gradient(w, STEPS)[1] * direction), slope, rtol=1e-8)


def products():
    """A batch, parts of populations, a mask, tapes that are longer than the phase; some rows with an offset."""
    A = Population(6, "x : 1\ny : 1\nu : 1\nv : 1", batch=3, name="A")
    step = A.run_regularly("x = sin(i + 2*k)\ny = cos(i - k)", when="groups", order=1, name="A_step")
    tape = Tape(A, ["x", "y"], 7, name="tape")
    part = Population(6, "x : 1\nu : 1", name="part")
    inner = Tape(part[2:5], ["x"], 4, name="inner")
    part_step = part.run_regularly("x = i + 10*k", when="groups", order=1, name="part_step")
    mask = np.arange(12).reshape(3, 4) % 3 > 0
    S = DenseSynapses(A[1:4], A[2:6], "G : 1\nH : 1\nL : 1", name="S")
    M = DenseSynapses(A[1:4], A[2:6], "G : 1\nH : 1", mask=mask, name="M")
    H = numbers("H", (3, 4))
    for synapses in (S, M):
        synapses.H = H
    sums = [
        synapses.accumulate(target, "x_pre*y_post", over=tape, add=target == "H", name=f"{synapses.name}_{target}")
        for synapses in (S, M)
        for target in ("G", "H")
    ]
    load = tape.load({"x": "u", "y": "v"}, shift=-1)
    replayed = StateMonitor(A, ["u", "v"], record=True, when="end", name="replayed")
    again = StateMonitor(part, "u", record=True, when="end", name="again")
    return [
        Phase("record", [step, tape.store(["x"], when="groups", order=2, name="store_x"), tape.store(["y"]),
                         part_step, inner.store()], 4),
        Event("sum", sums),
        Phase("play", [load, replayed, inner.load({"x": "u"}), again], 4, direction=-1),
        Phase("other", [], 0),
        Event("late", [S.accumulate("L", "x_pre*y_post", over=tape, name="late")]),
    ]  # fmt: skip


@pytest.fixture(scope="module", params=TARGETS)
def simulation(request):
    start(request.param, dt=1 * ms)
    return Simulation(Schedule([Loop("trial", 1, recurrent()), *products()]), namespace={}).build()


@pytest.mark.parametrize("steps", [STEPS, 5, 1])
def test_adjoint_gives_the_gradient(simulation, steps):
    state = simulation.run(counts={"run": steps, "replay": steps}).state
    _, expected = loss_and_gradient(1.5 * numbers("w", (N, N)), steps)
    np.testing.assert_allclose(state["W.G"].reshape(N, N), expected, rtol=1e-12, atol=1e-13)


def test_products_over_a_batch(simulation):
    state = simulation.run().state
    index, k = np.arange(18).reshape(6, 1, 3), np.arange(4).reshape(-1, 1)
    x, y = np.sin(index + 2 * k), np.cos(index - k)  # neurons, steps, copies
    total = np.einsum("ikc,jkc->ij", x[1:4], y[2:6])
    mask, H = np.arange(12).reshape(3, 4) % 3 > 0, numbers("H", (3, 4))
    for name, expected in (
        ("S.G", total), ("S.H", H + total), ("M.G", mask * total), ("M.H", mask * (H + total)),
    ):  # fmt: skip
        np.testing.assert_allclose(state[name].reshape(3, 4), expected, rtol=1e-12, atol=1e-13, err_msg=name)


def test_rows_are_read_back_with_an_offset_and_zero_outside(simulation):
    recorded = simulation.run().monitors["replayed"]
    k = np.array([2, 1, 0])[:, None]
    np.testing.assert_allclose(recorded["u"], np.vstack([np.sin(np.arange(18) + 2 * k), np.zeros(18)]), atol=1e-14)
    np.testing.assert_allclose(recorded["v"], np.vstack([np.cos(np.arange(18) - k), np.zeros(18)]), atol=1e-14)


def test_a_part_of_a_population_is_recorded_and_read_back(simulation):
    u = simulation.run().monitors["again"]["u"]
    inside = np.arange(2, 5) + 10 * np.array([3, 2, 1, 0])[:, None]
    np.testing.assert_array_equal(u, np.hstack([np.zeros((4, 2)), inside, np.zeros((4, 1))]))


def test_no_steps_give_no_sum(simulation):
    state = simulation.run({"S.G": np.ones(12), "W.G": np.ones(N * N)}, counts=dict.fromkeys(
        ("run", "replay", "record", "play"), 0)).state  # fmt: skip
    assert not state["S.G"].any() and not state["W.G"].any()
    np.testing.assert_array_equal(state["S.H"].reshape(3, 4), numbers("H", (3, 4)))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"run": STEPS + 1}, "forward has 12 rows"),
        ({"record": 8, "play": 8}, "tape has 7 rows|inner has 4 rows"),
        ({"other": 8}, "late: the tape has 7 rows, the phase before had more steps; list the event right after"),
    ],
)
def test_more_steps_than_rows_are_refused(simulation, counts, words):
    with pytest.raises(InputError, match=words):
        simulation.run(counts=counts)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda A, S: Tape(A, ["nothing"], 3, name="t"), "'nothing' is no array variable of 'A'. .*m, n, v, x, y"),
        (lambda A, S: Tape(A, ["shared"], 3, name="t"), "'shared' is no array variable"),
        (lambda A, S: Tape(A, ["f"], 3, name="t"), "constant over dt"),
        (lambda A, S: Tape(A, ["x"], 0, name="t"), "Tape 't': steps should be a whole number of at least 1. Got 0"),
        (lambda A, S: Tape(A, ["x"], 2.5, name="t"), "Got 2.5"),
        (lambda A, S: Tape(A, ["x"], 3, name="t").store(["y"]), "Tape 't' has x. Got y"),
        (lambda A, S: Tape(A, ["x"], 3, name="t").load(["y"]), "Tape 't' has x. Got y"),
        (lambda A, S: Tape(A, ["x"], 3, name="t").load({"x": "z"}), "'z' of 'A' cannot take 'x'. .*'z : 1'"),
        (lambda A, S: Tape(A, ["x"], 3, name="t").load({"x": "shared"}), "'shared' of 'A' cannot take 'x'"),
        (lambda A, S: Tape(A, ["v"], 3, name="t").load({"v": "x"}), "'x' of 'A' cannot take 'v'. .*'x : V'"),
        (lambda A, S: Tape(A, ["m"], 3, name="t").load({"m": "x"}), "'x' of 'A' cannot take 'm'.*'x : integer'"),
        (lambda A, S: Tape(A, ["m"], 3, name="t").load({"m": "i"}), "'i' of 'A' cannot take 'm'"),
        (lambda A, S: S.accumulate("G", "x_pre*y_post", over=Tape(A, ["x"], 3, name="t")), "no tape .*'y' of 'A'.*A.x"),
        (lambda A, S: S.accumulate("G", "x_pre + x_post", over=Tape(A, ["x"], 3, name="t")), "one product of a"),
        (lambda A, S: S.accumulate("G", "2*x_pre*x_post", over=Tape(A, ["x"], 3, name="t")), "one product of a"),
        (lambda A, S: S.accumulate("G", "x_pre*v_post", over=Tape(A, ["x", "v"], 3, name="t")), "unit 1, but .* V"),
    ],
)
def test_what_cannot_be_recorded_is_refused(make, words):
    start("numpy")
    A = Population(3, "x : 1\ny : 1\nv : volt\nm : integer\nn : integer\nshared : 1 (shared)\nf = 2*x : 1", name="A")
    with pytest.raises(InputError, match=words):
        make(A, DenseSynapses(A, A, "G : 1", name="S"))
