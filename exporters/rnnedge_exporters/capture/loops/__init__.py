"""A Python loop over time, unrolled by the tracer, becomes one recurrence again.

`normal` brings an unrolled graph into a form in which iterations look alike, `find` finds the loops
in it, `roll` writes them anew, and `module` makes a module of the result.
"""

from rnnedge_exporters.capture.loops.module import rolled

__all__ = ["rolled"]
