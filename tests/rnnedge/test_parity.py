"""The verifier must say no to every file that is wrong, and why."""

import functools

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import rnnedge
from rnnedge_exporters import convert

INPUTS = {"x": "float32[batch, time, 3]"}


class Net(nn.Module):
    def __init__(self, kind=nn.LSTM, layers=2):
        super().__init__()
        torch.manual_seed(5)
        self.made_of = kind, layers
        self.rnn = kind(3, 6, layers, batch_first=True)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0])


@functools.cache
def file_of(kind, layers):
    return convert(Net(kind, layers), INPUTS).to_bytes()


def converted(module):
    is_plain = type(module) is Net
    data = file_of(*module.made_of) if is_plain else convert(module, INPUTS).to_bytes()
    return onnx.load_model_from_string(data)


def verified(model, module):
    return rnnedge.verify(model.SerializeToString(), module)


def node_of(model, kind):
    return next(node for node in model.graph.node if node.op_type == kind)


def initializer(model, name):
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def permute(model, name, order):
    tensor = initializer(model, name)
    values = numpy_helper.to_array(tensor)
    gates = values.reshape(1, len(order), -1, *values.shape[2:])[:, order]
    tensor.CopyFrom(numpy_helper.from_array(gates.reshape(values.shape).copy(), name))


def test_a_right_file_passes_every_check():
    report = verified(converted(Net()), Net())
    assert report.passed
    assert {tensor.name for tensor in report.tensors} == {
        "output",
        *(f"rnn.{role}_l{layer}" for role in "hc" for layer in (0, 1)),
    }
    assert [check.name for check in report.checks] == [
        "whole sequence",
        "one frame at a time",
        "random chunks",
        "random initial states",
        "reset and replay",
        "state rnn.h_l0 matters",
        "state rnn.c_l0 matters",
        "state rnn.h_l1 matters",
        "state rnn.c_l1 matters",
        "one row reset",
        "long run",
        "all compared",
    ]


def wrong_gate_order(model):
    permute(model, "rnn.R_l0", [1, 0, 2, 3])


def wrong_bias(model):
    permute(model, "rnn.B_l1", [0, 1, 3, 2, 4, 5, 6, 7])


def states_crossed(model):
    node = node_of(model, "LSTM")
    node.output[1], node.output[2] = node.output[2], node.output[1]


def layers_crossed(model):
    first, second = (n for n in model.graph.node if n.op_type == "LSTM")
    first.output[1], second.output[1] = second.output[1], first.output[1]


def state_never_read(model):
    node_of(model, "LSTM").input[5] = ""
    zero_like(model)


def zero_like(model):
    """Keeps the input alive, so that onnxruntime does not drop it."""
    name = "rnn.h_l0"
    model.graph.node.append(onnx.helper.make_node("Identity", [name], ["kept"]))


def state_never_written(model):
    node = node_of(model, "LSTM")
    node.output[1] = "lost"
    model.graph.node.append(onnx.helper.make_node("Identity", ["rnn.h_l0"], ["rnn.h_l0.next"]))


@pytest.mark.parametrize(
    ("break_it", "fails"),
    [
        (wrong_gate_order, "whole sequence"),
        (state_never_written, "one frame at a time"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (wrong_bias, "whole sequence"),
                (states_crossed, "one frame at a time"),
                (layers_crossed, "one frame at a time"),
                (state_never_read, "one frame at a time"),
            )
        ),
    ],
)
def test_a_broken_file_fails(break_it, fails):
    model = converted(Net())
    break_it(model)
    report = verified(model, Net())
    assert not report.passed
    assert fails in [check.name for check in report.checks if not check.passed]


@pytest.mark.slow
def test_a_state_that_is_never_read_is_told_by_name():
    model = converted(Net())
    state_never_read(model)
    report = verified(model, Net())
    assert "state rnn.h_l0 matters" in [c.name for c in report.checks if not c.passed]


@pytest.mark.slow
def test_the_reset_gate_in_the_wrong_place_fails():
    module = Net(nn.GRU)
    model = converted(module)
    for attribute in node_of(model, "GRU").attribute:
        if attribute.name == "linear_before_reset":
            attribute.i = 0
    assert not verified(model, module).passed


@pytest.mark.slow
def test_other_weights_fail():
    other = Net()
    with torch.no_grad():
        other.out.bias[1] += 1e-4
    report = verified(converted(Net()), other)
    assert not report.passed
    worst = next(tensor for tensor in report.tensors if tensor.name == "output")
    assert worst.worst["axis 2"] == 1
    assert worst.max_abs == pytest.approx(1e-4, rel=0.01)
    assert {"check", "batch_size", "batch", "time"} <= set(worst.worst)


