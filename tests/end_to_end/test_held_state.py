"""State that a module holds becomes explicit; the judge is the module itself, called in chunks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import rnnedge
import rnnedge_runtime
from rnnedge_exporters import CaptureError, StreamingError, convert

X = "float32[batch, time, 4]"


class Held(nn.Module):
    """A GRU whose state is an attribute: nothing first, then a tensor."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, 2, batch_first=True)
        self.hidden = None

    def forward(self, x):
        y, hidden = self.gru(x, self.hidden)
        self.hidden = hidden.detach()
        return y


class Class(Held):
    """Its state is an attribute of the class until the first call."""

    hidden = None

    def __init__(self):
        super().__init__()
        del self.hidden


class InDict(nn.Module):
    """An LSTM whose two states are in a dict."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.memory = {}

    def forward(self, x):
        y, self.memory["lstm"] = self.lstm(x, self.memory.get("lstm"))
        return y


class InObject(nn.Module):
    class Cache:
        h = None

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.cache = self.Cache()

    def forward(self, x):
        y, self.cache.h = self.gru(x, self.cache.h)
        return y


class Buffer(nn.Module):
    """A causal convolution with its past in a buffer that starts from a trained value."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 3)
        self.register_buffer("past", torch.randn(1, 4, 2))

    def forward(self, x):
        frames = torch.cat([self.past.expand(x.shape[0], -1, -1), x.transpose(1, 2)], 2)
        self.past = frames[:, :, -2:]
        return self.conv(frames).transpose(1, 2)


class InPlace(nn.Module):
    """Its buffer is written to in place, part by part."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 4)
        self.register_buffer("past", torch.zeros(1, 4, 3))

    def forward(self, x):
        frames = torch.cat([self.past, x.transpose(1, 2)], 2)
        self.past[:, :, :2] = frames[:, :, -3:-1]
        self.past[:, :, 2] = frames[:, :, -1]
        return self.conv(frames).transpose(1, 2)


class Started(nn.Module):
    """A flag says that the state is to be set to zeros, whatever it was."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.started, self.hidden = False, torch.ones(1, 1, 6)

    def forward(self, x):
        if not self.started:
            self.hidden, self.started = torch.zeros(1, x.shape[0], 6), True
        y, self.hidden = self.gru(x, self.hidden)
        return y


class Remembers(nn.Module):
    """Beside its state it keeps what nobody reads."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.hidden = self.last_output = None

    def forward(self, x):
        y, self.hidden = self.gru(x, self.hidden)
        self.last_output = y
        return y


class OneFrame(nn.Module):
    """Sees one frame; its cells' states are attributes."""

    def __init__(self):
        super().__init__()
        self.gru, self.lstm = nn.GRUCell(4, 6), nn.LSTMCell(6, 5)
        self.h = self.hc = None

    def forward(self, x):
        self.h = self.gru(x, self.h)
        self.hc = self.lstm(self.h, self.hc)
        return self.hc[0]


KINDS = {
    Held: ["hidden_l0", "hidden_l1"],
    Class: ["hidden_l0", "hidden_l1"],
    InDict: ["memory.lstm.0", "memory.lstm.1"],
    InObject: ["cache.h"],
    Buffer: ["past"],
    InPlace: ["past"],
    Started: ["hidden"],
    Remembers: ["hidden"],
    OneFrame: ["h", "hc.0", "hc.1"],
}


def made(kind):
    torch.manual_seed(3)
    return kind().eval()


def spec_of(kind):
    if kind is OneFrame:
        return "float32[batch, 4]"
    return "float32[1, time, 4]" if kind is InPlace else X


def called(module, chunks):
    """What the module gives for chunks in a row, one frame at a time where it sees one only."""
    with torch.no_grad():
        if isinstance(module, OneFrame):
            frames = torch.cat([torch.from_numpy(c) for c in chunks], 1).unbind(1)
            return torch.stack([module(frame) for frame in frames], 1).numpy()
        return torch.cat([module(torch.from_numpy(chunk)) for chunk in chunks], 1).numpy()


