"""Follows time, and then the rows of the batch, through the main graph.

Rules:
    1. A value that no data reaches is fixed, whatever made it.
    2. Small whole numbers made of shapes are sizes. They may size results; a number of frames may
       not be computed with, as a run does not know how many there are in the signal.
    3. What is known after the last frame only may go to an output, not back to earlier frames.
    4. Fixed data that is spread over time is the same in every frame.
    5. Everything else goes by the operator's rule (`rules`), and what has none is refused.
    6. Whatever a rule says, the shape of the result has to agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
import sympy

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.lifting.flows import Flow, Found, Kind, View
from rnnedge.adoption.lifting.places import OddShapeError, Place, axis_of, length_offset
from rnnedge.adoption.lifting.rules import RULES
from rnnedge.adoption.lifting.symbols import Shapes, T, has
from rnnedge.adoption.lifting.values import Values
from rnnedge.report.graph import bodies

_MAKES_SIZES = ("Shape", "Size")
_TAKES_SIZES = ("Reshape", "Expand", "ConstantOfShape", "Slice", "Pad", "Tile")
_SPREADS = ("Expand", "ConstantOfShape")
_SAME_FOR_SIZES = frozenset(
    {
        "Abs", "Add", "Cast", "Concat", "Div", "Equal", "Floor", "Gather", "Identity", "Max", "Min",
        "Mod", "Mul", "Neg", "ReduceProd", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze",
        "Where",
    }
)  # fmt: skip


def follow(
    model: onnx.ModelProto,
    shapes: Shapes,
    values: Values,
    symbol: Any,
    opset: int,
    where: str,
) -> tuple[dict[str, Flow], Found]:
    """The flow of every value, and what has to be kept between runs.

    Args:
        model: its inputs are declared with the symbols ``batch`` and ``time``.
        shapes: of its values.
        values: what is known without a signal.
        symbol: time or batch.
        opset: the version of ONNX's operators.
        where: the file, for errors.

    Raises:
        AdoptionError: an operator mixes frames, or rows, or is not known not to.
    """
    flows: dict[str, Flow] = {"": Kind.FIXED}
    flows |= dict.fromkeys((tensor.name for tensor in model.graph.initializer), Kind.FIXED)
    for value in model.graph.input:
        if value.name not in flows:
            axis = axis_of(shapes.of(value.name), symbol)
            flows[value.name] = (
                Kind.FIXED if axis is None else _input_place(shapes, value.name, axis, symbol)
            )
    found = Found()
    for node in model.graph.node:
        view = View(node, symbol, symbol is T, flows, shapes, values, opset, found, where)
        results = _flows_of(view)
        flows |= dict(zip(node.output, results, strict=False))
    return flows, found


def _input_place(shapes: Shapes, name: str, axis: int, symbol: Any) -> Place:
    """An input axis of ``160 * time`` is ``[time, 160]``, one of ``33 * batch`` ``[batch, 33]``."""
    size = (shapes.of(name) or ())[axis]
    return Place(axis, inner=size / symbol)


def _flows_of(view: View) -> list[Flow]:
    node = view.node
    if any(bodies(node)):
        return _with_body(view)
    flows = [view.flow(index) for index in range(len(node.input))]
    if node.op_type in _MAKES_SIZES:
        return [Kind.SIZES]
    if any(isinstance(flow, Place) for flow in flows):
        return _placed(view)
    if Kind.LATEST in flows:
        for index, flow in enumerate(flows):
            if flow is Kind.SIZES:
                _refuse_length(view, index)
        return [Kind.LATEST] * len(node.output)
    if Kind.SIZES in flows:
        return _sizes(view)
    return [Kind.FIXED] * len(node.output)


def _with_body(view: View) -> list[Flow]:
    """Rule 5: nobody looks into a body, so nothing of the signal may go in."""
    read = set(view.node.input)
    for body in bodies(view.node):
        for node in body.node:
            read.update(node.input)
    if all(view.flows.get(name, Kind.FIXED) is Kind.FIXED for name in read) and not any(
        any(bodies(node)) for body in bodies(view.node) for node in body.node
    ):
        return [Kind.FIXED] * len(view.node.output)
    raise view.refuse(
        "it has a graph of its own, which is not looked into",
        "export the network without conditions and loops: with fixed sizes where a condition asks "
        "for one, with the option to simplify or fold constants of the exporter",
    )


def _placed(view: View) -> list[Flow]:
    node = view.node
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if rule is None:
        raise view.refuse("the operator has no rule for frames")
    for index in range(len(node.input)):
        flow = view.flow(index)
        if flow is Kind.LATEST:
            raise view.refuse(
                "it uses what is known after the last frame only for the frames before"
            )
        if flow is Kind.SIZES and node.op_type not in _TAKES_SIZES:
            _refuse_length(view, index)
    try:
        results = rule(view)
        for index, flow in enumerate(results):
            if index < len(node.output) and node.output[index]:
                _check_shape(view, index, flow)
    except OddShapeError as error:
        raise view.refuse(str(error)) from error
    return results


def _check_shape(view: View, index: int, flow: Flow) -> None:
    """Rule 6."""
    shape = view.result_shape(index)
    axis = axis_of(shape, view.symbol)
    if not isinstance(flow, Place):
        if axis is not None:
            raise OddShapeError("its result still has frames")
        return
    expected = flow.outer * flow.inner * (view.symbol + flow.excess - flow.start)
    if axis != flow.axis or sympy.expand(shape[axis] - expected) != 0:
        raise OddShapeError("its result has other frames than are expected of it")


def _sizes(view: View) -> list[Flow]:
    """Rules 2 and 4."""
    node = view.node
    if node.op_type in _SPREADS:
        return [_spread(view)]
    if node.op_type in _SAME_FOR_SIZES:
        known = [name for name in node.output if name in view.shapes.numbers]
        timed = any(has(size, view.symbol) for name in known for size in view.shapes.numbers[name])
        fixed = len(known) == len(node.output) and not timed
        return [Kind.FIXED if fixed and not _is_symbolic(view) else Kind.SIZES] * len(node.output)
    for index in range(len(node.input)):
        if view.flow(index) is Kind.SIZES:
            _refuse_length(view, index)
    try:
        for index in range(len(node.output)):
            if node.output[index] and axis_of(view.result_shape(index), view.symbol) is not None:
                raise view.refuse("it makes a value for each position")
    except OddShapeError as error:
        raise view.refuse(str(error)) from error
    return [Kind.FIXED] * len(node.output)


def _is_symbolic(view: View) -> bool:
    return any(size.free_symbols for n in view.node.output for size in view.shapes.numbers[n])


def _spread(view: View) -> Flow:
    """Rule 4."""
    try:
        shape = view.result_shape()
        axis = axis_of(shape, view.symbol)
        if axis is None:
            return Kind.FIXED
        if length_offset(shape[axis], view.symbol) != 0:
            raise OddShapeError("it has another number of frames than the signal")
        data = view.shape(0) if view.node.op_type == "Expand" else ()
        place = axis - len(shape)
        if len(data) >= -place and data[place] != 1:
            raise OddShapeError("it has a value for each position along that axis")
        slope = shape[axis] / view.symbol
    except OddShapeError as error:
        raise view.refuse(str(error)) from error
    # Every entry along the axis is the same, so any way to fold it in is right; the plain one is
    # the one that meets others unfolded.
    return Place(axis, outer=slope)


def _refuse_length(view: View, index: int) -> None:
    numbers = view.shapes.numbers.get(view.name(index))
    if numbers is None or any(has(size, view.symbol) for size in numbers):
        raise view.refuse(
            "it computes with the number of frames, which a run does not know"
            if view.over_time
            else "it computes with the number of rows"
        )


def check_outputs(model: onnx.ModelProto, flows: Mapping[str, Flow], where: str) -> None:
    """Whether every output belongs to the frames of the signal, one for one.

    Raises:
        AdoptionError: one has frames from before or after the signal, or is made of sizes.
    """
    for value in model.graph.output:
        flow = flows[value.name]
        if isinstance(flow, Place) and flow.is_plain and flow.outer == 1:
            continue
        if flow in (Kind.LATEST, Kind.FIXED):
            continue
        reason = (
            "is made of the sizes of the signal"
            if flow is Kind.SIZES
            else "has frames from before the signal or after it, or folded with another axis"
        )
        raise AdoptionError(
            f"output {value.name!r} {reason}",
            where=f"output {value.name!r}, {where}",
            fix="leave the output out of the export, or pad the past only",
        )
