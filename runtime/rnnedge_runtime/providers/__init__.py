"""Execution providers: chosen by a short name, checked, and proved after the session exists.

`table` says what is known of each, `plugins` registers those that come as a library, `session`
opens sessions, `assignment` proves who runs what, `memory` says where a session's tensors live.
"""

from rnnedge_runtime.providers.assignment import Placed, check_assignment, count_nodes
from rnnedge_runtime.providers.memory import Memory
from rnnedge_runtime.providers.plugins import available, register_installed
from rnnedge_runtime.providers.session import Opened, SessionRequest, open_session
from rnnedge_runtime.providers.table import (
    CPU,
    CUDA,
    KNOWN,
    OPENVINO,
    WEBGPU,
    Provider,
    about,
    full_name,
    missing_precision,
)

__all__ = [
    "CPU",
    "CUDA",
    "KNOWN",
    "OPENVINO",
    "WEBGPU",
    "Memory",
    "Opened",
    "Placed",
    "Provider",
    "SessionRequest",
    "about",
    "available",
    "check_assignment",
    "count_nodes",
    "full_name",
    "missing_precision",
    "open_session",
    "register_installed",
]
