"""Exports published networks with random weights and proves them: a table of what streams.

``python benchmarks/published/run.py [--markdown | --list] [NAME ...]``. Networks whose package is
not installed are skipped with a message; ``requirements.txt`` says how to install them all.
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
import recognition
import sensors
import spectral
import speech
import torch
import waveform
from case import Case
from tables import tables

import rnnedge

FAMILIES = (spectral, deepfilter, waveform, speech, recognition, sensors, packages)
HEAD = ("network", "source", "streams", "states", "delay", "rate", "chunk", "error")
WIDTHS = (25, 24, 8, 7, 8, 8, 6, 5)


@dataclass(frozen=True)
class Row:
    """What became of one network.

    Attributes:
        name: of the network.
        source: its paper or package.
        streams: ``yes``, ``refused``, ``skipped``, or ``WRONG``: exported, and not the same.
        cells: states, delay, rate, chunk multiple, error; empty when it was not exported.
        note: why it is skipped or wrong, or what was refused.
        where: in it, when it is refused.
        fix: what would work, when it is refused.
    """

    name: str
    source: str
    streams: str
    cells: tuple[str, ...] = ()
    note: str = ""
    where: str = ""
    fix: str = ""


def cases() -> dict[str, Case]:
    """All networks by name."""
    return {case.name: case for family in FAMILIES for case in family.CASES}


def try_case(case: Case) -> Row:
    """Exports and proves one network."""
    torch.manual_seed(0)
    try:
        module = case.make().eval()
    except ImportError as error:
        return Row(case.name, case.source, "skipped", note=str(error))
    for layer in module.modules():  # statistics that are not those of an untrained network
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.running_mean.uniform_(-0.5, 0.5)
            layer.running_var.uniform_(0.5, 1.5)
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = rnnedge.export(module, Path(folder) / "out.onnx", inputs=case.inputs)
        except rnnedge.RnnEdgeError as error:
            refusal = {"note": error.what, "where": error.where, "fix": error.fix}
            return Row(case.name, case.source, "refused", **refusal)
    return _row(case, result)


def _row(case: Case, result: rnnedge.ExportResult) -> Row:
    contract, report = result.contract, result.parity
    assert report is not None  # noqa: S101 - a proof was asked for
    failed = [f"{check.name}: {check.detail}" for check in report.checks if not check.passed]
    outputs = contract.outputs
    worst = max(t.max_abs / t.allowed_abs for t in report.tensors if t.allowed_abs)
    cells = (
        str(len(contract.states)),
        ", ".join(str(output.delay) for output in outputs),
        ", ".join(str(output.ratio) for output in outputs),
        str(contract.chunk_multiple),
        f"{worst:.2f}",
    )
    streams = "yes" if result.kept else "WRONG"
    return Row(case.name, case.source, streams, cells, "; ".join(failed))


def show(row: Row) -> None:
    """One line, and what there is to say."""
    cells = (row.name, row.source, row.streams, *row.cells)
    print(" ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False)).rstrip())
    for text in (row.note, row.where, row.fix):
        if text:
            print(f"    {text}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="all when none is given")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown, at the end")
    parser.add_argument("--list", action="store_true", help="names and sources only")
    given = parser.parse_args()
    known = cases()
    if unknown := set(given.names) - set(known):
        parser.error(f"no network {sorted(unknown)}; there are {', '.join(known)}")
    if given.list:
        print("\n".join(f"{case.name}\t{case.source}" for case in known.values()))
        return 0
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    if not given.markdown:
        print(" ".join(h.ljust(w) for h, w in zip(HEAD, WIDTHS, strict=True)))
    for name in given.names or known:
        rows.append(try_case(known[name]))
        if not given.markdown:
            show(rows[-1])
    if given.markdown:
        print(tables(rows))
    count = {kind: sum(row.streams == kind for row in rows) for kind in ("yes", "refused")}
    skipped = sum(row.streams == "skipped" for row in rows)
    print(f"{count['yes']} stream, {count['refused']} refused, {skipped} skipped", file=sys.stderr)
    print("error: relative to what is allowed (docs/parity.md); docs/published.md", file=sys.stderr)
    return int(any(row.streams == "WRONG" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
