"""The rows of a batch are signals of their own; tests are named after the rules of `rows.py`."""

import pytest
import torch
from rules import some_quick
from torch import nn

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_sequence, to_stream


class Net(nn.Module):
    def __init__(self, change, batch_first=True):
        super().__init__()
        self.change = change
        self.rnn = nn.GRU(6, 6, batch_first=batch_first)

    def forward(self, x):
        return self.rnn(self.change(x))[0]


def captured(net, spec="float32[batch, time, 6]"):
    return capture(net, bind(net, parse_inputs({"x": spec})))


def compared(x):
    """How alike each row is to all rows, frame by frame: [batch, time, 1]."""
    return (x.transpose(0, 1) @ x.permute(1, 2, 0)).mean(-1).transpose(0, 1).unsqueeze(-1)


MIXED = {
    "mean over the batch": lambda x: x - x.mean(0),
    "softmax over the batch": lambda x: x.softmax(0),
    "row 0 for all": lambda x: x + x[0],
    "reversed": lambda x: x.flip(0),
    "sorted": lambda x: x.sort(0)[0],
    "compared": lambda x: x + compared(x),
    "doubled": lambda x: torch.cat([x, -x], 0).reshape(2, *x.shape).sum(0),
    "numbered": lambda x: x + torch.arange(x.shape[0])[:, None, None],
}


@pytest.mark.parametrize("change", some_quick(MIXED, "mean over the batch", "numbered"))
def test_a_row_that_needs_another_row_is_refused(change):
    with pytest.raises(StreamingError, match="mixes the rows of the batch") as error:
        to_stream(captured(Net(change)))
    assert "test_rows.py" in error.value.where
    assert "--mode sequence" in error.value.fix


def test_whole_sequences_may_mix_rows():
    assert to_sequence(captured(Net(MIXED["mean over the batch"]))).states == ()


def test_a_recurrence_over_the_batch_is_refused():
    class OverBatch(nn.Module):
        def __init__(self):
            super().__init__()
            self.over_rows = nn.GRU(6, 6)
            self.rnn = nn.GRU(6, 6, batch_first=True)

        def forward(self, x):
            return self.rnn(self.over_rows(x)[0])[0]

    with pytest.raises(StreamingError, match="mixes the rows of the batch") as error:
        to_stream(captured(OverBatch()))
    assert "over_rows" in error.value.where


OWN = {
    "itself": lambda x: x,
    "features": lambda x: x.softmax(-1) - x.mean(-1, keepdim=True),
    "folded": lambda x: (x.reshape(-1, 6) @ torch.eye(6)).reshape(x.shape),
    "shared": lambda x: x + torch.ones(1, 1, 6).expand(x.shape[0], -1, -1),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", OWN.values(), ids=OWN.keys())
def test_rows_that_mind_their_own_stream(change):
    assert [state.name for state in to_stream(captured(Net(change))).states] == ["rnn.h"]


def test_a_signal_without_a_batch_has_no_rows_to_mix():
    program = to_stream(captured(Net(lambda x: x - x.mean(-1, keepdim=True)), "float32[time, 6]"))
    assert program.states[0].batch is None
