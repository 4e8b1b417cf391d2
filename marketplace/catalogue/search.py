"""Finding assets, and reading what the catalogue has about one of anything.

Every word of the query must occur in the listing's name, slug, description, creator or keywords, as part of a word too
("vibr" finds "vibration"); case and compatibility forms do not count, and no sign is special. Both databases answer
alike. Results are ordered by age, newest first: nothing that can be bought (sales, jobs) ranks anything.
`candidates` says how they are found in time.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Connection, func, select

from marketplace.catalogue.candidates import WINDOW, Wanted, for_anyone, newest
from marketplace.catalogue.models import storable
from marketplace.catalogue.rows import Asset, Entry, Job, Listing, Node, OfferDocument, place_of
from marketplace.catalogue.schema import TABLES, fetch, get
from marketplace.core.ids import Kind
from marketplace.core.terms import Purpose
from marketplace.errors import InputError

MAX_TEXT = 200
MAX_WORDS = 8
MAX_LIMIT = 100

_asset, _entry, _listing, _offer = (TABLES[row].c for row in (Asset, Entry, Listing, OfferDocument))


class Status(StrEnum):
    """How reading a document ended."""

    ok = "ok"
    unavailable = "unavailable"
    invalid = "invalid"


class Standing(StrEnum):
    """What an offer is worth at a moment; only `open` ones can be bought."""

    open = "open"
    forged = "forged"
    void = "void"
    expired = "expired"
    unavailable = "unavailable"
    invalid = "invalid"


def fold_case(text: str) -> str:
    """Text as search compares it: compatibility forms joined, case folded, spaces single; storable."""
    return " ".join(storable(unicodedata.normalize("NFKC", text).casefold()).split())


@dataclass(frozen=True)
class Place:
    """Where a page of results ends: the event that published the last asset of it."""

    block: int
    log_index: int

    def __str__(self) -> str:
        return f"{self.block}-{self.log_index}"

    def number(self) -> int:
        """As entries are placed; the last number that a database holds for one beyond."""
        return min(place_of(self.block, self.log_index), 2**63 - 1)

    @classmethod
    def parse(cls, text: str) -> Self:
        block, _, index = text.partition("-")
        if not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (block, index)):
            raise InputError("not a page of results", got=text, expected="the `next` of an earlier answer")
        return cls(int(block), int(index))


@dataclass(frozen=True)
class Query:
    """What is looked for; empty fields do not filter. max_price: token units per use, of an offer open to anyone.

    purpose: allowed by the terms. Raises InputError for text or limits out of bounds.
    """

    text: str = ""
    kind: Kind | None = None
    owner: str | None = None
    max_price: int | None = None
    purpose: Purpose | None = None
    limit: int = 20
    after: Place | None = None

    def __post_init__(self) -> None:
        if len(self.text) > MAX_TEXT or len(self.words()) > MAX_WORDS:
            raise InputError(
                "the query is too long",
                got=f"{len(self.text)} characters",
                expected=f"at most {MAX_TEXT} characters and {MAX_WORDS} words",
            )
        if not 1 <= self.limit <= MAX_LIMIT:
            raise InputError("the limit does not fit", got=self.limit, expected=f"1 to {MAX_LIMIT}")

    def words(self) -> list[str]:
        return fold_case(self.text).split()


@dataclass(frozen=True)
class Hit:
    """One result. price: of the cheapest offer open to anyone, in token units; offers: how many of these stand."""

    asset: Asset
    listing: Listing
    price: int | None
    offers: int


@dataclass(frozen=True)
class Page:
    """Results, newest first. next: what to pass as `after` for more, None at the end."""

    hits: tuple[Hit, ...]
    next: Place | None


def search(connection: Connection, query: Query, *, now: int, window: int = WINDOW) -> Page:
    """The assets whose listing was read and fits. now: Unix seconds, for offers that run out.

    window: how many entries are looked at one by one; the same answer for every value.
    """
    places = newest(connection, _wanted(query, now), query.limit + 1, window=window)
    shown = _hits(connection, places[: query.limit], now)
    more = len(places) > query.limit
    return Page(shown, Place(shown[-1].asset.block, shown[-1].asset.log_index) if more else None)


def _wanted(query: Query, now: int) -> Wanted:
    return Wanted(
        words=query.words(),
        kind=None if query.kind is None else query.kind.value,
        owner=query.owner,
        max_price=query.max_price,
        purpose=query.purpose,
        before=None if query.after is None else query.after.number(),
        now=now,
    )


def _hits(connection: Connection, places: list[int], now: int) -> tuple[Hit, ...]:
    # Scalar subqueries: asked for the page's rows only, not for all that fit.
    offers = select(_offer.price, _offer.offer_digest).where(for_anyone(now))
    price = offers.with_only_columns(func.min(_offer.price)).scalar_subquery()
    count = offers.with_only_columns(func.count(_offer.offer_digest.distinct())).scalar_subquery()
    statement = (
        select(TABLES[Asset], TABLES[Listing], price, count)
        .join(TABLES[Entry], _entry.asset_id == _asset.asset_id)
        .join(TABLES[Listing], _listing.asset_id == _asset.asset_id)
        .where(_entry.place.in_(places))
        .order_by(_entry.place.desc())
    )
    return tuple(_hit(tuple(row)) for row in connection.execute(statement))


def _hit(row: tuple[Any, ...]) -> Hit:
    width = len(fields(Asset))
    asset, listing = Asset(*row[:width]), Listing(*row[width:-2])
    return Hit(asset, listing, row[-2], row[-1] or 0)


@dataclass(frozen=True)
class OfferView:
    """An announced offer and what it is worth now."""

    offer: OfferDocument
    standing: Standing


def offers_of(connection: Connection, asset: Asset, *, now: int) -> list[OfferView]:
    """All offers announced for an asset, cheapest open one first; documents of strangers included, and named."""
    query = select(TABLES[OfferDocument]).where(_offer.asset_id == asset.asset_id).limit(MAX_LIMIT * 10)
    views = [OfferView(row, standing(row, asset, now=now)) for row in fetch(connection, OfferDocument, query)]
    return sorted(views, key=_rank)


def offer(connection: Connection, digest: bytes, *, now: int) -> OfferView | None:
    """The best document announced under an offer's digest."""
    query = select(TABLES[OfferDocument]).where(_offer.offer_digest == digest).limit(MAX_LIMIT * 10)
    views = []
    for row in fetch(connection, OfferDocument, query):
        asset = get(connection, Asset, row.asset_id)
        views.append(OfferView(row, standing(row, asset, now=now)))
    return min(views, key=_rank, default=None)


def standing(row: OfferDocument, asset: Asset | None, *, now: int) -> Standing:
    """What an announced document is worth. now: Unix seconds."""
    if row.status != Status.ok:
        return Standing(row.status)
    if asset is None or row.signer != asset.owner:
        return Standing.forged
    if row.epoch != asset.epoch:
        return Standing.void
    return Standing.open if row.valid_until >= now else Standing.expired


_ORDER = (
    Standing.open,
    Standing.expired,
    Standing.void,
    Standing.forged,
    Standing.unavailable,
    Standing.invalid,
)


def _rank(view: OfferView) -> tuple[int, int, bytes, bytes]:
    return _ORDER.index(view.standing), view.offer.price, view.offer.offer_digest, view.offer.document


def node_of(connection: Connection, job: Job) -> str | None:
    """The present node of a job's provider."""
    row = get(connection, Node, job.provider)
    return row.node if row else None
