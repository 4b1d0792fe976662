"""The module that a file was made from, as a step in PyTorch that carries its state.

Two ways, the first that fits:

1. forward itself takes and returns all states of the file: it is called as its user would.
2. The streaming program that the exporter derives, with states as arguments and results. Recurrent
   layers in it are PyTorch's own functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.utils import _pytree as pytree

from rnnedge.benchmark.peers.feedback import initial_by_input, refuse_parts
from rnnedge.benchmark.peers.protocol import CannotRunError, PeerStep
from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array
from rnnedge.parity.verification import inputs_of
from rnnedge_exporters.capture import prepare
from rnnedge_exporters.capture.call import Call, name_results, pick
from rnnedge_exporters.capture.operators import GRU, LSTM, RNN
from rnnedge_exporters.convert import DEFAULT_OPSET, convert_in_stages
from rnnedge_exporters.specs import parse_inputs
from rnnedge_runtime import Contract

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What becomes of the function that is called: nothing, or `torch.compile`."""


@dataclass(frozen=True)
class Program:
    """The exporter's streaming program.

    Attributes:
        module: takes `arguments` by position, gives outputs, then next states.
        arguments: the file's names of inputs and state inputs, in order.
        results: the file's names of outputs and state outputs, in order.
    """

    module: GraphModule
    arguments: tuple[str, ...]
    results: tuple[str, ...]

    @classmethod
    def of(cls, module: nn.Module, contract: Contract, states: Sequence[str]) -> Program:
        """Derives it again from the module."""
        stages = convert_in_stages(
            module,
            inputs_of(contract),
            states=states or contract.source.get("states", ()),
            mode=contract.mode,
            opset=contract.source.get("opset", DEFAULT_OPSET),
            one_frame=contract.chunk_most is not None,
        )
        streaming = stages.streaming
        names = {state.name: state for state in contract.states}
        known = {node.name: name for name, node in streaming.inputs.items()}
        if {state.name for state in streaming.states} != names.keys():
            raise CannotRunError("the module's states are not the file's")
        known |= {state.start.name: names[state.name].input for state in streaming.states}
        graph_module = streaming.graph_module
        placeholders = graph_module.graph.find_nodes(op="placeholder")
        _use_plain_layers(graph_module)
        return cls(
            graph_module,
            tuple(known[node.name] for node in placeholders),
            (*streaming.outputs, *(names[state.name].output for state in streaming.states)),
        )


def program_step(program: Program, subject: Subject, wrap: Wrap) -> PeerStep:
    """Calls the streaming program."""
    refuse_parts(subject)
    contract = subject.model.contract
    call = wrap(program.module)
    outputs = [port.name for port in contract.outputs]
    carried = {state.output: state.input for state in contract.states}
    states = {name: torch.from_numpy(array) for name, array in initial_by_input(subject).items()}

    @torch.inference_mode()
    def step(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        given = {name: torch.from_numpy(array) for name, array in inputs.items()} | states
        results = call(*(given[name] for name in program.arguments))
        found = dict(zip(program.results, results, strict=True))
        for output, name in carried.items():
            states[name] = found[output]
        return {name: found[name].numpy() for name in outputs}

    return step


def forward_step(
    module: nn.Module, subject: Subject, hints: Sequence[str], wrap: Wrap
) -> PeerStep | None:
    """Calls forward with the states that it takes; None where these are not all of the file's."""
    contract = subject.model.contract
    specs = parse_inputs(inputs_of(contract))
    hints = hints or contract.source.get("states", ())
    ready, call = prepare(module, specs, hints, contract.mode)
    parts = _parts(call, contract)
    if type(ready) is not type(module) or parts is None:
        return None
    initial = subject.model.initial_state(subject.batch)
    states = {
        argument.parameter: pytree.tree_unflatten(
            [
                torch.cat([torch.from_numpy(initial[layer]) for layer in parts[name]])
                for name in argument.names
            ],
            argument.tree,
        )
        for argument in call.states
    }
    forward, ways = wrap(ready.eval()), dict[str, tuple[int | str, ...]]()

    @torch.inference_mode()
    def step(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        given = {name: torch.from_numpy(array) for name, array in inputs.items()}
        result = forward(**given, **states)
        for argument in call.states:
            states[argument.parameter] = pick(result, argument.result)
        if not ways:
            ways.update(_ways(result, call))
        return {name: pick(result, way).numpy() for name, way in ways.items()}

    return step


def _parts(call: Call, contract: Contract) -> dict[str, list[str]] | None:
    """The file's states by the state of forward that they are layers of, if that is all of them."""
    names = [state.name for state in contract.states]
    parts = {
        name: [n for n in names if n == name or re.fullmatch(rf"{re.escape(name)}_l\d+", n)]
        for state in call.states
        for name in state.names
    }
    owned = [layer for layers in parts.values() for layer in layers]
    return parts if owned and sorted(owned) == sorted(names) and all(parts.values()) else None


def _ways(result: Any, call: Call) -> dict[str, tuple[int | str, ...]]:
    """Where each output lies in forward's result: found once, followed in every call."""
    outputs, _ = name_results(result, call)
    leaves = pytree.tree_flatten_with_path(result)[0]
    return {
        name: next(tuple(map(_key, path)) for path, leaf in leaves if leaf is value)
        for name, value in outputs.items()
    }


def _key(entry: Any) -> int | str:
    key: int | str = getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", "")))
    return key


def _use_plain_layers(graph_module: GraphModule) -> None:
    """PyTorch's functions in place of the operators that kept layers whole for the export."""
    for node in graph_module.graph.nodes:
        if node.target in _PLAIN and not _has_lengths(node):
            node.target = _PLAIN[node.target]
    graph_module.recompile()


def _has_lengths(node: Node) -> bool:
    index = [a.name for a in node.target._schema.arguments].index("lengths")  # type: ignore[union-attr]
    return node.kwargs.get("lengths", (*node.args, *[None] * 8)[index]) is not None


def _rnn(
    x: Tensor,
    h0: Tensor,
    weights: list[Tensor],
    nonlinearity: str,
    bidirectional: bool,
    lengths: None = None,
) -> Any:
    function = torch.rnn_tanh if nonlinearity == "tanh" else torch.rnn_relu
    return function(x, h0, weights, *_options(weights, bidirectional))


def _gru(
    x: Tensor, h0: Tensor, weights: list[Tensor], bidirectional: bool, lengths: None = None
) -> Any:
    return torch.gru(x, h0, weights, *_options(weights, bidirectional))


def _lstm(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    weights: list[Tensor],
    bidirectional: bool,
    lengths: None = None,
) -> Any:
    return torch.lstm(x, (h0, c0), weights, *_options(weights, bidirectional))


def _options(weights: list[Tensor], bidirectional: bool) -> tuple[Any, ...]:
    """has_biases, num_layers, dropout, train, bidirectional, batch_first."""
    return len(weights) >= 4 * (1 + bidirectional), 1, 0.0, False, bidirectional, False


_PLAIN: dict[Any, Callable[..., Any]] = {RNN: _rnn, GRU: _gru, LSTM: _lstm}
