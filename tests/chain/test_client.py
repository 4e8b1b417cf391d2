"""Reading, sending and searching on a real chain."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from marketplace.chain.client import Chain
from marketplace.chain.embedded import ETHER, EURO, fund
from marketplace.core.eip712 import ZERO_ADDRESS
from marketplace.core.events import (
    AccessBought,
    AssetPublished,
    JobOpened,
    JobSettled,
    OfferAnnounced,
    Transfer,
)
from marketplace.core.ids import Kind, asset_id
from marketplace.core.job import State
from marketplace.errors import InputError, NotFoundError, RefusedError, UnavailableError
from tests.chain.conftest import LyingRpc
from tests.support.chain import RunningMarket

SALTS = (number.to_bytes(32, "big") for number in itertools.count(1))


@pytest.fixture
def asset(market: RunningMarket) -> int:
    return market.publish(next(SALTS))


@pytest.fixture
def through_liar(market: RunningMarket, liar: LyingRpc) -> Iterator[Chain]:
    with Chain(liar.url, market.chain.deployment, confirmations=1, timeout=5, patience=5) as chain:
        yield chain


def nonce(market: RunningMarket, account: str) -> int:
    return int(market.chain.rpc.request("eth_getTransactionCount", account, "latest"), 16)


def test_a_transaction_is_confirmed_when_send_returns(market: RunningMarket) -> None:
    salt = next(SALTS)
    sent = market.chain.send("AssetRegistry", "publish", (1, salt, b"\1" * 32), market.provider)
    token = asset_id(Kind.dataset, market.provider.address, salt)
    assert [type(event) for event in sent.events] == [Transfer, AssetPublished]
    assert [event.asset_id for event in sent.events if isinstance(event, AssetPublished)] == [token]
    assert sent.block <= market.chain.confirmed_head()
    assert len(bytes.fromhex(sent.transaction[2:])) == 32
    assert 30_000 < sent.gas_used < 100_000
    assert 0 < sent.seconds < 10
    assert market.chain.owner_of(token) == market.provider.address
    assert market.chain.metadata(token) == b"\1" * 32


def test_a_refusal_comes_before_anything_is_spent(market: RunningMarket, asset: int) -> None:
    before = nonce(market, market.buyer.address), market.chain.ether(market.buyer.address)
    with pytest.raises(
        RefusedError, match=r"Market\.raiseEpoch was refused: only the asset's owner may do this"
    ):
        market.chain.send("Market", "raiseEpoch", (asset,), market.buyer)
    assert (nonce(market, market.buyer.address), market.chain.ether(market.buyer.address)) == before


def test_an_offer_of_an_old_epoch_is_refused_in_words(market: RunningMarket, asset: int) -> None:
    offer = market.offer(asset)
    market.chain.send("Market", "raiseEpoch", (asset,), market.provider)
    assert market.chain.epoch(asset) == 1
    with pytest.raises(RefusedError, match=r"the offer was withdrawn: it is of epoch 0, the asset's is 1"):
        market.buy(offer)


def test_a_view_that_reverts_is_refused_in_words(market: RunningMarket) -> None:
    with pytest.raises(RefusedError, match=r"AssetRegistry\.ownerOf was refused: there is no asset 7"):
        market.chain.call("AssetRegistry", "ownerOf", 7)


def test_an_account_without_ether_is_told_so(market: RunningMarket) -> None:
    poor = Account.create()
    with pytest.raises(RefusedError, match="costs gas that the account cannot pay") as caught:
        market.chain.send("AssetRegistry", "publish", (1, bytes(32), bytes(32)), poor)
    assert caught.value.got == poor.address
    assert poor.key.hex() not in str(caught.value)


def test_an_unknown_asset_is_not_found(market: RunningMarket) -> None:
    with pytest.raises(NotFoundError, match="no such asset; got 5"):
        market.chain.owner_of(5)
    with pytest.raises(NotFoundError, match="no such asset; got 5"):
        market.chain.metadata(5)


def test_a_provider_without_a_node_is_not_found(market: RunningMarket) -> None:
    with pytest.raises(NotFoundError, match="no node"):
        market.chain.node_of(market.buyer.address)
    with pytest.raises(NotFoundError, match="no sealing key"):
        market.chain.sealing_key_of(market.buyer.address)


def test_a_purchase_with_a_permit_takes_one_transaction(market: RunningMarket, asset: int) -> None:
    offer, before = market.offer(asset), market.chain.token_balance(market.buyer.address)
    count = nonce(market, market.buyer.address)
    digest = market.buy(offer, uses=3)
    grant = market.chain.grant(digest, market.buyer.address)
    assert (grant.provider, grant.price, grant.jobs_paid) == (market.provider.address, 2 * EURO, 3)
    assert before - market.chain.token_balance(market.buyer.address) == 6 * EURO
    assert nonce(market, market.buyer.address) == count + 1
    assert market.chain.call("Market", "digestOf", offer.to_tuple()) == digest


def test_a_permit_for_too_little_is_refused_in_words(market: RunningMarket, asset: int) -> None:
    offer = market.offer(asset)
    permit = market.chain.permit(market.buyer, offer.price - 1, market.chain.block_time() + 600)
    arguments = (offer.to_tuple(), market.sign(offer, market.provider), 1, permit)
    with pytest.raises(RefusedError, match=r"the market may take 1\.999999 EUR, and 2 EUR are needed"):
        market.chain.send("Market", "buyWithPermit", arguments, market.buyer)


def test_an_expired_permit_leaves_the_allowance_to_decide(market: RunningMarket, asset: int) -> None:
    offer = market.offer(asset)
    permit = market.chain.permit(market.buyer, offer.price, market.chain.block_time() - 10)
    arguments = (offer.to_tuple(), market.sign(offer, market.provider), 1, permit)
    with pytest.raises(RefusedError, match="the market may take 0 EUR"):
        market.chain.send("Market", "buyWithPermit", arguments, market.buyer)


def test_a_job_is_read_as_it_is_now_and_as_it_was(market: RunningMarket, asset: int) -> None:
    request = market.open(market.buy(market.offer(asset)))
    opened = market.chain.confirmed_head()
    receipt = market.receipt(request.job_id, b"k" * 80)
    submit = (receipt.to_tuple(), market.sign(receipt, market.node), b"k" * 80)
    market.chain.send("Market", "submit", submit, market.node)
    owed = market.chain.balance(market.provider.address)
    market.chain.send("Market", "accept", (request.to_tuple(),), market.buyer)
    sent = market.chain.send(
        "ContributionCredits", "registerModel", (request.to_tuple(), b"\7" * 32), market.buyer
    )
    model = asset_id(Kind.model, market.buyer.address, request.job_id)
    assert len(sent.events) == 3
    assert market.chain.job(request.job_id).state is State.settled
    assert market.chain.job(request.job_id, block=opened).state is State.open
    assert market.chain.job(b"\0" * 32).state is State.none
    assert market.chain.job(request.job_id).receipt == receipt.digest(market.chain.domain)
    assert market.chain.balance(market.provider.address) == owed + 2 * EURO
    assert market.chain.units(model, market.provider.address) == market.chain.total_units(model) == 1_000_000
    assert market.chain.node_of(market.provider.address) == market.node.address
    assert market.chain.sealing_key_of(market.provider.address) == b"\7" * 32


def test_an_empty_grant_is_all_zero(market: RunningMarket) -> None:
    grant = market.chain.grant(b"\1" * 32, market.buyer.address)
    assert (grant.provider, grant.price, grant.unused(), grant.last_day) == (ZERO_ADDRESS, 0, 0, 0)


def test_events_are_found_by_their_indexed_fields(market: RunningMarket, asset: int) -> None:
    digest = market.buy(market.offer(asset), uses=2)
    first, second = market.open(digest, 0), market.open(digest, 1)
    chain = market.chain
    bought = chain.logs(types=(AccessBought,), offer_digest=digest, buyer=market.buyer.address)
    assert [(event.uses, event.asset_id) for event in bought] == [(2, asset)]
    assert [event.index for event in chain.logs(types=(JobOpened,), job_id=second.job_id)] == [1]
    assert chain.logs(types=(JobSettled,), job_id=first.job_id) == []
    assert chain.logs(types=(AccessBought,), buyer=market.provider.address) == []
    both = chain.logs(types=(JobOpened, JobSettled), job_id=first.job_id)
    assert [type(event) for event in both] == [JobOpened]
    whole = chain.logs()
    assert [event.at for event in whole] == sorted(event.at for event in whole)
    assert chain.logs(bought[0].at.block, bought[0].at.block) == bought


@pytest.mark.parametrize(
    ("types", "where"),
    [
        ((OfferAnnounced,), {"by": ZERO_ADDRESS}),
        ((AccessBought,), {"colour": 1}),
        ((AccessBought,), {"buyer": "somebody"}),
        ((AccessBought,), {"offer_digest": b"\1" * 33}),
        ((AccessBought, JobOpened), {"buyer": ZERO_ADDRESS}),
        ((), {}),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(
    market: RunningMarket, types: tuple[type[AccessBought], ...], where: dict[str, Any]
) -> None:
    with pytest.raises(InputError):
        market.chain.logs(types=types, **where)


def test_blocks_that_are_not_there_are_not_found(market: RunningMarket) -> None:
    with pytest.raises(NotFoundError, match="no such block"):
        market.chain.block(10**9)
    with pytest.raises(NotFoundError):
        market.chain.block_time(10**9)


def test_the_time_of_the_next_block_goes_on_where_nothing_is_mined(market: RunningMarket) -> None:
    head = market.chain.block_time(market.chain.head())
    time.sleep(1.2)
    assert market.chain.block_time() > head
    assert abs(market.chain.block_time() - time.time()) < 5


def test_threads_and_processes_of_one_account_all_get_through(market: RunningMarket) -> None:
    account = market.account("busy")
    with Chain(market.embedded.url, market.chain.deployment, confirmations=1, timeout=20) as second:

        def publish(number: int) -> int:
            chain = second if number % 2 else market.chain
            salt = bytes([number]) * 32
            return chain.send("AssetRegistry", "publish", (1, salt, bytes(32)), account).block

        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(publish, number) for number in range(16)]
        failures = [error for task in done if (error := task.exception())]
    # Two processes may collide; whoever is displaced is told so, and nothing is sent twice.
    assert all(isinstance(error, RefusedError | UnavailableError) for error in failures)
    assert nonce(market, account.address) == 16 - len(failures)
    assert len(failures) < 8


def test_threads_of_one_chain_never_collide(market: RunningMarket) -> None:
    account = market.account("busier")

    def publish(number: int) -> str:
        salt = bytes([number]) * 32
        return market.chain.send("AssetRegistry", "publish", (1, salt, bytes(32)), account).transaction

    with ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(publish, range(16)))
    assert len(hashes) == nonce(market, account.address) == 16


def test_an_absurd_fee_is_refused(market: RunningMarket, liar: LyingRpc, through_liar: Chain) -> None:
    liar.tampers["eth_maxPriorityFeePerGas"] = lambda _: hex(ETHER)
    with pytest.raises(RefusedError, match="absurd fee"):
        through_liar.send("AssetRegistry", "publish", (1, next(SALTS), bytes(32)), market.provider)
    assert "eth_sendRawTransaction" not in liar.asked


def test_a_transaction_that_is_never_mined_is_given_up_with_its_hash(
    market: RunningMarket, liar: LyingRpc, through_liar: Chain
) -> None:
    liar.tampers["eth_getTransactionReceipt"] = lambda _: None
    started = time.monotonic()
    with pytest.raises(
        UnavailableError, match=r"not confirmed yet; got transaction 0x[0-9a-f]{64} after 5 s"
    ):
        through_liar.send("AssetRegistry", "publish", (1, next(SALTS), bytes(32)), market.provider)
    assert time.monotonic() - started < 10


def test_a_refusal_that_comes_only_when_mined_is_told_with_its_reason(
    market: RunningMarket, liar: LyingRpc, through_liar: Chain
) -> None:
    salt = next(SALTS)
    market.chain.send("AssetRegistry", "publish", (1, salt, bytes(32)), market.provider)
    liar.tampers["eth_estimateGas"] = lambda _: hex(100_000)
    with pytest.raises(RefusedError, match="this asset is already published"):
        through_liar.send("AssetRegistry", "publish", (1, salt, bytes(32)), market.provider)


def test_a_transaction_without_enough_gas_is_told(
    market: RunningMarket, liar: LyingRpc, through_liar: Chain
) -> None:
    liar.tampers["eth_estimateGas"] = lambda _: hex(12_000)
    with pytest.raises(RefusedError, match="mined but failed"):
        through_liar.send("AssetRegistry", "publish", (1, next(SALTS), bytes(32)), market.provider)


def test_a_displaced_transaction_is_told(market: RunningMarket, liar: LyingRpc, through_liar: Chain) -> None:
    account = market.account("displaced")
    # The endpoint swallows the transaction; another one then takes its nonce.
    taken: list[object] = []

    def swallow(result: object) -> object:
        taken.append(result)
        return result

    liar.tampers["eth_getTransactionReceipt"] = lambda _: None
    liar.tampers["eth_getTransactionByHash"] = lambda _: None
    liar.tampers["eth_sendRawTransaction"] = swallow
    with pytest.raises(RefusedError, match="displaced by another transaction"):
        through_liar.send("AssetRegistry", "publish", (1, next(SALTS), bytes(32)), account)
    assert taken


def test_money_is_minted_on_a_development_chain_only(market: RunningMarket) -> None:
    with Chain(market.embedded.url, market.chain.deployment, confirmations=1, timeout=5) as chain:
        chain.deployment = replace(chain.deployment, chain_id=1)
        with pytest.raises(RefusedError, match="on a development chain only; got chain id 1"):
            fund(chain, market.buyer.address, 1)
