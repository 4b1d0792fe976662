"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable


def bytes_text(count: float) -> str:
    """`count` bytes with a decimal unit: ``49.4 kB``."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def count_text(count: float) -> str:
    """`count` with thousands separated, decimals only where there are any."""
    return f"{count:,.0f}" if float(count).is_integer() else f"{count:,.1f}"


def frames_text(count: int) -> str:
    """``1 frame``, ``1,600 frames``."""
    return "1 frame" if count == 1 else f"{count_text(count)} frames"


def shape_text(shape: Iterable[object]) -> str:
    """``[batch, time, 80]``; an axis that the file leaves open is a question mark."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in shape)}]"
