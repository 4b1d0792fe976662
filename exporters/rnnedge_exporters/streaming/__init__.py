"""From a whole-sequence program to one that runs in chunks, one pass per file.

`clocks` says how each tensor runs with time and refuses what cannot stream; the passes then take
what has to be carried from chunk to chunk out of the graph: arguments and results named as states.
"""

from rnnedge_exporters.streaming.program import StreamOutput, StreamProgram, StreamState
from rnnedge_exporters.streaming.stream import to_sequence, to_stream

__all__ = ["StreamOutput", "StreamProgram", "StreamState", "to_sequence", "to_stream"]
