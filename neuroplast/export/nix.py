"""A run as one NIX file, by Neo."""

from __future__ import annotations

import contextlib
from pathlib import Path

from neuroplast.files import written_whole
from neuroplast.export.series import Contents
from neuroplast.export.to_neo import LARGEST_WEIGHTS, block_of


def write(contents: Contents, path: Path, *, say) -> None:
    """Write the file.

    Parameters
    ----------
    contents : Contents
    path : pathlib.Path
    say : callable
        Takes lines about what is left out.
    """
    from neo.io import NixIO

    block = block_of(contents, largest_weights=LARGEST_WEIGHTS, say=say)
    with written_whole(path) as temporary, contextlib.closing(NixIO(str(temporary), mode="ow")) as io:
        io.write_block(block, use_obj_names=False)
