"""Runs larger than memory: written, assembled and opened in pieces."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from fakes import RECORDED, FakeSimulation
from recordings import EVERY, UNITS, arrays, flip, monitors

from neuroplast import hdf5
from neuroplast.errors import InputError
from neuroplast.experiment import Run
from neuroplast.hdf5 import blocks, chunks
from neuroplast.labels import Recorded, label
from neuroplast.progress import Progress
from neuroplast.protocol import run_protocol
from neuroplast.runs import RunFolder
from neuroplast.segments import Segments, write_segment
from neuroplast.traces import Traces, open_netcdf, without_aside, write_dataset
from neuroplast.training import Pace, train

TESTS = Path(__file__).parent
TOY = TESTS / "toy_learning.py"

MEASURED = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from neuroplast.labels import Recorded
from neuroplast.traces import Traces
from neuroplast.training import Pace, train

folder, trials, STEPS, N = Path(sys.argv[1]), int(sys.argv[2]), 500, 1000
RATES = Recorded("units.h", "m.h", "rates", ("neuron",), fold="trial", along="time", dt=0.001, prefix=True)

class Recording:
    initial, build = {"w": np.zeros(3)}, lambda self: self
    def length(self, counts):
        return trials
    def run(self, state, start, stop, **options):
        k, trial = np.arange(STEPS, dtype=np.int32), np.repeat(np.arange(start, stop, dtype=np.int32), STEPS)
        h = np.repeat(trial[:, None] + 0.0, N, axis=1)
        found = {"h": h, "k": np.tile(k, stop - start), "trial": trial, "t": np.arange(len(h)) * 0.001}
        return SimpleNamespace(state=state, monitors={"m": found})

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

train(Recording(), folder / "first", recorded=[RATES], counts={}, pace=Pace(positions=trials // 8 + 1))
"""


def peaks(code, folder, trials):
    """MB more than before each thing that the code measures."""
    done = subprocess.run([sys.executable, "-c", MEASURED + code, str(folder), str(trials)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return [int(number) for number in done.stdout.split()]


def test_memory_does_not_grow_with_the_run(tmp_path):
    """Each trial is 4 MB: 24 of them are 96 MB, in segments of 8 MB."""
    code = """
trials, before = 24, peak()
train(Recording(), folder / "run", recorded=[RATES], pace=Pace(positions=2))
print(peak() - before)
before = peak()
rates = Traces.load(folder / "run").rates["units"]
assert rates.shape == (24, STEPS, N) and float(rates[20, 3, 7]) == 20
print(peak() - before)
"""
    training, opening = peaks(code, tmp_path, 2)
    assert training < 75 and opening < 10


def test_a_killed_run_is_not_read_before_it_is_used(tmp_path):
    code = """
import shutil
shutil.rmtree(folder / "first")
trials, sim = 24, Recording()
sim.run = lambda **options: Recording.run(sim, **options) if options["start"] < 20 else 1 / 0
try:
    train(sim, folder / "run", recorded=[RATES], pace=Pace(positions=2))
except ZeroDivisionError:
    before = peak()
rates = Traces.load(folder / "run").rates["units"]
assert rates.shape == (20, STEPS, N) and float(rates[19, 3, 7]) == 19
assert rates[2:4, -1, ::500].values.tolist() == [[2, 2], [3, 3]]
print(peak() - before)
"""
    (opening,) = peaks(code, tmp_path, 2)
    assert opening < 20


@pytest.fixture
def tiny(monkeypatch):
    """Blocks and chunks of a few numbers."""
    monkeypatch.setattr(hdf5, "BLOCK", 64)
    monkeypatch.setattr(hdf5, "CHUNK", 40)


@pytest.mark.parametrize("cut", [1, 4, 8])
def test_blocks_and_segments_leave_no_mark(tmp_path, tiny, cut):
    whole = label(arrays(), EVERY)
    for number, (start, stop) in enumerate([(0, cut), (cut, 100)]):
        parts = {m: {v: a[start:stop] for v, a in found.items()} for m, found in monitors().items()}
        write_segment(tmp_path, number, parts, EVERY, number, number + 1)
    assembled = Segments(tmp_path).dataset(complete=True)
    xr.testing.assert_identical(assembled, whole)
    write_dataset(assembled, tmp_path / "results.nc")
    write_dataset(whole, tmp_path / "whole.nc")
    xr.testing.assert_identical(open_netcdf(tmp_path / "results.nc"), whole)
    assert (tmp_path / "results.nc").read_bytes() == (tmp_path / "whole.nc").read_bytes()


def test_a_dataset_replaces_the_file_that_it_is_read_from(tmp_path, tiny):
    dataset = xr.Dataset(
        {"x": (("i", "j"), np.arange(1000.0).reshape(10, 100)), "flag": ("i", np.arange(10) % 2 == 0), "one": 3.5},
        {"rule": ("i", [f"r{i}" for i in range(10)]), "place": ("i", np.arange(10) * 0.5)},
        {"title": "toy", "n": 3},
    )
    path = tmp_path / "results.nc"
    write_dataset(dataset, path)
    before = path.read_bytes()
    lazy = open_netcdf(path)
    write_dataset(lazy.assign(y=lazy.x * 2), path)
    xr.testing.assert_identical(open_netcdf(path), dataset.assign(y=dataset.x * 2))
    write_dataset(open_netcdf(path).drop_vars("y"), path)
    assert path.read_bytes() == before
    xr.testing.assert_identical(lazy, dataset)  # what was open still is what it was
    with xr.open_dataset(path, engine="h5netcdf") as plain:
        xr.testing.assert_identical(plain.drop_attrs(deep=False), dataset.drop_attrs(deep=False))


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 100), (1, 1, 1), (4, 200, 3), (), (3, 0)])
def test_blocks_cover_an_array_once(tiny, shape):
    chunk = chunks(shape, 8)
    assert np.prod(chunk) * 8 <= 40 and all(1 <= c <= max(1, n) for c, n in zip(chunk, shape, strict=True))
    seen = np.zeros(shape, int)
    for key in blocks(shape, 8, chunk) if 0 not in shape else ():
        seen[key] += 1
        assert seen[key].size * 8 <= 64
    assert (seen == 1).all()


