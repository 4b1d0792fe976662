"""PyTorch itself, op by op and compiled. Needs the module that the file was made from."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnedge.benchmark.peers.protocol import CannotRunError, Prepared
from rnnedge.benchmark.subject import Subject

if TYPE_CHECKING:
    from torch import nn

INSTALL = 'pip install "rnnedge[export]"'


@dataclass(frozen=True)
class Against:
    """The module that a file was made from.

    Attributes:
        module: in evaluation mode; not changed.
        states: what the export was told of states; read from the file when empty.
    """

    module: nn.Module
    states: Sequence[str] = ()


@contextlib.contextmanager
def threads_restored() -> Iterator[None]:
    """PyTorch's number of threads is the whole process's: it is as before when all is done."""
    torch = sys.modules.get("torch")
    before = None if torch is None else torch.get_num_threads()
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def module_of(against: Against | None) -> Against:
    """The module.

    Raises:
        CannotRunError: none was given.
    """
    if against is None:
        raise CannotRunError("it needs the module: --against MODEL")
    return against


@dataclass(frozen=True)
class TorchModule:
    """The module, or what streams of it, in PyTorch; compiled or not."""

    against: Against | None
    compiled: bool = False
    module: str = "torch"
    package: str = "torch"
    install: str = INSTALL

    @property
    def name(self) -> str:
        """As it is told."""
        return "torch.compile" if self.compiled else "torch eager"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        against = module_of(self.against)
        import torch

        from rnnedge.benchmark.peers.torch_source import Program, forward_step, program_step

        def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(function, dynamic=False) if self.compiled else function

        torch.set_num_threads(subject.threads)
        step = forward_step(against.module, subject, against.states, wrap)
        if step is not None:
            return Prepared(step, "its own forward")
        program = Program.of(against.module, subject.model.contract, against.states)
        return Prepared(program_step(program, subject, wrap), "the exporter's streaming program")
