"""JobQueue: what waits to be run, stream by stream, first come, first served."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import InvalidStateError
from typing import Any

from rnnedge_runtime.batch.jobs import Job
from rnnedge_runtime.errors import InputError, QueueFullError


class JobQueue:
    """Jobs by slot. Of each slot one job is under way at a time, in the order of their coming."""

    def __init__(self, most_waiting: int) -> None:
        self._most = most_waiting
        self._waiting: dict[int, deque[Job]] = {}
        self._turns: deque[int] = deque()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many slots have something that waits for its turn."""
        return len(self._turns)

    def has(self, slot: int) -> bool:
        """Whether anything of a slot waits or is under way."""
        return slot in self._waiting

    def submit(self, job: Job) -> None:
        """Lets a job wait.

        Raises:
            QueueFullError: as many of its stream wait as may.
        """
        with self._lock:
            waiting = self._waiting.get(job.slot)
            if waiting is None:
                self._waiting[job.slot] = deque([job])
                self._turns.append(job.slot)
                return
            if len(waiting) >= self._most and job.kind == "push":
                raise QueueFullError(
                    f"{len(waiting)} pushes of this stream wait already",
                    where=f"BatchStream in slot {job.slot}",
                    fix="wait for their results before pushing more, tick() more often, or open "
                    "the batch with a longer queue",
                )
            waiting.append(job)

    def take(self) -> list[Job]:
        """The oldest job of every slot that waits for its turn, the longest waiting slot first."""
        with self._lock:
            jobs = []
            for slot in self._turns:
                waiting = self._waiting[slot]
                while waiting and not waiting[0].has_begun and waiting[0].future.cancelled():
                    waiting.popleft()
                if waiting:
                    jobs.append(waiting[0])
                else:
                    del self._waiting[slot]
            self._turns.clear()
            return jobs

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Ends the turn of jobs that were taken: those that are done go, the others wait again."""
        with self._lock:
            for job in jobs:
                waiting = self._waiting.get(job.slot)
                if waiting is None or waiting[0] is not job:
                    continue  # dropped meanwhile
                if job.is_done:
                    waiting.popleft()
                if waiting:
                    self._turns.append(job.slot)
                else:
                    del self._waiting[job.slot]

    def drop(self, slot: int, reason: str) -> list[Job]:
        """Takes away all that waits of a slot; what was dropped has failed."""
        with self._lock:
            jobs = list(self._waiting.pop(slot, ()))
            if slot in self._turns:
                self._turns.remove(slot)
        for job in jobs:
            job.error = InputError(
                f"the push was dropped: {reason}",
                where=f"slot {slot}",
                fix="wait for the results of all pushes before",
            )
            job.has_begun = job.is_done = True
        return jobs

    def drop_all(self, reason: str) -> list[Job]:
        """`drop` for every slot."""
        return [job for slot in list(self._waiting) for job in self.drop(slot, reason)]


def deliver(jobs: Sequence[Job], *, gives_array: bool) -> None:
    """Tells the waiters of those jobs that are done.

    Args:
        jobs: done or not.
        gives_array: whether a result is the one output itself, not outputs by name.
    """
    for job in jobs:
        if not job.is_done or job.future.done():
            continue
        # Whoever waits in another thread may give up in this very moment.
        with contextlib.suppress(InvalidStateError):
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(_result(job, gives_array=gives_array))


def _result(job: Job, *, gives_array: bool) -> Any:
    if not job.outputs:
        return None
    return next(iter(job.outputs[0].values())) if gives_array else job.outputs[0]
