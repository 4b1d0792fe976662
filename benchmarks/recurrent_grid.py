"""How many of PyTorch's own recurrent test configurations come out right: rnnedge and stock torch.

The 192 configurations are those of PyTorch's ONNX tests: {RNN tanh, RNN relu, LSTM, GRU} x layers
{1, 3} x {forward, bidirectional} x {initial state given, not given} x {plain, packed time first,
packed batch first} x dropout {0, 0.2}. One counts when the file equals PyTorch, outputs and final
states, at batch sizes and lengths other than the example's. rnnedge exports many at once, the
modules of a group in one; torch.onnx.export gets each alone, with whatever axes it can keep free.

    python -m benchmarks.recurrent_grid [--only rnnedge|stock]
"""

from __future__ import annotations

import argparse
import itertools
import logging
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import BytesIO, StringIO
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from onnxscript._framework_apis import torch_2_5
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree

import rnnedge
from rnnedge_exporters import convert
from rnnedge_runtime import RnnEdgeError

INPUT, HIDDEN = 5, 6
KINDS: dict[str, Callable[..., nn.RNNBase]] = {
    "RNN tanh": nn.RNN,
    "RNN relu": lambda *args, **more: nn.RNN(*args, nonlinearity="relu", **more),
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
}
PLAIN, TIME_FIRST, BATCH_FIRST = "plain", "packed time first", "packed batch first"
SIZES = ((1, 7), (4, 3), (5, 23))
"""Batch and frames at which a file is compared; no example has them."""
TOLERANCE = 1e-5


class Configuration(NamedTuple):
    """One of the 192."""

    kind: str
    layers: int
    directions: int
    state_given: bool
    packing: str
    dropout: float

    def __str__(self) -> str:
        way = "bidirectional" if self.directions == 2 else "forward"
        state = "state given" if self.state_given else "no state given"
        return f"{self.kind}, {self.layers} layers, {way}, {state}, {self.packing}, {self.dropout}"

    @property
    def group(self) -> tuple[str, bool]:
        """What the configurations that are exported together have in common."""
        return self.packing, self.state_given

    @property
    def batch_axis(self) -> int:
        """Of the input."""
        return 0 if self.packing == BATCH_FIRST else 1

    def make(self) -> nn.RNNBase:
        """The module, with weights of its own."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="dropout option adds dropout after all but")
            return KINDS[self.kind](
                INPUT,
                HIDDEN,
                self.layers,
                bidirectional=self.directions == 2,
                dropout=self.dropout,
                batch_first=self.packing == BATCH_FIRST,
            ).eval()

    def state(self, batch: int) -> Any:
        """A random initial state."""
        shape = (self.layers * self.directions, batch, HIDDEN)
        return (
            tuple(torch.randn(shape) for _ in "hc") if self.kind == "LSTM" else torch.randn(shape)
        )


CONFIGURATIONS = [
    Configuration(*values)
    for values in itertools.product(
        KINDS, (1, 3), (1, 2), (True, False), (PLAIN, TIME_FIRST, BATCH_FIRST), (0.0, 0.2)
    )
]
STREAMS = [c for c in CONFIGURATIONS if c.packing == PLAIN and c.directions == 1]
"""What can stream: nothing is bidirectional or packed."""


class Group(nn.Module):
    """Several configurations that take the same input, in one module; each gets it."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        super().__init__()
        self.configurations = tuple(configurations)
        self.rnns = nn.ModuleList(c.make() for c in configurations)

    def call(self, x: Tensor, lengths: Tensor | None, hidden: Any) -> tuple[list[Any], list[Any]]:
        """All outputs and all final states."""
        ys, finals = [], []
        given: Any = x
        first = self.configurations[0].packing == BATCH_FIRST
        if lengths is not None:
            given = pack_padded_sequence(x, lengths, batch_first=first)
        for index, rnn in enumerate(self.rnns):
            y, final = rnn(given, None if hidden is None else hidden[index])
            if lengths is not None:
                y, _ = pad_packed_sequence(y, batch_first=first)
            ys.append(y)
            finals.append(final)
        return ys, finals


class Plain(Group):
    """Starts by itself."""

    def forward(self, x: Tensor) -> Any:
        return self.call(x, None, None)


class PlainGiven(Group):
    """Takes initial states."""

    def forward(self, x: Tensor, hidden: Any) -> Any:
        return self.call(x, None, hidden)


class Packed(Group):
    """Starts by itself; rows have lengths."""

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        return self.call(x, lengths, None)


class PackedGiven(Group):
    """Takes initial states; rows have lengths."""

    def forward(self, x: Tensor, lengths: Tensor, hidden: Any) -> Any:
        return self.call(x, lengths, hidden)


def group_of(configurations: Sequence[Configuration]) -> Group:
    """Configurations of one group in one module."""
    packing, given = configurations[0].group
    kinds = {(True, True): PlainGiven, (True, False): Plain, (False, True): PackedGiven}
    return kinds.get((packing == PLAIN, given), Packed)(configurations)


