"""`Tape`: what a phase went through, step by step, for a phase that runs it backward."""

from __future__ import annotations

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.core.names import Nameable
from brian2.core.variables import ArrayVariable, Variables
from brian2.groups.group import VariableOwner
from brian2.units.fundamentalunits import get_unit_for_display

from neuroplast.engine.active import active_device
from neuroplast.engine.counters import COUNTERS
from neuroplast.engine.messages import whole_number
from neuroplast.engine.operations import NativeOperation, is_variable_of_group, one_integer
from neuroplast.engine.population import batch_of
from neuroplast.errors import InputError


class Tape(VariableOwner, Nameable):
    """A preallocated table of variables of a population: what each step ``k`` left, or what is to come.

    Parameters
    ----------
    group : Population or Subgroup
        Whose variables are recorded.
    variables : sequence of str
        Their names; they stand on the tape under the same names.
    steps : int
        Rows: the most steps that the recorded phase may have, or those of the table.
    name : str

    Raises
    ------
    InputError
        For an unknown or shared variable, or a number of steps that is no positive integer.

    Notes
    -----
    The forward phase has ``tape.store()`` among its objects. A phase with ``direction=-1`` and ``clock="hold"`` has
    ``tape.load()`` and the adjoint's equations. ``synapses.accumulate("G", "d_post*x_pre", over=tape)`` then sums over
    the rows in one matrix product.

    A tape that nothing stores on is a table, filled in Python (``plan.length = [5, 3, 8]``, rows x neurons) and part of
    the state. ``plan.load(row="trial")`` in the event that begins a trial takes that trial's row of it.
    """

    def __init__(self, group, variables, steps, name):
        Nameable.__init__(self, name=name)
        self.group, self.names = group, tuple(variables)
        self.steps = whole_number(f"Tape '{name}'", "steps", steps, 1)
        self.variables = Variables(self)
        for variable in self.names:
            source = group.variables.get(variable)
            if not isinstance(source, ArrayVariable) or source.scalar:
                known = ", ".join(sorted(n for n in group.equations.names if not group.variables[n].scalar))
                raise InputError(
                    f"Tape '{name}': '{variable}' is no array variable of '{group.name}'. Its variables are {known}; "
                    "make a subexpression an array with (constant over dt)."
                )
            self.variables.add_array(variable, size=self.steps * len(group), dimensions=source.dim, dtype=source.dtype)
        self.variables.add_constant("N", value=self.steps * len(group))
        self._enable_group_attributes()

    def store(self, variables=None, *, when="end", order=0, name=None):
        """Operation that writes the present values into row ``k``.

        Parameters
        ----------
        variables : sequence of str, optional
            Some of the tape's variables, if not all are to be stored at this place of the step.
        when, order : str, int
            Place in the step.
        name : str, optional

        Raises
        ------
        InputError
            For a variable that is not on the tape.
        """
        pairs = {variable: variable for variable in self._chosen(variables)}
        store = self._copy(pairs, True, self._step(0), when, order, name or f"{self.name}_store")
        store.within_phase = f"Tape '{self.name}'"
        return store

    def load(self, into=None, *, row=None, shift=0, cycle=False, when="start", order=0, name=None):
        """Operation that reads a row back into the population.

        Parameters
        ----------
        into : dict of str to str, or sequence of str, optional
            Which variables of the tape to read (all by default), and the population's variables that take them (those
            of the same names by default).
        row : str, (Population, str), or sequence of these, optional
            Which row to read: an integer of the schedule (``"trial"``, ``"k"``, ...), a single integer variable, or the
            sum of several. By default ``k``, where rows outside the phase are zero; a row that is chosen here may lie
            anywhere on the tape, and one that the tape has not got stops the run.
        shift : int
            Added to the row.
        cycle : bool
            Begin again with row 0 after the last one; only with `row`.
        when, order : str, int
            Place in the step.
        name : str, optional

        Raises
        ------
        InputError
            For a variable that is not on the tape, or not in the population as one of the same kind; for a row that
            is no integer.
        """
        pairs = dict(into) if isinstance(into, dict) else {n: n for n in self._chosen(into)}
        self._chosen(pairs)
        if row is None and cycle:
            raise InputError(f"Tape '{self.name}': cycle=True needs a row, such as row='trial' or row='k'.")
        place = self._step(int(shift)) if row is None else self._anywhere(self._terms(row), int(shift), cycle)
        load = self._copy(pairs, False, place, when, order, name or f"{self.name}_load")
        load.within_phase = f"Tape '{self.name}'" if row is None else ""
        return load

    def _chosen(self, variables):
        chosen = self.names if variables is None else tuple(variables)
        unknown = [n for n in chosen if n not in self.names]
        if unknown:
            raise InputError(f"Tape '{self.name}' has {', '.join(self.names)}. Got {', '.join(unknown)}.")
        return chosen

    def _terms(self, row):
        """(array, element) of each integer that a row is the sum of."""
        counters = active_device().counters.variables
        terms = [row] if isinstance(row, str) or is_variable_of_group(row) else row
        if not isinstance(terms, list | tuple) or not terms:
            terms = [row]  # refused below
        found = []
        for term in terms:
            if isinstance(term, str) and term in COUNTERS:
                found.append((counters[term], 0))
            elif is_variable_of_group(term):
                found.append(one_integer(f"Tape '{self.name}': row", term))
            else:
                raise InputError(
                    f"Tape '{self.name}': row should be one of {', '.join(COUNTERS)}, or (population, 'variable'), or "
                    f"a list of these. Got {term!r}."
                )
        return found

    def _step(self, shift):
        """The row of the present step: (what it reads, its C++ and whether the phase has it, both in numpy)."""
        counters, rows = active_device().counters.variables, self.steps
        terms = [(counters["k"], 0), (counters["n_steps"], 0)]

        def words(steps):
            return f"{self.name} has {rows} rows, the phase has {steps} steps"

        def cpp(k, n):
            longer = words(f'" + std::to_string({n}) + "')
            lines = [
                f"const int64_t row = int64_t({k}) + ({shift});",
                f'if ({n} > {rows}) fail("{longer}");',
            ]
            return lines, f"row >= 0 && row < {n}"

        def numpy(k, n):
            if n > rows:
                raise InputError(words(n))
            return k + shift, 0 <= k + shift < n

        return terms, cpp, numpy

    def _anywhere(self, terms, shift, cycle):
        """The row that integers add up to, as `_step` gives its own."""
        rows = self.steps

        def words(row):
            return (
                f"{self.name} has {rows} rows, 0 to {rows - 1}. Got row {row}; give it more rows, or begin again with "
                "cycle=True"
            )

        def cpp(*values):
            lines = [f"int64_t row = {' + '.join(f'int64_t({value})' for value in values)} + ({shift});"]
            if cycle:
                lines.append(f"row = (row % {rows} + {rows}) % {rows};")
            outside = words('" + std::to_string(row) + "')
            lines.append(f'if (row < 0 || row >= {rows}) fail("{outside}");')
            return lines, "true"

        def numpy(*values):
            row = sum(values) + shift
            row = row % rows if cycle else row
            if not 0 <= row < rows:
                raise InputError(words(row))
            return row, True

        return terms, cpp, numpy

    def _copy(self, pairs, storing, row, when, order, name):
        terms, row_cpp, row_numpy = row
        size, first, steps = len(self.group), getattr(self.group, "start", 0), self.steps
        rows = [(self.variables[a], self.group.variables.get(b)) for a, b in pairs.items()]
        for (source, sink), (tape, here) in zip(pairs.items(), rows, strict=True):
            alike = isinstance(here, ArrayVariable) and not here.scalar and not here.read_only
            if not (alike and here.dtype == tape.dtype and here.dim is tape.dim):
                kind = "integer" if np.issubdtype(tape.dtype, np.integer) else get_unit_for_display(tape.dim)
                raise InputError(
                    f"Tape '{self.name}': '{sink}' of '{self.group.name}' cannot take '{source}'. It should be a "
                    f"parameter of the same unit and type, such as '{sink} : {kind}'."
                )
        tapes, groups = [row for row, _ in rows], [value for _, value in rows]

        def cpp(pointer):
            lines, inside = row_cpp(*(f"{pointer(variable)}[{index}]" for variable, index in terms))
            for tape, value in rows:
                at, here = f"{pointer(tape)} + row*{size}", f"{pointer(value)} + {first}"
                if storing:
                    lines.append(f"std::copy({here}, {here} + {size}, {at});")
                else:
                    lines.append(f"if ({inside}) std::copy({at}, {at} + {size}, {here});")
                    lines.append(f"else std::fill({here}, {here} + {size}, 0);")
            return "\n".join(lines)

        def numpy(value):
            row, inside = row_numpy(*(int(value(variable)[index]) for variable, index in terms))
            for tape, variable in rows:
                stored, here = value(tape).reshape(steps, size), value(variable)[first : first + size]
                if storing:
                    stored[row] = here
                else:
                    here[...] = stored[row] if inside else 0

        reads, writes = (groups, tapes) if storing else (tapes, groups)
        reads = [*reads, *(variable for variable, _ in terms)]
        return NativeOperation(name, cpp=cpp, numpy=numpy, reads=reads, writes=writes, when=when, order=order)


