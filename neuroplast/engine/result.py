"""What a simulation's run leaves."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    """What a run leaves.

    Attributes
    ----------
    state : dict of str to array
        ``object.variable``: everything that is needed to go on from `position`.
    monitors : dict of str to dict of str to array
        Recordings by monitor and variable, each (records, recorded elements), where a `Recorder` has one element of
        what is shared; ``t`` is (records,), as is all that a `SpikeRecorder` has. The arrays are read-only; long ones
        are maps of files, read when they are used.
    position : int
        Phases and events done since the start of the schedule.
    """

    state: dict = field(repr=False)
    monitors: dict = field(repr=False)
    position: int
