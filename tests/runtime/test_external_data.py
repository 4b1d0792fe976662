"""Weights in a file of their own are followed inside the model's folder, and nowhere else."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rnnedge_runtime import ModelFileError, load

X = np.ones((1, 3, 2), np.float32)
SHIFT = np.array([5, 6], np.float32)


def _shifted(make, location):
    """``y = x + shift``, where ``shift`` lies in another file."""
    contract = make.sum_contract(states=())
    data = make.file(contract, [make.node("Add", ["x", "shift"], ["y"])], {"shift": SHIFT})
    model = onnx.load_from_string(data)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model.SerializeToString()


def test_external_data_beside_the_model_is_followed(tmp_path, make):
    (tmp_path / "m.onnx").write_bytes(_shifted(make, "shift.bin"))
    (tmp_path / "shift.bin").write_bytes(SHIFT.tobytes())
    np.testing.assert_array_equal(load(tmp_path / "m.onnx").run(X).outputs["y"], X + SHIFT)


@pytest.mark.parametrize("way", ["../shift.bin", "absolute", "link.bin", "sub/../../shift.bin"])
def test_external_data_outside_the_models_folder_is_not_followed(tmp_path, make, way):
    (tmp_path / "shift.bin").write_bytes(SHIFT.tobytes())
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    (folder / "link.bin").symlink_to(tmp_path / "shift.bin")
    location = str(tmp_path / "shift.bin") if way == "absolute" else way
    (folder / "m.onnx").write_bytes(_shifted(make, location))
    with pytest.raises(
        ModelFileError, match=r"(escapes model directory|Absolute path not allowed)"
    ):
        load(folder / "m.onnx")


def test_missing_external_data_says_so(tmp_path, make):
    (tmp_path / "m.onnx").write_bytes(_shifted(make, "shift.bin"))
    with pytest.raises(ModelFileError, match="External data path does not exist") as caught:
        load(tmp_path / "m.onnx")
    assert "external data beside it" in caught.value.fix


def test_bytes_have_no_folder_to_take_external_data_from(tmp_path, make, monkeypatch):
    (tmp_path / "shift.bin").write_bytes(SHIFT.tobytes())
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    with pytest.raises(ModelFileError, match="escapes"):
        load(_shifted(make, "../shift.bin"))
