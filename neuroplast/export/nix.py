"""A run as one NIX file, by Neo."""

from __future__ import annotations

import contextlib
from pathlib import Path

from neuroplast.export.series import BLOCK, Contents
from neuroplast.export.to_neo import LARGEST_WEIGHTS, block_of
from neuroplast.files import written_through


def write(contents: Contents, path: Path, *, say) -> None:
    """Write the file.

    Neo holds all data in memory, and so is the file made there: on a full disk HDF5 would neither finish a file nor let
    go of it.

    Parameters
    ----------
    contents : Contents
    path : pathlib.Path
    say : callable
        Takes lines about what is left out.
    """
    from neo.io import NixIO

    block = block_of(contents, largest_weights=LARGEST_WEIGHTS, say=say)
    with written_through(path) as sink:
        with _in_memory(), contextlib.closing(NixIO(str(path), mode="ow")) as io:
            io.write_block(block, use_obj_names=False)
            file = io.nix_file._h5file
            file.flush()
            image = memoryview(file.id.get_file_image())
        for start in range(0, len(image), BLOCK):
            sink.write(image[start : start + BLOCK])
            sink.check()


@contextlib.contextmanager
def _in_memory():
    """Let nixio make its files in memory; it has no option for that."""
    from nixio import file as nixio_file

    original = nixio_file.make_fapl

    def make_fapl():
        properties = original()
        properties.set_fapl_core(block_size=BLOCK, backing_store=False)
        return properties

    nixio_file.make_fapl = make_fapl
    try:
        yield
    finally:
        nixio_file.make_fapl = original
