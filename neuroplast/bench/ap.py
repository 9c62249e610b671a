"""The benchmark of adjoint propagation: steps of learning by neuroplast, and by eager PyTorch."""

from __future__ import annotations

from neuroplast.bench.against_torch import CONTENDERS, Comparison
from neuroplast.bench.ap_problem import CASES, MODULES
from neuroplast.bench.pepita_problem import write_images

STEPS = Comparison(
    bench="ap",
    title=f"µs per step, {MODULES} modules of 1024, float32",
    targets={"STE 8-8": 1.5, "EPE 8-4": 1.5, "plastic": 1.0},
    cost=500e-6,
    write=lambda folder, rows, cases: write_images(folder, rows),
)


def run(
    batches=(500,), threads=(1, 2), repeats=9, seconds=1.5, contenders=CONTENDERS, cases=tuple(CASES), json=None,
    rows=10000, console=None,
):  # fmt: skip
    """Measure, print tables and return what was measured.

    Each contender lives in a process of its own, pinned on as many cores as it has threads, and they take turns. Before
    that all of them learn three batches, and have to have learned the same.

    Parameters
    ----------
    batches, threads : sequence of int
        Numbers of images in a batch and of threads; those of which there are more than cores are left out.
    repeats : int
        Samples of each.
    seconds : float
        About what a sample takes.
    contenders : sequence of str
        Of `CONTENDERS`.
    cases : sequence of str
        Of `neuroplast.bench.ap_problem.CASES`.
    json : path, optional
        File for the result, samples included.
    rows : int
        Images.
    console : rich.console.Console, optional

    Returns
    -------
    dict
        processor : str; rows : one per number of threads, case, batch and contender with the seconds per step (see
        `neuroplast.bench.timing.summarize`) or `error`; ratios : one per number of threads, case and batch, with
        PyTorch's time over neuroplast's and the `target`; memory : by contender, what an epoch of the first case needs
        in bytes; about : what contenders say of themselves.

    Raises
    ------
    InputError
        If an argument is none of the allowed values or `json` is in no existing folder.
    BuildError
        If neuroplast's own step cannot be run, or a contender computes something else.
    """
    return STEPS.run(batches, threads, repeats, seconds, contenders, cases, json, rows, console)
