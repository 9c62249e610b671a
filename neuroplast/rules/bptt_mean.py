"""Backpropagation through time, each error averaged over the steps that it goes back.

The error of step t is backpropagated through the t steps before it, and the mean over them is taken instead of the sum
(Wang, Gray and Banerjee, equation 1). All that this changes is the weight of an error, so that one backward pass does::

    dz/ds = (-z + W^T delta)/tau + W_out^T err tau/t

It is the gradient of the sum of ``|err(t)|^2 tau/(2t)``: early errors count for more. At dt = tau, tau/t is one over
the number of steps.
"""

from dataclasses import replace

from neuroplast.rules.bptt import BPTT

BACKWARD = """
z += dt*((back - z)/tau + credit*tau/((k + 1)*dt))
delta = z*slope
"""

BPTT_MEAN = replace(
    BPTT, name="bptt_mean", backward=BACKWARD, reference="Wang, Gray and Banerjee (unpublished), equations 1-3"
)
