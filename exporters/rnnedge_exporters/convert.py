"""The stages in order: bind, capture, stream, lower, optimize; and the contract of the result."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import onnx_ir as ir
import sympy
import torch
from torch import Tensor, nn
from torch.fx import Node

from rnnedge_exporters.capture import Call, Program, bind, capture
from rnnedge_exporters.errors import SpecError, StreamingError
from rnnedge_exporters.lowering import lower
from rnnedge_exporters.optimize import name_graph, strip_notes
from rnnedge_exporters.specs import parse_inputs
from rnnedge_exporters.streaming import StreamProgram, StreamState, to_sequence, to_stream
from rnnedge_exporters.streaming.axes import shape_of
from rnnedge_exporters.streaming.program import find_symbol
from rnnedge_runtime.contract import (
    BATCH,
    METADATA_KEY,
    TENSOR_KEY_PREFIX,
    TIME,
    Contract,
    Dim,
    Mode,
    Port,
    Signal,
    State,
    dim_factor,
)

DEFAULT_OPSET = 22
OPSETS = range(18, 24)
"""18 is the oldest that torch's exporter writes; from 24 on onnxruntime lacks kernels."""


@dataclass(frozen=True)
class Converted:
    """An ONNX graph and its contract, not yet proven.

    Attributes:
        model: without metadata.
        contract: what the file will promise.
        metadata: further metadata of the file: the module's own, and initial states.
    """

    model: ir.Model
    contract: Contract
    metadata: Mapping[str, str]

    def to_bytes(self, parity: Mapping[str, Any] | None = None) -> bytes:
        """The file's content, with `parity` as its proof."""
        contract = dataclasses.replace(self.contract, parity=parity)
        self.model.metadata_props.clear()
        self.model.metadata_props.update({METADATA_KEY: contract.to_json(), **self.metadata})
        return bytes(ir.to_proto(self.model).SerializeToString(deterministic=True))


def convert(
    module: nn.Module,
    inputs: Mapping[str, str] | Sequence[str],
    *,
    states: Sequence[str] = (),
    mode: Mode = "stream",
    opset: int = DEFAULT_OPSET,
    signal: Signal | None = None,
    checkpoint_sha256: str | None = None,
) -> Converted:
    """Turns a module into an ONNX graph with explicit state.

    Args:
        module: captured in evaluation mode and not changed. Its attribute ``rnnedge_metadata``, if
            it has one, is a dict of str that goes into the file's metadata.
        inputs: ``{"x": "float32[batch, time, 80]"}`` or ``["x: float32[batch, time, 80]"]``.
        states: what is to be said of states that forward takes and returns, where it is not clear
            by itself: ``"hidden: float32[2, batch, 64] -> 1"``.
        mode: ``stream``, or ``sequence`` for whole sequences only.
        opset: of ONNX's default domain.
        signal: how frames relate to samples.
        checkpoint_sha256: of the file that the weights came from.

    Raises:
        SpecError, CaptureError, StreamingError, LoweringError: each says what, where and how to
            fix it.
    """
    if opset not in OPSETS:
        raise SpecError(
            f"opset {opset} is not between {OPSETS[0]} and {OPSETS[-1]}",
            where="--opset",
            fix=f"leave it at {DEFAULT_OPSET}",
        )
    metadata = _module_metadata(module)
    call = bind(module, parse_inputs(inputs), states)
    program = capture(module, call)
    symbols = _symbols(program)
    streaming = to_stream(program) if mode == "stream" else to_sequence(program)
    contract = Contract(
        mode=mode,
        inputs=tuple(_port(name, node, symbols) for name, node in streaming.inputs.items()),
        outputs=tuple(_port(name, node, symbols) for name, node in streaming.outputs.items()),
        states=tuple(_state(state, symbols) for state in streaming.states),
        source=_source(module, call, opset, checkpoint_sha256),
        signal=signal,
    )
    metadata |= _initial_tensors(streaming)
    model = lower(streaming, opset=opset)
    name_graph(model, _graph_shapes(contract))
    strip_notes(model)
    model.producer_name, model.producer_version = "rnnedge", version("rnnedge-exporters")
    return Converted(model, contract, metadata)


