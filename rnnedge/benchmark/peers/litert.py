"""LiteRT (TensorFlow Lite) with XNNPACK. Needs the module, from which it converts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rnnedge.benchmark.peers.feedback import example, fed_back
from rnnedge.benchmark.peers.protocol import Prepared
from rnnedge.benchmark.peers.torch_module import Against, module_of
from rnnedge.benchmark.subject import Subject


@dataclass(frozen=True)
class LiteRt:
    """The exporter's streaming program, converted in the sizes of a call."""

    against: Against | None
    name: str = "LiteRT"
    module: str = "litert_torch"
    package: str = "ai-edge-litert"
    install: str = "pip install ai-edge-litert litert-torch"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        against = module_of(self.against)
        import litert_torch
        import torch
        from ai_edge_litert.interpreter import Interpreter

        from rnnedge.benchmark.peers.torch_source import Program

        program = Program.of(against.module, subject.model.contract, against.states)
        given: Mapping[str, Any] = example(subject)
        arguments = tuple(torch.from_numpy(given[name]) for name in program.arguments)
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.tflite"
            litert_torch.convert(program.module.eval(), arguments).export(str(path))
            content = path.read_bytes()
        interpreter = Interpreter(model_content=content, num_threads=subject.threads)
        runner = interpreter.get_signature_runner()
        names = {name: f"args_{index}" for index, name in enumerate(program.arguments)}
        results = [f"output_{index}" for index in range(len(program.results))]

        def run(feeds: dict[str, Any]) -> list[Any]:
            found = runner(**{names[name]: value for name, value in feeds.items()})
            return [found[result] for result in results]

        step = fed_back(subject, run, program.results, lambda array: array)
        return Prepared(step, "through XNNPACK")
