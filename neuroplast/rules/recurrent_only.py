"""RFLO of the recurrent and input weights; the readout keeps its initial ones, so that it cannot align with B."""

from dataclasses import replace

from neuroplast.rules.frozen import FROZEN
from neuroplast.rules.rflo import RFLO

RECURRENT_ONLY = replace(
    RFLO,
    name="recurrent_only",
    readout=FROZEN,
    reference="Murray 2019, eLife 8:e43299, figure 2 - figure supplement 2",
)
