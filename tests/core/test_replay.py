"""Replay: legal histories give the state that an independent model of the contracts has; illegal ones are named."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.core import events as ev
from marketplace.core.bond import Bond
from marketplace.core.invariants import INVARIANTS
from marketplace.core.job import END_STATES, Dispute, Receipt
from marketplace.core.ledger import Accreditation, Node
from marketplace.core.replay import replay
from tests.core.registers import LIMITS, PEOPLE, RULES
from tests.core.replayed import fold, storage
from tests.core.world import World, worlds


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_a_legal_history_replays_to_the_state_of_the_contracts(world: World) -> None:
    ledger = fold(world)
    assert ledger.findings == []
    held = storage(ledger)
    assert held["owners"] == world.owners
    assert held["epochs"] == world.epochs
    assert held["nodes"] == {who: Node(*entry) for who, entry in world.nodes.items()}
    assert held["balances"] == {who: amount for who, amount in world.balances.items() if amount}
    assert held["bonds"] == {who: Bond(*bond) for who, bond in world.bonds.items()}
    assert held["statuses"] == {token: status for token, status in world.statuses.items() if status}
    assert held["issuers"] == {key for key, trusted in world.issuers.items() if trusted}
    assert held["accreditations"] == {
        key: Accreditation(*entry) for key, entry in world.accreditations.items()
    }
    assert held["disputes"] == {
        name: Dispute(*job["dispute"]) for name, job in world.jobs.items() if "dispute" in job
    }
    assert held["units"] == dict.fromkeys(world.models.items(), 1000000)
    assert held["tokens"] == world.tokens
    for key, grant in world.grants.items():
        got = ledger.grants[key].grant
        wanted = [grant[name] for name in ("provider", "price", "paid", "opened", "last")]
        assert [got.provider, got.price, got.jobs_paid, got.jobs_opened, got.last_day] == wanted
    for name, job in world.jobs.items():
        stored = ledger.jobs[name].job
        wanted = [job[part] for part in ("provider", "price", "state", "until", "receipt")]
        assert [stored.provider, stored.price, stored.state, stored.until, stored.receipt] == wanted


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_every_invariant_holds_after_a_legal_history(world: World) -> None:
    ledger = fold(world)
    assert [finding for broken in INVARIANTS.values() for finding in broken(ledger)] == []
    assert ledger.owed() == world.tokens
    for record in ledger.jobs.values():
        assert record.slashed <= record.paid + record.to_judge
        assert record.staked == (LIMITS.challenge_bond if record.dispute else 0)
        if record.job.state in END_STATES:
            assert record.credited() == record.put_in()
        assert record.credited() <= record.put_in()


@settings(deadline=None, max_examples=30)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_in_which_logs_arrive_does_not_matter(world: World, random: Any) -> None:
    shuffled = list(world.events)
    random.shuffle(shuffled)
    assert storage(replay(shuffled, rules=RULES, times=world.times)) == storage(fold(world))


# What nothing in the contracts' storage depends on: documents are checked against their digests elsewhere,
# a signature against the node, and the rest is said by the event alone.
SAID_ONLY = {
    (ev.OfferAnnounced, "*"),
    (ev.ApprovalAnnounced, "*"),
    (ev.ReceiptSubmitted, "signature"),
    (ev.JobRejected, "reason"),
    (ev.JobFailed, "report"),  # of a fault of the node; after a fault with a fee it is found
    (ev.Withdrawn, "to"),
    (ev.JobDisputed, "judge"),  # found where the judge rules; against the offer in `evidence.judge_checks`
    (ev.JobDisputed, "evidence"),
    (ev.DisputeResolved, "reasons"),
    (ev.JobFaulted, "fault"),  # found unless the grant had already ended by another policy fault
    # Found unless a later purchase replaced it; then the offer's term shows it.
    (ev.AccessBought, "last_day"),
}


REPLACED = (ev.NodeSet, ev.StatusSet, ev.IssuerSet, ev.AccreditationSet, ev.PausedSet)


def hidden(world: World, event: ev.Event) -> bool:
    """An entry that a later one may have replaced: storage keeps the last one of each.

    A receipt of that time still shows its node, by its signer; a purchase the status and the accreditation.
    """
    later = world.events[world.events.index(event) + 1 :]
    return isinstance(event, REPLACED) and any(type(item) is type(event) for item in later)


def idle(world: World, event: ev.Event) -> bool:
    """It changed nothing when it came: a transfer to oneself, the same node once more."""
    if isinstance(event, ev.NodeSet):
        return any(replace(item, at=event.at) == event for item in world.events if item is not event)
    return isinstance(event, ev.Transfer) and event.sender == event.recipient


def other(value: Any, number: int) -> Any:
    """A value of the same type that differs."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if number % 2 or value == 0 else value - 1
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    if isinstance(value, Receipt):
        name = fields(value)[number % len(fields(value))].name
        return replace(value, **{name: other(getattr(value, name), number)})
    return next(person for person in [*PEOPLE, RULES.credits] if person != value)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(least=5), st.integers(0, 1_000), st.integers(0, 20), st.integers(0, 100))
def test_one_changed_field_of_one_event_is_found(world: World, which: int, part: int, number: int) -> None:
    event = world.events[which % len(world.events)]
    names = [item.name for item in fields(event) if item.name != "at"]
    name = names[part % len(names)]
    if hidden(world, event) or {(type(event), name), (type(event), "*")} & SAID_ONLY:
        return
    truth = storage(fold(world))
    changed = replace(event, **{name: other(getattr(event, name), number)})
    events = [changed if item is event else item for item in world.events]
    ledger = replay(events, rules=RULES, times=world.times)
    assert ledger.findings or storage(ledger) != truth, (event, name)


@settings(deadline=None, max_examples=100)
@given(worlds(least=5), st.integers(0, 1_000))
def test_an_event_that_is_left_out_is_found(world: World, which: int) -> None:
    left_out = world.events[which % len(world.events)]
    ledger = replay(
        [event for event in world.events if event is not left_out], rules=RULES, times=world.times
    )
    found = ledger.findings or storage(ledger) != storage(fold(world))
    assert found or idle(world, left_out) or hidden(world, left_out), left_out


@settings(deadline=None, max_examples=60)
@given(worlds(least=5), st.integers(0, 1_000))
def test_an_event_that_is_told_twice_changes_nothing_and_is_found(world: World, which: int) -> None:
    twice = world.events[which % len(world.events)]
    ledger = replay([*world.events, twice], rules=RULES, times=world.times)
    assert [finding.rule for finding in ledger.findings][-1:] == ["no two events stand in one place"]
    assert storage(ledger) == storage(fold(world))
