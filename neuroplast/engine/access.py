"""What an operation reads and writes: the ground for fusing sweeps and for refusing ambiguous orders."""

from __future__ import annotations

import re

from brian2.codegen.translation import analyse_identifiers
from brian2.core.functions import Function
from brian2.core.variables import ArrayVariable
from brian2.parsing.statements import parse_statement


def statement_lines(code):
    """The non-empty statements of abstract code, one string each."""
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

    @classmethod
    def of_code(cls, group, code, also_reads=(), also_writes=()):
        """Access of abstract code that runs on `group`.

        Parameters
        ----------
        group : Group
            Owner of the names.
        code : str or dict of str
            Abstract code.
        also_reads, also_writes : iterable of ArrayVariable
            What its template touches besides.
        """
        text = "\n".join(code.values()) if isinstance(code, dict) else code
        variables = dict(group.variables)
        _, known, unknown = analyse_identifiers(text, variables, recursive=True)
        written = written_names(text)
        reads, writes = set(also_reads), set(also_writes)
        for name in known:
            if isinstance(variables.get(name), ArrayVariable):
                # A name that is only assigned to counts as read as well: harmless, and right for += and *=.
                (writes if name in written else reads).add(variables[name])
                reads.add(variables[name])
        random = any(isinstance(f := variables.get(name), Function) and not f.stateless for name in known) or bool(
            {"rand", "randn", "poisson", "binomial"} & (known | unknown)
        )
        return cls(reads, writes, random)
