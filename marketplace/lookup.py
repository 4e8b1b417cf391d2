"""Finds assets, listings, offers and jobs from chain and content alone; no hub, no database."""

from __future__ import annotations

from dataclasses import dataclass

from marketplace.chain.client import Chain
from marketplace.core.dataset import Listing
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32
from marketplace.core.events import AssetPublished, JobOpened, OfferAnnounced
from marketplace.core.ids import Did, Kind, Status, kind_of
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
from marketplace.storage import ContentStore, get_document


@dataclass(frozen=True)
class AnnouncedOffer:
    """An offer that its owner signed and announced. digest: EIP-712, 32 bytes; signature: 65 bytes."""

    offer: Offer
    digest: bytes
    signature: bytes


def did_of(chain: Chain, token: int) -> Did:
    return Did(chain.deployment.chain_id, chain.deployment.asset_registry, token)


def resolve(chain: Chain, store: ContentStore, text: str) -> int:
    """The token id that a person means by a token id, a DID, `owner/slug` or a bare slug.

    Raises NotFoundError, or InputError where a slug is not unique or a DID is of another market.
    """
    if text.startswith("did:"):
        did = Did.parse(text)
        if did != did_of(chain, did.token):
            raise InputError("the DID is of another market", got=text, expected=str(did_of(chain, did.token)))
        return _existing(chain, did.token)
    if text.isascii() and text.isdigit() and len(text) <= 78:
        return _existing(chain, int(text))
    owner, _, slug = text.rpartition("/")
    return _by_slug(chain, store, owner.lower(), slug)


def _existing(chain: Chain, token: int) -> int:
    kind_of(token)
    chain.owner_of(token)
    return token


def published_datasets(chain: Chain) -> list[tuple[int, str]]:
    """(token id, publisher) of every dataset, oldest first."""
    return [
        (event.asset_id, event.owner)
        for event in chain.logs(types=(AssetPublished,))
        if kind_of(event.asset_id) is Kind.dataset
    ]


def _by_slug(chain: Chain, store: ContentStore, owner: str, slug: str) -> int:
    found = []
    for token, publisher in published_datasets(chain):
        if owner and not publisher.lower().startswith(owner):
            continue
        try:
            if listing_of(chain, store, token).slug == slug:
                found.append(token)
        except UnavailableError:
            raise  # a store that is away must not look like a name that nobody uses
        except SteelyardError:
            continue  # a listing that cannot be read has no slug
    if not found:
        raise NotFoundError(
            "no dataset of that name",
            got=f"{owner}/{slug}" if owner else slug,
            do="`dataset list` shows all.",
        )
    if len(found) > 1:
        names = ", ".join(str(token) for token in found)
        raise InputError(
            "several datasets have that name", got=slug, expected="owner/slug or an id", do=f"Ids: {names}."
        )
    return found[0]


def listing_of(chain: Chain, store: ContentStore, token: int) -> Listing:
    """The listing that the chain names. Raises NotFoundError, IntegrityError, InputError."""
    listing = Listing.parse(get_document(store, chain.metadata(token)))
    expected = str(did_of(chain, token))
    if str(listing.did) != expected:
        raise InputError("the listing names another asset", got=listing.did, expected=expected)
    return listing


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


def usable_offer(chain: Chain, store: ContentStore, token: int, buyer: str, now: int) -> AnnouncedOffer:
    """The cheapest offer of an asset that `buyer` can buy at `now` (Unix seconds). Raises RefusedError if none."""
    status = chain.status(token)
    if status is not Status.active:
        raise RefusedError(f"the asset is {status.name}: nothing of it is sold", got=token)
    epoch = chain.epoch(token)
    usable = [
        found
        for found in announced_offers(chain, store, token)
        if found.offer.epoch == epoch
        and found.offer.valid_until >= now
        and found.offer.buyer in (buyer, ZERO_ADDRESS)
        and (
            found.offer.required_role == ZERO_BYTES32 or chain.is_accredited(buyer, found.offer.required_role)
        )
    ]
    if not usable:
        raise RefusedError(
            "the asset has no offer that you can buy now",
            do="Ask its provider for one, see whether it asks for an accreditation, or pick another dataset.",
        )
    return min(usable, key=lambda found: found.offer.price)


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
