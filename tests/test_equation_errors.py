"""Bad equations and statements: each error names the object, shows the line and says what to do."""

import brian2
import numpy as np
import pytest
from bad_input import build, pair, refused
from brian2 import ms, second, volt

from neuroplast.engine import DenseSynapses, Population, start

TARGETS = ["numpy", "cpp"]


@pytest.fixture(params=TARGETS)
def target(request):
    """A target that has been started; nothing here gets as far as the compiler."""
    start(request.param, dt=1 * ms)
    return request.param


# -- what the equations read ---------------------------------------------------------------------------------


def test_a_rule_that_needs_a_variable_the_population_lacks(target):
    A, B, S = pair("w : 1\np : 1")
    S.run_regularly("w += 0.1*p*slope_post", name="rule")
    words = r"^'rule': 'B' has no variable 'slope'; its variables are I, h, x\. Add 'slope' to its equations.*w \+= 0.1"
    refused(words, build, A, B, S)


@pytest.mark.parametrize(
    ("equations", "words"),
    [
        ("w : 1\nI_post = w*r_pre : 1 (summed)", "'S': 'A' has no variable 'r'; .* I, h, x.*I_post = w\\*r_pre"),
        ("dp/dt = (v - p)/ms : 1 (clock-driven)", "'S': 'S' has no variable 'v'; its variables are p"),
        ("w : 1\nr_post = w*x_pre : 1 (summed)", "sums into 'r', which is no parameter of 'B'.*Add 'r : 1'"),
        ("w : 1\nf_pre = w : 1 (summed)", "sums into 'f', which is no parameter of 'A'; its parameters are I, h, x"),
    ],
)
def test_equations_that_need_what_is_not_there(target, equations, words):
    def make():
        A, B, S = pair(equations)
        S.order = 5
        build(A, B, S)

    refused(words, make)


def test_a_constant_that_is_nowhere(target):
    A = Population(2, "dx/dt = -x/tau : 1", name="A", method="euler")
    refused("'A': 'A' has no variable 'tau'; its variables are x.*constant 'tau' in the namespace.*dx/dt", build, A)


def test_a_name_that_is_changed_before_it_has_a_value(target):
    A, B, S = pair()
    S.run_regularly("w += 1\nu += w", name="rule")
    refused("'rule': 'S' has no variable 'u'", build, S)


# -- units ---------------------------------------------------------------------------------------------------


def units(case):
    neurons = "x : 1\nv : volt\nI : amp"
    if case == "equation":
        build(Population(2, "x : 1\ndv/dt = -v/(10*ms) + 1 : volt", name="A", method="euler"))
    if case == "rate":
        build(Population(2, "x : 1\ndv/dt = -v : volt", name="A", method="euler"))
    if case == "subexpression":
        build(Population(2, "x : 1\nv : volt\nf = v + x : volt\ng = 2*x : 1", name="A"))
    if case == "dimensionless":
        build(Population(2, "v : volt\nf = v : 1", name="A"))
    if case == "statement":
        A = Population(2, "x : 1\nv : volt", name="A")
        A.run_regularly("x = 1\nv = 2*x", name="wrong")
        build(A)
    if case == "function":
        build(Population(2, "v : volt\nf = tanh(v) : 1", name="A"))
    if case == "sum":
        build(*pair("w : 1\nI_post = w*v_pre : amp (summed)", neurons))
    if case == "declared":
        pair("w : 1\nI_post = w*v_pre : volt (summed)", neurons)
    if case == "rule":
        A, B, S = pair("w : siemens", neurons)
        S.run_regularly("w += x_pre", name="rule")
        build(S)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("equation", r"^'A': Expression .*m\^2 kg s\^-4 A\^-1; '1' has unit 1\)\.\n +dv/dt = -v/\(10\*ms\) \+ 1 : V$"),
        ("rate", r"^'A': Expression '-v' does not have the expected unit .*\(unit is V\)\.\n +dv/dt = -v : V$"),
        ("subexpression", r"^'A': .*'v' has unit V; 'x' has unit 1\)\.\n +f = v \+ x : V$"),
        ("dimensionless", r"^'A': Expression 'v' does not have the expected unit 1 \(unit is V\)"),
        ("statement", r"^'wrong': .*\"v ?= ?2\*x\" does not have the expected unit .*\(unit is 1\).*\n +v = 2\*x$"),
        ("function", r"^'A': Argument number 1 for function tanh .*units \(m\^2 .*should be \(1\)\.\n +f = tanh\(v\)"),
        ("sum", r"^DenseSynapses 'S': .*I_post.*\(units are A and V\)\.\n +I_post = w\*v_pre$"),
        ("declared", r"^DenseSynapses 'S': 'I_post = w\*v_pre : V \(summed\)' has the unit V, but 'I' of 'B' has A\.$"),
        ("rule", r"^'rule': Expression 'w \+ x_pre' .*\('w' has unit .*; 'x_pre' has unit 1\)\.\n +w \+= x_pre$"),
    ],
)
def test_inconsistent_units_show_the_line_and_both_units(target, case, words):
    refused(words, units, case)


