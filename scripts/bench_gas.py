"""Gas of the calls of a trade, from receipts of real transactions on Anvil."""

from __future__ import annotations

import time
from dataclasses import dataclass

from marketplace.core.job import Request
from tests.support.chain import RunningMarket, running_market

_MANY = (200, 2_000)


@dataclass(frozen=True)
class Gas:
    """Gas used. job: open + submit + a tenth of a batch finalise of ten. busy: with so many others open / alone."""

    publish: int
    buy: int
    job: int
    busy: dict[int, float]


def gas_figures() -> Gas:
    """Measures everything on a fresh market whose token, registry and Market were used before, as a live one's are."""
    with running_market(window=1, job_time=3_600, euros=10_000) as market:
        first = market.publish(b"\1" * 32)
        send = market.chain.send("AssetRegistry", "publish", (1, b"\2" * 32, b"\3" * 32), market.provider)
        other = market.account("bench-other-buyer", euros=1_000)
        _buy(market, first, b"\1" * 32, other)
        buy = _buy(market, first, b"\2" * 32, market.buyer)
        alone = _job(market, first, b"\3" * 32)
        digest = market.buy(market.offer(first, salt=b"\4" * 32, max_uses=_MANY[-1]), uses=_MANY[-1])
        busy, opened = {}, 0
        for many in _MANY:
            for index in range(opened, many):
                market.open(digest, index)
            opened = many
            busy[many] = _job(market, first, many.to_bytes(32)) / alone
        return Gas(send.gas_used, buy, alone, busy)


def _buy(market: RunningMarket, asset: int, salt: bytes, buyer: object) -> int:
    offer = market.offer(asset, salt=salt)
    signature = market.sign(offer, market.provider)
    permit = market.chain.permit(buyer, 5 * offer.price, market.chain.block_time() + 600)
    call = (offer.to_tuple(), signature, 5, permit)
    return market.chain.send("Market", "buyWithPermit", call, buyer).gas_used


def _job(market: RunningMarket, asset: int, salt: bytes) -> int:
    """Highest open + highest submit of ten jobs + a tenth of finalising them together, rounded up."""
    digest = market.buy(market.offer(asset, salt=salt), uses=10)
    opened, submitted, jobs = [], [], []
    for index in range(10):
        request = Request(digest, market.buyer.address, index, b"\6" * 32, index.to_bytes(32))
        call = (digest, index, request.algorithm, request.spec)
        opened.append(market.chain.send("Market", "openJob", call, market.buyer).gas_used)
        jobs.append(request.job_id)
    for job_id in jobs:
        wrapped = b"\7" * 80
        receipt = market.receipt(job_id, wrapped)
        submit = (receipt.to_tuple(), market.sign(receipt, market.node), wrapped)
        submitted.append(market.chain.send("Market", "submit", submit, market.node).gas_used)
    time.sleep(2.5)  # the window of one second
    batch = market.chain.send("Market", "finalise", (jobs,), market.node).gas_used
    return max(opened) + max(submitted) + -(-batch // 10)
