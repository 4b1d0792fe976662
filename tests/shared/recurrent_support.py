"""What is supported of recurrent modules: a table, each of whose cells is a test.

`tests/end_to_end/test_recurrent_support.py` proves each cell, and that docs/recurrent.md has this
table. To write it there anew, from the root of the repository:

    python -m tests.shared.recurrent_support
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

PAGE = Path(__file__).parents[2] / "docs" / "recurrent.md"
INPUT, HIDDEN = 4, 3
BATCHED = {"x": f"float32[batch, time, {INPUT}]"}
WITH_LENGTHS = {**BATCHED, "lengths": "int64[batch]"}
YES = "yes"
BIDIRECTIONAL = "no: bidirectional over time, its backward half needs the end first"
PACKED = "no: packed sequence, and a stream has no padding"
LENGTH = "no: it computes with the number of frames, which a chunk does not know"


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        option: what a reader looks for.
        make: the module that proves it.
        inputs: as ``--input`` has them.
        stream: ``yes``, or the reason why not, whose first words the error has.
        sequence: the same for ``--mode sequence``.
    """

    option: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, str] = BATCHED
    stream: str = YES
    sequence: str = YES


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


ROWS = [
    Row("`RNN` (tanh, relu), `LSTM`, `GRU`", kinds),
    Row("several layers, with dropout", lambda: kinds(num_layers=3, dropout=0.2)),
    Row("`bidirectional=True`", lambda: kinds(bidirectional=True), stream=BIDIRECTIONAL),
    Row("`bias=False`", lambda: kinds(bias=False)),
    Row("initial state an argument of forward", one_state),
    Row("initial state learned", learned_start),
    Row("`proj_size` of `LSTM`", lambda: alone(lstm(num_layers=2, proj_size=2))),
    Row("`proj_size`, `bias=False`", lambda: alone(lstm(proj_size=2, bias=False))),
    Row(
        "`proj_size`, bidirectional",
        lambda: alone(lstm(num_layers=2, proj_size=2, bidirectional=True)),
        stream=BIDIRECTIONAL,
    ),
    Row("input without a batch", unbatched, {"x": f"float32[time, {INPUT}]"}),
    Row("packed, batch first", lambda: packed(lstm()), WITH_LENGTHS, PACKED),
    Row("packed, time first", lambda: packed(nn.GRU(INPUT, HIDDEN)), WITH_LENGTHS, PACKED),
    Row("packed, `enforce_sorted=False`", lambda: packed(gru(), sort=False), WITH_LENGTHS, PACKED),
    Row(
        "packed, bidirectional, several layers",
        lambda: packed(lstm(num_layers=2, bidirectional=True)),
        WITH_LENGTHS,
        PACKED,
    ),
    Row(
        "packed, `proj_size`, bidirectional",
        lambda: packed(lstm(proj_size=2, bidirectional=True)),
        WITH_LENGTHS,
        PACKED,
    ),
    Row(
        "unpacked to a `total_length`, with a `padding_value`",
        lambda: packed(gru(), total=True, value=-1.0),
        WITH_LENGTHS,
        PACKED,
    ),
    Row("layers on the `data` of a packed sequence", packed_data, WITH_LENGTHS, PACKED),
    Row("`pack_sequence`", packed_sequences, {"x": f"float32[time, 3, {INPUT}]"}, LENGTH),
    Row("one module called twice", twice),
    Row("several modules, `ModuleList`, `LayerNorm` between", deep),
    Row("modules that share weights", tied),
    Row("weights by `torch.nn.utils.parametrize`", parametrized),
    Row("weights by `parametrizations.weight_norm`", weight_normed),
    Row("weights by the older `torch.nn.utils.weight_norm`", old_weight_norm),
    Row(
        "`module.double()`: exported as float32",
        lambda: alone(lstm()).double(),
        {"x": f"float64[batch, time, {INPUT}]"},
    ),
    Row(
        "`module.half()`: exported as float32",
        lambda: alone(gru()).half(),
        {"x": f"float16[batch, time, {INPUT}]"},
    ),
]


def table() -> str:
    """The rows as Markdown."""
    lines = ["| module and option | sequence | stream |", "|---|---|---|"]
    lines += [f"| {row.option} | {row.sequence} | {row.stream} |" for row in ROWS]
    return "\n".join(lines) + "\n"


_TABLE = re.compile(r"(?<=<!-- table: begin -->\n).*?(?=<!-- table: end -->)", re.DOTALL)


def table_of_page() -> str:
    """What docs/recurrent.md has."""
    found = _TABLE.search(PAGE.read_text("utf-8"))
    return found[0] if found else ""


def main() -> None:
    """Writes the table into docs/recurrent.md."""
    PAGE.write_text(_TABLE.sub(lambda _: table(), PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
