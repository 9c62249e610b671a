"""Points of a sweep, and how their results are put side by side."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from brian2 import Quantity, ms

from neuroplast.errors import InputError
from neuroplast.parameters import parameter
from neuroplast.sweep_points import make_points, read_axes, split
from neuroplast.sweep_results import programs_text, together


@dataclass(frozen=True)
class Parameters:
    tau: Quantity = parameter(10 * ms)
    N: int = parameter(30)
    periods: tuple = parameter((200 * ms, 1600 * ms))
    rules: tuple = parameter(("a", "b"), choices=("a", "b"))

    def __post_init__(self):
        if self.N > 50 and len(self.rules) > 1:
            raise ValueError("too large for two rules")


def points(*settings, seeds=1):
    defaults = Parameters()
    return make_points(defaults, read_axes(defaults, settings), seeds)


def test_all_combinations_with_all_seeds():
    found = points("N=10,20", "tau=5*ms,20*ms", seeds=2)
    assert [point.name for point in found][:4] == [
        "tau=5ms_N=10_seed=0",
        "tau=5ms_N=10_seed=1",
        "tau=5ms_N=20_seed=0",
        "tau=5ms_N=20_seed=1",
    ]
    assert len(found) == 8
    assert found[-1].coords == {"tau": 0.02, "N": 20, "seed": 1} and found[-1].case == "tau=20*ms, N=20"
    assert (found[-1].parameters.tau, found[-1].parameters.N) == (20 * ms, 20)


def test_without_values_there_are_seeds():
    assert [(point.name, point.coords) for point in points(seeds=2)] == [
        ("seed=0", {"seed": 0}),
        ("seed=1", {"seed": 1}),
    ]


def test_a_comma_separates_points_and_parentheses_hold_a_value_together():
    single, several = points("period=200*ms,400*ms"), points("periods=(200*ms,400*ms),800*ms", "rules=(a,b),b")
    assert [point.parameters.periods for point in single] == [(200 * ms,), (400 * ms,)]
    assert [point.coords["period"] for point in single] == [0.2, 0.4]
    assert [len(point.parameters.periods) for point in several] == [2, 2, 1, 1]
    assert [point.parameters.rules for point in several[:2]] == [("a", "b"), ("b",)]
    assert several[0].name == "periods=200ms+400ms_rules=a+b_seed=0"
    assert split("(1,2),3") == ["(1,2)", "3"] and split("") == [""]


def test_names_do_not_depend_on_how_a_value_is_written():
    assert points("period=0.2*second")[0].name == points("period=200*ms")[0].name


def test_a_combination_that_the_protocol_refuses_is_named():
    with pytest.raises(InputError, match="N=60, rules=a,b: too large for two rules"):
        points("N=30,60", "rules=a,(a,b)")


def test_long_names_are_cut_and_stay_apart():
    values = ",".join(f"{n}*ms" for n in range(1, 100))
    (first,), (second,) = points(f"periods=({values})"), points(f"periods=({values},200*ms)")
    assert len(first.name) < 160 and first.name != second.name


def result(period, loss, **more):
    return xr.Dataset({"loss": (("period", "trial"), [loss])}, {"period": [period]}, more)


def test_single_entries_that_differ_become_coordinates():
    parts = [
        ({"tau": tau, "seed": seed}, result(round(0.2 / tau), [tau, seed])) for tau in (0.01, 0.02) for seed in (0, 1)
    ]
    found = together(parts, {"tau": [0.01, 0.02], "seed": [0, 1]})
    assert found.loss.sizes == {"tau": 2, "seed": 2, "trial": 2}
    assert found.loss.notnull().all()
    assert found.period.dims == ("tau",) and found.period.values.tolist() == [20, 10]


def test_single_entries_that_are_the_same_stay():
    found = together([({"seed": seed}, result(20, [0.1, 0.2])) for seed in (0, 1)], {"seed": [0, 1]})
    assert found.loss.dims == ("seed", "period", "trial")


def test_what_is_called_as_a_swept_parameter_is_renamed():
    parts = [({"period": period, "seed": 0}, result(100 * period, [0.1])) for period in (0.2, 0.4)]
    found = together(parts, {"period": [0.2, 0.4], "seed": [0]})
    assert found.period.values.tolist() == [0.2, 0.4] and found.run_period.values.tolist() == [20, 40]
    several = [({"trial": n, "seed": 0}, result(20, [0.1] * n)) for n in (1, 2)]
    assert together(several, {"trial": [1, 2], "seed": [0]}).loss.sizes["run_trial"] == 2


def test_points_that_are_missing_are_nan_and_attributes_are_those_of_all():
    parts = [
        ({"N": 1, "seed": 0}, result(20, [0.1], rule="a", seed=0)),
        ({"N": 2, "seed": 1}, result(20, [0.2], rule="a", seed=1)),
    ]
    found = together(parts, {"N": [1, 2, 3], "seed": [0, 1]})
    assert found.loss.isel(period=0, trial=0).notnull().values.tolist() == [
        [True, False],
        [False, True],
        [False, False],
    ]
    assert found.attrs == {"rule": "a"}
    np.testing.assert_array_equal(found.loss.sel(N=2, seed=1), [[0.2]])


def served(settings, programs, sizes=None):
    """A sweep whose points were served by these programs."""
    defaults = replace(Parameters(), rules=("a",))
    axes = read_axes(defaults, settings)
    found = make_points(defaults, axes, 2)
    outcomes = {
        point.name: {"programs": programs(point), "sizes": {} if sizes is None else sizes(point)} for point in found
    }
    return SimpleNamespace(axes=axes, points=found, outcomes=outcomes, folder=Path("x"))


def test_programs_are_counted_and_what_is_compiled_in_is_named():
    one = served(["tau=5*ms,10*ms"], lambda point: {"p": "found" if point.seed else "built"})
    assert programs_text(one) == "1 program served 4 points (1 built, 0 found)"
    two = served(["tau=5*ms,10*ms", "N=30,100"], lambda point: {f"p{point.parameters.N}": "found"})
    text = "2 programs served 8 points (0 built, 2 found): N=30, N=100 (N is compiled in)"
    assert programs_text(two) == text


def test_programs_of_an_earlier_size_are_not_taken_for_a_value():
    both = served(
        ["tau=5*ms,10*ms"],
        lambda point: {f"p{point.parameters.tau}": "found"},
        lambda p: {"samples": float(p.parameters.tau)},
    )
    assert programs_text(both).endswith("points that were done earlier have programs of their own size")
