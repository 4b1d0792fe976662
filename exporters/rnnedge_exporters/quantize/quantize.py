"""From a file with a contract to a smaller and faster one with the same contract.

Rules:
    1. Each layer with weights is quantised by the pass for its operator, or left in float with a
       reason.
    2. The step of a recurrent layer stands in the graph itself if its sequence has one frame in
       runs of the fewest frames (`chunk_multiple`). Then the contract's `chunk_most` is that
       number, and a push of any length is run in parts.
    3. States stay as they are: same names, same shapes, and float, unless other is asked for.
    4. The proof of the float file says nothing about this one, and is dropped; `source` says what
       was done to which layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes

from rnnedge_exporters.errors import QuantizeError
from rnnedge_exporters.quantize import convolution, embedding, linear, lstm, recurrent
from rnnedge_exporters.quantize.frames import has_one_frame
from rnnedge_exporters.quantize.halves import store_halves
from rnnedge_exporters.quantize.options import Layer, QuantizeOptions
from rnnedge_exporters.quantize.plan import (
    LINEAR,
    RECURRENT,
    Plan,
    is_layer,
    plan_for,
    weight_count,
)
from rnnedge_exporters.quantize.products import BITS, Style
from rnnedge_exporters.quantize.states import store_states
from rnnedge_exporters.quantize.stored import to_stored
from rnnedge_runtime.contract import METADATA_KEY, Contract, read

OPSET_NEEDED = 15
"""What is written needs Split, Squeeze and Shape as they are since then."""


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


def one_frame_layers(data: bytes) -> frozenset[str]:
    """The recurrent layers of a file that see one frame in its shortest run; the file is run once.

    Raises:
        QuantizeError, ContractError: as `quantize_model`.
    """
    return _one_frame_layers(data, *opened(data))


def quantize_model(
    data: bytes,
    options: QuantizeOptions | None = None,
    *,
    sha256: str | None = None,
    one_frame: Collection[str] | None = None,
) -> Quantized:
    """Quantises the file whose bytes are `data`.

    Args:
        data: all weights inside.
        options: int8 in all layers where that is faster, if None.
        sha256: of the file, if its weights were beside it.
        one_frame: what `one_frame_layers` found, for those who quantise a file again and again.

    Raises:
        QuantizeError: it is not ONNX, has no contract, was quantised before, or has no layer that
            can be quantised in this way.
        ContractError: its contract cannot be read.
    """
    options = options or QuantizeOptions()
    model, contract = opened(data)
    nodes = layer_nodes(model)
    _check_kept(options, nodes)
    if one_frame is None:
        one_frame = _one_frame_layers(data, model, contract)
    plans = {str(node.name): plan_for(node, options, one_frame) for node in nodes}
    layers = tuple(_layer(node, plans[str(node.name)], options) for node in nodes)
    keeps_states = options.states == "float" or options.only is not None
    is_whole = options.only is None and not options.keep
    if is_whole and keeps_states and all(layer.is_float for layer in layers):
        raise _nothing_to_do(layers)
    is_step = False
    for node in nodes:
        plan = plans[str(node.name)]
        is_step |= plan.is_step
        _write(model.graph, node, plan, options)
    passes.RemoveUnusedNodesPass()(model)
    told: dict[str, Any] = {
        "kind": options.kind,
        "of_sha256": sha256 or hashlib.sha256(data).hexdigest(),
        "layers": [layer.to_dict() for layer in layers],
    }
    if not keeps_states:
        contract = store_states(model, contract, options.states, options.state_sizes)
        told["states"] = options.states
    contract = replace(
        contract,
        parity=None,
        chunk_most=contract.chunk_multiple if is_step else contract.chunk_most,
        source={**contract.source, "quantized": told},
    )
    return Quantized(model, contract, layers)


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
    opset = model.graph.opset_imports.get("", 0)
    if opset < OPSET_NEEDED:
        raise QuantizeError(
            f"the file is of opset {opset}; {OPSET_NEEDED} or newer is needed",
            where="the model file",
            fix="convert it with onnx.version_converter.convert_version",
        )
    # Files of other exporters have weights in nodes, and in branches.
    passes.LiftConstantsToInitializersPass(lift_all_constants=False)(model)
    passes.LiftSubgraphInitializersToMainGraphPass()(model)
    _name_all(model.graph)
    return model, contract


def _name_all(graph: ir.Graph) -> None:
    """Layers are told by name; a node without one gets that of its first result."""
    for node in graph.all_nodes():
        node.name = node.name or str(node.outputs[0].name)


def layer_nodes(model: ir.Model) -> list[ir.Node]:
    """Nodes with weights, in the order of the graph, those in bodies of ``Scan`` included."""
    return [node for node in model.graph.all_nodes() if is_layer(node)]


def _one_frame_layers(data: bytes, model: ir.Model, contract: Contract) -> frozenset[str]:
    if contract.mode != "stream":
        return frozenset()
    nodes = [node for node in layer_nodes(model) if node.op_type in RECURRENT]
    in_main = [node for node in nodes if node.graph is model.graph]
    return frozenset(has_one_frame(data, contract, in_main))


def _layer(node: ir.Node, plan: Plan, options: QuantizeOptions) -> Layer:
    return Layer(
        str(node.name), node.op_type, weight_count(node), _told(node, plan, options), plan.why
    )


def _told(node: ir.Node, plan: Plan, options: QuantizeOptions) -> str:
    """How the weights of a layer are stored, in words."""
    if plan.way == "products" and options.kind in BITS:
        return f"{BITS[options.kind]} bits by block"
    if plan.way in ("products", "convolution") and options.kind == "static":
        x = node.inputs[0]
        return "int8, calibrated" if x is not None and str(x.name) in options.ranges else "int8"
    known = {
        "float": "float",
        "half": "float16",
        "rows": "int8, a step per row",
        "stored": "int8, computed in float",
    }
    return known.get(plan.way, "int8")


def _write(graph: ir.Graph, node: ir.Node, plan: Plan, options: QuantizeOptions) -> None:
    """Rule 1."""
    style = Style(options.kind, options.block)
    if plan.way == "stored":
        to_stored(graph, node)
    elif plan.way == "half":
        store_halves(graph, node)
    elif plan.way == "operator":
        lstm.to_operator(graph, node)
    elif plan.way == "rows":
        embedding.to_rows(graph, node)
    elif plan.way == "convolution":
        convolution.to_integers(graph, node, options)
    elif plan.way == "products" and node.op_type in LINEAR:
        linear.to_product(graph, node, style, options.ranges)
    elif plan.way == "products":
        recurrent.to_products(graph, node, style, one_frame=plan.is_step, ranges=options.ranges)


def _check_kept(options: QuantizeOptions, nodes: list[ir.Node]) -> None:
    names = [str(node.name) for node in nodes]
    unknown = [name for name in options.keep if name not in names]
    if unknown:
        raise QuantizeError(
            f"there is no layer {unknown[0]!r}",
            where="keep",
            fix=f"it has: {', '.join(names) or 'none'}",
        )


def _nothing_to_do(layers: tuple[Layer, ...]) -> QuantizeError:
    reasons = "; ".join(f"{layer.name}: {layer.why}" for layer in layers[:5])
    return QuantizeError(
        "the file has no layer that can be quantised in this way",
        where=reasons or "no node has stored weights",
        fix="try another --kind; float16 halves any file",
    )
