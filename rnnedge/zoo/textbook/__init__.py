"""The recurrent cells of the textbooks, written from their formulas.

Where a formula has two forms, the books' is here and not torch's: `LSTM` multiplies the
concatenation ``[h, x]``, and `GRU` applies its reset gate before the product. `elman` has the
simple recurrent network and `bptt` its gradients by hand. Every module is a plain loop over time in
PyTorch; exported, it is one ``RNN``, ``LSTM`` or ``GRU`` operator of ONNX.
"""

from rnnedge.zoo.textbook.bptt import Gradients, backward, loss
from rnnedge.zoo.textbook.elman import Elman, ElmanNetwork
from rnnedge.zoo.textbook.gru import GRU
from rnnedge.zoo.textbook.lstm import LSTM

__all__ = ["GRU", "LSTM", "Elman", "ElmanNetwork", "Gradients", "backward", "loss"]
