"""How forward is called: which arguments are data, which are states, which results are states.

`bind` decides it (its rules are in `states.py`), `run` and `inference` do it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.errors import CaptureError
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME, Dim

EXAMPLE_SIZES = {BATCH: 3, TIME: 16}
"""Sizes at which the module is traced. Neither is 0 or 1, which torch.export would freeze.

A module whose windows are longer is traced at a multiple of that length; see `lengths.py`."""
OTHER_SIZES = {BATCH: 2, TIME: 11}
"""Sizes at which what was learned at the example's is checked."""


OWN_STATES = "rnnedge_states"
"""The attribute of a module of ours that tells, as StateArguments, which states it takes."""


@dataclass(frozen=True)
class StateArgument:
    """An argument of forward that is a state, and the part of the result that follows it.

    Attributes:
        parameter: the argument's name.
        leaves: one spec per tensor in it, the batch axis by name.
        names: one name per tensor: ``hidden``, or ``hidden.0`` and ``hidden.1``.
        tree: how the tensors nest.
        result: the path in forward's result, such as ``(1,)``.
        required: whether forward cannot be called without it.
        initial: one tensor per leaf, for a batch of one, from which a stream starts; zeros where
            there are none.
    """

    parameter: str
    leaves: tuple[TensorSpec, ...]
    names: tuple[str, ...]
    tree: pytree.TreeSpec
    result: tuple[int | str, ...]
    required: bool = False
    initial: tuple[Tensor, ...] = ()

    @property
    def starts(self) -> tuple[Tensor, ...]:
        """What each leaf starts from, for a batch of one."""
        return self.initial or tuple(leaf.zeros({BATCH: 1}) for leaf in self.leaves)

    def start(self, sizes: Mapping[str, int]) -> Any:
        """The argument from which a stream starts, for a batch of that size."""
        shapes = [leaf.zeros(sizes).shape for leaf in self.leaves]
        tensors = [start.expand(shape) for start, shape in zip(self.starts, shapes, strict=True)]
        return pytree.tree_unflatten(tensors, self.tree)

    def __str__(self) -> str:
        """As the user would write it."""
        path = ".".join(map(str, self.result))
        nested = pytree.tree_unflatten(list(self.leaves), self.tree)
        return f"{self.parameter}: {_show(nested)} -> {path}"


