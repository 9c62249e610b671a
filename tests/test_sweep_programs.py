"""One program for the whole sweep: built once, sized to the longest, though its points start at the same time."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest

from neuroplast.errors import Resized
from neuroplast.experiment import Run
from neuroplast.progress import Progress
from neuroplast.runs import RunFolder
from neuroplast.sweep import run_sweep

TESTS = Path(__file__).parent


def test_each_program_is_compiled_once(tmp_path, monkeypatch):
    log, wrapper = tmp_path / "log", tmp_path / "c++"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shutil.which("g++") or shutil.which("c++")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("CXX", str(wrapper))
    monkeypatch.setenv("NEUROPLAST_CACHE", str(tmp_path / "cache"))
    settings = ["period=20*ms,40*ms", "N=4", "trials=3", "nets=1"]
    sweep = run_sweep("rflo_periodic", settings=settings, out=tmp_path / "sweep", jobs=2, target="cpp")
    assert sweep.exit_code == 0
    links = [line for line in log.read_text().splitlines() if " -o " in line and " -c " not in line]
    assert len(links) == 2  # one for each rule
    assert sweep.programs == "2 programs served 2 points (2 built, 0 found)"
    records = [json.loads(path.read_text()) for path in (tmp_path / "sweep").glob("*/run.json")]
    programs = [record["programs"] for record in records]
    assert (
        programs[0].keys()
        == programs[1].keys()
        == {path.name for path in (tmp_path / "cache").iterdir() if path.is_file()}
    )
    assert sorted(how for each in programs for how in each.values()) == ["built", "built", "found", "found"]
    assert {record["sizes"]["samples"] for record in records} == {40}


def test_the_largest_of_a_sweep_and_not_another_when_resumed(tmp_path):
    with RunFolder.open(tmp_path / "run", {"protocol": "toy"}) as folder:
        run = Run(folder, 0, "numpy", 1, False, Progress("toy"), others=(3, 5, 4))
        assert run.largest("samples", 2, lambda p: 10 * p) == 50
        assert folder.record["sizes"] == {"samples": 50}
    with RunFolder.open(tmp_path / "run", {"protocol": "toy"}, resume=True) as folder:
        run = Run(folder, 0, "numpy", 1, False, Progress("toy"))
        assert run.largest("samples", 5, lambda p: 10 * p) == 50
        with pytest.raises(Resized, match="made for samples up to 50, and now they are for 60"):
            run.largest("samples", 6, lambda p: 10 * p)


def test_a_half_done_point_of_another_size_is_begun_anew(tmp_path):
    for name in ("toy_learning.py", "fakes.py"):
        text = (TESTS / name).read_text()
        largest = 'run.largest("trials", parameters, lambda p: p.trials)\n    run.note('
        (tmp_path / name).write_text(text.replace("run.note(", largest))
    toy, out, lines = str(tmp_path / "toy_learning.py"), tmp_path / "sweep", StringIO()
    options = {"out": out, "jobs": 1, "quick": True, "target": "numpy"}
    run_sweep(toy, settings=["trials=4"], **options)
    file = out / "trials=4_seed=0" / "run.json"
    record = json.loads(file.read_text())
    assert record["sizes"] == {"trials": 4}
    file.write_text(json.dumps(record | {"status": "interrupted"}))
    run_sweep(toy, settings=["trials=2,4"], **options)  # no longer than before: it goes on
    assert len(json.loads(file.read_text())["resumed"]) == 1
    file.write_text(json.dumps(record | {"status": "interrupted"}))
    run_sweep(toy, settings=["trials=4,6"], progress=Progress("toy", lines=lines), **options)
    anew = json.loads(file.read_text())
    assert (anew["status"], anew["sizes"], anew["resumed"]) == ("done", {"trials": 6}, [])
    assert "begun anew, since its models are made for another size" in lines.getvalue()
