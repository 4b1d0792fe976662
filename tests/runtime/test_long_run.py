"""Streams that never end: no drift, no growth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

STATM = Path("/proc/self/statm")

# In a process of its own, as on a device: other tests' garbage comes and goes by megabytes.
RUN = """
import gc, resource, sys
import numpy as np
from rnnedge_runtime import load

stream = load(sys.argv[1]).stream(batch=2)
x = np.random.default_rng(0).standard_normal((2, 64, 4), dtype=np.float32)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def run(pushes):
    for number in range(pushes):
        # More lengths than are kept, so that buffers come and go.
        stream.push(x[:, : 1 + number % 16])
        if number % 100 == 0:
            stream.restore(stream.snapshot())
            stream.fork().push(x)
            stream.reset(rows=[1])

run(5_000)
before = resident()
run(30_000)
print(resident() - before)
"""


@pytest.mark.long
def test_a_million_frames_stay_as_exact_as_the_first(make_twin):
    twin = make_twin("GRU", features=4, hidden=8, layers=1, seed=5)
    chunk, chunks = 10_000, 100
    stream = twin.load().stream()
    oracle = torch.nn.GRU(4, 8, batch_first=True).double()
    oracle.load_state_dict(twin.module.state_dict())
    hidden, errors = None, []
    for number in range(chunks):
        x = twin.signal(1, chunk, seed=number)
        # Frames one by one at the start of each chunk, then the rest in pieces of two lengths.
        pieces = np.split(x, [1, 2, 3, 500, 997, 5000], axis=1)
        y = np.concatenate([stream.push(piece) for piece in pieces], axis=1)
        with torch.no_grad():
            truth, hidden = oracle(torch.from_numpy(x).double(), hidden)
        errors.append(np.abs(y - truth.numpy()).max())
    assert stream.frames == chunk * chunks
    assert max(errors[-10:]) <= 2 * max(errors[:10])
    assert max(errors) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_memory_stays_flat_however_long_a_stream_runs(make_twin, tmp_path):
    path = tmp_path / "gru.onnx"
    path.write_bytes(make_twin("GRU", features=4, hidden=8, layers=1, seed=5).data)
    words = [sys.executable, "-c", RUN, path]
    grown = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert int(grown) < 2 * 2**20
