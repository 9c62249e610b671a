"""Interval matching and sequences: small runs end to end, measures by hand, claims that can come out either way."""

import numpy as np
import pytest
import xarray as xr
from brian2 import ms

from neuroplast.catalogue import find, load
from neuroplast.errors import InputError
from neuroplast.protocol import run_protocol
from neuroplast.tasks import DIRECTIONS

INTERVAL, SEQUENCE = load(find("rflo_interval")), load(find("rflo_sequence"))
SMALL = {"trials": 3, "N": 5, "dt": 10 * ms}
SMALL_INTERVAL = SMALL | {"nets": 2, "varied_nets": 1, "tests": 3, "longest": (12, 14, 16)}
SMALL_SEQUENCE = SMALL | {"whole_trials": 2, "nets": 2, "varied_nets": 1, "whole_nets": 1, "move": 4, "hold": 3}


def verdicts(module, dataset):
    return [claim.measure(dataset)["verdict"] for claim in module.EXPECTED]


@pytest.fixture(scope="module")
def interval(tmp_path_factory):
    return run_protocol(
        "rflo_interval", settings=SMALL_INTERVAL, out=tmp_path_factory.mktemp("i") / "run", target="numpy"
    )


@pytest.fixture(scope="module")
def sequence(tmp_path_factory):
    return run_protocol(
        "rflo_sequence", settings=SMALL_SEQUENCE, out=tmp_path_factory.mktemp("s") / "run", target="numpy"
    )


def test_interval_tests_its_delays_on_nets_of_all_cases(interval):
    found = interval.dataset
    standard = found.sel(variant="standard", rule="rflo")
    for longest in (12, 14):
        np.testing.assert_array_equal(
            standard.delay.sel(longest=longest).transpose("net", "test"), [[5, 9, longest]] * 2
        )
    assert found.peak.sel(variant="standard", rule="bptt", longest=16).notnull().all()
    assert found.peak.sel(variant="from 1 tau", rule="rflo", longest=12).dropna("net").sizes["net"] == 1
    assert found.delay.sel(variant="from 10 tau", rule="rflo", longest=12, net=0).values.tolist() == [10, 11, 12]
    # Each net has weights and delays of its own.
    loss = standard.loss.sel(longest=12)
    assert loss.isel(net=0, trial=0) != loss.isel(net=1, trial=0)


def test_peak_is_that_of_the_output_after_the_second_pulse():
    p = INTERVAL.Parameters(tests=2)
    task = INTERVAL.make_task(p, 10)
    outputs = np.zeros((2, task.samples - 1, 1))
    # Delays 50 and 100 samples, second pulses at samples 100 and 150; the output after step k is that of sample k + 1.
    outputs[0, 147, 0] = outputs[1, 255, 0] = 1.0
    outputs[:, 60, 0] = 5.0  # before the period in which the pulse should come
    found = INTERVAL._peaks(task, outputs, 10.0)
    assert found["delay"][1] == [5.0, 10.0]
    np.testing.assert_allclose(found["peak"][1], [4.8, 10.6])


def peaks(**slopes):
    """Results with peaks on lines through the mean delay; each net 0.1 tau off its neighbour."""
    rules, longest, variants = ["rflo", "bptt"], [15, 20, 25], list(INTERVAL.VARIANTS)
    delay = xr.DataArray(np.linspace(5, 15, 11), dims="test")
    slope = xr.DataArray(np.ones((2, 3, 4)), {"rule": rules, "longest": longest, "variant": variants})
    for name, value in slopes.items():
        case = {"rflo15": ("rflo", 15), "rflo20": ("rflo", 20), "bptt25": ("bptt", 25)}.get(name)
        if case:
            slope.loc[{"rule": case[0], "longest": case[1], "variant": "standard"}] = value
        else:
            slope.loc[{"variant": "same length"}] = value
    net = xr.DataArray([-0.1, 0.0, 0.1], dims="net")
    delays = delay.broadcast_like(slope).broadcast_like(net)
    attrs = {"width": 1.5, "rule": "rflo", "longest": 15}
    return xr.Dataset({"delay": delays, "peak": 10 + slope * (delay - 10) + net}, attrs=attrs)


@pytest.mark.parametrize(
    "slopes, expected",
    [
        ({"rflo20": 0.5}, [1, 1, 1, 1]),
        ({"rflo15": 0.7, "rflo20": 0.2}, [0, 1, 1, 0]),
        ({}, [1, 0, 1, 1]),
        ({"rflo20": 0.5, "bptt25": 1.3}, [1, 1, 0, 1]),
        ({"rflo20": 0.5, "varied": 0.5}, [1, 1, 1, 0]),
    ],
)
def test_claims_about_intervals(slopes, expected):
    assert verdicts(INTERVAL, peaks(**slopes)) == [("does not hold", "holds")[flag] for flag in expected]


def test_interval_says_what_was_not_run():
    only = peaks().sel(longest=[20])
    only.attrs["longest"] = 20
    assert verdicts(INTERVAL, only)[:3] == ["not run"] * 3


def test_wandering_stays_in_the_box_and_takes_every_direction():
    order = SEQUENCE.wander(500, seed=1)
    path = np.cumsum(0.5 * np.array(DIRECTIONS)[order], axis=0)
    assert abs(path).max() == 1 and set(order) == {0, 1, 2, 3}


