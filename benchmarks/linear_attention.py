"""What onnxruntime's operator saves over a ``Scan``, for gated linear attention, batch 1.

The zoo's layer is exported twice: as it is done, and with the pass that finds the operator left
out. Both are streamed by turns in one process; medians over rounds, in microseconds per push.
Run it: ``python benchmarks/linear_attention.py``
"""

from __future__ import annotations

import statistics
import time
from unittest import mock

import numpy as np
import torch

from rnnedge.zoo.modern import GatedLinearAttention
from rnnedge_exporters import convert
from rnnedge_runtime import load

LAYERS = [(32, 64, 4), (64, 128, 8)]
CHUNKS = (1, 16, 64)
ROUNDS, STEPS = 20, 100


def main() -> None:
    """Prints a line for each layer and chunk."""
    print(f"{'inputs->hidden, heads':<24}{'frames':>7}{'Scan':>10}{'operator':>10}{'ratio':>7}")
    for inputs, hidden, heads in LAYERS:
        torch.manual_seed(0)
        module = GatedLinearAttention(inputs, hidden, heads).eval()
        spec = {"x": f"float32[batch, time, {inputs}]"}
        with mock.patch("rnnedge_exporters.convert.use_linear_attention", return_value=0):
            scanned = load(convert(module, spec).to_bytes()).stream()
        fused = load(convert(module, spec).to_bytes()).stream()
        for frames in CHUNKS:
            x = np.random.default_rng(0).standard_normal((1, frames, inputs), dtype=np.float32)
            np.testing.assert_allclose(scanned.push(x), fused.push(x), atol=1e-4)
            times: dict[str, list[float]] = {"scan": [], "operator": []}
            for _ in range(ROUNDS):
                for name, stream in (("scan", scanned), ("operator", fused)):
                    start = time.perf_counter()
                    for _ in range(STEPS):
                        stream.push(x)
                    times[name].append((time.perf_counter() - start) / STEPS * 1e6)
            ours, theirs = (statistics.median(values) for values in times.values())
            label = f"{inputs}->{hidden}, {heads}"
            print(f"{label:<24}{frames:>7}{ours:>10.1f}{theirs:>10.1f}{ours / theirs:>7.1f}")


if __name__ == "__main__":
    main()