def _symbols(program: Program) -> dict[sympy.Symbol, str]:
    found = {find_symbol(program, name): name for name in (BATCH, TIME)}
    return {symbol: name for symbol, name in found.items() if symbol is not None}


def _port(name: str, node: Node, symbols: Mapping[sympy.Symbol, str]) -> Port:
    shape = _shape(name, node, symbols)
    for axis, dim in enumerate(shape):
        if isinstance(dim, str) and dim not in (BATCH, TIME):
            raise StreamingError(
                f"axis {axis} of {name!r} is {dim}: more than one axis is folded into it",
                where=f"{name!r}, shape {list(shape)}",
                fix=f"let forward return it with {BATCH!r} and {TIME!r} as axes of their own",
            )
    return Port(name, _dtype(node), shape, _axis(shape, BATCH), _axis(shape, TIME))


def _state(state: StreamState, symbols: Mapping[sympy.Symbol, str]) -> State:
    shape = _shape(state.name, state.start, symbols)
    fill = _fill(state.initial)
    return State(
        name=state.name,
        input=state.name,
        output=f"{state.name}.next",
        dtype=_dtype(state.start),
        shape=shape,
        batch_axis=_axis(shape, BATCH),
        batch_outer=1 if state.batch is None else int(state.batch.outer),
        kind=state.kind,
        fill=0.0 if fill is None else fill,
        tensor=TENSOR_KEY_PREFIX + state.name if fill is None else None,
    )


def _shape(name: str, node: Node, symbols: Mapping[sympy.Symbol, str]) -> tuple[Dim, ...]:
    shape: list[Dim] = []
    for size in shape_of(node):
        named = size.subs({symbol: sympy.Symbol(text) for symbol, text in symbols.items()})
        shape.append(int(named) if named.is_Integer else str(named))
    return tuple(shape)


def _graph_shapes(contract: Contract) -> dict[str, tuple[Dim, ...]]:
    shapes = {port.name: port.shape for port in (*contract.inputs, *contract.outputs)}
    for state in contract.states:
        shapes |= {state.input: state.shape, state.output: state.shape}
    return shapes


def _axis(shape: tuple[Dim, ...], symbol: str) -> int | None:
    return next((axis for axis, dim in enumerate(shape) if dim_factor(dim, symbol)), None)


def _dtype(node: Node) -> str:
    return str(node.meta["val"].dtype).removeprefix("torch.")


def _fill(initial: Tensor) -> float | None:
    """The one value of all elements; None when they differ."""
    first = initial.flatten()[0]
    return float(first) if bool((initial == first).all()) else None


def _initial_tensors(program: StreamProgram) -> dict[str, str]:
    tensors = {s.name: s.initial for s in program.states if _fill(s.initial) is None}
    return {
        TENSOR_KEY_PREFIX + name: base64.b64encode(_little_endian(tensor)).decode("ascii")
        for name, tensor in tensors.items()
    }


def _little_endian(tensor: Tensor) -> bytes:
    array = tensor.numpy()
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _module_metadata(module: nn.Module) -> dict[str, str]:
    metadata = getattr(module, "rnnedge_metadata", {})
    if not isinstance(metadata, Mapping):
        raise _metadata_error(module, f"it is {type(metadata).__name__}, not a dict")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or key.startswith("rnnedge."):
            raise _metadata_error(module, f"{key!r} is {type(value).__name__}")
    return dict(metadata)


def _metadata_error(module: nn.Module, found: str) -> SpecError:
    return SpecError(
        f"the module's metadata do not fit: {found}; expected was text by name, no name beginning "
        "with 'rnnedge.'",
        where=f"{type(module).__name__}.rnnedge_metadata",
        fix="give a dict of text, values by json.dumps for instance",
    )


def _source(
    module: nn.Module, call: Call, opset: int, checkpoint_sha256: str | None
) -> dict[str, Any]:
    return {
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "checkpoint_sha256": checkpoint_sha256,
        "inputs": {name: str(spec) for name, spec in call.inputs.items()},
        "states": [str(state) for state in call.states],
        "opset": opset,
        "versions": {
            "rnnedge": version("rnnedge-exporters"),
            "torch": torch.__version__,
            "onnxscript": version("onnxscript"),
        },
    }
