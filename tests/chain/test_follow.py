"""Following confirmed events: all of them, in order, once, and taken back where the chain takes them back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from marketplace.chain.client import Chain
from marketplace.chain.follow import Batch, Follower, Reorganised
from marketplace.core.events import ApprovalAnnounced, Event
from marketplace.errors import UnavailableError
from tests.chain.conftest import LyingRpc, lying_rpc
from tests.support.chain import RunningMarket, running_market

NUMBERS = (number.to_bytes(32, "big") for number in itertools.count(1))


@pytest.fixture
def market() -> Iterator[RunningMarket]:
    """A chain of its own for each test: they take blocks back."""
    with running_market() as running:
        yield running


def announce(market: RunningMarket) -> bytes:
    subject = next(NUMBERS)
    market.chain.send("Market", "announceApproval", (1, subject, b"\1" * 32), market.provider)
    return subject


def reorganise(market: RunningMarket, depth: int) -> None:
    market.embedded.rpc.request("anvil_reorg", depth, [])
    # Anvil keeps the height; the new blocks are other ones once something is mined on them.
    market.embedded.mine(2)


def drain(follower: Follower) -> list[Batch | Reorganised]:
    """All that is there now."""
    return list(iter(follower.poll, None))


def subjects(events: tuple[Event, ...]) -> list[bytes]:
    return [event.subject for event in events if isinstance(event, ApprovalAnnounced)]


def replay(steps: list[Batch | Reorganised]) -> list[Event]:
    """What an indexer holds after the steps."""
    held: list[Event] = []
    for step in steps:
        if isinstance(step, Reorganised):
            held = [event for event in held if event.at.block <= step.to_block]
        else:
            held.extend(step.events)
    return held


@pytest.mark.parametrize("span", [1, 3, 2_000])
def test_batches_hold_every_event_once_and_leave_no_gap(market: RunningMarket, span: int) -> None:
    market.publish(next(NUMBERS))
    announce(market)
    first = market.chain.deployment.first_block
    batches = drain(Follower(market.chain, first, span=span))
    assert replay(batches) == market.chain.logs()
    ends = [(batch.first, batch.last) for batch in batches if isinstance(batch, Batch)]
    assert ends[0][0] == first and ends[-1][1] == market.chain.confirmed_head()
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ends))
    assert all(last - start < span for start, last in ends)


def test_what_is_not_confirmed_is_not_shown(market: RunningMarket) -> None:
    with Chain(market.embedded.url, market.chain.deployment, confirmations=3, timeout=20) as patient:
        follower = Follower(patient, market.chain.deployment.first_block)
        subject = announce(market)
        assert subject not in subjects(tuple(replay(drain(follower))))
        market.embedded.mine(2)
        assert subject in subjects(tuple(replay(drain(follower))))


def test_a_quiet_chain_gives_nothing(market: RunningMarket) -> None:
    follower = Follower(market.chain, market.chain.deployment.first_block)
    drain(follower)
    assert follower.poll() is None
    assert follower.poll() is None


def test_a_reorganisation_takes_back_what_is_no_more(market: RunningMarket) -> None:
    kept = announce(market)
    follower = Follower(market.chain, market.chain.deployment.first_block)
    steps = drain(follower)
    lost = announce(market)
    steps += drain(follower)
    assert subjects(tuple(replay(steps))) == [kept, lost]
    reorganise(market, 3)
    taken_back = follower.poll()
    assert isinstance(taken_back, Reorganised)
    steps += [taken_back, *drain(follower)]
    assert lost not in subjects(tuple(replay(steps)))
    assert replay(steps) == market.chain.logs()
    new = announce(market)
    steps += drain(follower)
    assert subjects(tuple(replay(steps))) == [kept, new]
    assert replay(steps) == market.chain.logs()


def test_a_reorganisation_while_nobody_followed_is_seen_from_what_was_kept(market: RunningMarket) -> None:
    follower = Follower(market.chain, market.chain.deployment.first_block)
    announce(market)
    drain(follower)
    announce(market)
    drain(follower)
    known = follower.known
    reorganise(market, 3)
    again = Follower(market.chain, market.chain.deployment.first_block, known=reversed(known))
    step = again.poll()
    assert step == Reorganised(known[-2][0])
    assert again.known == known[:-1]


def test_a_reorganisation_behind_all_that_is_known_starts_over(market: RunningMarket) -> None:
    first = market.chain.deployment.first_block
    wrong = [(market.chain.confirmed_head() - 1, b"\1" * 32), (market.chain.confirmed_head(), b"\2" * 32)]
    follower = Follower(market.chain, first, known=wrong)
    assert follower.poll() == Reorganised(first - 1)
    step = follower.poll()
    assert isinstance(step, Batch) and step.first == first
    assert list(step.events) == market.chain.logs()


def test_a_follower_goes_on_after_silence(market: RunningMarket, liar: LyingRpc) -> None:
    liar.upstream = market.embedded.url
    with Chain(liar.url, market.chain.deployment, confirmations=1, timeout=0.5) as chain:
        follower = Follower(chain, market.chain.deployment.first_block)
        steps = drain(follower)
        subject = announce(market)
        liar.raw = lambda handler: handler.connection.close()
        with pytest.raises(UnavailableError):
            follower.poll()
        liar.raw = None
        steps += drain(follower)
    assert subjects(tuple(replay(steps))) == [subject]
    assert replay(steps) == market.chain.logs()


def test_logs_of_another_chain_than_their_block_are_not_taken(market: RunningMarket, liar: LyingRpc) -> None:
    subject = announce(market)
    last = market.chain.logs()[-1].at.block
    with Chain(liar.url, market.chain.deployment, confirmations=1, timeout=5) as chain:
        follower = Follower(chain, last, span=1)
        liar.tampers["eth_getLogs"] = lambda logs: [log | {"blockHash": "0x" + "12" * 32} for log in logs]
        assert follower.poll() is None
        liar.tampers.clear()
        step = follower.poll()
    assert isinstance(step, Batch) and subjects(step.events) == [subject]


def test_a_transaction_that_a_reorganisation_drops_is_sent_again(market: RunningMarket) -> None:
    """The sender waits for five confirmations; two blocks in, its block is taken back."""
    subject = next(NUMBERS)
    with Chain(market.embedded.url, market.chain.deployment, confirmations=5, timeout=20) as patient:
        with ThreadPoolExecutor(1) as pool:
            call = ("Market", "announceApproval", (1, subject, b"\1" * 32), market.provider)
            waiting = pool.submit(patient.send, *call)  # type: ignore[arg-type]
            while not market.chain.logs(
                last=market.chain.head(), types=(ApprovalAnnounced,), subject=subject
            ):
                pass
            first = market.chain.logs(last=market.chain.head(), types=(ApprovalAnnounced,), subject=subject)[
                0
            ].at
            market.embedded.rpc.request("anvil_reorg", 3, [])
            assert not waiting.done()
            while not waiting.done():
                market.embedded.mine()
            sent = waiting.result()
        found = patient.logs(types=(ApprovalAnnounced,), subject=subject)
    assert len(found) == 1
    assert found[0].at.transaction == first.transaction == bytes.fromhex(sent.transaction[2:])
    assert (found[0].at.block, found[0].at.block_hash) != (first.block, first.block_hash)
    assert sent.events == tuple(found)


def test_an_endpoint_that_lags_behind_takes_nothing_back(market: RunningMarket) -> None:
    for _ in range(3):
        announce(market)
    with (
        lying_rpc(market.embedded.url) as liar,
        Chain(liar.url, market.chain.deployment, confirmations=1, timeout=5) as chain,
    ):
        follower = Follower(chain, chain.deployment.first_block, span=2)
        held = replay(drain(follower))
        behind = chain.head() - 5
        liar.tampers["eth_blockNumber"] = lambda _: hex(behind)
        liar.tampers["eth_getBlockByNumber"] = lambda found: (
            None if found is None or int(found["number"], 16) > behind else found
        )
        assert drain(follower) == []
        liar.tampers.clear()
        last = announce(market)
        assert subjects(tuple(held) + tuple(replay(drain(follower))))[-1] == last
