"""How wide a text is when it is not known in which font: wide enough for all the usual ones.

By classes of letters, each as wide as its widest in DejaVu Sans Bold, the widest of the fonts that
browsers fall back to.
"""

from __future__ import annotations

import unicodedata

_NARROW, _HALF = "ijlI'|", " .,:;()[]/\\-rtf!"
_SIGNS, _WIDE = "→×+=#<>^~&w", "mMW@%"
_MONOSPACE_EM = 0.61
_REGULAR = 0.93
"""Advances per em, and what they are multiplied by when letters are not bold."""


def text_width(text: str, size: float, *, bold: bool = False, monospace: bool = False) -> float:
    """The width of a line in pixels, at `size` pixels per em; too large rather than too small."""
    if monospace:
        return size * sum(_MONOSPACE_EM * (2 if _is_full(letter) else 1) for letter in text)
    return size * sum(map(_em, text)) * (1 if bold else _REGULAR)


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
        return 0.375
    if letter in _HALF:
        return 0.5
    if letter in _WIDE or _is_full(letter):
        return 1.11
    if letter in _SIGNS:
        return 0.93
    return 0.86 if letter.isupper() else 0.72


def _is_full(letter: str) -> bool:
    """Whether the letter takes a square, as Chinese and Japanese ones do."""
    return unicodedata.east_asian_width(letter) in "WF"
