"""A recurrence of one's own: a step, repeated over time.

In PyTorch `scan` is a loop, through which gradients flow. While a module is exported it becomes one
operator whose body is the graph of the step; the file has it as an ONNX ``Scan``, and in a stream
its state is carried from chunk to chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from rnnedge_exporters.errors import CaptureError

X = TypeVar("X")
Y = TypeVar("Y")
State = TypeVar("State")


def scan(
    step: Callable[[X, State], tuple[Y, State]], x: X, state: State, *, dim: int = 1
) -> tuple[Y, State]:
    """Runs ``y_t, state = step(x_t, state)`` over all frames.

    Args:
        step: sees one frame. It may use modules and parameters, and other tensors that have
            neither frames nor rows of a batch; it must not change anything in place.
        x: a tensor [batch, time, ...], or tuples, lists and dicts of such.
        state: before the first frame: tensors [batch, ...] in any nesting. After a step it has to
            have the same nesting, shapes and types.
        dim: the axis of time in all tensors of `x` and of the result.

    Returns:
        The results of all frames, stacked along `dim`, and the state after the last frame.

    Raises:
        CaptureError: there is no frame, or a step changes the state's nesting, shapes or types.
    """
    frames = pytree.tree_map(lambda leaf: _moved(leaf, dim, 0), x)
    run = _traced if torch.compiler.is_exporting() else _looped
    y, state = run(step, frames, state)
    return pytree.tree_map(lambda leaf: _moved(leaf, 0, dim), y), state


def _moved(tensor: Tensor, source: int, target: int) -> Tensor:
    """``movedim``; by ``permute``, which the tracer needs not take apart."""
    order = list(range(tensor.ndim))
    order.insert(target % tensor.ndim, order.pop(source % tensor.ndim))
    return tensor.permute(order)


def _looped(step: Callable[[Any, Any], tuple[Any, Any]], x: Any, state: Any) -> tuple[Any, Any]:
    leaves, tree = pytree.tree_flatten(x)
    if not leaves or leaves[0].shape[0] == 0:
        raise CaptureError(
            "there is no frame to run over, so the result's shape is not known",
            where="rnnedge.scan",
            fix="give at least one frame",
        )
    rows = []
    for frame in zip(*leaves, strict=True):
        before = state
        y_t, state = step(pytree.tree_unflatten(frame, tree), state)
        _check_state(before, state)
        rows.append(y_t)
    return pytree.tree_map(lambda *of_frames: torch.stack(of_frames), *rows), state


def _traced(step: Callable[[Any, Any], tuple[Any, Any]], x: Any, state: Any) -> tuple[Any, Any]:
    from torch._higher_order_ops.scan import scan as scan_of_torch

    def combined(carried: Any, frame: Any) -> tuple[Any, Any]:
        y_t, after = step(frame, carried)
        # In a graph, what is carried and what is given may not be one tensor.
        return pytree.tree_map(torch.clone, after), pytree.tree_map(torch.clone, y_t)

    state, y = scan_of_torch(combined, pytree.tree_map(torch.clone, state), x, dim=0)
    return y, state


def _check_state(before: Any, after: Any) -> None:
    ours, tree = pytree.tree_flatten(before)
    theirs, new_tree = pytree.tree_flatten(after)
    if tree != new_tree or any(
        a.shape != b.shape or a.dtype != b.dtype for a, b in zip(ours, theirs, strict=True)
    ):
        raise CaptureError(
            f"a step changes the state from {_shapes(ours)} to {_shapes(theirs)}",
            where="rnnedge.scan",
            fix="return a state of the same nesting, shapes and types as it was given",
        )


def _shapes(tensors: list[Tensor]) -> str:
    return ", ".join(f"{str(t.dtype).rpartition('.')[2]}{list(t.shape)}" for t in tensors)
