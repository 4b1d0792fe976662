"""Capturing a module whole, and refusing what a graph cannot hold."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from rnnedge_exporters.capture import bind, capture
from rnnedge_exporters.capture.operators import LSTM, RECURRENT, read_layer
from rnnedge_exporters.errors import CaptureError
from rnnedge_exporters.specs import parse_inputs

X = parse_inputs({"x": "float32[batch, time, 3]"})


def captured(module):
    return capture(module, bind(module, X))


class Net(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True, **options)

    def forward(self, x):
        return self.gru(x)[0]


def test_one_operator_stands_for_each_layer():
    nodes = captured(Net(num_layers=3)).graph_module.graph.nodes
    assert sum(node.target in RECURRENT for node in nodes) == 3


def test_the_graph_computes_what_the_module_computes_at_any_size():
    module = Net(num_layers=2, bidirectional=True).double()
    program = captured(module.float())
    for batch, frames in ((1, 1), (4, 50)):
        x = torch.randn(batch, frames, 3)
        with torch.no_grad():
            torch.testing.assert_close(program.graph_module(x)[0], module(x))


def test_a_function_called_without_its_module_is_caught_too():
    class Direct(Net):
        def forward(self, x):
            h = torch.zeros(1, x.shape[0], 4)
            return torch.gru(x, h, self.gru._flat_weights, True, 1, 0.0, False, False, True)[0]

    nodes = captured(Direct()).graph_module.graph.nodes
    assert sum(node.target in RECURRENT for node in nodes) == 1


def test_the_module_is_left_as_it_was():
    module = nn.Sequential(Net(dropout=0.5, num_layers=2), nn.BatchNorm1d(5))
    module = module[0].train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    captured(module)
    assert all(child.training for child in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


class KeepsAttribute(Net):
    hidden = None

    def forward(self, x):
        y, self.hidden = self.gru(x, self.hidden)
        return y


class KeepsBuffer(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x):
        self.level = 0.9 * self.level + 0.1 * x.mean()
        return self.gru(x)[0]


class ChangesInPlace(KeepsBuffer):
    def forward(self, x):
        self.level.add_(1.0)
        return self.gru(x)[0] + self.level


class KeepsDict(Net):
    def __init__(self):
        super().__init__()
        self.memory = {"h": torch.zeros(1, 1, 4)}

    def forward(self, x):
        y, self.memory["h"] = self.gru(x, self.memory["h"].expand(1, x.shape[0], 4).contiguous())
        return y


class KeepsFlag(Net):
    def __init__(self):
        super().__init__()
        self.started = False

    def forward(self, x):
        y = self.gru(x)[0]
        if not self.started:
            y, self.started = y * 2, True
        return y


class KeepsObject(Net):
    class Cache:
        last = None

    def __init__(self):
        super().__init__()
        self.cache = self.Cache()

    def forward(self, x):
        y = self.gru(x)[0]
        self.cache.last = y[:, -1].mean(0)
        return y


@pytest.mark.parametrize(
    ("kind", "attribute"),
    [
        (KeepsFlag, "started"),
        (KeepsObject, "cache"),
        (KeepsAttribute, "hidden"),
        (KeepsBuffer, "level"),
        (ChangesInPlace, "level"),
        (KeepsDict, "memory"),
    ],
)
def test_a_state_that_hides_in_the_module_is_never_lost_in_silence(kind, attribute):
    """Capture itself takes no module that holds state; `held.py` makes one without of it."""
    module = nn.Sequential()
    module.add_module("inner", kind())

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module.inner

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(CaptureError, match="keeps state in the module") as error:
        captured(Outer())
    assert f"inner.{attribute}" in error.value.where


def test_an_argument_that_is_written_to_is_refused():
    class Writes(Net):
        def forward(self, x):
            return self.gru(x.add_(1))[0]

    with pytest.raises(CaptureError, match="changes tensors in place"):
        captured(Writes())


def test_no_result_is_lost_when_names_collide():
    class Named(Net):
        def forward(self, x):
            return {"x": self.gru(x)[0], "x_out": 2 * self.gru(x)[0]}

    assert list(captured(Named()).outputs) == ["x_out", "x_out_out"]


def test_a_number_that_forward_takes_out_of_a_tensor_is_refused_with_its_line():
    class Listed(nn.Module):
        def forward(self, x):
            axes = torch.arange(1, x.ndim).tolist()
            return x - x.mean(axes, keepdim=True)

    with pytest.raises(CaptureError, match="cannot trace forward") as error:
        captured(Listed())
    assert re.search(r"test_capture\.py:\d+: return x - x\.mean", error.value.where)
    assert "rnnedge_exporters" not in str(error.value)


def test_a_packed_sequence_in_a_forward_of_ones_own_is_refused():
    class Own(nn.GRU):
        def forward(self, packed):
            return super().forward(packed)

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = Own(3, 4)

        def forward(self, x):
            lengths = torch.full((x.shape[0],), x.shape[1])
            return self.gru(pack_padded_sequence(x, lengths, batch_first=True))[0].data

    with pytest.raises(CaptureError, match="a subclass with a forward of its own"):
        captured(Packed())


def test_the_data_of_a_packed_sequence_in_torchs_function_is_refused():
    class Direct(Net):
        def forward(self, x):
            lengths = torch.full((x.shape[0],), x.shape[1])
            packed = pack_padded_sequence(x, lengths, batch_first=True)
            start = x.new_zeros(1, x.shape[0], 4)
            weights = self.gru._flat_weights
            y, _ = torch.gru(
                packed.data, packed.batch_sizes, start, weights, True, 1, 0.0, False, False
            )
            return y

    with pytest.raises(CaptureError, match="goes into something else than torch"):
        captured(Direct())


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch says it once
def test_a_projected_layer_is_one_operator():
    class Projected(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 4, proj_size=2, batch_first=True)

        def forward(self, x):
            return self.lstm(x)[0]

    program = captured(Projected())
    (node,) = [n for n in program.graph_module.graph.nodes if n.target is LSTM]
    assert read_layer(node).projects
    assert [tuple(v.shape)[2] for v in node.meta["val"]] == [2, 2, 4]


def test_a_length_that_is_fixed_in_silence_is_found():
    class Frozen(Net):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(64, 3))

        def forward(self, x):
            return self.gru(x + self.table[: int(torch.tensor(x.shape[1]))])[0]

    with pytest.raises(CaptureError):
        captured(Frozen())


def test_a_result_that_is_no_tensor_is_refused():
    class Chatty(Net):
        def forward(self, x):
            return self.gru(x)[0], "done"

    with pytest.raises(CaptureError, match="not a tensor"):
        captured(Chatty())


def test_a_forward_that_is_not_deterministic_is_refused():
    class Noisy(Net):
        def forward(self, x):
            return nn.functional.dropout(self.gru(x)[0])

    with pytest.raises(CaptureError, match="draws random numbers") as error:
        captured(Noisy())
    assert "training=self.training" in error.value.fix


def test_weights_that_are_not_numbers_are_told():
    module = Net()
    with torch.no_grad():
        module.gru.bias_hh_l0[0] = torch.nan
    with pytest.raises(CaptureError, match="gives NaN"):
        captured(module)
