"""CIFAR's binary version: records of one label (of two, in CIFAR-100) and the red, green and blue of an image."""

from __future__ import annotations

import gzip
import math
import shutil
import tarfile
import zlib

import numpy as np

from neuroplast.data.places import cache_folder
from neuroplast.data.unpacked import CHUNK, digest, making
from neuroplast.data.unusable import Unusable

LABELS = {"cifar10": 1, "cifar100": 2}  # of CIFAR-100, one of 20 coarse classes and then one of 100 fine ones


def read_cifar(found, known):
    """Features and labels of the two parts, mapped.

    A file that is the whole of a part is mapped where it is. Those of an archive, and the five of CIFAR-10, are put
    together once in the user's cache.

    Parameters
    ----------
    found : dict of str to Path
        The files, or ``"archive"``.
    known : neuroplast.data.sets.Known

    Returns
    -------
    train, train_labels, test, test_labels : memmaps of uint8
        Of CIFAR-100's labels, the fine ones.

    Raises
    ------
    InputError
        If a file is missing, damaged, or too short or long; or the user's cache cannot be written to.
    """
    names, first = list(known.layouts[0]), LABELS[known.name]
    length = first + math.prod(known.shape)
    n, m = sum(known.train), sum(known.test)
    sizes = dict.fromkeys(names[:-1], n // (len(names) - 1) * length) | {names[-1]: m * length}
    if "archive" in found:
        records = _mapped(_from_archive(found["archive"], sizes, length), length)
        train, test = records[:n], records[n:]
    else:
        for name, size in sizes.items():
            _check_size(found[name], found[name].stat().st_size, size, length)
        files = [found[name] for name in names]
        train = _mapped(_joined(files[:-1], known.name) if len(files) > 2 else files[0], length)
        test = _mapped(files[-1], length)
    return train[:, first:], train[:, first - 1], test[:, first:], test[:, first - 1]


def _mapped(path, length):
    try:
        return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, length)
    except OSError as err:
        raise Unusable(f"{path}: cannot be read ({err.strerror or err}).") from err


def _check_size(path, found, wanted, length):
    if found != wanted:
        what = "it is truncated" if found < wanted else "it holds something else"
        raise Unusable(
            f"{path}: should have {wanted} bytes, {wanted // length} records of {length}. It has {found}: {what}."
        )


def _joined(files, name):
    """One file with the content of several, in their order."""
    place = cache_folder() / "unpacked" / f"{digest(*files)}-{name}-train.bin"
    with making(place) as temporary:
        if temporary is not None:
            with open(temporary, "wb") as out:
                for file in files:
                    with open(file, "rb") as part:
                        shutil.copyfileobj(part, out, CHUNK)
    return place


def _from_archive(path, sizes, length):
    """One file with the content of the archive's files of these names and sizes, in their order."""
    place = cache_folder() / "unpacked" / f"{digest(path)}-{path.name.removesuffix('.tar.gz')}.bin"
    begins = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    with making(place) as temporary:
        if temporary is not None:
            with open(temporary, "wb") as out:
                for name, block in _members(path, sizes, length):
                    out.seek(begins[name])
                    out.write(block)
    return place


def _members(path, sizes, length):
    """Yield name and content of files in an archive; nothing is extracted to where the archive says."""
    missing = dict(sizes)
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    if member.isfile() and name in missing:
                        _check_size(f"{path}, {name}", member.size, missing.pop(name), length)
                        yield name, archive.extractfile(member).read()
            while stream.read(CHUNK):
                pass  # the checksum stands at the end
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as err:
        raise Unusable(
            f"{path}: should be a tar archive compressed by gzip, and is none or is damaged ({err})."
        ) from err
    if missing:
        raise Unusable(f"{path}: should hold {', '.join(sizes)}. Missing: {', '.join(missing)}.")
