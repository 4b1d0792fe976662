"""What a person calls the tracer's symbols: ``batch`` and ``time`` for ``s77`` and ``s27``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy
from torch import Tensor
from torch.fx import Node

from rnnedge_exporters.capture import Program
from rnnedge_exporters.streaming.axes import size
from rnnedge_exporters.streaming.program import find_symbol, time_unit
from rnnedge_runtime.contract import BATCH, TIME


@dataclass(frozen=True)
class Names:
    """Names of symbols.

    Attributes:
        symbols: what each stands for; ``time/8`` where the tracer counts frames in groups of 8.
    """

    symbols: Mapping[str, sympy.Expr]

    @classmethod
    def of(cls, program: Program) -> Names:
        """Those of a program's inputs.

        Raises:
            StreamingError: see `find_symbol`.
        """
        batch, time = find_symbol(program, BATCH), find_symbol(program, TIME)
        named = {batch: sympy.Symbol(BATCH), time: sympy.Symbol(TIME) / time_unit(program)}
        return cls({str(s): meaning for s, meaning in named.items() if s is not None})

    def shape(self, node: Node) -> tuple[int | str, ...]:
        """The sizes of what `node` gives; of a tuple, those of its first tensor."""
        value = node.meta.get("val")
        if isinstance(value, (tuple, list)):
            value = next((part for part in value if isinstance(part, Tensor)), None)
        if not isinstance(value, Tensor):
            return ()
        sizes: Sequence[sympy.Expr] = [size(dim) for dim in value.shape]
        return tuple(int(e) if e.is_Integer else self._expression(e) for e in sizes)

    def text(self, text: str) -> str:
        """A message, with names in place of symbols."""
        for symbol, meaning in self.symbols.items():
            factor, name = meaning.as_coeff_Mul()
            if factor != 1:
                text = re.sub(rf"\b{1 / factor}\*{symbol}\b", str(name), text)
            named = str(name) if factor == 1 else f"({meaning})"
            text = re.sub(rf"\b{symbol}\b", named, text)
        return text

    def _expression(self, expression: sympy.Expr) -> str:
        text = self.text(str(sympy.expand(expression)))
        # The tracer puts one pair of brackets too many around divisions.
        text = re.sub(r"\((\([^()]*\))\)", r"\1", text)
        return text[1:-1] if re.fullmatch(r"\([^()]*\)", text) else text
