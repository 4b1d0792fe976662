"""Small ONNX graphs, written as text, before and after a pass of `optimize`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

HEADER = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>\n'


def graph(text: str, **constants: np.ndarray) -> onnx.ModelProto:
    """A model, with the shapes that can be inferred.

    Args:
        text: as `onnx.parser` takes it, without header.
        constants: further initializers.
    """
    model = onnx.parser.parse_model(HEADER + text)
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def after(model: onnx.ModelProto, *passes: Callable[[ir.Model], object]) -> onnx.ModelProto:
    """The model after these passes, checked."""
    edited = ir.from_proto(model)
    for one in passes:
        one(edited)
    result = ir.to_proto(edited)
    if all(node.domain == "" for node in result.graph.node):
        onnx.checker.check_model(result)
    return result


def kinds(model: onnx.ModelProto) -> list[str]:
    """Its operators."""
    return sorted(node.op_type for node in model.graph.node)


def run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """onnxruntime's results by name, its own optimiser off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def random(model: onnx.ModelProto, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs of that many rows."""
    rng, feeds = np.random.default_rng(seed), {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") else batch for dim in kind.shape.dim]
        is_float = kind.elem_type == onnx.TensorProto.FLOAT
        numbers = rng.standard_normal(sizes) if is_float else rng.integers(0, 4, sizes)
        feeds[value.name] = numbers.astype(np.float32 if is_float else np.int64)
    return feeds


def assert_same(before: onnx.ModelProto, now: onnx.ModelProto, tolerance: float = 1e-5) -> None:
    """The same results under the same names, for one row and for three."""
    for batch in (1, 3):
        feeds = random(before, batch)
        expected, got = run(before, feeds), run(now, feeds)
        assert expected.keys() == got.keys()
        for name, value in expected.items():
            assert value.shape == got[name].shape, name
            np.testing.assert_allclose(got[name], value, atol=tolerance, rtol=tolerance)


def weights(*shape: int, seed: int = 1) -> np.ndarray:
    """Numbers around one half."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 0.5
