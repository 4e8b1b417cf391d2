"""Where a search begins: the places of the newest entries that fit, by the way that looks at the fewest rows.

First the newest WINDOW entries are looked at one by one: whatever is common fills a page there. What is rarer is
beyond, found from its rarest end: few offers so cheap, few assets of that owner, or the grams of the words. The
answer is the same by every way; only the time differs. Nothing here depends on a planner's statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    column,
    exists,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from marketplace.catalogue.models import TABLES
from marketplace.catalogue.rows import Asset, Entry, OfferDocument
from marketplace.core.eip712 import ZERO_ADDRESS

WINDOW = 1_000
"""Entries that are looked at one by one."""

FEW = 3_000
"""Offers or assets, or fewer, from which a search may begin."""

GRAM = 3
"""Characters of a gram; shorter words have none, and are looked for in all entries."""

entries, assets, offers = TABLES[Entry].c, TABLES[Asset].c, TABLES[OfferDocument].c
_grams = table("entry_grams", column("rowid"), column("entry_grams"))


class Occurs(FunctionElement[bool]):
    """Whether the second text occurs in the first, every sign meaning itself."""

    inherit_cache = True


@compiles(Occurs, "sqlite")
def _occurs_sqlite(element: Occurs, compiler: SQLCompiler, **options: object) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


@compiles(Occurs, "postgresql")
def _occurs_postgresql(element: Occurs, compiler: SQLCompiler, **options: object) -> str:
    return f"strpos({compiler.process(element.clauses, **options)}) > 0"


@dataclass(frozen=True)
class Wanted:
    """What an entry must be. words: each occurs, case folded. max_price: of an offer that anyone can buy at `now`.

    before: the place that all results stand before, if any. Empty fields do not filter. now: Unix seconds.
    """

    words: Sequence[str]
    kind: int | None
    owner: str | None
    max_price: int | None
    purpose: str | None
    before: int | None
    now: int


def newest(connection: Connection, wanted: Wanted, limit: int, *, window: int = WINDOW) -> list[int]:
    """The places of the newest entries that fit, at most `limit`, newest first."""
    edge = connection.execute(_edge(wanted.before, window)).scalar()
    near = _in_order(wanted, limit)
    found = list(connection.scalars(near if edge is None else near.where(entries.place > edge)))
    if len(found) < limit and edge is not None:
        found += connection.scalars(_beyond(connection, wanted, edge, limit - len(found)))
    return found


def for_anyone(now: int) -> ColumnElement[bool]:
    """An offer of the asset at hand that anyone can buy. now: Unix seconds."""
    return and_(_offered(now), offers.asset_id == assets.asset_id, *_by_owner())


def _offered(now: int) -> ColumnElement[bool]:
    return and_(offers.buyer == ZERO_ADDRESS, offers.status == "ok", offers.valid_until >= now)


def _by_owner() -> tuple[ColumnElement[bool], ...]:
    return offers.signer == assets.owner, offers.epoch == assets.epoch


def _edge(before: int | None, window: int) -> Select[int]:
    """The place of the first entry behind the window."""
    query = select(entries.place).order_by(entries.place.desc()).offset(window).limit(1)
    return query if before is None else query.where(entries.place < before)


def _in_order(wanted: Wanted, limit: int) -> Select[int]:
    # An owner next to nothing is no name in an index: a planner would begin with all that an owner has.
    query = _fitting(wanted, owner=assets.owner + "").order_by(entries.place.desc()).limit(limit)
    return query if wanted.before is None else query.where(entries.place < wanted.before)


def _beyond(connection: Connection, wanted: Wanted, edge: int, limit: int) -> Select[int]:
    """From the rarest end. Adding 0 to a place keeps a planner from walking all places in their order."""
    place = entries.place + 0
    query = _fitting(wanted).where(place <= edge).order_by(place.desc()).limit(limit)
    if wanted.max_price is not None:
        cheap = select(offers.asset_id).where(_offered(wanted.now), offers.price <= wanted.max_price)
        if _few(connection, cheap):
            return query.where(entries.asset_id.in_(cheap))
    if wanted.owner is not None:
        owned = select(assets.asset_id).where(assets.owner == wanted.owner)
        if _few(connection, owned):
            return query
    if grams := grams_of(wanted.words):
        return _by_grams(connection, wanted, grams, edge).limit(limit)
    return _in_order(wanted, limit).where(entries.place <= edge)


def _few(connection: Connection, query: Select[int]) -> bool:
    some = query.limit(FEW + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) <= FEW


def _by_grams(connection: Connection, wanted: Wanted, grams: list[str], edge: int) -> Select[int]:
    if connection.dialect.name == "sqlite":
        # Rows come in the order of their numbers, which are places: the search ends when the page is full.
        match = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        row = _grams.c.rowid
        found = _fitting(wanted).join(_grams, row == entries.place)
        return found.where(_grams.c.entry_grams.op("MATCH")(match), row <= edge).order_by(row.desc())
    array = literal(grams, postgresql.ARRAY(Text()))
    held = select(entries.place).where(func.entry_grams(entries.words).op("@>")(array), *_of_entry(wanted))
    there = held.where(entries.place <= edge).cte("held").prefix_with("MATERIALIZED", dialect="postgresql")
    found = _fitting(wanted).join(there, there.c.place == entries.place)
    return found.order_by(there.c.place.desc())


def grams_of(words: Sequence[str]) -> list[str]:
    """Grams that every text holds in which these words occur: side by side, so that they cover each word."""
    grams = [word[start : start + GRAM] for word in words for start in range(0, len(word) - GRAM + 1, GRAM)]
    grams += [word[-GRAM:] for word in words if len(word) > GRAM]
    return list(dict.fromkeys(grams))


def _fitting(wanted: Wanted, owner: ColumnElement[str] = assets.owner) -> Select[int]:
    query = select(entries.place).where(*_of_entry(wanted))
    if wanted.owner is None and wanted.max_price is None:
        return query
    query = query.join(TABLES[Asset], assets.asset_id == entries.asset_id)
    if wanted.owner is not None:
        query = query.where(owner == wanted.owner)
    if wanted.max_price is not None:
        query = query.where(exists().where(for_anyone(wanted.now), offers.price <= wanted.max_price))
    return query


def _of_entry(wanted: Wanted) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [Occurs(entries.words, word) for word in wanted.words]
    if wanted.kind is not None:
        filters.append(entries.kind == wanted.kind)
    if wanted.purpose is not None:
        filters.append(Occurs(entries.purposes, f" {wanted.purpose} "))
    return filters
