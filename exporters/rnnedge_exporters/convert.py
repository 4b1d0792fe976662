"""The stages in order: bind, capture, stream, lower, optimize; and the contract of the result."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import onnx_ir as ir
import torch
from torch import nn
from torch.fx import GraphModule

from rnnedge_exporters.capture import Call, Program, capture, prepare
from rnnedge_exporters.errors import SpecError
from rnnedge_exporters.lowering import Origin, lower, quiet, read_origins
from rnnedge_exporters.one_run import fix_runs, shape_runs
from rnnedge_exporters.optimize import (
    Part,
    join_transposes,
    name_graph,
    simplify,
    strip_notes,
    use_linear_attention,
)
from rnnedge_exporters.promise import graph_shapes, initial_tensors, promise, symbols_of
from rnnedge_exporters.specs import TensorSpec, parse_inputs
from rnnedge_exporters.streaming import StreamProgram, to_sequence, to_stream
from rnnedge_runtime.contract import CLOCKS_KEY, METADATA_KEY, Contract, Mode, Signal

DEFAULT_OPSET = 21
"""Not 22, whose recurrent operators are the same: onnxruntime's CUDA and WebGPU providers have
kernels for those of 14 to 21 alone."""
OPSETS = range(18, 24)
"""18 is the oldest that torch's exporter writes; from 24 on onnxruntime lacks kernels."""


@dataclass(frozen=True)
class Converted:
    """An ONNX graph and its contract, not yet proven.

    Attributes:
        model: without metadata.
        contract: what the file will promise.
        metadata: further metadata of the file: the module's own, initial states, and clocks.
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


@dataclass(frozen=True)
class Stages:
    """A conversion and what it went through, for who looks for the place where two differ.

    Attributes:
        converted: its result.
        program: the whole-sequence program.
        streaming: the streaming program, as it was before lowering. Its ports and states have the
            names of nodes that `graph_module` has too, but are not these nodes.
        origins: which of its nodes a value of the ONNX graph is, by the value's name.
        packed: which of its states each packed state of the file is made of.
    """

    converted: Converted
    program: Program
    streaming: StreamProgram
    origins: Mapping[str, Origin]
    packed: Mapping[str, Sequence[Part]]


def convert(
    module: nn.Module,
    inputs: Mapping[str, str] | Sequence[str],
    *,
    states: Sequence[str] = (),
    mode: Mode = "stream",
    opset: int = DEFAULT_OPSET,
    one_frame: bool = False,
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
        one_frame: runs take one frame each, or as few as the module's rates allow. The file
            takes the forms that are fastest then: the step of a recurrence stands in the graph
            itself, not in a ``Scan``; contexts of convolutions are packed into one state.
        signal: how frames relate to samples.
        checkpoint_sha256: of the file that the weights came from.

    Raises:
        SpecError, CaptureError, StreamingError, LoweringError: each says what, where and how to
            fix it.
    """
    return convert_in_stages(
        module,
        inputs,
        states=states,
        mode=mode,
        opset=opset,
        one_frame=one_frame,
        signal=signal,
        checkpoint_sha256=checkpoint_sha256,
    ).converted


def convert_in_stages(
    module: nn.Module,
    inputs: Mapping[str, str] | Sequence[str],
    *,
    states: Sequence[str] = (),
    mode: Mode = "stream",
    opset: int = DEFAULT_OPSET,
    one_frame: bool = False,
    signal: Signal | None = None,
    checkpoint_sha256: str | None = None,
) -> Stages:
    """As `convert`, and keeps what it went through. The same module gives the same stages."""
    if opset not in OPSETS:
        raise SpecError(
            f"opset {opset} is not between {OPSETS[0]} and {OPSETS[-1]}",
            where="--opset",
            fix=f"leave it at {DEFAULT_OPSET}",
        )
    metadata = _module_metadata(module)
    given = parse_inputs(inputs)
    module, call = prepare(module, given, states, mode)
    program = capture(module, call)
    streaming = to_stream(program) if mode == "stream" else to_sequence(program)
    contract = promise(
        streaming,
        call.inputs,
        symbols_of(program),
        mode=mode,
        source=_source(module, given, call, opset, checkpoint_sha256),
        signal=signal,
    )
    metadata |= initial_tensors(streaming)
    if streaming.clocks:
        metadata[CLOCKS_KEY] = streaming.clocks
    # Lowering edits the graph; the tensors are shared.
    graph_module = streaming.graph_module
    kept = GraphModule(graph_module, copy.deepcopy(graph_module.graph))
    model = lower(streaming, opset=opset)
    packed: Mapping[str, Sequence[Part]] = {}
    if one_frame:
        contract = fix_runs(model, contract)
    with quiet():
        simplify(model)
    join_transposes(model)
    use_linear_attention(model)
    if one_frame:
        contract, metadata, packed = shape_runs(model, contract, metadata)
    name_graph(model, graph_shapes(contract))
    origins = read_origins(model)
    strip_notes(model)
    model.producer_name, model.producer_version = "rnnedge", version("rnnedge-exporters")
    converted = Converted(model, contract, metadata)
    return Stages(converted, program, replace(streaming, graph_module=kept), origins, packed)


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
    module: nn.Module,
    inputs: Mapping[str, TensorSpec],
    call: Call,
    opset: int,
    checkpoint_sha256: str | None,
) -> dict[str, Any]:
    return {
        "class": f"{type(module).__module__}.{type(module).__qualname__}",
        "checkpoint_sha256": checkpoint_sha256,
        "inputs": {name: str(spec) for name, spec in inputs.items()},
        "states": [str(state) for state in call.states],
        "opset": opset,
        "versions": {
            "rnnedge": version("rnnedge-exporters"),
            "torch": torch.__version__,
            "onnxscript": version("onnxscript"),
        },
    }
