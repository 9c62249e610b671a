"""Compiling: what is found in the cache and what is not, and what happens without a compiler that works."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from brian2 import StateMonitor, TimedArray, ms

from neuroplast.engine import DenseSynapses, Event, Loop, Phase, Population, Schedule, Simulation, have_compiler, start
from neuroplast.engine.build import cache_dir
from neuroplast.errors import BuildError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache of its own for the tests that look into it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROPLAST_CACHE", str(folder))
        yield folder


def network(weights=1.0, gain=2.0, steps=3, trials=2, drive=(1.0, 2.0), mask=None, **kwds):
    """A simulation with everything that a program may hold: constants, monitors, random numbers, a mask."""
    start("cpp", dt=1 * ms)
    level = TimedArray(np.array(drive), dt=1 * ms, name="level")
    A = Population(3, "x : 1\nI : 1", name="A")
    A.run_regularly("x = level(t) + gain*I + rand()", when="groups", order=2, name="statements")
    mask = np.eye(3, dtype=bool) if mask is None else mask
    S = DenseSynapses(A, A, "w : 1\nI_post = w*x_pre : 1 (summed)", order={"I_post": 1}, mask=mask, name="S")
    S.w = weights
    M = StateMonitor(A, "x", record=True, when="end", name="M")
    schedule = Schedule([Loop("trial", trials, [Phase("run", [A, S, M], steps), Event("pause", [M])])])
    return Simulation(schedule, namespace={"level": level, "gain": gain}, **kwds).build()


@pytest.fixture(scope="module")
def first(cache):
    simulation = network()
    assert not simulation._backend.cached
    return simulation


def cached(simulation):
    return simulation._backend.cached


def test_the_same_model_compiles_once(first, cache):
    again = network()
    assert cached(again)
    assert again._backend.binary == first._backend.binary
    assert again._backend.binary.parent == cache
    expected = first.run(seed=1).state
    assert all(values.tobytes() == expected[name].tobytes() for name, values in again.run(seed=1).state.items())


@pytest.mark.parametrize(
    "change",
    [{"weights": 3}, {"steps": 7}, {"trials": 9}, {"drive": (0.5, 0)}, {"threads": 2}, {"mask": np.ones((3, 3), bool)}],
    ids=lambda change: next(iter(change)),
)
def test_values_are_no_part_of_the_program(first, change):
    changed = network(**change)
    assert cached(changed)
    if "threads" not in change:
        assert changed.run(seed=1).state["A.x"].tobytes() != first.run(seed=1).state["A.x"].tobytes()


def test_values_set_in_python_are_used(first):
    """One program, other weights: as many results as values."""
    results = [network(weights=w).run(seed=1).state for w in (0.0, 0.5)]
    assert not results[0]["A.I"].any()
    np.testing.assert_array_equal(results[1]["S.w"].reshape(3, 3), np.diag([0.5] * 3))
    assert results[1]["A.I"].all()


def test_a_changed_model_is_compiled(first):
    changed = network(gain=2.5)
    assert not cached(changed)
    assert changed._backend.binary != first._backend.binary


def test_another_process_finds_the_program(first, cache):
    program = "import test_build; print(test_build.network()._backend.cached)"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "NEUROPLAST_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize("variable", ["NEUROPLAST_CACHE", "XDG_CACHE_HOME"])
def test_the_cache_does_not_move_with_the_working_folder(tmp_path, monkeypatch, variable):
    monkeypatch.delenv("NEUROPLAST_CACHE", raising=False)
    monkeypatch.setenv(variable, "here")
    monkeypatch.chdir(tmp_path)
    folder = cache_dir()
    assert folder.is_absolute() and folder.relative_to(tmp_path / "here")


def test_nothing_half_written_stays(first, cache):
    assert all(os.access(path, os.X_OK) for path in cache.iterdir() if path.is_file())


def compiler(tmp_path, text):
    path = tmp_path / "bad-compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    lines = 'for i in $(seq 1 60); do echo "line $i of the compiler" >&2; done; exit 1'
    monkeypatch.setenv("CXX", compiler(tmp_path, lines))
    monkeypatch.setenv("NEUROPLAST_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BuildError) as error:
        network()
    text = str(error.value)
    assert "exit status 1" in text and text.splitlines()[-1] == "line 60 of the compiler"
    assert "line 40 of the compiler" in text and "line 1 of the compiler" not in text
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert error.value.exit_code == 2


def test_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not have_compiler()
    with pytest.raises(BuildError, match=r"No C\+\+ compiler found.*Install one, or use target='numpy'"):
        network()


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "cache"
    monkeypatch.setenv("NEUROPLAST_CACHE", str(folder))
    with pytest.raises(BuildError, match=f"cache folder {folder} cannot be written.*Set NEUROPLAST_CACHE"):
        network()


def test_the_numpy_target_needs_no_compiler_and_no_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("NEUROPLAST_CACHE", str(tmp_path / "cache"))
    start("numpy", dt=1 * ms)
    A = Population(2, "dx/dt = -x/(10*ms) : 1", method="exact", name="A")
    A.x = 1
    state = Simulation(Schedule([Phase("run", [A], 5)]), namespace={}).run().state
    np.testing.assert_allclose(state["A.x"], np.exp(-0.5))
    assert not list(tmp_path.iterdir())
