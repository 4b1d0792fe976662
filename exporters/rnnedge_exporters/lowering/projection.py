"""An LSTM that projects its hidden state, as a loop over steps: ONNX's ``LSTM`` has no projection.

torch's exporter makes a ``Scan`` of the loop, with the step as its body. What does not depend on
the state, the product with the input, is computed before it for all frames at once.

Source of the formula: `torch.nn.LSTM`, argument `proj_size`; H. Sak et al., "Long short-term memory
based recurrent neural network architectures", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan


class ProjectedLSTM(nn.Module):
    """One layer in one or two directions; shapes as in `capture/operators.py`."""

    def __init__(self, weights: Sequence[Tensor], directions: int) -> None:
        """Keeps the weights, transposed as products take them, with both biases in one."""
        super().__init__()
        count = len(weights) // directions
        for direction in range(directions):
            w_ih, w_hh, *biases, w_hr = weights[direction * count : (direction + 1) * count]
            self.register_buffer(f"W_{direction}", w_ih.mT.contiguous())
            self.register_buffer(f"R_{direction}", w_hh.mT.contiguous())
            self.register_buffer(f"P_{direction}", w_hr.mT.contiguous())
            bias = torch.stack(biases).sum(0) if biases else None
            self.register_buffer(f"B_{direction}", bias)
        self.directions = directions

    def forward(
        self, x: Tensor, h0: Tensor, c0: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns y [time, batch, D * projected] and the final states [D, batch, ...]."""
        parts = [self._run(d, x, h0[d], c0[d], lengths) for d in range(self.directions)]
        if self.directions == 1:
            y, h, c = parts[0]
            return y, h.unsqueeze(0), c.unsqueeze(0)
        ys, hs, cs = zip(*parts, strict=True)
        return torch.cat(ys, -1), torch.stack(hs), torch.stack(cs)

    def _run(
        self, direction: int, x: Tensor, h: Tensor, c: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        gates = x @ getattr(self, f"W_{direction}")
        bias = getattr(self, f"B_{direction}")
        gates = gates if bias is None else gates + bias
        recurrent, projection = getattr(self, f"R_{direction}"), getattr(self, f"P_{direction}")
        frames: tuple[Tensor, ...] = (gates,)
        if lengths is not None:
            steps = torch.arange(x.shape[0]).unsqueeze(1)
            frames = (gates, (steps < lengths).unsqueeze(-1))

        def step(state: Any, frame: Any) -> Any:
            h, c = state
            gate = frame[0] + h @ recurrent
            # PyTorch's order of gates: input, forget, cell, output.
            i, f, g, o = gate.chunk(4, -1)
            new_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new_h = (torch.sigmoid(o) * torch.tanh(new_c)) @ projection
            if lengths is None:
                return (new_h, new_c), new_h.clone()
            # After a row's end its state stays as it is, so a layer that runs backwards begins
            # with the row's last frame.
            counts = frame[1]
            y = torch.where(counts, new_h, 0.0)
            return (torch.where(counts, new_h, h), torch.where(counts, new_c, c)), y

        (h, c), y = scan(step, (h, c), frames, reverse=direction == 1)
        return y, h, c
