"""Finds state that a module keeps in itself between calls.

torch.export drops such state without a word: a reassigned buffer or attribute becomes a constant.
So forward is run once, and what the submodules hold is compared before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.call import inference, run
from rnnedge_exporters.errors import CaptureError


def refuse_hidden_state(module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Raises if a run of forward changes what the module holds.

    What changed is put back.

    Raises:
        CaptureError: names the attributes that changed.
    """
    before = _held(module)
    copies = {name: _copy(value) for name, value in before.items()}
    with inference(module):
        run(module, arguments)
    after = _held(module)
    changed = [
        name
        for name in {**before, **after}
        if not _same(copies.get(name, _ABSENT), after.get(name, _ABSENT))
    ]
    _restore(module, before, copies, changed)
    if changed:
        raise CaptureError(
            "forward keeps state in the module between calls, which a graph cannot see",
            where=", ".join(sorted(changed)),
            fix="take it as an argument of forward and return it: "
            "def forward(self, x, state): ... return y, state",
        )


_ABSENT = object()


def _held(module: nn.Module) -> dict[str, Any]:
    """Buffers and plain attributes of all submodules that are, or hold, tensors or None."""
    held: dict[str, Any] = {}
    for path, child in module.named_modules():
        plain = {k: v for k, v in vars(child).items() if not k.startswith("_") or _has_tensor(v)}
        own = child._buffers | {k: v for k, v in plain.items() if v is None or _has_tensor(v)}
        held |= {f"{path}.{name}".lstrip("."): value for name, value in own.items()}
    # Lists that nn.RNN keeps of its own weights; they are parameters, not state.
    return {name: value for name, value in held.items() if not _is_internal(name)}


def _is_internal(name: str) -> bool:
    return name.rpartition(".")[2] in ("_flat_weights", "_parameters", "_buffers")


def _has_tensor(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _copy(value: Any) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t.detach().clone(), value)


def _same(a: Any, b: Any) -> bool:
    ours, theirs = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(ours) == len(theirs) and all(map(_same_leaf, ours, theirs))


def _same_leaf(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    return a is b or (not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b)


def _restore(
    module: nn.Module, before: Mapping[str, Any], copies: Mapping[str, Any], changed: list[str]
) -> None:
    for name in changed:
        path, _, attribute = name.rpartition(".")
        owner = module.get_submodule(path)
        if name not in before:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, copies[name])
