"""CIFAR's binary version, from single files and from archives."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import archive, cifar_files, cifar_records, small_sets, write  # noqa: F401

from neuroplast import data
from neuroplast.engine import Dataset
from neuroplast.errors import InputError

NAMES = ["cifar10", "cifar100"]
ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
LABELS = {"cifar10": 1, "cifar100": 2}


def stored(name, how, files=None):
    files = cifar_files(name) if files is None else files
    return files if how == "files" else {ARCHIVES[name]: archive(files)}


@pytest.mark.parametrize("how", ["files", "archive"])
@pytest.mark.parametrize("name", NAMES)
def test_reads_records(small, name, how):
    folder = write(small / "here", stored(name, how))
    images, first = data.load(name, folder=folder), LABELS[name]
    for part, records in zip(("train", "test"), cifar_records(name), strict=True):
        np.testing.assert_array_equal(getattr(images, part), records[:, first:])
        np.testing.assert_array_equal(getattr(images, f"{part}_labels"), records[:, first - 1])
    assert images.shape == (3, 32, 32) and images.classes == len(np.unique(images.train_labels))
    assert images.scale == 1 / 255 and images.source == str(folder)


@pytest.mark.parametrize("how", ["files", "archive"])
@pytest.mark.parametrize("name", NAMES)
def test_is_presented_from_a_file(small, name, how, tmp_path):
    images = data.load(name, folder=write(small / "here", stored(name, how))).split(20)
    for part, records in (("train", cifar_records(name)[0][:-20]), ("test", cifar_records(name)[0][-20:])):
        target = Dataset(getattr(images, part), getattr(images, f"{part}_labels"))
        begin, stride, rows, path = target.write(tmp_path)["features"].split(",", 3)
        assert Path(path).is_relative_to(small / "here" if (name, how) == ("cifar100", "files") else small / "cache")
        content = Path(path).read_bytes()
        for row in range(int(rows)):
            at = int(begin) + row * int(stride)
            assert content[at : at + 3072] == records[row, LABELS[name] :].tobytes()
    assert not list(tmp_path.glob("*.features"))


def test_a_folder_within_is_found(small, monkeypatch):
    write(small / "mine" / "cifar-10-batches-bin", cifar_files("cifar10"))
    monkeypatch.setenv("NEUROPLAST_DATA", str(small / "mine"))
    assert data.present("cifar10") and not data.present("cifar100")
    assert data.load("cifar10").source == str(small / "mine" / "cifar-10-batches-bin")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", ["files", "archive"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content[:-1], "should have {size} bytes, .* records of {length}. It has .*: it is truncated"),
        (lambda content: content + b"0", "it holds something else"),
        (lambda content: b"", "It has 0: it is truncated"),
        (lambda content: bytes([200, 200]) + content[2:], "labels of {name} should lie from 0 to .* Number .* is 200"),
        (lambda content: bytes([1, 1]) * (len(content) // 2), "has . images of class . here. There are"),
    ],
)
def test_wrong_content_is_said(small, name, how, change, words):
    files, first = cifar_files(name), LABELS[name]
    victim = list(files)[-2]
    length = first + 3072
    words = words.format(size=len(files[victim]), length=length, name=name)
    files[victim] = change(files[victim])
    with pytest.raises(InputError, match=words) as caught:
        data.load(name, folder=write(small / "here", stored(name, how, files)))
    assert f"neuroplast data get {name}" in str(caught.value) and str(small / "here") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive({"data_batch_1.bin": cifar_files("cifar10")["data_batch_1.bin"]}), "Missing: data_batch_2.bin, data_"),
        (archive({}, links=list(cifar_files("cifar10"))), "Missing: data_batch_1.bin, data_batch_2.bin"),
        (b"", "should be a tar archive compressed by gzip"),
        (b"<html>", "should be a tar archive compressed by gzip"),
        (gzip.compress(b"nothing of the kind", mtime=0), "should be a tar archive compressed by gzip"),
        (archive(cifar_files("cifar10"))[:-9], "is damaged"),
        (archive(cifar_files("cifar10"))[:5000], "is damaged"),
    ],
)
def test_wrong_archives_are_said(small, content, words):
    folder = write(small / "here", {ARCHIVES["cifar10"]: content})
    with pytest.raises(InputError, match=words) as caught:
        data.load("cifar10", folder=folder)
    assert str(folder / ARCHIVES["cifar10"]) in str(caught.value)
    assert not list((small / "cache").rglob("*.bin"))


def test_what_an_archive_calls_its_files_is_no_path(small):
    content = archive(cifar_files("cifar10"), top=f"{small}/elsewhere/../..")
    folder = write(small / "here", {ARCHIVES["cifar10"]: content})
    data.load("cifar10", folder=folder)
    assert sorted(path.name for path in small.iterdir()) == ["cache", "here"]


def test_the_pickled_version_is_named(small):
    folder = write(small / "here", {"cifar-10-python.tar.gz": b"\x80\x04"})
    with pytest.raises(InputError, match="the version for Python, which is not read: get the binary one"):
        data.load("cifar10", folder=folder)


def test_a_missing_file_is_named(small):
    files = cifar_files("cifar10")
    del files["data_batch_3.bin"]
    with pytest.raises(InputError, match="here is incomplete, it lacks data_batch_3.bin"):
        data.load("cifar10", folder=write(small / "here", files))


WHOLE = archive(cifar_files("cifar10"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=3))
def test_damage_never_passes(small, at, some):
    content = WHOLE[:at] + some + WHOLE[at + len(some) :]
    folder = write(small / "here", {ARCHIVES["cifar10"]: content})
    try:
        images = data.load("cifar10", folder=folder)
    except InputError:
        return
    np.testing.assert_array_equal(images.train, cifar_records("cifar10")[0][:, 1:])
    np.testing.assert_array_equal(images.test, cifar_records("cifar10")[1][:, 1:])
