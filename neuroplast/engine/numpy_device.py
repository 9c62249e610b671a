"""The numpy target: the same operations by broadcasting and matmul, without a compiler."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
from brian2.codegen.generators.numpy_generator import NumpyCodeGenerator
from brian2.codegen.runtime.numpy_rt.numpy_rt import NumpyCodeObject
from brian2.core.functions import DEFAULT_FUNCTIONS, Function
from brian2.devices.device import RuntimeDevice
from brian2.utils.stringtools import get_identifiers

from neuroplast.engine import philox
from neuroplast.engine.counters import Counters
from neuroplast.engine.cpp_codegen import operation_name, stream_key
from neuroplast.engine.initial import InitialValues, no_random_values
from neuroplast.engine.monitors import template_of

_ARRAY = SimpleNamespace(scalar=False)  # what a name that a block defines itself counts as
_SIDES = {"_presynaptic_idx": "pre", "_postsynaptic_idx": "post"}

#: Index of the random numbers of shared variables, as text: what ``(uint32_t)-1`` is in the C++ templates.
SHARED_INDEX = "4294967295"


def _order_is_free(statements, variables, indices):
    """Whether neurons' variables are only added to and not read, under this or another name, and nothing is drawn."""
    neural = [s for s in statements if s.var in variables and indices[s.var] != "_idx"]
    read = [variables[n] for s in statements for n in get_identifiers(s.expr) if n in variables]
    return (
        all(s.op in ("+=", "-=") for s in neural)
        and not any(variables[s.var] is other for s in neural for other in read)
        and all(other.stateless for other in read if isinstance(other, Function))
    )


class DenseNumpyGenerator(NumpyCodeGenerator):
    """Statements to numpy; in templates of matrices every value broadcasts to (N_pre, N_post[, batch])."""

    def __init__(self, *args, **kwds):
        super().__init__(*args, **kwds)
        self.dense = self.template_name.startswith(("dense_", "conv_"))
        self.operation = operation_name(self.name)
        self.call_number = 0
        self.index = "_vectorisation_idx"

    def translate_statement(self, statement):
        """A statement in Python, each call of a random number with a stream of its own."""

        def keyed(match):
            self.call_number += 1
            return f"{match[1]}({self.index}, {stream_key(self.operation, self.call_number)})"

        line = re.sub(r"\b(randn?)\(_vectorisation_idx\)", keyed, super().translate_statement(statement))
        # In place, numpy would write through to what a name was copied from (a = b; b += c), and could not broadcast.
        match = re.match(r"(\w+) ([-+*/])= ([^#]*)", line)
        if match and not self.variables.get(match[1], _ARRAY).scalar:
            return f"{match[1]} = {match[1]} {match[2]} ({match[3].strip()})"
        return line

    def translate_one_statement_sequence(self, statements, scalar=False):
        """Lines of one block; dense blocks read whole matrices and never scatter."""
        self.index = SHARED_INDEX if scalar else "_vectorisation_idx"
        if not self.dense or scalar:
            return super().translate_one_statement_sequence(statements, scalar)
        read, write, indices, _ = self.arrays_helper(statements)
        lines = self.read_arrays(sorted(read), write, [], self.variables, self.variable_indices)
        lines += [self.translate_statement(statement) for statement in statements]
        for name in sorted(write):
            view = self._view(name)
            if self.variable_indices[name] == "_idx" and getattr(self.owner, "mask", None) is not None:
                lines.append(f"_numpy.copyto({view}, {name}, where=_owner.mask)")
            else:
                lines.append(f"{view}[...] = {name}")
        return lines

    def vectorise_code(self, statements, variables, variable_indices, index="_idx"):
        """Lines of statements that write neurons' variables: all synapses at once only if their order is free."""
        if self.template_name == "synapse_by_synapse":
            self._use_ufunc_at_vectorisation = _order_is_free(statements, variables, variable_indices)
        return super().vectorise_code(statements, variables, variable_indices, index)

    def read_arrays(self, read, write, indices, variables, variable_indices):
        """Lines that bind names to arrays."""
        if not self.dense:
            return super().read_arrays(read, write, indices, variables, variable_indices)
        return [f"{name} = {self._view(name)}{'.copy()' if name in write else ''}" for name in read]

    def _view(self, name):
        variable, index = self.variables[name], self.variable_indices[name]
        array, (n_pre, n_post) = self.get_array_name(variable), self.owner.shape
        batch = self.owner.batch
        if index == "0" or variable.scalar:
            return f"{array}[0]"
        # Products over a batch work on flat factors; everything else broadcasts over pairs (and copies).
        flat = self.template_name.endswith(("_product", "_accumulate"))
        if index == "_idx":
            if variable is self.owner.variables["_synaptic_pre"]:
                return f"_numpy.arange({n_pre})[:, None]"
            if variable is self.owner.variables["_synaptic_post"]:
                return f"_numpy.arange({n_post})[None, :]"
            shape = (n_pre, n_post) if batch == 1 or flat else (n_pre, n_post, 1)
            return f"{array}.reshape({shape})"
        side = _SIDES[index]
        group = self.owner.source if side == "pre" else self.owner.target
        start = getattr(group, "start", 0)
        part = f"{array}[{start}:{start + len(group)}]"
        if flat:
            return f"{part}.reshape({self.owner.shapes[side]})"
        shape = (n_pre, 1) if side == "pre" else (1, n_post)
        return f"{part}.reshape({shape if batch == 1 else (*shape, batch)})"


