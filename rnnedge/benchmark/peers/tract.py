"""tract, the engine in Rust that runs ONNX on small devices."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnedge.benchmark.peers.feedback import example, fed_back
from rnnedge.benchmark.peers.protocol import Prepared
from rnnedge.benchmark.subject import Subject
from rnnedge.parity.measure import Array


class Tract:
    """The file, optimised for the sizes of a call; states stay tract's own tensors."""

    name = "tract"
    module = package = "tract"
    install = "pip install tract"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        import tract

        model = tract.onnx().load(str(subject.path))
        arrays = example(subject)
        names = [model.input_name(index) for index in range(model.input_count())]
        for index, name in enumerate(names):
            model.set_input_fact(index, _fact(arrays[name]))
        for index in range(model.output_count()):
            model.set_output_fact(index, None)
        state = model.into_model().into_runnable().spawn_state()

        # What tract derives from sizes is of a type of its own, which it does not take back.
        contract = subject.model.contract
        whole = {s.output for s in contract.states if np.dtype(s.dtype) == np.int64}
        results = [output.name for output in subject.model.session.get_outputs()]
        counted = [index for index, name in enumerate(results) if name in whole]

        def run(feeds: dict[str, Any]) -> list[Any]:
            given = [_contiguous(feeds[name]) for name in names]
            found: list[Any] = state.run(given)
            for index in counted:
                found[index] = found[index].convert_to(tract.DatumType.I64)
            return found

        return Prepared(fed_back(subject, run, results, lambda tensor: tensor.to_numpy()))


def _fact(array: Array) -> str:
    """``1,1,64,f32``."""
    kind = array.dtype.kind
    dtype = "bool" if kind == "b" else f"{kind}{array.dtype.itemsize * 8}"
    return ",".join([*map(str, array.shape), dtype])


def _contiguous(value: Any) -> Any:
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
