"""Sums over a batch that leave out what is zero: sparse weights, silent neurons, against matrices in numpy."""

import numpy as np
import pytest
from brian2 import linked_var, ms

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, start

PRE, POST, BATCH = 190, 150, 83  # neither whole blocks nor whole vectors, and large enough to be looked at
STEPS, PASSES = 3, 4
NEURONS = """
x : 1
active : 1
y : 1
z : 1
back : 1
"""
SYNAPSES = """
w : 1
v : 1
dw : 1
grows : 1
y_post = {sum} : 1 (summed)
back_pre = w*z_post : 1 (summed)
"""


def weights(rng, density, shape=(PRE, POST)):
    return rng.uniform(-1, 1, shape) * (rng.random(shape) < density)


def network(dtype="float64", threads=1, text="w*x_pre", change="w += dw", in_phase=False):
    """Each pass sums `STEPS` times onto either side, lets neurons fall silent, and changes the weights."""
    start("cpp", dtype=dtype, dt=1 * ms)
    a, b = (Population(n, NEURONS, batch=BATCH, name=name) for n, name in ((PRE, "a"), (POST, "b")))
    s = DenseSynapses(a, b, SYNAPSES.format(sum=text), order={"y_post": 1, "back_pre": 2}, name="s")
    total = Population(POST, "kept : 1\ny : 1 (linked)", batch=BATCH, name="total")  # so that each step counts
    total.y = linked_var(b, "y")
    keep = total.run_regularly("kept += y", when="groups", order=3)
    silence = a.run_regularly("x = x*active", when="groups", order=4)
    learn = s.run_regularly(change, order=5)
    sums = [s.summed_updaters[name] for name in ("y_post", "back_pre")]
    phase = Phase("relax", [*sums, keep, silence, *([learn] if in_phase else [])], STEPS)
    body = [phase] if in_phase else [phase, Event("learn", [learn])]
    return Simulation(Schedule([Loop("trial", PASSES, body)]), threads=threads, namespace={})


def expected(values, more=None, in_phase=False, passes=PASSES):
    """The same in numpy; `more` gives the sum of weights and activity."""
    value = {name: np.array(v, float) for name, v in values.items()}
    w, x = value["s.w"].reshape(PRE, POST), value["a.x"].reshape(PRE, BATCH)
    active, z = value["a.active"].reshape(PRE, BATCH), value["b.z"].reshape(POST, BATCH)
    dw, kept = value["s.dw"].reshape(PRE, POST), 0
    for _ in range(passes):
        for _ in range(STEPS):
            y = w.T @ x if more is None else more(w, x, value)
            back, kept, x = w @ z, kept + y, x * active
            w = w + dw if in_phase else w
        w = w if in_phase else w + dw
    return {"b.y": y, "a.back": back, "total.kept": kept, "s.w": w}


def state(seed=0, density=0.2, silent=slice(0, 0), falls=slice(0, 0), dw=0.0):
    rng = np.random.default_rng(seed)
    x, active = rng.uniform(-1, 1, (PRE, BATCH)), np.ones((PRE, BATCH))
    x[silent], active[falls] = 0, 0
    values = {"s.w": weights(rng, density), "s.v": weights(rng, 0.3), "a.x": x, "a.active": active}
    return {**values, "b.z": rng.uniform(-1, 1, (POST, BATCH)), "s.dw": weights(rng, dw)}


def flat(values):
    return {name: value.ravel() for name, value in values.items()}


def assert_equal(found, wanted, tolerance):
    for name, values in wanted.items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(found[name], values.ravel(), rtol=0, atol=tolerance * scale, err_msg=name)


@pytest.fixture(scope="module", params=[("float64", 1e-13), ("float32", 3e-6)], ids=["float64", "float32"])
def built(request):
    dtype, tolerance = request.param
    return network(dtype).build(), tolerance


CASES = {
    "sparse": {},
    "dense": {"density": 0.9},
    "empty": {"density": 0.0},
    "sparse and silent": {"silent": slice(0, 130)},
    "dense and silent": {"density": 0.9, "silent": slice(60, 140)},
    "silent in two places": {"density": 0.9, "silent": np.r_[0:64, 128:190]},
    "all silent": {"silent": slice(0, PRE)},
    "neurons fall silent": {"falls": slice(10, 150)},
    "all fall silent": {"density": 0.8, "falls": slice(0, PRE)},
    "the same synapses learn": {"dw": 0.0},
    "new synapses": {"dw": 0.1},
    "sparse becomes dense": {"density": 0.4, "dw": 0.4},
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_out_adds_nothing(built, case):
    simulation, tolerance = built
    values = state(**CASES[case])
    if case == "the same synapses learn":
        values["s.dw"] = 0.1 * values["s.w"]
    assert_equal(simulation.run(flat(values)).state, expected(values), tolerance)


def test_weights_that_vanish_or_change_sign(built):
    simulation, tolerance = built
    values = state()
    values["s.dw"] = -values["s.w"] * (np.arange(POST) % 2 + 0.5)  # after the first pass, half of them are zero
    values["s.dw"][:, 1::2] *= 2 / 3
    assert (values["s.w"] + values["s.dw"] == 0).sum() > 1000
    assert_equal(simulation.run(flat(values)).state, expected(values), tolerance)


def test_neurons_silent_in_the_first_copy_alone_are_not_passed_over(built):
    simulation, tolerance = built
    values = state(silent=slice(0, 128))
    values["a.x"][100, BATCH - 1] = 0.7
    assert_equal(simulation.run(flat(values)).state, expected(values), tolerance)


def test_a_run_that_is_cut_gives_the_same_bytes(built):
    simulation, _ = built
    values = flat(state(dw=0.1, falls=slice(0, 64)))
    whole, cut = simulation.run(values), simulation.run(values, stop=3)
    rest = simulation.run(cut.state, start=3)
    for name in ("b.y", "a.back", "total.kept"):
        assert rest.state[name].tobytes() == whole.state[name].tobytes()


def test_two_threads_give_the_same_bytes():
    values = flat(state(dw=0.1, falls=slice(0, 64)))
    one, two = (network("float32", threads).run(values).state for threads in (1, 2))
    for name in ("b.y", "a.back", "total.kept"):
        assert one[name].tobytes() == two[name].tobytes()


def test_weights_that_change_in_each_step():
    values = state(dw=0.1)
    found = network(in_phase=True).run(flat(values)).state
    assert_equal(found, expected(values, in_phase=True), 1e-13)


def test_several_products_and_a_factor_of_the_target():
    values = state(silent=slice(0, 70)) | {"b.active": np.random.default_rng(1).uniform(0.5, 1, (POST, BATCH))}

    def more(w, x, value):
        v = value["s.v"].reshape(PRE, POST)
        return value["b.active"].reshape(POST, BATCH) * (w.T @ x) + v.T @ x

    simulation = network(text="w*x_pre*active_post + v*x_pre", change="w += 0")
    assert_equal(simulation.run(flat(values)).state, expected(values, more), 1e-13)
