"""What records select, in models of every kind, against all there is to record; and what --record does in a run."""

from types import SimpleNamespace

import numpy as np
import pytest
from brian2 import ms, second
from typer.testing import CliRunner

from neuroplast import asked
from neuroplast.checkpoints import fingerprint
from neuroplast.cli import app
from neuroplast.engine import Event, Loop, Phase, Population, Schedule, Simulation, start
from neuroplast.errors import InputError
from neuroplast.models import rflo, rflo_loop
from neuroplast.protocol import run_protocol
from neuroplast.recording import Record, add_records, comments, expected
from neuroplast.rules import BPTT, FROZEN, RFLO
from neuroplast.spikes import Spikes
from neuroplast.tasks import Condition, Task, movements, periodic
from neuroplast.traces import Traces

N, TRIALS = 4, 7
PARAMETERS = rflo.Parameters(N=N, eta_rec=0.5, eta_out=0.5, sigma=0.1 * second**-0.5)
DIFFERENT = Task(
    [Condition(np.ones((samples, 1)), np.ones((samples, 2))) for samples in (12, 7, 20)], order=[1, 0, 2, 1],
    tests=[2, 1],
)  # fmt: skip


def build(record=(), task=None, rule=RFLO, target="numpy", **options):
    return rflo.build(PARAMETERS, task or periodic(20), rule, record=record, target=target, **options)


