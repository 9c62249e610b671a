"""The schedule in C++: plain nested loops that call each operation by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from brian2.codegen.generators.cpp_generator import c_data_type
from brian2.core.variables import DynamicArrayVariable

from neuroplast.engine.active import named_arrays
from neuroplast.engine.counters import COUNTERS, ENDED
from neuroplast.engine.dense import DenseSynapses
from neuroplast.engine.operations import NativeOperation, access_of
from neuroplast.engine.schedule import Loop, Phase
from neuroplast.engine.trimming import find_parts


@dataclass
class Program:
    """What the generator needs: the tree, the calls of each leaf, the arrays."""

    device: object
    schedule: object
    calls: dict  # name of a leaf -> list of Call
    monitors: list
    selections: list  # (recorder, node, loops around it), see `selection.selections`
    saved: set  # names of the arrays that are state
    watched: set  # names of the arrays that must stay finite
    lasting: list = field(init=False)  # variables, see `_lasting`
    parts: dict = field(init=False)  # see `neuroplast.engine.trimming`

    def __post_init__(self):
        self.lasting = _lasting(self)
        operations = {name: [call.operation for call in calls] for name, calls in self.calls.items()}
        self.parts = find_parts(self.schedule, operations)


def generate(program):
    """C++ of buffers, native operations, state and loops (`schedule.cpp`)."""
    native = []
    for calls in program.calls.values():
        for call in calls:
            if isinstance(call.operation, NativeOperation) and all(call.operation is not o for o in native):
                native.append(call.operation)
    parts = [
        '#include "data.h"',
        '#include "pooling.h"',
        '#include "readout.h"',
        "namespace neuroplast {",
        *(op.declarations for op in native),
        *(_native(program.device, op) for op in native),
        *(_take(program.device, *buffer) for buffer in _buffers(program)),
        _arrays(program),
        _counts(program),
        _selections(program),
        _WATCH,
        _ARGUMENTS,
        _run(program),
        _finish(program),
        "}",
    ]
    return "\n".join(parts)


def buffer_declarations(program):
    """C++ that has to stand before the code objects: the buffers that fused sums go into."""
    lines = [
        f"alignas(64) static {c_data_type(updater.target_var.dtype)} {name}[{size}];"
        for name, updater, size in _buffers(program)
    ]
    return "\n".join(["namespace neuroplast {", *lines, "}"])


def _buffers(program):
    """(name, updater, size) of each buffer, once."""
    found = []
    for calls in program.calls.values():
        for call in calls:
            if call.fused is not None:
                found += [b for b in call.fused.buffers if b not in found]
    return found


def pointer(device, variable):
    """C++ expression of a variable's data."""
    name = device.get_array_name(variable, access_data=False)
    return f"brian::{name}.data()" if isinstance(variable, DynamicArrayVariable) else f"brian::{name}"


def _native(device, op):
    body = op.cpp(lambda variable: pointer(device, variable))
    return f"static void _run_{op.name}()\n{{\n{body}\n}}"


def _take(device, name, updater, size):
    start = updater.template_kwds["_target_start"]
    target = pointer(device, updater.target_var)
    return f"static inline void _take_{name}() {{ std::copy({name}, {name} + {size}, {target} + {start}); }}"


def _arrays(program):
    rows = []
    monitors, unread = {m.name for m in program.monitors}, program.device.unread_indices()
    for name, variable in sorted(named_arrays(program.device), key=lambda item: item[0]):
        if variable in unread or (variable.owner.name in monitors and isinstance(variable, DynamicArrayVariable)):
            continue
        size = variable.size if np.isscalar(variable.size) else int(np.prod(variable.size))
        if size == 0:
            continue
        kind = {"float64": "d", "float32": "f"}.get(np.dtype(variable.dtype).name, "i")
        flags = [str(name in chosen).lower() for chosen in (program.saved, program.watched)]
        rows.append(
            f'        {{"{name}", (char*){pointer(program.device, variable)}, '
            f"{size}*sizeof({c_data_type(variable.dtype)}), '{kind}', {', '.join(flags)}}},"
        )
    head = ["NP_ONCE static const std::vector<Array>& arrays()", "{", "    static const std::vector<Array> table = {"]
    return "\n".join([*head, *rows, "    };", "    return table;", "}"])


def _counts(program):
    counts = program.schedule.counts()  # their values come from the command line: one program serves all of them
    lines = [f"static int64_t count_{name} = 0;" for name in counts]
    rows = [f'    {{"{name}", &count_{name}}},' for name in counts]
    lines += ["static const std::map<std::string, int64_t*> counts = {", *rows, "};"]
    counters = program.device.counters
    for name in COUNTERS:
        lines.append(f"#define NP_{name} {pointer(program.device, counters.variables[name])}[0]")
    if program.schedule.followed():
        lines.append(f"#define NP_{ENDED} {pointer(program.device, counters.variables[ENDED])}")
    clock = program.device.defaultclock
    for name in ("t", "timestep", "dt"):
        lines.append(f"#define NP_{name} {pointer(program.device, clock.variables[name])}[0]")
    return "\n".join(lines)


