"""Steps in a row; tests are named after the rules of `unroll.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rnnedge.report.picture.model import Box, Edge, Picture
from rnnedge.report.picture.unroll import draw_unrolled, unroll
from rnnedge_runtime.errors import RnnEdgeError

CELL = Picture(
    (Box("x", "input", "x"), Box("gru", "module", "gru"), Box("y", "output", "y")),
    (
        Edge("x", "gru"),
        Edge("gru", "y"),
        Edge("x", "y", "delay 2"),
        Edge("gru", "gru", "h 4", is_state=True),
    ),
)


def ways(picture, *, states):
    return [(e.source, e.target) for e in picture.edges if e.is_state is states]


def test_each_step_is_a_copy_in_a_frame_of_its_own():
    frames = unroll(CELL, 3).frames()
    assert list(frames) == ["t", "t + 1", "t + 2"]
    assert all([box.title for box in boxes] == ["x", "gru", "y"] for boxes in frames.values())


def test_a_state_enters_the_next_step_and_begins_and_ends_outside():
    picture = unroll(CELL, 3)
    assert ways(picture, states=True) == [
        ("before:0", "gru@0"),
        ("gru@0", "gru@1"),
        ("gru@1", "gru@2"),
        ("gru@2", "after:0"),
    ]
    outside = [box.title for box in picture.boxes if not box.frame]
    assert outside == ["before", "after"]


def test_a_delay_line_enters_later_steps_only():
    delayed = [way for way in ways(unroll(CELL, 4), states=False) if way[0][0] + way[1][0] == "xy"]
    assert delayed == [("x@0", "y@2"), ("x@1", "y@3")]


def test_a_state_that_belongs_to_no_box_is_carried_past_all():
    picture = Picture((Box("s", "state", "s"),), (Edge("s", "s", "s 1", is_state=True),))
    assert unroll(picture, 3) == Picture((Box("s", "state", "s"),), ())


def test_the_command_prints_mermaid_text(gru_file: Path, call):
    ended = call("inspect", gru_file, "--unroll", 3)
    assert ended.code == 0
    assert ended.out == draw_unrolled(gru_file, 3)
    assert ended.out.startswith("flowchart TD\n")
    assert len(re.findall(r"subgraph", ended.out)) == 3
    assert ended.out.count("-.->") == 4
    assert ended.err.startswith("next: rnnedge inspect")


def test_a_file_without_state_is_refused(whole_file: Path, bare_file: Path, call):
    for file, why in ((whole_file, "carries no state"), (bare_file, "has no contract")):
        ended = call("inspect", file, "--unroll", 2)
        assert ended.code == 2
        assert f"there is nothing to unroll: the file {why}" in ended.err
    with pytest.raises(RnnEdgeError, match="nothing to unroll"):
        draw_unrolled(whole_file, 2)


@pytest.mark.parametrize("words", [("--json",), ("--clocks",), ("--graph", "-")])
def test_it_stands_alone(gru_file: Path, words, call):
    ended = call("inspect", gru_file, "--unroll", 2, *words)
    assert ended.code == 2
    assert "--unroll stands without --graph, --clocks and --json" in " ".join(ended.err.split())
