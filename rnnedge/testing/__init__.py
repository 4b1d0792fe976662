"""Parity in a project's own tests: `assert_parity`, and the pytest fixture ``rnnedge_parity``.

Importing it costs nothing: torch and onnxruntime are imported by the first assertion.
"""

from __future__ import annotations

from rnnedge.testing.assertion import ParityError, assert_parity

__all__ = ["ParityError", "assert_parity"]
