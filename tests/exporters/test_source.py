"""Finding the module, and loading weights that may come from anywhere."""

import os
import pickle
import re

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rnnedge_exporters.errors import SourceError
from rnnedge_exporters.source import load_module, load_weights

FACTORY = """
from torch import nn

class Net(nn.Module):
    def __init__(self, hidden: int = 4, note: str = "", relu: bool = False):
        super().__init__()
        self.settings = (hidden, note, relu)
        self.gru = nn.GRU(3, hidden, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]

def make(**kwargs):
    return Net(**kwargs)

def broken():
    raise ValueError("no such width")

def number():
    return 7

ready = Net()
plain = 3
"""


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "source_under_test.py"
    path.write_text(FACTORY)
    return path


def test_a_factory_in_a_file_is_called(model_file):
    assert load_module(f"{model_file}:make", {}).settings == (4, "", False)


def test_a_module_instance_is_taken_as_it_is(model_file):
    assert isinstance(load_module(f"{model_file}:ready", {}), nn.Module)


def test_a_factory_in_a_package_is_called():
    module = load_module("torch.nn:GRU", {"input_size": "3", "hidden_size": "5"})
    assert module.hidden_size == 5


def test_arguments_become_numbers_unless_annotated_as_text(model_file):
    module = load_module(f"{model_file}:Net", {"hidden": "6", "note": "12", "relu": "true"})
    assert module.settings == (6, "12", True)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("{file}", "names no factory"),
        ("{file}:absent", "has no 'absent'"),
        ("{file}:broken", "the factory raised ValueError: no such width"),
        ("{file}:number", "a torch.nn.Module was expected, got int"),
        ("{file}:plain", "int is not callable"),
        ("absent.py:make", "no file absent.py"),
        ("no_such_package:make", "raised ModuleNotFoundError"),
    ],
)
def test_what_is_no_module_is_told(model_file, spec, what):
    with pytest.raises(SourceError, match=re.escape(what)):
        load_module(spec.format(file=model_file), {})


def test_a_factory_that_raises_is_told_with_its_line(model_file):
    with pytest.raises(SourceError) as error:
        load_module(f"{model_file}:broken", {})
    line = FACTORY.splitlines().index('    raise ValueError("no such width")') + 1
    assert f"source_under_test.py:{line}" in error.value.where


@pytest.fixture
def trained():
    torch.manual_seed(0)
    return nn.GRU(3, 4)


def fresh():
    torch.manual_seed(1)
    return nn.GRU(3, 4)


def same(a, b):
    return all(torch.equal(x, b.state_dict()[name]) for name, x in a.state_dict().items())


def test_safetensors_load(trained, tmp_path):
    save_file(trained.state_dict(), tmp_path / "w.safetensors")
    module = fresh()
    assert len(load_weights(module, tmp_path / "w.safetensors")) == 64
    assert same(module, trained)


def test_a_torch_checkpoint_loads(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "w.pt")
    module = fresh()
    load_weights(module, tmp_path / "w.pt")
    assert same(module, trained)


def test_a_nested_key_is_followed(trained, tmp_path):
    torch.save({"epoch": 3, "ema": {"model": trained.state_dict()}}, tmp_path / "w.pt")
    module = fresh()
    load_weights(module, tmp_path / "w.pt", key="ema.model")
    assert same(module, trained)


def test_a_checkpoint_that_nests_names_its_keys(trained, tmp_path):
    torch.save({"epoch": 3, "model": trained.state_dict()}, tmp_path / "w.pt")
    with pytest.raises(SourceError, match="no state dict") as error:
        load_weights(fresh(), tmp_path / "w.pt")
    assert "epoch, model" in error.value.fix
    with pytest.raises(SourceError, match="no key 'state'"):
        load_weights(fresh(), tmp_path / "w.pt", key="state")


def test_missing_unexpected_and_misshapen_weights_are_listed(trained, tmp_path):
    state = trained.state_dict()
    state["extra"] = torch.zeros(1)
    del state["bias_hh_l0"]
    state["weight_ih_l0"] = torch.zeros(12, 5)
    save_file(state, tmp_path / "w.safetensors")
    module = fresh()
    with pytest.raises(SourceError) as error:
        load_weights(module, tmp_path / "w.safetensors")
    assert "missing: bias_hh_l0" in error.value.what
    assert "unexpected: extra" in error.value.what
    assert "weight_ih_l0: [12, 5] in the file, [12, 3] expected" in error.value.what
    assert same(module, fresh())


class Payload:
    def __reduce__(self):
        return (os.mkdir, (os.environ["RNNEDGE_TEST_CANARY"],))


def test_a_pickle_that_wants_code_is_refused_and_not_run(tmp_path, monkeypatch):
    canary = tmp_path / "executed"
    monkeypatch.setenv("RNNEDGE_TEST_CANARY", str(canary))
    torch.save({"weight": Payload()}, tmp_path / "zip.pt")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Payload(), protocol=2))
    for name in ("zip.pt", "bare.pkl"):
        with pytest.raises(SourceError, match="pickle that holds more than tensors") as error:
            load_weights(fresh(), tmp_path / name)
        assert "safetensors" in error.value.fix
    assert not canary.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_a_truncated_checkpoint_is_refused(trained, tmp_path, name):
    path = tmp_path / name
    if name.endswith("pt"):
        torch.save(trained.state_dict(), path)
    else:
        save_file(trained.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(SourceError, match=r"damaged|cannot be read"):
        load_weights(fresh(), path)


def test_a_missing_checkpoint_is_told(tmp_path):
    with pytest.raises(SourceError, match="cannot read the weights"):
        load_weights(fresh(), tmp_path / "absent.safetensors")
