"""Runs: frames that go through the engine with all that a run may need around it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rnnedge_runtime import nonfinite
from rnnedge_runtime.alignment import Alignment
from rnnedge_runtime.arrays import Array, Sizes, joined_outputs
from rnnedge_runtime.contract import BATCH, TIME, Contract
from rnnedge_runtime.engine import Engine
from rnnedge_runtime.errors import InputError
from rnnedge_runtime.held import parts

OnNonfinite: TypeAlias = Literal["raise", "reset", "ignore"]


class Runs:
    """Whole multiples of frames, in as many runs as the model needs for them.

    What fails leaves states and rows as they were.
    """

    def __init__(
        self, contract: Contract, engine: Engine, alignment: Alignment, on_nonfinite: OnNonfinite
    ) -> None:
        self._contract = contract
        self._engine = engine
        self._alignment = alignment
        self._on_nonfinite = on_nonfinite

    def advance(
        self, arrays: tuple[Array, ...], sizes: Sizes, ran: int, ends_after: int | None = None
    ) -> dict[str, Array]:
        """The outputs for some frames.

        Args:
            arrays: one per input, which must fit already.
            sizes: what their symbols stand for.
            ran: how many frames ran before.
            ends_after: how many frames the signal has, if these are its last.

        Raises:
            InputError: onnxruntime refused, or there is NaN or Inf and they are to be refused.
        """
        most = self._contract.chunk_most or sizes[TIME]
        if sizes[TIME] <= most:
            return self._run(arrays, sizes, ran, ends_after)
        ports, batch = self._contract.inputs, sizes[BATCH]
        arrays, rows = nonfinite.repaired(ports, arrays, self._on_nonfinite, batch)
        before, starts, runs = self._engine.state.read(), self._alignment.starts, []
        try:
            if rows:
                self._engine.reset_rows(rows)
                self._alignment.begin(rows, ran)
            for start in range(0, sizes[TIME], most):
                part = parts(ports, arrays, start, start + most)
                of_part = {**sizes, TIME: min(most, sizes[TIME] - start)}
                runs.append(self._run(part, of_part, ran + start, ends_after))
                ends_after = None  # was written into the states
        except InputError:
            self._alignment.restore(starts.tolist())
            self._engine.state.write(before)
            raise
        return joined_outputs(self._contract.outputs, runs)

    def _run(
        self, arrays: tuple[Array, ...], sizes: Sizes, ran: int, ends_after: int | None
    ) -> dict[str, Array]:
        chunk = self._engine.chunk(arrays, sizes)
        starts, before, rows = self._alignment.starts, None, []
        if not chunk.stage(arrays):
            if self._on_nonfinite == "raise":
                raise nonfinite.complaint(self._contract.inputs, chunk.buffers)
            ports, batch = self._contract.inputs, sizes[BATCH]
            rows = nonfinite.rows_with_nonfinite(ports, chunk.buffers, batch)
            nonfinite.clear(chunk.buffers)
        if rows or ends_after is not None:
            before = self._engine.state.read()
        try:
            if rows:
                self._engine.reset_rows(rows)
                self._alignment.begin(rows, ran)
            if ends_after is not None:
                self._engine.state.write(self._alignment.end_lengths(ends_after))
            self._engine.run(chunk)
        except InputError:
            self._alignment.restore(starts.tolist())
            self._engine.state.write(before or {})
            raise
        outputs = self._engine.results(chunk)
        self._alignment.silence(outputs, ran)
        return outputs
