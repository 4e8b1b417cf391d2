"""Events into the database, and out again after a reorganisation. Every function works inside the caller's transaction.

The `event` table is the only memory of the chain; all other rows about it are its fold. So a reorganisation needs no
undo log: the events above the fork are deleted and the rest is folded once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    Entry,
    EventRow,
    Listing,
    OfferDocument,
    place_of,
)
from marketplace.catalogue.schema import TABLES, clear, fetch, get, get_all, put
from marketplace.catalogue.tables import named_by
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

    tables = Tables(load)
    _load_ahead(connection, tables, events)
    for rows in fold(tables, events).changed().values():
        put(connection, rows)


def _load_ahead(connection: Connection, tables: Tables, things: Sequence[object]) -> None:
    """Loads the rows that events speak of, and those that these rows speak of: a few questions, not one for each."""
    while things:
        wanted = {row: tables.unknown(row, keys) for row, keys in named_by(things).items()}
        found = {row: get_all(connection, row, keys) for row, keys in wanted.items() if keys}
        for row, rows in found.items():
            tables.know(row, wanted[row], rows)
        things = [row for rows in found.values() for row in rows]


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
    listing, entry, asset = TABLES[Listing], TABLES[Entry], TABLES[Asset]
    place: Any = place_of(asset.c.block, asset.c.log_index)  # type: ignore[arg-type]  # the database counts
    there = exists().where(asset.c.asset_id == entry.c.asset_id, place == entry.c.place)
    connection.execute(delete(entry).where(~there))
    named = exists().where(asset.c.asset_id == listing.c.asset_id, asset.c.metadata == listing.c.digest)
    # A listing whose asset stands at another place now is read again, and then has its entry there.
    found = exists().where(entry.c.asset_id == listing.c.asset_id)
    connection.execute(delete(listing).where(~named | ((listing.c.status == "ok") & ~found)))
    document, announced = TABLES[OfferDocument], TABLES[Announcement]
    same: list[ColumnElement[bool]] = [announced.c[name] == document.c[name] for name in Announcement.KEY]
    connection.execute(delete(document).where(~exists().where(*same)))


def _chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    rest = iter(events)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
