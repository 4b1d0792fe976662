"""Contracts for ONNX files that others made.

``adopt`` names the states that a file has; ``lift`` gives states to a file that has none. Both run
what they made beside the original, and give nothing when the two differ.
"""

from rnnedge.adoption.adopt import adopt
from rnnedge.adoption.errors import AdoptionError
from rnnedge.adoption.lifting.lift import LiftOptions, lift
from rnnedge.adoption.plan import AdoptOptions
from rnnedge.adoption.result import Adopted, Check

__all__ = ["AdoptOptions", "Adopted", "AdoptionError", "Check", "LiftOptions", "adopt", "lift"]
