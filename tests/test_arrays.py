"""Results by name: names of their own in the dataset, plain dimensions, and errors that list what there is."""

import numpy as np
import pytest
import xarray as xr
from recordings import EVERY, SPIKES, UNITS, arrays, h

from neuroplast.errors import InputError
from neuroplast.labels import Recorded, check_sources, label
from neuroplast.traces import Traces, write_dataset


@pytest.fixture(params=["in memory", "from a file"])
def traces(request, tmp_path):
    dataset = label(arrays(), EVERY)
    if request.param == "in memory":
        return Traces(dataset)
    write_dataset(dataset, tmp_path / "results.nc")
    return Traces.load(tmp_path)


def test_rates_by_trial_and_time(traces):
    rates = traces.rates["units.h"]
    assert rates.dims == ("trial", "time", "neuron")
    assert rates.trial.values.tolist() == [0, 1, 4]
    assert rates.time.values.tolist() == [0.5, 1, 1.5, 2]  # what a step leaves belongs to its end
    assert rates.start.values.tolist() == [0, 10, 40]
    assert rates.sel(trial=4, time=1.5).values.tolist() == [h(4, 2, n) for n in range(3)]
    assert np.isnan(rates.sel(trial=1, time=1.5)).all() and not np.isnan(rates.sel(trial=1, time=1.0)).any()
    assert rates.attrs == {"kind": "rates", "units": "Hz", "long_name": "rate", "time_step": 0.5}
    assert rates.time.attrs["units"] == rates.start.attrs["units"] == "s"
    assert set(rates.coords) == {"trial", "time", "start"}


def test_arrays_of_other_selections_have_dimensions_of_their_own(traces):
    assert dict(traces.dataset.sizes) == {
        "units.h_trial": 3, "units.h_time": 4, "units.h_neuron": 3,
        "outputs.y_trial": 1, "outputs.y_time": 1, "outputs.y_neuron": 1,
        "recurrent.w_trial": 2, "recurrent.w_pre": 2, "recurrent.w_post": 3,
        "units.spikes_spike": 8, "trial": 2,
    }  # fmt: skip
    late = traces.rates["outputs.y"]
    assert (late.trial.values.tolist(), late.time.values.tolist(), late.start.values.tolist()) == ([4], [1.0], [40])


def test_weights_by_trial(traces):
    weights = traces.weights["recurrent.w"]
    assert weights.dims == ("trial", "pre", "post")
    assert weights.start.values.tolist() == [2, 12]
    np.testing.assert_array_equal(weights, np.arange(12).reshape(2, 2, 3))


def test_spikes_of_a_population(traces):
    spikes = traces.spikes["units"]
    assert dict(spikes.sizes) == {"spike": 8} and set(spikes.data_vars) == {"time", "neuron", "trial"}
    assert spikes.neuron.values.tolist() == [0, 1, 2, 0, 1, 0, 1, 2]
    assert spikes.trial.values.tolist() == [0, 0, 0, 1, 1, 4, 4, 4]
    assert spikes.time.values.tolist() == [0, 0.5, 1, 10, 10.5, 40, 40.5, 41]
    assert spikes.attrs == {"neurons": 3, "refractory": 0.002} and spikes.time.attrs == {"units": "s"}
    assert spikes.neuron.dtype == np.int32
    xr.testing.assert_identical(spikes, traces.spikes["units.spikes"])


def test_that_there_were_no_spikes_is_a_result(tmp_path):
    silent = {name: values[:0] if name.startswith("units_spikes") else values for name, values in arrays().items()}
    write_dataset(label(silent, EVERY), tmp_path / "results.nc")
    spikes = Traces.load(tmp_path).spikes["units"]
    assert spikes.sizes["spike"] == 0 and spikes.attrs["neurons"] == 3
    assert (spikes.time.values.tolist(), spikes.neuron.dtype) == ([], np.int32)