QUICK = (Held,)


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_what_a_module_holds_streams_as_the_module_does(kind):
    model = rnnedge_runtime.load(convert(made(kind), {"x": spec_of(kind)}).to_bytes())
    assert [state.name for state in model.contract.states] == KINDS[kind]

    @settings(max_examples=10, deadline=None, database=None, derandomize=True)
    @given(
        lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5),
        rows=st.integers(1, 3),
        seed=st.integers(0, 99),
    )
    def compare(lengths, rows, seed):
        rows = 1 if kind is InPlace else rows
        rng = np.random.default_rng(seed)
        chunks = [rng.standard_normal((rows, n, 4), dtype=np.float32) for n in lengths]
        stream = model.stream(rows)
        got = np.concatenate([stream.push(chunk) for chunk in chunks], 1)
        np.testing.assert_allclose(got, called(made(kind), chunks), atol=2e-6)

    compare()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [k if k in (Held, Buffer) else pytest.param(k, marks=pytest.mark.long) for k in KINDS],
)
def test_a_file_with_such_states_is_proven(kind):
    module = made(kind)
    assert rnnedge.verify(convert(module, {"x": spec_of(kind)}).to_bytes(), module).passed


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Held, Buffer, Started])
def test_the_module_keeps_what_it_held(kind):
    module = made(kind)
    before = {name: value for name, value in vars(module).items() if name != "_modules"}
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    convert(module, {"x": spec_of(kind)})
    assert before == {name: value for name, value in vars(module).items() if name != "_modules"}
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in module.named_buffers())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Held, Buffer])
def test_in_sequence_mode_they_are_inputs_and_outputs(kind):
    contract = convert(made(kind), {"x": X}, mode="sequence").contract
    (name,) = {"hidden", "past"} & {port.name for port in contract.inputs}
    assert f"{name}.next" in [port.name for port in contract.outputs]


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.calls = nn.Linear(4, 4), 0

    def forward(self, x):
        self.calls += 1
        return self.linear(x) * self.calls


class Grows(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(4, 4), None

    def forward(self, x):
        self.seen = x if self.seen is None else torch.cat([self.seen, x], 1)
        return self.linear(x) + self.seen.mean(1, keepdim=True)


class Whole(nn.Module):
    """Holds as many frames as the last chunk had."""

    def __init__(self):
        super().__init__()
        self.linear, self.before = nn.Linear(4, 4), None

    def forward(self, x):
        before = torch.zeros_like(x) if self.before is None else self.before
        self.before = x
        return self.linear(x) + before.mean(1, keepdim=True)


class StartsOtherwise(nn.Module):
    """Its first call does something that no start of its state does."""

    def __init__(self):
        super().__init__()
        self.gru, self.hidden = nn.GRU(4, 6, batch_first=True), None

    def forward(self, x):
        is_first = self.hidden is None
        y, self.hidden = self.gru(x, self.hidden)
        return 2 * y if is_first else y


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.past = nn.Linear(4, 4), []

    def forward(self, x):
        self.past.append(x[:, -1:])
        return self.linear(x) + self.past[0]


@pytest.mark.parametrize(
    ("kind", "where", "reason"),
    [
        (Counts, "calls", "not a tensor and changes"),
        (Grows, "seen", "grows from call to call"),
        (Whole, "before", "depends on the number of frames"),
        (StartsOtherwise, "hidden", "the first call gives something else"),
        (Lists, "past", "more, or other things, after each call"),
    ],
)
def test_what_cannot_be_a_state_is_an_error_that_names_it(kind, where, reason):
    with pytest.raises(CaptureError, match=reason) as error:
        convert(made(kind), {"x": X})
    assert where in error.value.where


class PerCall(nn.Module):
    """Counts calls, not frames: where chunks begin matters."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1.0
        return self.linear(x) * self.calls


class TooFewKept(Buffer):
    """Keeps one frame of the two that its convolution reads, and pads the rest."""

    def forward(self, x):
        past = nn.functional.pad(self.past[:, :, 1:].expand(x.shape[0], -1, -1), (1, 0))
        frames = torch.cat([past, x.transpose(1, 2)], 2)
        self.past = frames[:, :, -2:]
        return self.conv(frames).transpose(1, 2)


class SmallChunks(Buffer):
    """Keeps the last two frames of a chunk, which may have one only."""

    def forward(self, x):
        frames = torch.cat([self.past.expand(x.shape[0], -1, -1), x.transpose(1, 2)], 2)
        self.past = x.transpose(1, 2)[:, :, -2:]
        return self.conv(frames).transpose(1, 2)


class MixesRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("mean", torch.zeros(1, 4))

    def forward(self, x):
        self.mean = 0.9 * self.mean + 0.1 * x.mean((0, 1))
        return self.linear(x) - self.mean


@pytest.mark.parametrize(
    "kind",
    [PerCall, *(pytest.param(k, marks=pytest.mark.slow) for k in (TooFewKept, SmallChunks))],
)
def test_what_depends_on_where_chunks_begin_is_refused(kind):
    with pytest.raises(StreamingError, match="something else in chunks than in one call"):
        convert(made(kind), {"x": X})


def test_rows_that_see_each_other_through_what_is_held_are_refused():
    with pytest.raises(StreamingError, match="mixes the rows"):
        convert(made(MixesRows), {"x": X})


@pytest.mark.slow
def test_a_file_of_a_module_written_for_chunks_can_be_explained():
    module = made(Buffer)
    converted = convert(module, {"x": X})
    explanation = rnnedge.verify(converted.to_bytes(), module, explain=True).explanation
    assert (explanation.first, explanation.causes, explanation.obstacle) == (None, (), "")
    assert explanation.compared_file > 3
    with torch.no_grad():
        module.conv.weight[0, 0, 0] += 0.1
    explanation = rnnedge.verify(converted.to_bytes(), module, explain=True).explanation
    assert explanation.causes
