"""The verifier on files with delay, stride and lookahead: right ones pass, wrong ones do not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from aligned_models import ALL

import rnnedge
from rnnedge.parity.spans import Spans
from rnnedge_runtime import Contract, Port, State

BY_NAME = {aligned.name: aligned for aligned in ALL}


def _verified(aligned):
    return rnnedge.verify(aligned.file(), aligned.module)


def _failed(report):
    return [check.name for check in report.checks if not check.passed]


@pytest.mark.parametrize("aligned", ALL, ids=lambda aligned: aligned.name)
def test_a_right_file_passes_and_every_question_is_asked(aligned):
    report = _verified(aligned)
    assert not _failed(report), str(report)
    asked = [check.name for check in report.checks]
    m = aligned.contract.chunk_multiple
    assert asked[:3] == [
        "whole sequence",
        "one frame at a time" if m == 1 else "2 frames at a time",
        "random chunks",
    ]
    assert ("random initial states" in asked) == (aligned.name == "recurrent")
    assert {"one row reset", "long run", "reset and replay"} <= set(asked)
    assert report.settings["chunk_multiple"] == m


def test_counting_states_are_judged_by_their_count():
    report = _verified(BY_NAME["lookahead"])
    assert "ok   state pos counts frames: advanced by 4 in 4 frames" in str(report)
    assert "ok   state len is handed on: unchanged by 2 frames" in str(report)
    assert "by their effect on outputs only: c1, c2; by their count of frames: pos, len" in str(
        report
    )


def test_a_hidden_state_is_compared_where_both_are_at_the_same_moment():
    report = _verified(BY_NAME["recurrent"])
    assert "1 of 3 states compared with the module's own" in str(report)
    late = BY_NAME["recurrent"]
    states = [replace(s, delay=2 if s.name == "gru.h" else 0) for s in late.contract.states]
    late = replace(late, contract=replace(late.contract, states=tuple(states)))
    report = _verified(late)
    assert not _failed(report)
    assert "0 of 3 states compared" in str(report)
    assert "random initial states" not in str(report)


@pytest.mark.parametrize("name", sorted(BY_NAME))
@pytest.mark.parametrize("by", [-1, 1])
def test_a_delay_that_is_one_off_fails(name, by):
    aligned = BY_NAME[name]
    wrong = aligned.changed(delay=aligned.contract.outputs[0].delay + by)
    assert {"whole sequence", "random chunks", "long run"} <= set(_failed(_verified(wrong)))


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_length_that_is_one_off_fails(name):
    aligned = BY_NAME[name]
    port = aligned.contract.outputs[0]
    steps = port.length or ((port.ratio.numerator, 0, port.ratio.denominator),)
    report = _verified(aligned.changed(length=(*steps, (1, -1, 1))))
    assert "whole sequence" in _failed(report)
    assert "FAIL whole sequence: output: shape [" in str(report)


def _rewired(aligned, result, index, name):
    """The same graph, one input of the node that makes `result` replaced."""
    nodes = [type(node).FromString(node.SerializeToString()) for node in aligned.nodes]
    next(node for node in nodes if result in node.output).input[index] = name
    return replace(aligned, nodes=nodes)


def test_edges_that_are_not_silent_fail():
    # Without the mask the second layer sees the first one's bias before and after the signal.
    wrong = _rewired(BY_NAME["lookahead"], "masked", 2, "active")
    assert "whole sequence" in _failed(_verified(wrong))


def test_a_position_that_stands_still_fails():
    nodes = [n for n in BY_NAME["lookahead"].nodes if "pos.next" not in n.output]
    nodes.append(type(nodes[0])(op_type="Identity", input=["pos"], output=["pos.next"]))
    report = _verified(replace(BY_NAME["lookahead"], nodes=nodes))
    assert "FAIL state pos counts frames: advanced by 0 in 3 frames" in str(report)


def test_a_length_that_is_not_handed_on_fails():
    wrong = _rewired(BY_NAME["lookahead"], "len.next", 0, "pos")
    assert "FAIL state len is handed on: changed by 2 frames" in str(_verified(wrong))


def test_a_delay_line_that_is_never_read_is_told_by_name():
    aligned = BY_NAME["recurrent"]
    wrong = _rewired(aligned, "late", 0, "x")
    report = _verified(_rewired(wrong, "late", 2, "to"))
    assert "state skip matters" in _failed(report)


def test_a_trial_outlasts_what_a_model_holds_but_not_patience():
    x = Port("x", "float32", ("batch", "time"), 0, 1)
    y = replace(x, name="y", delay=1000)
    context = State("c", "c", "c.next", "float32", ("batch", 4, 300), 0, "context")
    short = Spans.of(Contract("stream", (x,), (replace(y, delay=0),)))
    assert (short.frames, short.odd, short.long_run) == (37, None, 1000)
    held = Spans.of(Contract("stream", (x,), (y,), (context,), chunk_multiple=8))
    assert held.frames == 37 * 8 + 1000 + 8 * 300
    assert held.odd % 8 != 0
    assert held.long_run == 4 * (1000 + 8 * 300)
    endless = Spans.of(Contract("stream", (x,), (y,), (context,), chunk_multiple=480))
    assert (endless.frames, endless.frames % 480) == (49_920, 0)
    assert endless.long_run <= 200_000
    assert len(endless.batches) < len(short.batches)


@pytest.mark.slow
def test_a_wave_of_many_thousand_samples_is_judged_in_seconds():
    aligned = BY_NAME["stride"]
    context = replace(aligned.contract.states[0], delay=40_000)
    long = replace(aligned, contract=replace(aligned.contract, states=(context,)))
    started = time.perf_counter()
    report = _verified(long)
    assert report.passed
    assert report.settings["frames"] > 40_000
    assert time.perf_counter() - started < 60
