"""CSV and npz, and what all exports share: names, refusals, nets, runs that were killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from export_cases import CASES, DT, RECORD, metrics, nets, rates, spikes, weights, write_run
from fakes import RECORDED, FakeSimulation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from neuroplast.cli import app
from neuroplast.errors import InputError
from neuroplast.export import FORMATS, export
from neuroplast.export.command import parse_subject
from neuroplast.files import read_json
from neuroplast.traces import Traces
from neuroplast.training import Pace, train


def test_csv_of_rates(tmp_path):
    dataset = write_run(tmp_path / "run", rates(lengths=(5, 3)))
    frame = pd.read_csv(export(tmp_path / "run", "csv") / "units.h.csv")
    assert list(frame) == ["trial", "time (s)", "units.h[0] (1)", "units.h[1] (1)", "units.h[2] (1)"]
    assert frame.trial.tolist() == [0] * 5 + [1] * 3
    np.testing.assert_allclose(frame["time (s)"], np.arange(1, 9) * DT)
    wanted = dataset["units.h"].values
    np.testing.assert_array_equal(frame.iloc[:, 2:], np.concatenate([wanted[0], wanted[1, :3]]))


def test_csv_of_weights_and_spikes(tmp_path):
    dataset = write_run(tmp_path / "run", weights(pre=3, post=4, dtype=np.float32), spikes())
    folder = export(tmp_path / "run", "csv")
    frame = pd.read_csv(folder / "recurrent.w.csv")
    assert list(frame)[:4] == ["trial", "time (s)", "pre", "recurrent.w[post=0] (1)"]
    row = frame[(frame.trial == 1) & (frame.pre == 2)]
    np.testing.assert_array_equal(row.iloc[0, 3:].astype(np.float32), dataset["recurrent.w"].values[1, 2])
    frame = pd.read_csv(folder / "units.spikes.csv")
    np.testing.assert_array_equal(frame["time (s)"], dataset["units.spikes_time"])
    np.testing.assert_array_equal(
        frame[["neuron", "trial"]].T, [dataset["units.spikes"], dataset["units.spikes_trial"]]
    )


def test_csv_of_nets_metrics_and_the_record(tmp_path):
    dataset = write_run(tmp_path / "run", nets())
    folder = export(tmp_path / "run", "csv")
    frame = pd.read_csv(folder / "metrics_by_rule_period_net_trial.csv").set_index(["rule", "period", "net", "trial"])
    np.testing.assert_array_equal(frame["loss (1)"], dataset.loss.to_series().dropna())
    frame = pd.read_csv(folder / "output.csv").set_index(["rule", "period", "net"])
    np.testing.assert_array_equal(
        frame.loc[("rflo", 20, 1), "output[0] (1)"], dataset.output.sel(rule="rflo", period=20, net=1)[:5, 0]
    )
    frame = pd.read_csv(folder / "about.csv").set_index(["kind", "entry"])
    assert frame.loc[("parameter", "tau"), "value"] == "0.01" and read_json(folder / "run.json") == RECORD


def test_a_silent_population_has_an_empty_table(tmp_path):
    write_run(tmp_path / "run", spikes(count=0))
    assert len(pd.read_csv(export(tmp_path / "run", "csv") / "units.spikes.csv")) == 0


@pytest.mark.parametrize("case", CASES)
def test_npz_holds_everything(case, tmp_path):
    dataset = write_run(tmp_path / "run", *CASES[case]())
    with np.load(export(tmp_path / "run", "npz"), allow_pickle=False) as found:
        assert set(found["_names"]) == set(dataset.variables)
        for name, dims, unit in zip(found["_names"], found["_dims"], found["_units"], strict=True):
            np.testing.assert_array_equal(found[name], dataset[name].values)
            assert found[name].dtype.kind == dataset[name].dtype.kind
            assert tuple(dims.split(",")) == dataset[name].dims and unit == dataset[name].attrs.get("units", "")


def test_npz_of_the_same_run_is_the_same(tmp_path):
    write_run(tmp_path, *CASES["everything"]())
    first, second = (export(tmp_path, "npz", tmp_path / name).read_bytes() for name in ("a.npz", "b.npz"))
    assert first == second


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shape=st.lists(st.integers(1, 5), max_size=4),
    dtype=st.sampled_from("f4 f8 i2 i8".split()),
    block=st.integers(1, 400),
)
def test_npz_of_any_shape(tmp_path_factory, shape, dtype, block):
    folder = tmp_path_factory.mktemp("run")
    values = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    write_run(folder, xr.Dataset({"a": ([f"d{n}" for n in range(len(shape))], values)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuroplast.export.npz.BLOCK", block)
        path = export(folder, "npz")
    with np.load(path) as found:
        np.testing.assert_array_equal(found["a"], values)
        assert found["a"].dtype == values.dtype


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_there_is_kept_without_force(to, tmp_path):
    write_run(tmp_path / "run", metrics())
    path = export(tmp_path / "run", to)
    before = {part: part.read_bytes() for part in [path, *path.glob("*")] if part.is_file()}
    with pytest.raises(InputError, match=f"{path.name}: exists already, and nothing is overwritten. Add --force"):
        export(tmp_path / "run", to)
    assert before == {part: part.read_bytes() for part in before}
    write_run(tmp_path / "run", metrics(2))
    assert export(tmp_path / "run", to, force=True) == path
    assert before != {part: part.read_bytes() for part in before}
    assert {item.name for item in (tmp_path / "run").iterdir()} == {"run.json", "results.nc", path.name}


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_half_written_has_the_name(to, tmp_path, monkeypatch):
    write_run(tmp_path / "run", rates(), metrics())
    path = export(tmp_path / "run", to)
    before = {part: part.read_bytes() for part in [path, *path.glob("*")] if part.is_file()}

    def fail(*_, **__):
        raise RuntimeError("in the middle")

    monkeypatch.setattr("neuroplast.export.series.Records.blocks", fail)
    monkeypatch.setattr("neuroplast.export.npz._blocks", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        export(tmp_path / "run", to, force=True)
    assert before == {part: part.read_bytes() for part in before}
    assert {item.name for item in (tmp_path / "run").iterdir()} == {"run.json", "results.nc", path.name}


LIMITED = """
import resource, signal, sys
from neuroplast.errors import InputError
from neuroplast.export import export
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    export(sys.argv[1], sys.argv[2])
except InputError as err:
    sys.exit(f"refused: {err}")
