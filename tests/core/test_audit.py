"""The pure lines of an audit: what a block, a signature or a history is found to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core import events as ev
from marketplace.core import unixfs
from marketplace.core.audit import (
    Found,
    Missing,
    claimed,
    fetch,
    invariant_checks,
    money_check,
    solvency_check,
    step_checks,
)
from marketplace.core.canonical import sha256
from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, encode_node, node_total
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.outputs import read_file
from marketplace.core.scope import Scope, views
from marketplace.core.timeline import entry, timeline
from marketplace.errors import InputError, NotFoundError, SteelyardError, UnavailableError
from tests.core.registers import ARBITER, PEOPLE, RULES, digest
from tests.core.replayed import fold
from tests.core.world import World, begun, worlds

BLOCK = b"a document"
CID = Cid.of("raw", BLOCK)


def getter(blocks: dict[Cid, bytes]) -> Callable[[Cid], bytes]:
    """A store that checks nothing."""

    def get(cid: Cid) -> bytes:
        if cid not in blocks:
            raise NotFoundError("no such block", got=cid)
        return blocks[cid]

    return get


def raising(error: SteelyardError) -> Callable[[Cid], bytes]:
    def get(cid: Cid) -> bytes:
        raise error

    return get


# Blocks


def test_a_good_block_is_found_and_parsed() -> None:
    assert fetch(getter({CID: BLOCK}), CID, len) == Found(CID, 10)


def refuse(block: bytes) -> None:
    raise InputError("not a document")


@pytest.mark.parametrize(
    ("get", "parse", "problem", "says"),
    [
        (getter({CID: b"changed"}), len, "wrong", sha256(b"changed").hex()),
        (getter({}), len, "missing", "not in the store"),
        (raising(UnavailableError("down")), len, "unavailable", "down"),
        (raising(InputError("HTTP 422")), len, "unavailable", "HTTP 422"),
        (getter({CID: BLOCK}), refuse, "differs", "not a document"),
    ],
)
def test_a_bad_block_is_named_for_what_it_is(get: Any, parse: Any, problem: str, says: str) -> None:
    found = fetch(get, CID, parse)
    assert isinstance(found, Missing)
    assert found.problem == problem
    assert str(CID) in found.got
    assert says in found.got


def stored(size: int) -> tuple[Cid, dict[Cid, bytes], bytes]:
    content = bytes(number % 251 for number in range(1000)) * (size // 1000 + 1)
    blocks: dict[Cid, bytes] = {}
    leaves = [content[:size][at : at + unixfs.LEAF] for at in range(0, size, unixfs.LEAF)]
    return unixfs.build(leaves, blocks.__setitem__).cid, blocks, content[:size]


@pytest.mark.parametrize("size", [0, 1, unixfs.LEAF, unixfs.LEAF + 1, 5 * unixfs.LEAF])
def test_a_whole_file_is_read_block_by_block(size: int) -> None:
    root, blocks, content = stored(size)
    reading = read_file(root, getter(blocks), limit=size)
    assert (reading.size, reading.blocks, reading.problems) == (size, len(blocks), ())
    assert reading.sha256 == sha256(content)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_whichever_block_of_a_file_is_bad_is_named(which: int, place: int, gone: bool) -> None:
    root, blocks, _ = stored(3 * unixfs.LEAF)
    cid = sorted(blocks, key=str)[which % len(blocks)]
    if gone:
        del blocks[cid]
    else:
        bad = bytearray(blocks[cid])
        bad[place % len(bad)] ^= 1
        blocks[cid] = bytes(bad)
    (problem,) = read_file(root, getter(blocks), limit=1 << 30).problems
    assert problem.problem == ("missing" if gone else "wrong")
    assert str(cid) in problem.got


def test_a_file_over_the_limit_is_not_read() -> None:
    root, blocks, _ = stored(2 * unixfs.LEAF)
    asked: list[Cid] = []
    get = getter(blocks)
    reading = read_file(root, lambda cid: asked.append(cid) or get(cid), limit=2 * unixfs.LEAF - 1)  # type: ignore[func-returns-value]
    assert reading.problems[0].problem == "differs"
    assert asked == [root]


def test_a_few_blocks_that_claim_exabytes_are_not_read() -> None:
    leaf = b"x" * unixfs.LEAF
    blocks = {Cid.of("raw", leaf): leaf}
    link = Link(Cid.of("raw", leaf), unixfs.LEAF, unixfs.LEAF)
    for _ in range(5):
        links = [link] * unixfs.WIDTH
        node = encode_node(links)
        cid = Cid.of("dag-pb", node)
        blocks[cid] = node
        link = Link(cid, sum(child.size for child in links), node_total(node, links))
    reading = read_file(link.cid, getter(blocks), limit=1 << 26)
    assert reading.problems[0].problem == "differs"
    assert reading.blocks <= 1


def test_blocks_that_hash_but_make_no_file_differ() -> None:
    block = b"no node at all"
    cid = Cid.of("dag-pb", block)
    (problem,) = read_file(cid, getter({cid: block}), limit=1 << 20).problems
    assert problem.problem == "differs"


def test_what_strangers_wrote_cannot_steer_a_terminal() -> None:
    line = claimed("fault", "job 0x", "the node says", got="crashed: \x1b[2J\r\n\u202eok" + "x" * 1_000)
    assert line.got.isprintable()
    assert line.got.startswith("crashed: ?[2J???ok")
    assert len(line.got) == 500


# The chain by itself


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_a_legal_history_passes_and_its_views_are_those_of_the_contracts(world: World) -> None:
    ledger = fold(world)
    lines = [*step_checks(ledger, len(world.events)), *invariant_checks(ledger)]
    lines += [money_check(name, record) for name, record in ledger.jobs.items()]
    assert all(line.ok for line in lines)
    said = {(view.function, view.arguments): view.value for view in views(ledger, Scope.of(ledger, None))}
    for token, owner in world.owners.items():
        assert said["ownerOf", (token,)] == owner
        assert said["epochOf", (token,)] == world.epochs.get(token, 0)
        assert said["statusOf", (token,)] == world.statuses.get(token, 0)
    for (offer, buyer), grant in world.grants.items():
        assert said["grantOf", (offer, buyer)] == tuple(
            grant[name] for name in ("provider", "price", "paid", "opened", "last")
        )
    for name, job in world.jobs.items():
        assert said["jobOf", (name,)] == tuple(
            job[part] for part in ("provider", "price", "state", "until", "receipt")
        )
        assert said["disputeOf", (name,)] == job.get("dispute", (ZERO_ADDRESS, 0, False))
    for provider, bond in world.bonds.items():
        assert said["bondOf", (provider,)] == bond
    for key, accreditation in world.accreditations.items():
        assert said["accreditationOf", key] == accreditation
    for key, trusted in world.issuers.items():
        assert said["isIssuer", key] == trusted
    for account, amount in world.balances.items():
        assert said["balanceOf", (account,)] == amount
    for participant, (node, key, epoch, isolation) in world.nodes.items():
        assert said["isolationOf", (participant,)] == isolation
        assert said["nodeOf", (participant,)] == node
        assert said["sealingKeyOf", (participant,)] == key
        assert said["epochOf", (participant,)] == epoch


@settings(deadline=None, max_examples=40)
@given(worlds(), st.integers(-2, 2))
def test_a_market_that_holds_less_than_it_owes_is_found(world: World, gift: int) -> None:
    check = solvency_check(fold(world), world.tokens + gift)
    assert check.ok == (gift >= 0)


def test_an_illegal_step_is_a_line_with_its_place() -> None:
    world = World()
    world.market(ev.JobSettled, digest("no job"), PEOPLE[0], 5)
    (line,) = step_checks(fold(world), 1)
    assert (line.ok, line.problem, line.subject) == (False, "differs", f"job 0x{digest('no job').hex()}")
    assert "block 11, log 0" in line.compared


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_the_scope_of_a_part_is_within_the_whole(world: World) -> None:
    ledger = fold(world)
    whole = Scope.of(ledger, None)
    parts = [Scope.of(ledger, subject) for subject in (*ledger.published, *ledger.jobs)]
    for part in parts:
        assert set(part.assets) <= set(whole.assets)
        assert set(part.grants) <= set(whole.grants)
    for name, record in ledger.jobs.items():
        part = Scope.of(ledger, name)
        assert part.jobs == (name,)
        assert part.grants == (record.grant_key,)
        assert record.asset_id in part.assets
    for token, owner_of_jobs in ledger.models.items():
        assert Scope.of(ledger, token).jobs == (owner_of_jobs,)


def test_a_job_s_scope_holds_its_judge_its_bond_and_who_vouched_for_its_buyer() -> None:
    world = begun()
    world.trust(PEOPLE[2], 0)
    world.trust(PEOPLE[3], 1)
    world.accredit(PEOPLE[1], 0)
    world.accredit(PEOPLE[3], 0)
    world.submit("", 0)
    world.dispute("", 2)
    ledger = fold(world)
    scope = Scope.of(ledger, next(iter(world.jobs)))
    assert ARBITER in scope.accounts
    assert scope.accreditations == ((PEOPLE[1], digest("role", 0)),)
    assert scope.issuers == ((digest("role", 0), PEOPLE[2]),)
    said = {(view.function, view.arguments): view.value for view in views(ledger, scope)}
    assert said["bondOf", (PEOPLE[0],)] == (1_500, 0, 0)


def test_successor_and_authority_are_held_to_storage() -> None:
    world = begun()
    said = {view.function for view in views(fold(world), Scope.of(fold(world), None))}
    assert "authority" not in said  # nothing on chain told it
    world.emit(ev.SuccessorAnnounced, RULES.registry, PEOPLE[3])
    for contract in (RULES.market, RULES.registry, RULES.participants):
        world.emit(ev.AuthorityUpdated, contract, PEOPLE[2])
    ledger = fold(world)
    assert ledger.findings == []
    held = [
        view for view in views(ledger, Scope.of(ledger, None)) if view.function in ("successor", "authority")
    ]
    assert [(view.contract, view.value) for view in held] == [
        ("AssetRegistry", PEOPLE[3]),
        ("Market", PEOPLE[2]),
        ("AssetRegistry", PEOPLE[2]),
        ("ParticipantRegistry", PEOPLE[2]),
    ]


@pytest.mark.parametrize("subject", [1, bytes(32)])
def test_a_scope_of_nothing_is_refused(subject: int | bytes) -> None:
    with pytest.raises(NotFoundError):
        Scope.of(fold(World()), subject)


def test_the_timeline_of_a_job_tells_what_it_took_from_a_bond() -> None:
    world = begun()
    first = next(iter(world.jobs))
    world.open("", 0)
    for name in world.jobs:
        world.submit("", 0)
        world.dispute("", 2)
        world.rule("", 1)
        own = [type(event).__name__ for event in timeline(world.events, name)]
        assert own[-3:] == ["JobDisputed", "BondSlashed", "DisputeResolved"]
        assert own.count("BondSlashed") == 1
    assert timeline(world.events, first)[-1].at < world.events[-1].at


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_a_timeline_is_in_order_and_holds_every_event_of_a_job(world: World) -> None:
    for name in world.jobs:
        events = timeline(world.events, name)
        assert [event.at for event in events] == sorted(event.at for event in events)
        own = [event for event in world.events if getattr(event, "job_id", None) == name]
        assert [event for event in events if getattr(event, "job_id", None) is not None] == own
        assert all(entry(event, world.times).to_json()["event"] for event in events)
    assert timeline(world.events, digest("nothing")) == []
    assert timeline(world.events, None) == world.events