@pytest.mark.parametrize("value", [3, 3 * second, [1, 2]])
def test_values_of_another_unit(target, value):
    A = Population(2, "v : volt", name="A")
    for assign in (lambda: setattr(A, "v", value), lambda: A.v.__setitem__(slice(0, 2), value)):
        with pytest.raises(
            brian2.DimensionMismatchError, match="v should be set .* units volt|variable v .units are V"
        ):
            assign()
    A.v = [1, 2] * volt
    np.testing.assert_array_equal(A.v_, [1, 2])


# -- statements ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["k", "trial", "tick", "n_valid", "t"])
def test_statements_that_write_the_schedules_integers(target, name):
    A = Population(2, "x : 1", name="A")
    A.run_regularly(f"{name} = dt" if name == "t" else f"{name} = 3", name="count")
    refused(rf"'count' writes {name}, which the schedule counts:\n +{name} = .*\nGive the variable another", build, A)


@pytest.mark.parametrize(("call", "function"), [("poisson(3)", "poisson"), ("draw()", "draw")])
def test_other_random_numbers(target, call, function):
    A = Population(2, "x : 1", name="A")
    A.run_regularly(f"x = {call}", name="noisy")
    draw = brian2.BinomialFunction(10, 0.3, name="draw")
    refused(rf"'noisy' calls {function}\(\), whose random numbers.*rand\(\) < rate", lambda: build(A, draw=draw))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("w += (x_pre", "'rule': '\\(' was never closed"),
        ("w x_pre", "'rule': .*found 'x'.*\n +w x_pre"),
        ("f = 3", "'rule': .*Cannot write to subexpression 'f'"),
        ("w = 1\ng = 2", "'rule': All writes to scalar variables .*'g'.*w = 1"),
        ("w = x_pre + nothing(x_post)", "'rule': 'S' has no variable 'nothing'"),
    ],
)
def test_statements_that_make_no_sense(target, code, words):
    A, B, S = pair("w : 1\ng : 1 (shared)\nf = 2*w : 1")

    def make():
        S.run_regularly(code, name="rule")
        build(S)

    refused(words, make)


def test_equations_that_make_no_sense(target):
    refused("Population 'A': .*Expected end of text.*dx/dt", lambda: Population(2, "dx/dt = -x", name="A"))
    refused("Population 'A': .*cycle", lambda: Population(2, "a = b : 1\nb = a : 1", name="A"))
    refused("DenseSynapses 'S': .*Expected end of text", lambda: pair("w"))
    A = Population(2, "dx/dt = -x**2/ms : 1", method="exact", name="C")
    refused("'C_stateupdater': .*could not be separated", build, A)


def test_statements_on_neurons_through_a_mask(target):
    _, _, S = pair(mask=np.eye(3, 2, dtype=bool))
    refused(r"'S': 'I_post \+= w' writes I_post through a mask. Use", lambda: S.run_regularly("I_post += w"))


@pytest.mark.parametrize(
    ("equations", "code", "name"),
    [
        ("double : 1", "double = 2", "double"),
        ("x : 1", "new = x\nx = new", "new"),
        ("this = i : 1", "a = this", "this"),
    ],
)
def test_words_of_the_compiled_language(equations, code, name):
    start("cpp")
    A = Population(2, equations, name="A")
    A.run_regularly(code, name="rule")
    refused(f"'rule': {name} is a word of C.*another name", build, A)


@pytest.mark.parametrize("name", ["batch", "copy", "feature"])
def test_names_that_mean_the_place_in_a_batch(target, name):
    refused(f"Population 'A': {name} means the place in the batch", lambda: Population(2, f"{name} : 1", name="A"))


def test_variables_may_be_called_like_the_schedules_integers(target):
    A = Population(2, "k : 1", name="A")
    A.run_regularly("k = 3", name="set_k")
    if target == "numpy":
        assert build(A).run().state["A.k"].tolist() == [3, 3]


# -- a batch's shared weights --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("equations", "code", "words"),
    [
        ("w : 1", "w += x_pre*x_post", r"shared by 3 copies, so 'w \+= x_pre\*x_post' cannot read x_post, x_pre"),
        ("dw/dt = (x_pre - w)/ms : 1 (clock-driven)", None, "shared by 3 copies, so .* cannot read x_pre"),
        ("w : 1\nu = x_post : 1", "w += u", "cannot read x_post"),
        ("w : 1\nu = x_post : 1 (constant over dt)", None, "cannot read x_post"),
        ("w : 1", "w += i/10", r"cannot read i\. Put it into a parameter: S\.place = 'i'"),
        ("w : 1", "x_post += w", r"'x_post \+= w' writes x_post, which has 3 copies"),
    ],
)
def test_neurons_in_the_shared_weights_of_a_batch(target, equations, code, words):
    A = Population(4, "x : 1", batch=3, name="A")
    S = DenseSynapses(A, A, equations, name="S", order=5)

    def make():
        if code:
            S.run_regularly(code, name="rule")
        build(A, S)

    refused(words, make)
