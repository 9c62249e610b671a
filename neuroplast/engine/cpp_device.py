"""Brian2's C++ standalone device, with dense synapses and all values given at run time."""

from __future__ import annotations

from copy import copy

import numpy as np
from brian2 import Synapses, prefs
from brian2.codegen.runtime.numpy_rt import NumpyCodeObject
from brian2.core.functions import Function
from brian2.core.variables import Constant, DynamicArrayVariable, VariableView
from brian2.devices.cpp_standalone.device import CPPStandaloneDevice
from brian2.devices.device import Device
from jinja2 import FileSystemBytecodeCache

from neuroplast.engine import blas
from neuroplast.engine.access import written_names
from neuroplast.engine.build import cache_dir
from neuroplast.engine.counters import Counters
from neuroplast.engine.cpp_codegen import DenseCodeObject, operation_name
from neuroplast.engine.initial import InitialValues, no_random_values
from neuroplast.engine.monitors import template_of
from neuroplast.errors import InputError


class CppDevice(InitialValues, CPPStandaloneDevice):
    """Writes C++ that holds no values: arrays come from files, counts and seed from the command line.

    What differs from Brian2's device: its code objects are ours; initial values are kept in `array_cache` instead of
    being written into the program, so that one binary serves all of them; names do not depend on what else lives in
    the process, so that equal models give equal sources.
    """

    target = "cpp"

    def __init__(self):
        super().__init__()
        self.final_values = {}

    def begin(self):
        """Prepare for a new simulation."""
        self.counters = Counters()
        self.simulation = None  # name of the one that has been built of its objects
        self.longest_loop = 0  # over neurons and their copies, of any batch
        self.headers = ['"neuroplast.h"']
        use_template_cache(DenseCodeObject.templater.env)
        self.include_dirs, self.library_dirs = [], []

    def code_object_class(self, codeobj_class=None, fallback_pref=None):
        """Our code object; numpy for expressions that are evaluated at once."""
        if fallback_pref == "codegen.string_expression_target":
            return NumpyCodeObject
        return codeobj_class if codeobj_class is not None else DenseCodeObject

    def code_object(self, owner, name, abstract_code, variables, template_name, *args, codeobj_class=None, **kwds):
        """A code object with a name that is unique within this simulation (see `Device.code_object`)."""
        kwds["codeobj_class"] = codeobj_class
        _check_names(name, abstract_code, variables)
        if codeobj_class is NumpyCodeObject:
            no_random_values(owner, variables)
            return Device.code_object(self, owner, name, abstract_code, variables, template_name, *args, **kwds)
        base = name.rstrip("*")
        name, number = base, 0
        while name in self.code_objects:
            number += 1
            name = f"{base}_{number}"
        if prefs.core.default_float_dtype == np.float32:
            for key, variable in list(variables.items()):
                if isinstance(variable, Constant) and variable.dtype == np.float64:
                    variable = Constant(variable.name, variable.value, variable.dim, owner=variable.owner)
                    variable.dtype = np.dtype(np.float32)
                    variables[key] = variable
        if template_name == "stateupdate" and not isinstance(owner, Synapses):
            template_name = "neuron_update"
        template_name, kwds["template_kwds"] = template_of(owner, template_name, kwds.get("template_kwds"))
        return super().code_object(owner, name, abstract_code, variables, template_name, *args, **kwds)

    # -- values ----------------------------------------------------------------------------------------------

    def fill_with_array(self, var, arr):
        """Keep an initial value; it reaches the program as a file."""
        arr = np.asarray(arr)
        size = var.size if isinstance(var.size, int | np.integer) else int(np.prod(var.size))
        if arr.size not in (1, size):
            owner = getattr(var.owner, "name", "?")
            raise InputError(f"{owner}.{var.name} takes {size} values. Got {arr.size}, of shape {arr.shape}.")
        values = np.empty(size, dtype=var.dtype)
        values[:] = arr.ravel() if arr.size == size else arr.item()
        self.array_cache[var] = values

    def init_with_zeros(self, var, dtype):
        """Zero, also for an array that changes its size later."""
        super().init_with_zeros(var, dtype)
        if not isinstance(var, DynamicArrayVariable):
            self.array_cache[var] = np.zeros(var.size, dtype=var.dtype)

    def variableview_set_with_expression(self, view, *args, **kwds):
        """Set elements by an expression such as ``'i + j'``, at once (see `brian2.core.variables.VariableView`)."""
        return self._at_once(VariableView.set_with_expression, view, *args, **kwds)

    def variableview_set_with_expression_conditional(self, view, *args, **kwds):
        """Set elements by an expression and a condition, at once."""
        return self._at_once(VariableView.set_with_expression_conditional, view, *args, **kwds)

    def variableview_get_with_expression(self, view, *args, **kwds):
        """Elements that a condition such as ``'i > 2'`` selects."""
        return self._at_once(VariableView.get_with_expression, view, *args, **kwds)

    def variableview_get_subexpression_with_index_array(self, view, *args, **kwds):
        """Present values of a subexpression."""
        return self._at_once(VariableView.get_subexpression_with_index_array, view, *args, **kwds)

    def variableview_get_with_index_array(self, view, *args, **kwds):
        """Present values of a variable."""
        return self._at_once(VariableView.get_with_index_array, view, *args, **kwds)

    def _at_once(self, method, *args, **kwds):
        # In Python; the arrays that Brian2 makes for its own use on the way do not become part of the program.
        registers = ("arrays", "array_cache", "zero_arrays", "arange_arrays", "static_arrays")
        before = {name: copy(getattr(self, name)) for name in registers}
        try:
            return method.original_function(*args, **kwds)
        finally:
            for name, register in before.items():
                setattr(self, name, register)

    def get_value(self, var, access_data=True):
        """Initial value before a run, final value after it."""
        if var in self.final_values:
            return self.final_values[var]
        if self.array_cache.get(var) is not None:
            return self.array_cache[var]
        raise NotImplementedError(f"{var.name} has no value before the simulation has run.")

    # -- synapses --------------------------------------------------------------------------------------------

    def connect_dense(self, synapses):
        """Connect all pairs: sizes and indices (of copy 0 in a batch), without generated code."""
        (n_pre, n_post), batch = synapses.shape, synapses.batch
        if batch > 1:
            self.longest_loop = max(self.longest_loop, len(synapses.source), len(synapses.target))
        starts = getattr(synapses.source, "start", 0), getattr(synapses.target, "start", 0)
        variables = synapses.variables
        pre, post = synapses.pairs()
        for name, values in (
            ("_synaptic_pre", pre * np.int32(batch) + np.int32(starts[0])),
            ("_synaptic_post", post * np.int32(batch) + np.int32(starts[1])),
            ("N_outgoing", np.full(n_pre * batch + starts[0], n_post, np.int32)),
            ("N_incoming", np.full(n_post * batch + starts[1], n_pre, np.int32)),
        ):
            variables[name].resize(len(values))
            self.array_cache[variables[name]] = values
        for variable in sorted(synapses._registered_variables, key=lambda v: v.name):  # equal models, equal sources
            variable.resize(n_pre * n_post)
            if self.array_cache.get(variable) is None or len(self.array_cache[variable]) != n_pre * n_post:
                self.array_cache[variable] = np.zeros(n_pre * n_post, dtype=variable.dtype)
        self.array_cache[variables["N"]] = np.array([n_pre * n_post], dtype=np.int32)

    # -- sources ---------------------------------------------------------------------------------------------

    def unread_indices(self):
        """Indices of synapses' neurons that no operation reads: dense ones have loop variables in their place.

        They are as large as the weights, and the program has no need of them.
        """
        text = "".join(codeobj.code.cpp_file for codeobj in self.code_objects.values())
        indices = [v for v in self.arrays if isinstance(v, DynamicArrayVariable) and v.name in _INDICES]
        return {v for v in indices if f"_ptr{self.get_array_name(v)}[" not in text}

    def write_sources(self, directory, schedule_source, blas_needed):
        """Write all sources and static arrays of the simulation into `directory`.

        Parameters
        ----------
        directory : str or path
        schedule_source : str
            C++ of the schedule, state and native operations.
        blas_needed : bool
        """
        self.schedule_source = schedule_source
        self.code_lines["before_start"] = ["neuroplast::arguments(args);"]
        self.code_lines["before_end"] = ["neuroplast::finish();"]
        unread = {self.get_array_name(v, access_data=False) for v in self.unread_indices()}
        self.main_queue = [
            (kind, arguments)
            for kind, arguments in self.main_queue
            if not (kind == "resize_array" and arguments[0] in unread)
        ]
        self.main_queue.append(("insert_code", "neuroplast::run();"))
        self.networks, self.synapses = set(), set()
        self.clocks = {self.defaultclock}
        self._set_maximum_run_time(None)
        self.blas = blas.find() if blas_needed else None
        prefs["codegen.cpp.extra_compile_args"] = []  # or Brian2 asks the compiler about flags that nobody uses
        self.build(directory=str(directory), compile=False, run=False)

    def generate_network_source(self, writer, compiler):
        """Brian2's network, and beside it our schedule."""
        super().generate_network_source(writer, compiler)
        writer.write("schedule.cpp", self.schedule_source)


_INDICES = ("_synaptic_pre", "_synaptic_post")


def use_template_cache(env):
    """Keep Jinja's compiled templates in the cache folder: reading them again takes half of a second start."""
    folder = cache_dir() / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # the build says so if it matters
    env.bytecode_cache = FileSystemBytecodeCache(str(folder))


def _check_names(name, code, variables):
    """Refuse variables, of an object or of its statements, that are called like a word of C++."""
    names = {n for n, variable in variables.items() if not isinstance(variable, Function)} | written_names(code)
    words = sorted(names & _CPP_WORDS)
    if words:
        owner = operation_name(name.rstrip("*"))
        raise InputError(f"'{owner}': {', '.join(words)} is a word of C++. Give the variable another name.")


_CPP_WORDS = frozenset(
    """alignas alignof asm auto bitand bitor bool break case catch char class compl const constexpr continue decltype
    default delete do double else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept nullptr operator private protected public register return short signed sizeof static struct
    switch template this throw true try typedef typeid typename union unsigned using virtual void volatile while xor
    NULL NAN""".split()
)
