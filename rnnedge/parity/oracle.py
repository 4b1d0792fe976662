"""The PyTorch module as the judge.

It knows nothing of captured graphs. States that forward takes are given as arguments; states inside
of `torch.nn.RNN`, `GRU` and `LSTM` are given and read where those modules are called.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from rnnedge.parity.measure import Array, Reference, Truth
from rnnedge.parity.precision import arithmetic, tensor_of
from rnnedge_exporters.capture import copied
from rnnedge_exporters.capture.call import Call, inference, name_results, run
from rnnedge_runtime.contract import State

_LAYER_STATE = re.compile(r"(?P<module>.+)\.(?P<role>[hc])(?:_l(?P<layer>\d+))?")


@dataclass(frozen=True)
class _Owner:
    """Where in the module a state of the stream lies."""

    module: str
    role: int
    layer: int


class Oracle:
    """Runs the module on whole sequences, in float64 and in float32.

    Attributes:
        unseen: states of the stream that have no counterpart to give or read; they are judged by
            their effect on outputs only.
        results: the names of what forward returns, states as ``name.next``.
        index_bound: how large an integer input may be: what the smallest table or one-hot of
            forward takes.
    """

    def __init__(self, module: nn.Module, call: Call, states: Sequence[State]) -> None:
        self._call = call
        self._modules = {dtype: _convert(module, dtype) for dtype in (torch.float64, torch.float32)}
        self._owners = {
            state.name: owner
            for state in states
            if state.kind in ("hidden", "cell") and (owner := _find_owner(module, state.name))
        }
        names = [state.name for state in states]
        # A state of all layers is one state per layer in the stream: hidden_l0, hidden_l1, ...
        self._layers = {
            name: [n for n in names if n == name or re.fullmatch(rf"{re.escape(name)}_l\d+", n)]
            for state in call.states
            for name in state.names
        }
        forward = {layer for layers in self._layers.values() for layer in layers}
        self._probe(call)
        self.unseen = [s.name for s in states if s.name not in forward | self._owners.keys()]

    def _probe(self, call: Call) -> None:
        """Runs forward once, to see what it indexes and how often it calls its recurrent modules.

        A module that runs over time in some calls, and not in others, leaves its states unseen:
        which call is which is not to be seen from outside.
        """
        module, bounds = self._modules[torch.float32], _Bounds()
        calls: Counter[str] = Counter()
        paths = {owner.module for owner in self._owners.values()}
        handles = [
            module.get_submodule(path).register_forward_hook(
                lambda layer, args, result, path=path: calls.update({path: layer.num_layers})
            )
            for path in paths
        ]
        with inference(module), bounds:
            outputs, ends = name_results(run(module, call.arguments(call.example)), call)
        self.results = (*outputs, *(f"{name}.next" for name in ends))
        for handle in handles:
            handle.remove()
        known = Counter(owner.module for owner in self._owners.values() if owner.role == 0)
        self._owners = {
            name: owner
            for name, owner in self._owners.items()
            if known[owner.module] == calls[owner.module]
        }
        self.index_bound = min(bounds.found, default=2)

    def run_from_start(self, inputs: Mapping[str, Array], start: Mapping[str, Array]) -> Truth:
        """Runs one whole sequence from the module's own start.

        Args:
            inputs: by name.
            start: initial states by name; only those that forward demands are taken from it.
        """
        required = [name for s in self._call.states if s.required for name in s.names]
        demanded = {layer: start[layer] for name in required for layer in self._layers[name]}
        return self.run(inputs, demanded)

    def run(self, inputs: Mapping[str, Array], states: Mapping[str, Array]) -> Truth:
        """Runs one whole sequence.

        Args:
            inputs: by name.
            states: initial states by name; the module starts by itself where one is left out.
        """
        exact_outputs, exact_states = self._run(torch.float64, inputs, states)
        outputs, finals = self._run(torch.float32, inputs, states)
        return Truth(
            {name: Reference(exact_outputs[name], value) for name, value in outputs.items()},
            {name: Reference(exact_states[name], value) for name, value in finals.items()},
        )

    def _run(
        self, dtype: torch.dtype, inputs: Mapping[str, Array], states: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        module = self._modules[dtype]
        arguments: dict[str, Any] = {n: tensor_of(v, dtype) for n, v in inputs.items()}
        for state in self._call.states:
            layers = [self._layers[name] for name in state.names]
            if not all(layer in states for part in layers for layer in part):
                continue
            leaves = [
                torch.cat([tensor_of(states[layer], dtype) for layer in part]) for part in layers
            ]
            arguments[state.parameter] = pytree.tree_unflatten(leaves, state.tree)
        given = {n: tensor_of(states[n], dtype) for n in self._owners if n in states}
        precise = arithmetic(dtype)
        with inference(module), precise, self._layer_states(module, given) as finals:
            outputs, ends = name_results(run(module, arguments), self._call)
        for name, end in ends.items():
            parts = self._layers[name]
            finals |= dict(zip(parts, end.chunk(len(parts)), strict=True))
        return _arrays(outputs), _arrays(finals)

    @contextlib.contextmanager
    def _layer_states(
        self, module: nn.Module, given: Mapping[str, Tensor]
    ) -> Iterator[dict[str, Tensor]]:
        """Gives initial states to recurrent modules and reads their final ones."""
        finals: dict[str, Tensor] = {}
        handles = []
        for path in {owner.module for owner in self._owners.values()}:
            names = {o: n for n, o in self._owners.items() if o.module == path}
            layer = module.get_submodule(path)
            assert isinstance(layer, nn.RNNBase)  # noqa: S101 - as _find_owner saw
            exchange = _Exchange(layer.num_layers, path, names, given, finals)
            handles.append(layer.register_forward_pre_hook(exchange.before, with_kwargs=True))
            handles.append(layer.register_forward_hook(exchange.after))
        try:
            yield finals
        finally:
            for handle in handles:
                handle.remove()


@dataclass
class _Exchange:
    """Gives and reads the states of one recurrent module; call k owns layers k * layers onwards."""

    layers: int
    path: str
    names: Mapping[_Owner, str]
    given: Mapping[str, Tensor]
    finals: dict[str, Tensor]
    calls: int = 0

    def before(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        initial = [self._given(role) for role in ((0, 1) if isinstance(module, nn.LSTM) else (0,))]
        if any(state is None for state in initial):
            return args, kwargs
        x = args[0] if args else kwargs["input"]
        if x.ndim == 2:  # without a batch; the stream's states have one, of size 1
            initial = [None if state is None else state.squeeze(1) for state in initial]
        return (x,), {"hx": tuple(initial) if isinstance(module, nn.LSTM) else initial[0]}

    def after(self, module: nn.Module, args: Any, result: Any) -> None:
        final = result[1] if isinstance(result[1], tuple) else (result[1],)
        for role, state in enumerate(final):
            parts = state.split(state.shape[0] // self.layers)
            for name, part in zip(self._names(role), parts, strict=True):
                if name is not None:
                    self.finals[name] = part if part.ndim == 3 else part.unsqueeze(1)
        self.calls += 1

    def _given(self, role: int) -> Tensor | None:
        layers = [self.given.get(name or "") for name in self._names(role)]
        known = [layer for layer in layers if layer is not None]
        return torch.cat(known) if len(known) == len(layers) else None

    def _names(self, role: int) -> list[str | None]:
        """Of the states of all layers in this call."""
        first = self.calls * self.layers
        owners = [_Owner(self.path, role, first + index) for index in range(self.layers)]
        return [self.names.get(owner) for owner in owners]


class _Bounds(TorchFunctionMode):
    """Notes the sizes of what forward indexes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is nn.functional.embedding:
            table = args[1] if len(args) > 1 else kwargs["weight"]
            self.found.append(int(table.shape[0]))
        if func is nn.functional.one_hot:
            classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
            self.found += [classes] if classes > 0 else []
        return func(*args, **kwargs)


def _find_owner(module: nn.Module, state: str) -> _Owner | None:
    """``encoder.gru.h_l1`` is layer 1 of the module ``encoder.gru``."""
    match = _LAYER_STATE.fullmatch(state)
    if match is None:
        return None
    paths = dict(module.named_modules())
    path = match["module"]
    if path not in paths and path == type(module).__name__.lower():
        path = ""
    if not isinstance(paths.get(path), nn.RNNBase):
        return None
    return _Owner(path, "hc".index(match["role"]), int(match["layer"] or 0))


def _convert(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    return copied(module).to(dtype).eval()


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
