"""Jobs and the market as they happen: server-sent events that a client can resume where it was cut off.

A job's `state` event carries the whole job, under the id of its newest event on chain, so the last one is the truth,
through reorganisations too. Its `progress` events are live only: they have no id and are not sent again.
The market's stream carries each confirmed event once, in the order of the chain; `reorganised` names those that the
chain took back. The framework sends a comment every 15 s to keep idle connections open, and cancels the generator
when the client goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi.sse import ServerSentEvent
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from marketplace.accounts import journal
from marketplace.accounts.database import AccountsDatabase
from marketplace.api.progress import ProgressBoard
from marketplace.api.pulse import Pulse
from marketplace.api.views import event_of, job_of, progress_of
from marketplace.catalogue import lists
from marketplace.catalogue.rows import Job
from marketplace.catalogue.schema import Database, get
from marketplace.core.event_id import EventId
from marketplace.core.job import END_STATES, Progress
from marketplace.errors import NotFoundError, TooManyError, UnavailableError
from marketplace.wire import events, trade

MAX_STREAMS = 500
"""Streams open at one time."""

MAX_PER_CLIENT = 50

PATIENCE = 5.0
"""Seconds after which a stream looks for itself, should a beat be missed."""

RETRY = 2_000
"""Milliseconds that a client should wait before it comes back."""

CHUNK = 200
"""Events of the market that are read at once."""


@dataclass(frozen=True)
class Leg:
    """A part of the market's stream: what was taken back, what is new, and where that leaves the client."""

    gone: tuple[EventId, ...]
    new: tuple[events.MarketEvent, ...]
    place: EventId | None


class Streams:
    """Opens streams, at most MAX_STREAMS at one time."""

    def __init__(
        self, database: Database, accounts: AccountsDatabase, board: ProgressBoard, pulse: Pulse, fed: Pulse
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._board = board
        self._pulse = pulse
        self._fed = fed
        self._open: Counter[str] = Counter()

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """Room for one stream. Raises UnavailableError where there is none, TooManyError where the client has many."""
        do = "Close some, or ask for the pages instead."
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

    async def follow_job(self, job_id: bytes, last: str | None) -> AsyncIterator[ServerSentEvent]:
        """The job's events until it has ended, has been reorganised away, or the server stops.

        last: the id of the last `state` event that the client has.
        """
        shown, told = last, None
        yield _hello()
        while not self._pulse.closed:
            count = self._pulse.count
            job = await run_in_threadpool(self._read, job_id)
            if job is None:
                yield _event("gone", events.Gone(id="0x" + job_id.hex()))
                return
            newest = job.history[-1].id
            if newest != shown:
                shown = newest
                yield _event("state", job, newest)
            progress: Progress | None = self._board.last(job_id)
            if progress is not None and progress != told:
                told = progress
                yield _event("progress", progress_of(progress))
            if job.state in {state.name for state in END_STATES}:
                return
            await self._pulse.after(count, timeout=PATIENCE)

    def _read(self, job_id: bytes) -> trade.Job | None:
        with self._database.read() as connection:
            job = get(connection, Job, job_id)
            return None if job is None else job_of(connection, job)

    def newest(self) -> EventId | None:
        """The last event that was told."""
        with self._accounts.transaction() as connection:
            return journal.newest(connection)

    def require_known(self, last: EventId) -> None:
        """Raises NotFoundError for an event that this hub never told, UnavailableError where it may yet come to it."""
        with self._accounts.transaction() as connection:
            told = journal.is_seen(connection, last) or journal.undo(connection, last) is not None
        with self._database.read() as connection:
            reached = lists.reached(connection)
            if told or lists.stands(connection, last):
                return
        if reached is None or reached < last.block:
            raise UnavailableError("the hub has not read that far yet", got=last, expected=f"block {reached}")
        raise NotFoundError("no such event", got=last, do="Leave Last-Event-ID out to begin anew.")

    async def follow_market(self, place: EventId | None) -> AsyncIterator[ServerSentEvent]:
        """Every event after `place` (None: from the first one on), until the server stops."""
        yield _hello()
        while not self._fed.closed:
            count = self._fed.count
            leg = await run_in_threadpool(self._leg, place)
            if leg.gone:
                taken = events.Reorganised(gone=[str(id) for id in leg.gone])
                yield _event("reorganised", taken, str(leg.place) if leg.place else "")
            for event in leg.new:
                yield _event("event", event, event.id)
            place = leg.place
            if not leg.new and not leg.gone:
                await self._fed.after(count, timeout=PATIENCE)

    def _leg(self, place: EventId | None) -> Leg:
        with self._accounts.transaction() as connection:
            told = journal.newest(connection)
        with self._database.read() as connection:
            # Where the newest event that was told stands, so does all that was told; else the feed is about to say so.
            settled = told is not None and lists.stands(connection, told)
            if place is None or lists.stands(connection, place):
                found = lists.events(connection, after=place, to=told, limit=CHUNK) if settled else []
                rows = tuple(event_of(row) for row in found)
                return Leg((), rows, lists.id_of(found[-1]) if found else place)
        with self._accounts.transaction() as connection:
            undone = journal.undo(connection, place)
        return Leg((), (), place) if undone is None else Leg(tuple(undone[0]), (), undone[1])


def _hello() -> ServerSentEvent:
    return ServerSentEvent(comment="steelyard", retry=RETRY)


def _event(kind: str, data: BaseModel | None, id: str | None = None) -> ServerSentEvent:
    return ServerSentEvent(event=kind, id=id, raw_data=data.model_dump_json() if data else "null")
