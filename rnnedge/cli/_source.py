"""The PyTorch module that a command acts on, from the options that name it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from torch import nn

    from rnnedge.benchmark import Against


def load_source(
    spec: str, arguments: list[str] | None, weights: Path | None, weights_key: str | None
) -> tuple[nn.Module, str | None]:
    """Builds the module, loads its weights, and puts it in evaluation mode.

    Args:
        spec: ``model.py:factory`` or ``package.module:factory``.
        arguments: ``key=value`` texts for the factory.
        weights: a checkpoint to load, if any.
        weights_key: where the state dict lies in it.

    Returns:
        The module, and the sha256 of the checkpoint if there was one.

    Raises:
        RnnEdgeError: the module or its weights cannot be had.
    """
    if weights_key is not None and weights is None:
        raise typer.BadParameter("--weights-key needs --weights")
    given = key_values(arguments)
    from rnnedge_exporters.source import load_module, load_weights

    module = load_module(spec, given)
    checksum = None if weights is None else load_weights(module, weights, key=weights_key)
    return module.eval(), checksum


def check_against(
    against: str | None,
    arguments: list[str] | None,
    weights: Path | None,
    weights_key: str | None,
    states: list[str] | None,
) -> None:
    """Refuses what tells of a module where none is named.

    Raises:
        typer.BadParameter: one of the others is given without `against`.
    """
    if against is None and any((arguments, weights, weights_key, states)):
        raise typer.BadParameter("--arg, --weights, --weights-key and --state need --against")


def load_against(
    against: str | None,
    arguments: list[str] | None,
    weights: Path | None,
    weights_key: str | None,
    states: list[str] | None,
) -> Against | None:
    """The module that a file was made from, as `load_source` builds it; None where none is named.

    Raises:
        RnnEdgeError: the module or its weights cannot be had.
    """
    if against is None:
        return None
    from rnnedge.benchmark import Against

    return Against(load_source(against, arguments, weights, weights_key)[0], tuple(states or ()))


def key_values(texts: list[str] | None) -> dict[str, str]:
    """Divides ``key=value`` texts.

    Raises:
        typer.BadParameter: one has no equals sign, or no key.
    """
    pairs = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--arg")
        pairs[key] = value
    return pairs
