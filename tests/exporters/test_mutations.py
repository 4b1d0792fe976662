"""The comparison of stream and whole sequence fails when a pass is wrong by a little.

Each mutation breaks one thing in the passes, and one network that the comparison is run on has to
come out different. A mutation that went unnoticed would mean that the tests cannot see that error.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters.streaming import spare, stream, windows
from rnnedge_exporters.streaming.attention import Attentions
from rnnedge_exporters.streaming.history import History
from rnnedge_exporters.streaming.recurrent_state import Recurrence
from rnnedge_exporters.streaming.writer import Writer

from .driver import Lambda, Streamed

pytestmark = pytest.mark.slow

SPEC = "float32[batch, 4, time]"


def conv(span=3, **more):
    return nn.Conv1d(4, 4, span, **more)


def apart(x):
    i = torch.arange(x.shape[2])
    return i[:, None] - i[None, :]


def attend(m, x):
    scores = (x.transpose(1, 2) @ x).masked_fill((apart(x) < 0) | (apart(x) >= 4), -1e9)
    return (scores.softmax(-1) @ x.transpose(1, 2)).transpose(1, 2)


NETWORKS = {
    "causal": lambda: Lambda(lambda m, x: m.c(functional.pad(x, (2, 0))), c=conv()),
    "large padding": lambda: Lambda(
        lambda m, x: m.b(m.a(functional.pad(x, (4, 0))).tanh()), a=conv(), b=conv()
    ),
    "skip": lambda: Lambda(lambda m, x: x + m.c(x), c=conv(padding=1)),
    "twice ahead": lambda: Lambda(
        lambda m, x: m.b(m.a(x).tanh() + 1), a=conv(padding=1), b=conv(padding=1)
    ),
    "recurrent": lambda: Lambda(
        lambda m, x: m.rnn((m.a(x) + 1).transpose(1, 2))[0],
        a=conv(padding=1),
        rnn=nn.GRU(4, 4, batch_first=True),
    ),
    "u-net": lambda: Lambda(
        lambda m, x: m.up(m.down(functional.pad(x, (2, 0))))[..., : x.shape[-1]],
        down=conv(4, stride=2),
        up=nn.ConvTranspose1d(4, 4, 4, stride=2),
    ),
    "mirrored": lambda: Lambda(
        lambda m, x: m.c(functional.pad(x, (2, 2), mode="reflect")), c=conv(5)
    ),
    "attention": lambda: Lambda(attend),
    "sum": lambda: Lambda(lambda m, x: m.a(x).cumsum(2), a=conv(padding=1)),
}


def shorter_context(patch):
    original = Writer.extended

    def extended(self, origin, source, count, **more):
        joined = original(self, origin, source, count, **more)
        axis = self.clocks[source].place.axis
        # The oldest frame is lost: the one after it stands in its place.
        first = self.slice(origin, joined, axis, 1, 2)
        rest = self.slice(origin, joined, axis, 1, None)
        return self.call(origin, torch.ops.aten.cat.default, [first, rest], axis)

    patch.setattr(Writer, "extended", extended)


def missed_alignment(patch):
    patch.setattr(Writer, "delayed", lambda self, origin, source, by: self.value(source))


def state_not_fed_back(patch):
    patch.setattr(Writer, "end_state", lambda self, start, end: None)


def no_masks(patch):
    patch.setattr(Writer, "inside", lambda self, origin, source, fill, **sides: self.value(source))


def no_mask(side):
    def mutate(patch):
        original = Writer.inside

        def inside(self, origin, source, fill, **sides):
            return original(self, origin, source, fill, **{**sides, side: False})

        patch.setattr(Writer, "inside", inside)

    return mutate


def history_forgotten(patch):
    original = History.before_start

    def before_start(self, node, count, fill, delay=None):
        return torch.zeros_like(original(self, node, count, fill, delay))

    patch.setattr(History, "before_start", before_start)


def recurrence_not_held_back(patch):
    original = Recurrence.write

    def write(self, node, writer):
        early = dataclasses.replace(self.inputs, delay=0)
        return original(dataclasses.replace(self, inputs=early), node, writer)

    patch.setattr(Recurrence, "write", write)


def late_window(patch):
    original = windows.clock_window

    def clock_window(node, shape, inputs, length):
        timed = original(node, shape, inputs, length)
        clock = dataclasses.replace(timed.clock, delay=timed.clock.delay + 1)
        return timed._replace(clock=clock)

    patch.setattr("rnnedge_exporters.streaming.clocks.clock_window", clock_window)


def everything_is_spare(patch):
    patch.setattr(stream, "find_spare", lambda *args: dict.fromkeys(spare.find_spare(*args), 1000))


def edges_not_mirrored(patch):
    patch.setattr(windows, "mirrored", lambda node, source, extended, past, writer: extended)


def narrower_attention(patch):
    original = Attentions._window

    def window(self, node, scores):
        band = original(self, node, scores)
        tables = {mask: table[..., :-1] for mask, table in band.tables.items()}
        return dataclasses.replace(band, back=band.back - 1, tables=tables)

    patch.setattr(Attentions, "_window", window)


MUTATIONS = [
    (shorter_context, "causal"),
    (missed_alignment, "skip"),
    (state_not_fed_back, "causal"),
    (state_not_fed_back, "sum"),
    (no_masks, "twice ahead"),
    (no_mask("left"), "twice ahead"),
    (no_mask("right"), "twice ahead"),
    (no_mask("right"), "u-net"),
    (no_mask("left"), "sum"),
    (history_forgotten, "large padding"),
    (recurrence_not_held_back, "recurrent"),
    (late_window, "causal"),
    (late_window, "u-net"),
    (everything_is_spare, "twice ahead"),
    (edges_not_mirrored, "mirrored"),
    (narrower_attention, "attention"),
]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_is_its_stream_when_nothing_is_broken(name):
    torch.manual_seed(0)
    Streamed(NETWORKS[name](), SPEC).check(tolerance=1e-6)


@pytest.mark.parametrize(("mutate", "name"), MUTATIONS)
def test_a_pass_that_is_wrong_by_a_little_is_noticed(mutate, name, monkeypatch):
    torch.manual_seed(0)
    mutate(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        Streamed(NETWORKS[name](), SPEC).check(tolerance=1e-6)
