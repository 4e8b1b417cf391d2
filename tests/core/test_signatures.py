"""The lines of an audit about who signed: receipts by the node of that time, approvals by the owner of that time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from eth_account import Account
from eth_utils.crypto import keccak

from marketplace.core import events as ev
from marketplace.core.announced import MAX_ANNOUNCED
from marketplace.core.approvals import algorithm_checks
from marketplace.core.cid import Cid
from marketplace.core.ids import Did
from marketplace.core.offer import Approval, Signed
from marketplace.core.outputs import job_claims, receipt_checks
from marketplace.core.terms import CustomAlgorithms, Terms
from marketplace.errors import NotFoundError
from tests.core.registers import PEOPLE, RULES, digest
from tests.core.replayed import fold
from tests.core.world import World


def getter(blocks: dict[Cid, bytes]) -> Callable[[Cid], bytes]:
    """A store that checks nothing."""

    def get(cid: Cid) -> bytes:
        if cid not in blocks:
            raise NotFoundError("no such block", got=cid)
        return blocks[cid]

    return get


NODE, OLD, OWNER, BUYER = (Account.from_key(keccak(text=name)) for name in ("node", "old", "owner", "buyer"))


def opened() -> tuple[World, bytes]:
    """A dataset of OWNER, its node NODE, one open job of BUYER."""
    world = World()
    world.publish(OWNER.address, 0)
    world.deposit(OWNER.address, 0)
    token = next(iter(world.owners))
    offer, buyer = digest("offer"), BUYER.address
    last = world.now // 86_400
    world.market(ev.AccessBought, offer, buyer, OWNER.address, token, 5, 1, last)
    world.grants[offer, buyer] = {
        "provider": OWNER.address, "price": 5, "paid": 1, "opened": 0, "last": last, "asset": token,
    }  # fmt: skip
    world.emit(ev.NodeSet, RULES.participants, OWNER.address, NODE.address, digest("key"), 1, 3)
    world.open(buyer, 0)
    return world, next(iter(world.jobs))


def submitted(world: World, key: Any) -> None:
    world.submit("", 0)
    event = world.events[-1]
    assert isinstance(event, ev.ReceiptSubmitted)
    hashed = event.receipt.digest(RULES.domain)
    world.events[-1] = replace(event, signature=bytes(key.unsafe_sign_hash(hashed).signature))


def signature_line(world: World, name: bytes) -> Any:
    ledger = fold(world)
    assert ledger.findings == []
    lines = receipt_checks(ledger, name, ledger.jobs[name].job.receipt, None)
    return next(line for line in lines if line.name == "receipt signature")


def rotate(world: World, node: str) -> None:
    world.emit(ev.NodeSet, RULES.participants, OWNER.address, node, digest("key"), 1, 3)


def test_the_receipt_of_a_rotated_key_is_named_with_both_keys() -> None:
    world, name = opened()
    rotate(world, OLD.address)
    rotate(world, NODE.address)
    submitted(world, OLD)
    line = signature_line(world, name)
    assert (line.ok, line.expected, line.got) == (False, NODE.address, OLD.address)


def test_a_receipt_stands_though_its_key_is_rotated_later() -> None:
    world, name = opened()
    submitted(world, NODE)
    rotate(world, OLD.address)
    assert signature_line(world, name).ok


def test_a_malformed_signature_of_a_receipt_is_named() -> None:
    world, name = opened()
    world.submit("", 0)
    line = signature_line(world, name)
    assert not line.ok
    assert "malformed" in line.got


def test_a_receipt_other_than_the_stored_one_is_named() -> None:
    world, name = opened()
    submitted(world, NODE)
    lines = list(receipt_checks(fold(world), name, digest("another"), None))
    assert [line.name for line in lines if not line.ok] == ["receipt digest"]


def test_what_only_the_node_says_never_passes_nor_fails() -> None:
    world, name = opened()
    submitted(world, NODE)
    lines = list(job_claims(fold(world), name, None))
    assert {line.name for line in lines} == {"key", "run", "purpose", "environment", "isolation", "times"}
    assert all(line.ok is None and line.kind == "claimed" for line in lines)


def test_the_environment_that_ran_is_compared_with_what_the_listing_offered() -> None:
    world, name = opened()
    submitted(world, NODE)
    ledger = fold(world)
    receipt = ledger.jobs[name].receipt
    assert receipt
    ran = receipt.receipt.environment_digest

    def said(*digests: bytes) -> str:
        offered = [SimpleNamespace(name=f"e{number}", digest=one) for number, one in enumerate(digests)]
        lines = job_claims(ledger, name, SimpleNamespace(environments=offered))  # type: ignore[arg-type]
        (line,) = (line for line in lines if line.name == "environment")
        assert line.ok is None
        return line.compared

    assert said(digest("x"), ran).endswith("it is the listed e1")
    assert said(digest("x")).endswith("it is none of the listing's: built since, or another one")


# Approvals


def terms_for(world: World, algorithms: tuple[bytes, ...] = (), custom: str = "approval") -> Terms:
    did = Did(RULES.chain_id, RULES.registry, next(iter(world.owners)))
    return Terms(did, OWNER.address, algorithms=algorithms, custom_algorithms=CustomAlgorithms(custom))


class Desk:
    """Signs approvals, puts them into a store, announces them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blocks: dict[Cid, bytes] = {}
        self.asked: list[Cid] = []

    def get(self, cid: Cid) -> bytes:
        self.asked.append(cid)
        return getter(self.blocks)(cid)

    def approve(
        self, key: Any = OWNER, by: str = OWNER.address, *, until: int = 1 << 39, **changes: Any
    ) -> None:
        token = next(iter(self.world.owners))
        approval = replace(Approval(token, BUYER.address, digest("algorithm"), False, until), **changes)
        signature = bytes(key.unsafe_sign_hash(approval.digest(RULES.domain)).signature)
        self.announce(Signed(approval, signature).to_bytes(), by)

    def announce(self, block: bytes, by: str) -> None:
        token, cid = next(iter(self.world.owners)), Cid.of("raw", block)
        self.blocks[cid] = block
        self.world.market(ev.ApprovalAnnounced, token, digest("algorithm"), cid.digest, by)

    def line(self, name: bytes, terms: Terms) -> Any:
        (line,) = algorithm_checks(fold(self.world), name, terms, self.get)
        return line