def accumulate_over(synapses, variable, terms, tapes, *, when, order, add, name):
    """Operation that sums ``pre*post`` over the rows of tapes (and the copies of a batch) in matrix products.

    Parameters
    ----------
    synapses : DenseSynapses
    variable : str
        Synaptic variable that takes the sum.
    terms : list of dict
        From `product_blocks`: one product of plain variables that stand on the tapes.
    tapes : Tape or sequence of Tape
    when, order, add, name
        See `DenseSynapses.accumulate`.

    Raises
    ------
    InputError
        If the expression is no product of one recorded pre- and one recorded postsynaptic variable, or has another
        unit than the variable.
    """
    tapes = [tapes] if isinstance(tapes, Tape) else list(tapes)
    plain = len(terms) == 1 and all((terms[0][side] or ("",))[0] == "variable" for side in ("pre", "post"))
    if not plain or terms[0]["syn"] or terms[0]["scale"]:
        raise InputError(
            f"DenseSynapses '{synapses.name}': over a tape, accumulate takes one product of a presynaptic and a "
            "postsynaptic variable, such as 'd_post*x_pre'. Put factors into the recorded variable or into the update."
        )
    pre = _recorded(synapses, synapses.source, terms[0]["pre"][1].removesuffix("_pre"), tapes)
    post = _recorded(synapses, synapses.target, terms[0]["post"][1].removesuffix("_post"), tapes)
    counters = active_device().counters.variables
    n_pre, n_post = synapses.shape
    batch = batch_of(synapses.source)
    target, mask = synapses.variables[variable], synapses.mask
    if target.dim != pre[0].dim * post[0].dim:
        has, gets = get_unit_for_display(target.dim), get_unit_for_display(pre[0].dim * post[0].dim)
        raise InputError(
            f"DenseSynapses '{synapses.name}': '{variable}' has the unit {has}, but the sum over the tape {gets}."
        )
    rows = min(tape.size // size for tape, _, size in (pre, post))
    longer = f"{name}: the tape has {rows} rows, the phase before had more steps; list the event right after the phase"

    def cpp(pointer):
        steps, out = f"{pointer(counters['n_steps'])}[0]", pointer(target)
        (a, a_start, a_size), (b, b_start, b_size) = ((pointer(v), s, n) for v, s, n in (pre, post))
        first, real = 1 if add else 0, c_data_type(target.dtype)
        check = f'if ({steps} > {rows}) fail("{longer}");'
        if batch == 1:
            lines = [
                check,
                f"gemm<{real}>(true, false, {n_pre}, {n_post}, {steps}, 1, {a} + {a_start}, {a_size}, {b} + {b_start}, "
                f"{b_size}, {first}, {out}, {n_post});",
            ]
        else:
            lines = [
                check,
                f"if (!{first} && {steps} == 0) std::fill({out}, {out} + {n_pre * n_post}, 0);",
                f"for (int64_t row = 0; row < {steps}; row++)",
                f"    gemm<{real}>(false, true, {n_pre}, {n_post}, {batch}, 1, {a} + row*{a_size} + {a_start}, "
                f"{batch}, {b} + row*{b_size} + {b_start}, {batch}, row ? 1 : {first}, {out}, {n_post});",
            ]
        if mask is not None:
            chosen = pointer(synapses.variables["_mask"])
            lines.append(f"for (int64_t e = 0; e < {n_pre * n_post}; e++) if (!{chosen}[e]) {out}[e] = 0;")
        return "\n".join(lines)

    def numpy(value):
        steps = int(value(counters["n_steps"])[0])
        if steps > rows:
            raise InputError(longer)
        a, b = (
            value(v).reshape(-1, size)[:steps, start : start + count * batch].reshape(steps, count, batch)
            for (v, start, size), count in ((pre, n_pre), (post, n_post))
        )
        total = sum(a[row] @ b[row].T for row in range(steps))
        if mask is not None:
            total = total * mask
        out = value(target).reshape(n_pre, n_post)
        out[...] = out + total if add else total

    names = [pre[0], post[0], counters["n_steps"]] + ([target] if add else [])
    return NativeOperation(name, cpp=cpp, numpy=numpy, reads=names, writes=[target], when=when, order=order, blas=True)


def _recorded(synapses, group, name, tapes):
    """(tape array, first element of a row, elements of a row) of a recorded variable."""
    owner = getattr(group, "source", group)
    for tape in tapes:
        if name in tape.names and getattr(tape.group, "name", None) == owner.name:
            return tape.variables[name], getattr(group, "start", 0), len(owner)
    raise InputError(
        f"DenseSynapses '{synapses.name}': no tape given to accumulate holds '{name}' of '{owner.name}'; they hold "
        f"{', '.join(f'{t.group.name}.{n}' for t in tapes for n in t.names)}."
    )