@dataclass(frozen=True)
class Sample:
    """Arguments of a group and what PyTorch gives for them.

    Attributes:
        arguments: of forward, in order.
        outputs: per configuration.
        finals: per configuration, h or h and c.
    """

    arguments: dict[str, Any]
    outputs: list[Tensor]
    finals: list[Any]

    @classmethod
    def of(cls, group: Group, batch: int, frames: int, *, is_full: bool = False) -> Sample:
        """Random arguments; the longest row is shorter than the padding unless `is_full`."""
        first = group.configurations[0]
        shape = (batch, frames) if first.batch_axis == 0 else (frames, batch)
        arguments: dict[str, Any] = {"x": torch.randn(*shape, INPUT)}
        if first.packing != PLAIN:
            longest = frames if is_full else frames - 1
            lengths = torch.randint(1, longest + 1, (batch,)).sort(descending=True).values
            lengths[0] = longest
            arguments["lengths"] = lengths
        if first.state_given:
            arguments["hidden"] = [case.state(batch) for case in group.configurations]
        with torch.no_grad():
            ys, finals = group(**arguments)
        return cls(arguments, ys, finals)

    def feeds(self) -> dict[str, np.ndarray[Any, Any]]:
        """The arguments under the names that rnnedge gives to inputs."""
        feeds = {n: t.numpy() for n, t in self.arguments.items() if n != "hidden"}
        for index, state in enumerate(self.arguments.get("hidden", ())):
            for name, leaf in _named(f"hidden.{index}", state):
                feeds[name] = leaf.numpy()
        return feeds


def _named(name: str, state: Any) -> list[tuple[str, Tensor]]:
    leaves = list(state) if isinstance(state, tuple) else [state]
    return [(f"{name}.{i}" if len(leaves) > 1 else name, leaf) for i, leaf in enumerate(leaves)]


# -- rnnedge ---------------------------------------------------------------------------------------


def specs(group: Group) -> dict[str, str]:
    """What ``--input`` says."""
    first = group.configurations[0]
    axes = "batch, time" if first.batch_axis == 0 else "time, batch"
    lengths = {} if first.packing == PLAIN else {"lengths": "int64[batch]"}
    return {"x": f"float32[{axes}, {INPUT}]", **lengths}


def sequence_errors(group: Group, data: bytes) -> list[float]:
    """The largest error of each configuration over all sizes; infinite where shapes differ."""
    model = rnnedge.load(data)
    errors = [0.0] * len(group.configurations)
    for batch, frames in SIZES:
        sample = Sample.of(group, batch, frames)
        got = model.run(sample.feeds()).outputs
        names = iter(model.contract.outputs)
        ours = [got[next(names).name] for _ in sample.outputs]
        if group.configurations[0].state_given:
            ends = [
                [got[f"{name}.next"] for name, _ in _named(f"hidden.{index}", final)]
                for index, final in enumerate(sample.finals)
            ]
        else:
            ends = [[got[next(names).name] for _ in _named("", f)] for f in sample.finals]
        for index, (y, final) in enumerate(zip(sample.outputs, sample.finals, strict=True)):
            expected = [y, *pytree.tree_leaves(final)]
            errors[index] = max(errors[index], _error([ours[index], *ends[index]], expected))
    return errors


def stream_errors(group: Group, data: bytes) -> list[float]:
    """As `sequence_errors`, for a signal that comes in chunks of random lengths."""
    model = rnnedge.load(data)
    errors = [0.0] * len(group.configurations)
    for batch, frames in SIZES:
        sample = Sample.of(group, batch, frames)
        given = group.configurations[0].state_given
        states = _divided(group, sample) if given else model.initial_state(batch)
        cuts = np.unique(np.random.default_rng(frames).integers(1, frames, 3))
        parts = []
        for chunk in np.split(sample.arguments["x"].numpy(), cuts):
            outputs, states = model.run(chunk, states)
            parts.append(outputs)
        names = [port.name for port in model.contract.outputs]
        for index, (y, final) in enumerate(zip(sample.outputs, sample.finals, strict=True)):
            whole = np.concatenate([part[names[index]] for part in parts])
            ends = [np.concatenate(end) for end in _stream_finals(group, index, states)]
            error = _error([whole, *ends], [y, *pytree.tree_leaves(final)])
            errors[index] = max(errors[index], error)
    return errors


def _stream_finals(group: Group, index: int, state: Any) -> Iterator[list[Any]]:
    """Per role, the layers' states in order."""
    case = group.configurations[index]
    roles = "hc" if case.kind == "LSTM" else "h"
    for place, role in enumerate(roles):
        if case.state_given:
            name = f"hidden.{index}.{place}" if len(roles) > 1 else f"hidden.{index}"
        else:
            name = f"rnns.{index}.{role}"
        layers = [f"{name}_l{k}" for k in range(case.layers)] if case.layers > 1 else [name]
        yield [state[layer] for layer in layers]


