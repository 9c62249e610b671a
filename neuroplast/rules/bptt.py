"""Backpropagation through time, as an adjoint equation that runs backward over the recorded trial.

The trial first runs to its end; phi'(u), the presynaptic activity r and the error are put on a tape. Then, with s the
time that is left::

    dz/ds = (-z + W^T delta)/tau + W_out^T err,    delta = phi'(u) z
    dw_ab = eta/(T tau) sum over the trial of delta_a r_b dt

z/T is -dL/dh, so that dw is -eta dL/dw, exactly, for Euler steps of any dt. No synapse could compute it: it needs the
weights of other synapses, and the future.
"""

from neuroplast.rules.rflo import NEEDS
from neuroplast.rules.rule import Rule

SYNAPSE = """
G : second                                # sum over the trial of delta r
change = G/tau_post : 1
"""
RECURRENT = """
back_pre = w*delta_post : second (summed) # W^T delta
"""
NEURON = """
z : second                                # adjoint of h
delta : second                            # adjoint of u
back : second                             # what comes back through the recurrent weights
"""
TURN = """
z = 0*second
delta = 0*second
"""
BACKWARD = """
z += dt*((back - z)/tau + credit)
delta = z*slope
"""

BPTT = Rule(
    name="bptt",
    synapse=SYNAPSE,
    recurrent=RECURRENT,
    neuron=NEURON,
    needs=NEEDS,
    order={"back_pre": 26},
    phases=("run", "backward"),
    tape={"run": ("r", "slope"), "backward": ("delta",)},
    turn=TURN,
    backward=BACKWARD,
    gradient=("G", "delta_post*r_pre"),
    feedback="symmetric",
    records=("w",),
    reference="Murray 2019, eLife 8:e43299, gradient of equation 2",
)
