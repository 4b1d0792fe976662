"""Runs the original file by hand, as its user would: states fed back, contexts joined on.

This is the other side of every comparison, so it shares nothing with the graphs that are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnxruntime as ort

from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.naming import Named
from rnnedge.adoption.options import Array

Arrays: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class Driven:
    """What a signal gave.

    Attributes:
        outputs: of each run, by name.
        states: after the last run, by the name of their input.
    """

    outputs: list[Arrays]
    states: Arrays


class HandDriver:
    """The original file in a loop."""

    def __init__(
        self,
        session: ort.InferenceSession,
        inputs: Sequence[Named],
        pairs: Mapping[str, str],
        frozen: Mapping[str, Array],
        where: str,
    ) -> None:
        """Takes the original's session and what its user says about it."""
        self._session = session
        self._inputs = inputs
        self._pairs = pairs
        self._frozen = frozen
        self._where = where
        self.outputs = [o.name for o in session.get_outputs() if o.name not in pairs.values()]

    def drive(
        self, inputs: Mapping[str, Array], states: Mapping[str, Array], lengths: Sequence[int]
    ) -> Driven:
        """Runs a signal in pieces.

        Args:
            inputs: the whole signal, by name.
            states: what to start from, by the name of their input.
            lengths: frames of each run.
        """
        states, contexts, results = dict(states), self._no_contexts(inputs), []
        start = 0
        for length in lengths:
            feed: Arrays = {}
            for port in self._inputs:
                piece = _piece(inputs[port.name], port, start, length)
                if port.context:
                    piece = np.concatenate([contexts[port.name], piece], axis=port.time_axis)
                    contexts[port.name] = _last(piece, port)
                feed[port.name] = piece
            outputs, states = self._run(feed, states)
            results.append(outputs)
            start += length
        return Driven(results, states)

    def _run(self, feed: Arrays, states: Arrays) -> tuple[Arrays, Arrays]:
        names = [*self.outputs, *self._pairs.values()]
        try:
            found = self._session.run(names, {**feed, **states, **self._frozen})
        except Exception as error:  # onnxruntime's exceptions share no base class
            shapes = ", ".join(f"{name} {list(a.shape)}" for name, a in {**feed, **states}.items())
            raise AdoptionError(
                f"the file does not run with {shapes}: {' '.join(str(error).split())}",
                where=self._where,
                fix="check which axes are batch and time (--axes), and how many entries one run "
                "takes ('512*time'); a size that may not vary is written as a number",
            ) from error
        named: dict[str, Any] = dict(zip(names, found, strict=True))
        return (
            {name: named[name] for name in self.outputs},
            {source: named[result] for source, result in self._pairs.items()},
        )

    def _no_contexts(self, inputs: Mapping[str, Array]) -> Arrays:
        contexts = {}
        for port in self._inputs:
            if port.context and port.time_axis is not None:
                shape = list(inputs[port.name].shape)
                shape[port.time_axis] = port.context
                contexts[port.name] = np.zeros(shape, port.dtype)
        return contexts


def _piece(array: Array, port: Named, start: int, length: int) -> Array:
    if port.time_axis is None:
        return array
    part = slice(start * port.frame, (start + length) * port.frame)
    return array[(slice(None),) * port.time_axis + (part,)]


def _last(piece: Array, port: Named) -> Array:
    axis = port.time_axis or 0
    return piece[(slice(None),) * axis + (slice(piece.shape[axis] - port.context, None),)]
