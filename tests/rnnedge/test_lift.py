"""Lifting files of PyTorch's own exporter: the stream equals the module in float64."""

from __future__ import annotations

import copy
import itertools
import warnings
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional

import rnnedge
from rnnedge.adoption import AdoptionError, LiftOptions, lift
from rnnedge.adoption.options import parse_axes

FRAMES = 40


def exported(path: Path, module: nn.Module, x: torch.Tensor, axes: str, *, dynamo: bool) -> Path:
    """By the stock exporter; `axes` names which sizes stay free."""
    names = [word.strip() for word in axes.partition(":")[2].split(",")]
    free = {i: name for i, name in enumerate(names) if name in ("batch", "time")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = (dict.fromkeys(free, torch.export.Dim.DYNAMIC),)
            torch.onnx.export(
                module, (x,), path, dynamo=True, input_names=["x"], dynamic_shapes=shapes,
                verbose=False,
            )  # fmt: skip
        else:
            torch.onnx.export(
                module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": free}
            )
    return path


def random(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape)


def check_stream(model: rnnedge.Model, module: nn.Module, axes: str, time: int) -> None:
    """Random chunks of 3 rows against the module in float64; then one row that starts anew."""
    sizes = {"batch": 3, "time": FRAMES}
    words = [word.strip() for word in axes.partition(":")[2].split(",")]
    x = random(tuple(sizes.get(word) or int(word) for word in words))
    with torch.no_grad():
        exact = copy.deepcopy(module).double()(torch.from_numpy(x)).numpy()
    (port,) = model.contract.outputs
    stream = model.stream(batch=3)
    edges = np.cumsum([0, 1, 1, 0, 7, 2, 20, 9])
    got = [
        stream.push(np.ascontiguousarray(x.take(range(a, b), time), np.float32))
        for a, b in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(np.concatenate(got, port.time_axis), exact, rtol=0, atol=5e-6)
    stream.reset(rows=[1])
    again = stream.push(np.ascontiguousarray(x, np.float32))
    row = (port.batch_axis, [1])
    np.testing.assert_allclose(
        again.take(row[1], row[0]), exact.take(row[1], row[0]), rtol=0, atol=5e-6
    )


class Recurrent(nn.Module):
    def __init__(self, cell: type[nn.Module], layers: int = 2) -> None:
        super().__init__()
        self.cell = cell(5, 4, layers, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.cell(x)[0])


class Chomped(nn.Module):
    """A temporal convolutional network as it is written most: pad both sides, cut the end."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(4, 4, 3, padding=2 * 2**i, dilation=2**i) for i in range(3)
        )
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Conv1d(4, 2, 1)

    def forward(self, x):
        for index, layer in enumerate(self.layers):
            x = x + self.norm(layer(x)[:, :, : -2 * 2**index]).relu()
        return self.out(x)


class CutToLength(Chomped):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)[..., : x.shape[-1]].tanh()
        return self.out(x)


class Spectral(nn.Module):
    """Time and frequency: a causal 2-d convolution, then a recurrence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, (3, 3), padding=(0, 1))
        self.gru = nn.GRU(15, 6, batch_first=True)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        y = self.conv(functional.pad(x[:, None], (0, 0, 2, 0))).relu()
        return self.norm(self.gru(y.transpose(1, 2).flatten(2))[0]).softmax(-1)


class DualPath(nn.Module):
    """Recurrent over frequency, both ways, time in its batch; then over time."""

    def __init__(self) -> None:
        super().__init__()
        self.bands = nn.GRU(2, 3, batch_first=True, bidirectional=True)
        self.time = nn.GRU(6, 4, batch_first=True)

    def forward(self, x):
        batch, time, bands, features = x.shape
        y = self.bands(x.reshape(batch * time, bands, features))[0]
        y = y.reshape(batch, time, bands, 6).permute(0, 2, 1, 3).reshape(batch * bands, time, 6)
        return self.time(y)[0].reshape(batch, bands, time, 4).permute(0, 2, 1, 3)


class BandsFirst(nn.Module):
    """Rows folded the other way round: bands outside, batch inside."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.GRU(2, 4)

    def forward(self, x):
        batch, time, bands, features = x.shape
        y = x.permute(1, 2, 0, 3).reshape(time, bands * batch, features)
        return self.time(y)[0].reshape(time, bands, batch, 4).permute(2, 0, 1, 3)


class Cached(nn.Module):
    """Zeros joined on before the signal."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 4)

    def forward(self, x):
        return self.conv(torch.cat([x.new_zeros(x.shape[0], 4, 3), x], 2))


class PaddedOnce(nn.Module):
    """One large padding, two layers without."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(4, 4, 3), nn.Conv1d(4, 4, 3, dilation=3)

    def forward(self, x):
        return self.two(self.one(functional.pad(x, (8, 0))).tanh())


class PaddedWithOnes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3)

    def forward(self, x):
        return self.conv(functional.pad(x, (2, 0), value=1.0))


class Shifted(nn.Module):
    """Each frame beside the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 4, batch_first=True)

    def forward(self, x):
        before = functional.pad(x, (0, 0, 1, 0))[:, :-1]
        return self.gru(torch.cat([x, before], -1))[0]


