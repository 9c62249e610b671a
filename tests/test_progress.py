"""Progress: what is told to people and to machines, and how long it will take."""

import json
from io import StringIO

import pytest
from rich.console import Console

from neuroplast.progress import Note, Progress


def test_each_step_is_an_object_per_line():
    lines = StringIO()
    progress = Progress("toy", lines=lines)
    progress.add("a", 10, group="x")
    progress.add("b", 30, group="x")
    progress.advance("a", 5, 2.0, Note("trial 5, loss 0.1", 5, "loss", 0.1))
    progress.advance("b", 30, 0.1, Note("trial 30, loss nan", 30, "loss", float("nan")))
    progress.say("two\nlines")
    first, second, third = map(json.loads, lines.getvalue().splitlines())
    assert first == {
        **{"event": "progress", "protocol": "toy", "task": "a", "position": 5, "total": 10, "fraction": 0.125},
        **{"done": 0, "tasks": 2, "note": "trial 5, loss 0.1", "trial": 5, "metric": "loss", "value": 0.1},
        "seconds_left": 14.0,  # 35 positions at 2.5 per second
    }
    assert (second["done"], second["value"], second["seconds_left"]) == (1, None, 2.0)
    assert third == {"event": "message", "protocol": "toy", "text": "two\nlines"}


def test_what_is_begun_again_tells_no_speed():
    progress = Progress()
    progress.add("a", 1)
    progress.advance("a", 0.5, 1.0)
    progress.advance("a", 0.1, 1.0)  # on another machine
    assert progress.seconds_left() == pytest.approx(0.9 / 0.5)


def test_a_whole_task_tells_the_speed_of_its_kind():
    progress = Progress()
    for label in ("a", "b"):
        progress.add(label, 1, group="x")
    progress.advance("a", 0.9, 0.6)
    progress.end("a", 20.0, "done")
    assert progress.seconds_left() == pytest.approx(20.0)


def test_without_a_terminal_there_are_plain_lines():
    console = Console(file=StringIO(), width=200)
    with Progress("toy", console) as progress:
        progress.add("a", 2)
        progress.advance("a", 1, 3.0, Note("trial 1, loss 0.5", 1, "loss", 0.5))
        progress.advance("a", 2, 3.0, Note("trial 2, loss 0.25", 2, "loss", 0.25))
    shown = console.file.getvalue().splitlines()
    assert shown == ["toy: 50%, trial 1, loss 0.5, about 3 s left", "toy: 100%, trial 2, loss 0.25"]
