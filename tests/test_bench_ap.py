"""The contenders of the benchmark of adjoint propagation learn what the oracle learns, and what it measured is told."""

import json
import sys

import numpy as np
import pytest
from answers import Answers
from numpy_torch import numpy_as_torch
from oracles import modules as oracle
from rich.console import Console

from neuroplast.bench import ap, batches
from neuroplast.bench.ap_model import ModelStep
from neuroplast.bench.ap_problem import ALPHA, BETAS, CASES, EPSILON, ETA, RADIUS, Problem
from neuroplast.bench.ap_torch import TorchStep
from neuroplast.bench.pepita_problem import write_images
from neuroplast.errors import BuildError, InputError

ROWS, BATCH, STEPS, SMALL = 52, 12, 3, {"block": 6, "columns": 20}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_images(path, ROWS, SMALL["columns"])
    return path


def adam(w, gradients, rate):
    """Weights after Adam's steps down the gradients that `gradients(step)` gives."""
    mean, square = np.zeros_like(w), np.zeros_like(w)
    for step in range(1, STEPS + 1):
        gradient = yield w
        mean += (1 - BETAS[0]) * (gradient - mean)
        square += (1 - BETAS[1]) * (gradient**2 - square)
        hat = [x / (1 - beta**step) for x, beta in zip((mean, square), BETAS, strict=True)]
        w = w - rate * hat[0] / (np.sqrt(hat[1]) + EPSILON)
    yield w


def learned_by_the_oracle(folder, case):
    """Weights after STEPS batches; the oracle has no recurrent plasticity."""
    problem, block = Problem(folder, **SMALL), SMALL["block"]
    now = {name: w.astype(float) for name, w in problem.weights.items()}
    learners = {name: adam(w, None, ETA) for name, w in now.items()}
    for learner in learners.values():
        next(learner)
    roles = [slice(i * block, (i + 1) * block) for i in range(4)]
    for step in range(STEPS):
        rows, summed = problem.order()[step * BATCH : (step + 1) * BATCH], dict.fromkeys(now, 0)
        weights = {
            "w_in": now["w_in"], "w": [now["w1"]], "w_out": now["w_out"], "rec": problem.recurrent,
            "e_out": problem.errors["e_out"], "e": [problem.errors["e1"]],
        }  # fmt: skip
        for row in rows:
            found, _ = oracle.gradients(
                weights, problem.images[row] / 255, np.eye(10)[problem.labels[row]], roles, case["inference"],
                case["learning"], epe=case["epe"],
            )  # fmt: skip
            summed = {name: summed[name] + found[name] for name in now}
        now = {name: learners[name].send(summed[name] / BATCH) for name in now}
    return problem, now


def assert_learned(contender, problem, wanted):
    for name, w in wanted.items():
        before = problem.weights[name]
        sure = np.abs(w - before) > 0.5 * ETA  # where a gradient is rounding alone, so is the sign of Adam's step
        assert sure.mean() > 0.5, name
        np.testing.assert_allclose((contender.learned()[name] - w)[sure], 0, atol=0.02 * ETA, err_msg=name)


