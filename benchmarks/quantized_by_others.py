"""An int8 step of one cell by other runtimes beside ours: one frame, one row, one thread.

onnxruntime has no int8 GRU or RNN, and neither has OpenVINO: what nncf makes of its GRU gives the
float results to the bit, in the same time. So OpenVINO and LiteRT get PyTorch's cell, ``GRUCell``
for instance, which their converters write in plain products, and quantise these: OpenVINO weights
only, and calibrated, all in integers; LiteRT with ranges found on the fly, as ours. Each feeds its
own state back, by numpy, as a user of its Python API does.

Signal to noise is of 300 random frames through random weights, against PyTorch in float. Medians
in microseconds, all by turns in one process, and the fastest tenth, which other work on the machine
disturbs less.

Needs the packages of ``requirements/peers.txt``; what is not installed is left out and named.
Run it: ``python -m benchmarks.quantized_by_others [--seconds 60]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

import rnnedge
from benchmarks.cells import Cell
from rnnedge.benchmark.peers.openvino import settings
from rnnedge.benchmark.peers.quiet import silent
from rnnedge.benchmark.trials import take_turns
from rnnedge_exporters.quantize import QuantizeOptions, quantize_model

CELLS = [Cell(kind, size, size) for size in (128, 256, 512) for kind in ("RNN", "GRU", "LSTM")]
FRAMES = 300
CELL_CLASSES: dict[str, type[nn.RNNCellBase]] = {
    "RNN": nn.RNNCell,
    "GRU": nn.GRUCell,
    "LSTM": nn.LSTMCell,
}

Run: TypeAlias = Callable[[list[np.ndarray]], Sequence[np.ndarray]]
"""Frame and states, ``[1, size]`` each, to the next states; the first of them is the output."""


class Step(nn.Module):
    """One frame of a layer, in PyTorch's own cell."""

    def __init__(self, cell: Cell, layer: nn.RNNBase) -> None:
        super().__init__()
        self.cell = CELL_CLASSES[cell.kind](cell.features, cell.hidden)
        named = {name.removesuffix("_l0"): value for name, value in layer.state_dict().items()}
        self.cell.load_state_dict(named)

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        after = self.cell(x, states if len(states) > 1 else states[0])
        return after if isinstance(after, tuple) else (after,)


def openvino(step: Step, example: list[np.ndarray], frames: np.ndarray) -> dict[str, Run]:
    import nncf
    import openvino as ov

    given = tuple(torch.from_numpy(array) for array in example)
    model = ov.convert_model(step, example_input=given)
    model.reshape({port: list(a.shape) for port, a in zip(model.inputs, example, strict=True)})
    rows, states = [], example[1:]
    for frame in frames:
        rows.append([frame, *states])
        with torch.no_grad():
            after = step(*(torch.from_numpy(array) for array in rows[-1]))
        states = [state.numpy() for state in after]
    models = {
        "OpenVINO float": model,
        "OpenVINO weights": nncf.compress_weights(
            model.clone(), mode=nncf.CompressWeightsMode.INT8_SYM
        ),
        "OpenVINO int8": nncf.quantize(model.clone(), nncf.Dataset(rows), subset_size=len(rows)),
    }

    def runner(model: Any) -> Run:
        request = ov.Core().compile_model(model, "CPU", settings(threads=1)).create_infer_request()
        return lambda given: list(request.infer(given, share_inputs=True).values())

    return {name: runner(model) for name, model in models.items()}


def litert(step: Step, example: list[np.ndarray], frames: np.ndarray) -> dict[str, Run]:
    del frames
    import litert_torch
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    with tempfile.TemporaryDirectory() as folder:
        path, smaller = Path(folder) / "step.tflite", Path(folder) / "int8.tflite"
        given = tuple(torch.from_numpy(array) for array in example)
        litert_torch.convert(step, given).export(str(path))
        quantized = quantizer.Quantizer(str(path), recipe.dynamic_wi8_afp32()).quantize()
        quantized.export_model(str(smaller))
        files = {"LiteRT float": path.read_bytes(), "LiteRT int8": smaller.read_bytes()}

    def runner(content: bytes) -> Run:
        run = Interpreter(model_content=content, num_threads=1).get_signature_runner()
        results = [f"output_{index}" for index in range(len(example) - 1)]

        def call(given: list[np.ndarray]) -> Sequence[np.ndarray]:
            found = run(**{f"args_{index}": array for index, array in enumerate(given)})
            return [found[name] for name in results]

        return call

    return {name: runner(content) for name, content in files.items()}


def streaming(run: Run, example: list[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A step that carries its state; it takes and returns ``[1, size]``."""
    states = [array.copy() for array in example[1:]]

    def step(frame: np.ndarray) -> np.ndarray:
        states[:] = run([frame, *states])
        return states[0]

    return step


def measure_cell(cell: Cell, seconds: float) -> dict[str, Any]:
    """Times and noise of one cell by every way that is installed."""
    module = cell.module()
    step = Step(cell, module.rnn).eval()
    size = [1, cell.hidden]
    example = [np.zeros(size, np.float32) for _ in range(3 if cell.kind == "LSTM" else 2)]
    frames = np.random.default_rng(0).standard_normal((FRAMES, *size), dtype=np.float32)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = cell.export(Path(folder), one_frame=True).read_bytes()
    smaller = quantize_model(data, QuantizeOptions(compute_from=0)).to_bytes()
    for name, file in (("ours float", data), ("ours int8", smaller)):
        stream = rnnedge.load(file).stream()
        ways[name] = lambda frame, s=stream: s.push(frame[None])[0]
    left_out = {}
    for convert in (openvino, litert):
        try:
            with silent():
                found = convert(step, example, frames)
        except ImportError as error:
            left_out[convert.__name__] = f"{error.name} is not installed"
            continue
        ways |= {name: streaming(run, example) for name, run in found.items()}
    with torch.no_grad():
        expected = module(torch.from_numpy(frames).transpose(0, 1))[0][0].numpy()
    noise = {}
    for name, way in ways.items():
        apart = np.concatenate([way(frame).copy() for frame in frames]) - expected
        noise[name] = 10 * np.log10((expected**2).sum() / max((apart**2).sum(), 1e-30))
    steps = {name: (lambda w=way: w(frames[0])) for name, way in ways.items()}
    times = take_turns(steps, seconds=seconds)
    return {
        "cell": str(cell),
        "us": {name: taken.p50_us for name, taken in times.items()},
        "fast_us": {name: taken.percentile_us(10) for name, taken in times.items()},
        "snr_db": noise,
        "left_out": left_out,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=90)
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    for cell in CELLS:
        row = measure_cell(cell, seconds / len(CELLS))
        print(f"{row['cell']:<20}{'µs':>9}{'fastest tenth':>15}{'dB':>7}")
        for name, us in row["us"].items():
            print(f"  {name:<18}{us:>9.1f}{row['fast_us'][name]:>15.1f}{row['snr_db'][name]:>7.1f}")
        for name, why in row["left_out"].items():
            print(f"  {name:<18} left out: {why}")


if __name__ == "__main__":
    main()
