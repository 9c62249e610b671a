"""Data sets: what is presented when, on both targets, from files and arrays, and what is refused."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from brian2 import StateMonitor, ms, mV, volt

from neuroplast.engine import Dataset, Event, Loop, Population, Schedule, Simulation, start
from neuroplast.errors import InputError

ROWS, COLUMNS, BATCH, EPOCHS = 53, 70, 20, 2  # the last batch has 13 rows; neither size is a multiple of a tile's
CLASSES = 4


def pictures(path, rows=ROWS, seed=0):
    """A file of uint8 rows behind a header, each with a byte in front and one behind, and the map of its columns."""
    stored = np.random.default_rng(seed).integers(0, 256, (rows, COLUMNS + 2), dtype=np.uint8)
    path.write_bytes(bytes(16) + stored.tobytes())
    return np.memmap(path, np.uint8, "r", 16, (rows, COLUMNS + 2))[:, 1:-1]


def measures(dtype, rows=ROWS, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, 3)).astype(dtype)


def network(target, folder):
    """All kinds of data at once: bytes of a file, permuted, with labels; floats of both types, in their order."""
    start(target, dtype="float32", dt=1 * ms)
    x = Population(COLUMNS, "x : 1", batch=BATCH, name="x")
    y = Population(3, "y : volt\nz : 1", batch=BATCH, name="y")
    label = Population(CLASSES + 3, "label : 1", batch=BATCH, name="label")
    single = Population(3, "v : 1", name="single")
    features = pictures(folder / f"{target}.bin")
    labels = np.arange(ROWS) % CLASSES
    bytes_ = Dataset(features, labels, name="bytes")
    floats, doubles = Dataset(measures("float32"), name="floats"), Dataset(measures("float64"), name="doubles")
    events = [
        Dataset(measures("float64"), name="singles").present(single, "v", permute=False, order=-1),
        bytes_.present(x, "x", scale=1 / 255, target=(label[2 : 2 + CLASSES], "label"), order=0),
        floats.present(y, "y", scale=2 * mV, offset=1 * volt, permute=False, order=1),
        doubles.present(y[:3], "z", permute=True, order=2),
    ]
    shown = StateMonitor(x, ["x", "n_valid", "trial", "epoch"], record=True, when="end", name="shown")
    others = StateMonitor(y, ["y", "z"], record=True, when="end", name="others")
    alone = StateMonitor(single, "v", record=True, when="end", name="alone")
    targets = StateMonitor(label, "label", record=True, when="end", name="targets")
    body = [Loop("trial", bytes_.batches(BATCH), [Event("present", [*events, shown, others, alone, targets])])]
    return Simulation(Schedule([Loop("epoch", EPOCHS, body)]), name="data")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", params=["numpy", "cpp"])
def simulation(request, folder):
    return network(request.param, folder).build()


def rows_of(presented, features):
    """Which row of `features` each column of `presented` (columns x copies) shows; -1 for zeros."""
    equal = (presented.T[:, None] == features[None]).all(axis=2)
    assert equal.sum(axis=1).max() == 1
    return np.where(equal.any(axis=1), equal.argmax(axis=1), np.where(presented.any(axis=0), -2, -1))


def presented(result, name, variable):
    """Recorded values as (epoch, trial, feature, copy)."""
    values = result.monitors[name][variable]
    return values.reshape(EPOCHS, -1, values.shape[1] // BATCH, BATCH)


def orders(result, features):
    """Rows in the order in which each epoch showed them."""
    scaled = (features.astype("f4") * np.float32(1 / 255)).astype("f4")
    shown = presented(result, "shown", "x")
    return [np.concatenate([rows_of(batch, scaled) for batch in epoch]) for epoch in shown]


def test_each_epoch_shows_each_row_once_in_another_order(simulation, folder):
    features = pictures(folder / "same.bin")
    result = simulation.run(seed=5)
    first, second = orders(result, features)
    for order in (first, second):
        assert sorted(order[:ROWS]) == list(range(ROWS)) and (order[ROWS:] == -1).all() and len(order) == 60
    assert (first != second).mean() > 0.5 and (first[:ROWS] != np.arange(ROWS)).mean() > 0.5
    again, other = orders(simulation.run(seed=5), features)[0], orders(simulation.run(seed=6), features)[0]
    assert (again == first).all() and (other != first).mean() > 0.5
    # Another data set has an order of its own.
    z = presented(result, "others", "z")[0]
    rows = np.concatenate([rows_of(batch, measures("float64").astype("f4")) for batch in z])
    assert sorted(rows[:ROWS]) == list(range(ROWS)) and (rows != first).mean() > 0.5


def test_labels_and_counts_go_with_the_rows(simulation, folder):
    result = simulation.run(seed=5)
    order = orders(result, pictures(folder / "same.bin"))[1][:ROWS]
    label = presented(result, "targets", "label")[1]
    wanted = np.zeros((3 * BATCH, CLASSES + 3))
    wanted[np.arange(ROWS), 2 + order % CLASSES] = 1
    assert (np.concatenate([batch.T for batch in label]) == wanted).all()
    assert result.monitors["shown"]["n_valid"].reshape(EPOCHS, 3, -1)[:, :, 0].tolist() == [[20, 20, 13]] * EPOCHS
    assert result.state["schedule.n_valid"] == 13


def test_scale_and_offset_and_the_order_of_the_file(simulation):
    y = presented(simulation.run(seed=5), "others", "y")[1]
    shown = np.concatenate([batch.T for batch in y])
    np.testing.assert_allclose(shown[:ROWS], 1 + 0.002 * measures("float32"), rtol=1e-6)
    assert not shown[ROWS:].any()


def test_a_population_without_copies_gets_row_after_row(simulation):
    assert (simulation.run().monitors["alone"]["v"] == np.tile(measures("float64")[:3].astype("f4"), (EPOCHS, 1))).all()


def test_both_targets_present_the_same_bytes(folder):
    results = [network(target, folder).run(seed=2**63 + 1) for target in ("numpy", "cpp")]
    for name, variable in (("shown", "x"), ("others", "z"), ("targets", "label")):
        first, second = (result.monitors[name][variable] for result in results)
        assert first.tobytes() == second.tobytes() and first.any()


def test_a_run_that_is_cut_within_an_epoch_goes_on_with_it(simulation):
    whole = simulation.run(seed=7)
    part = simulation.run(seed=7, stop=4)
    rest = simulation.run(part.state, seed=7, start=4)
    for variable in ("x", "n_valid"):
        joined = np.concatenate([part.monitors["shown"][variable], rest.monitors["shown"][variable]])
        assert joined.tobytes() == whole.monitors["shown"][variable].tobytes()


def test_other_data_of_another_length_without_building_again(simulation, folder):
    features = pictures(folder / "other.bin", rows=31, seed=9)
    other = Dataset(features, np.zeros(31, int) + 3, name="test")
    small = {"floats": measures("float32", 31), "doubles": measures("float64", 31)}
    data = {"bytes": other} | {name: Dataset(values) for name, values in small.items()}
    result = simulation.run(seed=5, data=data, counts={"trial": other.batches(BATCH)})
    for order in orders(result, features):
        assert sorted(order[:31]) == list(range(31)) and (order[31:] == -1).all()
    assert (presented(result, "targets", "label")[0, 0, 5] == 1).all()
    # The schedule's own data is back in the next run.
    assert sorted(orders(simulation.run(), pictures(folder / "same.bin"))[0][:ROWS]) == list(range(ROWS))


def test_more_trials_than_batches_are_refused(simulation):
    with pytest.raises(InputError, match="has 53 rows, which make 3 batches of 20. Trial 3 asks for another"):
        simulation.run(counts={"trial": 4})


@pytest.mark.parametrize(
    "name, other, words",
    [
        (
            "pixels",
            Dataset(np.zeros((2, COLUMNS), np.uint8)),
            "no data set called 'pixels'; there are singles, bytes, floats, d",
        ),
        ("bytes", Dataset(np.zeros((2, 3), np.uint8), name="few"), "'few' should have 70 columns of uint8.*Got 3"),
        ("bytes", Dataset(np.zeros((2, COLUMNS))), "should have 70 columns of uint8.*Got 70 of float64"),
        ("bytes", Dataset(np.zeros((2, COLUMNS), np.uint8)), "has no labels"),
        ("bytes", Dataset(np.zeros((2, COLUMNS), np.uint8), [0, 4]), "label 4 at row 1 is out of range.* 0 to 3"),
    ],
)
def test_other_data_that_does_not_fit_is_refused(simulation, name, other, words):
    with pytest.raises(InputError, match=words):
        simulation.run(data={name: other})


def test_a_map_is_read_in_place_and_anything_else_is_written_once(tmp_path):
    path = tmp_path / "map.bin"
    mapped = pictures(path)
    out = tmp_path / "out"
    out.mkdir()
    assert Dataset(mapped[3:]).write(out) == {"features": f"{16 + 3 * 72 + 1},72,{ROWS - 3},{path}"}
    assert not list(out.iterdir())
    for n, array in enumerate((np.array(mapped), mapped[:, ::2], mapped[::-1])):
        part = out / str(n)
        part.mkdir()
        assert Dataset(array).write(part) == {"features": f"0,{array.shape[1]},{ROWS},{part / 'data.features'}"}
        assert (part / "data.features").read_bytes() == array.tobytes()
    raw = tmp_path / "raw.bin"
    raw.write_bytes(b"ab" + measures("float32").tobytes())  # floats that start at an odd place are copied as well
    odd = Dataset.from_file(raw, 3, "float32", offset=2)
    assert str(raw) not in odd.write(out)["features"] and (odd.features == measures("float32")).all()


def test_nets_side_by_side_share_what_is_written(folder, monkeypatch):
    simulation, write, written = network("cpp", folder).build(), Dataset.write, []

    def slowly(dataset, place):
        written.append(dataset.name)
        time.sleep(0.05)
        return write(dataset, place)

    monkeypatch.setattr(Dataset, "write", slowly)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda seed: simulation.run(stop=2, seed=seed), (3, 3))
    assert sorted(written) == ["bytes", "doubles", "floats", "singles"]
    assert all((one.state[name] == other.state[name]).all() for name in one.state)


def test_a_file_cut_short_since_is_named(folder):
    simulation = network("cpp", folder)
    path = folder / "short.bin"
    data = {"bytes": Dataset(pictures(path), np.arange(ROWS) % CLASSES)}
    simulation.run(stop=1, data=data)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"bytes.features: {path} should hold {16 + 72 * 53 - 1} bytes for 53 rows"):
        simulation.run(stop=1, data=data)
    path.unlink()
    with pytest.raises(InputError, match=f"cannot open {path}"):
        simulation.run(stop=1, data=data)


def test_a_raw_file(tmp_path):
    path = tmp_path / "raw"
    path.write_bytes(bytes(8) + measures("float64").tobytes())
    whole = Dataset.from_file(path, 3, "float64", offset=8)
    part = Dataset.from_file(path, 3, "float64", offset=8, rows=10, labels=range(10), name="part")
    assert (whole.rows, whole.columns, part.rows, part.batches(4)) == (ROWS, 3, 10, 3)
    assert (whole.features == measures("float64")).all() and part.labels.tolist() == list(range(10))
    with pytest.raises(InputError, match="there is no file .*missing"):
        Dataset.from_file(tmp_path / "missing", 3, "float64")
    with pytest.raises(InputError, match="holds 1272 bytes after the first 8, which is no whole number of rows of 56"):
        Dataset.from_file(path, 7, "float64", offset=8)
    with pytest.raises(InputError, match="should hold 1304 bytes for 54 rows of 3 float64. It has 1280"):
        Dataset.from_file(path, 3, "float64", offset=8, rows=54)
    with pytest.raises(InputError, match="dtype should be one of uint8, float32, float64. Got 'int16'"):
        Dataset.from_file(path, 3, "int16")


@pytest.mark.parametrize(
    "features, labels, words",
    [
        (np.zeros((4, 2), int), None, "features should be uint8, float32, float64. Got int64"),
        (np.zeros((4, 2, 2)), None, r"shape \(rows, columns\). Got \(4, 2, 2\)"),
        (np.zeros((0, 2)), None, r"Got \(0, 2\)"),
        (np.array([[1.0, 2], [3, np.nan]]), None, r"features\[1, 1\] is nan"),
        (np.zeros((4, 2)), [0, 1, 2], r"labels should have shape \(4,\).*Got \(3,\)"),
        (np.zeros((4, 2)), [0, 1, 2, -1], "whole numbers from 0. Got int64 from -1 to 2"),
        (np.zeros((4, 2)), [0, 1, 2, 0.5], "whole numbers from 0. Got float64"),
    ],
)
def test_bad_data_is_refused(features, labels, words):
    with pytest.raises(InputError, match=f"'mine'.*{words}"):
        Dataset(features, labels, name="mine")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"variable": "typo"}, "'typo' should be a variable of 'x' .*'typo : 1'"),
        ({"population": "label"}, "has 3 columns. 'label', which should have a neuron for each, has 2"),
        ({"scale": 1 * mV}, "scale should have the units of x"),
        ({"offset": np.inf}, "offset should be finite"),
        ({"target": ("label", "label")}, "label 2 at row 3 is out of range: the target has 2 neurons"),
        ({"target": ("other", "z")}, "same batch size. Got 2 and 3"),
        ({"when": "now"}, "when should be one of"),
    ],
)
def test_presenting_where_it_does_not_fit_is_refused(options, words):
    start("numpy", dt=1 * ms)
    groups = {
        "x": Population(3, "x : 1", batch=2, name="x"),
        "label": Population(2, "label : 1", batch=2, name="label"),
        "other": Population(3, "z : 1", batch=3, name="other"),
    }
    data = Dataset(np.zeros((4, 3)), [0, 1, 1, 2], name="mine")
    options = dict(options)
    target = options.pop("target", None)
    target = target and (groups[target[0]], target[1])
    population = groups[options.pop("population", "x")]
    with pytest.raises(InputError, match=f"mine.*{words}"):
        data.present(population, **{"variable": "x", "target": target, **options})


def test_two_data_sets_of_one_name_are_refused():
    start("numpy", dt=1 * ms)
    x = Population(3, "x : 1", name="x")
    events = [Event(n, [Dataset(np.zeros((4, 3))).present(x, "x", name=n)]) for n in ("first", "second")]
    with pytest.raises(InputError, match="Two data sets are called 'data'"):
        Simulation(Schedule(events)).build()