def test_maps_of_files_become_segments(tmp_path):
    """The file behind may be gone by then, as those of the compiled program are."""
    values = np.arange(3000.0).reshape(1000, 3)
    values.tofile(tmp_path / "raw")
    mapped = np.memmap(tmp_path / "raw", float, "r", shape=(1000, 3))
    (tmp_path / "raw").unlink()
    write_segment(tmp_path, 0, {"m": {"x": mapped}}, [Recorded("x", "m.x", "rates", ("i",))], 0, 1)
    np.testing.assert_array_equal(Traces.load(tmp_path).rates["x"], values)


def test_a_place_is_written_once_for_all_neurons(tmp_path):
    found = {"h": np.zeros((10, 100)), "k": np.repeat(np.arange(10)[:, None], 100, axis=1), "other": np.ones((10, 100))}
    write_segment(tmp_path, 0, {"m": found, "unused": found}, [Recorded("h", "m.h", "rates", ("i",))], 0, 1)
    sources = Segments(tmp_path).sources
    assert {name: stored.tail for name, stored in sources.items()} == {"m.h": (100,), "m.k": ()}


def test_a_run_that_goes_on_is_read_as_far_as_it_is(tmp_path):
    sim, seen = FakeSimulation(), []
    run = sim.run

    def looking(**options):
        if options["start"] >= 27:
            traces = Traces.load(tmp_path)
            seen.append((traces, traces.metrics.loss.size))
        return run(**options)

    sim.run = looking
    train(sim, tmp_path, recorded=RECORDED, pace=Pace(positions=9))
    ((traces, size),) = seen
    assert size in (6, 9)  # the third segment may be under way
    with pytest.raises(InputError, match="0000.nc: is not there any more. If its run goes on, load the traces again"):
        traces.rates["y"].values  # noqa: B018
    assert Traces.load(tmp_path).rates["y"].sizes["sample"] == 48


ASIDE = Recorded("net.y", "probe.y", "rates", ("output",), fold="trial", along="step", prefix=True, aside=True)


def test_what_is_set_aside_stays_with_the_net(tmp_path):
    trained = train(FakeSimulation(4), tmp_path, recorded=[*RECORDED, ASIDE])
    assert set(trained.dataset) == {"loss", "y", "w"} and "net.y_trial" not in trained.dataset.coords
    assert set(Traces.load(tmp_path).rates) == {"y", "net.y"}
    assert Traces.load(tmp_path).rates["net"].attrs["aside"] == 1
    same = label(arrays(), [UNITS])
    assert without_aside(same) is same


