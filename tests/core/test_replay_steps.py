"""Replay, step by step: each is taken exactly where the table allows it, and a refused one is named by its rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from marketplace.core import events as ev
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import TRANSITIONS, Action, Receipt, State
from marketplace.core.ledger import Ledger, Node
from marketplace.core.replay import replay
from marketplace.errors import InputError
from tests.core.world import PEOPLE, RULES, World, address, digest


def fold(world: World) -> Ledger:
    return replay(world.events, rules=RULES, times=world.times)


def storage(ledger: Ledger) -> dict[str, Any]:
    """All that the contracts' views would show."""
    return {
        "owners": {token: history.now() for token, history in ledger.owners.items()},
        "metadata": {token: event.metadata for token, event in ledger.published.items()},
        "epochs": {token: history.now() for token, history in ledger.epochs.items()},
        "nodes": {who: history.now() for who, history in ledger.nodes.items()},
        "grants": {key: record.grant for key, record in ledger.grants.items()},
        "jobs": {name: record.job for name, record in ledger.jobs.items()},
        "balances": {who: amount for who, amount in ledger.balances.items() if amount},
        "units": {(token, who): held for token, units in ledger.units.items() for who, held in units.items()},
        "paused": {contract for contract, paused in ledger.paused.items() if paused},
        "tokens": ledger.paid_in - ledger.withdrawn,
    }


def begun() -> World:
    """One dataset, one purchase of two uses, one open job."""
    world = World()
    world.publish(PEOPLE[0], 0)
    world.buy(PEOPLE[1], 1)
    world.open(PEOPLE[1], 0)
    return world


def job_in(state: State) -> tuple[World, bytes]:
    """A world whose only job is in that state, within its deadline or window."""
    world = begun()
    name = next(iter(world.jobs))
    if state is State.none:
        return world, digest("a job that nobody opened")
    if state in (State.submitted, State.settled):
        world.submit("", 0)
    if state in (State.faulted, State.failed):
        world.fault("", 0)
    if state is State.settled:
        world.settle("", 0)
    if state is State.failed:
        world.now += RULES.window + 1
        world.finish_fault("", 0)
    if state is State.expired:
        world.now += RULES.job_time + 1
    if state in (State.rejected, State.expired):
        world.end("", 1)
    return world, name


