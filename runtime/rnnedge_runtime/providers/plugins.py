"""Plugin libraries: registered once in the process, by package or by path."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from rnnedge_runtime.errors import ProviderError
from rnnedge_runtime.providers.table import KNOWN, about

_LIBRARY_SUFFIXES = {".so", ".dll", ".dylib"}

DEVICE_TYPE = "device_type"
"""The option that picks one of a plugin's devices: ``CPU``, ``GPU`` or ``NPU``."""


def available() -> list[str]:
    """Onnxruntime's names of the providers that can be asked for, plugins included."""
    plugins = {device.ep_name for device in _devices()}
    return sorted({*ort.get_available_providers(), *plugins})


def is_library(provider: str) -> bool:
    """Whether what was given for a provider's name is the path of a plugin library."""
    return Path(provider).suffix.lower() in _LIBRARY_SUFFIXES


def register_package(name: str) -> None:
    """Makes a provider known whose plugin comes as a Python package, if that is installed.

    Raises:
        ProviderError: it is installed and cannot be loaded.
    """
    package = about(name).plugin
    if not package or any(device.ep_name == name for device in _devices()):
        return
    try:
        library = importlib.import_module(package).get_library_path()
    except ImportError:
        return
    except Exception as error:  # what a package raises whose library is not where it should be
        raise _unusable(f"package {package}", error) from error
    _register(name, library)


def register_installed() -> dict[str, str]:
    """Makes all plugins known whose packages are installed.

    Returns:
        By package, as pip has it, why one of them cannot be used here; without any path.
    """
    problems = {}
    for known in KNOWN:
        if not known.plugin or importlib.util.find_spec(known.plugin) is None:
            continue
        try:
            register_package(known.name)
        except ProviderError:
            problem = "its library cannot be loaded"
        else:
            problem = "" if devices_of(known.name) else "it finds no device that it supports"
        if problem:
            problems[known.plugin.replace("_", "-")] = problem
    return problems


def register_library(library: str, name: str | None = None) -> list[str]:
    """Makes the providers of a plugin library known.

    Args:
        library: its path.
        name: the provider that the caller means, if it is known.

    Returns:
        Onnxruntime's names of those that it offers here, in its own order.

    Raises:
        ProviderError: there is no such file, or it cannot be loaded.
    """
    path = Path(library)
    if not path.is_file():
        raise ProviderError(
            "there is no such plugin library", where=library, fix="check the path of the library"
        )
    full = str(path.resolve())
    # Some plugins call their provider what they are registered as, and another copy of the library
    # may have the name already.
    if not devices_of(None, full) and not _register(name or path.stem, full):
        _register(full, full)
    return list(dict.fromkeys(device.ep_name for device in devices_of(None, full)))


def devices_of(name: str | None, library: str | None = None) -> list[ort.OrtEpDevice]:
    """The plugin devices of a provider, of a library (its full path), or of both."""
    return [
        device
        for device in _devices()
        if name in (None, device.ep_name) and (library is None or _library_of(device) == library)
    ]


def pick_device(
    devices: list[ort.OrtEpDevice], options: Mapping[str, str]
) -> tuple[ort.OrtEpDevice, dict[str, str]]:
    """One of a provider's devices, and the options that go to the provider.

    Args:
        devices: at least one.
        options: ``device_type`` picks the device and goes no further; the first one without it.

    Raises:
        ProviderError: there is no device of this type.
    """
    others = {key: value for key, value in options.items() if key != DEVICE_TYPE}
    wanted = options.get(DEVICE_TYPE)
    if wanted is None:
        return devices[0], others
    types = [device.device.type.name for device in devices]
    if wanted.upper() not in types:
        raise ProviderError(
            f"{devices[0].ep_name} has no device of type {wanted!r} here; it has: "
            f"{', '.join(dict.fromkeys(types))}",
            where=f"provider_options, {DEVICE_TYPE!r}",
            fix=f"give one that is there, or leave {DEVICE_TYPE!r} out",
        )
    return devices[types.index(wanted.upper())], others


def _devices() -> list[ort.OrtEpDevice]:
    """All that can compute: a virtual device only compiles for hardware that is elsewhere."""
    return [
        device
        for device in ort.get_ep_devices()
        if dict(device.device.metadata).get("is_virtual") != "1"
    ]


def _library_of(device: ort.OrtEpDevice) -> str | None:
    path = dict(device.ep_metadata).get("library_path")
    return None if path is None else str(Path(path).resolve())


def _register(name: str, library: str) -> bool:
    """Whether it is registered now; False if the name is taken."""
    try:
        ort.register_execution_provider_library(name, library)
    except Exception as error:  # onnxruntime's exceptions share no base class
        if "already registered" in str(error):
            return False
        raise _unusable(library, error) from error
    return True


def _unusable(where: str, error: Exception) -> ProviderError:
    return ProviderError(
        f"the plugin library cannot be loaded: {' '.join(str(error).split())}",
        where=where,
        fix="install the driver that it needs, or a release of it that fits this onnxruntime",
    )
