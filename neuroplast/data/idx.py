"""The IDX format of MNIST: four bytes that tell the type and the rank, the sizes, the numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from neuroplast.data.unpacked import unpacked
from neuroplast.data.unusable import Unusable

UINT8 = 0x08


def read_idx(path, rank: int) -> np.memmap:
    """Array of unsigned bytes in an IDX file, mapped.

    Parameters
    ----------
    path : str or path
        A file that ends in .gz is decompressed once into the user's cache.
    rank : int
        Number of dimensions: 3 for images, 1 for labels.

    Returns
    -------
    array : memmap of uint8
        Read-only.

    Raises
    ------
    InputError
        If the file is missing, compressed under another name, no IDX file of that rank, empty, truncated, longer than
        its header says, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise Unusable(f"{path}: there is no such file.")
    begin = 4 + 4 * rank
    plain = path
    if path.name.endswith(".gz"):
        plain = unpacked(path, begin, lambda head: begin + math.prod(_sizes(path, head, rank)))
    try:
        with open(plain, "rb") as file:
            sizes = _sizes(path, file.read(begin), rank)
        wanted, found = begin + math.prod(sizes), plain.stat().st_size
        if found != wanted:
            what = "truncated" if found < wanted else "followed by something else"
            shape = " x ".join(map(str, sizes))
            raise Unusable(f"{path}: should have {wanted} bytes for {shape} numbers. It has {found}: it is {what}.")
        return np.memmap(plain, dtype=np.uint8, mode="r", offset=begin, shape=sizes)
    except OSError as err:
        raise Unusable(f"{path}: cannot be read ({err.strerror or err}).") from err


def _sizes(path, head, rank):
    """Sizes of the dimensions, from a header."""
    wanted = bytes([0, 0, UINT8, rank])
    if len(head) < 4 + 4 * rank:
        raise Unusable(
            f"{path}: should begin with a header of {4 + 4 * rank} bytes. It has {len(head)}: it is truncated."
        )
    if head[:4] != wanted:
        hints = {b"\x1f\x8b": "It is compressed by gzip: its name should end in .gz.", b"<": "Is it a web page?"}
        hint = next((f" {text}" for start, text in hints.items() if head.startswith(start)), "")
        raise Unusable(
            f"{path}: should begin with {wanted.hex(' ')} (an IDX file of unsigned bytes in {rank} dimensions). It "
            f"begins with {head[:4].hex(' ')}.{hint}"
        )
    sizes = tuple(int.from_bytes(head[at : at + 4], "big") for at in range(4, len(head), 4))
    if 0 in sizes:
        raise Unusable(f"{path}: holds nothing: its header gives the sizes {' x '.join(map(str, sizes))}.")
    return sizes
