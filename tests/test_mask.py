"""Masks: partial connectivity on dense matrices, against Brian2's synapses that connect the same pairs."""

import numpy as np
import pytest
from engine_models import Dense, Native, assert_same, numbers

STEPS = 5
MASKS = {
    "sparse": numbers("sparse", (7, 6)) > 0.4,
    "full": np.ones((7, 6), bool),
    "row": np.arange(42).reshape(7, 6) // 6 == 2,
    "column": np.arange(42).reshape(7, 6) % 6 == 5,
}
ONE_POST = numbers("one_post", (7, 1)) > 0
ONE_PRE = numbers("one_pre", (1, 6)) > 0
POPULATION = "dh/dt = (I - h)/tau : 1\nI : 1\nJ : 1\nx : 1"


def model(mask):
    """Sums both ways, an ODE, a subexpression that is constant over a step, statements: fused and on their own."""

    def make(kit):
        pre, post = mask.shape
        A, B = kit.population("A", pre, POPULATION, order=10), kit.population("B", post, POPULATION, order=10)
        S = kit.synapses(
            "S",
            A,
            B,
            """w : 1
            c = 1 + w*x_pre : 1 (constant over dt)
            dp/dt = (c - p)/tau : 1 (clock-driven)
            I_post = w*h_pre + 1 : 1 (summed)
            J_pre = exp(p)*x_post : 1 (summed)""",
            {"I_post": 0, "J_pre": 1, "update": 20},
            mask=mask,
        )
        kit.regularly(S, "w += eta*p*h_post + 0.1", 30)
        for group in (A, B):
            kit.fill(group, "h", "x")
        kit.fill(S, "w", "p")

    return make


MODELS = {name: model(mask) for name, mask in MASKS.items()} | {"onepost": model(ONE_POST), "onepre": model(ONE_PRE)}


@pytest.fixture(scope="module")
def truth():
    return Native().build(MODELS).run(STEPS)


@pytest.fixture(scope="module", params=["numpy", "cpp"])
def kit(request):
    return Dense(request.param).build(MODELS)


@pytest.fixture(scope="module")
def simulation(kit):
    return kit.simulation(STEPS).build()


@pytest.mark.parametrize("name", MODELS)
def test_equals_native_synapses_of_the_same_pairs(name, simulation, truth):
    result = simulation.run()
    assert_same(name, (result.state, result.monitors), truth)


def test_pairs_that_are_left_out_hold_zero(simulation):
    result = simulation.run({"sparse_S.w": np.ones((7, 6))})
    left_out = ~MASKS["sparse"].ravel()
    for state in (simulation.initial, result.state):
        for variable in ("w", "p", "c"):
            assert not state[f"sparse_S.{variable}"][left_out].any()
    assert result.state["sparse_S.w"][~left_out].all()


def test_values_of_pairs_that_are_left_out_do_not_matter(simulation):
    weights = numbers("weights", (7, 6))
    once = simulation.run({"sparse_S.w": weights}).state
    again = simulation.run({"sparse_S.w": np.where(MASKS["sparse"], weights, 1e300)}).state
    for name in once:
        assert once[name].tobytes() == again[name].tobytes(), name
