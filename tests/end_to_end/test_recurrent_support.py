"""Each cell of the support table of recurrent modules, against PyTorch; and the table's page."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from recurrent_support import ROWS, YES, table, table_of_page
from torch.utils import _pytree as pytree

import rnnedge
from rnnedge_exporters import CaptureError, StreamingError, convert

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated"),
]
SIZES = ((4, 9), (1, 5), (2, 23))
QUICK = (
    "`RNN` (tanh, relu), `LSTM`, `GRU`",
    "packed, bidirectional, several layers",
    "`proj_size` of `LSTM`",
)
CELLS = [
    pytest.param(
        row,
        mode,
        id=f"{row.option}-{mode}",
        marks=[] if row.option in QUICK else pytest.mark.long,
    )
    for row in ROWS
    for mode in ("sequence", "stream")
]


@pytest.mark.parametrize(("row", "mode"), CELLS)
def test_a_cell_says_what_is_so(row, mode):
    torch.manual_seed(0)
    module = row.make().eval()
    said = getattr(row, mode)
    if said != YES:
        reason = re.match(r"no: ([\w ]+)", said)[1]
        with pytest.raises((CaptureError, StreamingError), match=reason):
            convert(module, row.inputs, mode=mode)
        return
    model = rnnedge.load(convert(module, row.inputs, mode=mode).to_bytes())
    module = module.float()
    for batch, frames in SIZES:
        batch = batch if "batch" in row.inputs["x"] else 1
        inputs = arguments(row, batch, frames)
        with torch.no_grad():
            expected = pytree.tree_leaves(module(**inputs))
        inputs = {name: value.numpy() for name, value in inputs.items()}
        got = whole(model, inputs) if mode == "sequence" else in_chunks(model, inputs, batch)
        for ours, theirs in zip(got, expected, strict=True):
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs.numpy()).max(initial=0) <= 1e-6


def arguments(row, batch, frames):
    """Random ones; no row is as long as the padding."""
    sizes = {"batch": batch, "time": frames}
    dims = re.findall(r"\w+", row.inputs["x"].partition("[")[2])
    given = {"x": torch.randn(*(sizes.get(dim) or int(dim) for dim in dims))}
    if "lengths" in row.inputs:
        given["lengths"] = torch.randint(1, frames, (batch,)).sort(descending=True).values
        if "enforce_sorted" in row.option:
            given["lengths"] = given["lengths"].flip(0)
    return given


def whole(model, inputs):
    contract = model.contract
    blank = {
        port.name: np.zeros(
            [inputs["x"].shape[0] if d == "batch" else d for d in port.shape], port.dtype
        )
        for port in contract.inputs
        if port.name not in inputs
    }
    return list(model.run({**inputs, **blank}).outputs.values())


def in_chunks(model, inputs, batch):
    """Outputs along time joined; of the others, and of states that forward returns, the last."""
    ports = model.contract.outputs
    stream = model.stream(batch)
    axis = model.contract.inputs[0].time_axis
    frames = inputs["x"].shape[axis]
    cuts = sorted({1, 2, frames // 2})
    parts = [stream.push(part) for part in np.split(inputs["x"], cuts, axis)]
    parts = [part if isinstance(part, dict) else {ports[0].name: part} for part in parts]
    outputs = [
        np.concatenate([part[port.name] for part in parts], port.time_axis)
        if port.time_axis is not None
        else parts[-1][port.name]
        for port in ports
    ]
    user = [state.name for state in model.contract.states if state.kind == "user"]
    layers = {name.rpartition("_l")[0]: [] for name in user}
    for name in user:
        layers[name.rpartition("_l")[0]].append(stream.state[name])
    return [*outputs, *(np.concatenate(parts) for parts in layers.values())]


def test_the_page_has_the_table_that_is_proven_here():
    assert table_of_page() == table(), "run: python -m tests.shared.recurrent_support"