# -- what a record says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, record",
    [
        ("units.h", Record("units.h")),
        ("recurrent", Record("recurrent")),
        ("units.h:every=10:trials=-1", Record("units.h", every=10, trials=-1)),
        ("units.h:trials=0,5,-1:steps=0-100", Record("units.h", trials=(-1, 5, 0), steps=(0, 100))),
        ("units.h:trials=0-100,-10-:at=step", Record("units.h", trials=[*range(100), *range(-10, 0)], at="step")),
        ("units.h:trials=2:epochs=0,-2-", Record("units.h", trials=2, epochs=(-1, 0, -2))),
        ("recurrent.w:every=5:at=epoch", Record("recurrent.w", every=5, at="epoch")),
        ("units.h:phase=fit", Record("units.h", phase="fit")),
        ("units.h:trials=-10--5", Record("units.h", trials=range(-10, -5))),
        ("recurrent.w:at=trial:phase=test", Record("recurrent.w", at="trial", phase="test")),
        ("units.spikes:max=20*Hz", Record("units.spikes", spikes=Spikes(max=20 / second))),
        ("units.spikes:trials=-1:map=shifted:max=50*Hz:refractory=2*ms",
         Record("units.spikes", trials=-1, spikes=Spikes("shifted", refractory=2 * ms))),
    ],
)  # fmt: skip
def test_text_and_record_are_the_same(text, record):
    assert Record.parse(text) == record and str(record) == text


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "should name POPULATION.VARIABLE, such as units.h"),
        ("units.h.x", "should name POPULATION.VARIABLE"),
        ("units.h:every", "options are every=, trials=, epochs=, steps=, at=, phase=, with a colon .* Got 'every'"),
        ("units.h:map=shifted", "options are every=, .* Got 'map=shifted'"),
        ("units.spikes:rate=1", "options are every=, .*, map=, max=, refractory="),
        ("units.h:every=2:every=3", "every= comes twice"),
        ("units.h:every=0", "every should be a whole number of at least 1. Got 0"),
        ("units.h:every=a", "every should be a whole number. Got 'a'"),
        ("units.h:trials=5-", "trials should be numbers and ranges, such as 0,99 or -1"),
        ("units.h:trials=5-5", "the range 5-5 has no trials"),
        ("units.h:trials=-5-3", "Both ends count from the same side"),
        ("units.h:steps=9", "steps should be FIRST-END, such as 0-100"),
        ("units.h:steps=9-9", "the second larger. Got \\(9, 9\\)"),
        ("units.h:at=end", "at should be step, trial or epoch. Got 'end'"),
        ("units.h:phase=run", "phase should be train, test or fit. Got 'run'"),
        ("units.h:at=trial:steps=0-5", "steps=0-5 has no meaning after the steps \\(at=trial\\)"),
        ("units.h:at=epoch:steps=0-5", "steps=0-5 has no meaning after the steps \\(at=epoch\\)"),
        ("units.h:at=epoch:trials=0", "at=epoch is after the trials of an epoch; choose with epochs= instead"),
        ("units.h:epochs=0:phase=test", "there are epochs while the model learns, not in phase=test. Leave one out"),
        ("units.h:epochs=5-5", "the range 5-5 has no epochs"),
        ("units.h:epochs=a", "epochs should be numbers and ranges, such as 0,99"),
        ("units.spikes:every=2", "every= and at= have no meaning there"),
        ("units.spikes:max=50", "max should be a positive rate such as 50\\*Hz. Got 50"),
        ("units.spikes:max=ten", "ten is no unit"),
        ("units.spikes:refractory=2*Hz", "refractory should be a time such as 2\\*ms. Got 2\\*Hz"),
        ("units.spikes:map=linear", "map should be one of shifted, scaled, rectified. Got 'linear'"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Record.parse(text)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"trials": "last"}, "trials should be numbers of trials such as \\(0, 99, -1\\) or range\\(10\\). Got 'last'"),
        ({"trials": ()}, "trials should be numbers"),
        ({"trials": (0.5,)}, "trials should be numbers"),
        ({"every": 2.5}, "every should be a whole number"),
        ({"steps": 5}, "steps should be two numbers"),
        ({"spikes": Spikes()}, "a map to spikes is for POPULATION.spikes"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Record("units.h", **given)


# -- what models record ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything():
    """All rates, currents, outputs, traces and weights of a short run."""
    record = ["units.h", "units.u", "outputs.y", "recurrent.w:at=step", "recurrent.p:at=step", "readout.w:at=step"]
    return build(record).run(TRIALS).dataset


@pytest.mark.parametrize(
    "options, trials, steps",
    [
        ("trials=-1", [6], range(19)),
        ("trials=0,2-4,-2-", [0, 2, 3, 5, 6], range(19)),
        ("every=5", range(7), [4, 9, 14]),
        ("steps=3-6", range(7), [3, 4, 5]),
        ("trials=1:steps=3-12:every=4", [1], [3, 7, 11]),
    ],
)
@pytest.mark.parametrize("name", ["units.h", "recurrent.p"])
def test_selection_within_trials(everything, name, options, trials, steps):
    found = build([f"{name}:at=step:{options}"]).run(TRIALS).dataset
    wanted = everything[name][list(trials), list(steps)]
    np.testing.assert_array_equal(found[name], wanted)
    np.testing.assert_array_equal(found[f"{name}_trial"], trials)
    np.testing.assert_allclose(found[f"{name}_time"], (np.array(steps) + 1) * 1e-3, rtol=1e-12)
    np.testing.assert_allclose(found[f"{name}_start"], np.array(trials) * 19e-3, rtol=1e-12)


@pytest.mark.parametrize("options, trials", [("", range(7)), (":every=3", [2, 5]), (":trials=0,-1", [0, 6])])
def test_selection_of_trials(everything, options, trials):
    found = build([f"recurrent.w{options}", f"units.h{options or ':every=1'}:at=trial"]).run(TRIALS)
    last, trials = found.dataset, list(trials)
    np.testing.assert_array_equal(last["units.h"], everything["units.h"][trials, -1])
    np.testing.assert_array_equal(last["recurrent.w_trial"], trials)
    # The weights change after the last step of a trial, so that the next one begins with them.
    before = [trial + 1 for trial in trials if trial + 1 < TRIALS]
    np.testing.assert_array_equal(last["recurrent.w"][: len(before)], everything["recurrent.w"][before, 0])
    assert found.weights["recurrent.w"].dims == ("trial", "pre", "post")


def test_eligibility_traces_are_those_of_the_equation(everything):
    h = np.concatenate([np.full((TRIALS, 1, N), 0.1), everything["units.h"].values[:, :-1]], axis=1)
    slope, p = 1 - np.tanh(everything["units.u"].values) ** 2, np.zeros((TRIALS, N, N))
    for k in range(19):
        p = p + 0.1 * (-p + h[:, k, :, None] * slope[:, k, None, :])
        np.testing.assert_allclose(everything["recurrent.p"][:, k], p, rtol=0, atol=1e-14)


def test_tests_are_recorded_under_a_name_of_their_own():
    found = build(["outputs.y", "outputs.y:phase=test", "units.h:phase=test:at=trial"], DIFFERENT).run(3)
    np.testing.assert_array_equal(found.dataset["outputs.y_test"], found.dataset.output)
    assert found.rates["units.h_test"].shape == (2, N) and found.rates["outputs.y"].shape == (3, 19, 1)
    assert np.isnan(found.rates["outputs.y"][0, 6:]).all()


@pytest.mark.parametrize(
    "rule, names", [(RFLO, {"recurrent.p", "recurrent.w"}), (BPTT, {"recurrent.w"}), (FROZEN, {"recurrent.w"})]
)
def test_a_projection_alone_is_what_its_rule_declares(rule, names):
    model = build(["recurrent", "readout", "units", "outputs"], rule=rule)
    found = {item.name for item in model.recorded if "." in item.name}
    assert found == names | {"readout.w", "units.h", "outputs.y"}


def test_what_is_named_by_itself_goes_before():
    model = build(["recurrent:every=2", "recurrent.p:at=step:trials=0"])
    dims = {item.name: item.leading for item in model.recorded if item.prefix}
    assert dims["recurrent.p"] == ("recurrent.p_trial", "recurrent.p_time")
    assert dims["recurrent.w"] == ("recurrent.w_trial",)


@pytest.mark.parametrize(
    "record, message",
    [
        (["unit.h"], "unit.h: unit.h is not there. There can be recorded: units.*; outputs.*; recurrent.*; readout"),
        (["units.tau"], "units.tau is not there"),
        (["recurrent.spikes"], "recurrent.spikes is not there"),
        (["units.h", "units.h:trials=-1"], "units.h is asked for twice"),
        (["recurrent.w:steps=0-5"], "is recorded at the end of trials. Add at=step"),
        ("units.h", "record should be a list. Got 'units.h'; write \\['units.h'\\]"),
    ],
)
def test_model_refuses_what_it_has_not(record, message):
    with pytest.raises(InputError, match=message):
        build(record)


def test_run_refuses_trials_that_it_has_not():
    with pytest.raises(InputError, match="loop 'trial' has 7 trials, 0 to 6 .* Got 9"):
        build(["units.h:trials=9"]).run(TRIALS)
    with pytest.raises(InputError, match="recurrent.w: there would be no record in 7 trials"):
        build(["recurrent.w:every=10"]).run(TRIALS)


def test_loop_is_recorded_like_any_model():
    task = Task(movements(8, 5).conditions, order=[0, 2, 1, 3], tests=[2, 0])
    parameters = rflo_loop.Parameters(N=N, moving=8)
    record = ["units.h:trials=-1", "loop.w", "inputs.a:at=trial", "units.h:phase=test"]
    model = rflo_loop.build(parameters, task, record=record, target="numpy")
    found = model.run(5).dataset
    end = model.simulation.run(model.initial(), stop=3 * 5, seed=0, counts=model.counts(5)).state
    np.testing.assert_array_equal(found["loop.w"][-1].values.ravel(), end["loop.w"])
    np.testing.assert_array_equal(found["inputs.a"][-1], end["inputs.a"])
    np.testing.assert_array_equal(found["units.h"][0, -1], end["units.h"])
    assert found["units.h_test"].shape == (2, 12, N) and found["loop.w"].shape == (5, N, 4)


def test_units_and_words_are_those_of_the_equations():
    start("numpy", dt=1 * ms)
    text = "dv/dt = -v/(10*ms) : volt  # membrane potential     (3)\nI : amp"
    cells = Population(2, text, method="euler", batch=3, name="cells")
    nodes = {"run": [cells], "end": []}
    recorded = add_records(["cells.v", "cells.I:at=trial"], {"cells": cells}, nodes)
    loop = Loop("trial", 2, [Phase("run", nodes["run"], 4), Event("end", nodes["end"])])
    out = Simulation(Schedule([loop]), namespace={}).run({"cells.v": 5e-3})
    assert [(item.unit, item.doc, item.dims, item.shape) for item in recorded] == [
        ("V", "membrane potential", ("neuron", "copy"), (2, 3)), ("A", "", ("neuron", "copy"), (2, 3))
    ]  # fmt: skip
    np.testing.assert_allclose(out.monitors["cells_v"]["v"][:2, 0], [4.5e-3, 4.05e-3], rtol=1e-12)
    with pytest.raises(InputError, match="the model has no 'test' among its nodes \\(run, end\\)"):
        add_records(["cells.v:phase=test"], {"cells": cells}, nodes)
    with pytest.raises(InputError, match="cells: cells should name a variable. .*: cells.\\(I, v\\)"):
        add_records(["cells"], {"cells": cells}, nodes)
    assert comments("x = 2 : 1\n y:1 # why (a)\ndz/dt = x/tau : 1  # and how   (3)") == {"y": "why (a)", "z": "and how"}


@pytest.mark.parametrize("target", ["numpy", "cpp"])
def test_recording_changes_nothing(target):
    """Everything else is the same to the bit, noise and learning included, and so is where a training begins."""
    everything = ["units.h", "units.slope:every=3", "outputs", "recurrent", "readout.b", "recurrent.dw:at=step"]
    plain, recording = build(target=target), build(everything, target=target)
    one, other = plain.run(TRIALS, seed=5).dataset, recording.run(TRIALS, seed=5).dataset
    assert len(other) > len(one)
    for name in one:
        np.testing.assert_array_equal(other[name], one[name], err_msg=name)
    assert fingerprint(plain.simulation.initial, 1) == fingerprint(recording.simulation.initial, 1)


# -- how much it will be -----------------------------------------------------------------------------------------------


def test_number_and_size_of_records_are_foreseen():
    record = [
        "units.h:every=3", "units.u:trials=1,-1", "outputs.y:steps=5-9", "recurrent.w:every=2", "readout.w:at=step",
        "units.h:phase=test:every=4", "outputs.y:phase=test:at=trial",
    ]  # fmt: skip
    model = build(record, DIFFERENT)
    counts = model.counts(TRIALS)
    steps = {"trial": np.array([6, 11, 19, 6, 6, 11, 19]), "tests": np.array([19, 6])}
    out = model.simulation.run(model.initial(), counts=counts)
    found = expected(model.simulation, counts, steps)
    assert len(found) == len(record)
    for name, (records, size) in found.items():
        arrays = out.monitors[name]
        assert records == len(arrays["t"])
        assert size == sum(array.nbytes for key, array in arrays.items() if key != "t")
    assert model.job("net", {}, TRIALS).size == sum(size for _, size in found.values())


def test_much_is_said_and_too_much_refused(monkeypatch, tmp_path):
    said, records = [], [Record("units.h")]
    monkeypatch.setattr(asked.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10e9))
    asked.check_space(records, [10**8] * 5, tmp_path, said.append)
    assert not said
    asked.check_space(records, [10**9] * 5, tmp_path, said.append)
    assert said == ["--record units.h: will write about 5 GB; add :trials=-1 or :every=10 to record less."]
    with pytest.raises(InputError, match="--record units.h: would write about 120 GB to .*, where 10 GB are free"):
        asked.check_space(records, [10**10] * 12, tmp_path, said.append)


