"""Softmax, accuracy and cross entropy within copies, against scipy and plain counting, on both targets."""

import numpy as np
import pytest
import scipy.special
from brian2 import ms

from neuroplast.engine import (
    Dataset,
    Event,
    Population,
    Schedule,
    Simulation,
    count_correct,
    cross_entropy,
    softmax,
    start,
)
from neuroplast.errors import InputError

FEATURES, BATCH, VALID = 7, 5, 3  # of each group; the data has three rows, so that two copies are padding
EQUATIONS = """z : 1
p : 1
q : 1
target : 1
loss : 1 (shared)
correct : integer (shared)
hits : 1 (shared)
"""


def network(target, dtype):
    """Ten neurons per copy, of which the last seven are the outputs; three rows of data, two copies of padding."""
    start(target, dtype=dtype, dt=1 * ms)
    data = Population(2, "x : 1", batch=BATCH, name="data")
    neurons = Population(FEATURES + 3, EQUATIONS, batch=BATCH, name="out")
    part = neurons[3:]
    rows = Dataset(np.ones((VALID, 2)), [0, 6, 2])
    events = [
        Event("show", [rows.present(data, "x", target=(part, "target"), permute=False)]),
        Event("softmax", [softmax(part, "z", "p"), softmax(neurons, "q", "q", order=1)]),
        Event(
            "count",
            [
                count_correct(part, "z", into="correct", name="count", order=0),
                count_correct(part, "z", into="hits", name="count_in_floats", order=1),
                cross_entropy(part, name="entropy", order=2),
            ],
        ),
    ]
    return Simulation(Schedule(events), name="readout").build()


@pytest.fixture(scope="module", params=[(t, d) for t in ("numpy", "cpp") for d in ("float64", "float32")])
def simulation(request):
    return network(*request.param)


def values(rows, last):
    """A flat variable of the population with `last` in the part and other numbers in front of it."""
    return np.concatenate([np.full((3, BATCH), 50.0), np.broadcast_to(last, (rows, BATCH))]).ravel()


def part(result, name):
    return result.state[f"out.{name}"].reshape(-1, BATCH)


def tolerance(simulation):
    return 1e-14 if simulation.initial["out.z"].dtype == np.float64 else 3e-6


def test_softmax_of_each_copy(simulation):
    z = np.random.default_rng(0).normal(0, 4, (FEATURES, BATCH))
    z[:, 1] += 1e4  # would overflow without subtraction of the greatest
    z[:, 2] -= 1e4
    z = z.astype(simulation.initial["out.z"].dtype)
    result = simulation.run({"out.z": values(FEATURES, z), "out.q": values(FEATURES, z)})
    wanted = scipy.special.softmax(z.astype(float), axis=0)
    np.testing.assert_allclose(part(result, "p")[3:], wanted, rtol=tolerance(simulation), atol=1e-30)
    assert not part(result, "p")[:3].any()
    wanted = scipy.special.softmax(values(FEATURES, z.astype(float)).reshape(-1, BATCH), axis=0)
    np.testing.assert_allclose(part(result, "q"), wanted, rtol=tolerance(simulation), atol=1e-30)


def test_counts_add_up_over_valid_copies_only(simulation):
    # Labels are 0, 6, 2: right, wrong by a hair, right; the padding agrees with its (empty) target and must not count.
    z = np.zeros((FEATURES, BATCH))
    z[0, 0], z[6, 1], z[5, 1], z[2, 2], z[0, 3], z[0, 4] = 1, 1, np.nextafter(np.float32(1), 2), 0.1, 1, 1
    state = {"out.z": values(FEATURES, z), "out.correct": 10, "out.hits": 0.5}
    result = simulation.run(state)
    assert result.state["out.correct"] == 12 and result.state["out.hits"] == 2.5
    z[5, 1] = 0
    assert simulation.run({"out.z": values(FEATURES, z)}).state["out.correct"] == 3


def test_of_equal_outputs_the_first_counts(simulation):
    # All outputs equal: the first neuron is the answer, which is right for label 0 alone.
    assert simulation.run({"out.z": values(FEATURES, -1)}).state["out.correct"] == 1


def test_cross_entropy_adds_up_over_valid_copies_only(simulation):
    z = np.random.default_rng(1).normal(0, 2, (FEATURES, BATCH))
    result = simulation.run({"out.z": values(FEATURES, z), "out.loss": 2})
    p = scipy.special.softmax(z, axis=0)
    wanted = 2 - np.log(p[[0, 6, 2], [0, 1, 2]]).sum()
    np.testing.assert_allclose(result.state["out.loss"], wanted, rtol=10 * tolerance(simulation))


def test_the_loss_of_an_impossible_output_is_finite(simulation):
    z = np.zeros((FEATURES, BATCH))
    z[1, 0] = 1e5  # copy 0 has label 0, whose probability underflows
    result = simulation.run({"out.z": values(FEATURES, z)})
    tiny = np.finfo(simulation.initial["out.z"].dtype).tiny
    np.testing.assert_allclose(result.state["out.loss"], -np.log(tiny) + 2 * np.log(FEATURES), rtol=1e-5)


def test_counting_before_anything_is_presented_is_refused(simulation):
    with pytest.raises(InputError, match="count counts the copies that hold data.*none.*Present a Dataset"):
        simulation.run(start=1)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda n: softmax(n, "typo", "p"), "'typo' should be a variable without units of 'out'"),
        (lambda n: softmax(n, "z", "current"), "'current' should be a variable without units"),
        (lambda n: softmax(n, "z", "loss"), "'loss' should be .* with a value for each neuron"),
        (lambda n: count_correct(n, "z", into="p"), "'p' should be a shared variable of 'out'.*'p : 1 .shared.'"),
        (lambda n: count_correct(n, "z", into="none"), "'none' should be a shared variable"),
        (lambda n: cross_entropy(n, into="energy"), "'energy' should be a shared variable of 'out' without units"),
        (lambda n: cross_entropy(n, into="n_valid"), "'n_valid' should be a shared variable"),
    ],
)
def test_variables_that_do_not_suit_are_refused(make, words):
    start("numpy", dt=1 * ms)
    neurons = Population(3, EQUATIONS + "current : amp\nenergy : joule (shared)", batch=2, name="out")
    with pytest.raises(InputError, match=words):
        make(neurons)
