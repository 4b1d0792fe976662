"""Which arguments of forward are states, and which parts of its result follow them.

Rules:
    1. Every input that is named must be an argument of forward.
    2. An argument that is not named and has a default other than None keeps its default.
    3. A part of the result can follow a state when no size in it depends on time.
    4. Arguments without a default are states. They and the parts of rule 3 pair off in order.
    5. An argument whose default is None is a state when the next part of rule 3, given back as the
       argument, gives a part of the same structure and sizes again, and zeros in its place mean
       the same as None. Otherwise it stays None: an option, or a start that forward makes itself.
    6. A module of ours (`held.py`, `cells.py`) tells its states itself.
    7. An input of whole numbers, one for each row, says how many frames of the row count when
       forward does not run on zeros there: no sequence that is packed is empty.
    8. What this leaves open, the user settles: ``hidden: float32[2, batch, 64] -> 1``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.attributes import copied
from rnnedge_exporters.capture.call import (
    OWN_STATES,
    Call,
    StateArgument,
    inference,
    is_required,
    may_be_state,
    parameters_of,
    pick,
    randomised,
    run,
    suffix_of,
)
from rnnedge_exporters.capture.hints import Hint, Path, read_hints, unsettled
from rnnedge_exporters.capture.lengths import with_lengths
from rnnedge_exporters.errors import CaptureError, SpecError
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME


def bind(module: nn.Module, inputs: Mapping[str, TensorSpec], hints: Sequence[str] = ()) -> Call:
    """Decides how forward is called, by the rules above.

    Args:
        module: a copy of it is called a few times, in evaluation mode.
        inputs: the data arguments.
        hints: what the user says of states, as in rule 8.

    Raises:
        SpecError: an input is no argument of forward, or an argument is neither input nor state.
        CaptureError: forward raises.
    """
    module = copied(module)
    own = getattr(module, OWN_STATES, ())
    if own:
        return replace(_called(module, Call(dict(inputs), ()), []), states=own)
    parameters = parameters_taking(module, inputs)
    hinted = read_hints(hints, parameters)
    open_names = [n for n, p in parameters.items() if n not in inputs and may_be_state(p)]
    names = [n for n in open_names if n in hinted or is_required(parameters[n])]
    optional = [n for n in open_names if n not in names]
    hints_of = [hinted.get(n, Hint(n)) for n in names]
    with inference(module):
        call = _called(module, Call(dict(inputs), ()), hints_of)
        if not names and not optional:
            return call
        states = _settle(module, call, hints_of)
        if not states:
            states = _try_optional(module, call, optional)
    return replace(
        call,
        states=tuple(replace(s, required=is_required(parameters[s.parameter])) for s in states),
    )


def parameters_taking(
    module: nn.Module, inputs: Mapping[str, TensorSpec]
) -> dict[str, inspect.Parameter]:
    """The arguments of forward; rule 1.

    Raises:
        SpecError: an input is none of them.
    """
    parameters = parameters_of(module)
    for name in inputs:
        if parameters and name not in parameters:
            raise SpecError(
                f"forward of {type(module).__name__} has no argument {name!r}",
                where=f"--input {name}",
                fix=f"its arguments are: {', '.join(parameters)}",
            )
    return parameters


def _called(module: nn.Module, call: Call, hints: Sequence[Hint]) -> Call:
    """`call` at lengths at which forward runs, and with the inputs of rule 7 as lengths."""

    def attempt(sizes: Mapping[str, int], call: Call) -> None:
        given = {hint.parameter: hint.given(sizes) for hint in hints}
        run(module, call.arguments(sizes) | given)

    rows = [name for name, spec in call.inputs.items() if _counts_rows(spec)]
    if not rows:
        return with_lengths(call, attempt)
    for names in ((), *((name,) for name in rows), rows if len(rows) > 1 else ()):
        trial = with_lengths(replace(call, lengths=frozenset(names)), attempt)
        with suppress(CaptureError):
            attempt(trial.example, trial)
            return trial
    return with_lengths(call, attempt)


def _counts_rows(spec: TensorSpec) -> bool:
    is_whole = not spec.torch_dtype.is_floating_point and spec.dtype != "bool"
    return is_whole and len(spec.shape) == 1 and spec.axis(TIME) is None


def _settle(module: nn.Module, call: Call, hints: list[Hint]) -> list[StateArgument]:
    """Rule 4, with what the user said."""
    if not hints:
        return []
    names = [hint.parameter for hint in hints]
    try:
        large, shorter, small = (
            run(module, call.arguments(sizes) | {h.parameter: h.given(sizes) for h in hints})
            for sizes in (call.example, call.shorter, call.other)
        )
    except CaptureError as error:
        if all(hint.example is not None for hint in hints):
            raise
        raise unsettled(names, f"forward does not run without it ({error.what})") from error
    parts = _timeless(large, shorter)
    free = [path for path in parts if path not in [hint.path for hint in hints]]
    open_names = [hint.parameter for hint in hints if hint.path is None]
    if open_names and len(free) != len(open_names):
        shown = ", ".join(".".join(map(str, path)) for path in parts) or "none"
        raise unsettled(open_names, f"results that do not grow with time: {shown}")
    order = iter(free)
    states = []
    for hint in hints:
        path = next(order) if hint.path is None else hint.path
        try:
            pair = pick(large, path), pick(small, path)
            states.append(state_argument(call, hint.parameter, path, *pair))
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise unsettled([hint.parameter], f"the result has no part {path}") from error
    _check_feedback(module, call, states, large)
    return states


def _try_optional(module: nn.Module, call: Call, names: list[str]) -> list[StateArgument]:
    """Rule 5."""
    large, shorter, small = (
        run(module, randomised(call.arguments(sizes)))
        for sizes in (call.example, call.shorter, call.other)
    )
    parts = _timeless(large, shorter)
    states: list[StateArgument] = []
    for name in names:
        if not parts:
            break
        state = state_argument(call, name, parts[0], pick(large, parts[0]), pick(small, parts[0]))
        trial = replace(call, states=(*states, state))
        if _zeros_mean_none(module, trial, large):
            states.append(state)
            parts.pop(0)
    return states


def _zeros_mean_none(module: nn.Module, call: Call, without: Any) -> bool:
    data = randomised(replace(call, states=()).arguments(call.example))
    try:
        result = run(module, call.arguments(call.example) | data)
    except CaptureError:
        return False
    ours, theirs = pytree.tree_leaves(result), pytree.tree_leaves(without)
    return len(ours) == len(theirs) and all(
        torch.equal(a, b) if isinstance(a, Tensor) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


def _check_feedback(
    module: nn.Module, call: Call, states: list[StateArgument], before: Any
) -> None:
    trial = replace(call, states=tuple(states))
    result = run(module, trial.arguments(call.example))
    for state in states:
        shapes = [
            pytree.tree_map_only(Tensor, lambda t: tuple(t.shape), pick(r, state.result))
            for r in (before, result)
        ]
        if shapes[0] != shapes[1]:
            raise unsettled([state.parameter], f"given back, it changes: {shapes}")


def _timeless(result: Any, shorter: Any) -> list[Path]:
    """The top parts of a nested result in which no size depends on time."""
    if not isinstance(result, (tuple, list, Mapping)):
        return []
    keys = list(result) if isinstance(result, Mapping) else list(range(len(result)))
    return [
        (key,)
        for key in keys
        if (shapes := _shapes(pick(result, (key,)))) and shapes == _shapes(pick(shorter, (key,)))
    ]


def _shapes(part: Any) -> list[torch.Size]:
    """Of the tensors in `part`; empty when it holds anything else."""
    leaves = pytree.tree_leaves(part)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return [tensor.shape for tensor in tensors] if len(tensors) == len(leaves) else []


def state_argument(call: Call, parameter: str, path: Path, large: Any, small: Any) -> StateArgument:
    """Compares the part at two batch sizes: the axis that differs is the batch axis."""
    flat, tree = pytree.tree_flatten(large)
    leaves = tuple(
        _leaf_spec(call, parameter, a, b)
        for a, b in zip(flat, pytree.tree_leaves(small), strict=True)
    )
    keys, _ = pytree.tree_flatten_with_path(large)
    names = tuple(parameter + suffix_of(path_in) for path_in, _ in keys)
    return StateArgument(parameter, leaves, names, tree, path)


def _leaf_spec(call: Call, parameter: str, large: Tensor, small: Tensor) -> TensorSpec:
    spec = call.spec_of(large, small)
    if spec is None:
        sizes = zip(large.shape, small.shape, strict=True)
        rows = (call.example[BATCH], call.other[BATCH])
        a, b = next((a, b) for a, b in sizes if a != b and (a, b) != rows)
        raise unsettled([parameter], f"a size is {a} at batch 3 and {b} at batch 2")
    return spec
