"""The contenders of the benchmark of PEPITA learn what the oracle learns, and its harness reports what it measured."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from answers import Answers
from numpy_torch import numpy_as_torch
from oracles import layers as oracle
from rich.console import Console

from neuroplast.bench import batches, pepita
from neuroplast.bench.pepita_jax import JaxStep
from neuroplast.bench.pepita_model import ModelStep, children, proportional_set_size
from neuroplast.bench.pepita_numpy import NumpyStep
from neuroplast.bench.pepita_problem import ETA, MOMENTUM, Contender, Problem, write_images
from neuroplast.bench.pepita_sgemm import Products
from neuroplast.bench.pepita_torch import TorchStep
from neuroplast.bench.worker import Worker, child_environment
from neuroplast.errors import BuildError, InputError

ROWS, SMALL = 70, {"hidden": (12, 7), "columns": 20}
BATCH, STEPS = 16, 6  # more than the four whole batches that there are


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    write_images(path, ROWS, SMALL["columns"])
    return path


@pytest.fixture(scope="module")
def learned(folder):
    """Weights after STEPS steps without dropout, by the oracle, transposed to rows of presynaptic neurons."""
    problem = Problem(folder, **SMALL)
    weights, F = [w.T.astype(float) for w in problem.weights], problem.feedback.astype(float)
    velocity = [np.zeros_like(w) for w in weights]
    order = problem.order()[: ROWS // BATCH * BATCH].reshape(-1, BATCH)
    assert sorted(problem.order()) == list(range(ROWS))
    for step in range(STEPS):
        rows = order[step % len(order)]
        masks = [np.ones((BATCH, n)) for n in SMALL["hidden"]]
        images, targets = problem.images[rows] / 255, np.eye(10)[problem.labels[rows]]
        gradients = oracle.pepita(weights, F, images, targets, masks)
        velocity = [MOMENTUM * v - ETA * g for v, g in zip(velocity, gradients, strict=True)]
        weights = [w + v for w, v in zip(weights, velocity, strict=True)]
    return problem.weights, [w.T for w in weights]


def assert_learned(contender, learned):
    for number, (before, after, found) in enumerate(zip(*learned, contender.weights(), strict=True)):
        change = np.abs(after - before).max()
        assert change > 1e-5, number
        np.testing.assert_allclose(found - before, after - before, rtol=0, atol=1e-2 * change, err_msg=str(number))


def numpy_as_jax():
    """As much of JAX as the contender uses, in numpy and without compiling."""

    def scan(step, state, rows):
        for row in rows:
            state, _ = step(state, row)
        return state, None

    def softmax(x):
        made = np.exp(x - x.max(axis=1, keepdims=True))
        return made / made.sum(axis=1, keepdims=True)

    def one_hot(labels, classes, dtype):
        return np.eye(classes, dtype=dtype)[labels]

    def bits(key, shape, dtype):
        return np.random.default_rng(key).integers(0, 65536, shape)

    return SimpleNamespace(
        __version__="0", numpy=np, config=SimpleNamespace(update=lambda name, value: None),
        lax=SimpleNamespace(scan=scan), jit=lambda function, donate_argnums: function,
        block_until_ready=lambda state: state,
        nn=SimpleNamespace(relu=lambda x: np.maximum(x, 0), softmax=softmax, one_hot=one_hot),
        random=SimpleNamespace(key=int, split=lambda key, number: [key + i + 1 for i in range(number)], bits=bits),
    )  # fmt: skip


CONTENDERS = {"numpy": NumpyStep, "torch": TorchStep, "jax": JaxStep}


@pytest.fixture(params=CONTENDERS)
def make(request, monkeypatch):
    """A contender, whose library is replaced by numpy: it need not be installed."""
    monkeypatch.setitem(sys.modules, "torch", numpy_as_torch())
    monkeypatch.setitem(sys.modules, "jax", numpy_as_jax())
    return CONTENDERS[request.param]


def test_contenders_learn_what_the_oracle_learns(make, folder, learned):
    contender = make(BATCH, "float32", folder, keep=1.0, **SMALL)
    assert contender.time(STEPS - 2) > 0 and contender.time(2) > 0
    assert_learned(contender, learned)


def test_the_model_learns_what_the_oracle_learns(folder, learned):
    model = ModelStep(BATCH, "float32", folder, keep=1.0, target="numpy", **SMALL)
    model.time(4)
    numpy = NumpyStep(BATCH, "float32", folder, keep=1.0, **SMALL)
    numpy.time(4)
    # The epoch ends here, so that the model is compared with another contender instead of the oracle.
    assert_learned(model, (model.problem.weights, numpy.weights()))


def test_contenders_drop_neurons(make, folder):
    contender, all_kept = (make(BATCH, "float32", folder, keep=keep, **SMALL) for keep in (0.5, 1.0))
    contender.time(1), all_kept.time(1)
    assert all(np.isfinite(w).all() for w in contender.weights())
    assert np.abs(contender.weights()[-1] - all_kept.weights()[-1]).max() > 1e-5
    masks = getattr(contender, "mask", None)
    if masks is not None:
        assert {float(value) for mask in masks for value in np.unique(mask)} == {0.0, 2.0}
        assert 0.3 < np.mean([np.mean(mask > 0) for mask in masks]) < 0.7


def test_changes_are_compared_by_projections(folder):
    one, other = (NumpyStep(BATCH, "float32", folder, keep=1.0, **SMALL) for _ in range(2))
    assert one.changed() == other.changed() and len(one.changed()) == 3
    assert min(map(abs, other.changed())) > 1e-6


def test_batches_of_an_epoch_follow_each_other(folder):
    contender = Contender(BATCH, "float32", folder, **SMALL)
    seen = [contender.rows() for _ in range(5)]
    assert len(np.unique(np.concatenate(seen[:4]))) == 4 * BATCH
    np.testing.assert_array_equal(seen[4], seen[0])


def test_products_are_the_step_s(folder):
    bare = Products(BATCH, "float32", folder, hidden=(12,), columns=20)
    assert bare.time(2) > 0 and len(bare.products) == 7
    for ta, tb, a, b, c in bare.products:
        wanted = (a.T if ta == 112 else a) @ (b.T if tb == 112 else b)
        bare.multiply(ta, tb, a, b, c)
        np.testing.assert_allclose(c, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name, make", [("torch", TorchStep), ("jax", JaxStep)])
def test_what_is_not_installed_says_how_to_get_it(name, make, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"{name} not installed: pip install neuroplast\[bench\]"):
        make(BATCH, "float32", folder, **SMALL)


def test_a_worker_on_several_cores(folder):
    options = {"folder": str(folder), "hidden": [5], "columns": 20, "threads": 2}
    with Worker("pepita_numpy", [0, 0], options) as worker:
        answer = worker.measure(BATCH, "float32", 3)
        assert answer["seconds"] > 0 and answer["share"] <= 1 and answer["about"].startswith("numpy")
        assert len(worker.value(BATCH, "float32", "changed")["value"]) == 2
    assert child_environment(2)["OMP_NUM_THREADS"] == "2"
    assert "XLA_FLAGS" not in {name for name in child_environment(2) if name not in child_environment(1)}


def test_memory_of_this_process_and_its_children():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in children() and os.getpid() not in children()
        child.communicate(b"\n")
    assert child.pid not in children()
    assert 10**6 < proportional_set_size(os.getpid()) < 10**10 and proportional_set_size(2**30) == 0


class Known(Answers):
    """50 us for each image of a batch, others take twice and three times as long."""

    factors = {"neuroplast": 1, "numpy": 2, "jax": 3, "sgemm": 0.9}
    learned = {"neuroplast": [1.0, 2.0], "numpy": [1.001, 2.0], "jax": [1.0, 1.99]}
    memory = {"most": 300_000_000, "data": 47_000_000, "weights": 3_000_000}

    def seconds(self, batch):
        grown = sum(self.options.get("hidden", [1024])) / 1024 * self.options.get("steps", 1)
        return self.factors[self.name] * 50e-6 * batch * grown / self.options.get("threads", 1)


def test_run_reports_ratios_growth_and_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(batches, "Worker", Known)
    console = Console(width=150, record=True, file=open("/dev/null", "w"))
    path = tmp_path / "pepita.json"
    result = pepita.run((16, 32), (1,), repeats=2, rows=200, json=path, console=console)
    assert json.loads(path.read_text()) == result
    assert [(row["batch"], row["contender"]) for row in result["rows"][:2]] == [(16, "neuroplast"), (16, "numpy")]
    assert [ratio["batch"] for ratio in result["ratios"]] == [16, 32]
    assert result["ratios"][0]["numpy"] == pytest.approx(2) and result["ratios"][1]["jax"] == pytest.approx(3)
    assert result["ratios"][0]["of_sgemm"] == pytest.approx(0.9) and result["ratios"][0]["torch"] is None
    assert [row["median"] for row in result["growth"]["dt"]] == pytest.approx(
        [64 * 50e-6 * s for s in (1, 2, 4, 10, 20)]
    )
    assert [len(row["hidden"]) for row in result["growth"]["layers"]] == [1, 2, 3]
    printed = console.export_text()
    for text in ("20,000", "90%", "torch not installed: pip", "tau/10", "300 MB, 241 MB more than the data (47)"):
        assert text in printed, text


def test_contenders_that_learn_something_else_are_refused(monkeypatch):
    monkeypatch.setattr(batches, "Worker", Known)
    monkeypatch.setattr(Known, "learned", Known.learned | {"jax": [1.0, 2.1]})
    with pytest.raises(BuildError, match=r"jax learned \[1.  2.1\], and neuroplast \[1. 2.\]"):
        pepita.run(rows=2000)
    monkeypatch.setattr(Known, "value", lambda *_: {"error": "no compiler"})
    with pytest.raises(BuildError, match="bench pepita: no compiler"):
        pepita.run(rows=2000)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"contenders": ("tensorflow",)}, r"contenders should be of neuroplast, .*Got \['tensorflow'\]"),
        ({"growth": ("depth",)}, r"growth should be of layers, width, dt. Got \['depth'\]"),
        ({"batches": ()}, "batches, threads and repeats should be at least 1"),
        ({"threads": (0,)}, r"threads=\(0,\)"),
        ({"seconds": 0}, "seconds above 0"),
        ({"rows": 100}, "three batches at least. Got 100 of 512"),
        ({"json": "/nowhere/at/all.json"}, "/nowhere/at/all.json cannot be written"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        pepita.run(**arguments)
