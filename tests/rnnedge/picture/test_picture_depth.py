"""Modules within modules: how deep to look, and the frames around what belongs together."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rnnedge.report.picture.build import Network
from rnnedge.report.picture.parts import take_apart
from rnnedge.report.picture.units import Unit


def nested(net):
    x = net.linear("encoder.a.fc", "x")
    x = net.conv("encoder.a.conv", x)
    x = net.gru("encoder.b", x, 8, 8)
    net.output(net.linear("head", x), "y", "batch", "time", 8)
    return net


def test_each_depth_tells_modules_apart_by_so_many_parts_of_their_path(net, boxes) -> None:
    nested(net)
    assert boxes(net.picture(1)) == ["encoder: 1 Linear, 1 Conv, 1 GRU", "head: Linear 8→8"]
    assert [box.partition(":")[0] for box in boxes(net.picture(2))] == [
        "encoder.a", "encoder.b", "head",
    ]  # fmt: skip
    assert boxes(net.picture(3))[0] == "encoder.a.fc: Linear 8→8"


def test_an_operator_of_a_parent_is_in_the_parent(net, boxes) -> None:
    x = net.linear("block.fc", "x")
    net.output(net.add("block/Add", x, "x"), "y", "batch", "time", 8)
    assert boxes(net.picture(1)) == ["block: 1 Linear, 1 Add"]
    assert boxes(net.picture(2)) == ["block.fc: Linear 8→8", "Add"]


def test_a_collapsed_module_keeps_the_states_of_what_is_in_it(net, edges) -> None:
    loops = [edge for edge in edges(nested(net).picture(1)) if "~" in edge]
    assert loops == ["encoder ~(a.conv.context 4 frames\nb.h 1×8)~> encoder"]


def test_a_module_that_data_leaves_and_comes_back_to_is_not_collapsed(u_net, boxes, edges) -> None:
    picture = u_net.picture(1)
    shown = [box.partition(":")[0] for box in boxes(picture)]
    assert [name for name in shown if name != "Concatenate"] == [
        "encoder", "middle.gru", *(f"decoder.{level}" for level in range(5)), "head",
    ]  # fmt: skip
    delays = [edge for edge in edges(picture) if "delay" in edge]
    assert delays == [f"encoder -(delay {n})-> Concatenate" for n in (1, 15, 3, 31, 7)]


def test_by_itself_it_looks_as_deep_as_forty_boxes_allow(net, boxes) -> None:
    x = "x"
    for number in range(30):
        x = net.linear(f"layers.{number}.first", x)
        x = net.linear(f"layers.{number}.second", x)
    net.output(x, "y", "batch", "time", 8)
    network = Network(net.model(), net.contract())
    assert (network.deepest, network.readable_depth()) == (3, 2)
    assert len(boxes(net.picture(3))) == 60
    assert boxes(net.picture(1)) == ["layers: 60 Linear"]


def test_a_small_network_is_shown_whole(u_net) -> None:
    network = Network(u_net.model(), u_net.contract())
    assert network.readable_depth() == network.deepest == 3


def test_a_network_that_is_wide_at_the_top_is_shown_at_depth_one(net) -> None:
    x = "x"
    for number in range(45):
        x = net.linear(f"layer{number}", x)
    net.output(x, "y", "batch", "time", 8)
    assert Network(net.model(), net.contract()).readable_depth() == 1


def test_a_frame_is_around_the_boxes_of_a_top_module(net) -> None:
    frames = nested(net).picture().frames()
    assert {name: [box.title for box in inside] for name, inside in frames.items()} == {
        "encoder": ["encoder.a.fc", "encoder.a.conv", "encoder.b"]
    }


def test_a_frame_around_everything_says_nothing(net) -> None:
    x = net.linear("model.encoder.a", "x")
    x = net.linear("model.encoder.b", x)
    net.output(net.linear("model.head", x), "y", "batch", "time", 8)
    assert list(net.picture().frames()) == ["model.encoder"]


def test_frames_can_be_left_out(net) -> None:
    assert nested(net).picture(framed=False).frames() == {}


def test_a_box_that_is_taken_apart_twice_loses_nothing(net) -> None:
    units = [Unit(f"m{n}", f"m{n}", "module", (n,)) for n in range(3)]
    for unit in units:
        net.add(f"{unit.path}/Relu", "x")
    before = {"m": units[:2], "m#1": units[2:]}
    after = take_apart(before, ["m"], net.model().graph)
    assert sorted(unit.key for (unit,) in after.values()) == ["m0", "m1", "m2"]


@pytest.mark.slow
def test_the_picture_does_not_hang_on_the_order_of_sets(u_net, tmp_path) -> None:
    file = u_net.save(tmp_path / "u.onnx")
    command = [
        sys.executable,
        "-m",
        "rnnedge",
        "inspect",
        str(file),
        "--graph",
        "-",
        "--depth",
        "1",
    ]
    texts = {
        subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(texts) == 1