def test_whole_sequence_is_the_movements_end_to_end():
    p = SEQUENCE.Parameters(move=4, hold=3)
    (whole,), parts = SEQUENCE.make_whole(p).conditions, SEQUENCE.make_movements(p, False).conditions
    np.testing.assert_array_equal(whole.target, np.concatenate([part.target for part in parts]))
    # The first movement's input, and nothing after it.
    np.testing.assert_array_equal(whole.drive[:40], [[1, 0, 0, 0]] * 40)
    assert not whole.drive[40:].any()


def test_sequence_has_all_choices_and_a_path_that_closes(sequence):
    found = sequence.dataset
    assert list(found.variant.values) == list(SEQUENCE.VARIANTS)
    assert set(found.kind.values) == {*SEQUENCE.VARIANTS, "rflo", "bptt"}
    assert found.loss.sizes == {"carried": 2, "held": 2, "net": 2, "trial": 3}
    np.testing.assert_allclose(found.goal[-1], 0, atol=1e-12)
    np.testing.assert_allclose(abs(found.goal).max(), 0.5, rtol=1e-12)
    # Four syllables of 7 samples take 6 steps each.
    loops = found.cursor.sel(kind=list(SEQUENCE.VARIANTS)).dropna("time", how="all")
    assert loops.sizes["time"] == 24 and found.time.size == 27
    assert not np.array_equal(loops.isel(kind=0, net=0), loops.isel(kind=1, net=0))
    assert loops.isel(kind=0, net=1).notnull().all() and loops.isel(kind=1, net=1).isnull().all()
    assert (sequence.folder / "animation.gif").read_bytes()[:4] == b"GIF8"


def test_loop_goes_on_with_the_weights_that_were_learned(sequence):
    nets = sequence.folder / "nets"
    from neuroplast.checkpoints import read_state

    moved, looped = read_state(nets / "move-01-1"), read_state(nets / "loop-0-1")
    for name in SEQUENCE.TRAINED:
        np.testing.assert_array_equal(moved[name], looped[name])
    assert np.abs(moved["recurrent.w"] - read_state(nets / "move-01-0")["recurrent.w"]).max() > 0


def test_errors_by_hand():
    goal = xr.DataArray([[0.0, 0.0], [1.0, 0.0]], dims=("time", "axis"))
    cursor = goal + xr.DataArray([[3.0, 4.0]], dims=("net", "axis")) * xr.DataArray([0.0, 1.0], dims="time")
    found = SEQUENCE.errors(xr.Dataset({"cursor": cursor, "goal": goal}))
    assert found.item() == pytest.approx(np.sqrt(25 / 2))


def paths(**errors):
    kinds = [*SEQUENCE.VARIANTS, "rflo", "bptt"]
    off = {kind: 0.05 for kind in SEQUENCE.VARIANTS} | {"rflo": 0.4, "bptt": 0.2}
    off |= {{"own": "reset, held", "other": "carried, not held"}.get(name, name): e for name, e in errors.items()}
    distance = xr.DataArray([off[kind] for kind in kinds], {"kind": kinds})
    goal = xr.DataArray(np.zeros((5, 2)), dims=("time", "axis"))
    cursor = goal + distance.expand_dims(net=2) * xr.DataArray([1.0, 0.0], dims="axis")
    return xr.Dataset({"cursor": cursor, "goal": goal}, attrs={"own": "reset, held"})


@pytest.mark.parametrize(
    "errors, expected",
    [
        ({}, [1, 1, 1, 1]),
        ({"own": 0.15}, [0, 1, 1, 0]),
        ({"rflo": 0.22}, [1, 0, 1, 1]),
        ({"bptt": 0.45}, [1, 1, 0, 1]),
        ({"bptt": 0.04}, [1, 1, 0, 1]),
        ({"other": 0.3}, [1, 1, 1, 0]),
    ],
)
def test_claims_about_sequences(errors, expected):
    assert verdicts(SEQUENCE, paths(**errors)) == [("does not hold", "holds")[flag] for flag in expected]


@pytest.mark.parametrize("name", ["interval", "sequence"])
def test_run_leaves_claims_and_a_figure(name, request):
    traces = request.getfixturevalue(name)
    assert {claim["verdict"] for claim in traces.record["claims"]} <= {"holds", "does not hold", "not run"}
    svg = (traces.folder / "figure.svg").read_text()
    words = {
        "interval": ("delay (τ)", "peak after the second pulse"),
        "sequence": ("time (ms)", "distance from the path"),
    }
    assert all(word in svg for word in words[name])


@pytest.mark.parametrize(
    "settings, message",
    [
        (["longest=15"], r"longest should have a delay for each of \('rflo', 'rflo', 'bptt'\). Got \(15,\)"),
        (["longest=4,20,25"], r"above the shortest delay, 5 tau. Got \(4, 20, 25\)"),
        (["trials=0"], "trials should be at least 1. Got 0 instead"),
    ],
)
def test_interval_refuses_what_it_cannot_run(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        run_protocol("rflo_interval", settings=settings, out=tmp_path / "run", target="numpy")
