"""What another runtime has to offer to be timed beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array

PeerStep: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Inputs of one call to its outputs, both numpy and by name; it carries its own state."""


@dataclass(frozen=True)
class Prepared:
    """A peer that has the model, at its initial state.

    Attributes:
        step: one call.
        note: what is to be said of how the model is run; may be empty.
    """

    step: PeerStep
    note: str = ""


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

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class
    @property
    def module(self) -> str: ...  # noqa: D102
    @property
    def package(self) -> str: ...  # noqa: D102
    @property
    def install(self) -> str: ...  # noqa: D102

    def prepare(self, subject: Subject) -> Prepared:
        """Loads the model and gives its step, from the initial state.

        Raises:
            CannotRunError: it does not take this model. Whatever else it raises is told as such.
        """
        ...
