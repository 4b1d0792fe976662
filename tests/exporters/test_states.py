"""Which arguments of forward are states; tests are named after the rules of `states.py`."""

import re
from typing import NamedTuple

import pytest
import torch
from torch import nn

from rnnedge_exporters.capture import bind
from rnnedge_exporters.errors import CaptureError, SpecError
from rnnedge_exporters.specs import parse_inputs

X = parse_inputs({"x": "float32[batch, time, 3]"})


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(3, 4, batch_first=True)
        self.gru = nn.GRU(3, 4, num_layers=2, batch_first=True)


def states_of(module, hints=()):
    return [str(state) for state in bind(module, X, hints).states]


def test_an_input_must_be_an_argument_of_forward():
    with pytest.raises(SpecError, match="has no argument 'y'") as error:
        bind(nn.GRU(3, 4), parse_inputs({"y": "float32[batch, time, 3]"}))
    assert "input, hx" in error.value.fix


def test_an_argument_with_another_default_keeps_it():
    class Net(Base):
        def forward(self, x, scale=2.0):
            return self.gru(x)[0] * scale

    assert states_of(Net()) == []


def test_required_arguments_and_results_pair_off_in_order():
    class Net(Base):
        def forward(self, x, h, c):
            y, (h, c) = self.rnn(x, None if h is None else (h, c))
            return y, h, c

    assert states_of(Net()) == [
        "h: float32[1, batch, 4] -> 1",
        "c: float32[1, batch, 4] -> 2",
    ]


def test_tuples_nest():
    class Net(Base):
        def forward(self, x, state=None):
            lstm, gru = (None, (None,)) if state is None else state
            y, lstm = self.rnn(x, lstm)
            z, gru = self.gru(x, gru[0])
            return y + z, (lstm, (gru,))

    call = bind(Net(), X)
    assert [str(state) for state in call.states] == [
        "state: ((float32[1, batch, 4], float32[1, batch, 4]), (float32[2, batch, 4])) -> 1"
    ]
    assert call.states[0].names == ("state.0.0", "state.0.1", "state.1.0")


def test_dicts_and_named_tuples_are_followed_by_key():
    class Out(NamedTuple):
        audio: torch.Tensor
        memory: torch.Tensor

    class Net(Base):
        def forward(self, x, memory=None):
            return Out(*self.gru(x, memory))

    class Keyed(Base):
        def forward(self, x, memory=None):
            y, memory = self.gru(x, memory)
            return {"audio": y, "memory": memory}

    assert states_of(Net()) == ["memory: float32[2, batch, 4] -> 1"]
    assert states_of(Keyed()) == ["memory: float32[2, batch, 4] -> memory"]


def test_an_option_that_is_none_stays_none():
    class Net(Base):
        def forward(self, x, hidden=None, mask=None):
            if mask is not None:
                x = x * mask
            return self.gru(x, hidden)

    assert states_of(Net()) == ["hidden: float32[2, batch, 4] -> 1"]


def test_a_start_that_is_not_zeros_is_left_to_forward():
    class Net(Base):
        def __init__(self):
            super().__init__()
            self.start = nn.Parameter(torch.ones(2, 1, 4))

        def forward(self, x, hidden=None):
            if hidden is None:
                hidden = self.start.expand(-1, x.shape[0], -1).contiguous()
            return self.gru(x, hidden)

    assert states_of(Net()) == []


class Ambiguous(Base):
    """Two results could follow the one state."""

    def forward(self, x, h):
        y, (h, c) = self.rnn(x, None if h is None else (h, torch.zeros_like(h)))
        return y, h, c


def test_what_is_ambiguous_asks_the_user():
    with pytest.raises(SpecError, match="not clear what forward does with h") as error:
        states_of(Ambiguous())
    assert "1, 2" in error.value.what
    assert "--state" in error.value.fix


def test_what_is_ambiguous_is_settled_by_the_user():
    expected = ["h: float32[1, batch, 4] -> 1"]
    assert states_of(Ambiguous(), ["h -> 1"]) == expected
    assert states_of(Ambiguous(), ["h: float32[1, batch, 4] -> 1"]) == expected
    assert states_of(Ambiguous(), expected) == expected


class NeedsState(Base):
    """None is no state to it."""

    def forward(self, x, state):
        h, c = state
        y, (h, c) = self.rnn(x, (h, c))
        return y, (h, c)


def test_a_state_that_cannot_be_none_asks_for_its_shape():
    with pytest.raises(SpecError, match="does not run without it"):
        states_of(NeedsState())
    hint = "state: (float32[1, batch, 4], float32[1, batch, 4])"
    assert states_of(NeedsState(), [hint]) == [f"{hint} -> 1"]


@pytest.mark.parametrize(
    ("hint", "what"),
    [
        ("?", "'?' does not parse"),
        ("nothing -> 1", "forward has no argument 'nothing'"),
        ("h -> 7", "the result has no part (7,)"),
        ("h: (float32[1, batch, 4] -> 1", "lacks a closing bracket"),
        ("h: float32[1, 1] -> 1", "forward does not run without it|forward raised"),
    ],
)
def test_a_hint_that_does_not_fit_is_told(hint, what):
    pattern = what if "|" in what else re.escape(what)
    with pytest.raises((SpecError, CaptureError), match=pattern):
        states_of(Ambiguous(), [hint])


def test_an_input_that_does_not_fit_forward_is_told_with_its_shape():
    with pytest.raises(CaptureError, match="forward raised RuntimeError") as error:
        bind(nn.GRU(3, 4), parse_inputs({"input": "float32[batch, time, 5]"}))
    assert "[3, 16, 5]" in error.value.where


def test_a_state_that_is_a_dict_reads_back_what_it_shows():
    class Net(Base):
        def forward(self, x, memory=None):
            memory = memory or {"lstm": None, "gru": None}
            y, lstm = self.rnn(x, memory["lstm"])
            z, gru = self.gru(x, memory["gru"])
            return y + z, {"lstm": lstm, "gru": gru}

    lstm = "(float32[1, batch, 4], float32[1, batch, 4])"
    expected = [f"memory: {{lstm: {lstm}, gru: float32[2, batch, 4]}} -> 1"]
    assert states_of(Net()) == expected
    assert states_of(Net(), expected) == expected
