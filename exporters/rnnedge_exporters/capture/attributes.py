"""Finds state that a module keeps in itself between calls.

torch.export drops such state without a word: a reassigned buffer or attribute becomes a constant.
So forward is run once on a copy, and what the copy holds is compared with what the module holds.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.call import inference, run
from rnnedge_exporters.errors import CaptureError

_OF_TORCH = frozenset(vars(nn.Module())) - {"training"} | {"_flat_weights", "_flat_weight_refs"}
"""What torch's own classes keep in a module: parameters, hooks, lists of weights."""
_COMPUTING = (WeightNorm, SpectralNorm)


def copied(module: nn.Module) -> nn.Module:
    """A copy of `module` to run and to trace, so that the user's own stays as it is.

    Raises:
        CaptureError: it cannot be copied.
    """
    # Weights that hooks and parametrizations compute are results, which deepcopy refuses; torch's
    # recurrent layers list them, too.
    held = (leaf for m in module.modules() for leaf in pytree.tree_leaves(list(vars(m).values())))
    results = (leaf for leaf in held if isinstance(leaf, Tensor) and not leaf.is_leaf)
    memo = {id(result): result.detach().clone() for result in results}
    try:
        twin = copy.deepcopy(module, memo)
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


def give_forward(
    module: nn.Module, forward: Callable[..., Any], signature: inspect.Signature, **members: Any
) -> None:
    """Gives a module another forward, by a class of the same name: paths of submodules stay.

    Args:
        module: changed; a copy of the user's.
        forward: the method.
        signature: of its arguments, without ``self``.
        members: further attributes of the class.
    """
    base = type(module)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = signature.parameters.values()
    forward.__signature__ = inspect.Signature([own, *given])  # type: ignore[attr-defined]
    named = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")}
    module.__class__ = type(base.__name__, (base,), {**named, **members, "forward": forward})


def in_precision_of(module: nn.Module, nested: Any) -> Any:
    """Copies of tensors, in the precision of the module's parameters."""
    floats = (p.dtype for p in module.parameters() if p.is_floating_point())
    dtype = next(floats, torch.float32)
    return pytree.tree_map_only(
        Tensor, lambda t: t.to(dtype if t.is_floating_point() else t.dtype).clone(), nested
    )


@dataclass(frozen=True)
class Slot:
    """A place in a module where something is held.

    Attributes:
        owner: a submodule, or an object that one holds.
        key: the attribute's name.
    """

    owner: Any
    key: str

    @property
    def value(self) -> Any:
        """What is held there."""
        return getattr(self.owner, self.key)

    def hold(self, value: Any) -> None:
        """Puts `value` there, whatever it is; in place of a buffer torch takes tensors only."""
        self.make_plain()
        setattr(self.owner, self.key, value)

    def make_plain(self) -> None:
        """A buffer becomes an attribute, which may hold anything and is not traced as changed."""
        if isinstance(self.owner, nn.Module) and self.key in self.owner._buffers:
            vars(self.owner)[self.key] = self.owner._buffers.pop(self.key)


def slots(module: nn.Module) -> dict[str, Slot]:
    """Buffers and plain attributes of all submodules by path; of objects what they hold."""
    found: dict[str, Slot] = {}
    for path, child in module.named_modules():
        # What these hooks compute from parameters, they compute before each call.
        hooks = (h for h in child._forward_pre_hooks.values() if isinstance(h, _COMPUTING))
        left_out = _OF_TORCH | {hook.name for hook in hooks}
        own = {} if isinstance(child, GraphModule) else vars(child)  # a graph has no others
        for name in [*own, *child._buffers]:
            if name not in left_out:
                _add(found, f"{path}.{name}".lstrip("."), Slot(child, name))
    return found


def slot_at(module: nn.Module, name: str) -> Slot:
    """The slot of that name, whether anything is held there yet or not."""
    *path, key = name.split(".")
    return Slot(reduce(getattr, path, module), key)


def _add(found: dict[str, Slot], name: str, slot: Slot) -> None:
    value = slot.value
    is_plain = isinstance(value, (Tensor, nn.Module, type)) or callable(value)
    if not hasattr(value, "__dict__") or is_plain:
        found[name] = slot
        return
    for key in vars(value):
        found[f"{name}.{key}"] = Slot(value, key)


def changed(before: nn.Module, after: nn.Module) -> list[str]:
    """The slots in which two copies of a module differ; what only one of them has, too."""
    ours, theirs = slots(before), slots(after)
    return [
        name
        for name in {**ours, **theirs}
        if name not in ours or name not in theirs or not same(ours[name].value, theirs[name].value)
    ]


def refuse_hidden_state(module: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Raises if a run of forward changes what the module holds. The module itself is not run.

    Raises:
        CaptureError: names the attributes that change.
    """
    probe = copied(module)
    with inference(probe):
        run(probe, arguments)
    names = changed(module, probe)
    if names:
        raise CaptureError(
            "forward keeps state in the module between calls, which a graph cannot see",
            where=", ".join(sorted(names)),
            fix="take it as an argument of forward and return it: "
            "def forward(self, x, state): ... return y, state",
        )


def same(a: Any, b: Any) -> bool:
    """Whether two nested values hold equal tensors and equal numbers."""
    ours, theirs = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(ours) == len(theirs) and all(map(_same_leaf, ours, theirs))


def _same_leaf(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, (bool, int, float, str, bytes, type(None))) or isinstance(b, Tensor):
        return type(a) is type(b) and bool(a == b)
    # Objects of other kinds were copied, and need not know how to compare themselves.
    return type(a) is type(b)
