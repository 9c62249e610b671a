"""`DenseSynapses`: Brian2 `Synapses` over all pairs, lowered to contiguous matrices."""

from __future__ import annotations

from itertools import count

import numpy as np
from brian2 import Equations, Synapses
from brian2.codegen.translation import get_identifiers_recursively
from brian2.core.variables import Variable
from brian2.equations.equations import PARAMETER
from brian2.groups.group import CodeRunner
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.parsing.statements import parse_statement
from brian2.synapses.synapses import SynapticIndexing
from brian2.units.fundamentalunits import Quantity, fail_for_dimension_mismatch, get_unit_for_display
from brian2.utils.stringtools import deindent, get_identifiers

from neuroplast.engine.access import statement_lines, written_names
from neuroplast.engine.active import active_device
from neuroplast.engine.messages import explained, integer
from neuroplast.engine.population import batch_of
from neuroplast.engine.products import plain_variables, product_blocks
from neuroplast.engine.tape import accumulate_over
from neuroplast.errors import InputError

#: Rows that one sweep takes together, so that sums onto postsynaptic neurons are loaded and stored less often.
UNROLL = 4

#: Synapses from which on sweeps alternate their direction: the matrices of smaller ones stay in the cache anyway.
ALTERNATE = 50_000


class DenseSynapses(Synapses):
    """All-to-all synapses with the equations of Brian2's `Synapses`, run on dense matrices.

    A synaptic variable is a row-major matrix ``(N_pre, N_post)``. Every operation that acts once per step (the
    integration of the ODEs, each ``(summed)`` variable, each ``run_regularly`` and ``accumulate``) has an
    explicit place in the step.

    Parameters
    ----------
    source, target : Population, NeuronGroup or Subgroup
        Pre- and postsynaptic neurons; `target` defaults to `source`. Both have the same batch size.
    model : str or Equations
        Brian2 equations: ODEs, subexpressions, ``(summed)`` variables, ``(shared)`` and ``(constant)`` parameters.
    order : int or dict of str to int, optional
        Place within the slot ``groups`` of the integration (key ``"update"``) and of each summed variable (key: its
        name, such as ``"I_post"``). An int gives that of the integration; sums then run just before the group that
        they feed, as in Brian2.
    mask : array of bool, shape (N_pre, N_post), optional
        Which pairs are connected. The others hold zero, contribute nothing and never change.
    **kwargs
        ``method``, ``namespace``, ``dtype``, ``name`` as in `brian2.Synapses`.

    Raises
    ------
    InputError
        For what has no dense form (spike pathways, delays, several synapses per pair, event-driven equations), for
        what Brian2 refuses, for batch sizes that differ, a mask of the wrong shape, an unknown key in `order`; and when
        the simulation is built, for a use of pre- or postsynaptic variables that has no meaning for shared weights.
    """

    def __init__(self, source, target=None, model=None, *, order=0, mask=None, **kwargs):
        device = active_device()
        name = kwargs.get("name", "synapses")
        owner = f"{type(self).__name__} '{name}'"
        unsupported = sorted({"on_pre", "on_post", "delay", "multisynaptic_index", "on_event", "connect"} & set(kwargs))
        if unsupported:
            raise InputError(
                f"{owner}: {', '.join(unsupported)} has no dense form: no spikes, no delays, one "
                "synapse per pair. Outside of schedules, brian2.Synapses have it."
            )
        target = source if target is None else target
        self.batch = batch_of(source)
        if batch_of(target) != self.batch:
            raise InputError(
                f"{owner}: source and target should have the same batch size. Got "
                f"{self.batch} for '{source.name}' and {batch_of(target)} for '{target.name}'."
            )
        self.shape = self._matrix(owner, len(source) // self.batch, len(target) // self.batch)
        self.mask = None
        self.text = str(model or "")  # with its comments, which say what each variable is
        orders = order if isinstance(order, dict) else {"update": order}
        orders = {key: integer(owner, f"order of {key}", place) for key, place in orders.items()}
        try:
            model = model if isinstance(model, Equations) else Equations(model or "")
            _check_targets(owner, model, source, target)
            super().__init__(source, target, model, order=orders.get("update", 0), **kwargs)
        except Exception as error:
            self._network = "none"  # Brian2 warns of objects that were in no network
            raise explained(owner, error, code=str(model)) from error
        if self.event_driven is not None:
            raise InputError(
                f"{owner}: {', '.join(sorted(self.event_driven.names))} would change with spikes only. "
                "Write (clock-driven)."
            )
        self._network = "a schedule's"  # Brian2 warns of objects that were in no network of its own
        device.counters.join(self)
        self.mask = self._checked_mask(mask)
        device.connect_dense(self)
        self._connect_called = True
        self._indices = MatrixIndexing(self)
        if self.sharing > 1:
            self._index_features()
        if self.subexpression_updater is not None:
            self.adopt(self.subexpression_updater)
        self._place(orders)

    @property
    def title(self):
        """What and which it is, for messages."""
        return f"{type(self).__name__} '{self.name}'"

    def _matrix(self, owner, n_pre, n_post):
        """Shape of the matrix that a synaptic variable is."""
        return n_pre, n_post

    @property
    def sharing(self):
        """How many pairs of neurons have the same weight: one in each copy of a batch."""
        return self.batch

    @property
    def shapes(self):
        """Matrices that products are made of: activities of each side, and a synaptic variable."""
        n_pre, n_post = self.shape
        return {"pre": (n_pre, self.batch), "post": (n_post, self.batch), "syn": self.shape}

    def pairs(self):
        """Pre- and postsynaptic neuron, without copies, of each synapse, as Brian2 keeps them."""
        return np.divmod(np.arange(np.prod(self.shape), dtype=np.int32), np.int32(self.shape[1]))

    def _checked_mask(self, mask):
        if mask is None:
            return None
        mask = np.asarray(mask)
        if mask.shape != self.shape:
            raise InputError(
                f"{self.title}: the mask should have shape (N_pre, N_post) = {self.shape}. Got {mask.shape}."
            )
        if not np.isin(mask, (0, 1)).all():
            raise InputError(f"{self.title}: the mask should hold booleans. Got {mask.dtype} values.")
        mask = mask.astype(bool)
        self.variables.add_array(
            "_mask", size=mask.size, dtype=bool, values=mask.ravel(), constant=True, read_only=True
        )
        return mask

    def _index_features(self):
        """Make ``i`` and ``j`` the neuron within its group, whichever the copy, and count neurons without copies."""
        numbers = [len(group) // self.batch for group in (self.source, self.target)]
        for name, number in zip(("N_pre", "N_post"), numbers, strict=True):
            del self.variables._variables[name]
            self.variables.add_constant(name, value=number)
        for name, side, group in (("i", "pre", self.source), ("j", "post", self.target)):
            del self.variables._variables[name]
            first = getattr(group, "start", 0) // self.batch
            index = f"_{side}synaptic_idx"
            self.variables.add_subexpression(name, expr=f"feature_{side} - {first}", dtype=np.int32, index=index)

    def _place(self, orders):
        """Give each operation its order and its dense template."""
        places = {"update": self.state_updater, **self.summed_updaters}
        unknown = sorted(set(orders) - set(places))
        if unknown:
            raise InputError(f"{self.title}: order names {', '.join(unknown)}; allowed are {', '.join(places)}.")
        for key, runner in places.items():
            if runner is not None and key in orders:
                runner.order = orders[key]
        for updater in self.summed_updaters.values():
            self._lower_sum(updater)
        if self.state_updater is not None:
            self._lower_update(self.state_updater)

    # -- lowering of each kind of operation ------------------------------------------------------------------

    def _lower_update(self, runner):
        runner.template = "dense_sweep"
        runner.template_kwds = {**(runner.template_kwds or {}), "_sums": [], "_unroll": 1, **self.geometry()}
        runner.needed_variables = [*runner.needed_variables, *self.mask_names()]

    def _lower_sum(self, updater):
        onto = "pre" if updater.target_varname.endswith("_pre") else "post"
        updater.onto = onto
        used = neuron_names(self, f"_synaptic_var = {updater.expression.code}")
        if own := [n for n in used if self.variables[n] is updater.target_var]:
            raise InputError(
                f"{self.title}: the sum into {updater.target_varname} reads {own[0]}, the variable that "
                "it replaces. Sum into a variable of its own and copy it with run_regularly."
            )
        kwds = {"_onto": onto, **self.geometry()}
        blocks = None
        if self.sharing > 1:
            blocks, terms = product_blocks(self, str(updater.expression.code), onto)
            kwds["_terms"] = terms
        else:
            kwds["_sums"] = [self.sum_of(updater)]
            kwds["_unroll"] = UNROLL
        updater.template = self._template("product", blocks, updater.expression.code)
        if blocks:
            updater.abstract_code = blocks
        updater.template_kwds = {**updater.template_kwds, **kwds}
        plain = plain_variables(kwds.get("_terms", []))
        updater.needed_variables = [updater.target_varname, *plain, *self.mask_names()]

    def _template(self, operation, blocks, expression):
        """Template of a sum or an `accumulate`: of products, if it is one."""
        return f"dense_{operation}" if blocks else "dense_tiled" if self.sharing > 1 else "dense_sweep"

    @staticmethod
    def sum_of(updater, value="_synaptic_var", buffer=None):
        """What the sweep template needs to know of one sum."""
        start = updater.template_kwds["_target_start"]
        return {
            "value": value,
            "onto": updater.onto,
            "variable": updater.target_var,
            "start": start,
            "buffer": buffer,
        }

    def mask_names(self):
        """Name of the mask's variable, if there is a mask, for the operations that need it."""
        return [] if self.mask is None else ["_mask"]

    def geometry(self):
        """Sizes and offsets for the templates; offsets count neurons times copies.

        All names begin with an underscore: Brian2 also hands a template the user's variables by name, such as
        ``n_pre`` for a population's ``n``.
        """
        return {
            "_n_pre": self.shape[0],
            "_n_post": self.shape[1],
            "_batch": self.batch,
            "_pre_start": getattr(self.source, "start", 0),
            "_post_start": getattr(self.target, "start", 0),
            "_masked": self.mask is not None,
            "_alternate": self.shape[0] * self.shape[1] > ALTERNATE,
            "_shapes": self.shapes,
        }

    # -- operations the user adds ----------------------------------------------------------------------------

    def run_regularly(self, code, dt=None, clock=None, when="groups", order=0, name=None):
        """Run statements on every synapse once per step (see `brian2.Synapses.run_regularly`).

        Statements that write a variable of the pre- or postsynaptic group, which many synapses share, are run one
        synapse after the other: slower, and right.

        Parameters
        ----------
        code : str
            Statements, as in Brian2.
        when, order : str, int
            Place in the step.
        name : str, optional

        Returns
        -------
        CodeRunner
            To be listed in a schedule by itself where it should not run with the synapses' other operations.

        Raises
        ------
        InputError
            For a `dt` or `clock`, statements that cannot be parsed, or that write neurons' variables in a batch or
            through a mask.
        """
        if dt is not None or clock is not None:
            raise InputError(
                f"{self.title}: an operation with a dt of its own has no place in a schedule. Test "
                "the step instead, for example with int(k % 10 == 0)."
            )
        if name is None:
            taken = {obj.name for obj in self.contained_objects}
            name = next(n for i in count() if (n := f"{self.name}_run_regularly_{i}") not in taken)
        runner = CodeRunner(self, "stateupdate", code=deindent(code), when=when, order=order, name=name)
        self.adopt(runner)
        self.contained_objects.append(runner)
        return runner

    def adopt(self, runner):
        """Lower a CodeRunner of statements, unless it writes a neuron's variable."""
        try:
            written = written_names(runner.abstract_code)
        except ValueError as error:
            raise explained(f"'{runner.name}'", error, code=runner.abstract_code) from error
        foreign = sorted(n for n in written if self.variables.indices[n] in _NEURON_INDICES)
        if not foreign:
            self._lower_update(runner)
        elif self.sharing == 1 and self.mask is None:
            runner.template = "synapse_by_synapse"
        elif self.sharing > 1:
            raise InputError(
                f"{self.title}: '{runner.abstract_code.strip()}' writes {', '.join(foreign)}, which has "
                f"{self.sharing} copies. Use a (summed) variable."
            )
        else:
            raise InputError(
                f"{self.title}: '{runner.abstract_code.strip()}' writes {', '.join(foreign)} through a "
                "mask. Use a (summed) variable."
            )

    def accumulate(self, variable, expression, *, when="groups", order=0, add=False, keep=None, over=None, name=None):
        """Sum an expression of pre- and postsynaptic variables over the copies of the batch.

        ``variable = sum over copies of expression`` for every synapse, for example
        ``accumulate("G", "delta_post * x_pre")``: the gradient of a batch. With ``add=True`` it is added instead; with
        ``keep="momentum"`` it is added to that part of the variable: the sum of gradients that fade, without a pass
        over the matrices of its own.

        Parameters
        ----------
        variable : str
            Synaptic variable that takes the sum.
        expression : str
            Brian2 expression of synaptic, ``_pre`` and ``_post`` variables.
        when, order : str, int
            Place in the step.
        add : bool
            Add to the variable instead of setting it.
        keep : str, optional
            Expression of what all synapses share, without units: the variable is multiplied by it before the sum is
            added.
        over : Tape or sequence of Tape, optional
            Sum over the rows that a `Tape` has recorded as well; the operation that is returned has to be listed in
            an `Event` after the recorded phase.

        Returns
        -------
        operation
            To be listed in a schedule by itself where it should not run with the synapses' other operations.

        Raises
        ------
        InputError
            If `variable` is no synaptic variable, the expression has no meaning, or `keep` is given where it cannot be.
        """
        if variable not in self.variables or self.variables.indices[variable] != "_idx":
            names = [n for n in self.equations.names if self.variables.indices[n] == "_idx"]
            raise InputError(
                f"{self.title}: accumulate needs a synaptic variable. Got {variable!r}; it has "
                f"{', '.join(sorted(names))}."
            )
        if keep is not None and (add or over is not None):
            raise InputError(
                f"{self.title}: accumulate takes keep={keep!r} without add and without a tape. To add "
                "to the whole variable, leave it out; over a tape, put it into the update."
            )
        op = "+=" if add else "=" if keep is None else f"= ({keep})*{variable} +"
        name = name or f"{self.name}_accumulate_{variable}"
        if over is not None:
            _, terms = product_blocks(self, expression, "synapse")
            return accumulate_over(self, variable, terms, over, when=when, order=order, add=add, name=name)
        if self.sharing == 1:
            return self.run_regularly(f"{variable} {op} {expression}", when=when, order=order, name=name)
        blocks, terms = product_blocks(self, expression, "synapse")
        if len(terms) > 1 and variable in get_identifiers(expression):
            blocks, terms = None, []  # the second product would read what the first has written
        if keep is not None:
            if not blocks:
                raise InputError(
                    f"{self.title}: accumulate takes keep={keep!r} for products of a presynaptic and a "
                    f"postsynaptic factor. '{expression}' is none; sum it into a variable of its own."
                )
            blocks["keep"] = f"_keep = {keep}"
        check = f"{variable} {op} {expression}"
        runner = Accumulator(self, check, blocks, variable, when=when, order=order, name=name)
        runner.template = self._template("accumulate", blocks, expression)
        runner.keep = keep
        kwds = {"_terms": terms, "_variable": variable, "_add": add, "_keep": keep is not None, "_onto": "synapse"}
        runner.template_kwds = {**kwds, **self.geometry()}
        if not blocks:
            runner.abstract_code = f"_synaptic_var = {expression}"
        runner.needed_variables = [variable, *plain_variables(terms), *self.mask_names()]
        self.contained_objects.append(runner)
        return runner

    def before_run(self, run_namespace):
        """Refuse what would be silently wrong for weights that a batch shares."""
        super().before_run(run_namespace)
        if self.sharing == 1:
            return
        equations = [f"{name} = {text}" for name, text in self.equations.diff_eq_expressions]
        for statement in [*equations, *self._statements()]:
            used = neuron_names(self, statement)
            if used:
                shown = [n for n in used if n in get_identifiers(statement)] or used
                remedy = f"Reduce over the copies first: accumulate('G', 'expression of {shown[0]}')."
                if set(shown) <= {"i", "j"}:
                    remedy = f"Put it into a parameter: {self.name}.place = '{shown[0]}'."
                raise InputError(
                    f"{self.title}: its variables are shared by {self.sharing} copies, so '{statement}' "
                    f"cannot read {', '.join(shown)}. {remedy}"
                )

    def _statements(self):
        """Statements that act on synaptic variables alone."""
        for runner in self.contained_objects:
            if getattr(runner, "template", None) == "dense_sweep" and runner is not self.state_updater:
                yield from (line.strip() for line in statement_lines(runner.abstract_code))


class MatrixIndexing(SynapticIndexing):
    """``W.w[i, j]`` as in a matrix: neurons of source and target, whatever their copies."""

    def __call__(self, index=None, index_var="_idx"):
        """Indices of synapses (see `brian2.synapses.synapses.SynapticIndexing`)."""
        if isinstance(index, tuple) and len(index) == 2:
            n_pre, n_post = self.synapses.shape
            rows, columns = np.arange(n_pre)[index[0]], np.arange(n_post)[index[1]]
            index = np.ravel(np.reshape(rows, (-1, 1)) * n_post + columns)
        return super().__call__(index, index_var)


def _check_targets(owner, model, source, target):
    """Refuse sums into what is no parameter of the neurons, or has other units."""
    for equation in model.values():
        onto, _, side = equation.varname.rpartition("_")
        if "summed" not in equation.flags or side not in ("pre", "post"):
            continue
        group = source if side == "pre" else target
        wanted = group.equations.get(onto)
        if wanted is None or wanted.type != PARAMETER:
            has = ", ".join(n for n, e in sorted(group.equations.items()) if e.type == PARAMETER) or "none"
            raise InputError(
                f"{owner}: '{equation}' sums into '{onto}', which is no parameter of '{group.name}'; its parameters "
                f"are {has}. Add '{onto} : {get_unit_for_display(equation.dim)}' to its equations."
            )
        if wanted.dim is not equation.dim:
            raise InputError(
                f"{owner}: '{equation}' has the unit {get_unit_for_display(equation.dim)}, but '{onto}' of "
                f"'{group.name}' has {get_unit_for_display(wanted.dim)}."
            )


_NEURON_INDICES = ("_presynaptic_idx", "_postsynaptic_idx")


def neuron_names(synapses, code):
    """Names in `code` that are pre- or postsynaptic variables, subexpressions looked through."""
    variables = synapses.variables
    named = get_identifiers_recursively([code], variables)
    return sorted(n for n in named if n in variables and variables.indices[n] in _NEURON_INDICES)


class Accumulator(CodeRunner):
    """The operation behind `DenseSynapses.accumulate` in a batch."""

    def __init__(self, synapses, statement, blocks, variable, when, order, name):
        self.statement, self.keep = statement, None
        self.variable = variable
        super().__init__(
            synapses, "dense_accumulate", code=blocks or statement, when=when, order=order, name=name, check_units=False
        )

    def before_run(self, run_namespace):
        """Check the units of the whole expression: its factors are parts that have none of their own."""
        _, _, expression, _ = parse_statement(self.statement)
        names = get_identifiers(expression)
        variables = self.group.resolve_all(names, run_namespace, user_identifiers=names)
        fail_for_dimension_mismatch(
            self.group.variables[self.variable],
            Quantity(1, dim=parse_expression_dimensions(expression, variables)),
            f"'{self.variable}' and '{expression}' have different units.",
        )
        if self.keep is not None:
            self._check_kept(run_namespace)
        super().before_run(run_namespace)

    def _check_kept(self, run_namespace):
        """Refuse a part to be kept that differs from synapse to synapse; that it has no unit follows from the sum's."""
        names = get_identifiers_recursively([self.keep], self.group.variables)
        variables = self.group.resolve_all(names, run_namespace, user_identifiers=names)
        own = sorted(n for n, v in variables.items() if isinstance(v, Variable) and not v.scalar)
        if own:
            raise InputError(
                f"{self.group.title}: keep={self.keep!r} reads {', '.join(own)}, which differs from "
                "synapse to synapse. Multiply by it in a run_regularly, or make it (shared)."
            )
