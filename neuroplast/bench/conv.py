"""The benchmark of convolutional networks: steps of learning by neuroplast, and by eager PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroplast.bench.against_torch import CONTENDERS, Comparison
from neuroplast.bench.conv_problem import CASES, FILTERS, KERNEL
from neuroplast.bench.pepita_problem import write_images


def write_all(folder, rows, cases):
    """Images of each size that the cases have, in a folder called after the number of pixels."""
    for pixels in {int(np.prod(CASES[case][1])) for case in cases}:
        (Path(folder) / str(pixels)).mkdir()
        write_images(Path(folder) / str(pixels), rows, pixels)


STEPS = Comparison(
    bench="conv",
    title=f"µs per step, {FILTERS} filters of {KERNEL} x {KERNEL}, float32",
    targets=dict.fromkeys(CASES, 1.0),
    cost=300e-6,
    write=write_all,
)


def run(
    batches=(100,), threads=(1, 2), repeats=9, seconds=1.5, contenders=CONTENDERS, cases=tuple(CASES), json=None,
    rows=5000, console=None,
):  # fmt: skip
    """Measure, print tables and return what was measured: arguments, result and errors as of `neuroplast.bench.ap.run`.

    The cases are those of `neuroplast.bench.conv_problem.CASES`.
    """
    return STEPS.run(batches, threads, repeats, seconds, contenders, cases, json, rows, console)
