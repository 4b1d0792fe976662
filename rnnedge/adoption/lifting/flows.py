"""How a value of the graph runs with the signal, and what an operator's rule gets to see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias

import onnx

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.lifting.places import Place
from rnnedge.adoption.lifting.symbols import Shapes, Size
from rnnedge.adoption.lifting.values import Values
from rnnedge.report.graph import attribute


class Kind(Enum):
    """A value without frames.

    * FIXED: does not change along the signal.
    * SIZES: small whole numbers made of the shapes of other values.
    * LATEST: known after the last frame only.
    """

    FIXED = auto()
    SIZES = auto()
    LATEST = auto()


Flow: TypeAlias = Kind | Place
"""A `Place` is a value with frames."""


@dataclass(frozen=True)
class Context:
    """Past frames that a node makes up at the start of the signal, to be kept between runs.

    Attributes:
        node: that makes them up: a convolution, Pad or Concat.
        source: the value that they come before.
        axis: of time.
        frames: how many.
        fill: what they are at the start of the signal; or
        initial: the name of the value that holds them.
        pads: of a Pad: what it still has to do, in its own layout.
    """

    node: onnx.NodeProto
    source: str
    axis: int
    frames: int
    fill: float = 0.0
    initial: str | None = None
    pads: tuple[int, ...] = ()


@dataclass
class Found:
    """What the analysis of time found to be kept between runs.

    Attributes:
        recurrences: RNN, GRU and LSTM nodes that run over time.
        contexts: nodes that make up past frames.
    """

    recurrences: list[onnx.NodeProto] = field(default_factory=list)
    contexts: list[Context] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """One node, as its rule sees it.

    Attributes:
        node: in the main graph.
        symbol: batch or time, whichever is followed.
        over_time: whether it is time.
        flows: of all values before.
        shapes: of all values.
        values: what is known without a signal.
        opset: the version of the operators.
        found: where rules put what has to be kept.
        where: the file.
    """

    node: onnx.NodeProto
    symbol: Any
    over_time: bool
    flows: Mapping[str, Flow]
    shapes: Shapes
    values: Values
    opset: int
    found: Found
    where: str

    def flow(self, index: int) -> Flow:
        """Of the input at `index`; FIXED if it is left out."""
        name = self.name(index)
        return self.flows[name] if name else Kind.FIXED

    def name(self, index: int) -> str:
        """Of the input at `index`; empty if it is left out."""
        return str(self.node.input[index]) if index < len(self.node.input) else ""

    def placed(self) -> list[tuple[int, Place]]:
        """Inputs with frames: index and place."""
        flows = [(i, self.flow(i)) for i in range(len(self.node.input))]
        return [(i, flow) for i, flow in flows if isinstance(flow, Place)]

    def shape(self, index: int) -> tuple[Size, ...]:
        """Of the input at `index`.

        Raises:
            AdoptionError: its number of axes is not known.
        """
        return self._known(self.name(index))

    def result_shape(self, index: int = 0) -> tuple[Size, ...]:
        """Of an output.

        Raises:
            AdoptionError: its number of axes is not known.
        """
        return self._known(self.node.output[index])

    def _known(self, name: str) -> tuple[Size, ...]:
        shape = self.shapes.of(name)
        if shape is None:
            raise self.refuse("its shape is not known before it runs")
        return shape

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value."""
        return attribute(self.node, name, default)

    def whole_numbers(self, name: str, index: int) -> list[int] | None:
        """An attribute of old opsets that became an input; None if it is in neither.

        Raises:
            AdoptionError: the input is no constant.
        """
        given = self.attribute(name, None)
        if given is not None:
            return [int(v) for v in given] if hasattr(given, "__iter__") else [int(given)]
        if not self.name(index):
            return None
        value = self.values.constant(self.name(index))
        if value is None:
            raise self.refuse(f"its {name} are computed anew in each run")
        return [int(v) for v in value.reshape(-1)]

    def refuse(self, reason: str, fix: str = "") -> AdoptionError:
        """The error for this node."""
        inputs = ", ".join(n for n in self.node.input if n)
        what = "the frames" if self.over_time else "the rows of the batch"
        return AdoptionError(
            f"{self.node.op_type} {label(self.node)!r} does not keep {what} apart: {reason}"
            if not self.over_time
            else f"{self.node.op_type} {label(self.node)!r} is not known to work in chunks of "
            f"frames: {reason}",
            where=f"node {label(self.node)!r} (inputs {inputs}), {self.where}",
            fix=fix
            or "change the network so that each frame needs itself and the past only, and export "
            "it again; a PyTorch module may stream with `rnnedge export`",
        )


def label(node: onnx.NodeProto) -> str:
    """A node's name, or its first result's."""
    return str(node.name or node.output[0])
