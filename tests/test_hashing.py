"""While a simulation is built Brian2 hashes each variable once, to the same keys; afterwards as ever."""

from collections import Counter

import pytest
from brian2 import ms
from brian2.core.variables import Variable
from brian2.utils import caching

from neuroplast.engine import DenseSynapses, Phase, Population, Schedule, Simulation, start
from neuroplast.engine.hashing import variables_hashed_once
from neuroplast.errors import InputError


def network(target="cpp"):
    start(target, dt=1 * ms)
    A = Population(3, "dx/dt = (-x + I)/(10*ms) : 1\nI : 1", method="euler", order=2, name="A")
    text = "w : 1\ndp/dt = -p/(10*ms) : 1 (clock-driven)\nI_post = w*x_pre : 1 (summed)"
    S = DenseSynapses(A, A, text, order={"I_post": 1, "update": 3}, method="euler", name="S")
    return A, S


def variables(group):
    """What Brian2 makes of a group's variables, and hashes, for each statement."""
    return dict(group.variables), "text", [1.0, {"a"}]


def test_the_keys_are_brians_own():
    groups = network()
    expected = [caching._hashable(variables(group)) for group in groups]
    with variables_hashed_once():
        for _ in range(2):
            assert [caching._hashable(variables(group)) for group in groups] == expected
    assert expected[0] != expected[1]


def test_afterwards_brian_hashes_as_ever():
    A, _ = network()
    usual = caching._hashable
    with pytest.raises(KeyError), variables_hashed_once():
        before = caching._hashable(variables(A))
        raise KeyError
    assert caching._hashable is usual
    A.variables["x"].read_only = True
    assert caching._hashable(variables(A)) != before


@pytest.mark.parametrize("target", ["cpp", "numpy"])
def test_a_build_looks_at_each_variable_once(target, monkeypatch):
    looks, seen = Counter(), []

    def state(variable):
        seen.append(variable)  # kept, so that no other gets its id
        looks[id(variable)] += 1
        return caching.CacheKey._state_tuple.fget(variable)

    objects = network(target)
    simulation = Simulation(Schedule([Phase("run", [*objects], 5)]), namespace={})
    monkeypatch.setattr(Variable, "_state_tuple", property(state))
    simulation.build()
    assert len(looks) > 20
    assert max(looks.values()) <= 2  # Brian2 looks whether it is there, and at it


def test_a_build_that_fails_leaves_nothing_behind():
    usual = caching._hashable
    start("cpp", dt=1 * ms)
    A = Population(3, "dx/dt = -x/tau : 1", method="euler", name="A")
    with pytest.raises(InputError, match="tau"):
        Simulation(Schedule([Phase("run", [A], 5)]), namespace={}).build()
    assert caching._hashable is usual


def test_a_brian_that_hashes_in_another_way_is_left_alone(monkeypatch):
    monkeypatch.delattr(caching, "_hashable")
    with variables_hashed_once():
        assert not hasattr(caching, "_hashable")
    assert not hasattr(caching, "_hashable")
