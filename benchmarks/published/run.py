"""Exports published networks with random weights and proves them: a table of what streams.

``python benchmarks/published/run.py [--markdown] [NAME ...]``. Networks whose package is not
installed are skipped with a message.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import deepfilter
import packages
import sensors
import spectral
import speech
import torch
import waveform
from case import Case

import rnnedge

FAMILIES = (spectral, deepfilter, waveform, speech, sensors, packages)


@dataclass(frozen=True)
class Row:
    """What became of one network; `text` is the cells after its name and source."""

    case: Case
    streams: str
    text: tuple[str, ...]
    note: str = ""


def cases() -> dict[str, Case]:
    """All networks by name."""
    return {case.name: case for family in FAMILIES for case in family.CASES}


def try_case(case: Case) -> Row:
    """Exports and proves one network."""
    torch.manual_seed(0)
    try:
        module = case.make().eval()
    except ImportError as error:
        return Row(case, "skipped", (), str(error))
    for layer in module.modules():  # statistics that are not those of an untrained network
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = rnnedge.export(module, Path(folder) / "out.onnx", inputs=case.inputs)
        except rnnedge.RnnEdgeError as error:
            return Row(case, "refused", (), f"{error.what} | {error.where}")
    return _row(case, result)


def _row(case: Case, result: rnnedge.ExportResult) -> Row:
    contract, report = result.contract, result.parity
    assert report is not None  # noqa: S101 - a proof was asked for
    failed = [f"{check.name}: {check.detail}" for check in report.checks if not check.passed]
    outputs = contract.outputs
    worst = max(t.max_abs / t.allowed_abs for t in report.tensors if t.allowed_abs)
    text = (
        str(len(contract.states)),
        ", ".join(str(output.delay) for output in outputs),
        ", ".join(str(output.ratio) for output in outputs),
        str(contract.chunk_multiple),
        f"{worst:.2f}",
    )
    return Row(case, "yes" if result.kept else "WRONG", text, "; ".join(failed))


HEAD = ("network", "source", "streams", "states", "delay", "rate", "chunk", "error")
WIDTHS = (25, 24, 8, 7, 8, 8, 6, 5)


def show(row: Row, *, markdown: bool) -> None:
    cells = (row.case.name, row.case.source, row.streams, *(row.text or (row.note,)))
    if markdown:
        print("| " + " | ".join(cells) + " |")
    else:
        print(" ".join(c.ljust(w) for c, w in zip(cells, WIDTHS, strict=False)))
    if row.text and row.note:
        print(f"  {row.note}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is given")
    parser.add_argument("--markdown", action="store_true", help="rows of a table in Markdown")
    given = parser.parse_args()
    known = cases()
    if unknown := set(given.names) - set(known):
        parser.error(f"no network {sorted(unknown)}; there are {', '.join(known)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not given.markdown:
        print(" ".join(h.ljust(w) for h, w in zip(HEAD, WIDTHS, strict=True)))
    rows = []
    for name in given.names or known:
        rows.append(try_case(known[name]))
        show(rows[-1], markdown=given.markdown)
    counts = {kind: sum(row.streams == kind for row in rows) for kind in ("yes", "refused")}
    skipped = sum(row.streams == "skipped" for row in rows)
    print(
        f"{counts['yes']} stream, {counts['refused']} refused, {skipped} skipped", file=sys.stderr
    )
    print("error: relative to what is allowed (docs/parity.md); docs/published.md", file=sys.stderr)
    return int(any(row.streams == "WRONG" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
