"""Ctrl-C on the command line: once to save and stop, again to stop at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path


class Interrupts:
    """What SIGINT does to a command.

    The first one raises KeyboardInterrupt, upon which a run ends its segments and saves them. The second one kills the
    compiled programs and processes under way, so that this takes no time; where there are none (the numpy target), or
    the third time, the process ends at once. What was saved before can be resumed in any case.
    """

    def __init__(self):
        self.times = 0

    def __call__(self, *_):
        """Handle a signal."""
        self.times += 1
        if self.times == 1:
            raise KeyboardInterrupt
        if not kill_children() or self.times > 2:
            sys.stderr.write("Stopped at once; what was saved before can be gone on with.\n")
            sys.stderr.flush()
            os._exit(130)


def install() -> None:
    """Let `Interrupts` handle SIGINT, before Brian2 puts its own handler around the one that is there.

    A shell starts processes in its background with SIGINT ignored; that is kept, by a function, since SIG_IGN is
    nothing that Brian2's handler could call.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    signal.signal(signal.SIGINT, ignore if ignored else Interrupts())


def ignore(*_) -> None:
    """Do nothing about a signal."""


def kill_children() -> bool:
    """Kill the processes that this one has started; whether there were any."""
    killed = False
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                # Without joblib's tracker of resources, which ends by itself, processes that end complain.
                if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
                    killed = True
    return killed
