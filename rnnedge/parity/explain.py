"""Where a file and a module part: the first tensor that differs, and the user's line.

The module is converted again, which gives the same graphs every time. Then, on one signal:

1. the streaming program runs chunk by chunk beside the whole-sequence program, both in PyTorch in
   float64, tensor by tensor, aligned by their clocks. What differs is the streaming passes' doing;
2. the file runs beside the streaming program, run by run from the same states, so that an error
   of one run is not carried to the next. What differs is the file's doing, or the export's when a
   fresh export does the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import onnx
import torch
from torch import nn
from torch.fx import Node

from rnnedge.parity.aligned import compare_streaming
from rnnedge.parity.explanation import Difference, Explanation
from rnnedge.parity.inner import Played, Run, StreamRunner
from rnnedge.parity.inside import Graph, Session, causes, metadata_of
from rnnedge.parity.measure import Array, Ledger
from rnnedge.parity.signals import Signals
from rnnedge.parity.verdict import fails, note, told
from rnnedge_exporters.convert import DEFAULT_OPSET, Stages, convert_in_stages
from rnnedge_exporters.lowering import Origin
from rnnedge_exporters.packing import apart, together
from rnnedge_exporters.streaming.program import Twin
from rnnedge_exporters.streaming.refusal import describe, module_path
from rnnedge_runtime import Contract, RnnEdgeError
from rnnedge_runtime.providers import SessionRequest
from rnnedge_runtime.states import InitialValues


def explain(
    file: str | PathLike[str] | bytes,
    module: nn.Module,
    contract: Contract,
    *,
    inputs: Mapping[str, str],
    states: Sequence[str],
    request: SessionRequest,
    seed: int,
    index_bound: int,
) -> Explanation:
    """Finds the first tensor that differs.

    Args:
        file: the model file, or its bytes.
        module: that it is to equal.
        contract: the file's.
        inputs: what the export was told of them.
        states: likewise.
        request: how the file is run.
        seed: of the signal.
        index_bound: how large an integer input may be.
    """
    data = onnx.load_model_from_string(file) if isinstance(file, bytes) else onnx.load(fspath(file))
    opset = contract.source.get("opset", DEFAULT_OPSET)
    try:
        stages = convert_in_stages(
            module,
            inputs,
            states=states,
            mode=contract.mode,
            opset=opset,
            one_frame=contract.chunk_most is not None,
        )
    except RnnEdgeError as error:
        return Explanation(None, (), 0, 0, f"the module cannot be exported: {error.what}")
    fresh_data = onnx.load_model_from_string(stages.converted.to_bytes())
    graphs = Graph.of(data), Graph.of(fresh_data)
    expected = stages.converted.contract
    metadata = metadata_of(data), metadata_of(fresh_data)
    found = causes(*graphs, contract, expected, metadata)
    lengths = stages.program.call.lengths
    signals = Signals(expected, seed=seed, index_bound=index_bound, lengths=lengths)
    played = Played.of(expected, signals)
    initial = apart(InitialValues(expected, metadata[1])(played.batch), stages.packed)
    wrong, compared = compare_streaming(stages, played, initial)
    if wrong:
        return Explanation(_of_passes(stages, *wrong[0]), found, compared, 0)
    inside = Inside(stages, played, initial, request)
    try:
        first, count = inside.first(*graphs)
    except Exception as error:  # onnxruntime's exceptions share no base class
        reason = str(error).splitlines()[0]
        return Explanation(None, found, compared, 0, f"the file does not run: {reason}")
    return Explanation(first, found, compared, count)


def _of_passes(stages: Stages, twin: Twin, ledger: Ledger) -> Difference:
    node = twin.whole
    where = _place(node)
    return Difference("streaming", twin.stream, module_path(node), where, "", told(ledger))


@dataclass(frozen=True)
class Inside:
    """The file beside the streaming program."""

    stages: Stages
    played: Played
    initial: Mapping[str, Array]
    request: SessionRequest

    def first(self, file: Graph, fresh: Graph) -> tuple[Difference | None, int]:
        """The first value of the file that differs, and how many were compared."""
        places = self._places()
        theirs = self._compare(file, places)
        wrong = [name for name in theirs if fails(theirs[name])]
        count = sum(ledger.runs > 0 for ledger in theirs.values())
        if not wrong:
            return None, count
        also = self._compare(fresh, places)
        results = {output.name for output in fresh.model.graph.output}
        if not any(fails(ledger) for name, ledger in also.items() if name in results):
            # The export is right; what differs inside of it is another way to the same results.
            wrong = [name for name in wrong if name not in also or not fails(also[name])]
        if not wrong:
            return None, count
        order = {n.name: i for i, n in enumerate(self.stages.streaming.graph_module.graph.nodes)}
        name = min(wrong, key=lambda value: order.get(places[value].node, len(order)))
        stage = "export" if name in also and fails(also[name]) else "file"
        return self._difference(name, places[name], file, theirs[name], stage), count

    def _difference(
        self, name: str, origin: Origin, file: Graph, ledger: Ledger, stage: Any
    ) -> Difference:
        nodes = {node.name: node for node in self.stages.streaming.graph_module.graph.nodes}
        node, made = nodes[origin.node], ", ".join(self._makers(name, file))
        return Difference(stage, name, module_path(node), _place(node), made, told(ledger))

    def _makers(self, name: str, file: Graph) -> list[str]:
        """The nodes since the last value that was compared: ``gru/GRU (GRU)``, then its squeeze."""
        places = self._places()
        made: list[str] = []
        while name in file.makers and (not made or name not in places):
            maker = file.makers[name]
            made.append(f"{maker.name} ({maker.op_type})")
            name = maker.input[0] if maker.input else ""
        return made[::-1]

    def _places(self) -> dict[str, Origin]:
        """The origin of every value that can be compared, in- and outside of the graph."""
        streaming = self.stages.streaming
        nodes = {node.name for node in streaming.graph_module.graph.nodes}
        places = dict(self.stages.origins)
        places |= {name: Origin(output.node.name) for name, output in streaming.outputs.items()}
        places |= {f"{state.name}.next": Origin(state.end.name) for state in streaming.states}
        return {name: origin for name, origin in places.items() if origin.node in nodes}

    def _compare(self, graph: Graph, places: Mapping[str, Origin]) -> dict[str, Ledger]:
        """Run by run, each from the states that the streaming program has in float32."""
        session = graph.session(self.request, list(places))
        exact, single = (StreamRunner(self.stages, d) for d in (torch.float64, torch.float32))
        ledgers = {n: Ledger(n, ()) for n in session.names if n in places}
        states = dict(self.initial)
        for run in self.played.runs:
            truth, _ = exact.run(run, states)
            own, after = single.run(run, states)
            self._note(session, run, states, ledgers, places, (truth, own))
            states = after
        return ledgers

    def _note(
        self,
        session: Session,
        run: Run,
        states: Mapping[str, Array],
        ledgers: Mapping[str, Ledger],
        places: Mapping[str, Origin],
        values: tuple[Mapping[str, Any], Mapping[str, Any]],
    ) -> None:
        given = together({**states, **run.states}, self.stages.packed)
        got = session.run({**run.inputs, **given})
        for name, ledger in ledgers.items():
            exact, single = (_array(side, places[name]) for side in values)
            # Nothing says which axis holds the channels, so all of it has one yardstick.
            ledger.axes = tuple(f"axis {axis}" for axis in range(max(exact.ndim, 1)))
            note(ledger, got[name], exact, single, self.played.batch)


def _array(values: Mapping[str, Any], origin: Origin) -> Array:
    value = values[origin.node]
    if isinstance(value, (tuple, list)):
        value = value[origin.index or 0]
    array: Array = value.numpy() if isinstance(value, torch.Tensor) else torch.tensor(value).numpy()
    return array


def _place(node: Node) -> str:
    if not node.meta.get("nn_module_stack"):
        return "what the stream keeps of itself (positions, lengths)"
    return describe(node)
