"""ExecuTorch with XNNPACK: PyTorch's own way to devices. Needs the module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rnnedge.benchmark.peers.feedback import example
from rnnedge.benchmark.peers.protocol import Prepared
from rnnedge.benchmark.peers.torch_module import Against, module_of
from rnnedge.benchmark.subject import Subject


@dataclass(frozen=True)
class ExecuTorch:
    """The exporter's streaming program, captured again in the sizes of a call, and lowered."""

    against: Against | None
    name: str = "ExecuTorch"
    module: str = "executorch"
    package: str = "executorch"
    install: str = "pip install executorch"

    def prepare(self, subject: Subject) -> Prepared:
        """See `Peer`."""
        against = module_of(self.against)
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        from rnnedge.benchmark.peers.torch_source import Program, program_step

        program = Program.of(against.module, subject.model.contract, against.states)
        given: Mapping[str, Any] = example(subject)
        arguments = tuple(torch.from_numpy(given[name]) for name in program.arguments)
        with torch.no_grad():
            exported = torch.export.export(program.module, arguments)
            lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        _unsafe_reset_threadpool(subject.threads)
        loaded = Runtime.get().load_program(lowered.to_executorch().buffer)
        method = loaded.load_method("forward")

        def call(*tensors: Any) -> Any:
            return method.execute(tensors)

        # The method reads from what holds it.
        call.__dict__["kept"] = loaded
        return Prepared(program_step(program, subject, lambda _: call), "through XNNPACK")