def test_one_model_of_a_run_is_enough():
    """What a model lacks is left to the others; what all lack is refused with what each has."""
    p, readout_b, nowhere = (Record(what, aside=True) for what in ("recurrent.p", "readout.b", "units.z"))
    build([p, readout_b], rule=BPTT)
    with pytest.raises(InputError, match="--record recurrent.p: recurrent.p is not there"):
        asked.check_asked([readout_b, p])
    build([p, nowhere])
    build([nowhere], task=DIFFERENT)
    asked.check_asked([readout_b, p])
    with pytest.raises(InputError, match="^--record units.z: .*readout.\\(b, dw, w\\).\n--record units.z: .*afferent"):
        asked.check_asked([nowhere])
    said = []
    asked.say_unrecorded([p, readout_b, Record("units.h")], {"loss", "recurrent.p"}, said.append)
    assert said == [
        "--record readout.b: nothing was recorded, since no net has such trials or steps.",
        "--record units.h: nothing was recorded, since the protocol does not pass it on, by build(record=run.record).",
    ]


# -- a run -------------------------------------------------------------------------------------------------------------

PROTOCOL = '''
"""Some nets."""
from dataclasses import dataclass
from neuroplast.models import rflo
from neuroplast.rules import BPTT, RFLO
from neuroplast.tasks import periodic
from neuroplast.traces import combine
PAPER = {"figure": "none", "doi": ""}
EXPECTED_TIME = "1 s"
QUICK, EXPECTED = {}, []
@dataclass(frozen=True)
class Parameters:
    pass
def experiment(parameters, run):
    jobs = []
    for rule in (RFLO, BPTT):
        model = rflo.build(rflo.Parameters(N=3), periodic(8), rule, RECORD target=run.target)
        jobs.append(model.job(rule.name, {"rule": rule.name}, 6, run.seed))
    return combine([(net.coords, net.dataset) for net in run.train_many(jobs)])
'''


