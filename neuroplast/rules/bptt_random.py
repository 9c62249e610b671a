"""Backpropagation through time with fixed random feedback in place of the readout's transpose.

What is left of RFLO is its random feedback; the influence through the rest of the network is not left out.
"""

from dataclasses import replace

from neuroplast.rules.bptt import BPTT

BPTT_RANDOM = replace(
    BPTT, name="bptt_random", feedback="random", reference="Murray 2019, eLife 8:e43299, figure 2d (cyan)"
)