class TrainedStart(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 3, batch_first=True)
        self.start = nn.Parameter(torch.randn(1, 1, 3))

    def forward(self, x):
        return self.gru(x, self.start.expand(-1, x.shape[0], -1).contiguous())[0]


CASES: dict[str, tuple[Any, str]] = {
    "rnn": (lambda: Recurrent(nn.RNN), "x: batch, time, 5"),
    "gru": (lambda: Recurrent(nn.GRU), "x: batch, time, 5"),
    "lstm": (lambda: Recurrent(nn.LSTM), "x: batch, time, 5"),
    "chomped": (Chomped, "x: batch, 4, time"),
    "cut": (CutToLength, "x: batch, 4, time"),
    "spectral": (Spectral, "x: batch, time, 5"),
    "dual path": (DualPath, "x: batch, time, 9, 2"),
    "bands first": (BandsFirst, "x: batch, time, 9, 2"),
    "cached": (Cached, "x: batch, 4, time"),
    "padded once": (PaddedOnce, "x: batch, 4, time"),
    "padded with ones": (PaddedWithOnes, "x: batch, 4, time"),
    "shifted": (Shifted, "x: batch, time, 4"),
    "trained start": (TrainedStart, "x: batch, time, 4"),
}
DYNAMO = ("lstm", "chomped", "cut", "spectral", "cached", "padded once")
"""Of the others, the new exporter freezes batch or time, or refuses the module."""


def made(name: str) -> tuple[nn.Module, torch.Tensor, str, int]:
    torch.manual_seed(0)
    make, axes = CASES[name]
    words = [word.strip() for word in axes.partition(":")[2].split(",")]
    shape = [{"batch": 2, "time": 7}.get(word) or int(word) for word in words]
    return make().eval(), torch.randn(shape), axes, words.index("time")


@pytest.mark.parametrize(
    ("name", "dynamo"),
    [(name, False) for name in CASES]
    + [pytest.param(name, True, marks=pytest.mark.slow) for name in DYNAMO],
)
def test_a_lifted_file_streams_as_the_module_does(tmp_path, name, dynamo) -> None:
    module, x, axes, time = made(name)
    path = exported(tmp_path / "old.onnx", module, x, axes, dynamo=dynamo)
    result = lift(path, LiftOptions(axes=parse_axes([axes])))
    check_stream(rnnedge.load(result.model), module, axes, time)


def test_states_are_named_after_their_nodes_and_keep_their_start(tmp_path) -> None:
    found = {}
    for name in ("lstm", "chomped", "trained start", "padded with ones", "bands first"):
        module, x, axes, _ = made(name)
        path = exported(tmp_path / f"{name}.onnx", module, x, axes, dynamo=False)
        contract = rnnedge.load(lift(path, LiftOptions()).model).contract
        found[name] = [(s.name, s.kind, s.shape, s.batch_outer) for s in contract.states]
        if name == "padded with ones":
            assert contract.states[0].fill == 1.0
        if name == "trained start":
            start = rnnedge.load(lift(path, LiftOptions()).model).initial_state(2)["gru.h"]
            np.testing.assert_array_equal(start[0, 1], module.start[0, 0].detach().numpy())
    assert found["lstm"] == [
        ("cell.h", "hidden", (1, "batch", 4), 1),
        ("cell.c", "cell", (1, "batch", 4), 1),
        ("cell_1.h", "hidden", (1, "batch", 4), 1),
        ("cell_1.c", "cell", (1, "batch", 4), 1),
    ]
    assert found["chomped"][2] == ("layers.2.context", "context", ("batch", 4, 8), 1)
    assert found["bands first"] == [("time.h", "hidden", (1, "9*batch", 4), 9)]


