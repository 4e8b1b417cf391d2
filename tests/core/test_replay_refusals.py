"""Replay of what the contracts refuse: each is named by the rule it breaks, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from marketplace.core import events as ev
from marketplace.core.bond import Bond
from marketplace.core.eip712 import ZERO_ADDRESS
from tests.core.registers import ARBITER, BUYER, LIMITS, PEOPLE, PROVIDER, RULES, address, digest
from tests.core.replayed import changed, fold, rules_broken, storage
from tests.core.world import World, begun, disputed, refunded, submitted


def retired(world: World) -> World:
    world.set_status("", 4)
    return world


def dispute_event(world: World, name: bytes, **fields: Any) -> World:
    until = world.now + LIMITS.dispute_time
    world.market(ev.JobDisputed, name, 2, False, ARBITER, bytes(32), until)
    return changed(world, ev.JobDisputed, **fields)


def ruled(number: int, ground: int = 2, **fields: Any) -> World:
    world, _ = disputed(ground)
    world.rule("", number)
    return changed(world, ev.DisputeResolved, **fields)


def lapsed(**fields: Any) -> World:
    world, _ = disputed()
    world.now += LIMITS.dispute_time + 1
    world.lapse("", 0)
    return changed(world, ev.DisputeLapsed, **fields)


def expired(kind: type[ev.Event], **fields: Any) -> World:
    world = begun()
    world.now += LIMITS.job_time + 1
    world.end("", 0)
    return changed(world, kind, **fields)


def after(step: Callable[[World], Any], world: World | None = None) -> World:
    world = world or begun()
    step(world)
    return world


def later(step: Callable[[World], Any]) -> World:
    """A provider that unbonds, the time over, then the step."""
    world = begun()
    world.unbond(PROVIDER, 0)
    world.now += 441
    return after(step, world)


def stopped() -> World:
    return after(lambda world: world.market(ev.PausedSet, True))


def two_disputes() -> World:
    """The second job of one offer is judged by another arbiter."""
    world, _ = disputed()
    world.open("", 0)
    world.submit("", 0)
    world.dispute("", 2)
    return changed(world, ev.JobDisputed, judge=address(0xB9))


TWICE = "a slash takes what the job may cost, what is staked first"
JUDGED = "a ruling divides price, stake and slash as it must"
ILLEGAL: dict[str, tuple[Callable[[], World], str]] = {
    # disputes
    "an unknown ground": (lambda: dispute_event(*submitted(), ground=3), "a dispute is on a known ground"),
    "a receipt disputed as a fault": (
        lambda: dispute_event(*submitted(), faulted=True), "a dispute says whether it is about a fault",
    ),
    "a fault on another ground": (
        lambda: changed(disputed(faulted=True)[0], ev.JobDisputed, ground=0),
        "a fault is disputed on other grounds only",
    ),
    "no judge": (lambda: dispute_event(*submitted(), judge=ZERO_ADDRESS), "nobody judges its own case"),
    "the provider as judge": (lambda: dispute_event(*submitted(), judge=PROVIDER), "nobody judges its own case"),
    "the buyer as judge": (lambda: dispute_event(*submitted(), judge=BUYER), "nobody judges its own case"),
    "too much time": (lambda: dispute_event(*submitted(), until=1), "a judge has its time"),
    "two arbiters of one offer": (two_disputes, "an offer has one arbiter and one verifier"),
    "a dispute of nothing": (lambda: dispute_event(begun(), digest("no job")), "the job was opened"),
    "another judge rules": (lambda: ruled(0, judge=PEOPLE[3]), "the judge of the dispute rules"),
    "the arbiter rules for the verifier": (lambda: ruled(0, 1, judge=ARBITER), "the judge of the dispute rules"),
    "an unknown ruling": (lambda: ruled(0, ruling=3), "a judge rules pay, refund or split"),
    "a verifier that splits": (
        lambda: ruled(0, 1, ruling=2, to_provider=501, to_buyer=551), "only an arbiter splits",
    ),
    "a higher fee": (lambda: ruled(0, to_judge=41, to_provider=1_051), JUDGED),
    "the odd unit to the provider": (lambda: ruled(2, to_provider=502, to_buyer=550), JUDGED),
    "a refund without its slash": (lambda: ruled(0, ruling=1, to_provider=0, to_buyer=1_052), TWICE),
    "a lapse that keeps the stake": (lambda: lapsed(to_buyer=0), "what nobody judged goes as its ground says, "
        "and the stake returns"),
    "a lapse of no dispute": (
        lambda: after(lambda world: world.market(ev.DisputeLapsed, next(iter(world.jobs)), 1_002, 90)),
        "what lapses is a dispute",
    ),
    "a settlement of a dispute": (
        lambda: after(
            lambda world: world.market(ev.JobSettled, next(iter(world.jobs)), PROVIDER, 1_002), disputed()[0]
        ),
        "a job whose receipt came is what is settled",
    ),
    # slashes
    "a slash of too much": (lambda: changed(refunded(), ev.BondSlashed, from_staked=1_043), TWICE),
    "a slash of what leaves first": (
        lambda: changed(refunded(), ev.BondSlashed, from_staked=0, from_leaving=1_042), TWICE,
    ),
    "a slash of another provider": (
        lambda: changed(refunded(), ev.BondSlashed, provider=PEOPLE[2]),
        "what is slashed is the bond of the job's provider",
    ),
    "a slash of nothing": (
        lambda: changed(refunded(), ev.BondSlashed, from_staked=0), "a slash takes something",
    ),
    "a slash above the penalty": (lambda: expired(ev.BondSlashed, from_staked=201), TWICE),
    "a penalty above the slash": (lambda: expired(ev.JobExpired, penalty=201), "the penalty is what was slashed"),
    "a slash for no job": (
        lambda: after(lambda world: world.market(ev.BondSlashed, PROVIDER, 5, 0)),
        "a bond is slashed for a job, whose event comes next",
    ),
    "an expiry that keeps a part": (
        lambda: expired(ev.JobExpired, refund=1_001), "the buyer gets the whole price back",
    ),
    # while paused
    "a sale while paused": (
        lambda: after(lambda world: world.market(ev.AccessBought, *bought(world)), stopped()),
        "nothing is bought while paused",
    ),
    "a job while paused": (lambda: after(lambda world: world.open("", 0), stopped()), "no job opens while paused"),
    # bonds
    "a sale without a bond": (
        lambda: after(lambda world: world.market(ev.AccessBought, *bought(world)), later(lambda world: None)),
        "who sells has a bond",
    ),
    "more leaves than is there": (
        lambda: after(lambda world: world.market(ev.UnbondingStarted, PROVIDER, 1_501, world.now + 440)),
        "what leaves a bond is part of it",
    ),
    "nothing leaves": (
        lambda: after(lambda world: world.market(ev.UnbondingStarted, PROVIDER, 0, world.now + 440)),
        "what leaves a bond is part of it",
    ),
    "it leaves too soon": (
        lambda: after(lambda world: world.market(ev.UnbondingStarted, PROVIDER, 1, world.now + 439)),
        "a bond takes its time to leave",
    ),
    "nothing to release": (
        lambda: after(lambda world: world.market(ev.BondReleased, PROVIDER, 1)),
        "what was announced to leave is released",
    ),
    "released too soon": (
        lambda: after(
            lambda world: (world.unbond(PROVIDER, 0), world.market(ev.BondReleased, PROVIDER, 1_500))
        ),
        "a bond is released after its time",
    ),
    "a part released": (
        lambda: later(lambda world: world.market(ev.BondReleased, PROVIDER, 1_499)), "all that leaves is released",
    ),
    "a bond beyond its type": (
        lambda: after(lambda world: world.market(ev.BondDeposited, PROVIDER, 1 << 48)), "a bond fits its 48 bits",
    ),
    # assets and accounts
    "a retired asset is resumed": (
        lambda: after(lambda world: status(world, 0), retired(begun())), "a retired asset stays so",
    ),
    "an unknown status": (lambda: after(lambda world: status(world, 3)), "an asset has a known status"),
    "a status of nothing": (
        lambda: after(lambda world: world.emit(ev.StatusSet, RULES.registry, 5, 1)),
        "a status is that of a published asset",
    ),
    "a paused asset is sold": (
        lambda: after(lambda world: (status(world, 1), world.market(ev.AccessBought, *bought(world)))),
        "what is bought is for sale",
    ),
    "a former owner sells": (
        lambda: after(
            lambda world: (world.transfer(PEOPLE[3], 0), world.market(ev.AccessBought, *bought(world)))
        ),
        "who sells is the asset's owner",
    ),
    "an issuer that nobody trusts": (
        lambda: after(
            lambda world: world.emit(
                ev.AccreditationSet, RULES.participants, BUYER, digest("role"), PEOPLE[3], world.now
            )
        ),
        "only a trusted issuer accredits",
    ),
    "an issuer that is trusted no more": (
        lambda: after(
            lambda world: (
                world.trust(PEOPLE[3], 0), world.trust(PEOPLE[3], 0),
                world.emit(
                    ev.AccreditationSet, RULES.participants, BUYER, digest("role", 0), PEOPLE[3], world.now
                ),
            )
        ),
        "only a trusted issuer accredits",
    ),
}  # fmt: skip


def bought(world: World) -> tuple[Any, ...]:
    """The only purchase, once more."""
    event = next(event for event in world.events if isinstance(event, ev.AccessBought))
    return event.offer_digest, BUYER, PROVIDER, event.asset_id, event.price, 1, event.last_day


def status(world: World, number: int) -> None:
    world.emit(ev.StatusSet, RULES.registry, next(iter(world.owners)), number)


@pytest.mark.parametrize("what", ILLEGAL)
def test_what_the_contracts_refuse_is_named_and_changes_nothing(what: str) -> None:
    make, rule = ILLEGAL[what]
    world = make()
    ledger = fold(world)
    assert rule in [finding.rule for finding in ledger.findings]
    at = {(finding.at.block, finding.at.index) for finding in ledger.findings if finding.at}
    world.events = [event for event in world.events if (event.at.block, event.at.index) not in at]
    kept = storage(ledger)
    assert storage(fold(world)) == kept


@pytest.mark.parametrize(
    "what", ["a slash for no job", "a status of nothing", "an issuer that nobody trusts"]
)
def test_a_finding_says_whom_it_is_about(what: str) -> None:
    subjects = {"a slash for no job": f"account {PROVIDER}", "a status of nothing": "asset 5"}
    (finding,) = fold(ILLEGAL[what][0]()).findings
    assert finding.subject == subjects.get(what, f"account {BUYER}")


def test_a_slash_that_another_event_follows_is_found() -> None:
    world = refunded()
    place = next(place for place, event in enumerate(world.events) if isinstance(event, ev.BondSlashed))
    world.events[place + 1] = replace(
        world.events[place + 1], at=replace(world.events[place + 1].at, transaction=digest("another"))
    )
    assert rules_broken(world) == ["a bond is slashed for a job, whose event comes next", TWICE]


def test_two_slashes_in_one_transaction_go_to_their_own_jobs() -> None:
    world = begun()
    world.open("", 0)
    world.now += LIMITS.job_time + 1
    world.end("", 0)
    block, last = world.block, world.events[-1].at.index
    world.end("", 0)
    for event in world.events[-2:]:
        at = replace(world.events[-3].at, index=last + 1 + event.at.index)
        world.events[world.events.index(event)] = replace(event, at=at)
    assert {event.at.block for event in world.events[-4:]} == {block}
    ledger = fold(world)
    assert ledger.findings == []
    assert [record.slashed for record in ledger.jobs.values()] == [200, 200]
    assert ledger.bonds[PROVIDER] == Bond(1_100)
