"""The delta rule: the exact gradient for weights that feed the output itself.

``dw_ka/dt = eta/T err_k h_a``; W_out learns by it under every rule of the recurrent weights.
"""

from neuroplast.rules.rule import Rule

SYNAPSE = """
change = err_post*h_pre : 1      # error of the output times presynaptic rate
"""

DELTA = Rule(
    name="delta",
    synapse=SYNAPSE,
    needs={"err_post": "err = goal - y : 1 (constant over dt)", "h_pre": "h : 1"},
    records=("w",),
    reference="Widrow and Hoff 1960; Murray 2019, eLife 8:e43299",
)
