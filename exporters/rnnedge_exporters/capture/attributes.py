"""Finds state that a module keeps in itself between calls.

torch.export drops such state without a word: a reassigned buffer or attribute becomes a constant.
So forward is run once on a copy, and what the copy holds is compared with what the module holds.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.call import inference, run
from rnnedge_exporters.errors import CaptureError

_ABSENT = object()
_OF_TORCH = frozenset(vars(nn.Module())) - {"training"} | {"_flat_weights", "_flat_weight_refs"}
"""What torch's own classes keep in a module: parameters, hooks, lists of weights."""


def copied(module: nn.Module) -> nn.Module:
    """A copy of `module` to run and to trace, so that the user's own stays as it is.

    Raises:
        CaptureError: it cannot be copied.
    """
    try:
        twin = copy.deepcopy(module, _normed_weights(module))
    except Exception as error:
        raise CaptureError(
            f"the module cannot be copied ({type(error).__name__}: {error})",
            where=type(module).__name__,
            fix="a module that was run may hold results of that run: build it anew, load its "
            "weights, and export it before it is run; keep no results in attributes",
        ) from error
    # Layers that are built anew when they are copied (einops') would be in training mode again.
    for ours, theirs in zip(module.modules(), twin.modules(), strict=False):
        theirs.training = ours.training
    return twin


def _normed_weights(module: nn.Module) -> dict[int, Tensor]:
    """What hooks of torch compute anew before each call (`weight_norm`): no copy of its own.

    Such a weight is a plain attribute beside the parameters that it is made of.
    """
    return {
        id(value): value.detach().clone()
        for child in module.modules()
        for name, value in vars(child).items()
        if isinstance(value, Tensor) and not value.is_leaf and f"{name}_g" in child._parameters
    }


def refuse_hidden_state(module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Raises if a run of forward changes what the module holds. The module itself is not run.

    Raises:
        CaptureError: names the attributes that change.
    """
    probe = copied(module)
    with inference(probe):
        run(probe, arguments)
    before, after = _held(module), _held(probe)
    changed = [
        name
        for name in {**before, **after}
        if not _same(before.get(name, _ABSENT), after.get(name, _ABSENT))
    ]
    if changed:
        raise CaptureError(
            "forward keeps state in the module between calls, which a graph cannot see",
            where=", ".join(sorted(changed)),
            fix="take it as an argument of forward and return it: "
            "def forward(self, x, state): ... return y, state",
        )


def _held(module: nn.Module) -> dict[str, Any]:
    """Buffers and plain attributes of all submodules by path; objects by what they hold."""
    held: dict[str, Any] = {}
    for path, child in module.named_modules():
        own = {k: v for k, v in vars(child).items() if k not in _OF_TORCH} | child._buffers
        for name, value in own.items():
            held[f"{path}.{name}".lstrip(".")] = _contents(value)
    return held


def _contents(value: Any) -> Any:
    is_plain = isinstance(value, (Tensor, nn.Module, type)) or callable(value)
    return dict(vars(value)) if hasattr(value, "__dict__") and not is_plain else value


def _same(a: Any, b: Any) -> bool:
    ours, theirs = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(ours) == len(theirs) and all(map(_same_leaf, ours, theirs))


def _same_leaf(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (bool, int, float, str, bytes, type(None))) or isinstance(b, Tensor):
        return type(a) is type(b) and bool(a == b)
    # Objects of other kinds were copied, and need not know how to compare themselves.
    return type(a) is type(b)
