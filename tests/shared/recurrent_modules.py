"""Recurrent modules, one for each row of the table in `recurrent_support.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

import rnnedge

INPUT, HIDDEN = 4, 3


class Lambda(nn.Module):
    """A module whose forward is a function of itself and the input."""

    def __init__(self, function: Callable[..., Any], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Rows(Lambda):
    """As `Lambda`, and each row has a length."""

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        return self.function(self, x, lengths)


class Stated(Lambda):
    """As `Lambda`, and takes and returns a state."""

    def forward(self, x: Tensor, hidden: Any = None) -> Any:
        return self.function(self, x, hidden)


def lstm(size: int = INPUT, **more: Any) -> nn.LSTM:
    return nn.LSTM(size, HIDDEN, batch_first=True, **more)


def gru(size: int = INPUT, **more: Any) -> nn.GRU:
    return nn.GRU(size, HIDDEN, batch_first=True, **more)


def alone(rnn: nn.Module) -> nn.Module:
    return Lambda(lambda m, x: m.rnn(x), rnn=rnn)


def kinds(**more: Any) -> nn.Module:
    """One of each kind, side by side."""
    return Lambda(
        lambda m, x: [rnn(x) for rnn in m.rnns],
        rnns=nn.ModuleList(
            [
                nn.RNN(INPUT, HIDDEN, batch_first=True, **more),
                nn.RNN(INPUT, HIDDEN, batch_first=True, nonlinearity="relu", **more),
                lstm(**more),
                gru(**more),
            ]
        ),
    )


def packed(rnn: nn.RNNBase, sort: bool = True, **more: Any) -> nn.Module:
    def forward(m: Any, x: Tensor, lengths: Tensor) -> Any:
        first = rnn.batch_first
        x = x if first else x.transpose(0, 1)
        sequence = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=sort)
        y, final = m.rnn(sequence)
        options = {"total_length": x.shape[1 if first else 0]} if "total" in more else {}
        y, counts = pad_packed_sequence(
            y, batch_first=first, padding_value=more.get("value", 0.0), **options
        )
        return y, final, counts

    return Rows(forward, rnn=rnn)


def packed_data() -> nn.Module:
    def forward(m: Any, x: Tensor, lengths: Tensor) -> Any:
        sequence = pack_padded_sequence(x, lengths, batch_first=True)
        sequence = PackedSequence(m.inner(sequence.data).relu(), sequence.batch_sizes)
        y, final = m.rnn(sequence)
        y = y._replace(data=m.head(y.data))
        return pad_packed_sequence(y, batch_first=True)[0], final

    return Rows(forward, rnn=gru(), inner=nn.Linear(INPUT, INPUT), head=nn.Linear(HIDDEN, 2))


def packed_sequences() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        y, final = m.rnn(pack_sequence([x[:, 0], x[:, 1], x[:, 2]]))
        return pad_packed_sequence(y)[0], final

    return Lambda(forward, rnn=nn.GRU(INPUT, HIDDEN))


def unbatched() -> nn.Module:
    return Lambda(
        lambda m, x: (*m.lstm(x), *m.gru(x)),
        lstm=nn.LSTM(INPUT, HIDDEN, 2),
        gru=nn.GRU(INPUT, HIDDEN),
    )


def twice() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        y, _ = m.rnn(m.rnn(x)[0])
        return y

    return Lambda(forward, rnn=nn.GRU(INPUT, INPUT, batch_first=True))


def one_state() -> nn.Module:
    def forward(m: Any, x: Tensor, hidden: Any) -> Any:
        y, hidden = m.rnn(x, hidden)
        return m.head(y), hidden

    return Stated(forward, rnn=lstm(num_layers=2), head=nn.Linear(HIDDEN, 2))


def deep() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        for rnn, norm in zip(m.rnns, m.norms, strict=True):
            x = norm(rnn(x)[0])
        return x

    return Lambda(
        forward,
        rnns=nn.ModuleList([gru(), lstm(HIDDEN), nn.RNN(HIDDEN, HIDDEN, batch_first=True)]),
        norms=nn.ModuleList(nn.LayerNorm(HIDDEN) for _ in range(3)),
    )


def tied() -> nn.Module:
    first, second = gru(), gru()
    second.weight_ih_l0 = first.weight_ih_l0
    second.weight_hh_l0 = first.weight_hh_l0
    return Lambda(lambda m, x: m.first(x)[0] + m.second(2 * x)[0], first=first, second=second)


class Double(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight.tanh()


def parametrized() -> nn.Module:
    rnn = gru()
    parametrize.register_parametrization(rnn, "weight_hh_l0", Double())
    return alone(rnn)


def weight_normed() -> nn.Module:
    rnn = lstm(num_layers=2)
    for name in ("weight_ih_l0", "weight_hh_l1"):
        parametrizations.weight_norm(rnn, name)
    return alone(rnn)


def old_weight_norm() -> nn.Module:
    return alone(nn.utils.weight_norm(gru(), "weight_hh_l0"))


def learned_start() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        start = m.rnn.start.expand(1, x.shape[0], HIDDEN).contiguous()
        return m.rnn(x, start)[0]

    rnn = gru()
    rnn.start = nn.Parameter(torch.randn(1, 1, HIDDEN))
    return Lambda(forward, rnn=rnn)


def zeros(x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[0], HIDDEN)


def loop_of_cells() -> nn.Module:
    """Every cell of torch, one after the other, in one loop."""

    def forward(m: Any, x: Tensor) -> Any:
        a = b = c = d = zeros(x)
        ys = []
        for t in range(x.shape[1]):
            a = m.gru(x[:, t], a)
            b, c = m.lstm(a, (b, c))
            d = m.rnn(b, d)
            ys.append(d)
        return torch.stack(ys, 1)

    cells = {"gru": nn.GRUCell(INPUT, HIDDEN), "lstm": nn.LSTMCell(HIDDEN, HIDDEN)}
    return Lambda(forward, **cells, rnn=nn.RNNCell(HIDDEN, HIDDEN, nonlinearity="relu"))


def loop_of_formulas() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        h, y = zeros(x), x.new_zeros(x.shape[0], x.shape[1], HIDDEN)
        for t in range(x.shape[1]):
            gate = m.gate(torch.cat([x[:, t], h], 1)).sigmoid()
            h = gate * h + (1 - gate) * m.new(x[:, t]).tanh()
            y[:, t] = h
        return y

    return Lambda(forward, gate=nn.Linear(INPUT + HIDDEN, HIDDEN), new=nn.Linear(INPUT, HIDDEN))


def loop_with_number() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        h, ys = zeros(x), []
        for t in range(x.shape[1]):
            h = m.cell(x[:, t], h) / (t + 1)
            ys.append(h)
        return torch.stack(ys, 1)

    return Lambda(forward, cell=nn.GRUCell(INPUT, HIDDEN))


def scanned() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        def step(x_t: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(m.w(x_t) + m.u(h))
            return h, h

        return rnnedge.scan(step, x, zeros(x))[0]

    return Lambda(forward, w=nn.Linear(INPUT, HIDDEN), u=nn.Linear(HIDDEN, HIDDEN))


class Held(Lambda):
    """As `Lambda`, with a place to hold something in."""

    def __init__(self, function: Callable[..., Any], held: Any, **children: nn.Module) -> None:
        super().__init__(function, **children)
        if isinstance(held, Tensor):
            self.register_buffer("held", held)
        else:
            self.held = held


def attribute() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        y, m.held = m.rnn(x, m.held)
        return y

    return Held(forward, None, rnn=lstm(num_layers=2))


def dictionary() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        y, m.held["gru"] = m.rnn(x, m.held.get("gru"))
        return y

    return Held(forward, {}, rnn=gru())


def buffer() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        frames = torch.cat([m.held, x.transpose(1, 2)], 2)
        m.held.copy_(frames[:, :, -2:])
        return m.conv(frames).transpose(1, 2)

    return Held(forward, torch.zeros(1, INPUT, 2), conv=nn.Conv1d(INPUT, HIDDEN, 3))


def counter() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        m.held += 1
        return m.linear(x) * m.held

    return Held(forward, 0, linear=nn.Linear(INPUT, HIDDEN))


def per_call() -> nn.Module:
    def forward(m: Any, x: Tensor) -> Any:
        m.held += 1.0
        return m.linear(x) * m.held

    return Held(forward, torch.zeros(()), linear=nn.Linear(INPUT, HIDDEN))


class Cell(Lambda):
    """As `Lambda`, and sees one frame."""

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.function(self, x, state)


def cells() -> nn.Module:
    def forward(m: Any, x: Tensor, state: Any) -> Any:
        a, bc, d = (None, None, None) if state is None else state
        a = m.gru(x, a)
        bc = m.lstm(a, bc)
        d = m.rnn(bc[0], d)
        return d, (a, bc, d)

    cells = {"gru": nn.GRUCell(INPUT, HIDDEN), "lstm": nn.LSTMCell(HIDDEN, HIDDEN)}
    return Cell(forward, **cells, rnn=nn.RNNCell(HIDDEN, HIDDEN))


def own_cell() -> nn.Module:
    def forward(m: Any, x: Tensor, state: Any) -> Any:
        state = {"h": zeros(x), "slow": [zeros(x)]} if state is None else state
        h = torch.tanh(m.w(x) + m.u(state["h"]))
        slow = 0.9 * state["slow"][0] + 0.1 * h
        return h - slow, {"h": h, "slow": [slow]}

    return Cell(forward, w=nn.Linear(INPUT, HIDDEN), u=nn.Linear(HIDDEN, HIDDEN))
