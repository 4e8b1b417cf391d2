"""Listings and offers from the shared store: fetched by digest, parsed by the core's types, never believed.

A document that is missing, or whose bytes are wrong, is `unavailable` and tried again, ever more rarely; one that
arrived and does not fit is `invalid` for good, since its digest fixes its bytes. Neither stops anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, exists, select

from marketplace.catalogue.rows import (
    Announcement,
    Asset,
    Entry,
    Listing,
    OfferDocument,
    Row,
    place_of,
)
from marketplace.catalogue.schema import TABLES, Database, fetch, get, put
from marketplace.catalogue.search import Status, fold_case
from marketplace.chain.client import Chain
from marketplace.core import dataset
from marketplace.core.canonical import canonical
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, Accepts, Domain, require_signer
from marketplace.core.ids import Did, Kind, asset_id, kind_of
from marketplace.core.offer import Offer, Signed
from marketplace.core.spec import ModelCard
from marketplace.core.terms import Purpose, Terms
from marketplace.errors import InputError, IntegrityError, NotFoundError, SteelyardError, UnavailableError
from marketplace.storage import ContentStore, get_document

BATCH = 50
"""Documents fetched before their rows are written."""

SECONDS_PER_BATCH = 2.0
"""After which what was fetched is written, and the rest left to the next batch."""

FIRST_RETRY = 1.0
LAST_RETRY = 900.0
"""Seconds until an unavailable document is tried again: doubling from the first to the last."""

MAX_FAILURE_FEE_BPS = 2_000

NOT_ENFORCED = (
    "royalty_bps",
    "royalty_floor",
    "max_contributors",
    "min_credit_bps",
    "budget_cost",
)
"""Fields that contracts/libraries/OfferRules.sol refuses unless they are zero."""

Named = Asset | Announcement
Read = tuple[Listing, Entry]
Rows = Read | tuple[Listing] | tuple[OfferDocument]
"""What one document gives: a listing that could be read, its entry for search too."""

R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Place:
    """Where the documents belong: one market and its registry on one chain. accepts: asks its contracts now."""

    domain: Domain
    registry: str
    accepts: Accepts

    @classmethod
    def of(cls, chain: Chain) -> Place:
        return cls(chain.domain, chain.deployment.asset_registry, chain.accepts)

    def did(self, asset: int) -> Did:
        return Did(self.domain.chain_id, self.registry, asset)


class DocumentReader:
    """Fills the tables of documents for whatever the chain names and nobody has read yet."""

    def __init__(
        self,
        store: ContentStore,
        database: Database,
        place: Place,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._database = database
        self._place = place
        self._clock = clock
        self._retries: dict[tuple[object, ...], tuple[float, float]] = {}  # when, and how long it then waits

    def run_once(self) -> int:
        """Reads up to BATCH documents; returns how many. Raises UnavailableError where the database is."""
        read = list(self._read_in_time(self._wanted()))
        if read:
            with self._database.write() as connection:
                for named, rows in read:
                    # The chain may have been reorganised while the store was asked.
                    now = get(connection, type(named), *named.key())
                    if now is not None and _origin(now) == _origin(named):
                        for row in rows:
                            put(connection, [row])
        return len(read)

    def _read_in_time(self, wanted: list[Named]) -> Iterator[tuple[Named, Rows]]:
        # A store that is silent costs one timeout here, not one for each document.
        end = time.monotonic() + SECONDS_PER_BATCH
        for named in wanted:
            yield named, self._read(named)
            if time.monotonic() > end:
                return

    def seconds_to_next(self) -> float:
        """Until the next unavailable document is to be tried again; at most LAST_RETRY."""
        first = min((when for when, _ in self._retries.values()), default=float("inf"))
        return min(max(0.0, first - self._clock()), LAST_RETRY)

    def _wanted(self) -> list[Named]:
        with self._database.read() as connection:
            fresh: list[Named] = [
                *_unread(connection, Asset, Listing),
                *_unread(connection, Announcement, OfferDocument),
            ]
            again: list[Named] = [
                *_unavailable(connection, Asset, Listing),
                *_unavailable(connection, Announcement, OfferDocument),
            ]
        now = self._clock()
        self._retries = {named.key(): self._retries.get(named.key(), (now, FIRST_RETRY)) for named in again}
        due = [named for named in again if self._retries[named.key()][0] <= now]
        due.sort(key=lambda named: self._retries[named.key()][0])
        return [*fresh, *due][:BATCH]

    def _read(self, named: Named) -> Rows:
        rows: Rows
        if isinstance(named, Asset):
            rows = read_listing(self._store, named, self._place)
        else:
            rows = (read_offer(self._store, named, self._place),)
        if rows[0].status == Status.unavailable:
            _, delay = self._retries.get(named.key(), (0.0, FIRST_RETRY))
            self._retries[named.key()] = (self._clock() + delay, min(delay * 2, LAST_RETRY))
        return rows


def _origin(named: Named) -> tuple[object, ...]:
    """What the rows of a document are made from beside it."""
    return (named.metadata, named.block, named.log_index) if isinstance(named, Asset) else (named.document,)


def _unread(connection: Connection, named: type[R], document: type[Row]) -> list[R]:
    names, documents = TABLES[named], TABLES[document]
    found = exists().where(*(documents.c[name] == names.c[name] for name in named.KEY))
    query = select(names).where(~found).order_by(names.c.block, names.c.log_index).limit(BATCH)
    return fetch(connection, named, query)


def _unavailable(connection: Connection, named: type[R], document: type[Row]) -> list[R]:
    names, documents = TABLES[named], TABLES[document]
    same = [documents.c[name] == names.c[name] for name in named.KEY]
    return fetch(connection, named, select(names).where(*same, documents.c.status == Status.unavailable))


def read_listing(store: ContentStore, asset: Asset, place: Place) -> Read | tuple[Listing]:
    """What the store holds under an asset's metadata digest. Never raises: what is wrong stands in the row."""
    try:
        read = {Kind.dataset: _dataset, Kind.model: _model}.get(kind_of(asset.asset_id), _unknown)
        return read(store, asset, place)
    except Exception as error:
        status, reason = _outcome(error)
        return (Listing(asset.asset_id, asset.metadata, status, reason, "", "", "", 0, "", ""),)


