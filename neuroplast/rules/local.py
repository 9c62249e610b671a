"""RFLO without random feedback: the error reaches a unit through the readout's own weights, transposed.

What is left of RFLO is its locality; figure 2d of the paper asks which of the two costs something. No synapse could
have it: it needs the weights of other synapses.
"""

from dataclasses import replace

from neuroplast.rules.rflo import RFLO

LOCAL = replace(RFLO, name="local", feedback="symmetric", reference="Murray 2019, eLife 8:e43299, figure 2d (magenta)")
