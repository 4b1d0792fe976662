"""How late a stream's outputs are, and how long they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from rnnedge.report.units import count_text
from rnnedge_runtime.contract import Contract, Port, Signal


@dataclass(frozen=True)
class Latency:
    """What a listener waits for, computing not included.

    Attributes:
        buffering_frames: input frames that the first one of a run waits for at most.
        delay_frames: input frames by which the latest output lags.
        delay_ms: the same, if the contract tells how frames relate to time.
        total_frames: the sum of both.
        total_ms: the same in time.
    """

    buffering_frames: int
    delay_frames: float
    delay_ms: float | None
    total_frames: float
    total_ms: float | None

    @classmethod
    def of(cls, contract: Contract) -> Latency:
        """Of a stream; a whole-sequence model has none that frames could tell."""
        delays = [_input_frames(p) for p in contract.outputs if p.time_axis is not None]
        delay, buffering = max(delays, default=Fraction(0)), contract.chunk_multiple - 1
        return cls(
            buffering_frames=buffering,
            delay_frames=_number(delay),
            delay_ms=_ms(delay, contract.signal),
            total_frames=_number(delay + buffering),
            total_ms=_ms(delay + buffering, contract.signal),
        )

    def to_dict(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.total_frames:
            return "none: outputs are as far as the inputs"
        parts = []
        if self.buffering_frames:
            parts.append(
                f"up to {count_text(self.buffering_frames)} to fill a run of "
                f"{count_text(self.buffering_frames + 1)}"
            )
        if self.delay_frames:
            parts.append(f"{count_text(self.delay_frames)} of delay")
        total_ms = "" if self.total_ms is None else f" ({self.total_ms:.4g} ms)"
        return f"{count_text(self.total_frames)} frames{total_ms}: {', '.join(parts)}"


def output_dict(port: Port, signal: Signal | None) -> Mapping[str, Any]:
    """Delay and length of one output."""
    return {
        "name": port.name,
        "delay_frames": port.delay,
        "delay_ms": _ms(_input_frames(port), signal),
        "length": length_text(port),
    }


def delay_text(port: Port, signal: Signal | None) -> str:
    """The delay in the output's own frames, and in time if that is known: ``40 (2.5 ms)``."""
    ms = _ms(_input_frames(port), signal)
    return str(port.delay) if ms is None or not port.delay else f"{port.delay} ({ms:.4g} ms)"


def length_text(port: Port) -> str:
    """How many frames come of T: ``((T - 2) / 2, rounded down) + 1``."""
    if port.time_axis is None:
        return "one value"
    steps = port.length or ((port.ratio.numerator, 0, port.ratio.denominator),)
    text = "T"
    for mul, add, div in steps:
        if mul != 1:
            text = f"{mul} {_factor(text)}"
        if add:
            text = f"{_term(text)} {'+' if add > 0 else '-'} {abs(add)}"
        if div != 1:
            text = f"{_factor(text)} / {div}, rounded down"
    return text


def _term(text: str) -> str:
    """As part of a sum."""
    return f"({text})" if text.endswith("down") else text


def _factor(text: str) -> str:
    """As part of a product."""
    return f"({text})" if " " in text else text


def _input_frames(port: Port) -> Fraction:
    return port.delay / port.ratio


def _ms(frames: Fraction, signal: Signal | None) -> float | None:
    if signal is None:
        return None
    return float(frames * signal.hop_samples * 1000 / signal.sample_rate_hz)


def _number(value: Fraction) -> float:
    """A whole number as int, so that JSON shows it as one."""
    return int(value) if value.denominator == 1 else float(value)
