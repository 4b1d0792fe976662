"""What counts as PyTorch's own error at least, and why."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from rnnedge.parity.measure import FLOOR_ULP, Ledger, Reference


def test_onnxruntimes_tanh_costs_what_the_floor_allows_and_pytorchs_does_not():
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", sides[:1], sides[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.random.default_rng(0).uniform(-0.1, 0.1, 200_000).astype(np.float32)
    exact = np.tanh(x.astype(np.float64))
    ulp = np.spacing(np.abs(exact).astype(np.float32))
    ours = np.abs(session.run(None, {"x": x})[0] - exact) / ulp
    theirs = np.abs(torch.tanh(torch.from_numpy(x)).numpy() - exact) / ulp
    assert theirs.max() < 1
    # Were it less, the floor could go.
    assert FLOOR_ULP - 1 < ours.max() < FLOOR_ULP + 1


SCALE, APART = np.array([400.0, 4.0, 1.0]), np.array([8e-4, 2e-5, 1e-6])  # 2, 5, 1 * 1e-6


@pytest.mark.parametrize(
    ("is_state", "channel", "own"),
    [(True, 2, 5e-6), (False, 2, 2e-6), (True, 1, 2e-5), (True, 0, 8e-4)],
    ids=["a small state", "over time", "a larger one", "the largest"],
)
def test_a_state_is_allowed_what_larger_ones_are_in_parts_of_its_scale(is_state, channel, own):
    for error, passes in ((3.9 * own, True), (4.1 * own, False)):
        ledger = Ledger("c", ("batch", 3), is_state=is_state)
        exact = np.stack([SCALE, -SCALE / 2])
        got = exact.copy()
        got[:, channel] += error
        ledger.add(got, Reference(exact, exact + APART), "asked", 2)
        assert (ledger.beyond("asked") is None) == passes
