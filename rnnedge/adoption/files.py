"""Reads ONNX files, and says what their graphs declare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnxruntime as ort

from rnnedge.adoption.errors import AdoptionError
from rnnedge.report.graph import load_model

OPSET_NEEDED = 11
"""The graphs that are added need Slice, Pad and Scan as they are since then."""


@dataclass(frozen=True)
class Declared:
    """An input or output as the graph declares it.

    Attributes:
        name: in the graph.
        dtype: numpy's name of the element type.
        shape: sizes, the file's own symbols, None where an axis is open; None if the file does not
            even give the number of axes.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype}, number of axes unknown"
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.dtype}[{dims}]"


@dataclass(frozen=True)
class Original:
    """The file as it was found.

    Attributes:
        path: where.
        model: with all weights inside and local functions inlined.
        sha256: of the file.
        inputs: those that have no stored value, by name.
        outputs: by name.
    """

    path: Path
    model: onnx.ModelProto
    sha256: str
    inputs: dict[str, Declared]
    outputs: dict[str, Declared]

    @property
    def opset(self) -> int:
        """The version of ONNX's default operator set."""
        found = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return max(found, default=0)

    def copy(self) -> onnx.ModelProto:
        """The model, to be changed."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return model


def read_original(path: Path) -> Original:
    """Reads a file and its external data.

    Raises:
        ModelFileError: it is missing or is not ONNX.
        AdoptionError: its weights lie in a file that is missing; an input is no tensor; its
            operator set is too old.
    """
    load_model(path)
    try:
        model = onnx.load(path)
    except (OSError, onnx.checker.ValidationError) as error:
        raise AdoptionError(
            f"the weights outside of the file cannot be read ({error})",
            where=str(path),
            fix="put the external data file beside it",
        ) from error
    model = onnx.inliner.inline_local_functions(model)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [_declared(v, path) for v in model.graph.input if v.name not in stored]
    outputs = [_declared(v, path) for v in model.graph.output]
    original = Original(
        path,
        model,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        {port.name: port for port in inputs},
        {port.name: port for port in outputs},
    )
    if original.opset < OPSET_NEEDED:
        raise AdoptionError(
            f"the file is of opset {original.opset}; {OPSET_NEEDED} or newer is needed",
            where=str(path),
            fix="convert it with onnx.version_converter.convert_version",
        )
    return original


def _declared(value: onnx.ValueInfoProto, path: Path) -> Declared:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise AdoptionError(
            f"it is a {kind}, no tensor", where=f"{value.name!r}, {path}", fix="export it as tensor"
        )
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return Declared(value.name, dtype, None)
    shape = tuple(
        dim.dim_value if dim.HasField("dim_value") else (dim.dim_param or None)
        for dim in tensor.shape.dim
    )
    return Declared(value.name, dtype, shape)


def open_session(model: bytes, where: str) -> ort.InferenceSession:
    """A session on the CPU, one thread, silent.

    Raises:
        AdoptionError: onnxruntime cannot load the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise AdoptionError(
            f"onnxruntime cannot load it: {' '.join(str(error).split())}",
            where=where,
            fix="check the file with onnx.checker.check_model, and the opset that is installed",
        ) from error


def known(names: Sequence[str]) -> str:
    """Names for an error's text."""
    return ", ".join(names) or "none"
