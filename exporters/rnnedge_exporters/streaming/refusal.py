"""What is told when a network is not a stream: the reason, the module, the user's line."""

from __future__ import annotations

import re
from pathlib import Path

from torch.fx import Node

from rnnedge_exporters.capture.loops.module import ROLLED
from rnnedge_exporters.errors import StreamingError

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+\n\s*(?P<code>.*)')
SEQUENCE_MODE = "export it with --mode sequence to run whole sequences only"


def module_path(node: Node) -> str:
    """The path of the innermost module that `node` was traced in; empty for the root."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]).removeprefix(f"{ROLLED}.") if paths else ""


def module_class(node: Node) -> str:
    """The class name of that module."""
    stack = node.meta.get("nn_module_stack") or {}
    classes = [kind for _, kind in stack.values()]
    name = classes[-1] if classes else ""
    return (name if isinstance(name, str) else name.__name__).rpartition(".")[2]


def is_layer_of_torch(node: Node) -> bool:
    """Whether the innermost module that `node` was traced in is one of torch's own layers."""
    stack = node.meta.get("nn_module_stack") or {}
    classes = [kind for _, kind in stack.values()]
    name = classes[-1] if classes else ""
    full = name if isinstance(name, str) else f"{name.__module__}.{name.__qualname__}"
    return full.startswith("torch.nn.modules.")


def describe(node: Node) -> str:
    """Module path, class and source line of `node`, as far as they are known."""
    path, kind = module_path(node), module_class(node)
    parts = [f"module {path!r} ({kind})" if path else f"the module itself ({kind})"]
    if line := user_line(node):
        parts.append(line)
    parts.append(f"operator {node.target}")
    return ", ".join(parts)


def refuse(node: Node, reason: str, fix: str) -> StreamingError:
    """The error to raise."""
    return StreamingError(f"this cannot stream: {reason}", where=describe(node), fix=fix)


def user_line(node: Node) -> str:
    """The innermost line that is not torch's own: ``file.py:12: code``; may be empty."""
    frames = list(_FRAME.finditer(node.meta.get("stack_trace") or ""))
    own = [frame for frame in frames if not _is_of_torch(frame["file"].replace("\\", "/"))]
    if not own:
        return ""
    frame = own[-1]
    return f"{Path(frame['file']).name}:{frame['line']}: {frame['code'].strip()}"


def _is_of_torch(file: str) -> bool:
    """Whether a line is in torch's own layers, or in code that the tracer wrote."""
    return "/torch/nn/" in file or file.startswith("<")
