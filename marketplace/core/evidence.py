"""The lines of an audit that need documents: listings, offers, terms, and the judges that offers name. Pure.

A document counts by its digest on chain and by who signed it, at the position on chain where it counted. Announcing
is open to everyone, so strangers' announcements are passed over; only that no good one is found is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator

from marketplace.core.announced import expect, first_good, sorted_by_trust
from marketplace.core.audit import Check, Found, Get, Missing, claimed, equal, failed, fetch, held
from marketplace.core.cid import Cid
from marketplace.core.dataset import Listing
from marketplace.core.eip712 import ZERO_ADDRESS, ZERO_BYTES32, recover
from marketplace.core.events import AccessBought, OfferAnnounced, Position
from marketplace.core.ids import Did
from marketplace.core.job import Fault, Ground, Ruling
from marketplace.core.ledger import Accreditation, GrantKey, Ledger, asset_text, grant_text, job_text, show
from marketplace.core.offer import Offer, Signed
from marketplace.core.terms import Terms
from marketplace.errors import SteelyardError

DAY = 86_400


def did_text(ledger: Ledger, asset_id: int) -> str:
    return str(Did(ledger.rules.chain_id, ledger.rules.registry, asset_id))


def listing_of(ledger: Ledger, asset_id: int, get: Get) -> tuple[Listing | None, list[Check]]:
    """A dataset's listing, against the digest and the name that the chain has. None where it does not fit."""
    subject, compared = asset_text(asset_id), "the listing in the store against the metadata digest on chain"
    metadata = ledger.published[asset_id].metadata
    found = fetch(get, Cid.raw(metadata), Listing.parse)
    if isinstance(found, Missing):
        return None, [failed("listing", subject, compared, found, expected=metadata)]
    return found.value, [
        held("listing", subject, compared, True, expected=metadata, got=str(found.cid)),
        equal(
            "listing name",
            subject,
            "the DID in the listing against the asset",
            did_text(ledger, asset_id),
            str(found.value.did),
        ),
    ]


def document_check(ledger: Ledger, asset_id: int, get: Get) -> Check:
    """The document of an asset that is no dataset: its bytes against the digest on chain."""
    metadata = ledger.published[asset_id].metadata
    compared = "the document in the store against the metadata digest on chain"
    found = fetch(get, Cid.raw(metadata), lambda block: block)
    if isinstance(found, Missing):
        return failed("document", asset_text(asset_id), compared, found, expected=metadata)
    return held("document", asset_text(asset_id), compared, True, expected=metadata, got=str(found.cid))


# Offers


def offer_of(ledger: Ledger, key: GrantKey, get: Get) -> tuple[Offer | None, list[Check]]:
    """The offer that a grant was bought under: its document, its digest, and each purchase against it."""
    subject, record = grant_text(key), ledger.grants[key]
    compared = "the announced offer's EIP-712 digest against the grant's"

    found = _announced_offer(ledger, key, get)
    if isinstance(found, Missing):
        return None, [failed("offer", subject, compared, found, expected=key[0])]
    offer = found.value.struct
    if not isinstance(offer, Offer):
        return None, []
    checks = [held("offer", subject, compared, True, expected=key[0], got=str(found.cid))]
    for purchase in record.purchases:
        checks += _purchase_checks(ledger, subject, offer, found.value.signature, purchase)
    uses = "uses paid for against the offer's most"
    checks.append(
        held(
            "offer uses",
            subject,
            uses,
            record.grant.jobs_paid <= offer.max_uses,
            expected=f"at most {offer.max_uses}",
            got=record.grant.jobs_paid,
        )
    )
    return offer, checks


def _announced_offer(ledger: Ledger, key: GrantKey, get: Get) -> Found[Signed] | Missing:
    """The announced document of the offer; one that the owner signed, where there is one."""
    record = ledger.grants[key]
    first = record.purchases[0]

    def same_offer(block: bytes, event: OfferAnnounced) -> Signed:
        signed = Signed.parse(block)
        expect(isinstance(signed.struct, Offer), "an Offer", type(signed.struct).__name__)
        expect(signed.struct.digest(ledger.rules.domain) == key[0], "the grant's offer", "another offer")
        return signed

    def signed_offer(block: bytes, event: OfferAnnounced) -> Signed:
        signed = same_offer(block, event)
        owner = ledger.owner_at(first.asset_id, first.at)
        signed.expect(ledger.rules.domain, owner, ledger.accepts_at(first.at))
        return signed

    announced = sorted_by_trust(ledger, ledger.offers.get(key[0], []), record.asset_id, record.grant.provider)
    none = "no announcement names its document"
    found = first_good(announced, signed_offer, get, none)
    return found if isinstance(found, Found) else first_good(announced[:1], same_offer, get, none)


