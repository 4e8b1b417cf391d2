"""Tells what happened, once: follows the catalogue's log of events, and says what the chain took back.

What was told, and the mail that came of it, is written in one transaction, so a kill loses and repeats nothing.
A catalogue that is being read anew is no reorganisation: an event is missing only once the chain was read past it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from marketplace.accounts import journal, mail
from marketplace.accounts.mail import Letter
from marketplace.accounts.webhooks import Webhooks
from marketplace.api.letters import letters_for, news_of, reversal
from marketplace.api.state import Hub
from marketplace.catalogue import lists
from marketplace.catalogue.rows import EventRow
from marketplace.core.event_id import EventId
from marketplace.errors import SteelyardError

CHUNK = 500
"""Events told in one transaction."""

PATIENCE = 5.0
"""Seconds after which it looks for itself, should a beat be missed."""

log = logging.getLogger(__name__)


class Feed:
    """One for each hub. posted: called in the loop after there is new mail."""

    def __init__(self, hub: Hub, posted: Callable[[], None]) -> None:
        self._hub = hub
        self._posted = posted
        self._hooks = Webhooks(hub.accounts)
        with hub.accounts.transaction() as connection:
            journal.begin(connection, hub.deployment.digest)

    async def run(self) -> None:
        """Goes on until the hub closes, whatever happens."""
        pulse = self._hub.pulse
        while not pulse.closed:
            count = pulse.count
            try:
                told = await run_in_threadpool(self.step)
            except Exception as error:  # streams and webhooks wait; all else goes on
                log.warning("feed: %s", error, exc_info=not isinstance(error, SteelyardError))
                told = False
            if told:
                self._hub.fed.beat()
                self._posted()
            else:
                await pulse.after(count, timeout=PATIENCE)

    def step(self) -> bool:
        """Tells the next events, or takes some back; whether there were any.

        Raises UnavailableError where a database or, for the time of a block, the chain does not answer.
        """
        with self._hub.accounts.transaction() as connection:
            last = journal.newest(connection)
        hooks = self._hooks.active()
        with self._hub.database.read() as connection:
            reached = lists.reached(connection)
            if last is not None and (reached is None or reached < last.block):
                return False
            gone, base = self._taken_back(connection, last)
            rows = lists.events(connection, after=base, limit=CHUNK)
            found = [news_of(connection, row, self._hub.did) for row in rows] if hooks else []
        time_of = self._times()
        letters = [letter for news in found if news for letter in letters_for(news, hooks, time_of)]
        if gone or rows:
            self._write(gone, base, rows, letters)
        return bool(gone or rows)

    def _taken_back(
        self, catalogue: Connection, last: EventId | None
    ) -> tuple[list[EventId], EventId | None]:
        """Told events that no longer stand, newest first, and the newest that does."""
        gone: list[EventId] = []
        while last is not None and not lists.stands(catalogue, last):
            with self._hub.accounts.transaction() as connection:
                told = journal.before(connection, last, CHUNK)
            standing = next((place for place, id in enumerate(told) if lists.stands(catalogue, id)), None)
            if standing is not None:
                return [*gone, *told[:standing]], told[standing]
            gone += told
            with self._hub.accounts.transaction() as connection:
                earlier = journal.before(connection, told[-1], 2)
            last = earlier[1] if len(earlier) > 1 else None
        return gone, last

    def _write(
        self, gone: list[EventId], base: EventId | None, rows: list[EventRow], letters: list[Letter]
    ) -> None:
        now = time.time()
        with self._hub.accounts.transaction() as connection:
            if gone:
                journal.take_back(connection, gone, base)
                taken = [
                    reversal(hook, id, now=now) for id in gone for hook in mail.told(connection, str(id))
                ]
                mail.post(connection, taken, now=now)
            journal.add(connection, [lists.id_of(row) for row in rows])
            mail.post(connection, letters, now=now)

    def _times(self) -> Callable[[int], int]:
        known: dict[int, int] = {}

        def of(block: int) -> int:
            if block not in known:
                known[block] = self._hub.block_time(block)
            return known[block]

        return of