@pytest.mark.parametrize("name", ["lstm", "chomped", "spectral", "cached", "padded once"])
def test_with_any_one_state_left_out_the_proof_fails(tmp_path, name) -> None:
    module, x, axes, _ = made(name)
    path = exported(tmp_path / "old.onnx", module, x, axes, dynamo=False)
    count = len(rnnedge.load(lift(path, LiftOptions()).model).contract.states)
    for index in range(count):
        with pytest.raises(AdoptionError) as caught:
            lift(path, LiftOptions(), choose=lambda kept, i=index: [*kept[:i], *kept[i + 1 :]])
        assert "in random chunks" in caught.value.what


def test_the_last_frame_and_final_states_are_outputs_without_time(tmp_path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(5, 4, batch_first=True)

        def forward(self, x):
            y, h = self.gru(x)
            return y[:, -1], h

    torch.manual_seed(0)
    module = Both().eval()
    path = exported(
        tmp_path / "last.onnx", module, torch.randn(2, 7, 5), "x: batch, time, 5", dynamo=False
    )
    model = rnnedge.load(lift(path, LiftOptions()).model)
    assert [port.time_axis for port in model.contract.outputs] == [None, None]
    x = random((2, FRAMES, 5))
    stream = model.stream(batch=2)
    stream.push(x[:, :13].astype(np.float32))
    last, final = stream.push(x[:, 13:].astype(np.float32)).values()
    with torch.no_grad():
        exact = copy.deepcopy(module).double()(torch.from_numpy(x))
    np.testing.assert_allclose(last, exact[0], rtol=0, atol=5e-6)
    np.testing.assert_allclose(final, exact[1], rtol=0, atol=5e-6)


def test_a_batch_that_the_export_fixed_can_be_named_by_its_size(tmp_path) -> None:
    module, x, _, _ = made("gru")
    path = exported(tmp_path / "old.onnx", module, x, "x: 2, time, 5", dynamo=False)
    model = rnnedge.load(lift(path, LiftOptions(axes=parse_axes(["x: 2, time, 5"]))).model)
    assert [s.shape for s in model.contract.states] == [(1, 2, 4), (1, 2, 4)]
    given = random((2, FRAMES, 5))
    stream = model.stream()
    parts = [stream.push(given[:, a:b].astype(np.float32)) for a, b in ((0, 3), (3, FRAMES))]
    with torch.no_grad():
        exact = copy.deepcopy(module).double()(torch.from_numpy(given)).numpy()
    np.testing.assert_allclose(np.concatenate(parts, 1), exact, rtol=0, atol=5e-6)


def test_a_time_that_the_export_fixed_by_name_only_becomes_free(tmp_path) -> None:
    module, x, axes, time = made("padded once")
    path = exported(tmp_path / "old.onnx", module, x, "x: 2, 4, 7", dynamo=False)
    result = lift(path, LiftOptions(axes=parse_axes([axes])))
    check_stream(rnnedge.load(result.model), module, axes, time)


def test_a_frozen_detector_of_silero_gets_its_memory_back(tmp_path) -> None:
    """Its states are taken away first: stored as zeros, as a careless export would do."""
    original = Path(
        str(distribution("faster-whisper").locate_file("faster_whisper/assets/silero_vad_v6.onnx"))
    )
    model = onnx.load(original)
    for values in (model.graph.input, model.graph.output):
        for index in reversed(range(len(values))):
            if values[index].name in ("h", "c", "hn", "cn"):
                del values[index]
    zeros = np.zeros((1, 1, 128), np.float32)
    model.graph.initializer.extend(numpy_helper.from_array(zeros, name) for name in ("h", "c"))
    onnx.save(model, tmp_path / "frozen.onnx")
    lifted = rnnedge.load(lift(tmp_path / "frozen.onnx", LiftOptions()).model)
    assert [s.name for s in lifted.contract.states] == ["decoder.rnn.h", "decoder.rnn.c"]
    x = random((FRAMES, 576)).astype(np.float32)
    session = ort.InferenceSession(original, providers=["CPUExecutionProvider"])
    whole = session.run(["speech_probs"], {"input": x, "h": zeros, "c": zeros})[0]
    stream = lifted.stream()
    got = np.concatenate([stream.push(x[a:b]) for a, b in ((0, 1), (1, 30), (30, FRAMES))])
    np.testing.assert_allclose(got, whole, rtol=0, atol=1e-6)
