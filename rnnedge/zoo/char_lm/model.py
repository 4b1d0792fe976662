"""The network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from rnnedge.zoo.char_lm.vocabulary import METADATA_KEY, Vocabulary
from rnnedge_runtime.errors import InputError

Cell: TypeAlias = Literal["rnn", "gru", "lstm"]
State: TypeAlias = Tensor | tuple[Tensor, Tensor]
"""Hidden state [layers, batch, hidden]; for an LSTM, hidden and cell state."""

_LAYERS: dict[str, type[nn.RNN | nn.GRU | nn.LSTM]] = {
    "rnn": nn.RNN,
    "gru": nn.GRU,
    "lstm": nn.LSTM,
}


@dataclass(frozen=True)
class CharLMConfig:
    """The shape of a `CharLM`.

    Attributes:
        cell: ``rnn`` (Elman, tanh), ``gru`` or ``lstm``.
        layers: recurrent layers, each reading the hidden states of the one below.
        hidden: units of each layer.
        embedding: features of a character; None for one-hot input.

    Raises:
        InputError: a size is not positive, or the cell is none of these.
    """

    cell: Cell = "lstm"
    layers: int = 1
    hidden: int = 192
    embedding: int | None = 64

    def __post_init__(self) -> None:
        if self.cell not in get_args(Cell):
            raise InputError(
                f"unknown cell {self.cell!r}", where="cell", fix=f"one of {get_args(Cell)}"
            )
        for name in ("layers", "hidden", "embedding"):
            size = getattr(self, name)
            if name == "embedding" and size is None:
                continue
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise InputError(
                    f"a positive number was expected, got {size!r}",
                    where=name,
                    fix=f"give at least 1 for {name}",
                )

    def __str__(self) -> str:
        fed = "one-hot input" if self.embedding is None else f"embedding {self.embedding}"
        layers = f"{self.layers} layer{'s' if self.layers > 1 else ''}"
        return f"{self.cell}, {layers} of {self.hidden}, {fed}"


class CharLM(nn.Module):
    r"""Predicts the next character from all characters so far.

    With x_t the embedding (or the one-hot vector) of character t, a layer computes

    * ``rnn`` (Elman, 1990): h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
    * ``gru`` (Cho et al., arXiv:1406.1078; reset gate after the product, as in torch and cuDNN):
      r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr),
      z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz),
      n_t = tanh(W_in x_t + b_in + r_t ⊙ (W_hn h_{t-1} + b_hn)),
      h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}
    * ``lstm`` (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000):
      i_t, f_t, o_t = sigmoid(W_i. x_t + b_i. + W_h. h_{t-1} + b_h.) for each gate,
      g_t = tanh(W_ig x_t + b_ig + W_hg h_{t-1} + b_hg),
      c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t,
      h_t = o_t ⊙ tanh(c_t)

    and the logits of character t + 1 are W_o h_t + b_o.

    Attributes:
        vocabulary: what the tokens mean.
        config: the network's shape.
        rnnedge_metadata: what the exporter copies into the ONNX file, so that the file alone can
            turn text into tokens and back.
    """

    def __init__(self, vocabulary: Vocabulary, config: CharLMConfig | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.config = config = config or CharLMConfig()
        self.rnnedge_metadata = {METADATA_KEY: vocabulary.to_json()}
        size = len(vocabulary)
        features = config.embedding or size
        self.embedding = nn.Embedding(size, features) if config.embedding else None
        self.rnn = _LAYERS[config.cell](features, config.hidden, config.layers, batch_first=True)
        self.output = nn.Linear(config.hidden, size)

    def forward(self, tokens: Tensor, hidden: State | None = None) -> tuple[Tensor, State]:
        """Reads characters and predicts, after each, the next one.

        Args:
            tokens: int64 [batch, time].
            hidden: the state before the first character; None for zeros.

        Returns:
            Logits [batch, time, vocabulary], and the state after the last character.
        """
        outputs, hidden = self.rnn(self.features(tokens), hidden)
        return self.output(outputs), hidden

    def features(self, tokens: Tensor) -> Tensor:
        """What the recurrent layers see: int64 [batch, time] -> [batch, time, features]."""
        if self.embedding is not None:
            embedded: Tensor = self.embedding(tokens)
            return embedded
        one_hot = functional.one_hot(tokens, len(self.vocabulary))
        return one_hot.to(self.output.weight.dtype)

    @property
    def parameter_count(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters())


def new_model(vocabulary: Vocabulary, config: CharLMConfig, seed: int) -> CharLM:
    """An untrained model; the same seed gives the same weights. torch's own seed is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CharLM(vocabulary, config)
