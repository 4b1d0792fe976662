"""What a 3-axis accelerometer on a wrist would see, computed from motions, with a label per frame.

Swipes and circles differ from their mirror images only in the order of what happens, and a double
tap from a single one (which counts as nothing) only in the second: statistics of a window do not
tell them apart, a network over time can. Walking, shaking and fidgeting go on in between.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from examples.tcn.model import CLASSES

FRAME_RATE = 50
HOLD_FRAMES = 12
"""A gesture is labelled from its last two fifths until a quarter of a second after its end."""

Motion = NDArray[np.float64]
"""Acceleration in g, ``[time, 3]``."""


def make_signals(
    seed: int, count: int, seconds: float = 20.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draws signals and labels: ``[count, time, 3]`` in g, ``[count, time]``."""
    rng = np.random.default_rng(seed)
    length = round(seconds * FRAME_RATE)
    drawn = [_signal(rng, length) for _ in range(count)]
    return np.stack([x for x, _ in drawn]), np.stack([y for _, y in drawn])


def _signal(rng: np.random.Generator, length: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    motion = _background(rng, length)
    labels = np.zeros(length, np.int64)
    at = int(rng.integers(10, 80))
    while True:
        kind = int(rng.integers(0, len(CLASSES)))
        gesture = _GESTURES[CLASSES[kind]](rng)
        end = at + len(gesture)
        if end + HOLD_FRAMES > length:
            break
        motion[at:end] += gesture
        if kind:
            labels[end - len(gesture) * 2 // 5 : end + HOLD_FRAMES] = kind
        at = end + HOLD_FRAMES + int(rng.integers(10, 100))
    motion = motion @ _orientation(rng).T
    motion += rng.normal(0, 0.03, motion.shape)
    return motion.astype(np.float32), labels


def _background(rng: np.random.Generator, length: int) -> Motion:
    """Gravity, a slow sway, and for part of the time the rhythm of steps."""
    time = np.arange(length)[:, None] / FRAME_RATE
    motion = np.zeros((length, 3)) + np.array([0.0, 0.0, 1.0])
    sway = rng.uniform(0.05, 0.4, 3), rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.02, 0.15, 3)
    motion += sway[2] * np.sin(2 * np.pi * sway[0] * time + sway[1])
    if rng.random() < 0.6:
        pace = rng.uniform(1.5, 2.4)
        phase = rng.uniform(0, 2 * np.pi, (3, 3))
        size = rng.uniform(0.02, 0.2, (3, 3))
        steps = sum(
            size[k] * np.sin(2 * np.pi * pace * (k + 1) * time + phase[k]) for k in range(3)
        )
        start, end = np.sort(rng.integers(0, length, 2))
        motion[start:end] += np.asarray(steps)[start:end]
    return motion


def _swipe(rng: np.random.Generator, direction: int) -> Motion:
    size = int(rng.uniform(0.35, 0.75) * FRAME_RATE)
    turn = np.linspace(0, 2 * np.pi, size)
    motion = np.zeros((size, 3))
    motion[:, 0] = direction * rng.uniform(0.35, 1.3) * np.sin(turn) * rng.uniform(0.8, 1.2)
    motion[:, 1] = rng.uniform(-0.3, 0.3) * np.sin(turn)
    motion[:, 2] = rng.uniform(-0.2, 0.2) * np.sin(turn / 2)
    return motion


def _circle(rng: np.random.Generator, direction: int) -> Motion:
    size = int(rng.uniform(0.7, 1.4) * FRAME_RATE)
    angle = np.linspace(0, 2 * np.pi * rng.uniform(0.95, 1.3), size) + rng.uniform(0, 2 * np.pi)
    grow = np.sin(np.linspace(0, np.pi, size)) ** 0.5
    motion = np.zeros((size, 3))
    motion[:, 0] = rng.uniform(0.35, 1.0) * np.cos(angle) * grow
    motion[:, 2] = direction * rng.uniform(0.35, 1.0) * np.sin(angle) * grow
    return motion


def _taps(rng: np.random.Generator, count: int) -> Motion:
    gap = int(rng.uniform(0.16, 0.34) * FRAME_RATE)
    size = gap * (count - 1) + 6
    motion = np.zeros((size, 3))
    for tap in range(count):
        pulse = rng.uniform(0.5, 1.8) * np.array([1.0, -0.6, 0.25]) * rng.uniform(0.7, 1.3, 3)
        motion[tap * gap : tap * gap + 3, 2] -= pulse
    return motion


def _nothing(rng: np.random.Generator) -> Motion:
    """What could be taken for a gesture: one tap, a shake, a stretch of the arm, or rest."""
    kind = rng.integers(4)
    if kind == 0:
        return _taps(rng, 1)
    size = int(rng.uniform(0.4, 1.4) * FRAME_RATE)
    time = np.arange(size)[:, None] / FRAME_RATE
    if kind == 1:
        return np.asarray(
            rng.uniform(0.2, 1.0, 3)
            * np.sin(2 * np.pi * rng.uniform(3.5, 7) * time + rng.uniform(0, 2 * np.pi, 3))
        )
    if kind == 2:
        bump = np.sin(np.pi * np.arange(size) / size)[:, None] ** 2
        return np.asarray(rng.uniform(-0.8, 0.8, 3) * bump)
    return np.zeros((size, 3))


_GESTURES: dict[str, Callable[[np.random.Generator], Motion]] = {
    "none": _nothing,
    "swipe left": lambda rng: _swipe(rng, -1),
    "swipe right": lambda rng: _swipe(rng, 1),
    "circle cw": lambda rng: _circle(rng, -1),
    "circle ccw": lambda rng: _circle(rng, 1),
    "double tap": lambda rng: _taps(rng, 2),
}


def _orientation(rng: np.random.Generator) -> NDArray[np.float64]:
    """How the device sits on the wrist: turned by up to 25 degrees about every axis."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(rng.uniform(-25, 25, 3))):
        first, second = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
