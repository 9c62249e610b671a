"""Small files in the formats of the data sets, and a place for them in which nothing else is found."""

import dataclasses
import gzip
import io
import struct
import tarfile

import numpy as np
import pytest

from neuroplast.data import places, sets

# Images of each class: few, and not the same for two data sets of one format.
COUNTS = {
    "mnist": ((3, 4, 2, 3, 3, 3, 3, 3, 3, 3), (1,) * 10),
    "fashion-mnist": ((3,) * 10, (1,) * 10),
    "cifar10": ((4,) * 10, (1,) * 10),
    "cifar100": ((2,) * 100, (1,) * 100),
}
STEMS = {"train": "train", "test": "t10k"}


@pytest.fixture(name="small")
def small_sets(monkeypatch, tmp_path):
    """The data sets with few images, folders that are empty, and no address to download from."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(places.FOLDER, raising=False)
    monkeypatch.setattr(places, "SYSTEM", tmp_path / "system")
    for name, (train, test) in COUNTS.items():
        known = dataclasses.replace(sets.SETS[name], train=train, test=test, mirrors=())
        monkeypatch.setitem(sets.SETS, name, known)
    return tmp_path


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts)).astype(np.uint8)


def idx(array):
    """Content of an IDX file of bytes."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def idx_arrays(name, seed=0):
    """Images and labels of both parts of a small data set."""
    arrays, rng = {}, np.random.default_rng(seed)
    for part, counts in zip(("train", "test"), COUNTS[name], strict=True):
        arrays[part] = rng.integers(0, 256, (sum(counts), 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = labels_of(counts, seed)
    return arrays


def idx_files(name, end=".gz", seed=0):
    """Name and content of each file."""
    files = {}
    for part, array in idx_arrays(name, seed).items():
        stem = STEMS[part.removesuffix("_labels")]
        kind = "labels-idx1" if "labels" in part else "images-idx3"
        content = idx(array)
        files[f"{stem}-{kind}-ubyte{end}"] = gzip.compress(content, mtime=0) if end else content
    return files


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def cifar_records(name, seed=0):
    """Records of both parts: arrays of shape (n, labels + 3072)."""
    rng, parts = np.random.default_rng(seed), []
    for counts in COUNTS[name]:
        fine = labels_of(counts, seed)[:, None]
        labels = np.hstack([fine // 5, fine]) if name == "cifar100" else fine
        parts.append(np.hstack([labels, rng.integers(0, 256, (len(fine), 3072), dtype=np.uint8)]))
    return parts


def cifar_files(name, seed=0):
    """Name and content of each file of the binary version."""
    train, test = cifar_records(name, seed)
    if name == "cifar100":
        return {"train.bin": train.tobytes(), "test.bin": test.tobytes()}
    files = {f"data_batch_{i + 1}.bin": rows.tobytes() for i, rows in enumerate(np.split(train, 5))}
    return files | {"test_batch.bin": test.tobytes()}


def archive(files, top="cifar-10-batches-bin", links=()):
    """A tar archive, compressed by gzip, in another order than that of the names; `links` are symbolic ones."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in links:
            info = tarfile.TarInfo(f"{top}/{name}")
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
        for name in ["readme.html", *reversed(files)]:
            content = files.get(name, b"<html>")
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
