"""Feedback alignment in a recurrent network: errors come back in time through fixed random weights, not through W^T.

As backpropagation through time, with fixed B_rec, laid out as W is, in the place of W; the readout's transpose stays::

    dz/ds = (-z + B_rec^T delta)/tau + W_out^T err

FA_MEAN averages each error over the steps that it goes back, as `neuroplast.rules.bptt_mean` does.
"""

from dataclasses import replace

from neuroplast.rules.bptt import BPTT
from neuroplast.rules.bptt_mean import BPTT_MEAN

RECURRENT = """
b : 1                                     # weight through which the error comes back
back_pre = b*delta_post : second (summed) # B_rec^T delta
"""

FA = replace(BPTT, name="fa", recurrent=RECURRENT, reference="Lillicrap et al. 2016, unfolded in time")
FA_MEAN = replace(
    BPTT_MEAN, name="fa_mean", recurrent=RECURRENT, reference="Wang, Gray and Banerjee (unpublished), equations 1, 4, 5"
)