# Brian2 gives functions a numpy implementation for this very class only, so that it has to find our templates there.
NumpyCodeObject.templater = NumpyCodeObject.templater.derive("neuroplast.engine")


class DenseNumpyCodeObject(NumpyCodeObject):
    """Code object of every operation of the numpy target."""

    class_name = "neuroplast"  # under the name "numpy", Brian2 would find its own random numbers before ours
    generator_class = DenseNumpyGenerator


class NumpyDevice(InitialValues, RuntimeDevice):
    """Brian2's runtime device with our numpy code objects."""

    target = "numpy"

    def begin(self):
        """Prepare for a new simulation."""
        self.counters = Counters()
        self.simulation = None  # name of the one that has been built of its objects

    def code_object_class(self, codeobj_class=None, fallback_pref=None):
        """Numpy, whatever the preferences say."""
        return codeobj_class if codeobj_class is not None else NumpyCodeObject

    def code_object(self, owner, name, abstract_code, variables, template_name, *args, codeobj_class=None, **kwds):
        """Our code object in the place of the class for which Brian2 has prepared the functions."""
        if template_name.startswith("group_variable_set"):
            no_random_values(owner, variables)
        template_name, kwds["template_kwds"] = template_of(owner, template_name, kwds.get("template_kwds"))
        return super().code_object(
            owner, name, abstract_code, variables, template_name, *args, codeobj_class=DenseNumpyCodeObject, **kwds
        )

    def connect_dense(self, synapses):
        """Connect all pairs (indices are those of copy 0 in a batch)."""
        pre, post = synapses.pairs()
        variables = synapses.variables
        for name, values, group in (("_synaptic_pre", pre, synapses.source), ("_synaptic_post", post, synapses.target)):
            variables[name].resize(len(values))
            variables[name].set_value(values * np.int32(synapses.batch) + np.int32(getattr(group, "start", 0)))
        synapses._resize(len(pre))
        synapses._update_synapse_numbers(0)


class _Running:
    """The simulation that runs now: where operations find its seed, tick, precision, data sets and recordings."""

    seed = 0
    device = None
    dtype = np.float64
    data = {}
    streams = None

    def numbers(self, kind, index, stream):
        """Random numbers of the shape of `index` (what numpy code calls ``_vectorisation_idx``)."""
        tick = int(self.device.counters.variables["tick"].get_value()[0])
        if np.isscalar(index):
            return kind(self.seed, stream, tick, index, self.dtype)[0]
        index = index if isinstance(index, np.ndarray) else np.arange(len(index))  # Brian2's LazyArange
        return kind(self.seed, stream, tick, index, self.dtype)


running = _Running()


def _rand(index, stream):
    return running.numbers(philox.uniform, index, stream)


def _randn(index, stream):
    return running.numbers(philox.normal, index, stream)


for _name, _function in (("rand", _rand), ("randn", _randn)):
    DEFAULT_FUNCTIONS[_name].implementations.add_implementation(DenseNumpyCodeObject, code=_function)
