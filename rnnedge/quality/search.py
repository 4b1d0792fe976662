"""Which layers hurt most, and how many have to stay in float.

Each layer is quantised alone, all others in float, and its loss measured: that is its sensitivity.
Then the worst are kept in float, one more at a time, until the budget holds. What layers lose
together need not be the sum of what they lose alone, so each choice is measured as a whole. In the
end, of those that are kept, as many as the budget allows are stored in int8 and computed in float.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rnnedge.quality.result import Budget, Quality


@dataclass(frozen=True)
class Sensitivity:
    """What a layer loses when it alone is quantised.

    Attributes:
        layer: its name.
        operator: ONNX's name of it.
        snr_db: of the worst output.
        drop: of the metric, if there is one.
    """

    layer: str
    operator: str
    snr_db: float
    drop: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON's form."""
        return {
            "layer": self.layer,
            "operator": self.operator,
            "snr_db": round(self.snr_db, 2),
            "drop": self.drop,
        }


def rank(
    layers: Sequence[tuple[str, str]], measure: Callable[[frozenset[str]], Quality]
) -> list[Sensitivity]:
    """Layers from the worst to the best: by drop, then by noise.

    Args:
        layers: names and operators.
        measure: the quality with only these layers quantised.
    """
    found = []
    for name, operator in layers:
        quality = measure(frozenset([name]))
        found.append(Sensitivity(name, operator, quality.snr_db, quality.drop))
    return sorted(found, key=lambda one: (-(one.drop or 0.0), one.snr_db))


def keep_within(
    budget: Budget,
    ranked: Sequence[Sensitivity],
    measure: Callable[[frozenset[str]], Quality],
) -> tuple[str, ...] | None:
    """The fewest of the worst layers that have to stay in float, so that the budget holds.

    Args:
        budget: what may be lost.
        ranked: from the worst to the best.
        measure: the quality with only these layers quantised.

    Returns:
        Names of the layers that stay in float, the worst first; None if nothing would be left to
        quantise.
    """
    names = [one.layer for one in ranked]
    for count in range(1, len(names)):
        if not budget.broken_by(measure(frozenset(names[count:]))):
            return tuple(names[:count])
    return None
