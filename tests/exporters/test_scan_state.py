"""A user's own recurrence; tests are named after the rules of `scan_state.py`."""

import pytest
import torch
from rules import BTC, assert_refused, assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

from rnnedge_exporters.errors import CaptureError, StreamingError
from rnnedge_exporters.scan import scan


class Cell(nn.Module):
    """Two states in a dict; the step uses modules and a parameter."""

    def __init__(self):
        super().__init__()
        self.of_x, self.of_h = nn.Linear(4, 4), nn.Linear(4, 4)
        self.pace = nn.Parameter(torch.randn(4))

    def step(self, x, state):
        gate = torch.sigmoid(self.of_x(x) + self.of_h(state["h"]))
        c = gate * state["c"] + (1 - gate) * torch.exp(self.pace) * x
        return torch.tanh(c), {"h": torch.tanh(c + 0.1), "c": c}

    def start(self, x):
        zeros = x.new_zeros(x.shape[0], 4)
        return {"h": zeros, "c": zeros + 0.5}

    def forward(self, x):
        return scan(self.step, x, self.start(x))[0]


def test_the_loop_is_the_step_repeated_and_gradients_flow_through_it():
    torch.manual_seed(0)
    cell = Cell().double()
    x = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    state, rows = cell.start(x), []
    for t in range(5):
        y, state = cell.step(x[:, t], state)
        rows.append(y)
    expected = torch.stack(rows, 1)
    assert torch.equal(cell(x), expected)
    ours, theirs = (torch.autograd.grad(y.sum(), x)[0] for y in (cell(x), expected))
    assert torch.equal(ours, theirs)


def test_time_may_lie_on_another_axis():
    x = torch.randn(7, 2, 4)
    y, last = scan(lambda x_t, s: (s + x_t, s + x_t), x, torch.zeros(2, 4), dim=0)
    torch.testing.assert_close(y, x.cumsum(0))
    assert torch.equal(last, y[-1])


@pytest.mark.slow
def test_states_are_named_after_the_module_in_order():
    result = assert_streams(streamed(lambda m, x: m.net(x), BTC, net=Cell()))
    # A dict's leaves come in the order in which it was written: h, then c.
    assert list(result.states) == ["net.state_0", "net.state_1"]
    assert torch.equal(initial(result, "net.state_0"), torch.zeros(1, 4))
    assert torch.equal(initial(result, "net.state_1"), torch.full((1, 4), 0.5))


@pytest.mark.slow
def test_a_recurrence_has_run_over_the_padding_before_the_signal():
    def compute(m, x):
        return m.net(functional.pad(x, (0, 0, 3, 0), value=0.7))[:, :-3]

    result = streamed(compute, BTC, net=Cell())
    state = initial(result, "net.state_0")
    assert state.abs().min() > 0
    assert_streams(result, shortest=4)


@pytest.mark.slow
def test_sequences_meet_at_the_time_of_the_latest():
    def compute(m, x):
        late = m.conv(functional.pad(x.transpose(1, 2), (0, 2))).transpose(1, 2)

        def step(seen, h):
            h = 0.5 * h + seen[0] * seen[1]
            return h, h

        return scan(step, (x, late), x.new_zeros(x.shape[0], 4))[0]

    assert_streams(streamed(compute, BTC, conv=nn.Conv1d(4, 4, 3)), shortest=3)


@pytest.mark.slow
def test_frames_before_the_signal_leave_the_state_as_it_is():
    def compute(m, x):
        return m.net(m.conv(functional.pad(x.transpose(1, 2), (1, 1))).transpose(1, 2))

    assert_streams(streamed(compute, BTC, net=Cell(), conv=nn.Conv1d(4, 4, 3)))


def test_the_step_may_not_read_all_frames_at_once():
    def compute(m, x):
        whole = x.transpose(1, 2)
        return scan(
            lambda x_t, h: (h, h + (whole * x_t.unsqueeze(-1)).sum(-1)),
            x,
            x.new_zeros(x.shape[0], 4),
        )[0]

    assert_refused(
        "its step reads a tensor that depends on the signal", compute, BTC, fix="as a sequence"
    )


def test_the_steps_rows_may_not_see_each_other():
    def compute(m, x):
        return scan(lambda x_t, h: (h, h + x_t.mean(0)), x, x.new_zeros(x.shape[0], 4))[0]

    with pytest.raises(StreamingError, match="mixes the rows of the batch"):
        streamed(compute, BTC)


def test_a_step_that_changes_its_state_is_refused():
    with pytest.raises(CaptureError) as error:
        scan(lambda x_t, h: (h, h[:, :2]), torch.zeros(1, 3, 4), torch.zeros(1, 4))
    assert error.value.what == "a step changes the state from float32[1, 4] to float32[1, 2]"
    assert "same nesting" in error.value.fix


def test_no_frames_are_refused():
    with pytest.raises(CaptureError) as error:
        scan(lambda x_t, h: (h, h), torch.zeros(1, 0, 4), torch.zeros(1, 4))
    assert error.value.what.startswith("there is no frame to run over")
    assert error.value.fix == "give at least one frame"