def test_names_may_be_short_where_that_is_enough(traces):
    xr.testing.assert_identical(traces.rates["units"], traces.rates["units.h"])
    assert traces.metrics.loss.values.tolist() == [0.5, 0.25]
    assert list(traces.rates) == ["units.h", "outputs.y"] and len(traces.rates) == 2
    assert "units.h" in traces.rates and "units" not in traces.rates
    assert "units.h {'trial': 3, 'time': 4, 'neuron': 3}" in repr(traces.rates)
    assert set(traces.rates.dataset.data_vars) == {"units.h", "outputs.y"}
    second = Recorded("units.u", "units_h.h", "rates", ("neuron",), prefix=True)
    with pytest.raises(InputError, match="rates: 'units' has several: units.h, units.u. Give one"):
        Traces(label(arrays(), [UNITS, second])).rates["units"]


def test_unknown_names(traces):
    words = "rates: no array is called 'unit.h'. There are: units.h, outputs.y. Did you mean units.h?"
    with pytest.raises(InputError) as caught:
        traces.rates["unit.h"]
    assert str(caught.value) == words
    with pytest.raises(InputError, match="weights: .* 'w'. There are: recurrent.w"):
        traces.weights["w"]
    with pytest.raises(AttributeError, match="metrics: .* 'los'. There are: loss"):
        traces.metrics.los  # noqa: B018
    with pytest.raises(InputError, match="This run recorded no spikes"):
        Traces(label(arrays(), [UNITS])).spikes["units"]
    assert not hasattr(traces.metrics, "__array__")


def test_arrays_may_be_read_in_pieces(tmp_path):
    """Any piece of an array that is laid out from records equals the piece of the whole."""
    write_dataset(label(arrays(), EVERY), tmp_path / "results.nc")
    lazy, whole = Traces.load(tmp_path).rates["units.h"], Traces(label(arrays(), EVERY)).rates["units.h"]
    for key in ((0,), (slice(1, 3), slice(None), 2), ([2, 0], slice(None, None, 2)), (slice(None), [3, 1], [0, 0])):
        np.testing.assert_array_equal(lazy[key], whole[key])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dt": -1.0}, "x: dt should be a positive number of seconds. Got -1.0"),
        ({"dt": 0.0}, "x: dt should be"),
        ({"attrs": {"map": [1]}}, r"x: attrs\['map'\] should be a number or a text. Got \[1\]"),
        ({"attrs": {"map": True}}, "x: attrs"),
        ({"fold": "trial", "along": "time"}, "x: with fold='trial', along should be .*'time' with dt="),
        ({"fold": "trial", "along": "trial", "dt": 0.1}, "x: with fold='trial'"),
    ],
)
def test_what_is_refused(change, words):
    with pytest.raises(InputError, match=words):
        Recorded(**({"name": "x", "source": "a.b", "kind": "rates"} | change))


def test_times_in_a_trial_need_steps():
    data = {name: values for name, values in arrays().items() if name != "units_h.k"}
    with pytest.raises(InputError, match="units.h: fold='trial' needs the step of each record, and 'units_h' .*'k'"):
        label(data, [UNITS])
    with pytest.raises(InputError, match="units.h: fold='trial' needs the step"):
        check_sources({"units_h": {"h": 0, "trial": 0}}, [UNITS])


def test_other_sizes_of_a_shared_dimension_are_refused():
    one, other = (Recorded(name, name.replace("_", "."), "rates", ("i",), along=name) for name in ("a_x", "b_x"))
    with pytest.raises(InputError, match="b_x: 'i' has 3 entries, and 2 in .* before it; .* prefix=True"):
        label({"a.x": np.zeros((4, 2)), "b.x": np.zeros((4, 3))}, [one, other])


def test_as_text_and_back():
    numbers = Recorded("x", "a.b", attrs={"n": np.int64(3), "map": "25*(1 + x)*Hz"}, aside=True)
    assert Recorded.from_json(Recorded.to_json([*EVERY, numbers])) == (*EVERY, numbers)
    assert {SPIKES: 1}[SPIKES] == 1
