"""From a program with states as arguments to an ONNX graph."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import OutputFixPass
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule, Node

from rnnedge_exporters.errors import CaptureError, LoweringError, first_lines
from rnnedge_exporters.lowering.origins import mark_nodes, mark_values
from rnnedge_exporters.lowering.translation import TRANSLATIONS
from rnnedge_exporters.lowering.weights import pack_weights
from rnnedge_exporters.streaming import StreamProgram
from rnnedge_exporters.streaming.axes import shape_of

_EXAMPLE_SIZE = 3
"""For every free axis. What is free stays free: the shapes are checked after."""


def lower(program: StreamProgram, *, opset: int) -> ir.Model:
    """Writes the program as an ONNX graph.

    Args:
        program: its graph is edited in place.
        opset: of ONNX's default domain.

    Raises:
        CaptureError: an axis that was free is not so any more.
        LoweringError: an operator has no counterpart in ONNX.
    """
    names = {node: name for name, node in program.inputs.items()}
    names |= {state.start: state.name for state in program.states}
    inputs = [names[n] for n in program.graph_module.graph.find_nodes(op="placeholder")]
    mark_nodes(program.graph_module.graph)
    exported = _capture_again(program)
    outputs = [*program.outputs, *(f"{state.name}.next" for state in program.states)]
    try:
        with quiet(), torch.no_grad():  # a loop is not traced backward, too
            onnx_program = torch.onnx.export(
                exported,
                dynamo=True,
                opset_version=opset,
                input_names=inputs,
                output_names=outputs,
                custom_translation_table=TRANSLATIONS,
                optimize=False,  # see `optimize/simplify.py`
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise LoweringError(
            f"torch's ONNX exporter gave up: {_cause(error)}",
            where="the operator it names",
            fix="replace that operator in forward by ones that ONNX has",
        ) from error
    assert onnx_program is not None  # noqa: S101 - no file was asked for
    lowered = onnx_program.exported_program
    assert lowered is not None  # noqa: S101 - it was not dropped
    model = onnx_program.model
    # A state that is handed on unchanged is an input and an output at once, with one name.
    OutputFixPass()(model)
    for values, given in ((model.graph.inputs, inputs), (model.graph.outputs, outputs)):
        for value, name in zip(values, given, strict=True):
            value.name = name
    mark_values(model, lowered.graph)
    return model


def _capture_again(program: StreamProgram) -> ExportedProgram:
    """Traces the edited graph, so that what is lowered is an ordinary program."""
    graph_module = pack_weights(program.graph_module)
    placeholders = graph_module.graph.find_nodes(op="placeholder")
    scale = program.multiple
    times = {node.name: axis for node, axis in _time_axes(program).items()}
    try:
        with torch.no_grad():
            exported = _trace(graph_module, placeholders, times, scale)
    except Exception as error:
        raise CaptureError(
            f"the streaming program cannot be captured again: {first_lines(error)}",
            where="after the streaming passes",
            fix="please report this with the module; --mode sequence may still export it",
        ) from error
    return exported


def _time_axes(program: StreamProgram) -> dict[Node, int]:
    """The axes whose size is a multiple of what a run takes at least."""
    return {} if program.multiple == 1 else dict(program.time_axes)


def _trace(
    graph_module: GraphModule, placeholders: list[Node], times: Mapping[str, int], scale: int
) -> ExportedProgram:
    def shaped(named: bool) -> tuple[Any, ...]:
        dims: dict[str, Any] = {}
        return tuple(_free(node, dims, times.get(node.name), scale, named) for node in placeholders)

    examples = tuple(_example(node, times.get(node.name), scale) for node in placeholders)
    try:
        return torch.export.export(
            graph_module, examples, dynamic_shapes=shaped(named=True), strict=False
        )
    except Exception:
        # Where a condition on a size cannot be met by an axis of its own, the tracer finds it.
        return torch.export.export(
            graph_module, examples, dynamic_shapes=shaped(named=False), strict=False
        )


def _free(
    node: Node, dims: dict[str, Any], time: int | None, scale: int, named: bool
) -> dict[int, Any]:
    free: dict[int, Any] = {}
    for axis, expression in enumerate(shape_of(node)):
        if axis == time:
            free[axis] = scale * dims.setdefault("runs", Dim("runs", min=1))
        elif expression.free_symbols:
            free[axis] = _dim(expression, dims) if named else Dim.AUTO
    return free


def _example(node: Node, time: int | None, scale: int) -> Tensor:
    sizes = [
        scale * _EXAMPLE_SIZE
        if axis == time
        else int(expression.subs(dict.fromkeys(expression.free_symbols, _EXAMPLE_SIZE)))
        for axis, expression in enumerate(shape_of(node))
    ]
    return torch.zeros(sizes, dtype=node.meta["val"].dtype)


def _dim(expression: Any, dims: dict[str, Any]) -> Any:
    """``s77`` -> a Dim; ``5*s77`` -> 5 times it."""
    (symbol,) = expression.free_symbols
    dim = dims.setdefault(str(symbol), Dim(str(symbol)))
    factor = int(expression / symbol)
    return dim if factor == 1 else factor * dim


def _cause(error: BaseException) -> str:
    """The first line of the innermost cause: it names the operator; the outer ones advise."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_lines(error)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The exporter's notes on its own working are not for our users."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
