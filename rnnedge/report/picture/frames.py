"""Frames around the boxes of one parent module.

Rules:
    1. A box stands in the frame of the topmost parent that does not hold all boxes.
    2. A frame has at least two boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

Parts = tuple[str, ...]


def frame_names(parents: Mapping[str, str]) -> dict[str, str]:
    """The path of each box's frame, by its key; a box that is in none is left out.

    Args:
        parents: the path of the module in which each box lies; empty for the root.
    """
    parts = {key: tuple(path.split(".")) if path else () for key, path in parents.items()}
    common = len(shared(list(parts.values())))
    frames = {key: path[: common + 1] for key, path in parts.items() if len(path) > common}
    counts = Counter(frames.values())
    return {key: ".".join(frame) for key, frame in frames.items() if counts[frame] > 1}


def shared(paths: list[Parts]) -> Parts:
    """The parts with which all paths begin."""
    if not paths:
        return ()
    first, last = min(paths), max(paths)
    length = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:length]
