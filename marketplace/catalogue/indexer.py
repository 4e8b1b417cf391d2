"""The indexer: confirmed events and shared documents into the catalogue, through reorganisations, kills and silence.

What the chain said is written in the same transaction as how far it was read, so a kill loses and repeats nothing.
Which blocks are known is not kept beside the events but read from them, so the cursor is the only state of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection, select

from marketplace.catalogue.apply import append, forget, roll_back
from marketplace.catalogue.documents import DocumentReader, Place
from marketplace.catalogue.rows import Cursor, EventRow
from marketplace.catalogue.schema import TABLES, Database, get, put
from marketplace.chain.client import Chain
from marketplace.chain.follow import KNOWN_BLOCKS, Batch, Follower, Reorganised
from marketplace.errors import SteelyardError
from marketplace.storage import ContentStore

INTERVAL = 0.2
"""Seconds between looks at the chain where there was nothing."""

LONGEST_PAUSE = 15.0
"""Seconds to wait after errors: doubling from INTERVAL up to this."""

log = logging.getLogger("steelyard.indexer")


class Indexer:
    """Keeps one database up to date. Two of them on one file do no harm: each notices the other and reads again."""

    def __init__(
        self,
        chain: Chain,
        store: ContentStore,
        database: Database,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """changed: called from the indexer's threads after rows have changed.

        Raises UnavailableError where the database does not answer.
        """
        self._chain = chain
        self._database = database
        self._changed = changed
        self._documents = DocumentReader(store, database, Place.of(chain))
        self._follower: Follower | None = None
        self._troubles: dict[str, str] = {}
        self._news = threading.Event()
        self.looked_at = time.monotonic()
        """When the chain was last read, of time.monotonic."""
        self._forget_other_deployments()

    @property
    def trouble(self) -> str | None:
        """Why the catalogue may be behind: the last error of whatever has not worked since, or None."""
        return next(iter(self._troubles.values()), None)

    @property
    def documents_waiting(self) -> int:
        """Documents that the chain names and that were not to be had at the last look; or not looked for yet."""
        return self._documents.waiting

    def run_once(self) -> None:
        """Reads everything that is confirmed, then every document that is wanted and due.

        Raises UnavailableError, IntegrityError; what was read before stays, and the next call goes on from there.
        """
        while self.step():
            pass
        while self._documents.run_once():
            self._changed()

    def run(self, stop: threading.Event) -> None:
        """Goes on until `stop` is set, whatever happens; documents in a thread of their own, so that a slow store
        never holds up the chain."""
        reader = threading.Thread(
            target=self._repeat,
            args=("documents", self._read, self._wait_for_news, stop),
            name="documents",
            daemon=True,
        )
        reader.start()
        self._repeat("chain", self.step, lambda: stop.wait(INTERVAL), stop)
        self._news.set()
        reader.join()

    def rebuild(self) -> None:
        """Empties the catalogue and fills it again. Raises as `run_once`."""
        with self._database.write() as connection:
            forget(connection)
        self._follower = None
        self.run_once()

    def step(self) -> bool:
        """Takes the next batch or reorganisation; whether there was one. Raises as `run_once`."""
        follower = self._follower or self._resume()
        # Kept only if all goes well: else it is ahead of a database that did not take its batch.
        self._follower = None
        before = follower.known[-1] if follower.known else None
        found = follower.poll()
        self.looked_at = time.monotonic()
        if found is not None and not self._take(found, before, follower.known):
            return True
        self._follower = follower
        if found is not None:
            self._news.set()
            self._changed()
        return found is not None

    def _take(
        self,
        found: Batch | Reorganised,
        before: tuple[int, bytes] | None,
        known: tuple[tuple[int, bytes], ...],
    ) -> bool:
        """Writes one step; False where somebody else has moved the cursor meanwhile."""
        with self._database.write() as connection:
            cursor = get(connection, Cursor, 0)
            if (cursor and (cursor.block, cursor.hash)) != before:
                return False
            if isinstance(found, Reorganised):
                roll_back(connection, found.to_block)
            else:
                append(connection, found.events)
            if known:
                block, block_hash = known[-1]
                put(connection, [Cursor(0, self._chain.deployment.digest, block, block_hash)])
            else:
                forget(connection)
        return True

    def _resume(self) -> Follower:
        with self._database.read() as connection:
            known = _known_blocks(connection)
        return Follower(self._chain, self._chain.deployment.first_block, known=known)

    def _forget_other_deployments(self) -> None:
        with self._database.write() as connection:
            cursor = get(connection, Cursor, 0)
            if cursor and cursor.deployment != self._chain.deployment.digest:
                forget(connection)

    def _read(self) -> bool:
        found = self._documents.run_once() > 0
        if found:
            self._changed()
        return found

    def _wait_for_news(self) -> None:
        self._news.wait(self._documents.seconds_to_next())
        self._news.clear()

    def _repeat(
        self, name: str, work: Callable[[], bool], idle: Callable[[], object], stop: threading.Event
    ) -> None:
        pause = INTERVAL
        while not stop.is_set():
            try:
                busy = work()
            except Exception as error:  # a hub that serves what it has is better than none
                known = isinstance(error, SteelyardError)
                self._troubles[name] = str(error) if known else f"{type(error).__name__} in the indexer"
                log.warning("reading the %s is tried again", name, exc_info=True)
                stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self._troubles.pop(name, None)
            pause = INTERVAL
            if not busy:
                idle()


def _known_blocks(connection: Connection) -> list[tuple[int, bytes]]:
    """Number and hash of the newest blocks with events, and of the cursor's; ascending."""
    table = TABLES[EventRow]
    query = (
        select(table.c.block, table.c.block_hash)
        .distinct()
        .order_by(table.c.block.desc())
        .limit(KNOWN_BLOCKS)
    )
    known = {row.block: row.block_hash for row in connection.execute(query)}
    if cursor := get(connection, Cursor, 0):
        known[cursor.block] = cursor.hash
    return sorted(known.items())
