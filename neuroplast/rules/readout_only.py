"""Only the readout learns; its output is fed back into the units through the random weights B.

Without plastic recurrent weights the loop through the output is all that learning can shape::

    u = W h + W_in x + B y
"""

from neuroplast.rules.rule import Rule

READOUT_ONLY = Rule(
    name="readout_only",
    feedback="output",
    records=("w",),
    reference="Murray 2019, eLife 8:e43299, figure 2 - figure supplement 2",
)
