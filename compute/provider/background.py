"""Judgements and answers on their way: many at a time, so that no job waits for another one's content or confirmation.

Each is one call in a thread of its own; the journal is the node's alone to write. A node that is killed meanwhile asks
the chain what became of them: see `answers`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from compute.provider.journal import Entry

_AT_ONCE = 32
"""Most of them wait for a transaction: a chain takes its time for each, and an endpoint takes so many in a row."""

T = TypeVar("T")

Work = Callable[[Entry], Entry]


class Background:
    """Runs them, for the node's own thread. wake: set whenever something is done that the node waits for."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="answer")
        self._on_way: dict[bytes, tuple[Entry, Future[Entry]]] = {}

    def close(self) -> None:
        """Those that are on their way are waited for, as long as the chain has patience for them."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def holds(self, job_id: bytes) -> bool:
        """Whether something of the job is on its way."""
        return job_id in self._on_way

    def move(self, entry: Entry, work: Work) -> Entry | None:
        """The entry as `work` left it, or None until that is done. Raises what it raised; then it may run again.

        One at a time for a job: what was begun for the job as it was before (a reorganisation, a deadline) is
        waited for and forgotten.
        """
        begun_for, future = self._on_way.get(entry.job_id, (entry, None))
        if future is not None and not future.done():
            return None
        self._on_way.pop(entry.job_id, None)
        if future is not None and begun_for == entry:
            return future.result()
        self._on_way[entry.job_id] = (entry, self.begin(lambda: work(entry)))
        return None

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Any work in one of the threads."""
        future = self._pool.submit(work)
        future.add_done_callback(lambda _: self.wake.set())
        return future

    def keep_only(self, jobs: Iterable[bytes]) -> None:
        """Forgets what was begun for jobs that are not among these any more, once they are done."""
        for job_id in set(self._on_way) - set(jobs):
            if self._on_way[job_id][1].done():
                del self._on_way[job_id]
