"""Events into the database, and out again after a reorganisation. Every function works inside the caller's transaction.

The `event` table is the only memory of the chain; all other rows about it are its fold. So a reorganisation needs no
undo log: the events above the fork are deleted and the rest is folded once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select

from marketplace.catalogue.fold import Tables, fold
from marketplace.catalogue.record import from_row, to_row
from marketplace.catalogue.rows import (
    DOCUMENTS,
    FOLDED,
    SOURCES,
    Announcement,
    Asset,
    EventRow,
    Listing,
    OfferDocument,
)
from marketplace.catalogue.schema import TABLES, clear, fetch, get, put
from marketplace.core.events import Event

CHUNK = 2_000
"""Events folded before their rows are written."""


def append(connection: Connection, events: Iterable[Event]) -> None:
    """Records new events, in the order of the chain, and folds them into the read model."""
    for chunk in _chunks(events):
        put(connection, [to_row(event) for event in chunk])
        _fold_into(connection, chunk)


def roll_back(connection: Connection, fork: int) -> None:
    """Forgets everything above block `fork`."""
    log = TABLES[EventRow]
    gone = connection.execute(delete(log).where(log.c.block > fork)).rowcount
    if gone:
        refold(connection)


def refold(connection: Connection) -> None:
    """Makes the folded rows again from the recorded events, and drops documents that nothing names any more."""
    clear(connection, FOLDED)
    for chunk in _chunks(_recorded(connection)):
        _fold_into(connection, chunk)
    _drop_orphans(connection)


def forget(connection: Connection) -> None:
    """Empties everything."""
    clear(connection, (*SOURCES, *FOLDED, *DOCUMENTS))


def _fold_into(connection: Connection, events: list[Event]) -> None:
    def load(row: type[Any], key: tuple[object, ...]) -> Any:
        return get(connection, row, *key)

    for rows in fold(Tables(load), events).changed().values():
        put(connection, rows)


def _recorded(connection: Connection) -> Iterator[Event]:
    # In pages by key: an open cursor would see the rows that are written meanwhile.
    log, after = TABLES[EventRow], (-1, -1)
    while True:
        later = (log.c.block > after[0]) | and_(log.c.block == after[0], log.c.log_index > after[1])
        query = select(log).where(later).order_by(log.c.block, log.c.log_index).limit(CHUNK)
        page = fetch(connection, EventRow, query)
        if not page:
            return
        yield from (from_row(row) for row in page)
        after = page[-1].block, page[-1].log_index


def _drop_orphans(connection: Connection) -> None:
    listing, asset = TABLES[Listing], TABLES[Asset]
    named = exists().where(asset.c.asset_id == listing.c.asset_id, asset.c.metadata == listing.c.digest)
    connection.execute(delete(listing).where(~named))
    document, announced = TABLES[OfferDocument], TABLES[Announcement]
    same: list[ColumnElement[bool]] = [announced.c[name] == document.c[name] for name in Announcement.KEY]
    connection.execute(delete(document).where(~exists().where(*same)))


def _chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    rest = iter(events)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
