"""Networks composed at random: the stream equals the whole sequence, or is refused for a reason.

The reasons are a list: what is not in it is a mistake, be it a refusal, a crash or a wrong number.
A network is known by its seed: ``pytest -k "[1234]" --networks 1235`` brings it back.
"""

import copy
import re
from random import Random

import numpy as np
import pytest
import random_networks
import torch
from blocks import CHANNELS
from torch.utils import _pytree as pytree

import rnnedge
from rnnedge.parity.measure import Ledger, Reference
from rnnedge.parity.playback import play
from rnnedge_exporters import convert
from rnnedge_exporters.errors import StreamingError

QUICK = 10
SHORTEST, LONGEST = 20, 60
REASONS = {
    "what repeats the signal's own frames at its ends is read by windows only": [
        "it returns what is padded with the signal's own frames",
        "it reads padding with the signal's own frames",
        "it pads what is padded with the signal's own frames",
        "it joins a signal that is padded with its own frames to one that is not",
        "it leaves out frames of what is padded",
    ],
    "the past of what is folded with time has no axis of its own": [
        "time is folded into another axis here, and the past of this tensor is needed",
    ],
}
KNOWN = re.compile("|".join(re.escape(what) for group in REASONS.values() for what in group))


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        count = metafunc.config.getoption("--networks")
        slow = [pytest.mark.slow]
        seeds = [pytest.param(n, marks=[] if n < QUICK else slow) for n in range(count)]
        metafunc.parametrize("seed", seeds)


def whole(module, x, dtype):
    with torch.no_grad():
        results = module(torch.from_numpy(x).to(dtype))
    return [result.numpy() for result in pytree.tree_leaves(results)]


def cut_at_random(pick, frames):
    if pick.random() < 0.2:
        return [1] * frames
    cuts = sorted(pick.randint(0, frames) for _ in range(pick.choice([0, 1, 3, 8])))
    return [b - a for a, b in zip([0, *cuts], [*cuts, frames], strict=True)]


def signals(pick, module, time_last):
    """Of several batch sizes and lengths; those at which the module itself runs."""
    random = np.random.default_rng(pick.randint(0, 2**32))
    found = []
    for batch in (1, 2, 3, 1):
        frames = pick.randint(SHORTEST, LONGEST)
        shape = (batch, CHANNELS, frames) if time_last else (batch, frames, CHANNELS)
        x = random.standard_normal(shape).astype(np.float32)
        try:
            single = whole(module, x, torch.float32)
        except RuntimeError:
            continue  # branches of these lengths do not meet
        found.append((x, frames, single))
    return found


def test_a_random_network_streams_or_is_refused_for_a_known_reason(seed):
    network = random_networks.compose(seed)
    try:
        model = rnnedge.load(convert(network.module, {"x": network.spec}).to_bytes())
    except StreamingError as error:
        if not KNOWN.search(error.what):
            raise AssertionError(network.text) from error
        return
    pick = Random(seed)
    module = network.module
    exact_module = copy.deepcopy(module).double()
    outputs = model.contract.outputs
    ledgers = {port.name: Ledger(port.name, port.shape) for port in outputs}
    runs = signals(pick, module, network.time_last)
    assert runs, network.text
    for x, frames, single in runs:
        lengths = cut_at_random(pick, frames)
        played = play(model.stream(x.shape[0]), {"x": x}, lengths).outputs()
        exact = whole(exact_module, x, torch.float64)
        for port, theirs, ours in zip(outputs, exact, single, strict=True):
            check = f"{x.shape[0]} rows, {frames} frames in chunks of {lengths}"
            ledgers[port.name].add(played[port.name], Reference(theirs, ours), check, x.shape[0])
            _assert_allowed(ledgers[port.name], check, network.text)


def _assert_allowed(ledger, check, text):
    assert ledger.failure(check) is None, f"{ledger.failure(check)}; {check}\n{text}"
    error, own, allowed = ledger.error(check)
    assert error <= allowed, f"{error:.2g}, allowed {allowed:.2g}, own {own:.2g}; {check}\n{text}"
