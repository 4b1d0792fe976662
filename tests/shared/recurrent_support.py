"""What is supported of recurrent modules: a table, each of whose cells is a test.

`tests/end_to_end/test_recurrent_support.py` proves each cell, and that docs/recurrent.md has this
table. To write it there anew, from the root of the repository:

    python tests/shared/recurrent_support.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from recurrent_modules import (
    HIDDEN,
    INPUT,
    alone,
    attribute,
    buffer,
    cells,
    counter,
    deep,
    dictionary,
    gru,
    kinds,
    learned_start,
    loop_of_cells,
    loop_of_formulas,
    loop_with_number,
    lstm,
    old_weight_norm,
    one_state,
    own_cell,
    packed,
    packed_data,
    packed_sequences,
    parametrized,
    per_call,
    scanned,
    tied,
    twice,
    unbatched,
    weight_normed,
)
from torch import nn

PAGE = Path(__file__).parents[2] / "docs" / "recurrent.md"
BATCHED = {"x": f"float32[batch, time, {INPUT}]"}
WITH_LENGTHS = {**BATCHED, "lengths": "int64[batch]"}
YES = "yes"
BIDIRECTIONAL = "no: bidirectional over time, its backward half needs the end first"
PACKED = "no: packed sequence, and a stream has no padding"
LENGTH = "no: it computes with the number of frames, which a chunk does not know"
UNEVEN = "no: iterations are not alike"
NUMBER = "no: it is not a tensor and changes with every call"
PER_CALL = "no: something else in chunks than in one call"
ONE_FRAME = {"x": f"float32[batch, {INPUT}]"}


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        option: what a reader looks for.
        make: the module that proves it.
        inputs: as ``--input`` has them.
        stream: ``yes``, or the reason why not, whose first words the error has.
        sequence: the same for ``--mode sequence``.
        openvino: the same for the stream on OpenVINO, in full precision.
    """

    option: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, str] = BATCHED
    stream: str = YES
    sequence: str = YES
    openvino: str = YES


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
    Row("a Python loop over time around `RNNCell`, `GRUCell`, `LSTMCell`", loop_of_cells),
    Row("a Python loop over time with formulas of one's own", loop_of_formulas),
    Row("a loop that computes with its number", loop_with_number, BATCHED, UNEVEN, UNEVEN),
    Row("`rnnedge.scan`", scanned),
    Row("`RNNCell`, `GRUCell`, `LSTMCell` in a module that sees one frame", cells, ONE_FRAME),
    Row("a cell of one's own, its state nested", own_cell, ONE_FRAME),
    Row("state kept in an attribute, `None` at first", attribute),
    Row("state kept in a dict", dictionary),
    Row(
        "state kept in a buffer, written to in place",
        buffer,
        {"x": f"float32[1, time, {INPUT}]"},
    ),
    Row("a Python number that counts calls", counter, BATCHED, NUMBER, NUMBER),
    Row("a buffer that counts calls", per_call, BATCHED, PER_CALL),
]


def table() -> str:
    """The rows as Markdown."""
    heads = ("module and option", "sequence", "stream", "providers")
    rows = [(r.option, r.sequence, r.stream, _providers(r)) for r in ROWS]
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def _providers(row: Row) -> str:
    if row.stream != YES:
        return "CPU" if row.sequence == YES else ""
    return "CPU, OpenVINO" if row.openvino == YES else f"CPU; OpenVINO {row.openvino}"


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
