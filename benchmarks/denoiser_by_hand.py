"""The denoiser's spectral core, derived by rnnedge and rewritten by hand; one frame per run.

Who streams by hand writes the network a second time: a step that takes and returns the past
frames of every convolution and every recurrent state. `CoreStep` is that second network for
`examples/denoiser`, with the same trained weights, exported with stock ``torch.onnx.export`` for
one frame per run (static shapes, batch norms folded, every state a tensor of its own) and run with
IO binding on two sets of states in turn, one thread, all graph optimisations on.

Both are first compared with the whole-sequence module, then timed by turns; medians over rounds:

* by hand: bare ``run_with_iobinding`` of the hand-written graph;
* derived: the same for the graph that `rnnedge.export` made from the untouched module;
* push: `Stream.push` on that file: shapes and finiteness checked, input and result copied.

Run it: ``python -m benchmarks.denoiser_by_hand [--rounds 40]``
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

import rnnedge
from benchmarks.cells import rounds_us
from examples.denoiser import model as denoiser

WEIGHTS = Path(denoiser.__file__).with_name("denoiser.safetensors")
Array = NDArray[np.float32]


class CoreStep(nn.Module):
    """One frame of `SpectralCore`, its states as arguments and results.

    The modules, and so the weights, are the whole-sequence core's own; only what happens between
    them is written anew. States, in order: the past frames that each of the three down blocks
    sees, the two time-recurrent hidden states (the second stands last), between them the past
    frames of the four temporal blocks.
    """

    def __init__(self, core: denoiser.SpectralCore) -> None:
        super().__init__()
        self.core = core
        self.dual1, self.dual2 = DualPathStep(core.dual1), DualPathStep(core.dual2)

    def initial_states(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """All zero: what the whole-sequence core pads with, and GRUs start from."""
        core = self.core
        freqs = [denoiser.BINS, denoiser.BINS // 2 + 1, denoiser.BINS // 4 + 1]
        shapes = [
            (1, down.conv.in_channels, down.past, freq)
            for down, freq in zip([core.down1, core.down2, core.down3], freqs, strict=True)
        ]
        freq, channels = denoiser.BINS // 8 + 1, core.down3.conv.out_channels
        pasts = [(1, channels, block.past, freq) for block in _blocks(core)]
        hiddens = [(1, freq, dual.along.hidden_size) for dual in (core.dual1, core.dual2)]
        shapes += [hiddens[0], *pasts, hiddens[1]]  # type: ignore[list-item]
        return [torch.zeros(shape, dtype=dtype) for shape in shapes]

    def forward(self, spec: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """``[1, 1, freq, 2]`` and the states before it; the frame out and the states after it."""
        core, (past1, past2, past3, hidden1, *pasts, hidden2) = self.core, states
        power = spec.square().sum(dim=-1, keepdim=True) + 1e-8
        features = torch.cat([power**0.15, spec * power**-0.35], dim=-1)
        x = features.permute(0, 3, 1, 2)

        skip1, past1 = _down(core.down1, x, past1)
        skip2, past2 = _down(core.down2, skip1, past2)
        skip3, past3 = _down(core.down3, skip2, past3)
        x, hidden1 = self.dual1(skip3, hidden1)
        after = []
        for block, past in zip(_blocks(core), pasts, strict=True):
            x, past = _temporal(block, x, past)
            after.append(past)
        x, hidden2 = self.dual2(x, hidden2)
        x = core.up3(x, skip3)
        x = core.up2(x, skip2)
        mask = core.up1(x, skip1)

        real, imag = spec[..., 0], spec[..., 1]
        mask_real, mask_imag = mask[:, 0], mask[:, 1]
        out = torch.stack(
            [real * mask_real - imag * mask_imag, real * mask_imag + imag * mask_real], dim=-1
        )
        return out, past1, past2, past3, hidden1, *after, hidden2


def _blocks(core: denoiser.SpectralCore) -> list[denoiser.TemporalBlock]:
    return [block for block in core.temporal if isinstance(block, denoiser.TemporalBlock)]


def _down(block: denoiser.DownBlock, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    window = torch.cat([past, x], dim=2)
    return block.act(block.norm(block.conv(window))), window[:, :, 1:]


def _temporal(block: denoiser.TemporalBlock, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    y = block.enter_act(block.enter(x))
    window = torch.cat([past, y], dim=2)
    y = block.norm(block.conv(window))
    return x + block.leave(torch.tanh(y)), window[:, :, 1:]


class DualPathStep(nn.Module):
    """`DualPath` for one frame, its recurrent layers turned to sequence-first.

    So neither needs a transpose: the frequencies are the sequence of the first and the batch of
    the second, and the one frame is the batch of the first and the sequence of the second.
    """

    def __init__(self, block: denoiser.DualPath) -> None:
        super().__init__()
        self.block = block
        self.across, self.along = _sequence_first(block.across), _sequence_first(block.along)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """``[1, channels, 1, freq]`` and ``[1, freq, hidden]``, both the same out."""
        block, (_, channels, _, freq) = self.block, x.shape
        x = x.reshape(channels, freq).t().reshape(freq, 1, channels)
        x = x + block.across_norm(block.across_out(self.across(x)[0]))
        y, hidden = self.along(x.reshape(1, freq, channels), hidden)
        x = x.reshape(1, freq, channels) + block.along_norm(block.along_out(y))
        return x.reshape(freq, channels).t().reshape(1, channels, 1, freq), hidden


def _sequence_first(gru: nn.GRU) -> nn.GRU:
    twin = nn.GRU(gru.input_size, gru.hidden_size, bidirectional=gru.bidirectional)
    twin.load_state_dict(gru.state_dict())
    return twin.to(gru.weight_ih_l0.dtype)


def load_core() -> denoiser.SpectralCore:
    """The trained spectral core."""
    core = denoiser.make_core()
    core.load_state_dict(denoiser.core_weights(load_file(WEIGHTS)))
    return core.eval()


def export_by_hand(step: CoreStep) -> bytes:
    """Stock export at one frame per run, every shape static."""
    states = step.initial_states()
    frame = torch.zeros(1, 1, denoiser.BINS, 2)
    names = [f"state{k}" for k in range(len(states))]
    program = torch.onnx.export(
        step,
        (frame, *states),
        input_names=["spec", *names],
        output_names=["out", *(f"{name}.next" for name in names)],
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # noqa: S101 - it is one when no file is given
    data: bytes = program.model_proto.SerializeToString()
    return data


class Bound:
    """A graph bound once: one frame buffer, one result, two sets of states used in turn."""

    def __init__(
        self, session: ort.InferenceSession, states: Sequence[tuple[str, str, Array]]
    ) -> None:
        frame_name = next(i.name for i in session.get_inputs() if i.name == "spec")
        out_name = session.get_outputs()[0].name
        self.session = session
        self.frame = np.zeros((1, 1, denoiser.BINS, 2), np.float32)
        self.out = np.zeros_like(self.frame)
        self._sets = [[value.copy() for *_, value in states] for _ in range(2)]
        self._bindings = []
        for source, target in (self._sets, self._sets[::-1]):
            binding = session.io_binding()
            binding.bind_cpu_input(frame_name, self.frame)
            _bind_output(binding, out_name, self.out)
            for (name, after, _), value, result in zip(states, source, target, strict=True):
                binding.bind_cpu_input(name, value)
                _bind_output(binding, after, result)
            self._bindings.append(binding)
        self._turn = 0

    def step(self) -> None:
        """Runs one frame, from `frame` to `out`."""
        self.session.run_with_iobinding(self._bindings[self._turn])
        self._turn ^= 1

    def run(self, spec: Array) -> Array:
        """``[1, time, freq, 2]`` frame by frame, the same shape out."""
        results = []
        for index in range(spec.shape[1]):
            self.frame[:] = spec[:, index : index + 1]
            self.step()
            results.append(self.out.copy())
        return np.concatenate(results, axis=1)


def _bind_output(binding: ort.IOBinding, name: str, array: Array) -> None:
    binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)


def bind_by_hand(step: CoreStep) -> Bound:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    session = ort.InferenceSession(
        export_by_hand(step), options, providers=["CPUExecutionProvider"]
    )
    states = [value.numpy() for value in step.initial_states()]
    return Bound(session, [(f"state{k}", f"state{k}.next", v) for k, v in enumerate(states)])


def derive(core: denoiser.SpectralCore) -> tuple[rnnedge.Model, Bound]:
    """What rnnedge makes of the untouched module, proven; and its graph bound like the other."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "core.onnx"
        shape = f"float32[batch, time, {denoiser.BINS}, 2]"
        result = rnnedge.export(core, path, inputs={"spec": shape})
        if not result.kept:
            raise SystemExit(f"the proof failed:\n{result.parity}")
        model = rnnedge.load(path, threads=1)
    initial = model.initial_state(1)
    states = [(s.input, s.output, initial[s.name]) for s in model.contract.states]
    return model, Bound(model.session, states)


