"""Networks written down node by node, and pictures read back as words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnedge.report.picture.build import Network
from rnnedge.report.picture.model import Box, Picture
from rnnedge_runtime.contract import METADATA_KEY, Contract, Port, State

DELAY = 3


@dataclass
class Net:
    """Builds a graph. Every node is named ``module/Operator`` and so is its result."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    states: list[State] = field(default_factory=list)

    def input(self, name: str, *shape: int | str, **more: Any) -> str:
        self.inputs.append(port(name, shape, **more))
        return name

    def output(self, tensor: str, name: str, *shape: int | str, **more: Any) -> None:
        self.nodes.append(helper.make_node("Identity", [tensor], [name], name=f"/Identity {name}"))
        self.outputs.append(port(name, shape, **more))

    def weight(self, *shape: int) -> str:
        name = f"weight {len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.zeros(shape, np.float32), name))
        return name

    def add(self, name: str, *inputs: str, more: tuple[str, ...] = (), **attributes: Any) -> str:
        """A node; the operator is the name's last part, without a number."""
        operator = re.sub(r"_\d+$", "", name.rpartition("/")[2])
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name, *more], name=name, **attributes)
        )
        return name

    def state(self, name: str, shape: tuple[int | str, ...], kind: Any) -> str:
        axis = shape.index("batch") if "batch" in shape else None
        self.states.append(State(name, name, f"{name}.next", "float32", shape, axis, kind))
        return name

    def carry(self, tensor: str, state: str) -> None:
        """The state's next value."""
        self.nodes.append(helper.make_node("Identity", [tensor], [f"{state}.next"]))

    def linear(self, path: str, x: str, inputs: int = 8, outputs: int = 8) -> str:
        product = self.add(f"{path}/MatMul", x, self.weight(inputs, outputs))
        return self.add(f"{path}/Add", product, self.weight(outputs))

    def gru(self, path: str, x: str, inputs: int, hidden: int, number: str = "") -> str:
        """One layer, as the exporter writes it."""
        name = f"{path}/GRU{number}"
        state = self.state(f"{path}.h{number}", (1, "batch", hidden), "hidden")
        weights = self.weight(1, 3 * hidden, inputs), self.weight(1, 3 * hidden, hidden)
        y = self.add(name, x, *weights, "", "", state, more=(f"{state}.next",), hidden_size=hidden)
        return self.add(f"{path}/Squeeze{number}", y, self.weight(1))

    def late(self, x: str, state: str, frames: int, module: str = "") -> str:
        """The signal [batch, 8, time], held back or extended by the frames in a state."""
        self.state(state, ("batch", 8, frames), "context")
        both = self.add(f"{module}/Concat_{len(self.nodes)}", state, x, axis=2)
        self.carry(self.add(f"{module}/Slice_{len(self.nodes)}", both, "from", "to"), state)
        return both

    def conv(self, path: str, x: str, frames: int = 4) -> str:
        both = self.late(x, f"{path}.context", frames, path)
        return self.add(f"{path}/Conv", both, self.weight(8, 8, frames + 1))

    def delay(self, x: str, name: str, frames: int = DELAY) -> str:
        both = self.late(x, f"{name}.delay", frames)
        return self.add(f"/Slice_{len(self.nodes)}", both, "from", "to")

    def model(self) -> onnx.ModelProto:
        ins = [*self.inputs, *self.states]
        graph = helper.make_graph(
            self.nodes,
            "net",
            [value(i.name, i.shape) for i in ins],
            [value(o.name, o.shape) for o in self.outputs]
            + [value(s.output, s.shape) for s in self.states],
            self.stored,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)])

    def contract(self) -> Contract:
        return Contract("stream", tuple(self.inputs), tuple(self.outputs), tuple(self.states))

    def picture(self, depth: int = 9, **more: bool) -> Picture:
        return Network(self.model(), self.contract()).picture(depth, **more)

    def save(self, path: Path) -> Path:
        model = self.model()
        helper.set_model_props(model, {METADATA_KEY: self.contract().to_json()})
        onnx.save(model, path)
        return path


def port(name: str, shape: tuple[int | str, ...], **more: Any) -> Port:
    time = next(axis for axis, size in enumerate(shape) if "time" in str(size))
    return Port(name, "float32", shape, shape.index("batch"), time, **more)


def value(name: str, shape: tuple[int | str, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


@pytest.fixture
def net() -> Net:
    """Empty but for its input ``x [batch, time, 8]``."""
    new = Net()
    new.input("x", "batch", "time", 8)
    return new


@pytest.fixture
def boxes() -> Callable[[Picture], list[str]]:
    """The boxes between inputs and outputs: ``enc: Linear 8→8``."""

    def read(picture: Picture) -> list[str]:
        return [words(box) for box in picture.boxes if box.kind not in ("input", "output")]

    return read


@pytest.fixture
def edges() -> Callable[[Picture], list[str]]:
    """The edges: ``x -> enc``; ``x -(delay 3)-> enc``; of a state ``gru ~(h 1×4)~> gru``."""

    def read(picture: Picture) -> list[str]:
        title = {box.key: box.title for box in picture.boxes}
        found = []
        for edge in picture.edges:
            line = "~" if edge.is_state else "-"
            label = f"({edge.label}){line}" if edge.label else ""
            found.append(f"{title[edge.source]} {line}{label}> {title[edge.target]}")
        return sorted(found)

    return read


@pytest.fixture
def u_net() -> Net:
    """Five levels down and up, each down a convolution, a norm and an activation: 32 modules."""
    new = Net()
    x = new.input("x", "batch", 8, "time")
    skips = []
    for level in range(5):
        x = new.conv(f"encoder.{level}.conv", x)
        norms = [new.weight(8) for _ in range(4)]
        x = new.add(f"encoder.{level}.norm/BatchNormalization", x, *norms)
        x = new.add(f"encoder.{level}.act/Relu", x)
        skips.append(x)
    x = new.gru("middle.gru", x, 8, 8)
    for level, skip in reversed(list(enumerate(skips))):
        late = new.delay(skip, f"cat{level}", 2 ** (5 - level) - 1)
        x = new.add(f"/Concat_{1000 + level}", x, late, axis=1)
        x = new.add(f"decoder.{4 - level}.up/ConvTranspose", x, new.weight(16, 8, 4), strides=[2])
        x = new.add(f"decoder.{4 - level}.norm/LayerNormalization", x, new.weight(8))
    new.output(new.linear("head", x), "y", "batch", 8, "time", delay=31)
    return new


def words(box: Box) -> str:
    return ": ".join([box.title, "; ".join(box.details)]) if box.details else box.title
