"""Sessions: opened on exactly the provider asked for, and proved to run there."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort

from rnnedge_runtime.errors import InputError, ModelFileError, ProviderError
from rnnedge_runtime.providers.assignment import RECORD_KEY, Placed, prove
from rnnedge_runtime.providers.plugins import (
    available,
    devices_of,
    is_library,
    pick_device,
    register_library,
    register_package,
)
from rnnedge_runtime.providers.table import CPU, CUDA, about, full_name

logger = logging.getLogger(__name__)

AUTO = "auto"
_AUTO_ORDER = (CUDA, CPU)
"""What ``auto`` tries, one after the other, until one works.

Only providers that compute in float32 with the options set here, and whose package whoever installs
it installs for that: onnxruntime-gpu. All others are asked for by name: OpenVINO, CoreML, QNN and
TensorRT round otherwise, and a step of a small network on WebGPU takes many times as long as on the
CPU.
"""


@dataclass(frozen=True)
class SessionRequest:
    """What the caller of `load` asked for.

    Attributes:
        provider: a short name (`KNOWN`), onnxruntime's full name, the path of a plugin library, or
            ``auto``.
        threads: size of the pool that one run may use, the calling thread included.
        provider_options: handed to the provider as they are, before the defaults.
        flush_denormals: treat denormal numbers as zero.
        provider_library: the plugin library that has the provider, by path.
    """

    provider: str = "cpu"
    threads: int = 1
    provider_options: Mapping[str, str] = field(default_factory=dict)
    flush_denormals: bool = False
    provider_library: str | None = None


class Opened(NamedTuple):
    """A session, and what is known of it.

    Attributes:
        session: onnxruntime's.
        provider: onnxruntime's name of the provider that runs the nodes that matter.
        options: of the provider, the defaults included.
        assignment: every node, and who runs it.
    """

    session: ort.InferenceSession
    provider: str
    options: dict[str, str]
    assignment: tuple[Placed, ...]


def open_session(source: str | bytes, request: SessionRequest) -> Opened:
    """Opens one session on exactly the provider asked for.

    Args:
        source: the model file's path or its bytes.
        request: provider, threads and options.

    Raises:
        ProviderError: the provider is absent, or did not take the nodes that matter.
        ModelFileError: onnxruntime cannot load the model.
        InputError: `threads` is not a positive number, or an option makes no sense.
    """
    if request.threads < 1:
        raise InputError(
            f"threads must be 1 or more, got {request.threads}",
            where="load(threads=...)",
            fix="give the number of cores that one run may use; 1 suits most streams",
        )
    if request.provider != AUTO:
        return _open(source, _find(request))
    if request.provider_options or request.provider_library:
        raise InputError(
            "options and a library belong to one provider, and 'auto' may choose another",
            where="load(provider='auto')",
            fix="name the provider",
        )
    return _open_first(source, request)


def _open_first(source: str | bytes, request: SessionRequest) -> Opened:
    for name in _AUTO_ORDER[:-1]:
        if name not in available():
            continue
        try:
            opened = _open(source, replace(request, provider=name))
        except ProviderError as error:
            logger.warning("provider 'auto': %s is built in but unusable: %s", name, error.what)
        else:
            logger.info("provider 'auto' chose %s", name)
            return opened
    logger.info("provider 'auto' chose %s", _AUTO_ORDER[-1])
    return _open(source, replace(request, provider=_AUTO_ORDER[-1]))


def _find(request: SessionRequest) -> SessionRequest:
    """The request with the provider's full name, its plugin library registered."""
    name = full_name(request.provider)
    if is_library(name):
        return _find_in(request, name, None)
    if request.provider_library is not None:
        return _find_in(request, request.provider_library, name)
    register_package(name)
    return replace(request, provider=name)


def _find_in(request: SessionRequest, library: str, name: str | None) -> SessionRequest:
    offered = register_library(library, name)
    if name is None and offered and all(n.startswith(f"{offered[0]}.") for n in offered[1:]):
        name = offered[0]  # the others are ways of its own, as OpenVINO's AUTO is
    if name not in offered:
        what = "this one" if name is None else repr(name)
        raise ProviderError(
            f"the plugin library does not offer {what} on this machine; it offers: "
            f"{', '.join(offered) or 'none, as it finds no device that it supports'}",
            where=library,
            fix="name one that it offers: provider=NAME, provider_library=PATH"
            if offered
            else "use a machine with a device that it supports, or provider='cpu'",
        )
    full = str(Path(library).resolve())
    return replace(request, provider=name, provider_library=full)


def _open(source: str | bytes, request: SessionRequest) -> Opened:
    provider = request.provider
    chosen = _provider_options(request)
    options = _session_options(request)
    arguments = _use_provider(request, options, chosen)
    try:
        session = ort.InferenceSession(source, options, enable_fallback=0, **arguments)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise _load_error(error, source, provider) from error
    # Without this, a failing run() rebuilds the session on another provider, without a word.
    session.disable_fallback()
    return Opened(session, provider, chosen, prove(session, provider))


def _provider_options(request: SessionRequest) -> dict[str, str]:
    known = about(request.provider)
    given = {key: str(value) for key, value in request.provider_options.items()}
    if given.get(known.capture, "0").lower() not in ("0", "false"):
        raise InputError(
            "a captured graph reads and writes the same memory in every run, and a stream's state "
            "moves between two",
            where=f"provider_options, {known.capture!r}",
            fix=f"leave {known.capture!r} out",
        )
    return {**known.defaults, **given}


def _session_options(request: SessionRequest) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = about(request.provider).memory_pattern
    # Every allocation of a small step fits the system's allocator better than an arena.
    options.enable_cpu_mem_arena = False
    # Errors only: what onnxruntime warns of at load concerns whoever exported the model.
    options.log_severity_level = 3
    # A spinning worker burns a core (and a battery) between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if request.flush_denormals:
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
    options.add_session_config_entry(RECORD_KEY, "1")
    return options


def _use_provider(
    request: SessionRequest, options: ort.SessionOptions, chosen: Mapping[str, str]
) -> dict[str, object]:
    """Adds a plugin provider to `options`, or returns the arguments that name a built-in one."""
    provider = request.provider
    devices = devices_of(provider, request.provider_library)
    # Once a plugin is registered, it is named among the built-in ones, and is none.
    if provider in ort.get_available_providers() and (provider == CPU or not devices):
        return {"providers": [provider], "provider_options": [dict(chosen)]}
    if not devices:
        raise ProviderError(
            f"execution provider {provider!r} is not available here; available: "
            f"{', '.join(available())}",
            where="load(provider=...)",
            fix=f"{about(provider).get}; or use provider='cpu'",
        )
    device, others = pick_device(devices, chosen)
    options.add_provider_for_devices([device], others)
    return {}


def _opens_on_cpu(source: str | bytes) -> bool:
    """Whether the model is in order, and the fault was the provider's."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(source, options, providers=[CPU])
    except Exception:  # onnxruntime's exceptions share no base class
        return False
    return True


def _load_error(error: Exception, source: str | bytes, provider: str) -> Exception:
    where = source if isinstance(source, str) else "the bytes given"
    reason = " ".join(str(error).split())
    if provider != CPU and _opens_on_cpu(source):
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
