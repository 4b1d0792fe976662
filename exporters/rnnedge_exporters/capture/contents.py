"""What a module holds, put in from outside and read out again, around one call of forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rnnedge_exporters.capture.attributes import in_precision_of, slot_at, slots


@dataclass(frozen=True)
class Content:
    """What is held in one slot once forward was called.

    Attributes:
        tree: how it nests.
        leaves: the name of a state, or a value that stays.
    """

    tree: pytree.TreeSpec
    leaves: tuple[Any, ...]

    def filled(self, states: Mapping[str, Tensor]) -> Any:
        """The nested value with tensors in place of names."""
        leaves = [states[leaf.name] if isinstance(leaf, Name) else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.tree)

    def states_in(self, value: Any) -> dict[str, Tensor]:
        """The tensors of a nested value by the names of the states."""
        flat = pytree.tree_leaves(value)
        pairs = zip(self.leaves, flat, strict=True)
        return {leaf.name: tensor for leaf, tensor in pairs if isinstance(leaf, Name)}


@dataclass(frozen=True)
class Name:
    """Stands for a tensor."""

    name: str


def stateless_forward(
    base: type[nn.Module],
    names: Sequence[str],
    contents: Mapping[str, Content],
    *,
    has_state: bool,
) -> Any:
    """Forward of a copy that changes nothing in itself.

    Args:
        base: the module's class.
        names: of the slots that its forward changes.
        contents: of those that it reads.
        has_state: whether there is a state to take and to return.
    """

    def forward(self: nn.Module, *args: Any, held: Any = None, **kwargs: Any) -> Any:
        before = {name: slot.value for name, slot in slots(self).items() if name in names}
        given = {} if held is None else {n: c.filled(held) for n, c in contents.items()}
        for name, value in (before | given).items():
            # A copy, as forward may write into what it holds.
            slot_at(self, name).hold(in_precision_of(self, value))
        try:
            result = base.forward(self, *args, **kwargs)
            after = slots(self)
            states: dict[str, Tensor] = {}
            for name, content in contents.items():
                states |= content.states_in(after[name].value)
        finally:
            for name, slot in slots(self).items():
                if name in before:
                    slot.hold(before[name])
                elif name in names:
                    delattr(slot.owner, slot.key)
        return (result, states) if has_state else result

    return forward