def _selections(program):
    """The recorders' selections; what is selected comes with the command line."""
    found = [(recorder.name, node.name) for recorder, node, _ in program.selections]
    lines = [f'static Selection {_selection(*pair)}("{pair[0]}", "{pair[1]}");' for pair in found]
    for pair, (_, _, around) in zip(found, program.selections, strict=True):
        lines.append(f"static int32_t number_{_selection(*pair)}() {{ return {around.number_text()}; }}")
    table = ", ".join(f"&{_selection(*pair)}" for pair in found)
    return "\n".join([*lines, f"static const std::vector<Selection*> selections = {{{table}}};"])


def _selection(recorder, node):
    return f"selection_{recorder}_in_{node}"


_LOOK = "if (((NP_tick & watch_mask) == 0 || NP_tick > watch_after) && !watch()) return;"

_WATCH = """
// Looks through the state for a number that is not finite; reports the first and tells the schedule to stop.
static bool watch()
{
    for (const Array& array : arrays())
    {
        if (!array.watched) continue;
        const int64_t index = not_finite(array);
        if (index < 0) continue;
        const std::string text = std::string(array.name) + " " + std::to_string(index) + " "
            + std::to_string(position) + " " + std::to_string(NP_epoch) + " " + std::to_string(NP_trial) + " "
            + std::to_string(NP_k) + " " + std::to_string(NP_tick) + "\\n";
        save("diverged", text.data(), text.size());
        exit_status = 3;
        return false;
    }
    return true;
}
"""

_ARGUMENTS = """
NP_ONCE void arguments(std::vector<std::string>& args)
{
    die_with_parent();
    for (size_t i = 0; i + 1 < args.size(); i += 2)
    {
        const std::string& key = args[i];
        const std::string& value = args[i + 1];
        if (key == "--from") from = std::stoll(value);
        else if (key == "--until") until = std::stoll(value);
        else if (key == "--seed") rng_seed = std::stoull(value);
        else if (key == "--threads") pool_threads = std::stoi(value);
        else if (key == "--constants") constants_dir = value;
        else if (key == "--state") state_dir = value;
        else if (key == "--out") out_dir = value;
        else if (key == "--data") data_argument(value);
        else if (key == "--record") read_selections(value, selections);
        else if (key == "--watch") watch_mask = std::stoll(value) - 1;
        else if (key == "--watch-after") watch_after = std::stoll(value);
        else if (key == "--count")
        {
            const size_t equals = value.find('=');
            const auto found = counts.find(value.substr(0, equals));
            if (found == counts.end()) fail("no loop or phase is called " + value);
            *found->second = std::stoll(value.substr(equals + 1));
        }
        else fail("unknown argument " + key);
    }
    args.clear();
}
"""


def _run(program):
    lines = ["static void loops()", "{"]
    _body(program, program.schedule.body, lines, 1)
    lines += [
        "}",
        "void run()",
        "{",
        "#ifdef NEUROPLAST_BLAS_PREFIX",
        "    blas_single_thread();",
        "#endif",
        "    flush_denormals();" if program.device.dtype == np.float32 else "",
        "    load(constants_dir, arrays());",
        "    load(state_dir, arrays());",
        *(f"    lasting_weights().push_back({{{pointer(program.device, v)}, 0}});" for v in program.lasting),
        "    rng_tick = NP_tick;",
        "    loops();",
        "    if (exit_status == 0) watch();",
        "}",
    ]
    return "\n".join(lines)


def _lasting(program):
    """Matrices that sums of a batch multiply by, and that nothing writes in one of the nodes that have such a sum.

    What is written within a phase would have to be looked at in each of its steps.
    """
    found = {}
    for calls in program.calls.values():
        operations = [call.operation for call in calls]
        written = set().union(*(access_of(operation).writes for operation in operations))
        for operation in operations:
            if getattr(operation, "template", None) == "dense_product":
                synaptic = {v for v in access_of(operation).reads - written if isinstance(v.owner, DenseSynapses)}
                real = {v for v in synaptic if v.dtype == program.device.dtype and not v.scalar}
                found |= {f"{v.owner.name}.{v.name}": v for v in real}
    return [found[name] for name in sorted(found)]