def step_event(world: World, name: bytes, action: Action) -> None:
    """Emits what the contract would for that action, whether or not it may come."""
    job = next(iter(world.jobs.values()))
    price = job["price"]
    until = world.now + RULES.window
    receipt = Receipt(name, digest("in"), digest("out"), keccak(b"key"), digest("env"), 0, 1, 2)
    request = job["request"]
    opened = [request.algorithm, request.spec, price, world.now + RULES.job_time]
    match action:
        case Action.open_job:
            world.market(ev.JobOpened, name, job["provider"], request.buyer, request.offer_digest, 0, *opened)
        case Action.submit:
            world.market(ev.ReceiptSubmitted, name, receipt, bytes(65), b"key", until)
        case Action.accept | Action.finalise:
            world.market(ev.JobSettled, name, job["provider"], price)
        case Action.reject:
            world.market(ev.JobRejected, name, digest("reason"), price)
        case Action.fail_node:
            world.market(ev.JobFailed, name, 0, price, digest("report"))
        case Action.fail_algorithm | Action.fail_policy:
            fault = 1 if action is Action.fail_algorithm else 2
            world.market(ev.JobFaulted, name, fault, price // 10, price - price // 10, digest("r"), until)
        case Action.expire:
            world.market(ev.JobExpired, name, price)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", State)
def test_a_step_is_taken_exactly_where_the_table_allows_it(state: State, action: Action, late: bool) -> None:
    world, name = job_in(state)
    if late:
        world.now = max(job["until"] for job in world.jobs.values()) + 1
    before = fold(world)
    assert before.findings == []
    step_event(world, name, action)
    after = fold(world)
    if action in (Action.accept, Action.finalise):  # one event stands for both
        action = Action.accept if state is State.submitted and not late else Action.finalise
    move = TRANSITIONS.get((state, action))
    allowed = move is not None and move.late in (None, late)
    if (state, action) == (State.none, Action.open_job):
        allowed = False  # the name is not the hash of any request
    if (state, action) == (State.faulted, Action.finalise):
        allowed = False  # its event is JobFailed, not JobSettled
    if allowed:
        assert after.findings == []
        assert after.jobs[name].job.state is move.to
    else:
        assert len(after.findings) == 1
        assert storage(after) == storage(before)


def test_an_unfinished_publication_is_found() -> None:
    world = begun()
    token = asset_id(Kind.dataset, PEOPLE[2], digest("half"))
    world.emit(ev.Transfer, RULES.registry, ZERO_ADDRESS, PEOPLE[2], token)
    assert [finding.subject for finding in fold(world).findings] == [f"asset {token}"]
    world.set_node(PEOPLE[2], 1)
    assert [finding.got for finding in fold(world).findings] == ["NodeSet next"]


def test_a_model_without_credits_is_found() -> None:
    world, _ = job_in(State.settled)
    world.register("", 0)
    assert fold(world).findings == []
    world.events.pop()
    assert [finding.expected for finding in fold(world).findings] == ["CreditsMinted"]


def test_an_event_of_another_contract_is_refused() -> None:
    world = begun()
    event = world.events[-1]
    world.events[-1] = replace(event, contract=address(0xBAD))
    assert [finding.rule for finding in fold(world).findings] == ["an event comes from its own contract"]
    assert fold(world).jobs == {}


def test_two_hashes_of_one_block_are_found() -> None:
    world = begun()
    last = world.events[1]
    world.events[1] = replace(last, at=replace(last.at, block_hash=digest("another")))
    assert fold(world).findings[0].rule == "a block has one hash"


@pytest.mark.parametrize("contract", [RULES.market, RULES.registry])
def test_nothing_new_starts_while_paused_and_every_exit_works(contract: str) -> None:
    world = begun()
    world.emit(ev.PausedSet, contract, True)
    world.submit("", 0)
    world.settle("", 0)
    world.withdraw(next(iter(world.balances)), 0)
    assert fold(world).findings == []
    if contract == RULES.market:
        world.buy(PEOPLE[2], 1)
        world.open(PEOPLE[1], 1)
    else:
        world.publish(PEOPLE[3], 9)
    rules = {finding.rule for finding in fold(world).findings}
    assert any("paused" in rule for rule in rules)


def test_a_fee_above_a_fifth_is_refused() -> None:
    world = begun()
    name, job = next(iter(world.jobs.items()))
    fee = job["price"] // 5 + 1
    world.market(ev.JobFaulted, name, 1, fee, job["price"] - fee, digest("r"), world.now + RULES.window)
    assert fold(world).findings[0].rule == "a failure fee is at most a fifth"


def test_a_block_without_a_time_is_refused() -> None:
    world = begun()
    world.times.clear()
    with pytest.raises(InputError, match="the time of a block is missing"):
        fold(world)


def test_history_tells_what_held_right_after_a_log() -> None:
    world = begun()
    world.set_node(PEOPLE[0], 1)
    first = world.events[-1].at
    world.set_node(PEOPLE[0], 2)
    ledger = fold(world)
    assert ledger.node_at(PEOPLE[0], first).account == PEOPLE[1]
    assert ledger.node_at(PEOPLE[0], world.events[-1].at).account == PEOPLE[2]
    assert ledger.node_at(PEOPLE[0], world.events[0].at) == Node()


LIES = [
    (ev.JobOpened, "price", 1, "a job costs the grant's price"),
    (ev.JobOpened, "provider", PEOPLE[1], "a job pays the grant's provider"),
    (ev.JobOpened, "index", 1, "a job's id is the hash of its request"),
    (ev.JobOpened, "until", 1, "a job has its time"),
    (ev.ReceiptSubmitted, "until", 1, "the window is the market's"),
    (ev.ReceiptSubmitted, "wrapped_key", b"another", "the key that was delivered is the receipt's"),
    (ev.JobSettled, "amount", 1, "a settled job pays its price"),
    (ev.JobSettled, "provider", PEOPLE[1], "a settled job pays its provider"),
    (ev.CreditsMinted, "units", 1, "a model has a fixed number of credits"),
    (ev.CreditsMinted, "account", PEOPLE[1], "credits go to the job's provider"),
    (ev.AccessBought, "uses", 0, "a purchase has uses and a provider"),
    (ev.AccessBought, "last_day", 1, "a purchase fits its term"),
    (ev.AssetPublished, "owner", PEOPLE[3], "the publisher owns the asset"),
]


@pytest.mark.parametrize(("kind", "field", "value", "rule"), LIES)
def test_a_lie_about_a_step_is_named_by_the_rule_it_breaks(
    kind: Any, field: str, value: Any, rule: str
) -> None:
    world, _ = job_in(State.settled)
    world.register("", 0)
    place = next(place for place, event in enumerate(world.events) if isinstance(event, kind))
    world.events[place] = replace(world.events[place], **{field: value})
    assert rule in [finding.rule for finding in fold(world).findings]
