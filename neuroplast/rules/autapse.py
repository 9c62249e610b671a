"""The error, fed back through fixed random weights, times the trace that the presynaptic neuron's autapse keeps.

An autapse integrates the activity r of its neuron; what the synapse learns from is that trace and the error at the
postsynaptic neuron, with no slope and nothing unfolded in time::

    tau_k dk_b/dt = -k_b + r_b
    dw_ab/dt = eta/T (B err)_a k_b

N traces for N^2 synapses: here they are called ``trace``, since k is the step within a trial. With tau_k = dt the trace
is r itself. RFLO with the slope left out is the same rule.
"""

from neuroplast.rules.rule import Rule

SYNAPSE = """
change = credit_post*trace_pre : 1              # error at the unit times the autapse's trace
"""
PRESYNAPTIC = """
dtrace/dt = (-trace + r)/tau_k : 1              # what the autapse keeps of the activity
tau_k : second (shared, constant)               # its time constant
"""

AUTAPSE = Rule(
    name="autapse",
    synapse=SYNAPSE,
    presynaptic=PRESYNAPTIC,
    presynaptic_start="trace = 0",
    needs={
        "credit_post": "credit : 1",
        "r_pre": "r = h : 1 (constant over dt)",
        "trace_pre": "dtrace/dt = (-trace + r)/tau_k : 1",
    },
    feedback="random",
    records=("w",),
    reference="Wang, Gray and Banerjee (unpublished), equations 7-11",
)
