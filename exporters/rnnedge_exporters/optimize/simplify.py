"""Pass: constants folded, and nodes that do nothing removed.

Rules:
    1. Functions of the exporter's library are written out, constants are folded, and onnxscript's
       rewrite rules are applied: batch normalisation into convolutions, casts, slices, reshapes and
       transposes in a row.
    2. A number is a zero or a one only when it is exactly that. The set of rules that torch's
       exporter applies by itself takes whatever is near for it: it drops ``x + 1e-8``, which is in
       the model so that a logarithm or a division behind it stays finite. So its rules for adding
       zero and multiplying by one are left out here; onnxruntime has its own.
    3. Shapes are inferred before, for rules that need them: a size that is made a number and a list
       again stays a list.
"""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript import optimizer, rewriter
from onnxscript.rewriter.rules import common as rules

_ROUNDS = 2
_RULES = [
    rules.dropout_zero_rule,
    rules.dropout_inference_rule,
    rules.one_reshape_matmul_reshape_rule,
    rules.two_reshapes_matmul_reshape_rule,
    rules.cast_constant_of_shape_rule,
    rules.cast_constant_of_shape_without_value_rule,
    rules.collapse_slice_rule,
    rules.collapse_slice2_rule,
    rules.materialize_reshape_shape_rule,
    rules.min_min_rule,
    rules.max_max_rule,
    rules.successive_relu_rule,
    rules.cast_cast_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.reshape_reshape_rule,
    rules.squeeze_reshape_1d_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.no_op_dynamic_scatter_nd_rule,
    rules.no_op_static_scatter_nd_rule,
    rules.fuse_batchnorm_into_conv_rule,
    rules.fuse_batchnorm_into_conv_transpose_rule,
    rules.fuse_batchnorm_into_gemm_rule,
]


def simplify(model: ir.Model) -> None:
    """Edits `model` in place."""
    passes.InlinePass()(model)
    for _ in range(_ROUNDS):
        passes.ShapeInferencePass()(model)
        optimizer.fold_constants_ir(model)
        rewriter.rewrite(model, _RULES)
    for step in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.LiftSubgraphInitializersToMainGraphPass(),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
        passes.OutputFixPass(),
        passes.NameFixPass(),
    ):
        step(model)
