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
from marketplace.core.ledger import Node
from marketplace.errors import InputError
from tests.core.registers import ARBITER, LIMITS, PEOPLE, RULES, address, digest
from tests.core.replayed import fold, storage
from tests.core.world import World, begun

SITUATIONS = [*(state.name for state in State), "disputed_fault"]
"""The states of the table: a dispute about a fault ends otherwise than one about a receipt."""


def job_in(situation: str) -> tuple[World, bytes]:
    """A world whose only job is in that state, within its deadline or window."""
    world = begun()
    name = next(iter(world.jobs))
    match situation:
        case "none":
            return world, digest("a job that nobody opened")
        case "submitted" | "settled" | "disputed" | "refunded" | "split":
            world.submit("", 0)
        case "faulted" | "failed" | "disputed_fault":
            world.fault("", 0)
        case "rejected":
            world.end("", 1)
        case "expired":
            world.now += LIMITS.job_time + 1
            world.end("", 1)
    match situation:
        case "settled":
            world.settle("", 0)
        case "failed":
            world.now += LIMITS.window + 1
            world.finish_fault("", 0)
        case "disputed" | "disputed_fault" | "refunded" | "split":
            world.dispute("", 2)
    if situation in ("refunded", "split"):
        world.rule("", 1 if situation == "refunded" else 2)
    return world, name


def step_event(world: World, name: bytes, action: Action, state: State) -> None:
    """Emits what the contract would for that action, whether or not it may come."""
    if state in (State.faulted, State.disputed) and action is Action.finalise:
        end_event(world, name, state)
    elif action is Action.dispute or action.startswith("resolve"):
        dispute_event(world, name, action, state)
    else:
        trade_event(world, name, action)


def trade_event(world: World, name: bytes, action: Action) -> None:
    job = next(iter(world.jobs.values()))
    price, provider = job["price"], job["provider"]
    until = world.now + LIMITS.window
    receipt = Receipt(name, digest("in"), digest("out"), keccak(b"key"), digest("env"), 0, 1, 2)
    request = job["request"]
    opened = [request.algorithm, request.spec, price, world.now + LIMITS.job_time]
    match action:
        case Action.open_job:
            world.market(ev.JobOpened, name, provider, request.buyer, request.offer_digest, 0, *opened)
        case Action.submit:
            world.market(ev.ReceiptSubmitted, name, receipt, bytes(65), b"key", until)
        case Action.accept | Action.finalise:
            world.market(ev.JobSettled, name, provider, price)
        case Action.reject:
            world.market(ev.JobRejected, name, digest("reason"), price)
        case Action.fail_node:
            world.market(ev.JobFailed, name, 0, price, digest("report"))
        case Action.fail_algorithm | Action.fail_policy:
            fault = 1 if action is Action.fail_algorithm else 2
            world.market(ev.JobFaulted, name, fault, price // 10, price - price // 10, digest("r"), until)
        case Action.expire:
            taken = world.slash(provider, LIMITS.expiry_penalty)
            world.market(ev.JobExpired, name, price, taken, same=True)


def end_event(world: World, name: bytes, state: State) -> None:
    job = next(iter(world.jobs.values()))
    if state is State.faulted:
        world.market(ev.JobFailed, name, job["price"], 0, job["receipt"])
    else:
        world.market(ev.DisputeLapsed, name, job["price"], LIMITS.challenge_bond)


def dispute_event(world: World, name: bytes, action: Action, state: State) -> None:
    job = next(iter(world.jobs.values()))
    price, half = job["price"], job["price"] // 2
    rest, said = LIMITS.challenge_bond - LIMITS.judge_fee, (LIMITS.judge_fee, digest("reasons"))
    match action:
        case Action.dispute:
            until, faulted = world.now + LIMITS.dispute_time, state is State.faulted
            world.market(ev.JobDisputed, name, 2, faulted, ARBITER, digest("evidence"), until)
        case Action.resolve_pay:
            world.market(ev.DisputeResolved, name, ARBITER, 0, price + rest, 0, *said)
        case Action.resolve_refund:
            taken = world.slash(job["provider"], price + LIMITS.judge_fee)
            world.market(ev.DisputeResolved, name, ARBITER, 1, 0, price + rest + taken, *said, same=True)
        case Action.resolve_split:
            world.market(ev.DisputeResolved, name, ARBITER, 2, half, price - half + rest, *said)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_step_is_taken_exactly_where_the_table_allows_it(
    situation: str, action: Action, late: bool
) -> None:
    world, name = job_in(situation)
    state = State.disputed if situation == "disputed_fault" else State[situation]
    if late:
        world.now = max(job["until"] for job in world.jobs.values()) + 1
    before = fold(world)
    assert before.findings == []
    step_event(world, name, action, state)
    after = fold(world)
    if state is State.submitted and action in (Action.accept, Action.finalise):  # one event stands for both
        action = Action.finalise if late else Action.accept
    move = TRANSITIONS.get((state, action))
    allowed = move is not None and move.late in (None, late)
    if (state, action) == (State.none, Action.open_job):
        allowed = False  # the name is not the hash of any request
    if allowed:
        dispute = before.jobs[name].dispute
        assert after.findings == []
        assert move is not None
        assert after.jobs[name].job.state is move.end(dispute)
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
    world, _ = job_in("settled")
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
    world.market(ev.JobFaulted, name, 1, fee, job["price"] - fee, digest("r"), world.now + LIMITS.window)
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
    (ev.AccessBought, "uses", 0, "a purchase has uses"),
    (ev.AccessBought, "provider", PEOPLE[2], "who sells is the asset's owner"),
    (ev.AccessBought, "last_day", 1, "a purchase fits its term"),
    (ev.AssetPublished, "owner", PEOPLE[3], "the publisher owns the asset"),
]


@pytest.mark.parametrize(("kind", "field", "value", "rule"), LIES)
def test_a_lie_about_a_step_is_named_by_the_rule_it_breaks(
    kind: Any, field: str, value: Any, rule: str
) -> None:
    world, _ = job_in("settled")
    world.register("", 0)
    place = next(place for place, event in enumerate(world.events) if isinstance(event, kind))
    world.events[place] = replace(world.events[place], **{field: value})
    assert rule in [finding.rule for finding in fold(world).findings]