def _purchase_checks(
    ledger: Ledger, subject: str, offer: Offer, signature: bytes, bought: AccessBought
) -> Iterator[Check]:
    at, when = bought.at, f"at the purchase in block {bought.at.block}"
    owner = ledger.owner_at(bought.asset_id, at)
    epoch = ledger.epoch_at(bought.asset_id, at)
    signer = signer_text(ledger, bought.offer_digest, signature, owner, at)
    yield equal(
        "offer signature", subject, f"the offer's signer against the asset's owner {when}", owner, signer
    )
    yield equal(
        "offer provider",
        subject,
        f"the offer's provider against the asset's owner {when}",
        owner,
        offer.provider,
    )
    yield equal("offer epoch", subject, f"the offer's epoch against the asset's {when}", epoch, offer.epoch)
    time = ledger.time_of(at)
    wanted = (offer.asset_id, offer.provider, offer.price, time // DAY + offer.term_days)
    got = (bought.asset_id, bought.provider, bought.price, bought.last_day)
    yield equal(
        "offer fields", subject, f"asset, provider, price and last day of offer and grant {when}", wanted, got
    )
    fits = time <= offer.valid_until and offer.buyer in (ZERO_ADDRESS, bought.buyer)
    yield held(
        "offer validity",
        subject,
        f"time and buyer of the offer {when}",
        fits,
        expected=f"until {offer.valid_until}, by {offer.buyer}",
        got=f"at {time}, by {bought.buyer}",
    )
    if offer.required_role != ZERO_BYTES32:
        yield held(
            "accreditation",
            subject,
            f"the role that the offer requires against what trusted issuers said {when}",
            ledger.accredited_at(bought.buyer, offer.required_role, at),
            expected=f"{bought.buyer} in the role {show(offer.required_role)}",
            got=_accreditation_text(ledger, bought, offer.required_role),
        )


def _accreditation_text(ledger: Ledger, bought: AccessBought, role: bytes) -> str:
    history = ledger.accreditations.get((bought.buyer, role))
    found = history.at(bought.at) if history else Accreditation()
    if found == Accreditation():
        return "nobody vouched"
    issuer = ledger.issuers.get((role, found.issuer))
    trusted = "trusted" if issuer and issuer.at(bought.at) else "not trusted"
    return f"by {found.issuer}, {trusted}, until {found.valid_until}, at {ledger.time_of(bought.at)}"


def terms_of(ledger: Ledger, key: GrantKey, offer: Offer, get: Get) -> tuple[Terms | None, list[Check]]:
    """The terms that an offer names, against asset, buyer and listing."""
    subject, compared = grant_text(key), "the terms in the store against the offer's termsDigest"
    found = fetch(get, Cid.raw(offer.terms_digest), Terms.parse)
    if isinstance(found, Missing):
        return None, [failed("terms", subject, compared, found, expected=offer.terms_digest)]
    terms = found.value
    asset, buyer = did_text(ledger, offer.asset_id), terms.assignee or key[1]
    checks = [
        held("terms", subject, compared, True, expected=offer.terms_digest, got=str(found.cid)),
        equal(
            "terms scope",
            subject,
            "asset and buyer of terms and grant",
            (asset, key[1]),
            (str(terms.asset), buyer),
        ),
    ]
    return terms, checks


def fee_checks(ledger: Ledger, job_id: bytes, offer: Offer) -> Iterator[Check]:
    """What a fault of algorithm or policy leaves to the provider, against the offer."""
    event = ledger.jobs[job_id].fault
    if event is not None:
        compared = f"the fee of the {Fault(event.fault).name} fault against the offer's failureFeeBps"
        yield equal("failure fee", job_text(job_id), compared, offer.fee_down(), event.fee)


def judge_checks(ledger: Ledger, job_id: bytes, offer: Offer) -> Iterator[Check]:
    """Who judges, or judged, the job's dispute, against the offer; and what buyer and judge said."""
    record, subject = ledger.jobs[job_id], job_text(job_id)
    event = record.disputed
    if event is None:
        return
    ground = Ground(event.ground)
    name, judge = ("arbiter", offer.arbiter) if ground is Ground.other else ("verifier", offer.verifier)
    got = record.resolved.judge if record.resolved else event.judge
    yield equal("judge", subject, f"the judge of the dispute against the offer's {name}", judge, got)
    yield claimed("dispute", subject, f"the buyer disputed it as {ground.name}; evidence", got=event.evidence)
    if record.resolved:
        ruling = Ruling(record.resolved.ruling).name
        yield claimed("ruling", subject, f"the judge ruled {ruling}; reasons", got=record.resolved.reasons)


def signer_text(ledger: Ledger, digest: bytes, signature: bytes, expected: str, at: Position) -> str:
    """Who signed a digest; `expected` where that is a contract that takes it; a sentence where it is malformed."""
    try:
        found = recover(digest, signature)
    except SteelyardError as error:
        found = str(error)
    if found != expected and ledger.accepts_at(at)(expected, digest, signature):
        return expected
    return found
