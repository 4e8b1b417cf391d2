"""Pages of what the catalogue has, and its log of events: each list goes on after the last row of the page before."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from marketplace.catalogue.rows import (
    Announcement,
    Asset,
    Credit,
    Cursor,
    EventRow,
    Grant,
    Job,
    OfferDocument,
    Participant,
    Row,
)
from marketplace.catalogue.schema import TABLES, fetch, get
from marketplace.catalogue.search import Place
from marketplace.core.event_id import EventId
from marketplace.core.ids import Kind

R = TypeVar("R", bound=Row)

MAX_CREDITS = 100
"""Holders of a model's credits that are shown."""


def jobs(
    connection: Connection,
    *,
    buyer: str | None = None,
    provider: str | None = None,
    asset: int | None = None,
    state: int | None = None,
    after: Place | None = None,
    limit: int,
) -> list[Job]:
    """Jobs that fit all that is given, newest first."""
    job = TABLES[Job].c
    given = {job.buyer: buyer, job.provider: provider, job.asset_id: asset, job.state: state}
    filters = [column == value for column, value in given.items() if value is not None]
    return fetch(connection, Job, _newest_first(select(TABLES[Job]).where(*filters), job, after, limit))


def models(
    connection: Connection, *, owner: str | None, holder: str | None, after: Place | None, limit: int
) -> list[Asset]:
    """Models, newest first. holder: has some of their credits."""
    asset, credit = TABLES[Asset].c, TABLES[Credit].c
    filters: list[ColumnElement[bool]] = [asset.kind == Kind.model.value]
    if owner is not None:
        filters.append(asset.owner == owner)
    if holder is not None:
        filters.append(asset.asset_id.in_(select(credit.model_id).where(credit.account == holder)))
    return fetch(connection, Asset, _newest_first(select(TABLES[Asset]).where(*filters), asset, after, limit))


def credits_of(connection: Connection, model: int) -> list[Credit]:
    """Who holds a model's credits, by address; at most MAX_CREDITS."""
    table = TABLES[Credit]
    query = select(table).where(table.c.model_id == model).order_by(table.c.account).limit(MAX_CREDITS)
    return fetch(connection, Credit, query)


def offers(
    connection: Connection, asset: int, *, after: Place | None, limit: int
) -> list[tuple[Announcement, OfferDocument]]:
    """What was announced for an asset and has been read, newest first."""
    announced, document = TABLES[Announcement], TABLES[OfferDocument]
    same = [announced.c[name] == document.c[name] for name in Announcement.KEY]
    query = select(announced, document).join(document, and_(*same)).where(announced.c.asset_id == asset)
    width = len(announced.c)
    return [
        (Announcement(*row[:width]), OfferDocument(*row[width:]))
        for row in connection.execute(_newest_first(query, announced.c, after, limit))
    ]


def grants(
    connection: Connection,
    *,
    buyer: str | None,
    provider: str | None,
    asset: int | None,
    after: tuple[bytes, str] | None,
    limit: int,
) -> list[Grant]:
    """Grants that fit all that is given, by offer and buyer. after: the offer's digest and the buyer."""
    grant = TABLES[Grant].c
    given = {grant.buyer: buyer, grant.provider: provider, grant.asset_id: asset}
    filters: list[ColumnElement[bool]] = [
        column == value for column, value in given.items() if value is not None
    ]
    if after is not None:
        same_offer = and_(grant.offer_digest == after[0], grant.buyer > after[1])
        filters.append(or_(grant.offer_digest > after[0], same_offer))
    query = select(TABLES[Grant]).where(*filters).order_by(grant.offer_digest, grant.buyer).limit(limit)
    return fetch(connection, Grant, query)


def participants(connection: Connection, *, after: str | None, limit: int) -> list[Participant]:
    """Everybody who traded, by address."""
    table = TABLES[Participant]
    query = select(table).order_by(table.c.account).limit(limit)
    return fetch(connection, Participant, query if after is None else query.where(table.c.account > after))


def reached(connection: Connection) -> int | None:
    """The newest block that was read."""
    cursor = get(connection, Cursor, 0)
    return cursor.block if cursor else None


def stands(connection: Connection, event: EventId) -> bool:
    """Whether the chain, as the catalogue has it, still holds this event."""
    found = get(connection, EventRow, event.block, event.index)
    return found is not None and id_of(found) == event


def id_of(row: EventRow) -> EventId:
    """The event's name."""
    return EventId.of(row.block, row.log_index, row.block_hash)


def events(
    connection: Connection, *, after: EventId | None, to: EventId | None = None, limit: int
) -> list[EventRow]:
    """Events in the order of the chain: after one, up to another."""
    log = TABLES[EventRow]
    query = select(log).order_by(log.c.block, log.c.log_index).limit(limit)
    if after is not None:
        later = and_(log.c.block == after.block, log.c.log_index > after.index)
        query = query.where(or_(log.c.block > after.block, later))
    if to is not None:
        sooner = and_(log.c.block == to.block, log.c.log_index <= to.index)
        query = query.where(or_(log.c.block < to.block, sooner))
    return fetch(connection, EventRow, query)


def _newest_first(query: Select[Any], columns: Any, after: Place | None, limit: int) -> Select[Any]:
    if after is not None:
        earlier = and_(columns.block == after.block, columns.log_index < after.log_index)
        query = query.where(or_(columns.block < after.block, earlier))
    return query.order_by(columns.block.desc(), columns.log_index.desc()).limit(limit)
