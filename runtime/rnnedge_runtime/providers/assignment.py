"""Proof of which provider runs what: onnxruntime's own record, kept whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import onnxruntime as ort

from rnnedge_runtime.errors import ProviderError
from rnnedge_runtime.providers.table import CPU, about

RECORD_KEY = "session.record_ep_graph_assignment_info"

_RECURRENT_OPS = frozenset({"RNN", "GRU", "LSTM", "Scan", "DynamicQuantizeLSTM", "LinearAttention"})
_HEAVY_OPS = frozenset(
    {
        *("MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulInteger", "MatMulNBits"),
        *("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QLinearMatMul"),
        *("Conv", "ConvTranspose", "FusedConv", "ConvInteger", "QLinearConv", "Attention"),
    }
)


class Placed(NamedTuple):
    """One node of the graph, and who runs it.

    Attributes:
        provider: onnxruntime's full name.
        op_type: the node's operator.
        name: of the node; empty if it has none.
    """

    provider: str
    op_type: str
    name: str


def read_assignment(session: ort.InferenceSession) -> tuple[Placed, ...]:
    """Every node, and who runs it; nothing from an onnxruntime that keeps no record."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return ()
    return tuple(
        Placed(part.ep_name, node.op_type, node.name)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    )


def count_nodes(assignment: Iterable[Placed]) -> dict[str, dict[str, int]]:
    """How many nodes of each operator each provider runs: ``{provider: {operator: count}}``."""
    counts: dict[str, Counter[str]] = {}
    for node in assignment:
        counts.setdefault(node.provider, Counter())[node.op_type] += 1
    return {provider: dict(counter) for provider, counter in counts.items()}


def prove(session: ort.InferenceSession, provider: str) -> tuple[Placed, ...]:
    """What the session says of who runs what, once it is what was asked for.

    Raises:
        ProviderError: `provider` did not take the nodes that matter, or there is no telling.
    """
    if provider not in session.get_providers():
        raise ProviderError(
            f"onnxruntime opened the model without {provider}, on "
            f"{', '.join(session.get_providers())}",
            where="the session's list of providers",
            fix=f"{about(provider).get}; or use provider='cpu'",
        )
    if provider != CPU and not hasattr(session, "get_provider_graph_assignment_info"):
        raise ProviderError(
            f"onnxruntime {ort.__version__} does not record which provider runs which node, so "
            f"nothing proves that {provider} runs the model",
            where="load(provider=...)",
            fix="install onnxruntime 1.24 or later, or use provider='cpu'",
        )
    assignment = read_assignment(session)
    check_assignment(provider, assignment)
    return assignment


def check_assignment(provider: str, nodes: Iterable[tuple[str, str, str]]) -> None:
    """Checks onnxruntime's record of which provider took which node.

    What matters are the recurrent nodes; in a model without any the products and convolutions; in
    a model without these, too, one node is enough.

    Args:
        provider: onnxruntime's name of the provider asked for.
        nodes: (provider, operator type, node name) of every node.

    Raises:
        ProviderError: a node that matters runs elsewhere.
    """
    placed = list(nodes)
    matter = _of_type(placed, _RECURRENT_OPS) or _of_type(placed, _HEAVY_OPS)
    astray = [node for node in matter if node[0] != provider]
    if not matter and placed and all(node[0] != provider for node in placed):
        matter = astray = placed
    if astray:
        owner, op_type, name = astray[0]
        raise ProviderError(
            f"{provider} did not take {len(astray)} of the {len(matter)} nodes that matter: "
            f"{op_type} went to {owner}",
            where=f"node {name!r}" if name else f"node of type {op_type}",
            fix=_way_out(provider, owner, op_type),
        )


def _way_out(provider: str, owner: str, op_type: str) -> str:
    known = about(provider)
    if op_type == "Scan":
        return (
            "export with --one-frame, which writes the step itself in place of Scan; or run on "
            f"provider={owner!r}"
        )
    if known.recurrent_opset is not None and op_type in known.recurrent:
        return (
            f"export with --opset {known.recurrent_opset}, the last of which {provider} knows "
            f"{op_type}; or run on provider={owner!r}"
        )
    return f"run on provider={owner!r}, or export a form that {provider} supports"


def _of_type(
    nodes: Sequence[tuple[str, str, str]], types: frozenset[str]
) -> list[tuple[str, str, str]]:
    return [node for node in nodes if node[1] in types]
