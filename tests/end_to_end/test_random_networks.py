"""Networks composed at random: the stream equals the whole sequence, or is refused for a reason.

The reasons are a list: what is not in it is a mistake, be it a refusal, a crash or a wrong number.
A network is known by its seed: ``pytest -k "[1234]" --networks 1235`` brings it back.

Each is streamed in PyTorch, in float64, which shows a wrong frame most sharply. Writing a file
takes several times as long as all the rest, and is done for some of them.
"""

import copy
import re
from random import Random

import numpy as np
import pytest
import random_networks
import torch
from chunked import stream
from torch.utils import _pytree as pytree

import rnnedge
from rnnedge.parity.measure import Ledger, Reference
from rnnedge.parity.playback import play
from rnnedge_exporters import convert
from rnnedge_exporters.errors import StreamingError

QUICK = (2, 3, 14)
"""These are small."""
WRITTEN = 16
"""Of one in so many a file is written and run."""
MOST_REFUSED = 0.15
SHORTEST, LONGEST = 20, 60
EXACT, ROUNDED = 1e-9, 1e-5
"""What may differ, in units of the largest value: all is float64, or states and constants are not.
"""
REASONS = {
    "what repeats the signal's own frames at its ends is read by windows only": [
        "it returns what is padded with the signal's own frames",
        "it reads padding with the signal's own frames",
        "it pads what is padded with the signal's own frames",
        "it joins a signal that is padded with its own frames to one that is not",
        "it leaves out frames of what is padded",
    ],
    "a branch that gives more frames than another is cut to its length": [
        "a part of the signal that grows with it",
    ],
    "the past of what is folded with time has no axis of its own": [
        "time is folded into another axis here, and the past of this tensor is needed",
    ],
}
KNOWN = re.compile("|".join(re.escape(what) for group in REASONS.values() for what in group))
refused: dict[int, bool] = {}
"""Whether the network of that seed was, of those tried by this process."""


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--networks")
        slow = [pytest.mark.slow]
        seeds = [pytest.param(n, marks=[] if n in QUICK else slow) for n in range(count)]
        metafunc.parametrize("seed", seeds)


def cut_at_random(pick, frames):
    if pick.random() < 0.2:
        return [1] * frames
    cuts = sorted(pick.randint(0, frames) for _ in range(pick.choice([0, 1, 3, 8])))
    return [b - a for a, b in zip([0, *cuts], [*cuts, frames], strict=True)]


def runs(seed, network):
    """Signals of several batch sizes and lengths at which the module itself runs, and chunks."""
    pick, found = Random(seed), []
    torch.manual_seed(seed)
    module = copy.deepcopy(network.module).double()
    for batch in (1, 2, 3, 1):
        x = network.signal(batch, frames := pick.randint(SHORTEST, LONGEST))
        try:
            expected = whole(module, x)
        except RuntimeError:
            continue  # branches of these lengths do not meet
        found.append((x, expected, cut_at_random(pick, frames)))
    assert found, network.text
    return found


def whole(module, x):
    with torch.no_grad():
        return pytree.tree_leaves(module(x))


def test_a_random_network_streams_or_is_refused_for_a_known_reason(seed):
    network = random_networks.compose(seed)
    signals = runs(seed, network)
    module = copy.deepcopy(network.module)
    try:
        streamed = stream(module, network.spec)
    except StreamingError as error:
        if not KNOWN.search(error.what):
            raise AssertionError(network.text) from error
        refused[seed] = True
        return
    refused[seed] = False
    is_rounded = "stft" in network.text or any(state.tensor for state in streamed.contract.states)
    for x, expected, lengths in signals:
        for ours, theirs in zip(streamed.chunks(x, lengths), expected, strict=True):
            check = f"{len(x)} rows, chunks of {lengths}\n{network.text}"
            assert ours.shape == theirs.shape, check
            error = float((ours - theirs).abs().max())
            allowed = (ROUNDED if is_rounded else EXACT) * max(1.0, float(theirs.abs().max()))
            assert error <= allowed, f"{error:.2g}, allowed {allowed:.2g}; {check}"
    if seed % WRITTEN == 0:
        assert_file_streams(network, signals, one_frame=seed % (2 * WRITTEN) != 0)


def assert_file_streams(network, signals, *, one_frame=False):
    """onnxruntime's error is like PyTorch's own in float32."""
    model = rnnedge.load(
        convert(network.module, {"x": network.spec}, one_frame=one_frame).to_bytes()
    )
    ports = model.contract.outputs
    ledgers = {port.name: Ledger(port.name, port.shape) for port in ports}
    for x, _expected, lengths in signals:
        single = whole(network.module, x.float())
        # The float32 input, to the last bit: what rounding it changes is no error.
        exact = whole(copy.deepcopy(network.module).double(), x.float().double())
        given = x.numpy().astype(np.float32)
        played = play(model.stream(len(x)), {"x": given}, lengths).outputs()
        check = f"{len(x)} rows, chunks of {lengths}"
        for port, theirs, ours in zip(ports, exact, single, strict=True):
            ledger = ledgers[port.name]
            ledger.add(played[port.name], Reference(theirs.numpy(), ours.numpy()), check, len(x))
            assert ledger.failure(check) is None, f"{ledger.failure(check)}; {check}"
            error, own, allowed = ledger.error(check)
            told = f"{error:.2g}, allowed {allowed:.2g}, own {own:.2g}; {check}\n{network.text}"
            assert error <= allowed, told


@pytest.mark.slow
def test_few_random_networks_are_refused():
    """Of those tried before it, by this process."""
    if len(refused) < 20:
        pytest.skip("too few were tried to tell")
    assert sum(refused.values()) <= MOST_REFUSED * len(refused), refused
