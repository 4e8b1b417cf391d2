"""Finds offers and jobs, and by `names` assets and listings, from chain and content alone; no hub, no database."""

from __future__ import annotations

from dataclasses import dataclass

from marketplace.chain.client import Chain
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.events import JobOpened, OfferAnnounced
from marketplace.core.ids import Status
from marketplace.core.job import Request
from marketplace.core.offer import Offer, Signed
from marketplace.core.policy import Terms
from marketplace.errors import (
    InputError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    UnavailableError,
)
from marketplace.names import did_of, listing_of, published_datasets, resolve
from marketplace.storage import ContentStore, get_document

__all__ = [
    "NEEDS_ROLE",
    "AnnouncedOffer",
    "Standing",
    "announced_offers",
    "cheapest",
    "did_of",
    "job_opened",
    "listing_of",
    "no_such_job",
    "offer_named",
    "offer_of",
    "offers_for",
    "published_datasets",
    "read_offer",
    "request_of",
    "resolve",
    "terms_of",
    "usable_offer",
]

NEEDS_ROLE = "needs role"


@dataclass(frozen=True)
class AnnouncedOffer:
    """An offer that its owner signed and announced. digest: EIP-712, 32 bytes; signature: 65 bytes."""

    offer: Offer
    digest: bytes
    signature: bytes


@dataclass(frozen=True)
class Standing:
    """An offer as one buyer finds it. obstacle: why he cannot buy it now, in a word or two; empty where he can."""

    announced: AnnouncedOffer
    obstacle: str


def announced_offers(chain: Chain, store: ContentStore, token: int) -> list[AnnouncedOffer]:
    """All offers that an asset's present owner signed and announced; newest first.

    Raises UnavailableError where the store is away: that is no absence of offers.
    """
    owner = chain.owner_of(token)
    offers: dict[bytes, AnnouncedOffer] = {}
    for event in chain.logs(types=(OfferAnnounced,), asset_id=token):
        if event.by != owner:
            continue  # announcing is open to everyone, and each document costs a fetch
        try:
            found = read_offer(chain, store, event)
        except UnavailableError:
            raise
        except SteelyardError:
            continue  # what does not verify is no offer
        if found.offer.provider == owner:
            offers[found.digest] = found
    return list(reversed(offers.values()))


def read_offer(chain: Chain, store: ContentStore, event: OfferAnnounced) -> AnnouncedOffer:
    """The announced offer, its signature and digest checked. Raises SteelyardError where they do not fit."""
    signed = Signed.parse(get_document(store, event.document))
    offer = signed.struct
    if not isinstance(offer, Offer) or offer.asset_id != event.asset_id:
        raise InputError("the announced document is not an offer of this asset", got=type(offer).__name__)
    digest = offer.digest(chain.domain)
    if digest != event.offer_digest:
        raise InputError(
            "the announced digest is another offer's", got=event.offer_digest.hex(), expected=digest.hex()
        )
    signed.expect(chain.domain, offer.provider, chain.accepts)
    return AnnouncedOffer(offer, digest, signed.signature)


def offer_of(chain: Chain, store: ContentStore, digest: bytes) -> AnnouncedOffer:
    """The offer behind a grant.

    Raises NotFoundError where it was never announced or its block is gone, UnavailableError where the store is away.
    """
    for event in chain.logs(types=(OfferAnnounced,), offer_digest=digest):
        try:
            return read_offer(chain, store, event)
        except UnavailableError:
            raise
        except SteelyardError:
            continue
    raise NotFoundError("no readable offer has that digest", got="0x" + digest.hex())


def offers_for(chain: Chain, store: ContentStore, token: int, buyer: str, now: int) -> list[Standing]:
    """All announced offers of an asset as `buyer` finds them at `now` (Unix seconds); newest first."""
    status, epoch = chain.status(token), chain.epoch(token)
    gone = "" if status is Status.active else status.name
    return [
        Standing(found, gone or _obstacle(chain, found.offer, epoch, buyer, now))
        for found in announced_offers(chain, store, token)
    ]


def _obstacle(chain: Chain, offer: Offer, epoch: int, buyer: str, now: int) -> str:
    if offer.epoch != epoch:
        return "void"
    if offer.valid_until < now:
        return "ended"
    if offer.buyer not in (buyer, ZERO_ADDRESS):
        return "for others"
    role = offer.required_role
    return "" if role == ZERO_BYTES32 or chain.is_accredited(buyer, role) else NEEDS_ROLE


def cheapest(offers: list[Standing]) -> Standing | None:
    """The cheapest of the offers that can be bought."""
    usable = [found for found in offers if not found.obstacle]
    return min(usable, key=lambda found: found.announced.offer.price, default=None)


def offer_named(offers: list[Standing], digest: bytes) -> Standing:
    """The offer with that digest. Raises NotFoundError."""
    for found in offers:
        if found.announced.digest == digest:
            return found
    raise NotFoundError("the dataset has no readable offer with that digest", got="0x" + digest.hex())


def usable_offer(
    chain: Chain, store: ContentStore, token: int, buyer: str, now: int, *, digest: bytes | None = None
) -> AnnouncedOffer:
    """The cheapest offer of an asset that `buyer` can buy at `now` (Unix seconds), or the one with that digest.

    Raises RefusedError where it cannot be bought, NotFoundError where none has the digest.
    """
    status = chain.status(token)
    if status is not Status.active:
        raise RefusedError(f"the asset is {status.name}: nothing of it is sold", got=token)
    offers = offers_for(chain, store, token, buyer, now)
    if digest is not None:
        return _buyable(offer_named(offers, digest))
    found = cheapest(offers)
    if found is None:
        raise RefusedError(
            "the asset has no offer that you can buy now",
            do="Ask its provider for one, see whether it asks for an accreditation, or pick another dataset.",
        )
    return found.announced


def _buyable(found: Standing) -> AnnouncedOffer:
    if found.obstacle:
        raise RefusedError(
            "you cannot buy that offer now",
            got=f"an offer with the mark: {found.obstacle}",
            do=f"See `steelyard dataset show {found.announced.offer.asset_id}` for those that you can.",
        )
    return found.announced


def terms_of(store: ContentStore, offer: Offer) -> Terms:
    """The terms that an offer names by digest."""
    return Terms.parse(get_document(store, offer.terms_digest))


def job_opened(chain: Chain, job_id: bytes) -> JobOpened:
    """The event that opened a job. Raises NotFoundError."""
    for event in chain.logs(types=(JobOpened,), job_id=job_id):
        return event
    raise no_such_job(job_id)


def no_such_job(job_id: bytes) -> NotFoundError:
    """The error for a job id that no event has."""
    return NotFoundError("no such job", got="0x" + job_id.hex(), do="`steelyard job list` shows yours.")


def request_of(event: JobOpened) -> Request:
    """The request whose hash is the job's id. Raises IntegrityError where the event does not fit."""
    request = Request(event.offer_digest, event.buyer, event.index, event.algorithm, event.spec)
    if request.job_id != event.job_id:
        raise IntegrityError(
            "a JobOpened event does not hash to its job",
            got=request.job_id.hex(),
            expected=event.job_id.hex(),
        )
    return request
