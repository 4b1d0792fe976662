"""The machine and its packages, for a bug report: no paths, no host name, no user name."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rnnedge.report.tables import new_list
from rnnedge.report.units import bytes_text

_PACKAGES = (
    "rnnedge",
    "rnnedge-runtime",
    "rnnedge-exporters",
    "numpy",
    "onnx",
    "torch",
    "onnxscript",
    "typer",
)
_RUNTIME_PREFIX = "onnxruntime"  # onnxruntime-gpu, -openvino and the plugins are other packages
_FLAGS = (
    # x86
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16"),
    # ARM; `asimd` is NEON on 64 bits, `asimddp` its int8 dot product
    *("neon", "asimd", "asimddp", "asimdhp", "i8mm", "bf16", "sve", "sve2"),
)
"""CPU features that decide which kernels onnxruntime uses."""


@dataclass(frozen=True)
class Diagnosis:
    """What `rnnedge doctor` prints.

    Attributes:
        packages: versions by name; None for one that is not installed.
        cpu_usable: cores this process may run on.
        providers: what can be asked for, plugins included.
        idle_plugins: why a plugin that is installed cannot be used, by package.
        problem: why the check failed, None if it passed.
    """

    python: str
    packages: dict[str, str | None]
    os: str
    cpu: str
    cpu_features: tuple[str, ...]
    cpu_cores: int
    cpu_usable: int
    memory_bytes: int | None
    providers: tuple[str, ...]
    idle_plugins: dict[str, str]
    problem: str | None

    @property
    def passed(self) -> bool:
        """Whether a model streams right on this machine."""
        return self.problem is None

    def to_dict(self) -> Mapping[str, Any]:
        """Every fact, and the verdict."""
        return asdict(self) | {"passed": self.passed}

    def to_rich(self) -> RenderableType:
        """One line per fact, the verdict last."""
        table = new_list()
        table.add_row("python", Text(self.python))
        for name, version in self.packages.items():
            table.add_row(name, Text(version or "not installed", style="" if version else "dim"))
        table.add_row("os", Text(self.os))
        table.add_row("cpu", Text(self.cpu))
        table.add_row("features", Text(" ".join(self.cpu_features) or "unknown"))
        table.add_row("cores", f"{self.cpu_cores}, usable by this process: {self.cpu_usable}")
        memory = "unknown" if self.memory_bytes is None else bytes_text(self.memory_bytes)
        table.add_row("memory", memory)
        table.add_row("providers", Text(", ".join(self.providers) or "none"))
        for package, problem in self.idle_plugins.items():
            table.add_row("", Text(f"{package} is of no use here: {problem}", style="dim"))
        return Group(table, self._verdict())

    def to_line(self) -> str:
        """The verdict."""
        return "ok" if self.passed else f"not ok: {self.problem}"

    def _verdict(self) -> Text:
        if self.passed:
            return Text("ok: a GRU streams, and equals its formula", style="green")
        return Text(f"not ok: {self.problem}", style="bold red")


def diagnose() -> Diagnosis:
    """Looks at the machine and streams a tiny model on it."""
    return Diagnosis(**machine_facts(), problem=_problem())


def machine_facts() -> dict[str, Any]:
    """What a measurement says of where it was made: the fields of `Diagnosis`, without a verdict.

    It makes the plugins known that are installed; ask after what is timed.
    """
    cpu, features = _cpu()
    providers, idle_plugins = _providers()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _packages(),
        "os": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cpu": cpu,
        "cpu_features": features,
        "cpu_cores": os.cpu_count() or 1,
        "cpu_usable": usable_cores(),
        "memory_bytes": _memory_bytes(),
        "providers": providers,
        "idle_plugins": idle_plugins,
    }


def _packages() -> dict[str, str | None]:
    """Versions from the installed metadata: importing torch would take seconds, or fail."""
    installed = {
        name.lower(): distribution.version
        for distribution in metadata.distributions()
        # A half-removed package has metadata without a name.
        if (name := distribution.metadata["Name"])
    }
    runtimes = sorted(name for name in installed if name.startswith(_RUNTIME_PREFIX))
    return {name: installed.get(name) for name in (*_PACKAGES, *(runtimes or [_RUNTIME_PREFIX]))}


def _problem() -> str | None:
    try:
        from rnnedge.report.selfcheck import check_streaming
    except ImportError as error:
        return f"module {error.name!r} cannot be imported"
    return check_streaming()


def _providers() -> tuple[tuple[str, ...], dict[str, str]]:
    try:
        import onnxruntime  # noqa: F401 - alone, so that nothing is left half imported
    except ImportError:
        return (), {}
    from rnnedge_runtime.providers import available, register_installed

    idle = register_installed()
    return tuple(available()), idle


def usable_cores() -> int:
    """How many cores this process may run on."""
    # Containers and taskset limit it; macOS and Windows cannot tell.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _cpu() -> tuple[str, tuple[str, ...]]:
    """The model's name, and those of its features that matter."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine(), ()
    facts: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip().lower(), value.strip())
    present = set((facts.get("flags") or facts.get("features") or "").split())
    name = facts.get("model name") or facts.get("hardware") or platform.machine()
    return name, tuple(flag for flag in _FLAGS if flag in present)
