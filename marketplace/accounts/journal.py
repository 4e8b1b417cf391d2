"""Which events were told, and which were taken back: what lets streams and webhooks go on without loss or doubling.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from marketplace.core.event_id import EventId

KEPT = 100_000
"""Events that were taken back and are remembered."""


def begin(connection: sqlite3.Connection, deployment: bytes) -> None:
    """Forgets the events of another market. deployment: digest of the file that they belong to."""
    row = connection.execute("select value from meta where name = 'deployment'").fetchone()
    if row is None or row[0] != deployment:
        connection.execute("delete from seen")
        connection.execute("delete from undone")
        connection.execute("insert or replace into meta values ('deployment', ?)", (deployment,))


def newest(connection: sqlite3.Connection) -> EventId | None:
    """The last event that was told."""
    row = connection.execute(
        "select block, log_index, hash from seen order by block desc, log_index desc limit 1"
    ).fetchone()
    return None if row is None else EventId(*row)


def before(connection: sqlite3.Connection, place: EventId, most: int) -> list[EventId]:
    """Told events from `place` backwards, with it; newest first."""
    rows = connection.execute(
        "select block, log_index, hash from seen where (block, log_index) <= (?, ?)"
        " order by block desc, log_index desc limit ?",
        (place.block, place.index, most),
    )
    return [EventId(*row) for row in rows]


def take_back(connection: sqlite3.Connection, gone: Sequence[EventId], base: EventId | None) -> None:
    """gone: no longer on chain, newest first. base: the newest told event that still is, if any."""
    batch = connection.execute("select coalesce(max(batch), 0) + 1 from undone").fetchone()[0]
    connection.executemany(
        "insert into undone (batch, id, block, log_index, base) values (?, ?, ?, ?, ?)",
        [(batch, str(id), id.block, id.index, str(base) if base else None) for id in gone],
    )
    connection.executemany(
        "delete from seen where block = ? and log_index = ?", [(id.block, id.index) for id in gone]
    )
    connection.execute("delete from undone where number <= (select max(number) from undone) - ?", (KEPT,))


def add(connection: sqlite3.Connection, told: Sequence[EventId]) -> None:
    """In the order of the chain."""
    connection.executemany(
        "insert into seen values (?, ?, ?)", [(id.block, id.index, id.hash) for id in told]
    )


def is_seen(connection: sqlite3.Connection, event: EventId) -> bool:
    """Whether it was told and not taken back."""
    row = connection.execute(
        "select hash from seen where block = ? and log_index = ?", (event.block, event.index)
    ).fetchone()
    return row is not None and row[0] == event.hash


def undo(connection: sqlite3.Connection, last: EventId) -> tuple[list[EventId], EventId | None] | None:
    """For one who was told `last`, which was taken back since: what else went with it, newest first, and what stayed.

    What stayed may have been taken back by a later reorganisation: ask again. None where `last` is not known.
    """
    row = connection.execute(
        "select batch, base from undone where id = ? order by number desc limit 1", (str(last),)
    ).fetchone()
    if row is None:
        return None
    batch, base = row
    gone = connection.execute(
        "select id from undone where batch = ? and (block, log_index) <= (?, ?) order by block desc, log_index desc",
        (batch, last.block, last.index),
    )
    return [EventId.parse(id) for (id,) in gone], EventId.parse(base) if base else None