def test_what_is_set_aside_outlives_the_experiments_results(tmp_path):
    """A net trained in the run's own folder has its results where those of the experiment go."""
    text = TOY.read_text().replace("dataset.rule.values", "()").replace("import RECORDED,", "import RECORDED as PLAIN,")
    many = "return combine([(net.coords, net.dataset) for net in run.train_many(jobs)])"
    assert many in text
    text = text.replace(many, "return run.train(sim, recorded=(*PLAIN, ASIDE)).dataset[['loss']]")
    text = text.replace("recorded=RECORDED", "recorded=PLAIN").replace("QUICK =", f"{SET_ASIDE}\n\nQUICK =")
    (tmp_path / "own.py").write_text(text.replace("    ax.legend()\n", ""))
    traces = run_protocol(str(tmp_path / "own.py"), out=tmp_path / "run", target="numpy", quick=True)
    assert set(traces.dataset.data_vars) == {"loss", "net.y"}
    direct = FakeSimulation(10).run().monitors["probe"]["y"]
    np.testing.assert_array_equal(Traces.load(tmp_path / "run").rates["net"], direct.reshape(10, 4, 3))


SET_ASIDE = (
    "from neuroplast.labels import Recorded\n"
    "ASIDE = Recorded('net.y', 'probe.y', 'rates', ('output',), fold='trial', along='step', prefix=True, aside=True)"
)


def test_results_of_nets_say_where_they_are_from(tmp_path):
    with RunFolder.open(tmp_path, {"protocol": "toy", "seed": 3, "parameters": {}}) as folder:
        trained = Run(folder, 3, "numpy", 1, False, Progress()).train(FakeSimulation(2), "net", recorded=RECORDED)
    assert trained.dataset.attrs["seed"] == 3 and trained.dataset.attrs["title"] == "toy"


def test_spikes_in_segments_without_any(tmp_path):
    def spikes(count):
        i = np.arange(count, dtype=np.int32)
        return {"s": {"i": i, "t": i * 0.1, "trial": i, "k": i}}

    item = [Recorded("a.spikes", "s.i", "spikes", prefix=True)]
    for number, count in enumerate((0, 3, 0, 2)):
        write_segment(tmp_path, number, spikes(count), item, number, number + 1)
    assert Traces.load(tmp_path).spikes["a"].neuron.values.tolist() == [0, 1, 2, 0, 1]
    only = SimpleNamespace(folder=tmp_path / "none")
    only.folder.mkdir()
    write_segment(only.folder, 0, spikes(0), item, 0, 1)
    assert Traces.load(only.folder).spikes["a"].sizes["spike"] == 0


EQUAL = {trial: 8 for trial in range(6)}  # trials of as many steps


def assembled(folder, cuts, lengths=EQUAL):
    """Results of segments that were cut at these steps, counted over all trials."""
    folder.mkdir()
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, 1000], strict=True)):
        parts = {m: {v: a[start:stop] for v, a in found.items()} for m, found in monitors(lengths=lengths).items()}
        write_segment(folder, number, parts, EVERY, number, number + 1)
    Segments(folder).assemble(folder / "results.nc", {})
    return (folder / "results.nc").read_bytes()


@pytest.mark.parametrize("lengths", [EQUAL, {0: 8, 1: 7, 2: 8, 3: 8}], ids=["equal", "unequal"])
def test_chunks_that_are_copied_are_those_that_are_written(tmp_path, monkeypatch, lengths):
    """Cut between trials, chunks are copied as they are stored; cut within, some are read and written."""
    copied = []
    chunk = Segments.chunk
    monkeypatch.setattr(hdf5, "CHUNK", 4 * 3 * 8)  # four steps of three neurons
    monkeypatch.setattr(Segments, "chunk", lambda *key: copied.append(chunk(*key)) or copied[-1])
    found = {assembled(tmp_path / str(number), cuts, lengths) for number, cuts in enumerate([[], [8, 16], [3, 11, 21]])}
    assert len(found) == 1
    assert any(data is not None for data in copied) and None in copied
    whole = label(arrays(lengths=lengths), EVERY)
    xr.testing.assert_identical(open_netcdf(tmp_path / "2" / "results.nc"), whole)


def test_damage_is_not_copied_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "CHUNK", 4 * 3 * 8)
    write_segment(tmp_path, 0, monitors(lengths=EQUAL), EVERY, 0, 1)
    flip(tmp_path / "segments" / "0000.nc", "units_h.h", 3)
    Segments(tmp_path).assemble(tmp_path / "results.nc", {})
    rates = Traces.load(tmp_path).rates["units"]
    assert rates[0].notnull().all()
    with pytest.raises(InputError, match="reading of 'units.h' failed .its checksum is wrong"):
        rates[1].values  # noqa: B018
