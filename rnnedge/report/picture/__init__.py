"""A model file as a picture: modules as boxes, states as loops, delays on edges.

`draw` does all of it. The way there: `operators` says what an ONNX node is to a person, `units` and
`grouping` which nodes make one box, `trace` follows the data from box to box, `states` places the
loops, `build` puts it together, and `mermaid`, or `layout` and `svg`, write it down.
"""

from rnnedge.report.picture.draw import Drawing, check_kind, draw

__all__ = ["Drawing", "check_kind", "draw"]
