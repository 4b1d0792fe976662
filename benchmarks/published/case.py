"""What a published network is to the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Case:
    """A network to export.

    Attributes:
        name: what the table and the command line call it.
        source: the paper, or the package whose code is run.
        make: gives the module, with random weights; ImportError when the package is not there.
        inputs: as `rnnedge.export` takes them.
    """

    name: str
    source: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, str]
