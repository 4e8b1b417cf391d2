"""The indexer on a real chain and a real gateway: what happens through the contracts stands in the rows."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from marketplace.catalogue.documents import SECONDS_PER_BATCH, DocumentReader, Place
from marketplace.catalogue.indexer import Indexer
from marketplace.catalogue.rows import (
    Asset,
    Credit,
    Cursor,
    EventRow,
    Grant,
    Job,
    Node,
    Participant,
    ReceiptRow,
)
from marketplace.catalogue.schema import Database, fetch, get
from marketplace.chain.client import Chain
from marketplace.core.events import CreditsMinted
from marketplace.core.job import Request, State
from marketplace.core.replay import replay
from marketplace.errors import IntegrityError
from marketplace.storage import GatewayStore
from tests.chain.conftest import lying_rpc
from tests.support.catalogue import Town, running_town
from tests.support.postgres import Server

from .conftest import again

WRAPPED = b"w" * 80


def indexer(town: Town, database: Database) -> Indexer:
    return Indexer(town.market.chain, town.store, database)


def submit(town: Town, request: Request) -> None:
    receipt = town.market.receipt(request.job_id, WRAPPED)
    call = (receipt.to_tuple(), town.market.sign(receipt, town.market.node), WRAPPED)
    town.market.chain.send("Market", "submit", call, town.market.node)


def reorganise(town: Town, depth: int) -> None:
    """Replaces the newest blocks by empty ones."""
    town.market.embedded.rpc.request("anvil_reorg", depth, [])


@contextlib.contextmanager
def running(*indexers: Indexer) -> Iterator[None]:
    """Runs them in threads, and ends them however the test ends."""
    stop = threading.Event()
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in indexers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def wait_for(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def assert_equal_to_a_rebuild(town: Town, database: Database, fresh: Database) -> None:
    indexer(town, fresh).run_once()
    assert database.dump() == fresh.dump()
    before = database.dump()
    indexer(town, database).rebuild()
    assert database.dump() == before


def test_a_whole_trade_stands_in_the_rows_and_equals_storage_and_the_audit_s_replay(
    town: Town, database: Database, fresh: Database
) -> None:
    market = town.market
    chain, buyer, provider = market.chain, market.buyer, market.provider
    indexing = indexer(town, database)
    chain.send("ParticipantRegistry", "setNode", (market.node.address, b"\7" * 32, 0), provider)
    market.pledge(provider)
    asset = town.publish(b"\1" * 32)
    offer = market.offer(asset)
    digest = town.announce(offer)
    indexing.run_once()
    market.buy(offer, uses=4)
    good, bad = market.open(digest, 0), market.open(digest, 1)
    submit(town, good)
    indexing.run_once()
    with database.read() as connection:
        job = get(connection, Job, good.job_id)
        assert job and job.phase is State.submitted
    chain.send("Market", "accept", (good.to_tuple(),), buyer)
    sent = chain.send("ContributionCredits", "registerModel", (good.to_tuple(), b"\x0f" * 32), buyer)
    model = next(event.model_id for event in sent.events if isinstance(event, CreditsMinted))
    chain.send("Market", "fail", (bad.to_tuple(), offer.to_tuple(), 2, b"\x0e" * 32), market.node)
    chain.send("Market", "claimUnused", (digest, buyer.address), buyer)
    chain.send("Market", "withdraw", (provider.address,), provider)
    indexing.run_once()

    events = chain.logs()
    times = {event.at.block: chain.block_time(event.at.block) for event in events}
    ledger = replay(events, rules=chain.deployment.rules, times=times)
    assert ledger.findings == []
    with database.read() as connection:
        assert len(fetch(connection, EventRow)) == len(events)
        jobs = fetch(connection, Job)
        assert {job.job_id for job in jobs} == {good.job_id, bad.job_id} == set(ledger.jobs)
        for job in jobs:
            record, stored = ledger.jobs[job.job_id], chain.job(job.job_id)
            assert (job.phase, job.until, job.provider) == (stored.state, stored.until, stored.provider)
            assert (job.price, job.credited_provider, job.credited_buyer) == (
                record.held(),
                record.to_provider,
                record.to_buyer,
            )
        (grant,) = fetch(connection, Grant)
        assert (grant.provider, grant.price, grant.jobs_paid, grant.jobs_opened, grant.last_day) == (
            provider.address,
            *(
                getattr(chain.grant(digest, buyer.address), name)
                for name in ("price", "jobs_paid", "jobs_opened")
            ),
            0,
        )
        for account in fetch(connection, Participant):
            assert account.owed == chain.balance(account.account) == ledger.balances.get(account.account, 0)
        receipt = get(connection, ReceiptRow, good.job_id)
        assert receipt and (receipt.wrapped_key, receipt.key_digest) == (WRAPPED, keccak(WRAPPED))
        (credit,) = fetch(connection, Credit)
        assert (credit.model_id, credit.account, credit.units) == (model, provider.address, 1_000_000)
        owners = {row.asset_id: row.owner for row in fetch(connection, Asset)}
        assert owners == {asset: provider.address, model: buyer.address}
        (node,) = fetch(connection, Node)
        assert (node.node, node.sealing_key) == (market.node.address, b"\7" * 32)
    assert_equal_to_a_rebuild(town, database, fresh)


def test_a_reorganisation_takes_back_exactly_what_stood_above_the_fork(
    town: Town, database: Database, fresh: Database
) -> None:
    indexing = indexer(town, database)
    kept = town.publish(b"\2" * 32)
    indexing.run_once()
    lost = town.publish(b"\3" * 32)
    indexing.run_once()
    with database.read() as connection:
        assert get(connection, Asset, lost) is not None

    reorganise(town, 2)  # the block of the publication and the empty one that confirmed it
    indexing.run_once()
    with database.read() as connection:
        assert get(connection, Asset, lost) is None
        assert get(connection, Asset, kept) is not None
    assert_equal_to_a_rebuild(town, database, fresh)

    again = town.publish(b"\4" * 32)
    indexing.run_once()
    with database.read() as connection:
        assert get(connection, Asset, again) is not None
    indexer(town, fresh).run_once()
    assert database.dump() == fresh.dump()


def test_a_reorganisation_while_nobody_followed_is_found_at_the_next_start(
    town: Town, database: Database, fresh: Database
) -> None:
    asset = town.publish(b"\5" * 32)
    digest = town.announce(town.market.offer(asset))
    indexer(town, database).run_once()
    reorganise(town, 4)
    other = town.publish(b"\6" * 32)
    indexer(town, database).run_once()
    with database.read() as connection:
        assert get(connection, Asset, asset) is None
        assert get(connection, Asset, other) is not None
        assert all(row.data.find(digest.hex()) < 0 for row in fetch(connection, EventRow))
    assert_equal_to_a_rebuild(town, database, fresh)


def test_a_reorganisation_back_to_the_first_block_leaves_nothing_behind(
    tmp_path: Path, database: Database, fresh: Database
) -> None:
    with running_town(tmp_path / "gateway") as town:
        town.publish(b"\7" * 32)
        indexer(town, database).run_once()
        chain = town.market.chain
        reorganise(town, chain.head() - chain.deployment.first_block - 6)  # the contracts stay
        indexer(town, database).run_once()
        with database.read() as connection:
            assert {row.name for row in fetch(connection, EventRow)} == {
                "AuthorityUpdated"
            }  # of the deployment
            assert fetch(connection, Asset) == []
        indexer(town, fresh).run_once()
        assert database.dump() == fresh.dump()


def test_two_indexers_on_one_database_leave_what_one_would_have_left(
    town: Town, database: Database, fresh: Database
) -> None:
    other = again(database)
    with running(indexer(town, database), indexer(town, other)):
        for number in range(5):
            town.publish(bytes([20 + number]) * 32)
        last = town.market.chain.confirmed_head()

        def reached() -> bool:
            with database.read() as connection:
                cursor = get(connection, Cursor, 0)
            return cursor is not None and cursor.block >= last

        wait_for(reached)
    other.close()
    indexer(town, database).run_once()
    assert_equal_to_a_rebuild(town, database, fresh)


def test_the_same_chain_fills_both_databases_with_the_same_rows(
    town: Town, server: Server, tmp_path: Path
) -> None:
    town.announce(town.market.offer(town.publish(b"\x29" * 32)))
    dumps = []
    for place in (tmp_path / "hub.db", server.schema()):
        with contextlib.closing(Database(place)) as database:
            indexer(town, database).run_once()
            dumps.append(database.dump())
    assert dumps[0] == dumps[1]
    assert dumps[0]["entry"] and dumps[0]["offerdocument"]


def test_rows_of_another_deployment_are_not_kept(town: Town, database: Database) -> None:
    town.publish(b"\x30" * 32)
    indexer(town, database).run_once()
    chain = town.market.chain
    deployment = replace(chain.deployment, first_block=chain.head() + 1)
    with Chain(town.market.embedded.url, deployment, confirmations=1, timeout=20) as other:
        Indexer(other, town.store, database).run_once()
    assert all(rows == [] for rows in database.dump().values())


def test_an_endpoint_that_is_silent_for_a_while_is_a_trouble_that_passes(
    town: Town, database: Database
) -> None:
    asset = town.publish(b"\x31" * 32)
    with lying_rpc(town.market.embedded.url) as endpoint:
        deployment = town.market.chain.deployment
        with Chain(endpoint.url, deployment, confirmations=1, timeout=5) as chain:
            indexing = Indexer(chain, town.store, database)
            endpoint.raw = lambda handler: None  # closes the connection without a word
            with running(indexing):
                wait_for(lambda: indexing.trouble is not None)
                assert "endpoint" in str(indexing.trouble)
                endpoint.raw = None
                wait_for(lambda: indexing.trouble is None)
            indexing.run_once()
    with database.read() as connection:
        assert get(connection, Asset, asset) is not None


def test_a_store_that_is_away_does_not_hold_up_the_chain(town: Town, database: Database) -> None:
    asset = town.publish(b"\x32" * 32)
    with GatewayStore("http://127.0.0.1:1") as nowhere:
        Indexer(town.market.chain, nowhere, database).run_once()
    with database.read() as connection:
        assert get(connection, Asset, asset) is not None
    statuses = {row[2] for row in database.dump()["listing"]}
    assert "unavailable" in statuses and "ok" not in statuses


def test_an_endpoint_that_lies_about_a_log_moves_nothing(
    town: Town, database: Database, fresh: Database
) -> None:
    town.publish(b"\x33" * 32)
    deployment = town.market.chain.deployment
    with (
        lying_rpc(town.market.embedded.url) as endpoint,
        Chain(endpoint.url, deployment, confirmations=1, timeout=5) as chain,
    ):
        endpoint.tampers["eth_getLogs"] = lambda logs: [{**log, "data": "0x12"} for log in logs]
        indexing = Indexer(chain, town.store, database)
        with pytest.raises(IntegrityError):
            indexing.run_once()
        assert all(rows == [] for rows in database.dump().values())
        endpoint.tampers.clear()
        indexing.run_once()
    assert_equal_to_a_rebuild(town, database, fresh)


def test_a_store_that_never_answers_costs_one_timeout_and_not_one_for_each_document(
    town: Town, database: Database
) -> None:
    for number in range(3):
        town.publish(bytes([0x40 + number]) * 32)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with GatewayStore(url, timeout=SECONDS_PER_BATCH) as store:
            place = Place.of(town.market.chain)
            Indexer(town.market.chain, store, database).step()
            reader = DocumentReader(store, database, place)
            assert reader.run_once() == 1
    assert [row[2] for row in database.dump()["listing"]] == ["unavailable"]
