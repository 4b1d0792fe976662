"""What a pass says of one operator: its clock, and how it runs in a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch.fx import Node

from rnnedge_exporters.streaming.clock import Clock

if TYPE_CHECKING:
    from rnnedge_exporters.streaming.writer import Writer


class Plan(Protocol):
    """How one operator of the whole-sequence program is written into the streaming one."""

    def __str__(self) -> str:
        """In a few words, what is kept; numbers are frames of the argument."""
        ...

    def write(self, node: Node, writer: Writer) -> Node:
        """Writes what gives the same frames chunk by chunk, and returns it.

        Args:
            node: of the whole-sequence program.
            writer: holds the streaming program.
        """
        ...


class Timed(NamedTuple):
    """A clock and, where the operator cannot stay as it is, a plan."""

    clock: Clock
    plan: Plan | None = None
