"""Shared kernels against Brian2's own synapses, with the kernel copied to every position."""

from dataclasses import dataclass
from itertools import product

import brian2
import numpy as np
import pytest
from brian2 import ms
from engine_models import numbers

from neuroplast.engine import ConvSynapses, Phase, Population, ReceptiveField, Schedule, Simulation, start
from neuroplast.errors import InputError

STEPS, ETA = 2, 0.1
IMAGE = "x : 1\ny : 1\nJ : 1"
MAPS = "a : 1\nd : 1\nI : 1"
SUMS = """
w : 1
v : 1
I_post = w*(x_pre - y_pre)*(a_post + 2) + v*x_pre : 1 (summed)
J_pre = w*tanh(d_post)*x_pre : 1 (summed)
"""
#: Sums over positions and copies: the variable's new value is that part of the old one, plus the sum.
CHANGES = {"G": ("d_post*x_pre", 0), "H": ("w*d_post*(x_pre - y_pre)", 1), "K": ("-0.5*d_post*y_pre", 0.9)}


@dataclass
class Case:
    field: ReceptiveField
    batch: int = 1


CASES = {
    "plain": Case(ReceptiveField((1, 5, 6), 2, kernel=3), 3),
    "oblong": Case(ReceptiveField((2, 6, 5), 3, kernel=(3, 2), stride=(2, 1), padding=(1, 2)), 2),
    "one_copy": Case(ReceptiveField((3, 4, 4), 2, kernel=2, stride=3, padding=1)),
    "all_around": Case(ReceptiveField((1, 2, 3), 2, kernel=5, padding=2), 4),
    "left_over": Case(ReceptiveField((2, 6, 7), 4, kernel=3, stride=(2, 3)), 5),
    "one_position": Case(ReceptiveField((2, 3, 2), 3, kernel=(3, 2)), 3),
    "single_pixels": Case(ReceptiveField((3, 2, 2), 2, kernel=1), 2),
    "panels": Case(ReceptiveField((1, 12, 12), 2, kernel=3), 30),  # of three rows and one of the last
}


def values(name, case):
    """Numbers that all variables of a case begin with."""
    field, b = case.field, case.batch
    sizes = {"x": field.inputs * b, "y": field.inputs * b, "a": field.outputs * b, "d": field.outputs * b}
    sizes |= dict.fromkeys(("w", "v", "G", "H", "K"), (field.offsets, field.channels))
    return {variable: numbers(f"{name}.{variable}", size) for variable, size in sizes.items()}


def synapses_of(field, batch):
    """(presynaptic, postsynaptic, offset, channel) of each synapse if there are no shared ones: the definition."""
    channels, rows, columns = field.shape
    found = []
    for o, r, c in product(*map(range, field.output)):
        for i, dr, dc in product(range(channels), *map(range, field.kernel)):
            y, x = r * field.stride[0] + dr - field.padding[0], c * field.stride[1] + dc - field.padding[1]
            if 0 <= y < rows and 0 <= x < columns:
                pre, post = (i * rows + y) * columns + x, (o * field.map[0] + r) * field.map[1] + c
                offset = (i * field.kernel[0] + dr) * field.kernel[1] + dc
                found += [(pre * batch + b, post * batch + b, offset, o) for b in range(batch)]
    return np.array(found).T


def native(name, case):
    """What Brian2's synapses make of a case: variable -> values."""
    brian2.set_device("runtime")
    brian2.prefs.codegen.target = "numpy"
    brian2.prefs.core.default_float_dtype = np.float64
    brian2.defaultclock.dt = 1 * ms
    field, state = case.field, values(name, case)
    A = brian2.NeuronGroup(field.inputs * case.batch, IMAGE)
    B = brian2.NeuronGroup(field.outputs * case.batch, MAPS)
    S = brian2.Synapses(A, B, SUMS + "".join(f"{n} : 1\n" for n in CHANGES))
    pre, post, *place = synapses_of(field, case.batch)
    S.connect(i=pre, j=post)
    S.run_regularly("\n".join(f"{n} = {text}" for n, (text, _) in CHANGES.items()), order=10)
    network = brian2.Network(A, B, S)
    for group, variables in ((A, "xy"), (B, "ad")):
        for variable in variables:
            setattr(group, variable, state[variable])
    for _ in range(STEPS):
        S.w, S.v = state["w"][tuple(place)], state["v"][tuple(place)]
        network.run(1 * ms)
        for n, (_, kept) in CHANGES.items():
            summed = np.zeros_like(state[n])
            np.add.at(summed, tuple(place), np.array(getattr(S, n)))
            state[n] = kept * state[n] + summed
        state["w"] = state["w"] - ETA * state["G"] / field.positions
    return state | {"I": np.array(B.I), "J": np.array(A.J)}


def ours(target, threads=1, dtype="float64", names=tuple(CASES)):
    """The same of `ConvSynapses`, all cases in one program."""
    start(target, dtype=dtype, dt=1 * ms)
    objects = []
    for name in names:
        case, n = CASES[name], f"{name}_"
        # Slices, so that arrays begin elsewhere than neurons.
        A = Population(case.field.inputs + 2, IMAGE, batch=case.batch, name=n + "A")
        B = Population(case.field.outputs + 1, MAPS, batch=case.batch, name=n + "B")
        text = SUMS + "".join(f"{variable} : 1\n" for variable in CHANGES)
        S = ConvSynapses(A[2:], B[1:], text, field=case.field, order={"I_post": 0, "J_pre": 1}, name=n + "S")
        for place, (variable, (text, kept)) in enumerate(CHANGES.items(), 2):
            S.accumulate(variable, text, add=kept == 1, keep="kept" if 0 < kept < 1 else None, order=place)
        S.run_regularly("w -= eta*G/positions", order=10)
        objects += [A, B, S]
        for variable, numbers_ in values(name, case).items():
            group, first = {"x": (A, 2), "y": (A, 2), "a": (B, 1), "d": (B, 1)}.get(variable, (S, 0))
            getattr(group, variable + "_")[:] = np.r_[np.ones(first * case.batch), numbers_.ravel()]
    namespace = {"eta": ETA, "kept": CHANGES["K"][1]}
    plan = Schedule([Phase("run", objects, STEPS)])
    state = Simulation(plan, name="conv", namespace=namespace, threads=threads).run().state
    found = {}
    for name in names:
        first = {"A": 2 * CASES[name].batch, "B": CASES[name].batch, "S": 0}
        found[name] = {
            variable: state[f"{name}_{group}.{variable}"][first[group] :]
            for group, variables in (("A", "J"), ("B", "I"), ("S", "wGHK"))
            for variable in variables
        }
    return found


