"""Recurrent layers on parts of the features become one; tests are named after the rules."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import rnnedge_runtime
from rnnedge_exporters import convert

pytestmark = pytest.mark.slow


class Parts(nn.Module):
    """A layer for each part of the features; what they give is joined again."""

    def __init__(self, *layers, order=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(make() for make in layers)
        self.order = order or range(len(layers))

    def forward(self, x):
        parts = x.split([layer.input_size for layer in self.layers], -1)
        given = [layer(part)[0] for layer, part in zip(self.layers, parts, strict=True)]
        return torch.cat([given[place] for place in self.order], -1)


class Dual(nn.Module):
    """Across frequency in both directions, then along time for each frequency."""

    def __init__(self):
        super().__init__()
        self.across = Parts(*[layer("GRU", 4, 3, bidirectional=True)] * 2)
        self.along = Parts(*[layer("LSTM", 6, 5)] * 2)

    def forward(self, x):
        batch, time, bins, _ = x.shape
        y = self.across(x.flatten(0, 1)).reshape(batch, time, bins, -1).transpose(1, 2)
        return self.along(y.flatten(0, 1)).reshape(batch, bins, time, -1)


def layer(kind, features, units, **options):
    options.setdefault("batch_first", True)
    return lambda: getattr(nn, kind)(features, units, **options)


def some(cases, *names):
    """The others are long."""
    return [n if n in names else pytest.param(n, marks=pytest.mark.long) for n in cases]


def one_frame(module, features=8):
    spec = f"float32[batch, time, {features}]"
    return convert(module.eval(), {"x": spec}, one_frame=True)


def recurrent(converted):
    return [node for node in converted.model.graph if node.op_type in ("RNN", "GRU", "LSTM")]


def assert_streams(module, converted, *inner, time_axis=1):
    """In chunks of any length, as the module does in float64."""
    x = np.random.default_rng(0).standard_normal((3, 17, *inner), dtype=np.float32)
    stream = rnnedge_runtime.load(converted.to_bytes()).stream(3)
    got = [stream.push(part) for part in np.split(x, (1, 2, 9), 1)]
    with torch.no_grad():
        expected = copy.deepcopy(module).double()(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(np.concatenate(got, time_axis), expected, atol=2e-6)


ALIKE = {
    "GRU": [layer("GRU", 4, 16)] * 2,
    "LSTM": [layer("LSTM", 2, 8)] * 4,
    "RNN": [layer("RNN", 4, 5, nonlinearity="relu")] * 2,
    "no bias": [layer("GRU", 4, 5, bias=False)] * 2,
    "parts of different sizes": [layer("GRU", 3, 5), layer("GRU", 5, 5)],
}


@pytest.mark.parametrize("name", some(ALIKE, "GRU", "LSTM", "parts of different sizes"))
def test_layers_on_all_parts_of_the_features_become_one(name):
    module = Parts(*ALIKE[name])
    converted = one_frame(module)
    assert len(recurrent(converted)) == 1
    assert_streams(module, converted, 8)


def test_directions_are_put_inside_of_the_parts_and_other_axes_stay(caplog):
    module = Dual()
    converted = convert(module.eval(), {"x": "float32[batch, time, 7, 8]"}, one_frame=True)
    names = [node.name for node in recurrent(converted)]
    assert names == ["across/GRU", "along/LSTM"]  # of the module that holds them
    operators = [node.op_type for node in converted.model.graph]
    assert operators.count("Split") == operators.count("Concat") == 2  # the two states of LSTM
    assert_streams(module, converted, 7, 8, time_axis=2)
    assert not [r for r in caplog.records if r.name.startswith("onnx")]  # all have a type


def test_states_keep_their_names_and_shapes():
    module = Parts(*[layer("LSTM", 4, 6)] * 2).eval()
    plain = convert(module, {"x": "float32[batch, time, 8]"})
    assert one_frame(module).contract.states == plain.contract.states


def test_what_is_joined_in_another_order_or_not_at_all_is_split():
    module = Parts(*[layer("GRU", 4, 6)] * 2, order=(1, 0))
    converted = one_frame(module)
    assert len(recurrent(converted)) == 1
    assert_streams(module, converted, 8)


class Two(nn.Module):
    """Two GRUs on the halves of the features; `use` says what is made of what they give."""

    def __init__(self, use, **options):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = (nn.GRU(4, 4, **options) for _ in range(2))
        self.use = use

    def forward(self, x):  # [batch, time, 5, 8]: across the 5
        batch, time, *_ = x.shape
        rows = x.flatten(0, 1) if self.a.batch_first else x.flatten(0, 1).transpose(0, 1)
        return self.use(self.a, self.b, rows.split(4, -1)).reshape(batch, time, -1)


def both(join):
    return lambda a, b, parts: join(a(parts[0])[0], b(parts[1])[0])


def backwards(a, b, parts):
    second = b(parts[1])[0]  # stands first in the graph
    return torch.cat([torch.relu(second), a(parts[0])[0]], -1)


def means_and_one_end(a, b, parts):
    (ya, ha), (yb, _) = a(parts[0]), b(parts[1])
    return torch.cat([ya.mean(1), yb.mean(1), ha[0]], -1)


def ends_and_one_mean(a, b, parts):
    (_, ha), (yb, hb) = a(parts[0]), b(parts[1])
    return torch.cat([ha[0], yb.mean(1), hb[0]], -1)


FIRST, BOTH = {"batch_first": True}, {"bidirectional": True}
USES = {
    "joined along another axis": (both(lambda a, b: torch.cat([a.mT, b.mT], -1)), FIRST),
    "another part first": (backwards, FIRST),
    "the end of one": (means_and_one_end, FIRST),
    "the sequence of one": (ends_and_one_mean, FIRST),
    "directions, time first": (both(lambda a, b: torch.cat([a, b], -1).transpose(0, 1)), BOTH),
    "directions apart": (
        both(
            lambda a, b: torch.cat(
                [a.unflatten(-1, (2, 4)), b.unflatten(-1, (2, 4))], -1
            ).transpose(0, 1)
        ),
        BOTH,
    ),
}


@pytest.mark.parametrize("name", USES)
def test_whatever_is_made_of_what_the_layers_give_is_right(name):
    use, options = USES[name]
    module = Two(use, **options)
    converted = convert(module.eval(), {"x": "float32[batch, time, 5, 8]"}, one_frame=True)
    assert len(recurrent(converted)) == 1
    assert_streams(module, converted, 5, 8)


APART = {
    "another activation": [layer("RNN", 4, 6), layer("RNN", 4, 6, nonlinearity="relu")],
    "another size": [layer("GRU", 4, 6), layer("GRU", 4, 7)],
    "another kind": [layer("GRU", 4, 6), layer("LSTM", 4, 6)],
    "too many units": [layer("GRU", 4, 17)] * 2,
}


@pytest.mark.parametrize("name", some(APART, "another activation", "too many units"))
def test_what_is_not_alike_or_large_stays_apart_and_right(name):
    module = Parts(*APART[name])
    converted = one_frame(module)
    assert len(recurrent(converted)) == 2
    assert_streams(module, converted, 8)
