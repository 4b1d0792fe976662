"""From a file with a contract to a smaller and faster one with the same contract.

Rules:
    1. Each layer with weights is quantised by the pass for its operator, or left in float with a
       reason.
    2. The step of a recurrent layer stands in the graph itself if its sequence has one frame in runs
       of the fewest frames (`chunk_multiple`). Then the contract's `chunk_most` is that number, and a
       push of any length is run in parts.
    3. States stay as they are: float, same names, same shapes.
    4. The proof of the float file says nothing about this one, and is dropped; `source` says what
       was done to which layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import convolution, embedding, linear, lstm, recurrent
from rnnedge_exporters.quantize.frames import has_one_frame
from rnnedge_exporters.quantize.halves import store_halves
from rnnedge_exporters.quantize.options import Layer, QuantizeOptions
from rnnedge_exporters.quantize.products import BITS, Style
from rnnedge_runtime.contract import METADATA_KEY, Contract, read

RECURRENT = ("RNN", "GRU", "LSTM")
_LINEAR = ("MatMul", "Gemm")
_LOOKUP = ("Gather",)
_CONVOLUTION = ("Conv",)


@dataclass(frozen=True)
class Quantized:
    """What came of it.

    Attributes:
        model: with its metadata, but for the contract.
        contract: of the new file; its `source` tells of `layers`.
        layers: all that have weights, and why some were left.
    """

    model: ir.Model
    contract: Contract
    layers: tuple[Layer, ...]

    def to_bytes(self, quality: Mapping[str, Any] | None = None) -> bytes:
        """The file's content, with what was measured of it."""
        contract = self.contract
        if quality is not None:
            told = {**contract.source["quantized"], "quality": dict(quality)}
            contract = replace(contract, source={**contract.source, "quantized": told})
        self.model.metadata_props[METADATA_KEY] = contract.to_json()
        return bytes(ir.to_proto(self.model).SerializeToString(deterministic=True))


def quantize_model(data: bytes, options: QuantizeOptions | None = None) -> Quantized:
    """Quantises the file whose bytes are `data`.

    Raises:
        QuantizeError: it is not ONNX, has no contract, was quantised before, or has no layer that
            can be quantised in this way.
        ContractError: its contract cannot be read.
    """
    options = options or QuantizeOptions()
    model, contract = opened(data)
    layers = tuple(_layer(node, options) for node in layer_nodes(model))
    _check_kept(options, layers)
    chosen = [layer.name for layer in layers if not layer.left]
    if options.kind != "float16" and options.only is None and not chosen and not options.keep:
        raise _nothing_to_do(layers)
    most = contract.chunk_most
    if options.kind == "float16":
        store_halves(model.graph, options.least)
    elif _write(model, contract, options, set(chosen)):
        most = contract.chunk_multiple
    RemoveUnusedNodesPass()(model)
    told = {
        "kind": options.kind,
        "of_sha256": hashlib.sha256(data).hexdigest(),
        "layers": [layer.to_dict() for layer in layers],
    }
    source = {**contract.source, "quantized": told}
    return Quantized(model, replace(contract, parity=None, chunk_most=most, source=source), layers)


def find_layers(data: bytes, options: QuantizeOptions | None = None) -> tuple[Layer, ...]:
    """The layers with weights of a file, and which would be left in float.

    Raises:
        QuantizeError, ContractError: as `quantize_model`.
    """
    model, _ = opened(data)
    return tuple(_layer(node, options or QuantizeOptions()) for node in layer_nodes(model))


def opened(data: bytes) -> tuple[ir.Model, Contract]:
    """The graph of a float file, every node named, and its contract.

    Raises:
        QuantizeError, ContractError: as `quantize_model`.
    """
    try:
        proto = onnx.load_model_from_string(data)
        model = ir.from_proto(proto)
    except Exception as error:  # protobuf's and onnx_ir's exceptions share no base class
        raise QuantizeError(
            f"it is not an ONNX model ({type(error).__name__})",
            where="the model file",
            fix="give a file that `rnnedge export` or `rnnedge adopt` wrote",
        ) from error
    text = model.metadata_props.get(METADATA_KEY)
    if text is None:
        raise QuantizeError(
            "the file has no contract, so its states are not known",
            where=f"metadata {METADATA_KEY!r}",
            fix="write one first: rnnedge adopt, or rnnedge lift",
        )
    contract = read(text)
    if "quantized" in contract.source:
        raise QuantizeError(
            "the file is quantised already",
            where="the contract's 'source'",
            fix="quantise the float file that it was made from",
        )
    _name_all(model.graph)
    return model, contract


