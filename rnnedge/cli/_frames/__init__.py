"""Frames from files and streams, chunk by chunk, and back: what `rnnedge run` reads and writes.

========== ============================================ =======================================
kind       as input                                     as output
========== ============================================ =======================================
``.npy``   mapped into memory, so its size is no matter written as results come
``.npz``   one array per input of the model             one array per output of the model
``.wav``   each channel is one stream of the batch      32-bit float, for outputs that are samples
``-``      raw little-endian frames on stdin            raw little-endian frames, flushed per chunk
========== ============================================ =======================================

A batch axis of 1 may be left out of an array; then the results have none either.
"""

from rnnedge.cli._frames.ports import Arrays, Source, entries_per_frame
from rnnedge.cli._frames.sink import Sink, open_sink
from rnnedge.cli._frames.source import open_source

__all__ = ["Arrays", "Sink", "Source", "entries_per_frame", "open_sink", "open_source"]
