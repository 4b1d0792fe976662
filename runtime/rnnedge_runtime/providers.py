"""Execution providers: chosen by a short name, checked, and proved after the session exists."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnxruntime as ort

from rnnedge_runtime.errors import InputError, ModelFileError, ProviderError

logger = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

_SHORT_NAMES = {"cpu": CPU, "cuda": CUDA, "openvino": OPENVINO}
_OPENVINO_PLUGIN = "onnxruntime_ep_openvino"
_RECURRENT_OPS = frozenset({"RNN", "GRU", "LSTM", "Scan", "DynamicQuantizeLSTM"})
_RECORD_ASSIGNMENT = "session.record_ep_graph_assignment_info"


@dataclass(frozen=True)
class SessionRequest:
    """What the caller of `load` asked for.

    Attributes:
        provider: ``cpu``, ``cuda``, ``openvino``, ``auto``, or onnxruntime's full name.
        threads: size of the pool that one run may use, the calling thread included.
        provider_options: handed to the provider as they are.
        flush_denormals: treat denormal numbers as zero.
    """

    provider: str = "cpu"
    threads: int = 1
    provider_options: Mapping[str, str] = field(default_factory=dict)
    flush_denormals: bool = False


def open_session(source: str | bytes, request: SessionRequest) -> tuple[ort.InferenceSession, str]:
    """Opens one session on exactly the provider asked for.

    Args:
        source: the model file's path or its bytes.
        request: provider, threads and options.

    Returns:
        The session and onnxruntime's name of the provider that runs the recurrent nodes.

    Raises:
        ProviderError: the provider is absent, or did not take the recurrent nodes.
        ModelFileError: onnxruntime cannot load the model.
        InputError: `threads` is not a positive number.
    """
    if request.threads < 1:
        raise InputError(
            f"threads must be 1 or more, got {request.threads}",
            where="load(threads=...)",
            fix="give the number of cores that one run may use; 1 suits most streams",
        )
    if request.provider != "auto":
        name = _SHORT_NAMES.get(request.provider, request.provider)
        return _open(source, name, request), name
    if CUDA in ort.get_available_providers():
        try:
            session = _open(source, CUDA, request)
        except ProviderError as error:
            logger.warning("provider 'auto': CUDA is built in but unusable: %s", error.what)
        else:
            logger.info("provider 'auto' chose %s", CUDA)
            return session, CUDA
    logger.info("provider 'auto' chose %s", CPU)
    return _open(source, CPU, request), CPU


def device_of(provider: str, options: Mapping[str, str]) -> tuple[str, int]:
    """Where a provider keeps its tensors: onnxruntime's device name and device id."""
    if provider == CUDA:
        return "cuda", int(options.get("device_id", 0))
    return "cpu", 0


def _open(source: str | bytes, provider: str, request: SessionRequest) -> ort.InferenceSession:
    options = _session_options(request)
    arguments = _use_provider(provider, options, request.provider_options)
    try:
        session = ort.InferenceSession(source, options, enable_fallback=0, **arguments)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise _load_error(error, source, provider) from error
    # Without this, a failing run() rebuilds the session on another provider, without a word.
    session.disable_fallback()
    _prove(session, provider)
    return session


def _session_options(request: SessionRequest) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Every allocation of a small step fits the system's allocator better than an arena.
    options.enable_cpu_mem_arena = False
    # Errors only: what onnxruntime warns of at load concerns whoever exported the model.
    options.log_severity_level = 3
    # A spinning worker burns a core (and a battery) between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if request.flush_denormals:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry(_RECORD_ASSIGNMENT, "1")
    return options


def _use_provider(
    provider: str, options: ort.SessionOptions, provider_options: Mapping[str, str]
) -> dict[str, object]:
    """Adds a plugin provider to `options`, or returns the arguments that name a built-in one."""
    chosen = {key: str(value) for key, value in provider_options.items()}
    if provider == OPENVINO:
        _register_openvino()
    devices = [device for device in _plugin_devices() if device.ep_name == provider]
    # Once a plugin is registered, it is named among the built-in ones, and is none.
    if provider in ort.get_available_providers() and (provider == CPU or not devices):
        return {"providers": [provider], "provider_options": [chosen]}
    if not devices:
        raise ProviderError(
            f"execution provider {provider!r} is not available here; available: "
            f"{', '.join(available())}",
            where="load(provider=...)",
            fix=_how_to_get(provider),
        )
    options.add_provider_for_devices(devices[:1], chosen)
    return {}