def _dataset(store: ContentStore, asset: Asset, place: Place) -> Read:
    block = _fetch(store, asset.metadata)
    listing = dataset.Listing.parse(block)
    if listing.did != place.did(asset.asset_id):
        raise InputError(
            "the listing names another asset", got=listing.did, expected=place.did(asset.asset_id)
        )
    terms = Terms.parse(_fetch(store, listing.terms.digest))
    if terms.asset != listing.did:
        raise InputError("the terms are for another asset", got=terms.asset, expected=listing.did)
    words = (listing.name, listing.slug, listing.description, listing.creator.name, *listing.keywords)
    row = Listing(
        asset_id=asset.asset_id,
        digest=asset.metadata,
        status=Status.ok,
        reason="",
        slug=listing.slug,
        name=listing.name,
        description=listing.description,
        rows=listing.rows,
        purposes=_spaced(terms.purposes or Purpose),
        document=block.decode(),
    )
    return row, entry_of(asset, row, " ".join(words))


def _model(store: ContentStore, asset: Asset, place: Place) -> Read:
    block = _fetch(store, asset.metadata)
    card = ModelCard.parse(block)
    if asset_id(Kind.model, asset.publisher, bytes.fromhex(card.job[2:])) != asset.asset_id:
        raise InputError("the model card names another model's job", got=card.job)
    description = f"Trained by {card.algorithm_name} on {card.dataset}."
    row = Listing(
        asset_id=asset.asset_id,
        digest=asset.metadata,
        status=Status.ok,
        reason="",
        slug="",
        name=card.name,
        description=description,
        rows=0,
        purposes=_spaced(purpose for purpose in Purpose if purpose == card.purpose),
        document=block.decode(),
    )
    return row, entry_of(asset, row, f"{card.name} {description}")


