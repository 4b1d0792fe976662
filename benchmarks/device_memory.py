"""The memory of a process that runs one stream, beside the same network stepped in PyTorch.

Each line is a process of its own; its resident set is read at the end. "one model more" is what a
second file of the same kind adds to a process that runs one, and "one stream more" what a further
stream of the same file does.

Run it: ``python -m benchmarks.device_memory``
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import Cell

CELLS = [Cell("LSTM", 64, 128, 2), Cell("GRU", 512, 512, 2)]
STREAMS = 100

_RESIDENT = """
def resident():
    import os
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""
_RUNTIME = """
import numpy as np
from rnnedge_runtime import load
path, features, streams = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = np.zeros((1, 1, features), np.float32)
model = load(path)
stream = model.stream()
stream.push(x)
print(resident())
other = load(path)
another = other.stream()
another.push(x)
print(resident())
kept = [model.stream() for _ in range(streams)]
for one in kept:
    one.push(x)
print(resident())
"""
_TORCH = """
import torch
from torch import nn
kind, features, hidden, layers = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
module = getattr(nn, kind)(features, hidden, layers, batch_first=True).eval()
with torch.inference_mode():
    y, state = module(torch.zeros(1, 1, features))
    y, state = module(torch.zeros(1, 1, features), state)
print(resident())
"""


def resident_bytes(code: str, *arguments: object) -> list[int]:
    """What a Python process says that runs `code`."""
    whole = "import sys\n" + _RESIDENT + code
    command = [sys.executable, "-c", whole, *map(str, arguments)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root)
    return [int(line) for line in done.stdout.split()]


def measure() -> list[dict[str, object]]:
    """Resident bytes of each kind of process."""
    empty = resident_bytes("print(resident())")[0]
    rows: list[dict[str, object]] = []
    for cell in CELLS:
        with tempfile.TemporaryDirectory() as folder:
            path = cell.export(Path(folder))
            one, two, many = resident_bytes(_RUNTIME, path, cell.features, STREAMS)
            size = path.stat().st_size
        rows.append(
            {
                "cell": str(cell),
                "file_bytes": size,
                "python_bytes": empty,
                "runtime_bytes": one,
                "one_model_more_bytes": two - one,
                "one_stream_more_bytes": (many - two) / STREAMS,
                "torch_bytes": resident_bytes(_TORCH, *vars(cell).values())[0],
            }
        )
    return rows


def main() -> None:
    rows = measure()
    print(f"Python alone: {rows[0]['python_bytes'] / 2**20:.0f} MiB")
    print(f"{'cell':<18}{'file':>10}{'runtime':>10}{'torch':>10}", end="")
    print(f"{'one model more':>17}{'one stream more':>18}")
    for row in rows:
        print(f"{row['cell']:<18}", end="")
        for name in ("file", "runtime", "torch"):
            print(f"{row[f'{name}_bytes'] / 2**20:>6.1f} MiB", end="")
        print(f"{row['one_model_more_bytes'] / 2**20:>13.1f} MiB", end="")
        print(f"{row['one_stream_more_bytes'] / 2**10:>14.1f} KiB")


if __name__ == "__main__":
    main()
