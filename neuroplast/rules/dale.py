"""Dale's law, for any rule: each unit is excitatory or inhibitory, and learning does not change that.

The ordinary change of a recurrent weight is followed by clipping; a weight that would change sign stays at zero::

    w_ab = s_b max(0, s_b w_ab),    s_b = 1 or -1 for the presynaptic unit b
"""

from dataclasses import replace

from neuroplast.rules.rule import Rule

NEURON = """
polarity : 1 (constant)                   # 1 for an excitatory unit, -1 for an inhibitory one
"""
CONSTRAINT = """
w *= int(polarity_pre*w > 0)
"""


def dale(rule: Rule) -> Rule:
    """The rule with sign-constrained recurrent weights.

    Parameters
    ----------
    rule : Rule

    Returns
    -------
    Rule
        Named after the other, with ``_dale`` added. The model draws initial weights of the right signs.
    """
    return replace(
        rule,
        name=f"{rule.name}_dale",
        neuron=rule.neuron + NEURON,
        constraint=CONSTRAINT,
        reference=f"{rule.reference}, with Dale's law as in figure 2 - figure supplement 1",
    )
