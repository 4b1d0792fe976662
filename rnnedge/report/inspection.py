"""A model file, looked at: what it promises, what it holds, and what a frame of it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.contract import contract_dict, contract_tables
from rnnedge.report.cost import Cost, cost_per_frame
from rnnedge.report.graph import (
    Graph,
    GraphPort,
    RecurrentNode,
    describe,
    load_model,
    read_contract,
)
from rnnedge.report.latency import Latency, output_dict
from rnnedge.report.quantization import quantized_lines
from rnnedge.report.tables import new_table
from rnnedge.report.units import bytes_text, count_text, shape_text
from rnnedge_runtime.contract import Contract


@dataclass(frozen=True)
class Inspection:
    """What `rnnedge inspect` prints."""

    path: Path
    contract: Contract | None
    graph: Graph
    cost: Cost

    def to_dict(self) -> Mapping[str, Any]:
        """The contract as stored and the latency, null if there is none; the graph; the cost."""
        cost = asdict(self.cost)
        return {
            "path": str(self.path),
            "contract": None if self.contract is None else contract_dict(self.contract),
            "latency": _latency_dict(self.contract),
            "graph": asdict(self.graph),
            "cost": {
                "batch": 1,
                "counted_frames": cost["frames"],
                "multiply_adds_per_frame": cost["multiply_adds"],
                "weight_bytes_per_frame": cost["weight_bytes"],
                "not_counted": cost["not_counted"],
            },
        }

    def to_rich(self) -> RenderableType:
        """Tables of ports, states and recurrent operators, then the sums."""
        if self.contract is None:
            tables = [_graph_ports(self.graph)]
        else:
            tables = contract_tables(self.contract)
        if self.graph.recurrent:
            tables.append(_recurrent(self.graph.recurrent))
        return Group(*tables, *_lines(self))

    def to_line(self) -> str:
        """What the file can be used for."""
        return "no contract" if self.contract is None else self.contract.mode


def inspect_file(path: Path) -> Inspection:
    """Reads the file at `path`; needs neither torch nor onnxruntime.

    Raises:
        ModelFileError: the file is missing, truncated, or not ONNX.
        ContractError: its contract is damaged or of a newer version.
    """
    model = load_model(path)
    contract = read_contract(model)
    return Inspection(path, contract, describe(model), cost_per_frame(model, contract))


def _latency_dict(contract: Contract | None) -> Mapping[str, Any] | None:
    if contract is None or contract.mode != "stream":
        return None
    outputs = [output_dict(port, contract.signal) for port in contract.outputs]
    return {
        "chunk_multiple": contract.chunk_multiple,
        "chunk_most": contract.chunk_most,
        **Latency.of(contract).to_dict(),
        "outputs": outputs,
    }


def _graph_ports(graph: Graph) -> Table:
    table = new_table("", "name", "type", "shape")
    for role, ports in (("input", graph.inputs), ("output", graph.outputs)):
        for port in ports:
            table.add_row(role, *_cells(port))
    return table


def _cells(port: GraphPort) -> tuple[Text, Text, Text]:
    return Text(port.name), Text(port.dtype), Text(shape_text(port.shape))


def _recurrent(nodes: tuple[RecurrentNode, ...]) -> Table:
    table = new_table("recurrent node", "operator", "input", "hidden", "direction", "weights")
    for node in nodes:
        table.add_row(
            Text(node.name),
            node.op,
            str(node.input_size),
            str(node.hidden_size),
            node.direction,
            bytes_text(node.weight_bytes),
        )
    return table


def _lines(inspection: Inspection) -> list[Text]:
    graph, cost, contract = inspection.graph, inspection.cost, inspection.contract
    lines = [
        f"weights    {count_text(graph.parameters)} parameters, {bytes_text(graph.weight_bytes)}",
        f"per frame  {count_text(cost.multiply_adds)} multiply-adds, "
        f"{bytes_text(cost.weight_bytes)} of weights read (batch 1)",
    ]
    if cost.not_counted:
        lines.append(f"           not counted: {', '.join(cost.not_counted)}")
    lines.append(f"operators  opset {graph.opset}: {_operators(graph)}")
    if contract is None:
        return [Text(line) for line in lines]
    lines.append(f"contract   version {contract.version}, mode {contract.mode}")
    if contract.mode == "stream":
        lines.append(f"latency    {Latency.of(contract)}")
    if contract.chunk_most is not None:
        lines.append(
            f"runs       of {contract.chunk_most} frames at most; a longer push is run in parts"
        )
    if contract.signal is not None:
        signal = contract.signal
        lines.append(
            f"signal     {signal.sample_rate_hz} Hz, hop {signal.hop_samples} samples, "
            f"window {signal.window_samples} samples"
        )
    if contract.source:
        lines.append(f"source     {_source(contract.source)}")
    quantized = contract.source.get("quantized")
    if isinstance(quantized, Mapping):
        lines += quantized_lines(quantized)
    else:
        lines.append(f"proof      {_proof(contract.parity)}")
    return [Text(line) for line in lines]


def _operators(graph: Graph) -> str:
    return ", ".join(f"{count} {op}" for op, count in graph.operators.items())


def _source(source: Mapping[str, Any]) -> str:
    """What is known of the module; its inputs and states are in the tables already."""
    facts: list[str] = []
    for key, value in source.items():
        if isinstance(value, Mapping) and key not in ("inputs", "quantized"):
            facts += [f"{name} {version}" for name, version in value.items()]
        elif value is not None and key not in ("inputs", "states", "quantized"):
            facts.append(f"{key} {value}")
    return ", ".join(facts)


def _proof(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "none: nobody has compared this file with its module"
    checks = parity.get("checks")
    count = f", {len(checks)} checks" if isinstance(checks, list) else ""
    return f"{'passed' if parity.get('passed') else 'FAILED'}{count}"
