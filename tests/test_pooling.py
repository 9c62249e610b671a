"""Maximum pooling against loops over its windows."""

from itertools import product

import numpy as np
import pytest
from brian2 import ms
from engine_models import numbers

from neuroplast.engine import MaxPooling, Phase, Population, Schedule, Simulation, start
from neuroplast.errors import InputError

#: shape, size, stride, copies
CASES = {
    "touching": ((3, 4, 6), 2, None, 5),
    "left_over": ((2, 5, 7), (2, 3), None, 1),
    "overlapping": ((2, 5, 5), 3, (1, 2), 3),
    "apart": ((1, 5, 5), 1, 2, 2),
}
MAPS = "z : 1\nm : 1\ncredit : 1"
POOLED = "r : 1\nwinner : integer\nm : 1\nback : 1"


def values(name):
    """Few different numbers, so that there are ties."""
    shape, _, _, copies = CASES[name]
    size = (np.prod(shape), copies)
    return np.round(3 * numbers(f"{name}.z", size)), numbers(f"{name}.m", size), numbers(f"{name}.back", size)


def looped(name):
    """What is sent, who has won, what the winners have, and what comes back to them."""
    (channels, rows, columns), size, stride, copies = CASES[name]
    (high, wide), (down, across) = (np.broadcast_to(pair, 2) for pair in (size, stride or size))
    z, m, back = values(name)
    out = {"r": [], "winner": [], "m": []}
    credit = np.zeros_like(z)
    high_rows, high_columns = range(0, rows - high + 1, down), range(0, columns - wide + 1, across)
    for n, (c, top, left) in enumerate(product(range(channels), high_rows, high_columns)):
        window = [(c * rows + top + i) * columns + left + j for i in range(high) for j in range(wide)]
        for b in range(copies):
            best = window[0]
            for neuron in window:
                best = neuron if z[neuron, b] > z[best, b] else best
            credit[best, b] += back[n, b]
            for key, value in (("r", z[best, b]), ("winner", best), ("m", m[best, b])):
                out[key].append(value)
    return {f"pooled.{key}": value for key, value in out.items()} | {"maps.credit": credit.ravel()}


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_winners_are_those_of_the_loop(target):
    start(target, dtype="float64", dt=1 * ms)
    objects = []
    for name, (shape, size, stride, copies) in CASES.items():
        z, m, back = values(name)
        # Slices, so that arrays begin elsewhere than neurons.
        A = Population(np.prod(shape) + 1, MAPS, batch=copies, name=f"{name}_maps")
        number = len(looped(name)["pooled.r"]) // copies
        B = Population(number + 2, POOLED, batch=copies, name=f"{name}_pooled")
        pooling = MaxPooling(A[1:], B[2:], shape, size, stride, name=name)
        assert np.prod(pooling.output) == number
        A.z_, A.m_ = (np.r_[np.full(copies, 9.0), v.ravel()] for v in (z, m))
        B.back_ = np.r_[np.ones(2 * copies), back[:number].ravel()]
        objects += [A, B, pooling.greatest("z", "r", order=1), pooling.of_winners("m", "m", order=2)]
        objects.append(pooling.back("back", "credit", order=3))
    state = Simulation(Schedule([Phase("run", objects, 2)]), name="pooling", namespace={}).run().state
    for name, (*_, copies) in CASES.items():
        for key, wanted in looped(name).items():
            first = {"maps": 1, "pooled": 2}[key.split(".")[0]] * copies
            np.testing.assert_array_equal(state[f"{name}_{key}"][first:], wanted, err_msg=f"{name} {key}")


def build(source=18, target=2, batch=(2, 2), text=POOLED, shape=(2, 3, 3), **changed):
    start("numpy", dt=1 * ms)
    A = Population(source, MAPS, batch=batch[0], name="A")
    return MaxPooling(A, Population(target, text, batch=batch[1], name="B"), shape, **changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": 17}, r"MaxPooling 'B_pooling': its source .* = \(2, 3, 3\), 18 neurons. Got a source of 17"),
        ({"target": 8}, r"its target .* = \(2, 1, 1\), 2 neurons. Got a target of 8"),
        ({"size": 4}, "a window of 4 x 4 does not fit into maps of 3 x 3"),
        ({"stride": 0}, "stride should be a whole number of at least 1. Got 0"),
        ({"shape": (18,)}, r"shape should be \(channels, rows, columns\)"),
        ({"batch": (2, 3)}, "the same batch size. Got 2 and 3"),
        ({"text": "r : 1\nwinner : 1"}, "'winner' should be an integer variable of 'B'"),
        ({"winner": "who"}, "'who' should be an integer variable of 'B'"),
    ],
)
def test_windows_that_do_not_fit(changed, message):
    with pytest.raises(InputError, match=message):
        build(**changed)


def test_variables_that_are_not_there():
    with pytest.raises(InputError, match="'q' should be a variable of 'A'"):
        build().greatest("q", "r")
    with pytest.raises(InputError, match="'q' should be a variable of 'B'"):
        build().back("q", "credit")
