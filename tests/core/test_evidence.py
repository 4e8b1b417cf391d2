"""The lines of an audit about an offer: who sold it, to whom, and who judges what was bought on it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from marketplace.core import events as ev
from marketplace.core.cid import Cid
from marketplace.core.evidence import judge_checks, offer_of
from marketplace.core.offer import Offer, Signed
from tests.core.registers import ARBITER, BUYER, LIMITS, PEOPLE, RULES, VERIFIER, digest
from tests.core.replayed import fold
from tests.core.world import World

OWNER = Account.from_key(keccak(text="owner"))
ROLE = digest("role", 0)


def sold(**terms: Any) -> tuple[World, Offer, dict[Cid, bytes]]:
    """A dataset of OWNER that BUYER bought one use of, on an announced offer."""
    world = World()
    world.publish(OWNER.address, 0)
    world.deposit(OWNER.address, 0)
    offer = Offer(
        next(iter(world.owners)), OWNER.address, price=1_000, valid_until=world.now + 9,
        arbiter=ARBITER, verifier=VERIFIER, **terms,
    )  # fmt: skip
    hashed = offer.digest(RULES.domain)
    document = Signed(offer, bytes(OWNER.unsafe_sign_hash(hashed).signature)).to_bytes()
    cid = Cid.of("raw", document)
    world.market(ev.OfferAnnounced, offer.asset_id, hashed, cid.digest, OWNER.address)
    return world, offer, {cid: document}


def buy(world: World, offer: Offer) -> None:
    key, last = (offer.digest(RULES.domain), BUYER), world.now // 86_400 + 1
    world.market(ev.AccessBought, *key, OWNER.address, offer.asset_id, 1_000, 1, last)
    world.grants[key] = {
        "provider": OWNER.address, "price": 1_000, "paid": 1, "opened": 0, "last": last, "asset": offer.asset_id,
    }  # fmt: skip


def lines(world: World, offer: Offer, blocks: dict[Cid, bytes]) -> dict[str, Any]:
    ledger = fold(world)
    assert ledger.findings == []
    _, checks = offer_of(ledger, (offer.digest(RULES.domain), BUYER), blocks.__getitem__)
    return {check.name: check for check in checks}


def test_the_provider_of_an_offer_owns_its_asset() -> None:
    world, offer, blocks = sold()
    buy(world, offer)
    found = lines(world, offer, blocks)
    assert all(check.ok for check in found.values())
    assert found["offer provider"].got == OWNER.address
    assert "accreditation" not in found


def test_an_offer_that_names_another_provider_is_found() -> None:
    world, offer, _ = sold()
    other = Offer(offer.asset_id, PEOPLE[3], price=1_000, valid_until=world.now + 9)
    document = Signed(other, bytes(OWNER.unsafe_sign_hash(other.digest(RULES.domain)).signature)).to_bytes()
    cid = Cid.of("raw", document)
    world.market(ev.OfferAnnounced, other.asset_id, other.digest(RULES.domain), cid.digest, OWNER.address)
    buy(world, other)
    found = lines(world, other, {cid: document})
    assert (found["offer provider"].ok, found["offer provider"].got) == (False, PEOPLE[3])


def vouch(world: World, *, until: int = 0) -> None:
    world.emit(ev.IssuerSet, RULES.participants, ROLE, PEOPLE[2], True)
    world.emit(ev.AccreditationSet, RULES.participants, BUYER, ROLE, PEOPLE[2], world.now + until)


def test_a_buyer_in_the_required_role_passes_and_stays_so_when_it_is_lost_later() -> None:
    world, offer, blocks = sold(required_role=ROLE)
    vouch(world)
    buy(world, offer)
    world.emit(ev.IssuerSet, RULES.participants, ROLE, PEOPLE[2], False)
    assert lines(world, offer, blocks)["accreditation"].ok


@pytest.mark.parametrize("why", ["nobody vouched", "not trusted", "until"])
def test_a_buyer_without_the_required_role_is_found(why: str) -> None:
    world, offer, blocks = sold(required_role=ROLE)
    if why != "nobody vouched":
        vouch(world, until=-1 if why == "until" else 9)
    if why == "not trusted":
        world.emit(ev.IssuerSet, RULES.participants, ROLE, PEOPLE[2], False)
    buy(world, offer)
    line = lines(world, offer, blocks)["accreditation"]
    assert line.ok is False
    assert why in line.got


@pytest.mark.parametrize(("ground", "judge"), [(0, VERIFIER), (1, VERIFIER), (2, ARBITER)])
def test_the_judge_is_the_one_that_the_offer_names(ground: int, judge: str) -> None:
    world, offer, _ = sold()
    buy(world, offer)
    world.open(BUYER, 0)
    world.submit("", 0)
    world.dispute("", ground)
    world.rule("", 0)
    (name,) = world.jobs
    checks = {check.name: check for check in judge_checks(fold(world), name, offer)}
    assert (checks["judge"].ok, checks["judge"].got) == (True, judge)
    assert checks["dispute"].kind == checks["ruling"].kind == "claimed"
    assert "the judge ruled pay" in checks["ruling"].compared


def test_a_judge_that_the_offer_does_not_name_is_found() -> None:
    world, offer, _ = sold()
    buy(world, offer)
    world.open(BUYER, 0)
    world.submit("", 0)
    (name,) = world.jobs
    world.market(ev.JobDisputed, name, 2, False, PEOPLE[3], bytes(32), world.now + LIMITS.dispute_time)
    line = next(iter(judge_checks(fold(world), name, offer)))
    assert (line.name, line.ok, line.expected, line.got) == ("judge", False, ARBITER, PEOPLE[3])


def test_a_job_that_was_not_disputed_has_no_judge() -> None:
    world, offer, _ = sold()
    buy(world, offer)
    world.open(BUYER, 0)
    assert list(judge_checks(fold(world), next(iter(world.jobs)), offer)) == []
