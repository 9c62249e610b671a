"""What an operation reads and writes: the ground for fusing sweeps and for refusing ambiguous orders."""

from __future__ import annotations

import re

from brian2.parsing.statements import parse_statement


def statement_lines(code):
    """The non-empty statements of abstract code (a text, or a dict of texts), one string each."""
    code = "\n".join(code.values()) if isinstance(code, dict) else code or ""
    return [line for line in re.split(r"[;\n]", code) if line.split("#")[0].strip()]


def written_names(code):
    """Names on the left-hand sides of abstract code (neuron and synaptic variables and temporaries)."""
    return {parse_statement(line)[0].strip() for line in statement_lines(code)}


class Access:
    """The array variables that an operation reads and writes, as Brian2 `Variable` objects.

    Attributes
    ----------
    reads, writes : frozenset of ArrayVariable
    random : bool
        Whether it draws random numbers.
    """

    def __init__(self, reads=(), writes=(), random=False):
        self.reads = frozenset(reads)
        self.writes = frozenset(writes)
        self.random = random

    def conflicts(self, other):
        """Variables through which the order of the two operations matters."""
        return (self.writes & (other.reads | other.writes)) | (other.writes & self.reads)
