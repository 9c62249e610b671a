"""The IDX reader: what it reads, and that nothing but InputError comes of any bytes."""

import gzip
import math
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import idx, small_sets  # noqa: F401

from neuroplast.data import unpacked
from neuroplast.data.idx import read_idx
from neuroplast.errors import InputError

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("array", [IMAGES, IMAGES[:1], np.array([7, 0, 255], np.uint8)])
def test_reads_what_was_written(small, end, array):
    path = small / f"file{end}"
    path.write_bytes(gzip.compress(idx(array), mtime=0) if end else idx(array))
    found = read_idx(path, array.ndim)
    np.testing.assert_array_equal(found, array)
    assert isinstance(found, np.memmap) and found.dtype == np.uint8 and found.mode == "r"
    assert Path(found.filename).is_relative_to(small / "cache" if end else path)


def test_reads_the_format_by_hand(small):
    path = small / "labels"
    path.write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03\x05\x00\x09")
    assert read_idx(path, 1).tolist() == [5, 0, 9]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header of 16 bytes. It has 0: it is truncated"),
        (idx(IMAGES)[:11], "header of 16 bytes. It has 11"),
        (idx(IMAGES)[:-1], "should have 76 bytes for 3 x 4 x 5 numbers. It has 75: it is truncated"),
        (idx(IMAGES) + b"\n", "It has 77: it is followed by something else"),
        (idx(IMAGES[:0]), "holds nothing: its header gives the sizes 0 x 4 x 5"),
        (idx(IMAGES[:, 0]) + bytes(9), "begin with 00 00 08 03"),
        (gzip.compress(idx(IMAGES), mtime=0), "compressed by gzip: its name should end in .gz"),
        (b"<!DOCTYPE html><html>404 not found", "begins with 3c 21 44 4f. Is it a web page?"),
        (struct.pack(">4B3I", 0, 0, 0x0D, 3, 3, 4, 5) + bytes(240), "begins with 00 00 0d 03"),
    ],
)
def test_says_what_a_plain_file_is(small, content, words):
    path = small / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value) and words in str(caught.value)


PACKED = gzip.compress(idx(IMAGES), mtime=0)
BOMB = struct.pack(">4B3I", 0, 0, 8, 3, 3, 4, 5) + bytes(1 << 24)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "It has 0: it is truncated"),
        (PACKED[:-9], "ends too early: it is truncated"),
        (PACKED[:-5] + b"0" + PACKED[-4:], "is damaged"),
        (idx(IMAGES), "should be compressed by gzip"),
        (gzip.compress(idx(IMAGES)[:-1], mtime=0), "should hold 76 bytes when decompressed. It holds 75 bytes"),
        (gzip.compress(BOMB, mtime=0), "should hold 76 bytes when decompressed. It holds more"),
    ],
)
def test_says_what_a_compressed_file_is(small, content, words):
    path = small / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value) and words in str(caught.value)
    assert not [left for left in (small / "cache").rglob("*") if left.is_file() and left.name != ".lock"]


def test_what_follows_the_last_block_is_noticed(small, monkeypatch):
    monkeypatch.setattr(unpacked, "CHUNK", IMAGES.size // 2)
    (small / "file.gz").write_bytes(gzip.compress(idx(IMAGES) + b"0", mtime=0))
    with pytest.raises(InputError, match="It holds more"):
        read_idx(small / "file.gz", 3)


def test_missing_and_folder(small):
    for path in (small / "nowhere", small):
        with pytest.raises(InputError, match="there is no such file"):
            read_idx(path, 1)


def read_or_refuse(content, rank, name="file"):
    """What the reader makes of a file with that content: an array, or None if it is refused."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        Path(folder, name).write_bytes(content)
        try:
            return np.array(read_idx(Path(folder, name), rank))
        except InputError:
            return None


arrays = st.integers(1, 3).flatmap(
    lambda rank: st.tuples(*[st.integers(1, 4)] * rank).flatmap(
        lambda shape: st.binary(min_size=math.prod(shape), max_size=math.prod(shape)).map(
            lambda data: np.frombuffer(data, np.uint8).reshape(shape)
        )
    )
)


@given(arrays, st.data())
def test_no_part_of_a_file_is_taken_for_it(array, data):
    content = idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    assert read_or_refuse(content[:cut], array.ndim) is None
    packed = gzip.compress(content, mtime=0)
    assert read_or_refuse(packed[: data.draw(st.integers(0, len(packed) - 1))], array.ndim, "file.gz") is None


@given(st.binary(max_size=64), st.sampled_from([1, 3]), st.sampled_from(["file", "file.gz"]))
def test_random_bytes_are_refused_or_are_what_they_say(content, rank, name):
    found = read_or_refuse(content, rank, name)
    if found is not None:
        assert idx(found) == (gzip.decompress(content) if name.endswith(".gz") else content)


@given(st.binary(max_size=40), st.sampled_from([1, 3]))
def test_random_sizes_are_refused_or_are_what_they_say(rest, rank):
    content = bytes([0, 0, 8, rank]) + rest
    found = read_or_refuse(content, rank)
    assert found is None or idx(found) == content


@given(arrays, st.data())
def test_no_flipped_bit_goes_unnoticed_in_a_compressed_file(array, data):
    packed = bytearray(gzip.compress(idx(array), mtime=0))
    at = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[at // 8] ^= 1 << at % 8
    found = read_or_refuse(bytes(packed), array.ndim, "file.gz")
    assert found is None or np.array_equal(found, array)
