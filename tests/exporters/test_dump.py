"""The clocks of a module as rows: what each tensor's frames are in the stream."""

import json
import re

import pytest
import torch
from torch import nn

from rnnedge_exporters import StreamingError, analyse, convert
from rnnedge_exporters.streaming.dump import Row

X = {"x": "float32[batch, time, 6]"}


class Net(nn.Module):
    """Halves the rate, looks two of the slower frames ahead, and meets the earlier branch."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv1d(6, 8, 4, stride=2)
        self.gru = nn.GRU(8, 8, batch_first=True)
        self.ahead = nn.Conv1d(8, 8, 5, padding=2)

    def forward(self, x):
        x = nn.functional.pad(x.transpose(1, 2), (2, 0))
        y = self.gru(self.down(x).transpose(1, 2))[0].transpose(1, 2)
        return y + self.ahead(y)


class Early(nn.Module):
    def forward(self, x):
        y = torch.relu(x)
        return y.softmax(1).cos()


@pytest.fixture(scope="module")
def found():
    return analyse(Net(), X)


def by_place(rows: tuple[Row, ...]) -> dict[tuple[str, str], Row]:
    return {(row.module, row.operator): row for row in rows}


def test_a_row_says_rate_delay_length_and_what_is_kept(found):
    assert found.refusal is None
    rows = by_place(found.rows)
    # Window of 4, stride 2, 2 frames of padding: (T + 2 - 4) // 2 + 1 windows, 2 frames of past.
    down = rows["down", "conv1d"]
    assert (down.rate, down.delay, down.length) == ("1/2", 0, "floor(T / 2)")
    assert (down.flow, down.plan, down.edges) == ("frames", "context of 2", "")
    assert (rows["ahead", "conv1d"].delay, rows["ahead", "conv1d"].plan) == (2, "context of 4")
    assert (rows["", "add"].delay, rows["", "add"].plan) == (2, "delay line of 2")
    assert rows["gru", "gru"].plan == "state"
    pad = rows["", "pad"]
    assert (pad.delay, pad.length, pad.plan) == (-2, "T + 2", "padded by 2 before and 0 after")
    assert rows["", "input x"].shape == ("batch", "time", 6)


def test_shapes_name_batch_and_time_not_the_tracers_symbols(found):
    shapes = [str(size) for row in found.rows for size in row.shape]
    assert {"batch", "time", "time + 2", "time//2"} <= set(shapes)
    assert not [size for size in shapes if re.search(r"\bs\d+\b", size)]


@pytest.mark.slow
def test_time_is_named_where_the_tracer_counts_frames_in_groups():
    class Groups(nn.Module):
        def forward(self, x):
            return x.unflatten(1, (-1, 8)).sum(2)

    rows = analyse(Groups(), X).rows
    assert rows[0].shape == ("batch", "time", 6)
    assert rows[-1].shape == ("batch", "time/8", 6)
    assert rows[-1].rate == "1/8"


def test_a_row_points_to_the_users_line(found):
    line = by_place(found.rows)["ahead", "conv1d"].line
    assert re.fullmatch(r"test_dump\.py:\d+: return y \+ self\.ahead\(y\)", line)


def test_clocks_are_shown_up_to_the_operator_that_is_refused():
    found = analyse(Early(), X)
    assert [row.operator for row in found.rows] == ["input x", "relu"]
    assert found.refusal is not None
    assert "softmax" in found.refusal.what


def test_a_network_that_is_refused_after_its_clocks_shows_all_of_them():
    class Edge(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x.transpose(1, 2), (2, 2), mode="reflect")

    found = analyse(Edge(), X)
    assert found.rows[-1].edges == "reflect 2, 2"
    assert found.refusal is not None
    assert "the signal's own frames" in found.refusal.what


def test_without_time_there_is_nothing_to_show():
    with pytest.raises(StreamingError, match="no input has an axis named 'time'"):
        analyse(nn.Linear(6, 2), {"input": "float32[batch, 6]"})


@pytest.mark.slow
def test_a_refusal_names_batch_and_time():
    class Folded(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2).reshape(x.shape[0], -1, 6)[:, ::2].relu()

    class Both(nn.Module):
        def forward(self, x):
            return x.flatten(0, 1).unfold(0, 3, 1)

    for module in (Folded(), Both()):
        with pytest.raises(StreamingError) as error:
            convert(module, X)
        assert not re.search(r"\bs\d+\b", error.value.what), error.value.what


@pytest.mark.slow
def test_a_file_holds_the_rows_without_lines(found):
    stored = json.loads(convert(Net(), X).metadata["rnnedge.clocks"])
    assert stored["version"] == 1
    rows = [dict(zip(stored["columns"], row, strict=True)) for row in stored["rows"]]
    assert "line" not in rows[0]
    expected = found.rows
    assert [row["plan"] for row in rows] == [row.plan for row in expected]
    assert [row["delay"] for row in rows] == [row.delay for row in expected]
    assert "rnnedge.clocks" not in convert(Net(), X, mode="sequence").metadata
