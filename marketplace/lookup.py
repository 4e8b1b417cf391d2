"""Finds assets, listings, offers and jobs from chain and content alone; no hub, no database."""

from __future__ import annotations

from collections.abc import Callable
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

NEEDS_ROLE = "needs role"
_MOST_NAMED = 5
"""Ids that an error names; anybody can publish any number of assets."""


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


def did_of(chain: Chain, token: int) -> Did:
    return Did(chain.deployment.chain_id, chain.deployment.asset_registry, token)


def resolve(
    chain: Chain,
    store: ContentStore,
    text: str,
    *,
    strict: bool = False,
    say: Callable[[str], None] | None = None,
) -> int:
    """The token id that a person means by a token id, a DID, `owner/slug` or a bare slug.

    strict: for what costs money; a slug counts only if every listing that could carry it can be read, since a
    gateway that hides one of two would choose between them. Else such listings are passed over, and `say` is told.
    Raises NotFoundError, RefusedError where `strict` refuses, or InputError where a slug is not unique or a DID is of
    another market.
    """
    if text.startswith("did:"):
        did = Did.parse(text)
        if did != did_of(chain, did.token):
            raise InputError("the DID is of another market", got=text, expected=str(did_of(chain, did.token)))
        return _existing(chain, did.token)
    if text.isascii() and text.isdigit() and len(text) <= 78:
        return _existing(chain, int(text))
    owner, _, slug = text.rpartition("/")
    found, unread = _by_slug(chain, store, owner.lower(), slug)
    token = _only(found, unread, text)
    if unread and strict:
        raise _unsure(unread, text, owner)
    if unread and say:
        say(f"listings that cannot be read may be named {slug} too: {_named(unread)}")
    return token


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


def _by_slug(chain: Chain, store: ContentStore, owner: str, slug: str) -> tuple[list[int], list[int]]:
    """The datasets of that slug, and those whose listing cannot be read, so that they may have it too."""
    found, unread = [], []
    for token, publisher in published_datasets(chain):
        if owner and not publisher.lower().startswith(owner):
            continue
        its = _slug(chain, store, token)
        if its is None:
            unread.append(token)
        elif its == slug:
            found.append(token)
    return found, unread


def _slug(chain: Chain, store: ContentStore, token: int) -> str | None:
    """The slug of a dataset; empty where its document is there but no listing of it; None where it is not there."""
    try:
        document = get_document(store, chain.metadata(token))
    except UnavailableError:
        raise  # a store that is away must not look like a name that nobody uses
    except SteelyardError:
        return None
    try:
        return _parsed(chain, token, document).slug
    except SteelyardError:
        return ""


def _only(found: list[int], unread: list[int], name: str) -> int:
    """The one dataset of a name. Raises NotFoundError, or InputError where there are several."""
    if not found:
        rest = f" Listings that cannot be read: {_named(unread)}." if unread else ""
        raise NotFoundError("no dataset of that name", got=name, do=f"`dataset list` shows all.{rest}")
    if len(found) > 1:
        raise InputError(
            "several datasets have that name",
            got=name,
            expected="owner/slug or an id",
            do=f"Ids: {_named(found)}.",
        )
    return found[0]


def _unsure(unread: list[int], name: str, owner: str) -> RefusedError:
    """The refusal to pay for a name that others may have too, with a way that no unreadable listing bars."""
    ways = (
        "its id"
        if len(owner) == len(ZERO_ADDRESS)
        else "owner/slug, with the owner's whole address, or its id"
    )
    return RefusedError(
        "listings that cannot be read may have that name too",
        got=name,
        expected=ways,
        do=f"Name the dataset by {ways}; then these do not matter: {_named(unread)}.",
    )


def _named(tokens: list[int]) -> str:
    names = ", ".join(str(token) for token in tokens[:_MOST_NAMED])
    rest = len(tokens) - _MOST_NAMED
    return f"{names} and {rest} more" if rest > 0 else names


def listing_of(chain: Chain, store: ContentStore, token: int) -> Listing:
    """The listing that the chain names. Raises NotFoundError, IntegrityError, InputError."""
    return _parsed(chain, token, get_document(store, chain.metadata(token)))


def _parsed(chain: Chain, token: int, document: bytes) -> Listing:
    listing = Listing.parse(document)
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