def noise_spectrum(frames: int) -> Array:
    """White noise as the Fourier transform gives it, ``[1, frames, bins, 2]``."""
    rng = np.random.default_rng(0)
    return rng.normal(0, 1, (1, frames, denoiser.BINS, 2)).astype(np.float32)


def check(name: str, got: Array, expected: Array) -> None:
    """The largest difference may be a few roundings of the largest value."""
    error, size = np.abs(got - expected).max(), np.abs(expected).max()
    print(f"{name}: largest difference {error:.1e}, of values up to {size:.1f}")
    if error > 1e-5 * size:
        raise SystemExit(f"{name} is not the same function")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    core = load_core()
    spec = noise_spectrum(frames=100)
    with torch.inference_mode():
        expected = core(torch.from_numpy(spec)).numpy()
    by_hand = bind_by_hand(CoreStep(core).eval())
    model, derived = derive(core)
    stream = model.stream()
    check("by hand", by_hand.run(spec), expected)
    check("derived", derived.run(spec), expected)
    pushed = [np.asarray(stream.push(spec[:, t : t + 1])) for t in range(spec.shape[1])]
    check("push", np.concatenate(pushed, axis=1), expected)

    frame = np.ascontiguousarray(spec[:, :1])
    steps: dict[str, Callable[[], object]] = {
        "by hand": by_hand.step,
        "derived": derived.step,
        "push": lambda: stream.push(frame),
    }
    taken = rounds_us(steps, options.rounds, calls=50)
    print(f"{'one frame of 10 ms':<20}{'median µs':>10}{'/ by hand':>11}")
    for name, times in taken.items():
        # Ratios within a round: a busy machine disturbs neighbours alike.
        ratio = statistics.median(a / b for a, b in zip(times, taken["by hand"], strict=True))
        print(f"{name:<20}{statistics.median(times):>10.0f}{ratio:>11.2f}")


if __name__ == "__main__":
    main()
