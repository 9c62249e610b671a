"""Nets that another run has trained are taken where they are the same, and only there."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from fakes import RECORDED, FakeSimulation
from typer.testing import CliRunner

from neuroplast.cli import app
from neuroplast.engine import Dataset, DenseSynapses, Event, Loop, Population, Recorder, Schedule, Simulation, start
from neuroplast.errors import InputError
from neuroplast.nets import Job, train_many
from neuroplast.reuse import Reuse
from neuroplast.training import train

TOY = str(Path(__file__).parent / "toy_learning.py")


class Compiled(FakeSimulation):
    """One that says what its results follow from, and whose runs are counted."""

    def __init__(self, program="a program", **options):
        super().__init__(**options)
        self.identity = program


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    return train(Compiled(), folder / "nets" / "one", seed=3, recorded=RECORDED, coords={"net": 0})


def test_the_same_net_is_taken_and_not_run(tmp_path, trained):
    sim = Compiled()
    job = Job("other-name", sim, {"rule": "x", "net": 4}, seed=3, recorded=RECORDED)
    (found,) = train_many([job], tmp_path, reuse=Reuse([trained.folder.parent]), attrs={"title": "another"})
    assert sim.calls == [] and found.source == trained.folder
    assert (found.coords, found.dataset.attrs["title"]) == ({"rule": "x", "net": 4}, "another")
    xr.testing.assert_equal(found.dataset, trained.dataset)
    assert {name: array.tobytes() for name, array in found.state.items()} == {
        name: array.tobytes() for name, array in trained.state.items()
    }
    # It is as good as one that was trained here: it can be resumed, and taken from.
    assert train_many([job], tmp_path, resume=True)[0].folder == found.folder and sim.calls == []
    assert Reuse([tmp_path]).find(json.loads((found.folder / "checkpoint/pointer.json").read_text())["identity"])


@pytest.mark.parametrize(
    "sim, options",
    [
        (Compiled(), {"seed": 4}),
        (Compiled("another program"), {}),
        (Compiled(""), {}),  # not known, such as that of the numpy target
        (Compiled(), {"counts": {"trial": 11}}),
        (Compiled(), {"state": {"net.w": np.zeros(9)}}),
        (Compiled(), {"recorded": RECORDED[:2]}),
    ],
)
def test_another_net_is_trained(tmp_path, trained, sim, options):
    found = train(sim, tmp_path, **{"seed": 3, "recorded": RECORDED} | options, reuse=Reuse([trained.folder]))
    assert sim.calls and found.source is None


def test_folders_without_such_nets_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        Reuse([tmp_path / "nowhere"])
    train(Compiled(""), tmp_path / "unknown")
    with pytest.raises(InputError, match="holds no nets that can be taken"):
        Reuse([tmp_path])


def test_a_run_takes_the_nets_of_another_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeSimulation, "identity", "toy", raising=False)

    def run(out, *more):
        command = ["run", TOY, "--quick", "--target", "numpy", "--out", str(tmp_path / out), *more]
        return CliRunner().invoke(app, command)

    assert run("first").exit_code == 0
    assert run("second", "--reuse", str(tmp_path / "first")).exit_code == 0
    first, second = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("first", "second"))
    assert second["claims"] == first["claims"] and "taken" not in first
    assert len(second["taken"]) == 4 and all(str(tmp_path / "first") in source for source in second["taken"].values())
    refused = run("third", "--reuse", str(tmp_path / "nowhere"))
    assert refused.exit_code == 2 and not (tmp_path / "third").exists()


def test_an_interrupted_run_goes_on_with_what_it_takes(tmp_path, monkeypatch, trained):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("neuroplast.experiment.train_many", interrupted)
    command = [
        "run",
        TOY,
        "--quick",
        "--target",
        "numpy",
        "--out",
        str(tmp_path / "run"),
        "--reuse",
        str(trained.folder),
    ]
    said = CliRunner().invoke(app, command, env={"COLUMNS": "300"}).output
    assert f"--target numpy --reuse {trained.folder} --resume" in " ".join(said.split())


def learner(rows, mask=None, every=1):
    """A network that is shown a data set."""
    start("cpp")
    inputs = Population(2, "x : 1", batch=2, name="inputs")
    hidden = Population(3, "I : 1", batch=2, name="hidden")
    synapses = DenseSynapses(inputs, hidden, "w : 1\nI_post = w*x_pre : 1 (summed)", mask=mask, name="w")
    shown = Dataset(rows, name="rows").present(inputs, "x", permute=False)
    recorder = Recorder(hidden, ["I"], every=every, name="recorder")
    return Simulation(Schedule([Loop("trial", 1, [Event("event", [shown, synapses, recorder])])]), namespace={})


def test_the_identity_of_a_simulation_follows_from_program_data_constants_and_selection():
    rows, mask = np.arange(8.0).reshape(4, 2), np.eye(2, 3)
    cases = {
        "one": learner(rows, mask),
        "other data": learner(rows + 1, mask),
        "other constants": learner(rows, 1 - mask),
        "other selection": learner(rows, mask, every=2),
        "other program": learner(rows),
    }
    found = {name: simulation.identity for name, simulation in cases.items()}
    assert len(set(found.values())) == len(cases)
    assert learner(rows.copy(), mask).identity == found["one"]
    start("numpy")
    assert Simulation(Schedule([Event("event", [Population(1, "x : 1")])]), namespace={}).identity == ""
