"""C++ for every operation: Brian2's generator, taught dense indices, single precision and keyed random numbers."""

from __future__ import annotations

import itertools
import re
import zlib
from copy import copy

import numpy as np
from brian2 import prefs
from brian2.codegen.generators.cpp_generator import CPPCodeGenerator, c_data_type
from brian2.core.functions import DEFAULT_FUNCTIONS
from brian2.devices.cpp_standalone.codeobject import CPPStandaloneCodeObject
from brian2.parsing.rendering import CPPNodeRenderer
from brian2.utils.stringtools import get_identifiers, stripped_deindented_lines, word_substitute

from neuroplast.engine.hoisting import Hoister


def stream_key(owner, number):
    """Stream of one textual call of rand() or randn(): the same in every build and on every target.

    Parameters
    ----------
    owner : str
        Name of the operation.
    number : int
        Which call within its code.
    """
    return zlib.crc32(f"{owner}:{number}".encode())


def operation_name(code_object):
    """Name of the operation behind a code object, which Brian2 may have numbered to make it unique."""
    return re.sub(r"_codeobject(_\d+)?$", "", code_object)


#: Operators that Brian2's C++ computes in double, and what takes their place in single precision.
_SINGLE = {"Pow": "power", "Mod": "modulo", "FloorDiv": "quotient"}


#: Names of the clock's time, or of one that it was, in the objects that read or record it.
_TIMES = re.compile(r"(_source_|_to_record_)?(t(_pre|_post)?|lastspike|lastupdate)")


class Renderer(CPPNodeRenderer):
    """Renders numbers and powers in the precision of the simulation."""

    def __init__(self, single, **kwargs):
        super().__init__(**kwargs)
        self.single = single

    def render_Constant(self, node):
        """A float literal gets its suffix in single precision."""
        text = super().render_Constant(node)
        if self.single and isinstance(node.value, float | np.floating) and re.fullmatch(r"[-\d.e+]+", text):
            return f"{text}f"
        return text

    def render_BinOp(self, node):
        """Powers and quotients in the simulation's precision, where Brian2's have the other one."""
        text = super().render_BinOp(node)
        kind = type(node.op).__name__
        if self.single and kind in _SINGLE:
            return f"neuroplast::{_SINGLE[kind]}({self.render_node(node.left)}, {self.render_node(node.right)})"
        if not self.single and kind == "Div":
            return text.replace("1.0f*", "1.0*", 1)  # so that integers divide
        return text


