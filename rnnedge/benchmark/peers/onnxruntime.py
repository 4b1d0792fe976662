"""Plain onnxruntime: ``session.run`` with numpy arrays by name, as its documentation has it."""

from __future__ import annotations

import numpy as np

from rnnedge.benchmark.peers.feedback import fed_back
from rnnedge.benchmark.peers.protocol import Prepared
from rnnedge.benchmark.subject import Subject


class PlainOnnxruntime:
    """Default session options, but for the number of threads."""

    name = "session.run"
    module = package = "onnxruntime"
    install = "pip install onnxruntime"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = subject.threads
        session = ort.InferenceSession(
            str(subject.path), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        step = fed_back(subject, lambda feeds: session.run(None, feeds), names, np.asarray)
        return Prepared(step, "plain onnxruntime")
