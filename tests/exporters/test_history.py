"""What tensors hold before any input is."""

import pytest
import torch
from chunked import stream
from rules import assert_streams, initial, streamed
from torch import nn
from torch.nn import functional

from rnnedge_exporters.errors import StreamingError

pytestmark = pytest.mark.slow


def conv(kernel=3, **options):
    return nn.Conv1d(4, 4, kernel, **options)


def chained(m, x):
    """Unpadded layers behind one large pad."""
    x = functional.pad(x, (8, 0), value=0.3)
    return m.c(m.b(m.a(x).tanh() + 0.1).relu())


def test_it_is_what_the_module_computes_of_padding_alone():
    found = streamed(chained, a=conv(), b=conv(dilation=2), c=conv())
    with torch.no_grad():
        after_a = found.module.a(torch.full((1, 4, 6), 0.3, dtype=torch.float64)).tanh() + 0.1
    torch.testing.assert_close(initial(found, "b.context").double(), after_a)
    assert_streams(found)


def test_a_layer_that_runs_over_padding_starts_from_its_state_after_it():
    found = streamed(
        lambda m, x: m.rnn(functional.pad(x, (3, 0), value=0.5).transpose(1, 2))[0],
        rnn=nn.GRU(4, 4, batch_first=True),
    )
    padding = torch.full((1, 3, 4), 0.5, dtype=torch.float64)
    with torch.no_grad():
        expected = found.module.rnn(padding)[1]
    torch.testing.assert_close(initial(found, "rnn.h").double(), expected, rtol=1e-5, atol=1e-6)
    assert found.delay == 0


def test_more_padding_than_the_example_is_long():
    assert_streams(streamed(lambda m, x: m.a(functional.pad(x, (40, 0), value=1.0)), a=conv(41)))


def test_what_depends_on_an_input_is_refused():
    class Conditioned(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = conv(), conv()

        def forward(self, x, z):
            return self.b(self.a(functional.pad(x, (4, 0))) * z.unsqueeze(-1))

    with pytest.raises(StreamingError, match="before the first frame depends on an in") as error:
        stream(Conditioned(), "float32[batch, 4, time]", z="float32[batch, 4]")
    assert "add that input after the padding" in error.value.fix
    assert "module 'b' (Conv1d)" in error.value.where


def test_a_shift_by_more_frames_than_the_example_has():
    found = streamed(lambda m, x: x + functional.pad(x, (90, 0))[..., :-90])
    assert_streams(found, shortest=1, longest=200)
