"""A module that sees one frame becomes one that runs over a sequence.

Rules:
    1. It is such a module when none of its inputs has an axis of time. The sequence has that axis
       behind the batch, or in front where there is no batch.
    2. The arguments of forward that are no inputs are its states; so is what the module holds.
    3. Forward returns ``(y, state)``, with several states ``(y, state, ...)`` in their order; or
       the new state alone, as torch's cells do, which then is the output, too.
    4. Which of the two it is shows when the state is given back; ``--state "hidden -> 1"`` tells it
       where that leaves it open.
    5. A state starts from zeros, with which the first frame gives what it gives without; or from
       what the module held.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.attributes import copied, give_forward, in_precision_of, same
from rnnedge_exporters.capture.call import (
    EXAMPLE_SIZES,
    OTHER_SIZES,
    OWN_STATES,
    Call,
    StateArgument,
    inference,
    is_required,
    may_be_state,
    pick,
    randomised,
    run,
)
from rnnedge_exporters.capture.hints import Hint, Path, read_hints, unsettled
from rnnedge_exporters.capture.states import parameters_taking, state_argument
from rnnedge_exporters.capture.trace import flat_graph
from rnnedge_exporters.errors import CaptureError
from rnnedge_exporters.scan import scan
from rnnedge_exporters.specs import TensorSpec
from rnnedge_runtime.contract import BATCH, TIME

_WHOLE: Path = ()
_STEP = "rnnedge_step"
"""The submodule that is one step as a graph, in which recurrent cells are single operators."""


def sees_one_frame(inputs: Mapping[str, TensorSpec]) -> bool:
    """Rule 1."""
    return all(spec.axis(TIME) is None for spec in inputs.values())


def over_time(inputs: Mapping[str, TensorSpec]) -> dict[str, TensorSpec]:
    """The inputs of the sequence; rule 1."""
    axis = _time_axis(inputs)
    return {
        name: replace(spec, shape=(*spec.shape[:axis], TIME, *spec.shape[axis:]))
        for name, spec in inputs.items()
    }


def states_of_cell(
    module: nn.Module, inputs: Mapping[str, TensorSpec], hints: Sequence[str] = ()
) -> tuple[StateArgument, ...]:
    """The states of a module that sees one frame; none when each frame is by itself.

    Args:
        module: a copy of it is called a few times, in evaluation mode.
        inputs: the data arguments of one frame.
        hints: what the user says of states.

    Raises:
        SpecError: it is not clear what its states are.
    """
    return getattr(module, OWN_STATES, ()) or _states(copied(module), inputs, hints)


def repeated(
    module: nn.Module, inputs: Mapping[str, TensorSpec], states: tuple[StateArgument, ...]
) -> nn.Module:
    """A copy of a module that sees one frame; its forward runs over all frames.

    It takes the inputs of `over_time` and the states before the first frame, and returns what the
    module returns: of each output all frames, of each state the last. Where the module returns its
    state alone, it returns that of all frames, and the last.

    Args:
        module: not changed; traced in evaluation mode.
        inputs: the data arguments of one frame.
        states: as `states_of_cell` gives them.

    Raises:
        CaptureError: forward cannot be traced, or the batch is not the first axis.
    """
    base, axis = type(module), _time_axis(inputs)
    shown = tuple(replace(s, result=s.result or (1,)) for s in states)
    call = Call(dict(inputs), states)
    with inference(module):
        tree = pytree.tree_structure(run(module, call.arguments(call.example)))

    def forward(self: nn.Module, **arguments: Any) -> Any:
        frames = {name: arguments[name] for name in inputs}
        rows = next((x.shape[0] for x in frames.values() if axis), 1)
        given = {s.parameter: arguments.get(s.parameter) for s in states}
        starts = {
            s.parameter: in_precision_of(self, s.start({BATCH: rows}))
            for s in states
            if given[s.parameter] is None
        }

        is_traced = torch.compiler.is_exporting()

        def step(x: Any, before: Any) -> Any:
            if is_traced:
                leaves = getattr(self, _STEP)(*pytree.tree_leaves((x, before)))
                result = pytree.tree_unflatten(list(leaves), tree)
            else:
                result = base.forward(self, **x, **before)
            return result, {s.parameter: pick(result, s.result) for s in states}

        y, after = scan(step, frames, given | starts, dim=axis)
        if states[0].result == _WHOLE:
            return y, after[states[0].parameter]
        parts = dict(enumerate(y)) if isinstance(y, (tuple, list)) else dict(y)
        parts |= {s.result[0]: after[s.parameter] for s in states}
        return parts if isinstance(y, Mapping) else tuple(parts.values())

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in (
            *((name, inspect.Parameter.empty) for name in inputs),
            *((state.parameter, None) for state in states),
        )
    ]
    twin = copied(module)
    twin.add_module(_STEP, flat_graph(twin, call))  # its parameters are the copy's own
    give_forward(twin, forward, inspect.Signature(parameters), **{OWN_STATES: shown})
    return twin


def _time_axis(inputs: Mapping[str, TensorSpec]) -> int:
    axes = {spec.axis(BATCH) for spec in inputs.values()}
    if axes - {0, None} or len(axes) > 1:
        raise CaptureError(
            "of a module that sees one frame, the batch is the first axis of all inputs or of none",
            where=", ".join(f"{name}: {spec}" for name, spec in inputs.items()),
            fix=f"write --input as float32[{BATCH}, 80]; or name the axis of time, if forward "
            "takes several frames",
        )
    return 0 if None in axes else 1


def _states(
    module: nn.Module, inputs: Mapping[str, TensorSpec], texts: Sequence[str]
) -> tuple[StateArgument, ...]:
    """Rules 2 to 5."""
    parameters, call = parameters_taking(module, inputs), Call(dict(inputs), ())
    hints = read_hints(texts, parameters)
    names = [n for n, p in parameters.items() if n not in inputs and may_be_state(p)]
    required = [name for name in names if is_required(parameters[name])]
    if not names:
        return ()
    with inference(module):
        try:
            large, small = (
                run(
                    module,
                    randomised(call.arguments(sizes))
                    | {n: hints[n].given(sizes) for n in names if n in hints}
                    | {n: None for n in required if n not in hints},
                )
                for sizes in (EXAMPLE_SIZES, OTHER_SIZES)
            )
        except CaptureError as error:
            raise unsettled(names, f"forward does not run without it ({error.what})") from error
        found = [
            states
            for paths in _candidates(large, names, [hints.get(n, Hint(n)) for n in names])
            if (states := _tried(module, call, paths, large, small))
        ]
    if len(found) == 1:
        return found[0]
    if not found and not required:
        return ()
    many = "more than one part of its result can follow it" if found else "no part follows it"
    raise unsettled(names, many)


def _candidates(result: Any, names: list[str], hints: list[Hint]) -> list[dict[str, Path]]:
    """Which part of the result may follow which state; rule 3."""
    candidates: list[dict[str, Path]] = []
    told = {hint.parameter: hint.path for hint in hints if hint.path is not None}
    if told:
        candidates.append(told)
    elif isinstance(result, (tuple, list)):
        candidates.append({n: (k + 1,) for k, n in enumerate(names[: len(result) - 1])})
    if len(names) == 1 or not told:
        candidates.append({names[0]: _WHOLE})
    return [paths for paths in candidates if paths]


def _tried(
    module: nn.Module, call: Call, paths: Mapping[str, Path], large: Any, small: Any
) -> tuple[StateArgument, ...]:
    """The states, if they can be given back and start from zeros; else none."""
    try:
        states = tuple(
            state_argument(call, name, path, pick(large, path), pick(small, path))
            for name, path in paths.items()
        )
        before = {s.parameter: s.start(EXAMPLE_SIZES) for s in states}
        data = randomised(call.arguments(EXAMPLE_SIZES))
        result = run(module, data | before)
        after = {s.parameter: pick(result, s.result) for s in states}
        run(module, data | after)
    except (CaptureError, KeyError, IndexError, TypeError, AttributeError):
        return ()
    kept = all(
        isinstance(b, Tensor) and isinstance(a, Tensor) and a.shape == b.shape
        for a, b in zip(pytree.tree_leaves(before), pytree.tree_leaves(after), strict=False)
    )
    same_tree = pytree.tree_structure(before) == pytree.tree_structure(after)
    return states if kept and same_tree and same(result, large) else ()
