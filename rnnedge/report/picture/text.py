"""How wide a text is when it is not known in which font: wide enough for all the usual ones.

Advances per em of DejaVu Sans, the widest font that browsers fall back to, rounded up by class.
"""

from __future__ import annotations

MONOSPACE_EM = 0.61
"""Every character of the usual monospaced fonts is at most this wide."""
_NARROW, _HALF, _WIDE = "ijlI'|", " .,:;()[]/-rtf!", "mMW@%"
_BOLD = 1.1


def text_width(text: str, size: float, *, bold: bool = False, monospace: bool = False) -> float:
    """The width of a line in pixels, at `size` pixels per em; never too small."""
    if monospace:
        return MONOSPACE_EM * size * len(text)
    ems = sum(_em(letter) for letter in text)
    return ems * size * (_BOLD if bold else 1)


def wrap(text: str, letters: int) -> list[str]:
    """Lines of at most `letters`, broken after commas; what has none is kept whole."""
    lines = [""]
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if lines[-1] and len(longer) > letters:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] = longer
    return lines


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.3
    if letter in _HALF:
        return 0.42
    if letter in _WIDE:
        return 1.0
    if letter in "→×+=w":
        return 0.84
    return 0.8 if letter.isupper() else 0.65
