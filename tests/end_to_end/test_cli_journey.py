"""From a trained module to streamed results through the real command, judged by PyTorch itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

INPUT = "x: float32[batch, time, 6]"
EXPORT = ("export", "net.py:Denoiser", "--weights", "w.safetensors", "--input", INPUT)


@pytest.fixture
def trained(folder):
    """A module with weights of its own, saved as `w.safetensors`."""
    module = module_of("Denoiser")
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    save_file(module.state_dict(), "w.safetensors")
    return module


def module_of(name):
    found = importlib.util.spec_from_file_location("net", "net.py")
    python = importlib.util.module_from_spec(found)
    found.loader.exec_module(python)
    return getattr(python, name)().eval()


def frames(batch=2, count=50):
    x = np.random.default_rng(4).standard_normal((batch, count, 6)).astype(np.float32)
    np.save("x.npy", x)
    return x


def exact(module, x, *states):
    with torch.no_grad():
        result = module.double()(torch.from_numpy(x).double(), *states)
    return (result[0] if isinstance(result, tuple) else result).numpy()


@pytest.mark.slow
def test_a_trained_module_becomes_a_file_that_streams_as_it_does(spawn, trained):
    spawn(*EXPORT, "-o", "net.onnx", "--no-verify")
    x = frames()
    spawn("run", "net.onnx", "x.npy", "-o", "y.npy", "--chunk", 7)
    np.testing.assert_allclose(np.load("y.npy"), exact(trained, x), atol=2e-6)


@pytest.mark.slow
def test_the_whole_journey_in_json(spawn, trained):
    made = spawn(*EXPORT, "-o", "net.onnx", "--json")
    assert made["path"] == "net.onnx"
    assert made["parity"]["passed"] is True
    again = spawn(
        "verify", "net.onnx", "--against", "net.py:Denoiser", "--weights", "w.safetensors",
        "--seed", 3, "--json",
    )  # fmt: skip
    assert (again["passed"], again["settings"]["seed"]) == (True, 3)
    seen = spawn("inspect", "net.onnx", "--json")
    assert seen["contract"] == made["contract"]
    assert [state["name"] for state in seen["contract"]["states"]] == [
        "lstm.h_l0", "lstm.c_l0", "lstm.h_l1", "lstm.c_l1"
    ]  # fmt: skip
    x = frames()
    np.save("a.npy", x[:, :20])
    np.save("b.npy", x[:, 20:])
    spawn("run", "net.onnx", "a.npy", "-o", "ya.npy", "--state-out", "s.bin", "--json")
    ran = spawn("run", "net.onnx", "b.npy", "-o", "yb.npy", "--state-in", "s.bin", "--json")
    assert ran["frames"] == 30
    got = np.concatenate([np.load("ya.npy"), np.load("yb.npy")], 1)
    np.testing.assert_allclose(got, exact(trained, x), atol=2e-6)
    # Without its weights the factory makes another function.
    verdict = spawn("verify", "net.onnx", "--against", "net.py:Denoiser", "--json", code=1)
    assert verdict["passed"] is False


@pytest.mark.slow
def test_no_verify_writes_a_file_without_proof(spawn, trained):
    made = spawn(*EXPORT, "-o", "net.onnx", "--no-verify", "--json")
    assert made["parity"] is None
    assert made["contract"]["parity"] is None


@pytest.mark.long
def test_both_directions_run_whole(spawn):
    words = ("export", "net.py:Denoiser", "--arg", "both_ways=true", "--input", INPUT)
    made = spawn(*words, "--mode", "sequence", "-o", "net.onnx", "--json")
    assert made["parity"]["passed"] is True
    assert made["contract"]["mode"] == "sequence"


SWAPPED = ("export", "net.py:Swapped", "--input", INPUT)


@pytest.mark.slow
def test_a_failed_proof_writes_no_file_unless_asked_to(spawn):
    words = ("export", "net.py:Overflowing", "--input", INPUT, "-o", "net.onnx")
    failed = spawn(*words, "--json", code=1)
    assert failed["path"] is None
    assert failed["parity"]["passed"] is False
    assert [path.name for path in Path().glob("*net.onnx*")] == []
    kept = spawn(*words, "--keep-failed", code=1)
    assert "kept although the proof FAILED" in kept.stdout
    assert spawn("inspect", "net.onnx", "--json")["contract"]["parity"]["passed"] is False
    spawn(*words, code=2)  # the file is there now


@pytest.mark.slow
def test_states_that_come_back_in_another_order_are_refused_with_the_way_out(spawn):
    # States pair off with results in order, which is wrong here.
    refused = spawn(*SWAPPED, "-o", "net.onnx", code=2)
    assert "not the final state, as it is, of the layers that start from it" in refused.stderr
    assert "--state says which result follows which argument" in refused.stderr
    assert not Path("net.onnx").exists()


@pytest.mark.slow
def test_the_states_a_user_names_are_those_that_stream(spawn):
    hints = ("--state", "a -> 2", "--state", "b -> 1")
    made = spawn(*SWAPPED, *hints, "-o", "net.onnx", "--json")
    assert made["parity"]["passed"] is True
    assert [state["name"] for state in made["contract"]["states"]] == ["a", "b"]
    module, x = module_of("Swapped"), frames(1)
    save_file(module.state_dict(), "w.safetensors")
    words = (*SWAPPED, *hints, "--weights", "w.safetensors", "--no-verify", "--force")
    spawn(*words, "-o", "net.onnx")
    spawn("run", "net.onnx", "x.npy", "-o", "y.npy", "--chunk", 3)
    np.testing.assert_allclose(np.load("y.npy"), exact(module, x, None, None), atol=2e-6)