@pytest.fixture(scope="module")
def truth():
    return {name: native(name, case) for name, case in CASES.items()}


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_sums_and_changes_are_those_of_copied_kernels(target, truth):
    for name, variables in ours(target).items():
        for variable, found in variables.items():
            wanted = truth[name][variable].ravel()
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=f"{name}.{variable}")


def test_single_precision_and_threads(truth):
    one, two = (ours("cpp", threads, "float32", ("panels", "oblong")) for threads in (1, 2))
    for name, variables in one.items():
        for variable, found in variables.items():
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, two[name][variable])
            scale = np.abs(truth[name][variable]).max()
            np.testing.assert_allclose(found, truth[name][variable].ravel(), rtol=1e-4, atol=1e-5 * scale)


def test_kernels_and_matrix():
    field = ReceptiveField((2, 6, 5), 3, kernel=(3, 2))
    kernels = numbers("kernels", (3, 2, 3, 2))
    matrix = field.to_matrix(kernels)
    assert matrix.shape == (12, 3)
    assert matrix[(1 * 3 + 2) * 2 + 1, 2] == kernels[2, 1, 2, 1]
    np.testing.assert_array_equal(field.to_kernels(matrix), kernels)
    np.testing.assert_array_equal(field.to_kernels([matrix, matrix])[1], kernels)
    assert (field.output, field.positions, field.inputs, field.outputs) == ((3, 4, 4), 16, 60, 48)
    with pytest.raises(InputError, match=r"\(3, 2, 3, 2\). Got \(3, 2, 2, 3\)"):
        field.to_matrix(numbers("kernels", (3, 2, 2, 3)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"shape": (28, 28)}, r"shape should be \(channels, rows, columns\).*Got \(28, 28\)"),
        ({"shape": (1, 0, 5)}, "rows of shape should be a whole number of at least 1. Got 0"),
        ({"channels": 0}, "channels should be .* at least 1. Got 0"),
        ({"kernel": 6}, "6 x 6 does not fit into an image of 5 x 5 with padding"),
        ({"kernel": (3, 3, 3)}, "kernel should be one number, or"),
        ({"stride": 0}, "stride should be .* at least 1. Got 0"),
        ({"padding": -1}, "padding should be .* at least 0. Got -1"),
    ],
)
def test_fields_that_make_no_sense(changed, message):
    with pytest.raises(InputError, match=message):
        ReceptiveField(**({"shape": (1, 5, 5), "channels": 2, "kernel": 3} | changed))


def build(text="w : 1", source=25, target=18, batch=2, **changed):
    start("numpy", dt=1 * ms)
    A = Population(source, IMAGE, batch=batch, name="A")
    B = Population(target, MAPS, batch=batch, name="B")
    kwds = {"field": ReceptiveField((1, 5, 5), 2, kernel=3)} | changed
    return ConvSynapses(A, B, text, name="S", **kwds)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"source": 24}, r"ConvSynapses 'S': the field's source .* = \(1, 5, 5\), 25 neurons. Got a source of 24"),
        ({"target": 9}, r"the field's target .* = \(2, 3, 3\), 18 neurons. Got a target of 9"),
        ({"field": 5}, "field should be a ReceptiveField. Got a int, 5"),
        ({"mask": np.ones((9, 2))}, "Leave out mask"),
        ({"text": "w : 1\nI_post = tanh(w*x_pre) : 1 (summed)"}, r"'tanh\(w\*x_pre\)' is no sum of products"),
        ({"text": "positions : 1"}, "Give the variable another name"),
        ({"text": "w : 1\nQ_post = w*x_pre : 1 (summed)"}, "'Q', which is no parameter of 'B'"),
        ({"source": 9, "target": 2, "batch": 1, "field": ReceptiveField((1, 3, 3), 2, 3)}, "Use DenseSynapses"),
    ],
)
def test_synapses_that_do_not_fit(changed, message):
    with pytest.raises(InputError, match=message):
        build(**changed)


def test_operations_that_have_no_meaning():
    with pytest.raises(InputError, match="cannot sum over a tape"):
        build().accumulate("w", "d_post*x_pre", over=[])
    with pytest.raises(InputError, match="'S': accumulate needs a synaptic variable. Got 'Q'"):
        build().accumulate("Q", "d_post*x_pre")
    with pytest.raises(InputError, match="no sum of products"):
        build().accumulate("w", "clip(x_pre - d_post, 0, 1)")
    with pytest.raises(InputError, match="writes x_pre"):
        build().run_regularly("x_pre = w")
    S = build(batch=1)
    update = S.run_regularly("w += x_pre")
    with pytest.raises(InputError, match="shared by 9 copies, so 'w .* cannot read x_pre"):
        Simulation(Schedule([Phase("run", [update], 1)]), name="conv", namespace={}).run()
