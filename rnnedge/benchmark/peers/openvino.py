"""OpenVINO on the CPU, in float32: left to itself it computes in bfloat16 where it can."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnedge.benchmark.peers.feedback import example, fed_back
from rnnedge.benchmark.peers.protocol import Prepared
from rnnedge.benchmark.subject import Subject


def settings(threads: int) -> dict[str, Any]:
    """Of `Core.compile_model`: one call after the other, in float32."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }


class OpenVino:
    """The file, compiled for the sizes of a call."""

    name = "OpenVINO"
    module = package = "openvino"
    install = "pip install openvino"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        import openvino

        core = openvino.Core()
        model = core.read_model(str(subject.path))
        model.reshape({name: list(array.shape) for name, array in example(subject).items()})
        request = core.compile_model(model, "CPU", settings(subject.threads)).create_infer_request()
        wanted = [state.output for state in subject.model.contract.states]
        wanted += [port.name for port in subject.model.contract.outputs]
        outputs = request.model_outputs
        names = [next((n for n in wanted if n in out.get_names()), "") for out in outputs]

        def run(feeds: dict[str, Any]) -> list[Any]:
            # Results are copied: a state that is fed back may not lie where it is written.
            found = request.infer(feeds, share_inputs=True, share_outputs=False)
            return list(found.values())

        return Prepared(fed_back(subject, run, names, np.asarray))
