"""Sums of which a part is wanted: what is left out may be anything, and nothing that is read or kept changes."""

import numpy as np
import pytest
from brian2 import ms

from neuroplast.data import Images
from neuroplast.engine.trimming import find_parts
from neuroplast.models import adjoint
from neuroplast.modules import shared
from neuroplast.rules import AP_DERIVATIVE

ROWS, BATCH, BLOCK = 14, 3, 4  # five batches, the last one partial


def images(rows=ROWS, features=5):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, rows)
    return Images(
        "random", rng.random((rows, features)), labels, rng.random((rows, features)), labels[::-1], 3, (1, 1, features)
    )


def build(rule=None, graph=None, target="numpy", block=BLOCK, batch=BATCH, rows=ROWS, **more):
    shown = {"x1": images(rows), "x2": images(rows)} if graph is not None else images(rows)
    taken = {name: more.pop(name) for name in ("sizes", "record", "tasks") if name in more}
    parameters = adjoint.Parameters(
        **{"block": block, "batch": batch, "inference": 40 * ms, "learning": 40 * ms, **more}
    )
    args = () if rule is None else (rule,)
    return adjoint.build(parameters, shown, *args, graph=graph, target=target, dtype="float64", **taken)


CASES = {
    "ste": {},
    "epe": {"epe": True},
    "derivative": {"rule": AP_DERIVATIVE, "optimiser": "sgd"},
    "plastic": {"alpha": 0.1},
    "biases": {"learn_bias": True},
    "at once": {"simultaneous": True},
    "at once, epe, three": {"simultaneous": True, "epe": True, "modules": 3},
    "tau/2": {"dt": 5 * ms},
    "no roles": {"merged": "all"},
    "kinds": {"merged": "receivers/senders of a kind"},
    "crossed": {"merged": "crossed"},
    "reservoir": {"sizes": {"RE": 0}},
    "small roles": {"sizes": {"RI": 1, "RE": 2, "SI": 3, "SE": 1}, "modules": 3},
    "recorded": {"record": ("module1.z",)},
    "figure 5a": {"graph": shared("a", 2), "epe": True},
    "figure 5b, in turns": {"graph": shared("b", 2), "tasks": (("y2",), ("y1",))},
    "figure 5c": {"graph": shared("c", 2), "simultaneous": True},
}


class Spoiled:
    """A sum that leaves nonsense where it is not wanted, in the last step, if two passes of the loop follow."""

    def __init__(self, operation, part, backend, node):
        self.operation, self.part, self.backend, self.node = operation, part, backend, node
        self.name, self.at, self.done = operation.name, None, 0

    def run(self):
        backend, loop, target = self.backend, self.part.loop, self.operation.target
        self.operation.run()
        self.done = self.done + 1 if self.at == backend.position else 1
        self.at = backend.position
        follow = backend.counters["trial"][0] + 2 < backend.counts[loop.name]
        follow &= backend.position - 1 + 2 * len(loop.body) < backend.stop
        if follow and self.done == backend.counts[self.node.name]:
            first, batch = getattr(target, "start", 0), self.operation.group.batch
            values = self.operation.target_var.get_value()[first : first + len(target)].reshape(-1, batch)
            wanted = np.zeros(len(values), bool)
            for range_ in self.part.ranges:
                wanted[slice(*range_)] = True
            values[~wanted] = 1e3
            Spoiled.count += (~wanted).sum()


def spoil(simulation):
    """Let the sums of the numpy target leave nonsense; returns the parts that are wanted."""
    backend = simulation.build()._backend
    parts = find_parts(simulation.schedule, backend.operations)
    for node in simulation.schedule.leaves():
        backend.operations[node.name] = [
            Spoiled(op, parts[node.name, op.name], backend, node) if (node.name, op.name) in parts else op
            for op in backend.operations[node.name]
        ]
    Spoiled.count = 0
    return parts


def ranges(parts):
    return {f"{phase} {operation.partition('_summed')[0]}": part.ranges for (phase, operation), part in parts.items()}


@pytest.mark.parametrize("case", CASES)
def test_what_is_left_out_may_be_anything(case):
    model, other = build(**CASES[case]), build(**CASES[case])
    counts, parts = model.counts(1), spoil(other.simulation)
    state = model.initial()
    for stop in (None, 40):  # 40: amid an epoch
        left, wanted = (each.simulation.run(state, counts=counts, stop=stop) for each in (other, model))
        for name, values in wanted.state.items():
            np.testing.assert_array_equal(left.state[name], values, err_msg=name)
        for name, record in wanted.monitors.items():
            for variable, values in record.items():
                np.testing.assert_array_equal(left.monitors[name][variable], values, err_msg=f"{name}.{variable}")
    assert Spoiled.count > 0 or case == "no roles"
    assert bool(parts) == (case != "no roles")


def test_roles_decide_what_is_wanted():
    model = build()
    model.simulation.build()
    parts = find_parts(model.simulation.schedule, model.simulation._backend.operations)
    assert ranges(parts) == {
        "infer_module1 rec_module1": ((0, 8),),  # its RI learns, its SI sends
        "infer_module2 rec_module2": ((0, 8), (12, 16)),  # and its SE tells
        "adjoint_module2 rec_module2": ((0, 4), (12, 16)),
        "adjoint_module1 rec_module1": ((0, 4),),
        "test_infer_module1 rec_module1": ((4, 8),),
        "test_infer_module2 rec_module2": ((4, 8),),
    }


def test_what_is_read_as_a_whole_is_made_as_a_whole():
    for case, phases in {"epe": {"infer"}, "plastic": {"infer", "adjoint"}, "recorded": set()}.items():
        model = build(**CASES[case])
        model.simulation.build()
        found = find_parts(model.simulation.schedule, model.simulation._backend.operations)
        trained = {phase.partition("_")[0] for phase, _ in found}
        assert not trained & phases, case
        if case == "recorded":
            assert {phase for phase, _ in found if not phase.startswith("test")} == {
                "infer_module2", "adjoint_module2",
            }  # fmt: skip


def test_compiled_trimming_changes_nothing():
    compiled, model = (build(target=target, block=40, batch=48, rows=200, dt=5 * ms) for target in ("cpp", "numpy"))
    state, counts = model.initial(), model.counts(1)
    for stop in (None, 17, 29):
        ours, wanted = (each.simulation.run(state, counts=counts, stop=stop).state for each in (compiled, model))
        for name, values in wanted.items():
            np.testing.assert_allclose(ours[name], values, rtol=1e-9, atol=1e-11, err_msg=f"{name}, {stop}")
    text = (compiled.simulation._backend.project / "schedule.cpp").read_text()
    assert "_part{{0, 40}, {120, 160}}; if (_step == count_adjoint_module2 - 1 && _pass_trial + 2 < count_trial" in text
    assert text.count("only = &_part") == 6
