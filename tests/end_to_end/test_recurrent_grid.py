"""Every recurrent layer, exported and streamed, against the module in float64.

The comparison is made here from scratch: it shares no code with `rnnedge.verify`.
"""

import itertools

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import rnnedge
from rnnedge_exporters import convert

KINDS = {
    "RNN-tanh": (nn.RNN, {}),
    "RNN-relu": (nn.RNN, {"nonlinearity": "relu"}),
    "LSTM": (nn.LSTM, {}),
    "GRU": (nn.GRU, {}),
}
OPERATOR = {"RNN-tanh": "RNN", "RNN-relu": "RNN", "LSTM": "LSTM", "GRU": "GRU"}
# Bias and order of axes vary along, so that each meets each kind.
GRID = [
    (kind, layers, explicit, (layers + explicit) % 2 == 0, index % 3 != 0)
    for index, (kind, layers, explicit) in enumerate(
        itertools.product(KINDS, (1, 2, 3), (False, True))
    )
]
FRAMES = 40


class Net(nn.Module):
    def __init__(self, kind, layers, bias, batch_first):
        super().__init__()
        factory, options = KINDS[kind]
        self.body = nn.Sequential(nn.Linear(3, 5), nn.Tanh())
        self.rnn = factory(5, 6, layers, bias=bias, batch_first=batch_first, **options)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.rnn(self.body(x))[0])


class WithState(Net):
    def forward(self, x, hidden):
        y, hidden = self.rnn(self.body(x), hidden)
        return self.head(y), hidden


def name(case):
    kind, layers, explicit, bias, batch_first = case
    words = [kind, f"{layers}", "state given" if explicit else "state lifted"]
    return "-".join([*words, "bias" if bias else "no bias", "BTF" if batch_first else "TBF"])


def is_quick(case):
    kind, layers, explicit, *_ = case
    return layers == 2 and (kind, explicit) in (("LSTM", True), ("GRU", False))


PARAMS = [pytest.param(c, marks=[] if is_quick(c) else pytest.mark.slow) for c in GRID]


@pytest.fixture(scope="module", params=PARAMS, ids=map(name, GRID))
def case(request):
    kind, layers, explicit, bias, batch_first = request.param
    torch.manual_seed(layers)
    module = (WithState if explicit else Net)(kind, layers, bias, batch_first).eval()
    axes = "batch, time" if batch_first else "time, batch"
    data = convert(module, {"x": f"float32[{axes}, 3]"}).to_bytes()
    return module, data, rnnedge.load(data), request.param, yardsticks(module, batch_first)


def truth(module, x, dtype):
    """Outputs and final states of the whole sequence, states as one flat list per layer."""
    module = module.to(dtype)
    with torch.no_grad():
        x = torch.from_numpy(x).to(dtype)
        _, final = module.rnn(module.body(x))
        out = module(x, None) if isinstance(module, WithState) else module(x)
    module.float()
    out = out[0] if isinstance(out, tuple) else out
    final = final if isinstance(final, tuple) else (final,)
    return out.numpy(), [state.numpy() for state in final]


def yardsticks(module, batch_first):
    """PyTorch's own largest float32 errors over many frames: of the output, and of the states."""
    shape = (8, 400, 3) if batch_first else (400, 8, 3)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    exact, exact_states = truth(module, x, torch.float64)
    single, single_states = truth(module, x, torch.float32)
    states = zip(exact_states, single_states, strict=True)
    # States of small value need a floor: see tests/rnnedge/test_parity_floor.py.
    return own_error(exact, single, 1), [own_error(*state, floor_ulp=4) for state in states]


def own_error(exact, single, floor_ulp):
    ulp = np.spacing(np.float32(np.abs(exact).max()))
    return max(np.abs(single - exact).max(), floor_ulp * ulp)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batch=st.integers(1, 8),
    seed=st.integers(0, 2**32 - 1),
    cuts=st.lists(st.integers(0, FRAMES), max_size=8),
)
def test_any_chunking_of_any_batch_equals_the_module(case, batch, seed, cuts):
    module, _, model, (_, layers, explicit, _, batch_first), (own, own_states) = case
    time = 1 if batch_first else 0
    shape = (batch, FRAMES, 3) if batch_first else (FRAMES, batch, 3)
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    stream = model.stream(batch)
    parts = [stream.push(part) for part in np.split(x, sorted(cuts), time)]
    exact, exact_states = truth(module, x, torch.float64)
    assert np.abs(np.concatenate(parts, time) - exact).max() <= 4 * own
    state = stream.state
    for index, role in enumerate("hc"[: len(exact_states)]):
        owner = f"rnn.{role}"
        if explicit:
            owner = "hidden" if len(exact_states) == 1 else f"hidden.{index}"
        names = [f"{owner}_l{k}" if layers > 1 else owner for k in range(layers)]
        got = np.concatenate([state[n] for n in names])
        assert np.abs(got - exact_states[index]).max() <= 4 * own_states[index]


def test_the_file_has_one_operator_per_layer_and_passes_onnxs_checker(case):
    _, data, _, (kind, layers, *_), _ = case
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    found = [node.op_type for node in model.graph.node]
    assert found.count(OPERATOR[kind]) == layers


def test_the_verifier_agrees(case):
    module, data, *_ = case
    report = rnnedge.verify(data, module)
    assert report.passed, str(report)
