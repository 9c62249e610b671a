"""Learning rules, one small file each; a rule is data that a model's ``build()`` takes."""

from neuroplast.rules.adjoint import AP, AP_DERIVATIVE, RECURRENT_PLASTICITY
from neuroplast.rules.autapse import AUTAPSE
from neuroplast.rules.backward import BP, DFA_LAYERS, DRTP, FA_LAYERS
from neuroplast.rules.bptt import BPTT
from neuroplast.rules.bptt_mean import BPTT_MEAN
from neuroplast.rules.bptt_random import BPTT_RANDOM
from neuroplast.rules.dale import dale
from neuroplast.rules.delta import DELTA
from neuroplast.rules.dfa import DFA, DFA_MEAN
from neuroplast.rules.equilibrium import EP
from neuroplast.rules.fa import FA, FA_MEAN
from neuroplast.rules.frozen import FROZEN
from neuroplast.rules.local import LOCAL
from neuroplast.rules.pepita import (
    ERROR_SIGN,
    FROZEN_HIDDEN,
    PEPITA,
    PEPITA_CONV,
    PEPITA_SCRIPT,
    PEPITA_STANDARD,
    RANDOM_PERTURBATION,
)
from neuroplast.rules.readout_only import READOUT_ONLY
from neuroplast.rules.recurrent_only import RECURRENT_ONLY
from neuroplast.rules.rflo import RFLO
from neuroplast.rules.rule import Rule

__all__ = [
    "AP", "AP_DERIVATIVE", "AUTAPSE", "BP", "BPTT", "BPTT_MEAN", "BPTT_RANDOM", "DELTA", "DFA", "DFA_LAYERS",
    "DFA_MEAN", "DRTP", "EP", "ERROR_SIGN", "FA", "FA_LAYERS", "FA_MEAN", "FROZEN", "FROZEN_HIDDEN", "LOCAL",
    "PEPITA", "PEPITA_CONV", "PEPITA_SCRIPT", "PEPITA_STANDARD", "RANDOM_PERTURBATION", "READOUT_ONLY",
    "RECURRENT_ONLY", "RECURRENT_PLASTICITY", "RFLO", "Rule", "dale",
]  # fmt: skip
