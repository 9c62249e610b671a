"""The contenders of the benchmark of convolutional networks learn what the oracle learns; what it measured is told."""

import json
import sys

import numpy as np
import pytest
from answers import Answers
from numpy_torch import numpy_as_torch
from oracles import conv as oracle
from rich.console import Console

from neuroplast.bench import batches, conv
from neuroplast.bench.conv_model import ModelStep
from neuroplast.bench.conv_problem import CASES, ETA, MOMENTUM, Problem
from neuroplast.bench.conv_torch import TorchStep
from neuroplast.errors import BuildError, InputError

ROWS, BATCH, STEPS, SMALL = 39, 12, 3, {"shape": (2, 8, 9), "filters": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    (path / "144").mkdir()
    conv.write_images(path / "144", ROWS, 144)
    return path


def learned_by_the_oracle(folder, rule):
    """Kernels (filters, channels, rows, columns) and readout (pooled, classes) after STEPS batches."""
    problem = Problem(folder / "144", **SMALL)
    weights = [problem.kernels.astype(float), problem.readout.T.astype(float)]
    velocity = [np.zeros_like(w) for w in weights]
    for step in range(STEPS):
        rows = problem.order()[step * BATCH : (step + 1) * BATCH]
        x, t = problem.images[rows].reshape(-1, *SMALL["shape"]) / 255, np.eye(10)[problem.labels[rows]]
        if rule == "pepita":
            found = oracle.pepita(*weights, problem.feedback, x, t, 0, 2)
        else:
            readout = weights[1]
            found = oracle.backward(*weights, x, t, 0, 2, lambda e, t, readout=readout: readout.T @ e)
        velocity = [MOMENTUM * v - ETA * g for v, g in zip(velocity, found, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
    return weights[0], weights[1].T


@pytest.mark.parametrize("case", ["PEPITA, 1 x 28 x 28", "BP, 1 x 28 x 28"])
def test_contenders_learn_what_the_oracle_learns(case, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", numpy_as_torch())
    problem, wanted = Problem(folder / "144", **SMALL), learned_by_the_oracle(folder, CASES[case][0])
    contender = TorchStep(BATCH, "float32", folder, case=case, **SMALL)
    assert contender.time(STEPS - 1) > 0 and contender.time(1) > 0
    model = ModelStep(BATCH, "float32", folder, case=case, target="numpy", **SMALL)
    model.time(STEPS)
    for before, after, ours, theirs in zip(problem.weights, wanted, model.weights(), contender.weights(), strict=True):
        changed = np.abs(after - before).max()
        assert changed > 1e-5 * np.abs(before).max()  # what single precision can tell
        np.testing.assert_allclose(ours, after, rtol=0, atol=0.01 * changed)
        np.testing.assert_allclose(theirs, after, rtol=0, atol=0.01 * changed)
    assert len(model.changed()) == len(contender.changed()) == 2


def test_torch_that_is_not_installed_says_how_to_get_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"torch not installed: pip install neuroplast\[bench\]"):
        TorchStep(BATCH, "float32", folder, **SMALL)


class Known(Answers):
    """0.2 ms for each image of a batch, PyTorch one and a half times as long."""

    factors = {"neuroplast": 1, "torch": 1.5}
    learned = {"neuroplast": [1.0, 2.0], "torch": [1.001, 2.0]}
    memory = {"most": 300_000_000, "data": 8_000_000, "weights": 9_000_000}

    def seconds(self, batch):
        return self.factors[self.name] * 0.2e-3 * batch / self.options["threads"]


def told(monkeypatch, **options):
    monkeypatch.setattr(batches, "Worker", Known)
    monkeypatch.setattr(batches.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    console = Console(record=True, width=200)
    kwds = {"cases": ["BP, 1 x 28 x 28"], "repeats": 2, "rows": 300, "console": console} | options
    return conv.run(**kwds), console.export_text()


def test_times_and_ratios_are_told(monkeypatch, tmp_path):
    result, text = told(monkeypatch, json=tmp_path / "conv.json")
    assert [row["threads"] for row in result["ratios"]] == [1, 2]
    assert [row["torch"] for row in result["ratios"]] == pytest.approx([1.5, 1.5])
    ours = next(row for row in result["rows"] if (row["threads"], row["contender"]) == (2, "neuroplast"))
    assert ours["median"] == pytest.approx(0.01)
    assert "1.50" in text and "neuroplast: at most 300 MB" in text and "torch 1" in text
    assert json.loads((tmp_path / "conv.json").read_text())["ratios"] == result["ratios"]


def test_without_torch_there_is_no_ratio(monkeypatch):
    monkeypatch.setattr(Known, "factors", {"neuroplast": 1})
    result, text = told(monkeypatch, threads=(1,))
    assert result["ratios"][0]["torch"] is None and "pip install neuroplast[bench]" in text


def test_contenders_that_learn_something_else_are_refused(monkeypatch):
    monkeypatch.setattr(Known, "learned", {"neuroplast": [1.0, 2.0], "torch": [1.1, 2.0]})
    with pytest.raises(BuildError, match=r"torch learned \[1.1 2. \]"):
        told(monkeypatch)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": ["AP"]}, r"cases should be of PEPITA, 1 x 28 x 28, .*Got \['AP'\]"),
        ({"contenders": ["jax"]}, "contenders should be of neuroplast, torch"),
        ({"repeats": 0}, "repeats should be at least 1"),
        ({"rows": 299}, "rows should be three batches at least. Got 299 of 100"),
    ],
)
def test_what_cannot_be_measured_is_refused(monkeypatch, options, message):
    with pytest.raises(InputError, match=message):
        told(monkeypatch, **options)