@dataclass(frozen=True)
class Call:
    """One way to call forward.

    Attributes:
        inputs: the data arguments by name.
        states: the arguments that are states.
        example: sizes at which forward runs, and is traced.
        other: sizes at which what was learned at the example's is checked.
        lengths: names of the inputs that say how many frames of each row count.
    """

    inputs: Mapping[str, TensorSpec]
    states: tuple[StateArgument, ...]
    example: Mapping[str, int] = field(default_factory=lambda: EXAMPLE_SIZES)
    other: Mapping[str, int] = field(default_factory=lambda: OTHER_SIZES)
    lengths: frozenset[str] = frozenset()

    @property
    def shorter(self) -> Mapping[str, int]:
        """The example's batch, and the other length."""
        return {**self.example, TIME: self.other[TIME]}

    def spec_of(self, large: Tensor, small: Tensor) -> TensorSpec | None:
        """Of a tensor at the example's and at the other sizes; the axis that differs is the batch.

        None where a size differs in another way.
        """
        dims: list[Dim] = []
        for a, b in zip(large.shape, small.shape, strict=True):
            if a != b and (a, b) != (self.example[BATCH], self.other[BATCH]):
                return None
            dims.append(a if a == b else BATCH)
        return TensorSpec(str(large.dtype).removeprefix("torch."), tuple(dims))

    def arguments(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Example arguments of those sizes; all zeros but for lengths, which differ by row."""
        arguments: dict[str, Any] = {n: spec.zeros(sizes) for n, spec in self.inputs.items()}
        for name in self.lengths:
            # From the longest on, as rows have to be where `enforce_sorted` is left as it is.
            rows = torch.arange(arguments[name].numel())
            ends = sizes[TIME] - rows * sizes[TIME] // (len(rows) + 1)
            arguments[name] = ends.clamp(1).to(arguments[name].dtype)
        for state in self.states:
            leaves = [leaf.zeros(sizes) for leaf in state.leaves]
            arguments[state.parameter] = pytree.tree_unflatten(leaves, state.tree)
        return arguments


def randomised(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with random floats, the same at every call; integers stay zero."""
    generator = torch.Generator().manual_seed(0)
    return cast(
        "dict[str, Any]",
        pytree.tree_map_only(
            Tensor,
            lambda t: (
                torch.randn(t.shape, generator=generator).to(t.dtype)
                if t.is_floating_point()
                else t
            ),
            arguments,
        ),
    )


@contextmanager
def inference(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every submodule's own mode is restored after."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for child, mode in modes:
            child.training = mode


def run(module: nn.Module, arguments: Mapping[str, Any]) -> Any:
    """Calls forward by keyword; an error of the user's code becomes a clear one.

    Raises:
        CaptureError: forward raised.
    """
    try:
        return module(**arguments)
    except Exception as error:
        shapes = {
            name: pytree.tree_map_only(Tensor, lambda t: list(t.shape), value)
            for name, value in arguments.items()
        }
        raise CaptureError(
            f"forward raised {type(error).__name__}: {error}",
            where=f"{type(module).__name__}.forward called with shapes {shapes}",
            fix="check that each --input fits forward: element type, order of axes, sizes",
        ) from error


def pick(result: Any, path: Sequence[int | str]) -> Any:
    """The part of a nested result at `path`."""
    for key in path:
        result = result[key] if not isinstance(key, str) else _named(result, key)
    return result


def name_results(nested: Any, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides forward's result into data and states, by name.

    Data is named by its key in a dict, ``output`` when it is alone, else ``output_0`` and so on;
    states as their arguments.

    Args:
        nested: forward's result; its leaves may be anything.
        call: how forward was called.

    Raises:
        CaptureError: no data is left beside the states.
    """
    data = [
        (path, leaf)
        for path, leaf in pytree.tree_flatten_with_path(nested)[0]
        if not any(_is_at(path, state.result) for state in call.states)
    ]
    if not data:
        raise CaptureError(
            "nothing is left of forward's result beside states",
            where="forward's result",
            fix="return an output too, or say with --state which part is the state",
        )
    states = {
        name: leaf
        for state in call.states
        for name, leaf in zip(
            state.names, pytree.tree_leaves(pick(nested, state.result)), strict=True
        )
    }
    named: dict[str, Any] = {}
    for name, (_, leaf) in zip(_data_names([path for path, _ in data]), data, strict=True):
        free = name
        while free in call.inputs or free in states or free in named:
            free += "_out"
        named[free] = leaf
    return named, states


def _data_names(paths: Sequence[tuple[Any, ...]]) -> list[str]:
    names = [".".join(key for key in map(_key, path) if not key.isdigit()) for path in paths]
    if len(names) == 1:
        return [names[0] or "output"]
    if len(set(names)) < len(names) or "" in names:
        return [f"output_{index}" for index in range(len(names))]
    return names


def _key(entry: Any) -> str:
    return str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", entry))))


def _is_at(path: tuple[Any, ...], result: tuple[int | str, ...]) -> bool:
    return [_key(entry) for entry in path[: len(result)]] == [str(key) for key in result]


def _show(nested: Any) -> str:
    if isinstance(nested, TensorSpec):
        return str(nested)
    if isinstance(nested, Mapping):
        return f"{{{', '.join(f'{key}: {_show(part)}' for key, part in nested.items())}}}"
    return f"({', '.join(map(_show, nested))})"


def _named(result: Any, key: str) -> Any:
    return result[key] if isinstance(result, Mapping) else getattr(result, key)


def suffix_of(path: Sequence[Any]) -> str:
    """How a leaf's name goes on after that of what it lies in: ``.0``, ``.gru.h``."""
    return "".join(f".{str(key).strip('[].')}" for key in path).replace("'", "")


def is_required(parameter: inspect.Parameter) -> bool:
    """Whether forward cannot be called without it."""
    return parameter.default is inspect.Parameter.empty


def may_be_state(parameter: inspect.Parameter) -> bool:
    """Whether it may be left to forward where a state starts."""
    return parameter.default is None or is_required(parameter)


def parameters_of(module: nn.Module) -> dict[str, inspect.Parameter]:
    """Named arguments of forward; none when it takes anything by keyword."""
    parameters = inspect.signature(module.forward).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return {}
    return {
        name: p
        for name, p in parameters.items()
        if p.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    }
