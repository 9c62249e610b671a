"""The pages in docs/guides, followed in an empty folder: their Python runs as it stands, and does what they say.

Each block of Python is a file whose name is in its first line. The sizes here are smaller than those of the pages.
"""

import importlib
import re
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from export_cases import metrics, nets, rates, spikes, weights, write_run
from typer.testing import CliRunner

from neuroplast.cli import app
from neuroplast.errors import InputError
from neuroplast.models import rflo
from neuroplast.rules import BPTT
from neuroplast.tasks import periodic
from neuroplast.traces import Traces

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
PAGES = sorted(path.stem for path in GUIDES.glob("*.md"))


def blocks(page, language):
    """Texts of a page's code blocks."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (GUIDES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


def file_name(code):
    return code.split("\n", 1)[0].removeprefix("# ")


def printed(page, command):
    """What the page says that a command prints."""
    found = [text.partition(f"$ {command}\n")[2] for text in blocks(page, "console") if f"$ {command}\n" in text]
    return found[0].partition("\n$ ")[0]


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Write a page's files into an empty folder; returns what imports one of them, by its text if there are several."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    written = set()

    def forget():
        for name in written:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()

    def followed(page, version=-1):
        files = {}
        for code in blocks(page, "python"):
            files.setdefault(file_name(code), []).append(code)
        for name, versions in files.items():
            (tmp_path / name).write_text(versions[min(version, len(versions) - 1)])
            written.add(name.removesuffix(".py"))
        forget()
        return importlib.import_module

    yield followed
    forget()


def test_there_is_a_page_for_each_part():
    assert PAGES == [
        "add_a_model", "add_a_protocol", "add_a_rule", "add_a_task", "data", "export", "look_at_a_run",
        "record_and_spike", "sweep",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_blocks_name_their_files(page):
    names = [file_name(code) for code in blocks(page, "python")]
    assert all(re.fullmatch(r"\w+\.py", name) for name in names)
    commands = re.findall(r"^\$ (?:python|neuroplast run) (\w+\.py)", "\n".join(blocks(page, "console")), re.MULTILINE)
    assert commands and set(commands) <= set(names)
    for code in blocks(page, "python"):
        compile(code, page, "exec")
        assert max(map(len, code.split("\n"))) <= 120


def test_the_task_takes_twenty_lines():
    code = next(code for code in blocks("add_a_task", "python") if file_name(code) == "match_to_sample.py")
    assert len([line for line in code.split("\n") if line and not line.startswith("#")]) <= 20


def test_the_task_is_what_the_page_says(follow, capsys):
    follow("add_a_task")
    runpy.run_path("look.py", run_name="__main__")
    assert capsys.readouterr().out == printed("add_a_task", "python look.py")


def test_two_rules_learn_the_task(follow, capsys):
    load = follow("add_a_task")
    durations = {"fixation": 1, "sample": 8, "delay": 2, "test": 8, "response": 6}
    results = load("train").train(200, nets=1, units=20, eta=0.3, target="numpy", **durations)
    assert re.fullmatch(r"(\w+, net 0: final loss 0\.\d{5}, fraction correct 1\.00\n){2}", capsys.readouterr().out)
    loss = results.loss.isel(net=0).transpose("rule", "trial")
    assert (loss[:, -20:].mean("trial") < loss[:, :20].mean("trial") / 2).all()
    assert list(results.rule.values) == ["rflo", "bptt"] and results.output.sizes["test"] == 4
    xr.concat([results, results.assign_coords(net=[1])], "net").to_netcdf("match_to_sample.nc")
    runpy.run_path("draw.py")
    assert Path("match_to_sample.png").exists()


def test_the_rule_says_what_it_lacks(follow):
    load = follow("add_a_rule", version=0)
    with pytest.raises(InputError) as caught:
        load("learn").learn(load("my_rule").TRACED, target="numpy")
    (said,) = [text for text in blocks("add_a_rule", "text") if "InputError" in text]
    assert said == f"neuroplast.errors.InputError: {caught.value}\n"


def test_the_rule_is_its_formula(follow):
    """dw = eta/T sum over the trial of (B err)_a slope_a trace_b dt."""
    rule, n, samples = follow("add_a_rule")("my_rule").TRACED, 4, 15
    task = periodic(samples)
    record = ("units.h", "units.u", "outputs.y", "recurrent.w")
    model = rflo.build(rflo.Parameters(N=n, eta_rec=0.5), task, rule, record=record, target="numpy")
    found, begin = model.run(1).dataset, model.initial()
    h = np.vstack([begin["units.h"] * np.ones(n), found["units.h"][0].values])
    credit = (task.conditions[0].target[1:] - found["outputs.y"][0].values) @ rflo.state_to_weights(begin, n)["b"].T
    trace, change = np.zeros(n), np.zeros((n, n))
    for k in range(samples - 1):
        trace = 0.9 * trace + 0.1 * h[k]
        change += 0.5 / samples * np.outer(trace, credit[k] * (1 - np.tanh(found["units.u"][0, k].values) ** 2))
    moved = found["recurrent.w"][0].values - begin["recurrent.w"].reshape(n, n)
    np.testing.assert_allclose(moved, change, rtol=0, atol=1e-15)


def test_the_rule_and_its_variants_run(follow, capsys):
    load = follow("add_a_rule")
    for rule, options in load("variants").VARIANTS.values():
        load("learn").learn(rule, trials=20, nets=2, samples=20, target="numpy", **options)
    lines = capsys.readouterr().out.splitlines()
    there = printed("add_a_rule", "python variants.py").splitlines()
    assert [line.split()[:3] for line in lines] == [line.split()[:3] for line in there]


def test_the_rule_against_the_gradient(follow):
    found = {key: value for key, (value,) in follow("add_a_rule")("gradient").cosines(20, seeds=(0,)).items()}
    assert found["bptt", "symmetric"] > 1 - 1e-6
    assert found["rflo", "symmetric"] > 0
    for feedback in ("random", "symmetric"):
        assert found["traced", feedback] == pytest.approx(found["rflo", feedback], abs=0.02)


def test_the_model_is_the_loop(follow):
    load = follow("add_a_model")
    model, check = load("my_model"), load("check")
    size = {"trials": 5, "target": "numpy", "samples": 50, "inputs": 4}
    assert check.difference(**size) < 1e-14
    model.SLOPE, model.MOVE = model.MOVE, model.SLOPE
    assert check.difference(**size) > 1e-3


def test_the_model_says_what_it_cannot_do(follow):
    load = follow("add_a_model")
    model, task = load("my_model"), load("check").delay_line
    with pytest.raises(InputError) as backward:
        model.build(model.Parameters(), task(), BPTT, target="numpy")
    with pytest.raises(InputError) as larger:
        model.build(model.Parameters(), task(), target="numpy").run(1, task=task(400))
    assert blocks("add_a_model", "text") == [
        f"neuroplast.errors.InputError: {caught.value}\n" for caught in (backward, larger)
    ]


def test_what_is_recorded_and_drawn(follow, capsys):
    load = follow("record_and_spike")
    traces = load("observe").observe(trials=300, samples=30, target="numpy")
    assert traces.rates["units.h"].shape == (2, 29, 30) and traces.rates["units.u"].shape == (1, 2, 30)
    assert traces.weights["recurrent.w"].shape == traces.weights["recurrent.p"].shape == (3, 30, 30)
    assert set(traces.spikes["units"].trial.values) == {299}
    runpy.run_path("decay.py", run_name="__main__")
    assert capsys.readouterr().out == printed("record_and_spike", "python decay.py")
    with pytest.raises(InputError) as caught:
        rflo.build(rflo.Parameters(), periodic(50), record=["units.x"], target="numpy")
    assert blocks("record_and_spike", "text") == [f"neuroplast.errors.InputError: {caught.value}\n"]


def test_the_protocol_runs_and_is_read_again(follow, capsys):
    follow("add_a_protocol")
    runner, page = CliRunner(), (GUIDES / "add_a_protocol.md").read_text()
    small = ["--set", "trials=60", "--set", "nets=1", "--set", "period=20*ms", "--set", "tau=20*ms"]
    done = runner.invoke(app, ["run", "my_protocol.py", *small, "--target", "numpy"], env={"COLUMNS": "110"})
    assert done.exit_code == 0 and "RFLO ends lower than frozen" in done.output
    assert Path("runs/my_protocol-0/figure.png").exists()
    for command in (["--set", "tau=20"], ["--set", "tua=20*ms"], []):
        refused = runner.invoke(app, ["run", "my_protocol.py", *command])
        assert refused.exit_code == 2
        assert f"$ {' '.join(['neuroplast run my_protocol.py', *command])}\n{refused.output}" in page
    runpy.run_path("read_run.py")
    first, tau, measured = capsys.readouterr().out.splitlines()
    assert first == "('rule', 'net', 'trial') (2, 1, 60)" and tau in page
    assert measured == Traces.load("runs/my_protocol-0").record["claims"][0]["measured"]
    resumed = runner.invoke(app, ["run", "my_protocol.py", *small, "--target", "numpy", "--resume"])
    assert resumed.exit_code == 0 and "nothing is left to do" in resumed.output
    assert re.search(r"^status +done", runner.invoke(app, ["show", "my_protocol-0"]).output, re.MULTILINE)


def test_a_run_is_looked_at(follow, capsys):
    follow("look_at_a_run")
    commands = re.findall(r"^\$ neuroplast (.+)$", "\n".join(blocks("look_at_a_run", "console")), re.MULTILINE)
    small = ["trials=60", "nets=1", "tau=2*ms", "period=40*ms"]
    small = [word for setting in small for word in ("--set", setting)] + ["--target", "numpy"]
    for command in commands:
        done = CliRunner().invoke(app, command.split() + small * command.startswith("run"), env={"COLUMNS": "150"})
        assert done.exit_code == 0, done.output
        if "--plot" in command:
            assert done.output.split() == [f"runs/look/plot-{command.split()[3]}.{kind}" for kind in ("png", "svg")]
    runpy.run_path("look.py")
    there = printed("look_at_a_run", "python look.py").replace("2999", "59").split()
    assert capsys.readouterr().out.split() == there
    assert "before learning" in Path("before_and_after.svg").read_text()


def test_the_sweep_is_read_as_the_page_says(follow, capsys):
    follow("sweep")
    command = next(line for text in blocks("sweep", "console") for line in text.split("\n") if "--seeds 9" in line)
    words = shlex.split(command.removeprefix("$ neuroplast "))
    words[words.index("9")] = "2"
    small = ["--set", "trials=100", "--set", "nets=1", "--set", "N=4", "--target", "numpy", "--set", "dt=5*ms"]
    done = CliRunner().invoke(app, [*words, *small], env={"COLUMNS": "200"})
    assert done.exit_code == 0 and "2 of 2" in done.stdout
    assert {path.name for path in Path("sweeps/rflo_periodic").iterdir()} > {"sweep.nc", "sweep.json"}
    runpy.run_path("read_sweep.py")
    lines = capsys.readouterr().out.splitlines()
    _, *rest = printed("sweep", "python read_sweep.py").splitlines()
    assert rest == lines[1:3] and lines[0].endswith("'rule', 'net', 'trial')") and "'period'" in lines[0]


@pytest.mark.parametrize("file", ["digits.py", "bars.py"])
def test_images_are_what_the_page_says(follow, capsys, file):
    follow("data")
    runpy.run_path(file, run_name="__main__")
    assert capsys.readouterr().out == printed("data", f"python {file}")


@pytest.fixture
def exported_run():
    """The run that the page on exports is about, with a net that recorded rates and spikes."""
    folder, net = Path("runs/rflo_periodic-0"), "rule=rflo_period=20_net=0"
    write_run(folder, nets())
    parts = [rates(lengths=(500, 500)), spikes(count=200, stop=1.0, step=0.0001, length=0.5), metrics(2), weights()]
    return write_run(folder / "nets" / net, *parts, record=None)


def test_the_exported_run_goes_into_elephant(follow, exported_run, capsys):
    follow("export")
    runpy.run_path("trains.py")
    lines = capsys.readouterr().out.splitlines()
    there = exported_run["units.spikes"].values[exported_run["units.spikes_trial"].values == 1]
    assert lines[0] == "trial=1 of rule=rflo_period=20_net=0"
    assert [int(re.search(r"(\d+) spikes", line)[1]) for line in lines[1:]] == np.bincount(there, minlength=3).tolist()
    assert f"{np.sum(there == 0) / 0.5:.0f} Hz, CV of its" in lines[1]


def test_the_exported_run_goes_into_pandas(follow, exported_run, capsys):
    follow("export")
    runpy.run_path("tables.py")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["trial", "trial_time", "(s)", "loss", "(1)"]
    assert float(lines[-1]) == pytest.approx(exported_run["units.h"].values[1, :, 0].mean())


def test_the_export_says_what_the_page_says(follow, exported_run):
    follow("export")
    for text in blocks("export", "console"):
        for command, said in re.findall(r"^\$ neuroplast (.*)\n((?:[^$].*\n)*)", text, re.MULTILINE):
            done = CliRunner().invoke(app, shlex.split(command) + (["--force"] if "--subject" in command else []))
            assert done.exit_code == 0, done.output
            names = re.compile(r"hold .* too")
            assert not said or names.sub("", done.output) == names.sub("", said)
