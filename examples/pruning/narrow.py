"""Hidden units taken out of recurrent layers: which have the least effect, and the network without.

The effect of a unit is that of all weights that belong to it, to first order: the square of the sum
of weight times gradient (Molchanov et al., arXiv:1906.10771, equation 8), over batches of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor
from torch.nn import functional

from rnnedge.zoo.char_lm.model import CharLM, State
from rnnedge.zoo.char_lm.streams import Streams, chunks


def effects(model: CharLM, streams: Streams, unroll: int, batches: int) -> list[Tensor]:
    """The effect of each hidden unit on the loss.

    Args:
        model: its weights stay as they are.
        streams: of text, side by side.
        unroll: characters of a batch.
        batches: how many are averaged.

    Returns:
        For each layer ``[hidden]``; larger is more.
    """
    hidden: State | None = None
    sums = [torch.zeros(model.config.hidden) for _ in range(model.config.layers)]
    for chunk in islice(chunks(streams, unroll), batches):
        model.zero_grad()
        logits, hidden = model(torch.from_numpy(chunk.inputs), hidden)
        targets = torch.from_numpy(chunk.targets)
        functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        hidden = tuple(h.detach() for h in hidden) if isinstance(hidden, tuple) else hidden.detach()
        for layer, total in enumerate(sums):
            total += _of_batch(model, layer)
    model.zero_grad()
    return sums


def without(model: CharLM, kept: Sequence[Tensor]) -> CharLM:
    """The network with some hidden units alone.

    Args:
        model: not changed.
        kept: for each layer the units that stay, as many in each; in ascending order.

    Returns:
        A new network, whose function is the same if the units that went had no effect.
    """
    narrow = CharLM(model.vocabulary, replace(model.config, hidden=len(kept[0])))
    old, new = model.state_dict(), narrow.state_dict()
    for name, value in new.items():
        value.copy_(_narrowed(name, old[name], model.config.hidden, kept))
    return narrow.train(model.training)


def least(effects_of: Sequence[Tensor], hidden: int) -> list[Tensor]:
    """The `hidden` units of each layer with the largest effects, in ascending order."""
    return [torch.topk(effect, hidden).indices.sort().values for effect in effects_of]


def _narrowed(name: str, value: Tensor, hidden: int, kept: Sequence[Tensor]) -> Tensor:
    part, _, parameter = name.partition(".")
    if part == "embedding":
        return value
    if part == "output":
        return value[:, kept[-1]] if parameter == "weight" else value
    layer = int(parameter.rpartition("_l")[2])
    # Rows are gates, one block of `hidden` after the other, in whatever order the cell has them.
    gates = len(value) // hidden
    rows = torch.cat([gate * hidden + kept[layer] for gate in range(gates)])
    value = value[rows]
    if parameter.startswith("weight_hh"):
        return value[:, kept[layer]]
    if parameter.startswith("weight_ih") and layer:
        return value[:, kept[layer - 1]]
    return value


def _of_batch(model: CharLM, layer: int) -> Tensor:
    """``(sum of weight * gradient)^2`` over the weights of each unit ``[hidden]``."""
    hidden, named = model.config.hidden, dict(model.rnn.named_parameters())
    total = torch.zeros(hidden)
    for name in (f"weight_ih_l{layer}", f"weight_hh_l{layer}", f"bias_ih_l{layer}"):
        total += _by_gradient(named[name]).reshape(-1, hidden, *_rest(named[name])).sum((0, 2))
    total += _by_gradient(named[f"weight_hh_l{layer}"]).sum(0)
    above = named.get(f"weight_ih_l{layer + 1}", model.output.weight)
    total += _by_gradient(above).sum(0)
    return total.square()


def _by_gradient(weight: Tensor) -> Tensor:
    assert weight.grad is not None  # noqa: S101 - every weight takes part
    return weight.detach() * weight.grad


def _rest(weight: Tensor) -> tuple[int, ...]:
    return (weight[0].numel(),)