@pytest.mark.parametrize("case", ["STE 8-8", "EPE 8-4"])
def test_contenders_learn_what_the_oracle_learns(case, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", numpy_as_torch())
    wanted = learned_by_the_oracle(folder, CASES[case])
    contender = TorchStep(BATCH, "float32", folder, case=case, **SMALL)
    assert contender.time(STEPS - 1) > 0 and contender.time(1) > 0
    assert_learned(contender, *wanted)
    model = ModelStep(BATCH, "float32", folder, case=case, target="numpy", **SMALL)
    model.time(STEPS)
    assert_learned(model, *wanted)


def test_recurrent_weights_learn_alike_where_there_are_any(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", numpy_as_torch())
    contender = TorchStep(BATCH, "float32", folder, case="plastic", **SMALL)
    model = ModelStep(BATCH, "float32", folder, case="plastic", target="numpy", **SMALL)
    contender.time(STEPS), model.time(STEPS)
    for i, before in enumerate(contender.problem.recurrent):
        ours, theirs = (each.learned()[f"rec_{i}"] - before for each in (model, contender))
        assert 0.2 * STEPS < np.abs(theirs[before != 0]).mean() / (ETA * ALPHA) <= 1.01 * STEPS
        assert not ours[before == 0].any() and not theirs[before == 0].any()
        agree = np.abs(ours - theirs)[before != 0] < 0.1 * STEPS * ETA * ALPHA
        assert agree.mean() > 0.9
    assert len(contender.changed()) == len(model.changed()) == 5


def test_the_weights_are_those_of_the_paper(folder):
    problem = Problem(folder, block=64, columns=20)
    assert [w.shape for w in problem.weights.values()] == [(20, 64), (64, 64), (64, 10)]
    for w in problem.recurrent:
        assert 0.20 < (w != 0).mean() < 0.24
        assert np.abs(np.linalg.eigvals(w)).max() == pytest.approx(RADIUS, rel=0.1)


def test_torch_that_is_not_installed_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"torch not installed: pip install neuroplast\[bench\]"):
        TorchStep(BATCH, "float32", folder, **SMALL)


class Known(Answers):
    """0.2 ms for each image of a batch, PyTorch twice as long; a plastic step one more."""

    factors = {"neuroplast": 1, "torch": 2}
    learned = {"neuroplast": [1.0, 2.0], "torch": [1.001, 2.0]}
    memory = {"most": 300_000_000, "data": 8_000_000, "weights": 9_000_000}

    def seconds(self, batch):
        plastic = self.options["case"] == "plastic"
        return (self.factors[self.name] + plastic) * 0.2e-3 * batch / self.options["threads"]


def test_run_reports_ratios_and_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "Worker", Known)
    console = Console(width=150, record=True, file=open("/dev/null", "w"))
    path = tmp_path / "ap.json"
    result = ap.run((20,), (1,), repeats=2, rows=200, json=path, console=console)
    assert json.loads(path.read_text()) == result
    assert [(row["case"], row["contender"]) for row in result["rows"][:2]] == [
        ("STE 8-8", "neuroplast"), ("STE 8-8", "torch"),
    ]  # fmt: skip
    assert [(ratio["case"], ratio["target"]) for ratio in result["ratios"]] == [
        ("STE 8-8", 1.5), ("EPE 8-4", 1.5), ("plastic", 1.0),
    ]  # fmt: skip
    assert [ratio["torch"] for ratio in result["ratios"]] == pytest.approx([2, 2, 1.5])
    printed = console.export_text()
    for text in (
        "4e+03",
        "2.00",
        "1.50",
        "neuroplast: at most 300 MB with Python",
        "images are 8 and weights 9",
    ):
        assert text in printed, text


def test_without_pytorch_our_times_are_told(monkeypatch):
    monkeypatch.setattr(batches, "Worker", Known)
    monkeypatch.setattr(Known, "factors", {"neuroplast": 1})
    console = Console(width=150, record=True, file=open("/dev/null", "w"))
    result = ap.run((20,), (1,), repeats=2, rows=200, cases=("STE 8-8",), console=console)
    assert result["ratios"][0]["torch"] is None and result["memory"]["torch"] is None
    assert "torch not installed: pip" in console.export_text()


def test_contenders_that_learn_something_else_are_refused(monkeypatch):
    monkeypatch.setattr(batches, "Worker", Known)
    monkeypatch.setattr(Known, "learned", Known.learned | {"torch": [1.0, 2.1]})
    with pytest.raises(BuildError, match=r"torch learned \[1.  2.1\], and neuroplast \[1. 2.\], in 'STE 8-8'"):
        ap.run()
    monkeypatch.setattr(Known, "value", lambda *_: {"error": "no compiler"})
    with pytest.raises(BuildError, match="bench ap: no compiler"):
        ap.run()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"contenders": ("jax",)}, r"contenders should be of neuroplast, torch. Got \['jax'\]"),
        ({"cases": ("STE",)}, r"cases should be of STE 8-8, EPE 8-4, plastic. Got \['STE'\]"),
        ({"cases": ()}, r"cases should be of STE 8-8"),
        ({"batches": ()}, "batches, threads and repeats should be at least 1"),
        ({"threads": (0,)}, r"threads=\(0,\)"),
        ({"seconds": 0}, "seconds above 0"),
        ({"rows": 100}, "three batches at least. Got 100 of 500"),
        ({"json": "/nowhere/at/all.json"}, "/nowhere/at/all.json cannot be written"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        ap.run(**arguments)
