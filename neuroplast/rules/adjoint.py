"""Adjoint propagation: what an error displaces in a module teaches the weights onto it.

Errors are fed back as currents, the module relaxes with them, and the displacement of its state, z_0 - z, is the error
of its neurons; what a synapse learns from is that and the presynaptic activity of the inference phase::

    G = (z_0 - z)_post z_0,pre

AP_DERIVATIVE multiplies by the slope 1 - z_0^2 besides (appendix 1); RECURRENT_PLASTICITY lets the weights within
modules learn, too, where there are any, at a rate of their own.
"""

from dataclasses import replace

from neuroplast.equations import BATCH_GRADIENT
from neuroplast.rules.rule import Rule

PAPER = "Liu et al. 2026, eLife 15:e108237"
NEEDS = {"err_post": "err = z_0 - z : 1", "z_0_pre": "z_0 : 1"}
PLASTIC = """
G : 1                            # gradient, summed over the batch
change = -int(w != 0)*G/n_valid : 1  # direction in which the weight moves, where there is a synapse
"""

AP = Rule(
    name="ap",
    synapse=BATCH_GRADIENT,
    phases=("infer", "adjoint"),
    gradient=("G", "err_post*z_0_pre"),
    needs=NEEDS,
    records=("w",),
    reference=f"{PAPER}, equations 2-3",
)
AP_DERIVATIVE = replace(
    AP,
    name="ap_derivative",
    gradient=("G", "err_post*slope_post*z_0_pre"),
    needs=NEEDS | {"slope_post": "slope = 1 - z_0**2 : 1"},
    reference=f"{PAPER}, appendix 1",
)
RECURRENT_PLASTICITY = replace(AP, name="recurrent_plasticity", synapse=PLASTIC, reference=f"{PAPER}, authors' code")
