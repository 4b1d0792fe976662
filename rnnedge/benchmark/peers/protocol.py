"""What another runtime has to offer to be timed beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array

PeerStep: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs of one call to its outputs, both numpy and by name; it carries its own state."""


class CannotRunError(Exception):
    """The runtime does not take this model; the text says why."""


class Peer(Protocol):
    """One runtime.

    Attributes:
        name: as it is told.
        module: what is imported; without it the peer is not installed.
        package: the distribution, whose version is told.
        install: how to install it.
    """

    name: str
    module: str
    package: str
    install: str

    def prepare(self, subject: Subject) -> PeerStep:
        """Loads the model and gives its step, from the initial state.

        Raises:
            CannotRunError: it does not take this model. Whatever else it raises is told as such.
        """
        ...
