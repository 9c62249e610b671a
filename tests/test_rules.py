"""Rules as data: what they ask for, and what they say when it is not there."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from neuroplast import rules
from neuroplast.engine import Population, start
from neuroplast.errors import InputError
from neuroplast.learning import learn, projection
from neuroplast.models import rflo
from neuroplast.rules import BPTT, DELTA, FROZEN, RFLO, Rule, dale
from neuroplast.tasks import periodic

ALL = [getattr(rules, name) for name in rules.__all__ if isinstance(getattr(rules, name), Rule)]
ALL += [dale(RFLO), dale(BPTT)]

PLAIN = """
dh/dt = -h/(10*ms) : 1
u : 1
"""
FULL = """
dh/dt = -h/tau : 1
u : 1
credit : 1
r : 1
tau : second (shared, constant)
"""
SLOPE = """
slope = 1 - tanh(u)**2 : 1 (constant over dt)
"""


def populations(text):
    start("numpy")
    return Population(2, text, name="source"), Population(3, text, method="euler", name="target")


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.name)
def test_rule_is_frozen_data(rule):
    assert rule.name and all("{" not in text for text in (rule.synapse, rule.recurrent, rule.neuron, rule.backward))
    with pytest.raises(FrozenInstanceError):
        rule.name = "other"


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule.learns], ids=lambda rule: rule.name)
def test_rule_declares_all_that_its_equations_read(rule):
    """Every name in the text is declared in `needs`, defined by the rule itself, or given to every synapse."""
    from brian2 import Equations
    from brian2.core.namespace import DEFAULT_UNITS

    equations = Equations(rule.synapse + rule.recurrent)
    read = set.union(*(set(equation.identifiers) for equation in equations.values()))
    given = {"w", "dt", "t", "k", "trial", "n_valid", "positions", "int"} | set(DEFAULT_UNITS)
    given |= {name + "_post" for name in Equations(rule.neuron)}
    presynaptic = Equations(rule.presynaptic)
    own_names = set(presynaptic.names) | given
    read |= {n + "_pre" for equation in presynaptic.values() for n in equation.identifiers if n not in own_names}
    gradient = set(Equations("x = " + rule.gradient[1] + " : 1")["x"].identifiers) if rule.gradient else set()
    own = given | set(equations.names)
    assert (read | gradient) - own <= set(rule.needs)
    statements = set(rule.needs) - read - gradient
    # What only the backward statements read is needed of the postsynaptic neurons.
    assert all(name.removesuffix("_post") in rule.backward for name in statements)


def test_rules_know_what_they_can_do():
    assert (RFLO.online, BPTT.online, DELTA.online, FROZEN.online) == (True, False, True, True)
    assert (RFLO.learns, BPTT.learns, DELTA.learns, FROZEN.learns) == (True, True, True, False)


@pytest.mark.parametrize("rule", [RFLO, BPTT], ids=lambda rule: rule.name)
def test_missing_variable_is_named_with_what_is_there_and_the_line_to_add(rule):
    source, target = populations(FULL)
    with pytest.raises(InputError) as caught:
        projection(source, target, "", rule, "trial", "synapses", {})
    message = str(caught.value)
    assert f"Rule '{rule.name}' reads slope of the postsynaptic neurons, which 'target' does not define" in message
    assert "it defines credit, h, r, tau, u" in message
    assert message.endswith("\n    slope = 1 - tanh(u)**2 : 1 (constant over dt)")


def test_the_line_that_is_suggested_helps():
    source, target = populations(FULL + SLOPE)
    synapses = projection(source, target, "", RFLO, "online", "synapses", {})
    assert {"w", "eta", "p"} <= set(synapses.equations.names) and "dw" not in synapses.equations.names


def test_missing_presynaptic_variable():
    source, target = populations(PLAIN)
    missing = Rule("mine", synapse="change = x_pre : 1", needs={"x_pre": "x : 1"})
    with pytest.raises(InputError, match="'mine' reads x of the presynaptic neurons, which 'source'(.|\n)*    x : 1$"):
        projection(source, target, "", missing, "trial", "synapses", {})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"synapse": "chang = r_pre : 1"}, "synapse should define change, the direction in which w moves"),
        ({"order": {"updat": 30}}, "order should name 'update' or a summed variable of its text. Got updat"),
        ({"needs": {"slope": "slope : 1"}}, "needs should name variables with their side.* Got slope"),
        ({"feedback": "symetric"}, "feedback should be one of 'random', 'symmetric', .*, ''. Got 'symetric'"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(change, message):
    with pytest.raises(InputError, match=f"Rule 'rflo': {message}"):
        replace(RFLO, **change)


def test_a_model_without_a_backward_phase_refuses_bptt():
    group, _ = populations(FULL + SLOPE)
    synapses = projection(group, group, "", replace(BPTT, recurrent="", order={}), "trial", "synapses", {})
    with pytest.raises(InputError, match="'bptt' runs the trial backward, and 'synapses' has no tapes of that"):
        learn(synapses, BPTT, "trial", {"end": []})


def test_bptt_cannot_learn_online():
    with pytest.raises(InputError, match="'bptt' needs the whole trial before a weight can change. Choose update='tr"):
        rflo.build(rflo.Parameters(N=3), periodic(10), BPTT, update="online", target="numpy")


def test_unknown_update():
    with pytest.raises(InputError, match="update should be 'trial' or 'online'. Got 'daily'"):
        rflo.build(rflo.Parameters(N=3), periodic(10), RFLO, update="daily", target="numpy")


def test_model_names_what_a_rule_of_ones_own_lacks():
    needy = replace(RFLO, name="needy", needs={"theta_post": "theta : 1"})
    with pytest.raises(InputError, match="'needy' reads theta of the postsynaptic neurons, which 'units'"):
        rflo.build(rflo.Parameters(N=3), periodic(10), needy, target="numpy")


def test_a_rule_of_ones_own_runs():
    """Hebb's rule, written by hand: dw = eta/T sum over the trial of h_post r_pre dt."""
    hebb = Rule("hebb", synapse="change = h_post*r_pre : 1", needs={"h_post": "h : 1", "r_pre": "r : 1"})
    parameters, samples = rflo.Parameters(N=3, eta_rec=0.5), 10
    model = rflo.build(parameters, periodic(samples), hebb, record=("units.h", "recurrent.w"), target="numpy")
    found, begin = model.run(1).dataset, model.initial()
    h = np.vstack([np.full(3, parameters.h0), found["units.h"][0].values])
    change = 0.5 / samples * h[:-1].T @ h[1:]
    moved = found["recurrent.w"][0].values - begin["recurrent.w"].reshape(3, 3)
    np.testing.assert_allclose(moved, change, atol=1e-15)
