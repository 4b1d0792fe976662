"""Model: one file, one session, shared by all its streams."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnnedge_runtime.agreement import check_agreement, contract_of
from rnnedge_runtime.alignment import is_plain
from rnnedge_runtime.arrays import Array, Inputs, by_name, empty_outputs, measure, refused
from rnnedge_runtime.contract import BATCH, CLOCKS_KEY, METADATA_KEY, TENSOR_KEY_PREFIX, TIME
from rnnedge_runtime.errors import ModelFileError
from rnnedge_runtime.providers import Memory, Opened, SessionRequest, open_session
from rnnedge_runtime.runs import OnNonfinite
from rnnedge_runtime.states import InitialValues, check_integers, measure_states
from rnnedge_runtime.stream import Stream
from rnnedge_runtime.streamable import check_batch
from rnnedge_runtime.whole import run_through_stream

if TYPE_CHECKING:
    from rnnedge_runtime.batch import Batch


class RunResult(NamedTuple):
    """What a whole sequence gave.

    Attributes:
        outputs: by name, in the contract's order.
        states: final states by name; empty in sequence mode.
    """

    outputs: dict[str, Array]
    states: dict[str, Array]


def load(
    path: str | PathLike[str] | bytes,
    *,
    provider: str = "cpu",
    threads: int = 1,
    provider_options: Mapping[str, str] | None = None,
    provider_library: str | PathLike[str] | None = None,
    flush_denormals: bool = False,
) -> Model:
    """Opens a model file that carries a contract.

    Args:
        path: the file, or its bytes. External data is only followed inside the file's own folder.
        provider: ``"cpu"``, ``"cuda"``, ``"openvino"`` or another of docs/providers.md, ``"auto"``
            (CUDA if it works, else CPU; the choice is logged), onnxruntime's full name of a
            provider, or the path of a plugin library.
        threads: how many threads one run may use.
        provider_options: handed to the provider as they are; ``device_type`` picks one of a
            plugin's devices.
        provider_library: the plugin library that has `provider`, by path, in place of the one that
            is installed.
        flush_denormals: treat denormal numbers as zero. Off by default, because onnxruntime sets
            the mode on the thread that opens the process's first session, where it then governs
            all arithmetic, and not on threads that exist already: the same stream would round
            differently from thread to thread. Worth trying where states decay to exactly zero on
            processors on which denormals are slow.

    Raises:
        ModelFileError: the file is missing, or onnxruntime cannot load it.
        ContractError: there is no contract, or the file does not keep it.
        ProviderError: the provider is absent, did not take the nodes that matter, or computes in
            too few bits.
    """
    request = SessionRequest(
        provider,
        threads,
        dict(provider_options or {}),
        flush_denormals,
        None if provider_library is None else str(provider_library),
    )
    source: str | bytes
    if isinstance(path, bytes):
        file, source, digest = None, path, hashlib.sha256(path).hexdigest()
    else:
        file, source, digest = Path(path), str(Path(path)), _digest(Path(path))
    try:
        return Model(open_session(source, request), digest, file)
    except UnicodeDecodeError as error:
        raise ModelFileError(
            f"the file holds text that is not UTF-8: {error}",
            where="the bytes given" if file is None else str(file),
            fix="copy the file again; if it is intact, export it again",
        ) from error


class Model:
    """A loaded model. Threads may share it; each stream belongs to one thread at a time.

    Attributes:
        contract: what the file promises.
        path: the file, None if it was given as bytes.
        provider: onnxruntime's name of the provider that runs the nodes that matter.
        provider_options: what it was given, defaults included.
        assignment: onnxruntime's record: every node, and which provider runs it.
        session: onnxruntime's session, for what this class does not offer.
        metadata: the file's own metadata, without what rnnedge wrote of itself.
        sha256: of the file's bytes, in hex; external data is not included.
        memory: where the session reads its inputs.
    """

    def __init__(self, opened: Opened, sha256: str, path: Path | None) -> None:
        where = "the bytes given" if path is None else str(path)
        metadata = dict(opened.session.get_modelmeta().custom_metadata_map)
        self.session = opened.session
        self.provider = opened.provider
        self.provider_options = opened.options
        self.assignment = opened.assignment
        self.path = path
        self.sha256 = sha256
        self.memory = Memory(opened.session, opened.provider)
        self.contract = contract_of(metadata, where)
        check_agreement(self.contract, self.session, where)
        check_integers(self.contract.states, self.provider)
        self.metadata = {
            key: value
            for key, value in metadata.items()
            if key not in (METADATA_KEY, CLOCKS_KEY) and not key.startswith(TENSOR_KEY_PREFIX)
        }
        self._initial = InitialValues(self.contract, metadata)

    @property
    def device(self) -> tuple[str, int]:
        """Where states live: onnxruntime's device name and id."""
        return self.memory.device

    def __repr__(self) -> str:
        name = self.path or f"{self.sha256[:12]}…"
        return f"<Model {name} on {self.provider}, {len(self.contract.states)} states>"

    def initial_state(self, batch: int) -> dict[str, Array]:
        """New arrays with the initial value of every state, by name, for `batch` rows."""
        return self._initial(check_batch(self.contract, batch))

    def stream(self, batch: int = 1, on_nonfinite: OnNonfinite = "raise") -> Stream:
        """Starts a stream of `batch` independent rows at their initial state.

        Args:
            batch: how many signals advance together, in every push.
            on_nonfinite: what a push does with NaN or Inf in a float input; see `Stream`.

        Raises:
            InputError: the model runs whole sequences only, or `batch` does not suit it.
        """
        return Stream(self, batch, on_nonfinite)

    def batch(
        self,
        slots: int,
        *,
        rows: int = 64,
        frames: int = 1,
        queue: int = 8,
        most_frames: int = 64,
        workers: int = 1,
        on_nonfinite: OnNonfinite = "raise",
    ) -> Batch:
        """Opens slots for streams that share runs: many signals, each at its own pace.

        Args:
            slots: how many streams there can be at once. A slot costs its states.
            rows: how many streams one run takes at most. Above about 64 a run gains little.
            frames: the usual number of frames of a push; runs of that length are warmed up.
            queue: how many pushes of one stream may wait.
            most_frames: a longer push takes several ticks, so that none waits for it.
            workers: how many threads share the runs of one tick.
            on_nonfinite: what a push does with NaN or Inf in a float input; see `Stream`.

        Raises:
            InputError: something in the model has no batch axis, it runs whole sequences only, or
                a number is not positive.
        """
        from rnnedge_runtime.batch import Batch  # what a device with one stream never needs

        return Batch(
            self,
            slots,
            rows=rows,
            frames=frames,
            queue=queue,
            most_frames=most_frames,
            workers=workers,
            on_nonfinite=on_nonfinite,
        )

    def run(self, inputs: Inputs, states: Mapping[str, Array] | None = None) -> RunResult:
        """Runs a whole sequence at once; the model keeps nothing of it.

        The outputs are the whole-sequence model's, without delay and complete. Nothing is done
        about NaN or Inf, in the inputs or in what comes out.

        Args:
            inputs: the array if there is one input, else arrays by name.
            states: what to start from, by name; the initial value where a name is left out.

        Returns:
            Outputs and final states. Where the contract's `chunk_multiple` does not divide the
            number of frames, the states are those before the frames that are left over.

        Raises:
            InputError: an array does not fit the contract, or onnxruntime refused the run.
        """
        contract = self.contract
        arrays = by_name(contract.inputs, inputs)
        given = dict(states or {})
        sizes = measure(contract.inputs, arrays, {})
        sizes = measure_states(contract.states, given, sizes)
        if contract.mode == "stream" and not is_plain(contract):
            stream = self.stream(sizes.get(BATCH, 1), on_nonfinite="ignore")
            return RunResult(*run_through_stream(stream, arrays, given, sizes[TIME]))
        before = self._initial(sizes.get(BATCH, 1)) | given
        if sizes.get(TIME) == 0:
            # Some recurrent kernels of onnxruntime end the process on an empty sequence.
            outputs = empty_outputs(contract.outputs, sizes)
            return RunResult(outputs, {name: np.array(value) for name, value in before.items()})
        names = [port.name for port in contract.outputs] + [s.output for s in contract.states]
        feed = arrays | {state.input: before[state.name] for state in contract.states}
        try:
            results = self.session.run(names, feed)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise refused(error, "Model.run") from error
        count = len(contract.outputs)
        after = [state.name for state in contract.states]
        return RunResult(
            dict(zip(names[:count], results[:count], strict=True)),
            dict(zip(after, results[count:], strict=True)),
        )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(
            f"the model file cannot be read: {error.strerror}",
            where=str(file),
            fix="check the path and the permissions",
        ) from error
