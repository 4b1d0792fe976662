"""Pass: notes of the exporter leave the file.

Rules:
    1. Metadata of nodes, values and the graph is dropped: it holds source paths of the machine that
       exported, and costs more bytes than a small model.
    2. Shapes of values inside the graph are dropped: they name symbols of the tracer.
"""

from __future__ import annotations

import onnx_ir as ir


def strip_notes(model: ir.Model) -> None:
    """Edits `model` in place."""
    graph = model.graph
    model.metadata_props.clear()
    graph.metadata_props.clear()
    graph.doc_string = None
    kept = {id(value) for value in (*graph.inputs, *graph.outputs)}
    for value in (*graph.inputs, *graph.outputs, *graph.initializers.values()):
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            if id(value) not in kept:
                value.shape = None
