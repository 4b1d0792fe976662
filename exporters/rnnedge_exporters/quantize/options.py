"""What is asked of a quantisation, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from rnnedge_exporters.quantize.products import Kind
from rnnedge_exporters.quantize.rounding import Range
from rnnedge_exporters.quantize.states import States

Form: TypeAlias = Literal["auto", "step", "chunks"]


@dataclass(frozen=True)
class QuantizeOptions:
    """How a file is quantised.

    Attributes:
        kind: ``int8``: weights and activations, by the range of each run; ``static``: by `ranges`;
            ``weights8``, ``weights4``: weights only, by blocks; ``float16``: stored in half.
        form: of recurrent layers: ``step`` in runs of one frame, ``chunks`` with a ``Scan``;
            ``auto`` takes ``step`` where the file can, but for LSTM, which onnxruntime has an
            operator for.
        block: inputs that share a step in the weight-only kinds.
        least: a layer with fewer weights stays in float.
        compute_from: a layer with fewer weights is stored in int8 and computed in float; None for
            what was measured to be faster (see `plan`).
        integer_convolutions: without calibration, too.
        keep: layers that stay in float, by name, and why.
        ease: layers that are stored in int8 and computed in float, by name, and why.
        only: names of the layers that do not; None for all.
        ranges: what calibration saw, by name of value.
        states: how states are stored between runs.
        state_sizes: the largest size of each channel that calibration saw, by name of the state;
            for ``int8``.
    """

    kind: Kind = "int8"
    form: Form = "auto"
    block: int = 32
    least: int = 1024
    compute_from: int | None = None
    integer_convolutions: bool = False
    keep: Mapping[str, str] = field(default_factory=dict)
    ease: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict)
    states: States = "float"
    state_sizes: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """A node with weights.

    Attributes:
        name: of the node.
        operator: ONNX's name.
        weights: how many there are.
        stored: how: ``float``, ``int8``, ``int8, computed in float``, ``8 bits by block``, ...
        why: where that is not what was asked for.
    """

    name: str
    operator: str
    weights: int
    stored: str
    why: str = ""

    @property
    def is_float(self) -> bool:
        """Whether nothing was done to it."""
        return self.stored == "float"

    def to_dict(self) -> dict[str, Any]:
        """As the report has it."""
        facts = {
            "name": self.name,
            "operator": self.operator,
            "weights": self.weights,
            "stored": self.stored,
        }
        return facts | ({"why": self.why} if self.why else {})