def _name_all(graph: ir.Graph) -> None:
    """Layers are told by name; a node without one gets that of its first result."""
    for node in graph.all_nodes():
        node.name = node.name or str(node.outputs[0].name)


def layer_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Nodes that may have weights worth storing in fewer bits."""
    for node in model.graph.all_nodes():
        if node.domain or node.op_type not in (*RECURRENT, *_LINEAR, *_LOOKUP, *_CONVOLUTION):
            continue
        if node.op_type in (*_LINEAR, *_LOOKUP) and _pass_of(node).unfit(node):
            continue  # a product of two activations, or an index into a shape, is no layer
        yield node


def _pass_of(node: ir.Node) -> Any:
    if node.op_type in _LINEAR:
        return linear
    if node.op_type in _LOOKUP:
        return embedding
    return convolution if node.op_type in _CONVOLUTION else recurrent


def _layer(node: ir.Node, options: QuantizeOptions) -> Layer:
    arrays = [recurrent.stored(value) for value in node.inputs]
    count = sum(array.size for array in arrays if array is not None and array.dtype.kind == "f")
    name = str(node.name)
    if options.kind == "float16":
        left = ""
    elif name in options.keep:
        left = options.keep[name]
    elif options.only is not None and name not in options.only:
        left = "not among those asked for"
    elif count < options.least:
        left = f"it has {count} weights, fewer than {options.least}"
    else:
        left = _unfit(node, options)
    return Layer(name, node.op_type, count, "float" if left else _stored(node, options), left)


def _stored(node: ir.Node, options: QuantizeOptions) -> str:
    """How the weights of a layer that is not left are stored."""
    if options.kind == "float16":
        return "float16"
    if node.op_type in _LOOKUP:
        return "int8, a step per row"
    if options.kind in BITS:
        return f"{BITS[options.kind]} bits by block"
    if options.kind == "static":
        is_seen = node.inputs[0] is not None and str(node.inputs[0].name) in options.ranges
        return "int8, calibrated" if is_seen else "int8"
    return "int8"


def _unfit(node: ir.Node, options: QuantizeOptions) -> str:
    if _uses_operator(node, options):
        return lstm.unfit(node)
    if node.op_type in _CONVOLUTION:
        return convolution.unfit(node, options)
    return str(_pass_of(node).unfit(node))


def _uses_operator(node: ir.Node, options: QuantizeOptions) -> bool:
    return node.op_type == "LSTM" and options.kind == "int8" and options.form != "step"


def _write(model: ir.Model, contract: Contract, options: QuantizeOptions, chosen: set[str]) -> bool:
    """Replaces the chosen layers; returns whether runs have to be of the fewest frames now."""
    graph, style = model.graph, Style(options.kind, options.block)
    nodes = [node for node in layer_nodes(model) if node.name in chosen]
    steps = set()
    if options.form != "chunks" and contract.mode == "stream":
        steps = has_one_frame(model, contract, [n for n in nodes if n.op_type in RECURRENT])
    is_step = False
    for node in nodes:
        if _uses_operator(node, options):
            lstm.to_operator(graph, node)
        elif node.op_type in RECURRENT:
            one_frame = node.name in steps
            is_step |= one_frame
            recurrent.to_products(graph, node, style, one_frame=one_frame, ranges=options.ranges)
        elif node.op_type in _LINEAR:
            linear.to_product(graph, node, style, options.ranges)
        elif node.op_type in _LOOKUP:
            embedding.to_rows(graph, node)
        else:
            convolution.to_integers(graph, node, options)
    return is_step


def _check_kept(options: QuantizeOptions, layers: tuple[Layer, ...]) -> None:
    names = [layer.name for layer in layers]
    unknown = [name for name in options.keep if name not in names]
    if unknown:
        raise QuantizeError(
            f"there is no layer {unknown[0]!r}",
            where="keep",
            fix=f"it has: {', '.join(names) or 'none'}",
        )


def _nothing_to_do(layers: tuple[Layer, ...]) -> QuantizeError:
    reasons = "; ".join(f"{layer.name}: {layer.left}" for layer in layers[:5])
    return QuantizeError(
        "the file has no layer that can be quantised in this way",
        where=reasons or "no node has stored weights",
        fix="try another --kind; float16 halves any file",
    )
