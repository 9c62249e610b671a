"""Sums over sums, W (F e): the same numbers in either order of the products, and where the order is changed."""

import numpy as np
import pytest

from neuroplast.engine import DenseSynapses, Event, Loop, Population, Schedule, Simulation, start

FEW, MANY, NEXT, BATCH = 3, 40, 24, 16
rng = np.random.default_rng(5)
F, W, E = rng.normal(size=(FEW, MANY)), rng.normal(size=(MANY, NEXT)), rng.normal(size=(FEW, BATCH))
#: What is between both sums, who is summed over, and whether the products are exchanged then.
CASES = {
    "plain": (None, {}, True),
    "the activity changes between": ("outputs", {}, False),
    "the sum changes between": ("inputs", {}, False),
    "something else changes between": ("hidden", {}, True),
    "a factor of the postsynaptic neuron": (None, {"second": "I_post = w*s_pre*gain_post : 1 (summed)"}, False),
    "an expression of the error": (None, {"first": "s_post = f*sign(err_pre) : 1 (summed)"}, False),
    "from a part of the neurons": (None, {"part": slice(0, 30)}, False),
}


def build(target, case, fuse=True, batch=BATCH):
    between, options, _ = CASES[case]
    start(target)
    outputs = Population(FEW, "err : 1", batch=batch, name="outputs")
    inputs = Population(MANY, "s : 1", batch=batch, name="inputs")
    hidden = Population(NEXT, "I : 1\ngain : 1", batch=batch, name="hidden")
    groups = {"outputs": outputs, "inputs": inputs, "hidden": hidden}
    first = DenseSynapses(
        outputs, inputs, "f : 1\n" + options.get("first", "s_post = f*err_pre : 1 (summed)"), order={"s_post": 0},
        name="f",
    )  # fmt: skip
    second = DenseSynapses(
        inputs[options.get("part", slice(None))], hidden,
        "w : 1\n" + options.get("second", "I_post = w*s_pre : 1 (summed)"), order={"I_post": 2}, name="w",
    )  # fmt: skip
    nodes = [first, second]
    if between:
        variable = {"outputs": "err", "inputs": "s", "hidden": "gain"}[between]
        nodes.append(groups[between].run_regularly(f"{variable} = 2*{variable}", when="groups", order=1, name="b"))
    simulation = Simulation(Schedule([Loop("trial", 1, [Event("event", nodes)])]), fuse=fuse, namespace={})
    copies = np.resize(E, (FEW, batch))
    state = {"f.f": F, "w.w": W[options.get("part", slice(None))], "outputs.err": copies, "hidden.gain": 1.5}
    return simulation.build(), state


def program(simulation):
    return (simulation._backend.project / "schedule.cpp").read_text()


@pytest.mark.parametrize("case", CASES)
def test_sums_over_sums_are_those_of_numpy(case):
    found = {}
    for target in ("cpp", "numpy"):
        simulation, state = build(target, case)
        found[target] = simulation.run(state).state
    for name in ("hidden.I", "inputs.s"):
        np.testing.assert_allclose(found["cpp"][name], found["numpy"][name], rtol=1e-12, atol=1e-12)
    if case == "plain":
        np.testing.assert_allclose(found["cpp"]["hidden.I"].reshape(NEXT, BATCH), W.T @ (F.T @ E), rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_products_are_exchanged_only_where_nothing_changes_between(case):
    assert ("w_summed_variable_I_post_of_f_summed_variable_s_post" in program(build("cpp", case)[0])) == CASES[case][2]


def test_products_are_not_exchanged_where_that_saves_nothing_or_is_not_wanted():
    for options in ({"batch": FEW}, {"fuse": False}):
        assert "_of_f_summed" not in program(build("cpp", "plain", **options)[0])
