"""A job as it happens: its state whenever the catalogue's picture of it changes, its progress whenever a node posts.

Every `state` event carries the whole job, so a client that reconnects, or watches through a reorganisation, needs no
memory: the last event is the truth. The framework sends a comment every 15 s to keep idle connections open, and
cancels the generator when the client goes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from marketplace.api.progress import ProgressBoard
from marketplace.api.pulse import Pulse
from marketplace.api.views import job_json, progress_json
from marketplace.catalogue.rows import Job
from marketplace.catalogue.schema import Database, get
from marketplace.core.job import END_STATES, Progress
from marketplace.errors import TooManyError, UnavailableError

MAX_STREAMS = 500
"""Streams open at one time."""

MAX_PER_CLIENT = 50

PATIENCE = 5.0
"""Seconds after which a stream looks for itself, should a beat be missed."""


class Streams:
    """Opens streams of jobs, at most MAX_STREAMS at one time."""

    def __init__(self, database: Database, board: ProgressBoard, pulse: Pulse) -> None:
        self._database = database
        self._board = board
        self._pulse = pulse
        self._open: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Room for one stream. Raises UnavailableError where there is none, TooManyError where the client has many."""
        do = "Ask /jobs/{id} instead."
        if self._open.total() >= MAX_STREAMS:
            raise UnavailableError("too many streams are open", expected=f"at most {MAX_STREAMS}", do=do)
        if self._open[client] >= MAX_PER_CLIENT:
            raise TooManyError("too many streams of one client", expected=f"at most {MAX_PER_CLIENT}", do=do)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            self._open += Counter()  # forgets clients without a stream

    async def follow(self, job_id: bytes) -> AsyncIterator[ServerSentEvent]:
        """The job's events until it has ended, has been reorganised away, or the server stops."""
        shown: dict[str, Any] | None = None
        told: Progress | None = None
        while not self._pulse.closed:
            count = self._pulse.count
            job = await run_in_threadpool(self._read, job_id)
            if job is None:
                yield _event("gone", {"id": "0x" + job_id.hex()})
                return
            if job != shown:
                shown = job
                yield _event("state", job)
            last = self._board.last(job_id)
            if last is not None and last != told:
                told = last
                yield _event("progress", progress_json(last))
            if job["state"] in {state.name for state in END_STATES}:
                return
            await self._pulse.after(count, timeout=PATIENCE)

    def _read(self, job_id: bytes) -> dict[str, Any] | None:
        with self._database.read() as connection:
            job = get(connection, Job, job_id)
            return None if job is None else job_json(connection, job)


def _event(kind: str, data: Any) -> ServerSentEvent:
    return ServerSentEvent(event=kind, raw_data=json.dumps(data, separators=(",", ":")))
