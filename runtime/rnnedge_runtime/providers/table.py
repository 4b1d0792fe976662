"""What is known of each provider: how to get it, its precision, and what is set for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
WEBGPU = "WebGpuExecutionProvider"


@dataclass(frozen=True)
class Provider:
    """An execution provider of onnxruntime.

    Attributes:
        short: how users call it.
        name: onnxruntime's full name of it.
        get: how to get it; the beginning of an error's fix.
        plugin: the Python package whose ``get_library_path`` tells where the plugin library is;
            empty for a provider that is built into one of onnxruntime's own packages.
        precision: in what it computes a float32 model when it is asked for nothing else.
        full_precision: the options that make it compute in float32.
        defaults: options that are set unless the caller sets them.
        capture: the option that makes it capture a graph and replay it.
        memory_pattern: False where onnxruntime must not plan memory ahead.
        narrow_integers: True where it computes 64-bit integers in 32 bits, without a word.
        recurrent: the recurrent operators of ONNX that it runs.
        recurrent_opset: the newest opset whose recurrent operators it has kernels for, if there is
            a newer one: opset 22 has them anew, unchanged for float32.
    """

    short: str
    name: str
    get: str
    plugin: str = ""
    precision: str = "float32"
    full_precision: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    capture: str = ""
    memory_pattern: bool = True
    narrow_integers: bool = False
    recurrent: tuple[str, ...] = ()
    recurrent_opset: int | None = None


_ALL = ("RNN", "GRU", "LSTM")

KNOWN = (
    Provider("cpu", CPU, "install onnxruntime", recurrent=_ALL),
    Provider(
        "cuda",
        CUDA,
        "install onnxruntime-gpu in place of onnxruntime, on a machine with an NVIDIA GPU",
        precision="float32; TF32, onnxruntime's default, is switched off",
        full_precision={"use_tf32": "0"},
        # TF32 has 10 bits of mantissa: no float32 network passes its proof in it.
        defaults={"use_tf32": "0", "enable_cuda_graph": "0"},
        capture="enable_cuda_graph",
        recurrent=_ALL,
        recurrent_opset=21,
    ),
    Provider(
        "tensorrt",
        "TensorrtExecutionProvider",
        "install onnxruntime-gpu in place of onnxruntime, and TensorRT",
        precision="TF32 where the GPU has it; the environment variable NVIDIA_TF32_OVERRIDE=0 "
        "switches it off",
        full_precision={"trt_fp16_enable": "0", "trt_int8_enable": "0"},
        defaults={
            "trt_fp16_enable": "0",
            "trt_int8_enable": "0",
            "trt_cuda_graph_enable": "0",
        },
        capture="trt_cuda_graph_enable",
        recurrent=_ALL,
    ),
    Provider(
        "tensorrt-rtx",
        "NvTensorRTRTXExecutionProvider",
        "pip install onnxruntime-ep-nv-tensorrt-rtx, on a machine with an NVIDIA RTX GPU",
        plugin="onnxruntime_ep_nv_tensorrt_rtx",
        precision="the tensors' own type; TF32 where the GPU has it",
        defaults={"enable_cuda_graph": "0"},
        capture="enable_cuda_graph",
        recurrent=_ALL,
    ),
    Provider(
        "openvino",
        OPENVINO,
        "pip install onnxruntime-ep-openvino, on a machine with a device that OpenVINO supports",
        plugin="onnxruntime_ep_openvino",
        precision="bfloat16 or float16 where the device has it",
        full_precision={"load_config": '{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}'},
        narrow_integers=True,
        recurrent=_ALL,
    ),
    Provider(
        "webgpu",
        WEBGPU,
        "pip install onnxruntime-ep-webgpu, on a machine with a GPU; or, on a driver that "
        "computes on the processor, set ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1",
        plugin="onnxruntime_ep_webgpu",
        defaults={"enableGraphCapture": "0"},
        capture="enableGraphCapture",
        recurrent=("GRU", "LSTM"),
        recurrent_opset=21,
    ),
    Provider(
        "coreml",
        "CoreMLExecutionProvider",
        "install onnxruntime on macOS, where it has this provider",
        precision="float16 on the Neural Engine, and on the GPU in the format NeuralNetwork",
        full_precision={"MLComputeUnits": "CPUOnly"},
    ),
    Provider(
        "directml",
        "DmlExecutionProvider",
        "install onnxruntime-directml in place of onnxruntime, on Windows",
        # Its documentation asks for both: no memory pattern, and one operator after the other.
        memory_pattern=False,
        recurrent=_ALL,
    ),
    Provider(
        "qnn",
        "QNNExecutionProvider",
        "pip install onnxruntime-qnn, on a machine with a Qualcomm processor",
        plugin="onnxruntime_qnn",
        precision="float16 on the HTP",
        full_precision={"enable_htp_fp16_precision": "0"},
        recurrent=("LSTM",),
    ),
    Provider(
        "xnnpack",
        "XnnpackExecutionProvider",
        "use an onnxruntime that was built with XNNPACK, such as the mobile ones",
    ),
)

_BY_NAME = {provider.name: provider for provider in KNOWN}
_FULL_NAMES = {provider.short: provider.name for provider in KNOWN}


def full_name(provider: str) -> str:
    """Onnxruntime's name of a provider that is called by its short name; others as they are."""
    return _FULL_NAMES.get(provider, provider)


def about(name: str) -> Provider:
    """What is known of the provider with this full name; of others only that it exists."""
    names = ", ".join(f"'{provider.short}'" for provider in KNOWN)
    others = f"use {names}, 'auto', the path of a plugin library, or one of the available names"
    return _BY_NAME.get(name) or Provider(name, name, others)


def missing_precision(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options that ask for float32 and that `options`, those in effect, do not have."""
    wanted = about(name).full_precision
    return {key: value for key, value in wanted.items() if options.get(key) != value}
