"""Recurrences of recent years, each one layer, small enough to read.

All take [batch, time, inputs] and give [batch, time, hidden] and their state. Those that are linear
in their state train with a parallel scan over time (`scans.parallel_scan`); in evaluation mode, and
so in the exported file, they step frame by frame. Both are the same function, which tests compare
in float64.
"""

from rnnedge.zoo.modern.cfc import CfC
from rnnedge.zoo.modern.gla import GatedLinearAttention
from rnnedge.zoo.modern.lru import LRU
from rnnedge.zoo.modern.mingru import MinGRU
from rnnedge.zoo.modern.minlstm import MinLSTM
from rnnedge.zoo.modern.slstm import SLSTM
from rnnedge.zoo.modern.ssm import SelectiveSSM

__all__ = ["LRU", "SLSTM", "CfC", "GatedLinearAttention", "MinGRU", "MinLSTM", "SelectiveSSM"]