def desk() -> tuple[Desk, bytes]:
    world, name = opened()
    return Desk(world), name


def test_a_listed_algorithm_needs_no_approval() -> None:
    at, name = desk()
    submitted(at.world, NODE)
    assert at.line(name, terms_for(at.world, (digest("algorithm"),))).ok
    assert at.asked == []


def test_terms_that_deny_custom_algorithms_are_not_overruled_by_an_approval() -> None:
    at, name = desk()
    at.approve()
    submitted(at.world, NODE)
    line = at.line(name, terms_for(at.world, (digest("another"),), "denied"))
    assert line.ok is False
    assert line.got == "0x" + digest("algorithm").hex()


def test_an_approval_must_be_valid_when_it_was_announced() -> None:
    for late, ok in ((0, True), (-1, False)):
        at, name = desk()
        at.world.now += 10
        at.approve(until=at.world.now + late)
        submitted(at.world, NODE)
        assert at.line(name, terms_for(at.world)).ok is ok


def test_an_approval_that_came_before_the_job_must_outlast_its_opening() -> None:
    world = opened()[0]
    kept = [event for event in world.events if not isinstance(event, ev.JobOpened)]
    for lasts, ok in ((5, True), (4, False)):
        again = World(
            events=list(kept), times=dict(world.times), block=world.block, owners=dict(world.owners)
        )
        again.grants = {key: grant | {"opened": 0} for key, grant in world.grants.items()}
        at = Desk(again)
        at.approve(until=again.now + lasts)
        again.now += 5
        again.open(BUYER.address, 0)
        submitted(again, NODE)
        assert at.line(next(iter(again.jobs)), terms_for(again)).ok is ok


def test_a_receipt_that_says_it_started_after_the_approval_ended_is_found() -> None:
    at, name = desk()
    at.approve(until=at.world.now)
    at.world.submit("", 0)
    event = at.world.events[-1]
    assert isinstance(event, ev.ReceiptSubmitted)
    at.world.events[-1] = replace(event, receipt=replace(event.receipt, started_at=at.world.now + 1))
    assert at.line(name, terms_for(at.world)).ok is False


def test_strangers_announcements_neither_help_nor_harm() -> None:
    at, name = desk()
    for number in range(3 * MAX_ANNOUNCED):
        at.announce(b"junk %d" % number, PEOPLE[3])
    at.approve(BUYER, PEOPLE[3])
    at.approve()
    submitted(at.world, NODE)
    assert at.line(name, terms_for(at.world)).ok
    assert len(at.asked) == 1


def test_no_more_announcements_are_read_than_the_bound() -> None:
    at, name = desk()
    for number in range(3 * MAX_ANNOUNCED):
        at.announce(b"junk %d" % number, PEOPLE[3])
    submitted(at.world, NODE)
    line = at.line(name, terms_for(at.world))
    assert (line.ok, line.problem) == (False, "differs")
    assert len(at.asked) == MAX_ANNOUNCED


def test_an_approval_that_was_announced_by_another_counts_if_the_owner_signed_it() -> None:
    at, name = desk()
    at.approve(OWNER, PEOPLE[3])
    submitted(at.world, NODE)
    assert at.line(name, terms_for(at.world)).ok


def test_the_owner_of_that_time_is_who_approves() -> None:
    at, name = desk()
    token = next(iter(at.world.owners))
    at.world.emit(ev.Transfer, RULES.registry, OWNER.address, OLD.address, token)
    at.world.owners[token] = OLD.address
    at.approve(OWNER)
    submitted(at.world, NODE)
    line = at.line(name, terms_for(at.world))
    assert line.ok is False
    assert "signed by someone else" in line.got


def test_a_lost_approval_is_missing_and_a_changed_one_wrong() -> None:
    for spoil, problem in (
        (dict.clear, "missing"),
        (lambda blocks: blocks.update(dict.fromkeys(blocks, b"x")), "wrong"),
    ):
        at, name = desk()
        at.approve()
        submitted(at.world, NODE)
        spoil(at.blocks)
        assert at.line(name, terms_for(at.world)).problem == problem


def test_a_job_that_never_ran_needs_no_approval() -> None:
    world, name = opened()
    assert list(algorithm_checks(fold(world), name, terms_for(world), getter({}))) == []