"""


@pytest.mark.parametrize("to", FORMATS)
def test_no_room(to, tmp_path):
    write_run(tmp_path / "run", rates(lengths=(200, 200), neurons=20))
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path / "run", to], capture_output=True, text=True)
    assert done.stderr.startswith("refused: ") and "cannot be written (File too large)" in done.stderr
    assert {item.name for item in (tmp_path / "run").iterdir()} == {"run.json", "results.nc"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "hdf5"}, "format should be one of nwb, nix, csv, npz. Got 'hdf5'"),
        ({"to": "npz", "path": "no/where.npz"}, "there is no folder no"),
        ({"to": "npz", "path": "."}, "is a folder, and this format is a file"),
        ({"to": "csv", "path": "run/run.json"}, "is a file, and this format is a folder"),
        ({"to": "csv", "path": ".", "force": True}, "was not written by neuroplast export"),
        ({"to": "npz", "net": "0"}, "no net is called '0'. This run has no nets of their own"),
        ({"to": "csv", "subject": {"sex": "M"}}, "subject: csv does not take this; it goes with --to nwb"),
    ],
)
def test_refused(options, message, tmp_path, monkeypatch):
    write_run(tmp_path / "run", metrics())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        export("run", **options)
    assert sorted(os.listdir("run")) == ["results.nc", "run.json"]


@pytest.mark.parametrize(("to", "package", "extra"), [("nwb", "pynwb", "nwb"), ("nix", "nixio", "neo")])
def test_a_missing_package(to, package, extra, tmp_path, monkeypatch):
    write_run(tmp_path, metrics())
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{to} needs {package}: pip install 'neuroplast\[{extra}\]'"):
        export(tmp_path, to)


def test_a_run_with_nothing_in_it(tmp_path):
    write_run(tmp_path, xr.Dataset())
    with pytest.raises(InputError, match="nothing was recorded"):
        export(tmp_path, "npz")


@pytest.fixture
def several_nets(tmp_path):
    """A run whose nets have recorded more than it holds itself."""
    write_run(tmp_path / "run", nets())
    for label in ("rflo_net=0", "rflo_net=1"):
        write_run(tmp_path / "run" / "nets" / label, rates(), metrics(), record=None)
    return tmp_path / "run"


def test_what_only_the_nets_hold(several_nets):
    said = []
    export(several_nets, "npz", say=said.append)
    assert said == ["the nets hold units.h too, each net its own: --net LABEL exports them"]
    path = export(several_nets, "npz", net="rflo_net=1")
    assert path == several_nets / "run-rflo_net=1.npz"
    with np.load(path) as found:
        assert found["units.h"].shape == (3, 5, 3) and "rflo_periodic" in str(found["_record"])
    with pytest.raises(InputError, match="no net is called 'rflo'. There are: rflo_net=0, rflo_net=1."):
        export(several_nets, "npz", net="rflo")


@pytest.mark.parametrize("to", FORMATS)
def test_a_run_that_was_killed(to, tmp_path):
    train(FakeSimulation(), tmp_path / "done", recorded=RECORDED)
    with pytest.raises(ZeroDivisionError):
        train(Killed(), tmp_path / "killed", recorded=RECORDED, pace=Pace(positions=9))
    assert not (tmp_path / "killed" / "results.nc").exists()
    path = export(tmp_path / "killed", to)
    assert path.exists()
    if to == "csv":
        loss = pd.read_csv(path / "metrics_by_trial.csv")["loss (1)"]
        whole = Traces.load(tmp_path / "done").metrics["loss"].values.ravel()
        assert 0 < len(loss) < len(whole)
        np.testing.assert_array_equal(loss.astype(whole.dtype), whole[: len(loss)])


class Killed(FakeSimulation):
    """Ends in the middle."""

    def run(self, *args, start=0, **options):
        if start > 15:
            return 1 / 0
        return super().run(*args, start=start, **options)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(Path("runs/first-0"), metrics())
    runner = CliRunner()
    done = runner.invoke(app, ["export", "first-0", "--to", "csv"])
    assert (done.exit_code, done.output.strip()) == (0, "runs/first-0/first-0-csv")
    done = runner.invoke(app, ["export", "runs/first-0", "--to", "npz", "--out", "a.npz"])
    assert (done.exit_code, done.output.strip()) == (0, "a.npz")
    refused = runner.invoke(app, ["export", "second-0", "--to", "csv"])
    assert refused.exit_code == 2 and "second-0: is no run's folder. In runs/ there are: first-0." in refused.output


def test_subjects_on_the_command_line():
    assert parse_subject(["species=Mus musculus,sex=M", "description=small, grey"]) == {
        "species": "Mus musculus",
        "sex": "M",
        "description": "small, grey",
    }
    with pytest.raises(InputError, match="should be KEY=VALUE"):
        parse_subject(["mouse"])
