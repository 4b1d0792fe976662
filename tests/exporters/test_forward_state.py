"""States that forward takes and returns; tests are named after the rules of `forward_state.py`."""

import pytest
from torch import nn

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.errors import StreamingError
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import to_stream


def streamed(module):
    return to_stream(capture(module, bind(module, parse_inputs({"x": "float32[batch, time, 6]"}))))


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.GRU(6, 6, batch_first=True), nn.GRU(6, 6, batch_first=True)


def test_what_follows_a_forward_state_is_the_final_state_as_it_is():
    class Decayed(TwoLayers):
        def forward(self, x, h):
            y, end = self.a(x, h)
            return y, 0.5 * end

    with pytest.raises(StreamingError, match="not the final state, as it is, of"):
        streamed(Decayed())


class Exchanged(TwoLayers):
    def forward(self, x, ha, hb):
        y, na = self.a(x, ha)
        y, nb = self.b(y, hb)
        return y, nb, na


class Unused(TwoLayers):
    def forward(self, x, h):
        y, n = self.a(x)
        return y, n


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Exchanged, Unused])
def test_a_state_comes_back_from_the_layer_that_it_starts(kind):
    with pytest.raises(StreamingError, match="not the final state, as it is, of the layers"):
        streamed(kind())