def entry_of(asset: Asset, listing: Listing, words: str) -> Entry:
    """What search keeps of a listing that was read. words: all that it looks through, as they were written."""
    place = place_of(asset.block, asset.log_index)
    return Entry(place, asset.asset_id, asset.kind, fold_case(words), listing.purposes)


def _unknown(store: ContentStore, asset: Asset, place: Place) -> Read:
    raise InputError(
        "there is no form of listing for this kind of asset yet", got=kind_of(asset.asset_id).name
    )


def read_offer(store: ContentStore, announcement: Announcement, place: Place) -> OfferDocument:
    """What the store holds under an announcement. Never raises: what is wrong stands in the row."""
    key = announcement.offer_digest, announcement.document, announcement.asset_id
    try:
        signed = Signed.parse(_fetch(store, announcement.document))
        offer = signed.struct
        if not isinstance(offer, Offer):
            raise InputError("the announced document is no offer", got=type(offer).__name__, expected="Offer")
        if offer.asset_id != announcement.asset_id:
            raise InputError(
                "the offer is for another asset", got=offer.asset_id, expected=announcement.asset_id
            )
        digest = offer.digest(place.domain)
        if digest != announcement.offer_digest:
            raise IntegrityError("the announced digest is another offer's", expected="0x" + digest.hex())
        signer = _signer(offer, signed.signature, place)
        _check_buyable(offer)
    except Exception as error:
        status, reason = _outcome(error)
        return OfferDocument(*key, status, reason, ZERO_ADDRESS, ZERO_ADDRESS, ZERO_ADDRESS, 0, 0, 0, "")
    return OfferDocument(
        *key,
        status=Status.ok,
        reason="",
        signer=signer,
        provider=offer.provider,
        buyer=offer.buyer,
        price=offer.price,
        valid_until=offer.valid_until,
        epoch=offer.epoch,
        text=canonical({"offer": offer.to_json(), "signature": "0x" + signed.signature.hex()}).decode(),
    )


def _signer(offer: Offer, signature: bytes, place: Place) -> str:
    """Who signed: the provider, by its key or, where it is a contract, by its word of now; or whoever else's key."""
    try:
        require_signer(offer.digest(place.domain), signature, offer.provider, place.accepts, what="offer")
    except IntegrityError:
        return offer.signer(place.domain, signature)
    return offer.provider


def _check_buyable(offer: Offer) -> None:
    """What Market.buy asks of every offer; it refuses fields that nothing enforces yet."""
    for name in NOT_ENFORCED:
        if getattr(offer, name) not in (0, ZERO_ADDRESS, ZERO_BYTES32):
            raise InputError(f"the market takes no offer with the field {name} yet", got=getattr(offer, name))
    for judge in (offer.arbiter, offer.verifier):
        if judge == offer.provider != ZERO_ADDRESS:
            raise InputError("the offer's provider would judge its own case", got=judge)
    if offer.failure_fee_bps > MAX_FAILURE_FEE_BPS:
        raise InputError(
            "the failure fee is too high", got=offer.failure_fee_bps, expected="at most 2000 bps"
        )
    if offer.provider == ZERO_ADDRESS:
        raise InputError("the offer names no provider")


def _fetch(store: ContentStore, digest: bytes) -> bytes:
    try:
        return get_document(store, digest)
    except IntegrityError as error:
        # The digest still names a document; the store may yet come by the right bytes.
        raise UnavailableError("the store holds other bytes under this name") from error
    except SteelyardError:
        raise
    except Exception as error:  # as when the store is closed under a reader: no fault of the document
        raise UnavailableError(f"the store failed: {type(error).__name__}") from error


def _outcome(error: Exception) -> tuple[str, str]:
    """Status and reason. Any exception is taken: a stranger's document must not stop the catalogue by a bug of ours."""
    if isinstance(error, NotFoundError | UnavailableError):
        return Status.unavailable, error.what[:500]
    if isinstance(error, SteelyardError):
        return Status.invalid, str(error)[:2_000]
    return Status.invalid, f"reading it failed: {type(error).__name__}"


def _spaced(words: Iterable[str]) -> str:
    # A space on both sides of each, so that search finds whole words.
    return f" {' '.join(words)} "
