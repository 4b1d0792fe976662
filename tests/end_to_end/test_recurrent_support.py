"""Each cell of the support table of recurrent modules, against PyTorch; and the table's page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from recurrent_modules import Cell
from recurrent_support import ROWS, YES, table, table_of_page
from torch.utils import _pytree as pytree

import rnnedge
from rnnedge_exporters import CaptureError, StreamingError, convert
from rnnedge_exporters.capture import copied
from rnnedge_runtime import ProviderError

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated"),
]
SIZES = ((4, 9), (1, 5), (2, 23))
SOME = (
    "`RNN` (tanh, relu), `LSTM`, `GRU`",
    "packed, bidirectional, several layers",
    "`proj_size` of `LSTM`",
)


def how_long(row):
    return pytest.mark.slow if row.option in SOME else pytest.mark.long


CELLS = [
    pytest.param(
        row,
        mode,
        id=f"{row.option}-{mode}",
        marks=how_long(row),
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
    data = convert(module, row.inputs, mode=mode).to_bytes()
    assert_equal(row, mode, rnnedge.load(data), module.float())


def assert_equal(row, mode, model, module):
    """At most 4 times as far from PyTorch in float64 as PyTorch in float32 is, or 1e-6."""
    for batch, frames in SIZES:
        batch = batch if "batch" in row.inputs["x"] else 1
        inputs = arguments(row, mode, batch, frames)
        expected, single = truth(module, inputs, mode, torch.float64), truth(module, inputs, mode)
        inputs = {name: value.numpy() for name, value in inputs.items()}
        got = whole(model, inputs) if mode == "sequence" else in_chunks(model, inputs, batch)
        # What the module holds is a result of the file only.
        assert len(got) >= len(expected)
        for ours, exact, theirs in zip(got, expected, single, strict=False):
            assert ours.shape == exact.shape
            own = np.abs(theirs.numpy() - exact.numpy()).max(initial=0)
            assert np.abs(ours - exact.numpy()).max(initial=0) <= max(1e-6, 4 * own)


def truth(module, inputs, mode, dtype=torch.float32):
    """What a fresh module gives; one that sees one frame runs over them one by one."""
    module = copied(module).to(dtype)
    inputs = {n: x.to(dtype) if x.is_floating_point() else x for n, x in inputs.items()}
    with torch.no_grad():
        if not isinstance(module, Cell):
            return pytree.tree_leaves(module(**inputs))
        if mode == "sequence":
            return pytree.tree_leaves(module(**inputs)[0])
        ys, state = [], None
        for frame in inputs["x"].unbind(1):
            y, state = module(frame, state)
            ys.append(y)
        return [torch.stack(ys, 1), *pytree.tree_leaves(state)]


FULL_PRECISION = {"load_config": json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "f32"}})}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            r, id=r.option, marks=pytest.mark.slow if r.option in SOME else pytest.mark.long
        )
        for r in ROWS
        if r.stream == YES
    ],
)
def test_a_stream_is_the_same_on_another_provider(row):
    torch.manual_seed(0)
    module = row.make().eval()
    data = convert(module, row.inputs).to_bytes()
    model, refusal = None, ""
    try:
        model = rnnedge.load(data, provider="openvino", provider_options=FULL_PRECISION)
    except ProviderError as error:
        refusal = error.what
    if "not available" in refusal:
        pytest.skip(f"OpenVINO finds no device it supports: {refusal}")
    if row.openvino == YES:
        assert not refusal
        assert_equal(row, "stream", model, module.float())
    else:
        assert re.match(r"no: ([\w ]+)", row.openvino)[1] in refusal


def arguments(row, mode, batch, frames):
    """Random ones; no row is as long as the padding."""
    sizes = {"batch": batch, "time": frames}
    dims = re.findall(r"\w+", row.inputs["x"].partition("[")[2])
    if mode == "stream" and "time" not in dims:  # it sees one frame, the stream all of them
        dims.insert(1, "time")
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
    layers = {}
    for name in user:
        layers.setdefault(re.sub(r"_l\d+$", "", name), []).append(stream.state[name])
    return [*outputs, *(np.concatenate(parts) for parts in layers.values())]


def test_the_page_has_the_table_that_is_proven_here():
    assert table_of_page() == table(), "run: python tests/shared/recurrent_support.py"