def _divided(group: Group, sample: Sample) -> dict[str, Any]:
    """The states given, one per layer, as a stream has them."""
    states = {}
    for index, (case, given) in enumerate(
        zip(group.configurations, sample.arguments["hidden"], strict=True)
    ):
        for name, leaf in _named(f"hidden.{index}", given):
            layers = [f"{name}_l{k}" for k in range(case.layers)] if case.layers > 1 else [name]
            states |= dict(zip(layers, (p.numpy() for p in leaf.split(1)), strict=True))
    return states


def _error(ours: Sequence[Any], theirs: Sequence[Tensor]) -> float:
    if [tuple(a.shape) for a in ours] != [tuple(b.shape) for b in theirs]:
        return float("inf")
    return max(
        float(np.abs(a - b.numpy()).max(initial=0.0)) for a, b in zip(ours, theirs, strict=True)
    )


def rnnedge_verdicts(configurations: Sequence[Configuration], mode: Any) -> Counter[str]:
    """Counts of what became of them. A group that cannot be exported is tried one by one."""
    verdicts: Counter[str] = Counter()
    for _, members in itertools.groupby(sorted(configurations, key=_group), _group):
        verdicts += _group_verdicts(list(members), mode)
    return verdicts


def _group(case: Configuration) -> tuple[str, bool]:
    return case.group


def _group_verdicts(members: list[Configuration], mode: Any) -> Counter[str]:
    torch.manual_seed(0)
    group = group_of(members)
    try:
        data = convert(group, specs(group), mode=mode).to_bytes()
    except RnnEdgeError:
        if len(members) == 1:
            return Counter(["no file"])
        return sum((_group_verdicts([case], mode) for case in members), Counter[str]())
    errors = (sequence_errors if mode == "sequence" else stream_errors)(group, data)
    return Counter("right" if error <= TOLERANCE else "wrong" for error in errors)


# -- torch.onnx.export -----------------------------------------------------------------------------


def stock_verdict(case: Configuration) -> str:
    """What becomes of one configuration by torch.onnx.export."""
    torch.manual_seed(0)
    group = group_of([case])
    example = Sample.of(group, 3, 2, is_full=True)
    free = {"x": {0: "auto", 1: "auto"}, "lengths": {0: "auto"}}
    auto = torch.export.Dim.AUTO
    shapes: dict[str, Any] = {}
    for name, value in example.arguments.items():
        axes = dict.fromkeys(free.get(name, {1: ""}), auto)
        shapes[name] = pytree.tree_map_only(Tensor, lambda _, axes=axes: axes, value)
    file = BytesIO()
    try:
        program = torch.onnx.export(
            group, (), kwargs=example.arguments, dynamic_shapes=shapes, dynamo=True, verbose=False
        )
        program.save(file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(file.getvalue(), options)
        if not _stock_equal(session, example):
            return "wrong everywhere"
    except Exception:
        return "no file that runs"
    try:
        equal = all(_stock_equal(session, Sample.of(group, *sizes)) for sizes in SIZES)
    except Exception:
        equal = False
    return "right" if equal else "right at the example's sizes only"


def _stock_equal(session: Any, sample: Sample) -> bool:
    leaves = pytree.tree_leaves(sample.arguments)
    names = [port.name for port in session.get_inputs()]
    got = session.run(None, {n: t.numpy() for n, t in zip(names, leaves, strict=True)})
    return _error(got, pytree.tree_leaves((sample.outputs, sample.finals))) <= TOLERANCE


def stock_verdicts(configurations: Sequence[Configuration]) -> Counter[str]:
    """Counts of what became of them."""
    # The exporter reads the source of all its translations at every call; once is enough here.
    torch_2_5.get_torchlib_ops = cache(torch_2_5.get_torchlib_ops)
    for name in ("torch", "torch.onnx", "torch.export", "onnxscript"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What it cannot trace, it prints.
    silent = StringIO()
    with warnings.catch_warnings(), redirect_stdout(silent), redirect_stderr(silent):
        warnings.simplefilter("ignore")
        return Counter(map(stock_verdict, configurations))


def line(name: str, verdicts: Counter[str], seconds: float) -> str:
    """``rnnedge, sequence: 192 of 192 right (40 s)``."""
    others = "".join(f", {count} {what}" for what, count in verdicts.items() if what != "right")
    return f"{name}: {verdicts['right']} of {verdicts.total()} right{others} ({seconds:.0f} s)"


def main() -> None:
    """Prints one line for each exporter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["rnnedge", "stock"], help="leave the other one out")
    only = parser.parse_args().only
    runs: list[tuple[str, Callable[[], Counter[str]]]] = [
        ("rnnedge, sequence", lambda: rnnedge_verdicts(CONFIGURATIONS, "sequence")),
        ("rnnedge, stream", lambda: rnnedge_verdicts(STREAMS, "stream")),
        ("torch.onnx.export", lambda: stock_verdicts(CONFIGURATIONS)),
    ]
    lines = []
    for name, run in runs:
        if only is None or (only == "stock") == name.startswith("torch"):
            start = time.perf_counter()
            lines.append(line(name, run(), time.perf_counter() - start))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