@pytest.fixture
def protocol(tmp_path, monkeypatch):
    """Path of a protocol of two nets that passes the records on, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(PROTOCOL.replace("RECORD", "record=run.record,"))
    (tmp_path / "deaf.py").write_text(PROTOCOL.replace("RECORD", ""))
    return "nets.py"


def test_command_line_records_beside_what_the_protocol_combines(protocol):
    def run(*words):
        return CliRunner().invoke(app, ["run", protocol, "--target", "numpy", *words], env={"COLUMNS": "200"})

    record = ["--record", "units.h:every=2:trials=-1", "--record", "recurrent.p"]
    assert run("--out", "plain").exit_code == 0 and run("--out", "both", *record).exit_code == 0
    plain, both = Traces.load("plain"), Traces.load("both")
    assert both.dataset.identical(plain.dataset)
    assert both.record["record"] == ["units.h:every=2:trials=-1", "recurrent.p"] and plain.record["record"] == []
    rflo_net, bptt_net = Traces.load("both/nets/rflo"), Traces.load("both/nets/bptt")
    assert rflo_net.rates["units.h"].shape == bptt_net.rates["units.h"].shape == (1, 3, 3)
    assert "recurrent.p" in rflo_net.weights and "recurrent.p" not in bptt_net.weights
    other = run("--out", "both", "--resume", "--record", "units.h")
    assert other.exit_code == 2
    assert "--record: units.h:every=2:trials=-1, recurrent.p then, units.h now" in other.output
    assert "nothing is left to do" in run("--out", "both", "--resume", *record).output


def test_command_that_goes_on_has_the_records(protocol, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("neuroplast.experiment.train_many", stopped)
    words = ["run", protocol, "--target", "numpy", "--record", "units.h:trials=-1"]
    ended = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert "neuroplast run nets.py --record units.h:trials=-1 --target numpy --resume" in ended.output


@pytest.mark.parametrize(
    "record, message",
    [
        ("recurrent.q", "--record recurrent.q: recurrent.q is not there. There can be recorded: units"),
        ("units.h:trials=6", "loop 'trial' has 6 trials, 0 to 5"),
        ("units.h:whenever=1", "options are every=, trials="),
        ("units.spikes:max=200*Hz", "max=200\\*Hz is too fast for the time step of 1 ms"),
    ],
)
def test_what_cannot_be_recorded_leaves_no_folder(protocol, tmp_path, record, message):
    with pytest.raises(InputError, match=message):
        run_protocol(protocol, record=[record], target="numpy")
    assert not (tmp_path / "runs" / "nets-0").exists()


def test_a_protocol_that_records_nothing_is_said(protocol):
    deaf = CliRunner().invoke(app, ["run", "deaf.py", "--target", "numpy", "--record", "units.h"])
    assert deaf.exit_code == 0
    text = " ".join(deaf.output.split())
    assert "--record units.h: nothing was recorded, since the protocol does not pass it on" in text
    assert Traces.load("runs/deaf-0").record["record"] == ["units.h"]
