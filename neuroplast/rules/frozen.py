"""No learning: the projection keeps its weights."""

from neuroplast.rules.rule import Rule

FROZEN = Rule(name="frozen", records=("w",))
