"""The logarithm of a sigmoid stays a number, however small the sigmoid is."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from rnnedge_exporters import convert


class Net(nn.Module):
    def forward(self, x):
        return functional.logsigmoid(x)


@pytest.mark.slow
def test_it_is_exact_where_the_sigmoid_is_zero_and_where_it_is_one():
    model = convert(Net(), ["x: float32[batch, time, 1]"])
    session = onnxruntime.InferenceSession(model.to_bytes())
    x = torch.tensor([-1e4, -200, -90, -20, -1, 0, 1, 15, 90, 1e4]).reshape(1, -1, 1)
    (found,) = session.run(None, {"x": x.numpy()})
    expected = functional.logsigmoid(x.double()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