def _body(program, body, lines, depth):
    pad = "    " * depth
    for node in body:
        if isinstance(node, Loop):
            index = f"_pass_{node.name}"
            lines += [f"{pad}for (int64_t {index} = 0; {index} < count_{node.name}; {index}++)", f"{pad}{{"]
            if node.counter:
                lines.append(f"{pad}    NP_{node.counter} = {index};")
            _body(program, node.body, lines, depth + 1)
            lines.append(f"{pad}}}")
            continue
        lines += [f"{pad}if (position >= until) return;", f"{pad}if (position++ >= from)", f"{pad}{{"]
        calls = program.calls[node.name]
        if isinstance(node, Phase):
            lines += [f"{pad}    {line}" for line in _steps(program, node, calls)]
        else:
            lines.append(f"{pad}    downward = false;  // not that of the phase before, where a run may be cut")
            lines += [f"{pad}    {_run_call(program, call.operation, node)}" for call in calls]
            lines.append(f"{pad}    rng_tick = NP_tick += 1;")
            lines.append(f"{pad}    {_LOOK}")
        lines.append(f"{pad}}}")


def _steps(program, node, calls):
    followed = program.schedule.followed()
    count, lines = f"count_{node.name}", []
    if node.length is not None:  # read once: what the steps write into it is for the next pass
        variable, index = node.length_at()
        words = node.wrong_length('" + std::to_string(_length) + "', f'" + std::to_string({count}) + "')
        lines = [
            f"const int64_t _length = {pointer(program.device, variable)}[{index}];",
            f'if (_length < 0 || _length > {count}) fail("{words}");',
        ]
        count = "_length"
    step = "_step" if node.direction == 1 else f"{count} - 1 - _step"
    if node.follows is not None:
        lines.append(f"const int32_t _begin = NP_{ENDED}[{followed.index(node.follows)}];")
        step = "_begin + _step"
    lines += [f"NP_n_steps = {count};", f"for (int64_t _step = 0; _step < {count}; _step++)", "{"]
    if any(call.fused is not None for call in calls):
        lines.append(f"    const bool _first = _step == 0, _last = _step == {count} - 1;")
    lines.append(f"    NP_k = {step}; downward = _step & 1;")
    for call in calls:
        run = _run_call(program, call.operation, node)
        if call.kind == "run":
            part = program.parts.get((node.name, call.operation.name))
            lines.append(f"    {run if part is None else _trimmed(run, part, count)}")
        elif call.kind == "take":
            taken = [f"_take_{name}();" for name, updater, _ in call.fused.buffers if updater is call.operation]
            lines.append(f"    if (_first) {run} else {{ {' '.join(taken)} }}")
        elif call.kind == "fused":
            lines.append(f"    if (_last) {run} else {{ {_run_call(program, call.fused, node)} }}")
    if node.clock == "advance":
        lines.append("    NP_timestep += 1; NP_t = NP_timestep*NP_dt;")
    lines += ["    rng_tick = NP_tick += 1;", f"    {_LOOK}", "}"]
    if node.name in followed:
        begin = "" if node.follows is None else "_begin + "
        lines.append(f"NP_{ENDED}[{followed.index(node.name)}] = {begin}{count};")
    return lines


def _trimmed(run, part, count):
    """A sum's call, in the last step onto those of its neurons that are wanted, if two passes of the loop follow."""
    ranges = ", ".join(f"{{{first}, {stop}}}" for first, stop in part.ranges)
    conditions = [f"_step == {count} - 1", f"_pass_{part.loop.name} + 2 < count_{part.loop.name}"]
    conditions.append(f"position - 1 + {2 * len(part.loop.body)} < until")
    conditions += [f"count_{phase.name} > 0" for phase in part.loop.body if isinstance(phase, Phase)]
    return (
        f"{{ static const std::vector<Range> _part{{{ranges}}}; if ({' && '.join(conditions)}) only = &_part; "
        f"{run} only = nullptr; }}"
    )


def _run_call(program, operation, node):
    text, writes = _call(operation, node), access_of(operation).writes
    changed = [number for number, variable in enumerate(program.lasting) if variable in writes]
    return " ".join([text, *(f"weights_changed({number});" for number in changed)])


def _call(operation, node):
    if isinstance(operation, NativeOperation):
        return f"_run_{operation.name}();"
    if operation.codeobj is None:
        return ""
    call = f"_op_{operation.codeobj.name}::_run_{operation.codeobj.name}();"
    if not hasattr(operation, "_selection"):
        return call
    selection = _selection(operation.name, node.name)
    due = "in_phase(NP_k, " if isinstance(node, Phase) else "in_event("
    return f"if ({selection}.{due}number_{selection}())) {call}"


def _finish(program):
    lines = ["void finish()", "{", "    for (const Array& array : arrays())",
             "        if (array.saved) save(array.name, array.data, array.bytes);"]  # fmt: skip
    lines.append("    flush_streams();")
    return "\n".join([*lines, "    std::fflush(0);", "    std::_Exit(exit_status);", "}"])
