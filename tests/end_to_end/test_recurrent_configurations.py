"""The grid of PyTorch's own ONNX tests, each equal to PyTorch; and what of it can stream.

The configurations of a group take the same input and are exported in one file. Of each two that
differ in dropout alone, which does nothing in evaluation mode, one is taken here; all 192 are
run by `benchmarks/recurrent_grid.py`.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.recurrent_grid import (
    BATCH_FIRST,
    CONFIGURATIONS,
    STREAMS,
    TOLERANCE,
    group_of,
    sequence_errors,
    specs,
    stream_errors,
)
from rnnedge_exporters import convert


def members(group, mode):
    found = [c for c in (CONFIGURATIONS if mode == "sequence" else STREAMS) if c.group == group]
    return [c for i, c in enumerate(found) if (i // 2 + i) % 2 == 0]


def wrong(configurations, mode):
    """Those whose file differs from PyTorch, with the error."""
    torch.manual_seed(0)
    module = group_of(configurations)
    data = convert(module, specs(module), mode=mode).to_bytes()
    errors = (sequence_errors if mode == "sequence" else stream_errors)(module, data)
    pairs = zip(configurations, errors, strict=True)
    return {str(c): error for c, error in pairs if not error <= TOLERANCE}


@pytest.mark.long
@pytest.mark.parametrize("group", sorted({c.group for c in CONFIGURATIONS}), ids=str)
def test_every_configuration_equals_pytorch(group):
    assert not wrong(members(group, "sequence"), "sequence")


@pytest.mark.long
@pytest.mark.parametrize("group", sorted({c.group for c in STREAMS}), ids=str)
def test_every_stream_equals_pytorch_in_chunks(group):
    assert not wrong(members(group, "stream"), "stream")


@pytest.mark.slow
def test_the_deepest_packed_configurations_equal_pytorch():
    deep = members((BATCH_FIRST, True), "sequence")
    assert not wrong([c for c in deep if c.layers == 3 and c.directions == 2], "sequence")


def test_there_are_as_many_configurations_as_pytorch_tests():
    assert len(set(CONFIGURATIONS)) == 192
    assert len(STREAMS) == 32
