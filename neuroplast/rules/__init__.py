"""Learning rules, one small file each; a rule is data that a model's ``build()`` takes."""

from neuroplast.rules.bptt import BPTT
from neuroplast.rules.delta import DELTA
from neuroplast.rules.frozen import FROZEN
from neuroplast.rules.rflo import RFLO
from neuroplast.rules.rule import Rule

__all__ = ["BPTT", "DELTA", "FROZEN", "RFLO", "Rule"]
