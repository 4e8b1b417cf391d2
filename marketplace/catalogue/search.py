"""Finding assets, and reading what the catalogue has about one of anything.

Text is searched as substrings (`instr`, as LIKE without its wildcards), not with FTS5: every word of the query must
occur in the listing's name, slug, description, creator or keywords, as part of a word too ("vibr" finds "vibration"),
and no index of its own has to be kept and rebuilt. The cost is one scan of the listings until a page is full.
Results are ordered by age, newest first: nothing that can be bought (sales, jobs) ranks anything.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from marketplace.catalogue.rows import Asset, Job, Listing, Node, OfferDocument
from marketplace.catalogue.schema import TABLES, fetch, get
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind
from marketplace.core.terms import Purpose
from marketplace.errors import InputError

MAX_TEXT = 200
MAX_WORDS = 8
MAX_LIMIT = 100

_asset, _listing, _offer = TABLES[Asset].c, TABLES[Listing].c, TABLES[OfferDocument].c


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
    """Text as search compares it: compatibility forms joined, case folded, spaces single."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True)
class Place:
    """Where a page of results ends: the event that published the last asset of it."""

    block: int
    log_index: int

    def __str__(self) -> str:
        return f"{self.block}-{self.log_index}"

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


def search(connection: Connection, query: Query, *, now: int) -> Page:
    """The assets whose listing was read and fits. now: Unix seconds, for offers that run out."""
    # Scalar subqueries: asked for the page's rows only, not for all that fit.
    offers = select(_offer.price, _offer.offer_digest).where(_for_anyone(now))
    price = offers.with_only_columns(func.min(_offer.price)).scalar_subquery()
    count = offers.with_only_columns(func.count(_offer.offer_digest.distinct())).scalar_subquery()
    statement = (
        select(TABLES[Asset], TABLES[Listing], price, count)
        .join(TABLES[Listing], _listing.asset_id == _asset.asset_id)
        .where(_listing.status == Status.ok, *_filters(query, now))
        .order_by(_asset.block.desc(), _asset.log_index.desc())
        .limit(query.limit + 1)
    )
    hits = [_hit(tuple(row)) for row in connection.execute(statement)]
    shown = tuple(hits[: query.limit])
    more = len(hits) > query.limit
    return Page(shown, Place(shown[-1].asset.block, shown[-1].asset.log_index) if more else None)


def _for_anyone(now: int) -> ColumnElement[bool]:
    """An offer of the asset at hand that anyone can buy."""
    return and_(
        _offer.asset_id == _asset.asset_id,
        _offer.buyer == ZERO_ADDRESS,
        _offer.status == Status.ok,
        _offer.signer == _asset.owner,
        _offer.epoch == _asset.epoch,
        _offer.valid_until >= now,
    )


def _filters(query: Query, now: int) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = [func.instr(_listing.words, word) > 0 for word in query.words()]
    if query.kind is not None:
        filters.append(_asset.kind == query.kind.value)
    if query.owner is not None:
        filters.append(_asset.owner == query.owner)
    if query.max_price is not None:
        filters.append(exists().where(_for_anyone(now), _offer.price <= query.max_price))
    if query.purpose is not None:
        filters.append(_listing.purposes.contains(f" {query.purpose} ", autoescape=True))
    if query.after is not None:
        place = query.after
        same_block = and_(_asset.block == place.block, _asset.log_index < place.log_index)
        filters.append(or_(_asset.block < place.block, same_block))
    return filters


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
