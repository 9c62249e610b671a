"""A run's folder: made or taken up, never overwritten, used by one process at a time."""

import json
import subprocess

import pytest

from neuroplast import files
from neuroplast.errors import InputError
from neuroplast.files import remove_leftovers, write_json, written_whole
from neuroplast.runs import RunFolder, compiler_version, environment, git_commit

IDENTITY = {
    "protocol": "toy",
    "seed": 0,
    "target": "numpy",
    "parameters": {
        "tau": {"value": "10*ms", "si": 0.01, "unit": "s", "doc": ""},
        "eta": {"value": "0.1", "si": 0.1, "unit": "", "doc": ""},
    },
}


def record(path):
    return json.loads((path / "run.json").read_text())


def with_eta(value):
    eta = {"value": str(value), "si": value, "unit": "", "doc": ""}
    return IDENTITY | {"parameters": IDENTITY["parameters"] | {"eta": eta}}


def test_a_new_run_is_described(tmp_path):
    path = tmp_path / "runs" / "toy-0"
    with RunFolder.open(path, IDENTITY) as folder:
        assert not folder.resumed
        assert record(path)["status"] == "running"
        folder.end("done", claims=[])
    written = record(path)
    assert {key: written[key] for key in IDENTITY} == IDENTITY
    assert written["status"] == "done"
    assert written["claims"] == []
    assert written["started"] <= written["ended"]
    assert set(written["environment"]["versions"]) >= {"python", "brian2", "numpy", "neuroplast"}
    assert written["seconds"] >= 0


def test_a_run_is_never_overwritten(tmp_path):
    with RunFolder.open(tmp_path, IDENTITY) as folder:
        folder.end("done")
    with pytest.raises(InputError, match="already holds a run.*done.*--resume.*--out DIR"):
        RunFolder.open(tmp_path, IDENTITY)
    assert record(tmp_path)["status"] == "done"


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_with_something_else_is_refused(tmp_path, resume):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        RunFolder.open(tmp_path, IDENTITY, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_resuming_without_a_run_begins(tmp_path):
    with RunFolder.open(tmp_path / "new", IDENTITY, resume=True) as folder:
        assert not folder.resumed
        assert folder.record["status"] == "running"


def test_a_run_killed_before_its_record_stood_can_begin_again(tmp_path):
    (tmp_path / "run.json.tmp").write_text("{")
    with RunFolder.open(tmp_path, IDENTITY):
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_resumed_run_keeps_when_it_started(tmp_path):
    with RunFolder.open(tmp_path, IDENTITY) as folder:
        folder.update(started="2020-01-01T00:00:00+00:00")
        folder.end("interrupted")
    with RunFolder.open(tmp_path, IDENTITY, resume=True) as folder:
        assert folder.resumed
        assert folder.record["started"] == "2020-01-01T00:00:00+00:00"
        assert len(folder.record["resumed"]) == 1
        assert folder.record["status"] == "running"


def test_resuming_with_other_values_lists_what_differs(tmp_path):
    RunFolder.open(tmp_path, IDENTITY).close()
    with pytest.raises(InputError) as caught:
        RunFolder.open(tmp_path, with_eta(0.3) | {"seed": 1}, resume=True)
    message = str(caught.value)
    assert "seed: 0 then, 1 now" in message
    assert "eta: 0.1 then, 0.3 now" in message
    assert "tau" not in message
    fewer = IDENTITY | {"parameters": {"tau": IDENTITY["parameters"]["tau"]}}
    with pytest.raises(InputError, match="eta: 0.1 then, absent now"):
        RunFolder.open(tmp_path, fewer, resume=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/run: this folder.*Not a directory.*--out DIR"):
        RunFolder.open(tmp_path / "file" / "run", IDENTITY)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(InputError, match="run.json: cannot be written.*No space left.*--out DIR"):
        RunFolder.open(tmp_path, IDENTITY)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_share_a_folder(tmp_path):
    with RunFolder.open(tmp_path, IDENTITY):
        with pytest.raises(InputError, match="another process is running there"):
            RunFolder.open(tmp_path, IDENTITY, resume=True)
    RunFolder.open(tmp_path, IDENTITY, resume=True).close()


def test_a_refused_folder_is_let_go_of(tmp_path):
    RunFolder.open(tmp_path, IDENTITY).close()
    with pytest.raises(InputError):
        RunFolder.open(tmp_path, IDENTITY)
    RunFolder.open(tmp_path, IDENTITY, resume=True).close()


def test_only_an_unused_folder_is_discarded(tmp_path):
    with RunFolder.open(tmp_path / "a", IDENTITY) as folder:
        assert folder.discard_if_unused()
    assert not (tmp_path / "a").exists()
    with RunFolder.open(tmp_path / "b", IDENTITY) as folder:
        (tmp_path / "b" / "nets").mkdir()
        assert not folder.discard_if_unused()
    assert (tmp_path / "b" / "run.json").exists()


def test_a_broken_record_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="run.json: cannot be read"):
        RunFolder.open(tmp_path, IDENTITY, resume=True)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, [1])
    with pytest.raises(ZeroDivisionError):
        with written_whole(path) as temporary:
            temporary.write_text("half")
            1 / 0  # noqa: B018
    assert json.loads(path.read_text()) == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_leftovers_are_removed_at_any_depth(tmp_path):
    (tmp_path / "nets" / "a").mkdir(parents=True)
    (tmp_path / "nets" / "a" / "state.npz.tmp").write_text("")
    (tmp_path / "nets" / "a" / "state.npz").write_text("")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["state.npz"]


def test_the_commit_is_that_of_tracked_sources_only(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "__init__.py").write_text("")
    assert git_commit(tmp_path) is None
    git("init", "-q")
    assert git_commit(tmp_path) is None  # in a repository that does not track it
    git("add", ".")
    git("commit", "-q", "-m", "Begin")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "__init__.py").write_text("changed")
    assert git_commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_the_environment_names_versions_and_compiler(tmp_path):
    assert environment()["versions"]["h5netcdf"][0].isdigit()
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'toy c++ 1.0'\necho more\n")
    compiler.chmod(0o755)
    assert compiler_version(str(compiler)) == f"{compiler}: toy c++ 1.0"
    assert compiler_version(None) is None
