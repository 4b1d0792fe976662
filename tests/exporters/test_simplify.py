"""Simplifying the ONNX graph; tests are named after the rules of `simplify.py`."""

import numpy as np
import pytest
import torch
from torch import nn

from rnnedge_exporters import convert
from rnnedge_runtime import load

SPEC = {"x": "float32[batch, time, 3]"}


def run(module, x):
    return load(convert(module.eval(), SPEC).to_bytes()).run(x).outputs["output"]


class Floored(nn.Module):
    def forward(self, x):
        return torch.log(x.square() + 1e-8)


class Scaled(nn.Module):
    def forward(self, x):
        return (x * 1.000004 - x) * 1e6


@pytest.mark.slow
@pytest.mark.parametrize("module", [Floored(), Scaled()])
def test_a_number_is_a_zero_or_a_one_only_when_it_is_exactly_that(module):
    x = np.linspace(0, 1e-3, 12, dtype=np.float32).reshape(1, 4, 3)
    with torch.no_grad():
        exact = module(torch.from_numpy(x).double()).numpy()
    np.testing.assert_allclose(run(module, x), exact, rtol=0.05)


@pytest.mark.slow
def test_batch_normalisation_goes_into_the_convolution():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(self.conv(nn.functional.pad(x.transpose(1, 2), (2, 0))))

    graph = convert(Normed().eval(), SPEC).model.graph
    assert sorted(node.op_type for node in graph) == ["Concat", "Conv", "Slice", "Transpose"]


@pytest.mark.slow
def test_a_bidirectional_layers_output_is_transposed_once():
    class Across(nn.Module):
        """Both ways over features, time in the batch."""

        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(1, 2, batch_first=True, bidirectional=True)

        def forward(self, x):
            y = self.rnn(x.reshape(-1, 3, 1))[0]
            return y.reshape(x.shape[0], x.shape[1], 12)

    module, x = Across().eval(), np.random.default_rng(0).standard_normal((2, 5, 3))
    with torch.no_grad():
        exact = module.double()(torch.from_numpy(x)).numpy()
    model = load(convert(module.float(), SPEC).to_bytes())
    np.testing.assert_allclose(model.run(x.astype("f")).outputs["output"], exact, atol=1e-6)
    graph = convert(module, SPEC).model.graph
    assert [node.op_type for node in graph].count("Transpose") == 2
