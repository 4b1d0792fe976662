"""Which runtimes are there, which compute the same, and their steps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle
from math import ceil

import numpy as np

from rnnedge.benchmark.errors import BenchError
from rnnedge.benchmark.peers.executorch import ExecuTorch
from rnnedge.benchmark.peers.litert import LiteRt
from rnnedge.benchmark.peers.onnxruntime import PlainOnnxruntime
from rnnedge.benchmark.peers.openvino import OpenVino
from rnnedge.benchmark.peers.outcome import Outcome, Status
from rnnedge.benchmark.peers.protocol import CannotRunError, Peer, PeerStep
from rnnedge.benchmark.peers.quiet import silent
from rnnedge.benchmark.peers.torch_module import Against, TorchModule
from rnnedge.benchmark.peers.tract import Tract
from rnnedge.benchmark.subject import Subject, repeated
from rnnedge.benchmark.trials import Step
from rnnedge.parity.measure import Array
from rnnedge.parity.playback import frames_of
from rnnedge_runtime import Contract

ALLOWED = 1e-3
"""How far a peer's outputs may be from ours, in parts of the largest of ours: it has to be the same
function, not the same rounding; half precision is farther."""
_MOST_TEXT = 160
_CALLS = 12
_FRAMES = 24


def choose_peers(asked: bool | Sequence[str], against: Against | None = None) -> tuple[Peer, ...]:
    """The runtimes to ask.

    Args:
        asked: all, none, or those of these names.
        against: the module; PyTorch's runtimes need it.

    Raises:
        BenchError: there is none of a name.
    """
    known: dict[str, Peer] = {
        "onnxruntime": PlainOnnxruntime(),
        "openvino": OpenVino(),
        "tract": Tract(),
        "torch": TorchModule(against),
        "torch.compile": TorchModule(against, compiled=True),
        "litert": LiteRt(against),
        "executorch": ExecuTorch(against),
    }
    if isinstance(asked, bool):
        return tuple(known.values()) if asked else ()
    for name in asked:
        if name not in known:
            raise BenchError(
                f"{name!r} is no runtime that is known here",
                where="--peer",
                fix=f"name one of {', '.join(known)}",
            )
    return tuple(peer for name, peer in known.items() if name in asked)


def ready_peers(
    subject: Subject, peers: Sequence[Peer], on_progress: Callable[[str], None]
) -> tuple[list[Outcome], dict[str, Step]]:
    """Loads the peers, compares each with ours, and gives the steps of those that agree.

    Returns:
        What became of each, without times; and steps by name.
    """
    outcomes, steps = [], {}
    check = _Check.of(subject)
    for peer in peers:
        if importlib.util.find_spec(peer.module) is None:
            outcomes.append(Outcome(peer.name, None, "not installed", peer.install))
            continue
        on_progress(f"preparing {peer.name}")
        outcome, step = _ready(peer, subject, check)
        outcomes.append(outcome)
        if step is not None:
            steps[peer.name] = step
    return outcomes, steps


def _ready(peer: Peer, subject: Subject, check: _Check) -> tuple[Outcome, Step | None]:
    installed = _version(peer.package)

    def left_out(status: Status, detail: str) -> tuple[Outcome, None]:
        return Outcome(peer.name, installed, status, detail), None

    try:
        with silent():
            prepared = peer.prepare(subject)
            apart = check.distance(prepared.step)
    except CannotRunError as error:
        return left_out("cannot run it", str(error))
    except Exception as error:  # each runtime has exceptions of its own
        return left_out("cannot run it", _first_line(error))
    if np.isnan(apart):
        return left_out("computes something else", "gives NaN where ours are numbers")
    if not apart <= ALLOWED:
        return left_out("computes something else", f"differs by {apart:.1e} of the largest output")
    inputs, step = cycle(subject.inputs()), prepared.step
    detail = f"{prepared.note}, " if prepared.note else ""
    detail += f"within {apart:.1e} of ours"
    return Outcome(peer.name, installed, "timed", detail), lambda: step(next(inputs))


def _first_line(error: Exception) -> str:
    """What a runtime says first: stacks of its own may follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:_MOST_TEXT]}{'…' if len(text) > _MOST_TEXT else ''}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class _Check:
    """What our stream gives for some calls from the initial state; what precedes is left out."""

    contract: Contract
    inputs: list[Mapping[str, Array]]
    ours: Mapping[str, Array]

    @classmethod
    def of(cls, subject: Subject) -> _Check:
        contract = subject.model.contract
        late = [ceil(port.delay / port.ratio) for port in contract.outputs]
        calls = max(_CALLS, ceil((max(late, default=0) + _FRAMES) / subject.frames))
        inputs = repeated(subject.inputs(), calls)
        stream = subject.model.stream(subject.batch)

        def push(given: Mapping[str, Array]) -> Mapping[str, Array]:
            outputs = stream.push(given)
            if isinstance(outputs, dict):
                return outputs
            return {contract.outputs[0].name: outputs}

        return cls(contract, inputs, _emitted(contract, [push(given) for given in inputs]))

    def distance(self, step: PeerStep) -> float:
        """The largest difference, in parts of the largest value of the same output of ours."""
        results = []
        for given in self.inputs:
            outputs = step(given)
            results.append({name: np.array(value) for name, value in outputs.items()})
        theirs, worst = _emitted(self.contract, results), 0.0
        for name, ours in self.ours.items():
            if theirs[name].shape != ours.shape:
                shapes = f"{list(theirs[name].shape)}, and ours {list(ours.shape)}"
                raise CannotRunError(f"its output {name!r} is {shapes}")
            if ours.size:
                largest = max(float(np.abs(ours).max()), 1e-6)
                apart = np.abs(theirs[name].astype(np.float64) - ours.astype(np.float64))
                worst = max(worst, float(apart.max()) / largest)
                worst = float("nan") if np.isnan(apart).any() else worst
        return worst


def _emitted(contract: Contract, results: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The results of all calls joined along time, from the signal's first frame on."""
    return {
        port.name: frames_of(
            port,
            np.stack([result[port.name] for result in results])
            if port.time_axis is None
            else np.concatenate([result[port.name] for result in results], port.time_axis),
            port.delay,
        )
        for port in contract.outputs
    }
