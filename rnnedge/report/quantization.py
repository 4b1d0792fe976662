"""What `rnnedge quantize` did: layers, what was lost, what was gained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rnnedge.report.quality import metric_lines, quality_table, snr_text
from rnnedge.report.tables import new_table
from rnnedge.report.units import bytes_text, count_text, frames_text

if TYPE_CHECKING:
    from rnnedge.quality.search import Sensitivity
    from rnnedge.quantizing import QuantizeResult


class QuantizationSummary:
    """What `rnnedge quantize` prints."""

    def __init__(self, result: QuantizeResult) -> None:
        self._result = result

    def to_dict(self) -> Mapping[str, Any]:
        """All of the result; sizes in bytes, times in µs."""
        result = self._result
        ranked = result.sensitivity
        return {
            "path": None if result.path is None else str(result.path),
            "passed": result.passed,
            "broken": list(result.broken),
            "kind": result.kind,
            "chunk_most": result.contract.chunk_most,
            "float_bytes": result.float_bytes,
            "bytes": result.bytes,
            "float_state_bytes": result.float_state_bytes,
            "state_bytes": result.state_bytes,
            "times_smaller": round(result.float_bytes / result.bytes, 3),
            "speed": None if result.speed is None else result.speed.to_dict(),
            "layers": [layer.to_dict() for layer in result.layers],
            "quality": result.quality.to_dict(),
            "sensitivity": None if ranked is None else [one.to_dict() for one in ranked],
        }

    def to_rich(self) -> RenderableType:
        """Layers, sensitivity, quality, and the two sides of the bargain."""
        result = self._result
        parts: list[RenderableType] = [_layers(result)]
        if result.sensitivity is not None:
            parts.append(_ranking(result.sensitivity))
        parts += [quality_table(result.quality), *map(Text, _lines(result))]
        return Group(*parts)

    def to_line(self) -> str:
        """The path of the file, or the verdict."""
        return "failed" if self._result.path is None else str(self._result.path)


def _layers(result: QuantizeResult) -> Table:
    table = new_table("layer", "operator", "weights", "stored as")
    for layer in result.layers:
        stored = f"{layer.stored}: {layer.why}" if layer.why else layer.stored
        table.add_row(Text(layer.name), layer.operator, count_text(layer.weights), Text(stored))
    return table


def _ranking(ranked: tuple[Sensitivity, ...]) -> Table:
    table = new_table(
        "layer", "operator", "signal to noise", "drop", title="each layer alone, the worst first"
    )
    for one in ranked:
        drop = "-" if one.drop is None else f"{one.drop:.4g}"
        table.add_row(Text(one.layer), one.operator, snr_text(one.snr_db), drop)
    return table


def _lines(result: QuantizeResult) -> list[str]:
    times = result.float_bytes / result.bytes
    size = f"{times:.2f} times smaller, {bytes_text(result.float_bytes)} to "
    gained = [size + bytes_text(result.bytes)]
    if result.state_bytes != result.float_state_bytes:
        before, after = bytes_text(result.float_state_bytes), bytes_text(result.state_bytes)
        gained.append(f"states of {after} per stream, in place of {before}")
    if result.speed is not None:
        speed = result.speed
        gained.append(
            f"{speed.ratio:.2f} times as fast, {speed.float_us:.1f} µs to {speed.quantized_us:.1f} "
            f"for a push of {frames_text(speed.frames)} on this machine"
        )
    most = result.contract.chunk_most
    lines = [
        f"lost    {snr_text(result.quality.snr_db)} in the worst output",
        *(f"        {line}" for line in metric_lines(result.quality)),
        *(f"{'gained' if not place else '':<8}{line}" for place, line in enumerate(gained)),
    ]
    if most is not None:
        lines.append(f"runs    of {frames_text(most)} each; a longer push is divided")
    lines += [f"budget broken: {text}" for text in result.broken]
    lines.append("nothing was written" if result.path is None else f"wrote {result.path}")
    return lines


def quantized_lines(told: Mapping[str, Any]) -> list[str]:
    """What `rnnedge inspect` says of a quantised file, from the contract's `source`."""
    layers = [layer for layer in told.get("layers", ()) if isinstance(layer, Mapping)]
    in_float = sum(layer.get("stored") == "float" for layer in layers)
    lines = [
        f"quantized  {told.get('kind')}: {len(layers) - in_float} layers, {in_float} in float; of "
        f"the file with sha256 {str(told.get('of_sha256'))[:12]}"
    ]
    if "states" in told:
        lines.append(f"states     stored in {told['states']} between runs")
    quality = told.get("quality")
    if not isinstance(quality, Mapping):
        return [*lines, "quality    not measured"]
    noise = [o.get("snr_db") for o in quality.get("outputs", ()) if isinstance(o, Mapping)]
    known = [float(snr_db) for snr_db in noise if snr_db is not None]
    worst = snr_text(min(known)) if known else "no difference"
    drop = quality.get("drop")
    measured = "" if drop is None else f", drop {drop:.4g} by {quality.get('metric')}"
    return [*lines, f"quality    {worst} beside the float file{measured}, on {quality.get('data')}"]
