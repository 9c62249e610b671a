"""Cores, samples and their summary."""

from __future__ import annotations

import os
import statistics

# A sample taken while other processes had more of the core than this says little.
QUIET_SHARE = 0.95


def choose_core():
    """The last core that this process may use, or None where the system has no affinities."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def summarize(samples):
    """Median and spread of one contender's samples.

    Samples in which the contender got less than `QUIET_SHARE` of its core are left out if there are others:
    the choice depends on what else ran on the machine, not on how long the sample took.

    Parameters
    ----------
    samples : list of dict
        Each with "seconds" and "share".

    Returns
    -------
    dict
        median, low, high (smallest and largest) in seconds; kept, taken (numbers of samples).
    """
    quiet = [sample["seconds"] for sample in samples if sample["share"] >= QUIET_SHARE]
    used = quiet or [sample["seconds"] for sample in samples]
    return {
        "median": statistics.median(used),
        "low": min(used),
        "high": max(used),
        "kept": len(quiet),
        "taken": len(samples),
    }
