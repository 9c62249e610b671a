"""Folders of runs that are incomplete, cut short, damaged or of a newer version: said in words, and what to do."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
import xarray as xr
from fakes import RECORDED, FakeSimulation
from recordings import EVERY, LENGTHS, flip, monitors

from neuroplast.errors import InputError
from neuroplast.files import FORMAT
from neuroplast.labels import label
from neuroplast.nets import Job, train_many
from neuroplast.protocol import run_protocol
from neuroplast.runs import RunFolder
from neuroplast.segments import write_segment
from neuroplast.traces import Traces, write_dataset
from neuroplast.training import Pace, train

AGAIN = "Delete the folder .* and start it again: it is computed anew, to the same numbers"


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A training that has ended."""
    folder = tmp_path_factory.mktemp("complete")
    train(FakeSimulation(), folder, recorded=RECORDED, attrs={"title": "toy"})
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A training that was killed after two segments."""
    folder = tmp_path_factory.mktemp("killed")
    sim = FakeSimulation()
    run = sim.run
    sim.run = lambda **options: run(**options) if options["start"] < 20 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        train(sim, folder, recorded=RECORDED, pace=Pace(positions=10))
    return folder


@pytest.fixture
def copied(tmp_path):
    return lambda folder: shutil.copytree(folder, tmp_path / "run")


def cut_in_half(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size // 2)


def newer(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = FORMAT + 1


def edit(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def resumed(folder, **options):
    return train(FakeSimulation(), folder, recorded=RECORDED, resume=True, **options)


# -- results -----------------------------------------------------------------------------------------------------------


def test_every_array_of_numbers_has_checksums(complete, killed):
    for path in (complete / "results.nc", killed / "segments" / "0000.nc"):
        with h5py.File(path) as file:
            arrays = {name: array for name, array in file.items() if array.dtype.kind in "iuf" and array.size}
            plain = [name for name, a in arrays.items() if not a.fletcher32 and not a.is_scale]
            assert len(arrays) >= 5 and plain == []
            assert file.attrs["format"] == FORMAT


def test_results_that_are_cut_short(complete, copied):
    folder = copied(complete)
    cut_in_half(folder / "results.nc")
    with pytest.raises(InputError, match="results.nc: is damaged or cut short; .*Delete it and go on with --resume"):
        Traces.load(folder).dataset  # noqa: B018
    (folder / "results.nc").write_text("")
    with pytest.raises(InputError, match="results.nc: is damaged or cut short"):
        Traces.load(folder).metrics  # noqa: B018


def test_a_damaged_array_is_noticed_when_it_is_read(complete, copied):
    folder = copied(complete)
    flip(folder / "results.nc", "y")
    traces = Traces.load(folder)
    assert traces.metrics.loss.notnull().all()  # the others can be read
    with pytest.raises(
        InputError, match="results.nc: is damaged .* reading of 'y' failed .*Delete it and go on"
    ) as err:
        traces.rates["y"][3:4].values  # noqa: B018
    assert "its checksum is wrong" in str(err.value)


def test_deleted_results_are_computed_again(complete, copied):
    folder = copied(complete)
    (folder / "results.nc").unlink()
    again = resumed(folder, attrs={"title": "toy"})
    assert (again.folder / "results.nc").read_bytes() == (complete / "results.nc").read_bytes()


def test_results_of_a_newer_version(complete, copied):
    folder = copied(complete)
    newer(folder / "results.nc")
    with pytest.raises(InputError, match="newer neuroplast .format 2; this one reads up to 1.: upgrade"):
        Traces.load(folder).dataset  # noqa: B018


def test_results_of_the_first_version_had_no_format(complete, copied):
    folder = copied(complete)
    with h5py.File(folder / "results.nc", "r+") as file:
        del file.attrs["format"]
    assert Traces.load(folder).metrics.loss.size == 12


def test_the_format_is_none_of_the_attributes(complete):
    assert Traces.load(complete).dataset.attrs == {"title": "toy"}


# -- segments and checkpoints ------------------------------------------------------------------------------------------


def test_a_damaged_segment_is_noticed_before_more_is_computed(killed, copied):
    folder, sim = copied(killed), FakeSimulation()
    flip(folder / "segments" / "0001.nc", "probe.y")
    with pytest.raises(InputError, match=rf"segments/0001.nc: is damaged .*'probe.y'.* {AGAIN}"):
        train(sim, folder, recorded=RECORDED, resume=True)
    assert sim.calls == []
    with pytest.raises(InputError, match="segments/0001.nc: is damaged"):
        Traces.load(folder).rates["y"].values  # noqa: B018
    assert Traces.load(folder).metrics.loss.size == 6


def test_a_segment_that_is_cut_short_or_missing(killed, copied):
    folder = copied(killed)
    cut_in_half(folder / "segments" / "0001.nc")
    for use in (resumed, lambda folder: Traces.load(folder).dataset):
        with pytest.raises(InputError, match=f"segments/0001.nc: is damaged or cut short.* {AGAIN}"):
            use(folder)
    (folder / "segments" / "0001.nc").unlink()
    with pytest.raises(InputError, match=f"segments/0001.nc: is missing. .* {AGAIN}"):
        resumed(folder)


@pytest.mark.parametrize("name", ["checkpoint/pointer.json", "checkpoint/state-0001.npz"])
def test_a_checkpoint_that_is_cut_short(killed, copied, name):
    folder = copied(killed)
    cut_in_half(folder / name)
    with pytest.raises(InputError, match=f"{name}: .*{AGAIN}"):
        resumed(folder)


def test_a_damaged_state(killed, copied):
    folder = copied(killed)
    path = folder / "checkpoint" / "state-0001.npz"
    content = bytearray(path.read_bytes())
    content[content.index(b"net.w") + 200] ^= 1  # among its values
    path.write_bytes(content)
    with pytest.raises(InputError, match="state-0001.npz: is damaged .*CRC"):
        resumed(folder)


def test_one_of_several_nets_is_computed_anew(tmp_path):
    jobs = [Job(f"net-{i}", FakeSimulation(), {"net": i}, i, recorded=RECORDED) for i in range(2)]
    whole = train_many(jobs, tmp_path / "whole")
    train_many(jobs, tmp_path / "run")
    cut_in_half(tmp_path / "run" / "nets" / "net-1" / "checkpoint" / "pointer.json")
    with pytest.raises(
        InputError, match="Delete the folder .*nets/net-1 and go on with --resume: this net is computed"
    ):
        train_many(jobs, tmp_path / "run", resume=True)
    shutil.rmtree(tmp_path / "run" / "nets" / "net-1")
    again = train_many(jobs, tmp_path / "run", resume=True)
    for one, other in zip(whole, again, strict=True):
        assert (one.folder / "results.nc").read_bytes() == (other.folder / "results.nc").read_bytes()


def test_newer_segments_pointers_and_records(killed, copied, tmp_path):
    folder = copied(killed)
    edit(folder / "checkpoint" / "pointer.json", format=FORMAT + 1)
    with pytest.raises(InputError, match="pointer.json: was written by a newer neuroplast"):
        resumed(folder)
    newer(folder / "segments" / "0000.nc")
    with pytest.raises(InputError, match="0000.nc: was written by a newer neuroplast"):
        Traces.load(folder).dataset  # noqa: B018
    (folder / "run.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(InputError, match="run.json: was written by a newer neuroplast"):
        Traces.load(folder)


# -- folders of runs ---------------------------------------------------------------------------------------------------

TOY = str(Path(__file__).parent / "toy_learning.py")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "toy"
    run_protocol(TOY, out=out, quick=True, target="numpy")
    return out


def test_a_record_that_is_cut_short(toy, copied):
    folder = copied(toy)
    cut_in_half(folder / "run.json")
    with pytest.raises(InputError, match="run.json: cannot be read"):
        Traces.load(folder)
    with pytest.raises(InputError, match="run.json: cannot be read .* Give another folder with --out DIR"):
        run_protocol(TOY, out=folder, quick=True, target="numpy", resume=True)


def test_results_without_a_record_can_be_read(toy, copied):
    folder = copied(toy)
    (folder / "run.json").unlink()
    traces = Traces.load(folder)
    assert traces.record == {} and traces.metrics.loss.size == 40


def test_a_run_whose_results_were_deleted_makes_them_again(toy, copied):
    folder = copied(toy)
    (folder / "results.nc").unlink()
    run_protocol(TOY, out=folder, quick=True, target="numpy", resume=True)
    assert (folder / "results.nc").read_bytes() == (toy / "results.nc").read_bytes()
    assert json.loads((folder / "run.json").read_text())["status"] == "done"


def test_a_run_that_has_not_got_anywhere(tmp_path):
    with RunFolder.open(tmp_path / "run", {"protocol": "toy"}):
        with pytest.raises(InputError, match="holds no traces .* has not got as far as its first segment"):
            Traces.load(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["format"] == FORMAT


def test_nets_are_opened_one_by_one(toy):
    nets = Traces.load(toy).nets
    assert list(nets) == ["a-0", "a-1", "b-0", "b-1"]
    net = Traces.load(toy / "nets" / "b-1")
    xr.testing.assert_identical(net.dataset, nets["b-1"].dataset)
    assert net.record["protocol"] == nets["a-0"].record["protocol"] == "toy_learning"
    assert net.nets == {}
    attrs = Traces.load(toy).dataset.attrs
    assert net.dataset.attrs == attrs
    assert attrs.keys() == {"title", "source", "references", "seed", "parameters"}


def test_names_that_only_nets_have(tmp_path):
    for net in ("a", "b"):
        (tmp_path / "nets" / net).mkdir(parents=True)
        write_dataset(label({}, EVERY), tmp_path / "nets" / net / "results.nc")
    segment = monitors()
    write_segment(tmp_path / "nets" / "b", 0, segment, EVERY, 0, len(LENGTHS))
    (tmp_path / "nets" / "b" / "results.nc").unlink()
    (tmp_path / "nets" / "b" / "checkpoint").mkdir()
    (tmp_path / "nets" / "b" / "checkpoint" / "pointer.json").write_text("{}")
    write_dataset(xr.Dataset({"loss": ("trial", [1.0], {"kind": "metrics"})}), tmp_path / "results.nc")
    with pytest.raises(
        InputError, match=r"This run recorded no rates. The net b recorded it: traces.nets\['b'\].rates"
    ):
        Traces.load(tmp_path).rates["units"]