def available() -> list[str]:
    """Onnxruntime's names of the providers that can be asked for, plugins included."""
    plugins = {device.ep_name for device in _plugin_devices()}
    return sorted({*ort.get_available_providers(), *plugins})


def _plugin_devices() -> list[ort.OrtEpDevice]:
    return list(ort.get_ep_devices())


def _register_openvino() -> None:
    """Makes the plugin of the package ``onnxruntime-ep-openvino`` known, if it is installed."""
    if any(device.ep_name == OPENVINO for device in _plugin_devices()):
        return
    try:
        plugin = importlib.import_module(_OPENVINO_PLUGIN)
        ort.register_execution_provider_library("rnnedge.openvino", plugin.get_library_path())
    except ImportError:
        return
    except Exception as error:  # onnxruntime's exceptions share no base class
        if "already registered" not in str(error):
            raise ProviderError(
                f"the OpenVINO plugin cannot be loaded: {error}",
                where=f"package {_OPENVINO_PLUGIN}",
                fix="install a release of onnxruntime-ep-openvino that fits this onnxruntime",
            ) from error


def _how_to_get(provider: str) -> str:
    if provider == OPENVINO:
        return (
            "pip install onnxruntime-ep-openvino, on a machine with a device that OpenVINO "
            "supports; or use provider='cpu'"
        )
    if provider == CUDA:
        return "install onnxruntime-gpu in place of onnxruntime, or use provider='cpu'"
    return "use 'cpu', 'cuda', 'openvino', 'auto', or one of the available names"


def _prove(session: ort.InferenceSession, provider: str) -> None:
    """Raises ProviderError unless `provider` really took the recurrent nodes."""
    if provider not in session.get_providers():
        raise ProviderError(
            f"onnxruntime opened the model without {provider}, on "
            f"{', '.join(session.get_providers())}",
            where="the session's list of providers",
            fix=_how_to_get(provider),
        )
    if hasattr(session, "get_provider_graph_assignment_info"):
        check_assignment(
            provider,
            (
                (part.ep_name, node.op_type, node.name)
                for part in session.get_provider_graph_assignment_info()
                for node in part.get_nodes()
            ),
        )


def check_assignment(provider: str, nodes: Iterable[tuple[str, str, str]]) -> None:
    """Checks onnxruntime's record of which provider took which node.

    Args:
        provider: onnxruntime's name of the provider asked for.
        nodes: (provider, operator type, node name) of every node.

    Raises:
        ProviderError: a recurrent node runs elsewhere; or, in a model without any, every node.
    """
    placed = list(nodes)
    recurrent = [node for node in placed if node[1] in _RECURRENT_OPS]
    astray = [node for node in recurrent if node[0] != provider]
    if not recurrent and placed and all(node[0] != provider for node in placed):
        astray = placed
    if astray:
        owner, op_type, name = astray[0]
        raise ProviderError(
            f"{provider} did not take {len(astray)} of the {len(recurrent or placed)} nodes that "
            f"matter: {op_type} went to {owner}",
            where=f"node {name!r}" if name else f"node of type {op_type}",
            fix=f"run on provider={owner!r}, or export a form that {provider} supports",
        )


def _load_error(error: Exception, source: str | bytes, provider: str) -> Exception:
    where = source if isinstance(source, str) else "the bytes given"
    reason = " ".join(str(error).split())
    if type(error).__name__ == "EPFail" or (provider != CPU and isinstance(error, RuntimeError)):
        return ProviderError(
            f"{provider} failed while it was set up: {reason}",
            where=where,
            fix="check the provider's driver and provider_options, or use provider='cpu'",
        )
    return ModelFileError(
        f"onnxruntime cannot load the model: {reason}",
        where=where,
        fix="copy the file again with its external data beside it; if it is intact, export it "
        "with an opset and operators that this onnxruntime supports",
    )
