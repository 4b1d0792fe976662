"""Mermaid text, to the letter."""

from __future__ import annotations

import pytest

from rnnedge.report.picture.mermaid import to_mermaid
from rnnedge.report.picture.model import Box, Picture


def test_a_small_network_to_the_letter(net) -> None:
    x = net.conv("encoder.conv", net.add("/Transpose", "x", perm=[0, 2, 1]))
    x = net.add("/Relu", x)
    y = net.gru("encoder.gru", x, 8, 8)
    net.output(net.add("/Add", net.delay(x, "add"), y), "y", "batch", "time", 8, delay=3)
    assert to_mermaid(net.picture()) == (
        "flowchart TD\n"
        '    b0(["<b>x</b><br/>float32[batch, time, 8]"])\n'
        '    b3{{"Add"}}\n'
        '    b4(["<b>y</b><br/>float32[batch, time, 8]<br/>delay 3 frames"])\n'
        '    subgraph f0["encoder"]\n'
        '        b1["<b>encoder.conv</b><br/>Conv1d 8→8, kernel 5, ReLU"]\n'
        '        b2["<b>encoder.gru</b><br/>GRU 8→8"]\n'
        "    end\n"
        "    b0 --> b1\n"
        "    b1 --> b2\n"
        '    b1 -->|"delay 3"| b3\n'
        "    b2 --> b3\n"
        "    b3 --> b4\n"
        '    b1 -.->|"context 4 frames"| b1\n'
        '    b2 -.->|"h 1×8"| b2\n'
    )


def test_loops_of_one_box_are_lines_of_one_label(net) -> None:
    net.output(
        net.gru("gru", net.gru("gru", "x", 8, 16, "_1"), 16, 4, "_2"), "y", "batch", "time", 4
    )
    assert 'b1 -.->|"h_1 1×16<br/>h_2 1×4"| b1\n' in to_mermaid(net.picture())


@pytest.mark.parametrize(
    ("name", "text"), [('a"]', "a#34;]"), ("<b>", "#60;b#62;"), ("a#b`", "a#35;b#96;")]
)
def test_what_would_be_markup_is_escaped(name, text) -> None:
    assert f'b0["{text}"]' in to_mermaid(Picture((Box("key", "module", name),), ()))
