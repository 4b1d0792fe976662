"""A file whose runs all take the same number of frames, the smallest: what is done for it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from rnnedge_exporters.errors import SpecError
from rnnedge_exporters.optimize import (
    Part,
    drop_unit_axes,
    fix_sizes,
    group_recurrent,
    pack_contexts,
    unroll_scans,
    use_causal_convolutions,
    use_skip_norms,
)
from rnnedge_exporters.packing import pack_states, packable
from rnnedge_runtime.contract import Contract


def fix_runs(model: ir.Model, contract: Contract) -> Contract:
    """Sizes are numbers, and steps stand in the graph; before `simplify` folds what follows.

    Args:
        model: is edited in place.
        contract: of a stream that takes any number of runs.

    Raises:
        SpecError: it is for whole sequences.
    """
    if contract.mode != "stream":
        raise SpecError(
            "runs of one frame are for streams",
            where="--one-frame",
            fix="leave it out; a whole sequence is one run already",
        )
    frames = contract.chunk_multiple
    fix_sizes(
        model, {p.name: (p.time_axis, frames) for p in contract.inputs if p.time_axis is not None}
    )
    unroll_scans(model)
    return replace(contract, chunk_most=frames)


def shape_runs(
    model: ir.Model, contract: Contract, metadata: Mapping[str, str]
) -> tuple[Contract, dict[str, str], Mapping[str, Sequence[Part]]]:
    """The forms that are fast for one frame; after `simplify`, before names are given.

    Returns:
        The contract and the metadata with packed states, and what is packed into each.
    """
    packed = pack_contexts(model, packable(contract))
    contract, texts = pack_states(contract, metadata, packed)
    group_recurrent(model)
    drop_unit_axes(model)
    use_skip_norms(model)
    use_causal_convolutions(model)
    return contract, texts, packed
