"""Small networks with something wrong in them, and what their errors have to say."""

import re

import pytest

from neuroplast.engine import DenseSynapses, Phase, Population, Schedule, Simulation
from neuroplast.errors import InputError


def pair(equations="w : 1", neurons="x : 1\nh : 1\nI : 1", pre=3, post=2, **kwds):
    A, B = Population(pre, neurons, name="A"), Population(post, neurons, name="B")
    return A, B, DenseSynapses(A, B, equations, name="S", **kwds)


def build(*objects, **namespace):
    return Simulation(Schedule([Phase("run", list(objects), 2)]), name="net", namespace=namespace).build()


def error_of(make, *arguments):
    with pytest.raises(InputError) as error:
        make(*arguments)
    assert error.value.exit_code == 2
    return str(error.value)


def refused(words, make, *arguments):
    text = error_of(make, *arguments)
    assert re.search(words, text, re.DOTALL), text