class DenseCodeGenerator(CPPCodeGenerator):
    """Statements to C++ for neurons and, in templates named ``dense_*`` or ``conv_*``, for matrices of synapses."""

    def __init__(self, *args, **kwds):
        super().__init__(*args, **kwds)
        self.single = prefs.core.default_float_dtype == np.float32
        self.dense = self.template_name.startswith(("dense_", "conv_"))
        self.operation = operation_name(self.name)
        self.call_number = 0

    # -- expressions and statements --------------------------------------------------------------------------

    def translate_expression(self, expr):
        """An expression in C++ (see `CPPCodeGenerator.translate_expression`)."""
        expr = word_substitute(expr, self.func_name_replacements)
        return Renderer(self.single, auto_vectorise=self.auto_vectorise).render_expr(expr).strip()

    def translate_statement(self, statement):
        """A statement in C++, each call of a random number with a stream of its own."""

        def keyed(match):
            self.call_number += 1
            return f"{match[1]}(_vectorisation_idx, {stream_key(self.operation, self.call_number)}u)"

        if statement.used_boolean_variables and get_identifiers(statement.expr) & {"rand", "randn"}:
            # Brian2 writes such a statement once for each value of its booleans: calls that are one would become many.
            statement = copy(statement)
            statement.used_boolean_variables = None
        return re.sub(r"\b(_randn?)\(_vectorisation_idx\)", keyed, super().translate_statement(statement))

    def _c_type(self, name):
        dtype = self.variables[name].dtype
        # The clock's time stays double: in single precision it would stop advancing after some minutes.
        if self.single and dtype == np.float64 and not _TIMES.fullmatch(name):
            dtype = np.float32
        return self.c_data_type(dtype)

    def translate_to_read_arrays(self, read, write, indices):
        """Lines that load array elements into local variables."""
        lines = []
        for name in itertools.chain([] if self.dense else sorted(indices), sorted(read)):
            const = "" if name in write else "const "
            lines.append(f"{const}{self._c_type(name)} {name} = {self._element(name)};")
        return lines

    def _element(self, name):
        variable, index = self.variables[name], self.variable_indices[name]
        if self.dense and index == "_idx":
            # The synapse's own indices are the loop's: reading Brian2's index arrays would double the traffic.
            for array, loop in (("_synaptic_pre", "_i"), ("_synaptic_post", "_j")):
                if variable is self.owner.variables[array]:
                    return loop
        return f"{self.get_array_name(variable)}[{index}]"

    def translate_to_write_arrays(self, write):
        """Lines that store local variables; pairs that a mask leaves out keep their value."""
        lines = super().translate_to_write_arrays(write)
        if not (self.dense and getattr(self.owner, "mask", None) is not None):
            return lines
        mask = f"{self.get_array_name(self.owner.variables['_mask'])}[_idx]"
        return [re.sub(r"^(\S+\[_idx\]) = (\w+);$", rf"\1 = {mask} ? \2 : \1;", line) for line in lines]

    def determine_keywords(self):
        """Template keywords (see `CPPCodeGenerator.determine_keywords`), with the floating-point type."""
        return {**super().determine_keywords(), "real": self.c_data_type(prefs.core.default_float_dtype)}

    # -- blocks ----------------------------------------------------------------------------------------------

    def translate_statement_sequence(self, sc_statements, ve_statements):
        """Scalar and vector code; sweeps over synapses get per-neuron blocks besides."""
        if self.template_name == "neuron_update":
            return self._neuron_blocks(*super().translate_statement_sequence(sc_statements, ve_statements))
        if self.template_name != "dense_sweep":
            return super().translate_statement_sequence(sc_statements, ve_statements)
        kwds = self.determine_keywords()
        ((key, scalar),) = sc_statements.items()
        dtype = np.dtype(prefs.core.default_float_dtype)
        parts = Hoister(self.variables, self.variable_indices, dtype).split(ve_statements[key])
        blocks = {side: getattr(parts, side) for side in ("pre", "post", "inner")}
        accesses = {side: self.arrays_helper(block) for side, block in blocks.items()}
        sc_read, sc_write, sc_indices, sc_cond = self.arrays_helper(scalar)
        scalar_lines = self.translate_to_statements(scalar, sc_cond)  # first: it numbers the random numbers
        for read, write, _, _ in accesses.values():
            # What is shared is loaded once, before the loops.
            shared = {n for n in read if self.variables[n].scalar and n not in write}
            sc_read |= shared
            read -= shared
        code = {}
        for side, block in blocks.items():
            read, write, _, cond = accesses[side]
            lines = self.translate_to_read_arrays(read, write, set())
            lines += self.translate_to_declarations(read, write, set())
            lines += self.translate_to_statements(block, cond)
            lines += self.translate_to_write_arrays(write)
            code[side] = lines
        types = {s.var: self._statement_type(s) for side in ("pre", "post") for s in blocks[side]}
        for side, index in (("pre", "_i"), ("post", "_j")):
            names = parts.values(side)
            code[side] += [f"_{side}_{name}[{index}] = {name};" for name in names]
            loads = [f"const {types[name]} {name} = _{side}_{name}[{index}];" for name in names]
            code["inner"] = loads + code["inner"]
            kwds[f"{side}_buffers"] = [(types[name], f"_{side}_{name}") for name in names]
        lines = self.translate_to_read_arrays(sc_read, sc_write, sc_indices)
        lines += self.translate_to_declarations(sc_read, sc_write, sc_indices)
        lines += scalar_lines
        lines += self.translate_to_write_arrays(sc_write)

        def text(block):
            return stripped_deindented_lines("\n".join(block))

        kwds["pre_code"], kwds["post_code"] = text(code["pre"]), text(code["post"])
        return {key: text(lines)}, {key: text(code["inner"])}, kwds

    def _neuron_blocks(self, scalar, vector, kwds):
        """The same, with a panel's uniform numbers in a buffer: drawn together they take a third of the time."""
        drawn = []

        def buffered(match):
            drawn.append(match[1])
            return f"_drawn_{len(drawn) - 1}[_idx - _first]"

        call = re.compile(r"\b_rand\(_vectorisation_idx, (\d+u)\)")
        vector = {key: [call.sub(buffered, line) for line in lines] for key, lines in vector.items()}
        kwds["_drawn"] = drawn
        kwds["_size"] = int(self.variables["N"].get_value())
        return scalar, vector, kwds

    def _statement_type(self, statement):
        dtype = np.dtype(statement.dtype)
        return self.c_data_type(np.float32 if self.single and dtype == np.float64 else dtype)


class DenseCodeObject(CPPStandaloneCodeObject):
    """Code object of every operation of the C++ target."""

    class_name = "neuroplast_cpp"  # Brian2 cannot list the implementations of a function if one has no name
    templater = CPPStandaloneCodeObject.templater.derive("neuroplast.engine")
    generator_class = DenseCodeGenerator


def _random_function(name):
    def code(owner):
        suffix = "_f" if prefs.core.default_float_dtype == np.float32 else ""
        kind = {"rand": "uniform", "randn": "normal"}[name] + suffix
        ctype = c_data_type(prefs.core.default_float_dtype)
        return {
            "support_code": f"static inline {ctype} _{name}(const int64_t index, const uint32_t stream)"
            f" {{ return neuroplast::{kind}(stream, (uint32_t)index); }}"
        }

    return code


for _name in ("rand", "randn"):
    DEFAULT_FUNCTIONS[_name].implementations.add_dynamic_implementation(
        DenseCodeObject, code=_random_function(_name), namespace=lambda owner: {}, name=f"_{_name}"
    )


for _name, _text in {
    "clip": "#define _clip neuroplast::clip\n",
    "exprel": "#define _exprel neuroplast::exprel\n",
}.items():
    DEFAULT_FUNCTIONS[_name].implementations.add_implementation(DenseCodeObject, code=_text, name=f"_{_name}")
