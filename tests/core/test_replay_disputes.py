"""Replay of bonds and disputes: who gets what, and that no unit is lost or made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from marketplace.core import events as ev
from marketplace.core.bond import Bond
from marketplace.core.invariants import BONDS, INVARIANTS, JOB_MONEY, JUDGES, SLASHES
from marketplace.core.job import State
from marketplace.core.ledger import Ledger
from tests.core.registers import ARBITER, BUYER, LIMITS, PEOPLE, PROVIDER, VERIFIER
from tests.core.replayed import fold, rules_broken
from tests.core.world import World, begun, disputed, refunded


@pytest.mark.parametrize(
    ("ground", "number", "state", "shares"),
    [
        (2, 0, State.settled, (1_052, 0, 40)),
        (2, 1, State.refunded, (0, 2 * 1_002 + 90, 40)),
        (2, 2, State.split, (501, 501 + 50, 40)),
        (0, 1, State.refunded, (0, 2 * 1_002 + 90, 40)),
        (1, 0, State.settled, (1_052, 0, 40)),
    ],
)
def test_a_ruling_divides_price_stake_and_slash(
    ground: int, number: int, state: State, shares: tuple[int, int, int]
) -> None:
    world, name = disputed(ground)
    world.rule("", number)
    ledger = fold(world)
    record = ledger.jobs[name]
    assert ledger.findings == []
    assert record.job.state is state
    assert (record.to_provider, record.to_buyer, record.to_judge) == shares
    assert record.credited() == record.put_in()
    judge = VERIFIER if ground < 2 else ARBITER
    assert ledger.balances == {PROVIDER: shares[0], BUYER: shares[1], judge: shares[2]}


def test_the_arbiter_of_a_fault_rules_about_its_fee_only() -> None:
    world, name = disputed(faulted=True)
    world.rule("", 1)
    record = fold(world).jobs[name]
    assert (record.job.state, record.job.price, record.slashed) == (State.refunded, 100, 140)
    assert record.to_buyer == 902 + 2 * 100 + 90
    world, name = disputed(faulted=True)
    world.rule("", 0)
    assert fold(world).jobs[name].job.state is State.failed


@pytest.mark.parametrize(("ground", "provider"), [(0, 0), (1, 1_002), (2, 1_002)])
def test_where_nobody_judges_the_stake_returns_and_only_the_unavailable_is_unpaid(
    ground: int, provider: int
) -> None:
    world, name = disputed(ground)
    world.now += LIMITS.dispute_time + 1
    world.lapse("", 0)
    ledger = fold(world)
    record = ledger.jobs[name]
    assert ledger.findings == []
    assert (record.to_provider, record.to_buyer, record.to_judge) == (provider, 1_002 - provider + 90, 0)


def test_a_slash_is_at_most_what_the_bond_has_and_takes_what_leaves_too() -> None:
    world, _ = disputed()
    world.rule("", 1)
    world.unbond(PROVIDER, 1)
    world.open("", 0)
    world.submit("", 0)
    world.dispute("", 2)
    world.rule("", 1)
    ledger = fold(world)
    assert ledger.findings == []
    slashes = [event for event in world.events if isinstance(event, ev.BondSlashed)]
    assert [(event.from_staked, event.from_leaving) for event in slashes] == [(1_042, 0), (229, 229)]
    assert ledger.bonds[PROVIDER] == Bond(0, 0, world.now + 440)
    assert [record.slashed for record in ledger.jobs.values()] == [1_042, 458]


def test_an_expiry_of_a_provider_without_a_bond_costs_it_nothing() -> None:
    world = begun()
    world.unbond(PROVIDER, 0)
    world.now += 441
    world.release(PROVIDER, 0)
    world.end("", 0)
    ledger = fold(world)
    assert ledger.findings == []
    (record,) = ledger.jobs.values()
    assert (record.job.state, record.slashed, record.to_buyer) == (State.expired, 0, 1_002)


def test_unused_uses_come_back_early_where_the_provider_does_not_keep_its_side() -> None:
    stops: list[Callable[[World], None]] = [
        lambda world: world.set_status("", 0),
        lambda world: world.transfer(PEOPLE[3], 0),
        lambda world: world.unbond(PROVIDER, 0),
        lambda world: world.market(ev.PausedSet, True),
    ]
    for stop in stops:
        world = begun()
        key = next(iter(world.grants))
        stop(world)
        world.market(ev.UnusedClaimed, *key, 1, 1_002)
        assert rules_broken(world) == []
        world.events.remove(world.events[-2])
        assert rules_broken(world) == [
            "unused uses come back once the grant has ended, or where asset, owner, bond or market no longer stand"
        ]


# The invariants, on a ledger that somebody wrote into


def tampered(**fields: int) -> Ledger:
    ledger = fold(refunded())
    (record,) = ledger.jobs.values()
    for name, value in fields.items():
        setattr(record, name, value)
    return ledger


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({"to_judge": 41}, {JOB_MONEY, JUDGES}),
        ({"slashed": 1_043}, {JOB_MONEY, SLASHES, BONDS}),
        ({"staked": 91}, {JOB_MONEY}),
        ({"to_buyer": 0}, {JOB_MONEY}),
    ],
)
def test_a_broken_invariant_is_named(fields: dict[str, int], broken: set[str]) -> None:
    ledger = tampered(**fields)
    assert {finding.rule for check in INVARIANTS.values() for finding in check(ledger)} == broken


def test_a_bond_that_went_nowhere_is_found() -> None:
    ledger = fold(refunded())
    ledger.bonds[PROVIDER] = Bond()
    (finding,) = INVARIANTS[BONDS](ledger)
    assert (finding.expected, finding.got) == ("1500 in all", "0 held, 1042 slashed, 0 given back")