@pytest.mark.slow
def test_a_zero_start_in_place_of_a_trained_one_fails():
    class Learned(Net):
        def __init__(self):
            super().__init__(nn.GRU, 1)
            self.start = nn.Parameter(torch.full((1, 1, 6), 0.7))

        def forward(self, x):
            start = self.start.expand(-1, x.shape[0], -1).contiguous()
            return self.out(self.rnn(x, start)[0])

    model = converted(Learned())
    assert verified(model, Learned()).passed
    for prop in model.metadata_props:
        prop.value = prop.value.replace('"fill": 0.699999988079071', '"fill": 0.0')
    assert not verified(model, Learned()).passed


@pytest.mark.slow
def test_the_error_of_the_proof_is_small_because_the_file_is_right():
    report = verified(converted(Net()), Net())
    assert all(tensor.max_ulp < 16 for tensor in report.tensors)


@pytest.mark.slow
def test_a_module_in_other_precision_or_training_mode_is_left_as_it_is():
    module = Net().train()
    verified(converted(module), module)
    assert module.training
    assert next(module.parameters()).dtype is torch.float32


@pytest.mark.slow
def test_integers_stay_below_the_size_of_the_table_they_index():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(11, 4)
            self.rnn = nn.GRU(4, 5, batch_first=True)

        def forward(self, tokens):
            return self.rnn(self.embedding(tokens))[0]

    module = Tokens()
    data = convert(module, {"tokens": "int64[batch, time]"}).to_bytes()
    assert rnnedge.verify(data, module).passed
    with torch.no_grad():
        module.embedding.weight[10] += 1e-3
    assert not rnnedge.verify(data, module).passed


@pytest.mark.slow
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_a_module_without_a_batch_is_judged_too(kind):
    class Unbatched(Net):
        def forward(self, x):
            return self.rnn(x)[0]

    module = Unbatched(kind)
    data = convert(module, {"x": "float32[time, 3]"}).to_bytes()
    report = rnnedge.verify(data, module)
    assert report.passed
    assert len(report.tensors) == (3 if kind is nn.GRU else 5)
    with torch.no_grad():
        module.rnn.bias_hh_l1[-1] += 1e-3
    assert not rnnedge.verify(data, module).passed


@pytest.mark.slow
def test_a_small_channel_is_not_hidden_by_a_large_one():
    class Loud(Net):
        def forward(self, x):
            return torch.cat([super().forward(x), 1e7 * x], -1)

    data = convert(Loud(), INPUTS).to_bytes()
    assert rnnedge.verify(data, Loud()).passed
    other = Loud()
    with torch.no_grad():
        other.out.bias[1] += 1e-4
    assert not rnnedge.verify(data, other).passed


@pytest.mark.slow
def test_what_pytorch_cannot_compute_is_no_yardstick():
    class Overflows(Net):
        def forward(self, x):
            return torch.cat([super().forward(x), torch.exp(40 * x)], -1)

    report = verified(converted(Overflows()), Overflows())
    assert not report.passed
    assert "PyTorch itself gives NaN or infinity" in str(report)


@pytest.mark.slow
def test_rows_that_are_folded_wrongly_fail_when_one_is_reset():
    class Folded(Net):
        """Frequency first: a state of 2 * batch rows is [2, batch] flattened."""

        def forward(self, x):
            rows = torch.stack([x, -x]).reshape(-1, x.shape[1], 3)
            return self.out(self.rnn(rows)[0]).reshape(2, x.shape[0], x.shape[1], 2).sum(0)

    model = converted(Folded())
    assert verified(model, Folded()).passed
    for prop in model.metadata_props:
        if prop.key != "rnnedge.contract":
            continue
        assert '"batch_outer": 2' in prop.value
        prop.value = prop.value.replace('"batch_outer": 2', '"batch_outer": 1')
    failed = [c.name for c in verified(model, Folded()).checks if not c.passed]
    assert failed == ["one row reset"]


@pytest.mark.slow
def test_a_forward_that_asks_for_float32_by_name_is_judged_in_float64_all_the_same():
    class Named(Net):
        def forward(self, x):
            h = torch.zeros(2, x.shape[0], 6, dtype=torch.float32)
            y, _ = self.rnn(x.float(), (h, h.to(torch.float32)))
            return self.out(y)

    report = verified(converted(Named()), Named())
    assert report.passed
    assert max(tensor.torch_max_abs for tensor in report.tensors) > 0


@pytest.mark.slow
def test_a_module_that_runs_over_two_axes_is_judged_by_its_outputs():
    class TwoAxes(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.gru = nn.GRU(3, 3, batch_first=True)

        def forward(self, x):
            over_channels = self.gru(x.reshape(-1, 4, 3))[0].reshape(x.shape)
            return self.gru(over_channels.mean(2))[0]

    data = convert(TwoAxes(), {"x": "float32[batch, time, 4, 3]"}).to_bytes()
    report = rnnedge.verify(data, TwoAxes())
    assert report.passed
    assert "by their effect on outputs only: gru.h" in str(report)
