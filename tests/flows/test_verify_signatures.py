"""An audit of a real chain on which people signed what they should not have: each is named, per job and per grant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from marketplace.core.canonical import sha256
from marketplace.core.job import Request
from marketplace.core.offer import Approval, Offer, Release, Signed
from marketplace.storage import put_block
from marketplace.verify import Report, verify
from tests.support.audited import CUSTOM, announce, listed, open_job, output_of, submit
from tests.support.catalogue import Town, running_town


@dataclass
class Spoilt:
    """jobs: by what is wrong with them."""

    town: Town
    offer: Offer
    jobs: dict[str, Request]


def approval_of(town: Town, offer: Offer, algorithm: bytes, **changes: object) -> Approval:
    until = town.market.chain.block_time() + 86_400
    return replace(Approval(offer.asset_id, town.market.buyer.address, algorithm, False, until), **changes)


def spoil(town: Town) -> Spoilt:
    market, chain, salt = town.market, town.market.chain, b"\x08" * 32
    stranger = market.account("stranger")
    chain.send("ParticipantRegistry", "setNode", (market.node.address, b"\7" * 32, 0), market.provider)
    market.pledge(market.provider)
    listing, terms = listed(town, salt)
    for document in (listing.to_bytes(), terms.to_bytes()):
        put_block(town.store, document)
    chain.send("AssetRegistry", "publish", (1, salt, listing.digest), market.provider)
    offer = market.offer(listing.did.token, terms_digest=terms.digest)
    forged = put_block(town.store, Signed(offer, market.sign(offer, stranger)).to_bytes()).digest
    digest = offer.digest(chain.domain)
    town.announce_document(offer.asset_id, digest, forged, market.provider)
    market.buy(offer, 10)
    jobs: dict[str, Request] = {}

    def run(what: str, algorithm: bytes) -> None:
        jobs[what] = open_job(town, digest, len(jobs), algorithm)
        if what == "released for another output":
            release = Release(jobs[what].job_id, b"\1" * 32)
            announce(town, offer.asset_id, jobs[what].job_id, release, market.provider)
        submit(town, jobs[what], listing, output_of(town, jobs[what]))

    run("not approved", sha256(b"nobody approved this"))
    self_made = sha256(b"approved by the buyer")
    announce(town, offer.asset_id, self_made, approval_of(town, offer, self_made), market.buyer)
    run("approved by the buyer", self_made)
    old = sha256(b"approved in the past")
    announce(town, offer.asset_id, old, approval_of(town, offer, old, valid_until=1), market.provider)
    run("approved in the past", old)
    foreign = sha256(b"approved for another buyer")
    announce(
        town,
        offer.asset_id,
        foreign,
        approval_of(town, offer, foreign, buyer=stranger.address),
        market.provider,
    )
    run("approved for another buyer", foreign)
    late = sha256(b"approved afterwards")
    run("approved afterwards", late)
    announce(town, offer.asset_id, late, approval_of(town, offer, late), market.provider)
    reviewed = approval_of(town, offer, CUSTOM, review_output=True)
    announce(town, offer.asset_id, CUSTOM, reviewed, market.provider)
    run("never released", CUSTOM)
    run("released for another output", CUSTOM)

    market_input = replace(listing, header=listing.terms)
    jobs["another input"] = open_job(town, digest, len(jobs), listing.algorithms[0].digest)
    submit(town, jobs["another input"], market_input, output_of(town, jobs["another input"]))
    jobs["another job's output"] = open_job(town, digest, len(jobs), listing.algorithms[0].digest)
    submit(town, jobs["another job's output"], listing, output_of(town, jobs["another input"]))

    # The node's key is rotated and the asset given away: what was signed before still stands.
    chain.send("ParticipantRegistry", "setNode", (stranger.address, b"\x09" * 32, 0), market.provider)
    asset = offer.asset_id
    chain.send(
        "AssetRegistry", "transferFrom", (market.provider.address, stranger.address, asset), market.provider
    )
    chain.send("Market", "raiseEpoch", (asset,), stranger)
    return Spoilt(town, offer, jobs)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    with running_town(tmp_path_factory.mktemp("store")) as town:
        yield spoil(town)


@pytest.fixture(scope="module")
def report(spoilt: Spoilt) -> Report:
    return verify(spoilt.town.market.chain, spoilt.town.store, None)


@pytest.mark.parametrize(
    ("what", "name", "says"),
    [
        ("not approved", "algorithm", "none was announced in time"),
        ("approved by the buyer", "algorithm", "signed by someone else"),
        ("approved in the past", "algorithm", "valid until 1"),
        ("approved for another buyer", "algorithm", "of the job"),
        ("approved afterwards", "algorithm", "none was announced in time"),
        ("never released", "release", "none was announced in time"),
        ("released for another output", "release", "a Release of this output"),
        ("another input", "input", "0x"),
        ("another job's output", "output job", "0x"),
    ],
)
def test_a_job_that_was_not_allowed_is_named(
    spoilt: Spoilt, report: Report, what: str, name: str, says: str
) -> None:
    subject = f"job 0x{spoilt.jobs[what].job_id.hex()}"
    failures = [check for check in report.failures() if check.subject == subject]
    assert [(check.name, check.ok) for check in failures] == [(name, False)]
    assert says in failures[0].got


def test_an_offer_signed_by_another_is_named(spoilt: Spoilt, report: Report) -> None:
    failures = [check for check in report.failures() if check.subject.startswith("grant")]
    assert [check.name for check in failures] == ["offer signature"]
    assert failures[0].expected == spoilt.town.market.provider.address
    assert failures[0].got == spoilt.town.market.account("stranger").address


def test_receipts_stand_though_the_node_was_rotated_and_the_asset_sold(report: Report) -> None:
    signatures = [check for check in report.checks if check.name == "receipt signature"]
    assert len(signatures) == 9
    assert all(check.ok for check in signatures)
    assert {check.name for check in report.failures()} == {
        "algorithm", "release", "input", "output job", "offer signature",
    }  # fmt: skip


def test_a_good_announcement_by_anyone_heals_a_bad_one(spoilt: Spoilt) -> None:
    """Last in this file: it adds to the chain."""
    town, offer = spoilt.town, spoilt.offer
    good = put_block(
        town.store, Signed(offer, town.market.sign(offer, town.market.provider)).to_bytes()
    ).digest
    digest = offer.digest(town.market.chain.domain)
    town.announce_document(offer.asset_id, digest, good, town.market.account("stranger"))
    again = verify(town.market.chain, town.store, spoilt.jobs["another input"].job_id)
    assert [check.name for check in again.failures()] == ["input"]
