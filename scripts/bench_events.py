"""A real chain with ordinary trade on it, for timing what reads it: every event is of a transaction of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

import httpx

from marketplace.chain.contracts import ContractName, encode_call
from marketplace.core.job import Request
from tests.support.chain import RunningMarket

Call = tuple[str, ContractName, str, tuple[object, ...]]
"""Who calls which function of which contract with what."""

_SETTLED, _REJECTED, _LISTED, _OFFERED = 0.15, 0.20, 0.40, 0.25
"""Shares of the events: of jobs opened, submitted and accepted; opened and rejected; of listings; of offers."""

_BATCH = 500
_GAS, _GAS_PRICE = hex(400_000), hex(10**10)
_REASON = b"\5" * 32
_WRAPPED = b"w" * 80


def trade(market: RunningMarket, events: int) -> None:
    """Adds about so many events to the chain, in blocks of 500 transactions, all confirmed in the end."""
    for method, value in (("anvil_autoImpersonateAccount", True), ("evm_setBlockGasLimit", hex(10**10))):
        market.embedded.rpc.request(method, value)
    settled, rejected = round(events * _SETTLED / 3), round(events * _REJECTED / 2)
    asset = market.publish(b"\1" * 32)
    digest = market.buy(market.offer(asset, price=1, max_uses=65_535), uses=settled + rejected)
    requests = [_request(market, digest, index) for index in range(settled + rejected)]
    buyer, node = market.buyer.address, market.node.address
    sender = _Sender(market)
    with market.embedded.still():
        sender.send(_listings(market, round(events * _LISTED / 2)))
        sender.send(_offers(market, asset, round(events * _OFFERED)))
        sender.send(_opened(market, requests))
        sender.send(_submitted(market, requests[:settled]))
        sender.send(_call(buyer, "accept", request.to_tuple()) for request in requests[:settled])
        sender.send(_call(node, "reject", request.to_tuple(), _REASON) for request in requests[settled:])
        market.embedded.mine(2)


def _request(market: RunningMarket, digest: bytes, index: int) -> Request:
    return Request(digest, market.buyer.address, index, b"\2" * 32, index.to_bytes(32))


def _call(by: str, function: str, *arguments: object) -> Call:
    return by, "Market", function, arguments


def _listings(market: RunningMarket, count: int) -> Iterator[Call]:
    for number in range(count):
        words = number.to_bytes(32)
        yield market.provider.address, "AssetRegistry", "publish", (1, b"\2" + words[1:], words)


def _offers(market: RunningMarket, asset: int, count: int) -> Iterator[Call]:
    for number in range(count):
        yield _call(market.provider.address, "announceOffer", asset, number.to_bytes(32), b"\3" + bytes(31))


def _opened(market: RunningMarket, requests: list[Request]) -> Iterator[Call]:
    for request in requests:
        call = (request.offer_digest, request.index, request.algorithm, request.spec)
        yield _call(market.buyer.address, "openJob", *call)


def _submitted(market: RunningMarket, requests: list[Request]) -> Iterator[Call]:
    first = market.receipt(requests[0].job_id, _WRAPPED)
    for request in requests:
        receipt = replace(first, job_id=request.job_id)
        signature = market.sign(receipt, market.node)
        yield _call(market.node.address, "submit", receipt.to_tuple(), signature, _WRAPPED)


class _Sender:
    """Sends calls in batches of one request, a block each; nobody signs, for Anvil plays every account."""

    def __init__(self, market: RunningMarket) -> None:
        self._market, self._nonces = market, dict[str, int]()
        self._client = httpx.Client(timeout=60, trust_env=False)

    def send(self, calls: Iterable[Call]) -> None:
        rest = iter(calls)
        while batch := list(islice(rest, _BATCH)):
            body = [
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "eth_sendTransaction",
                    "params": [self._form(call)],
                }
                for number, call in enumerate(batch)
            ]
            answers = self._client.post(self._market.embedded.url, json=body).json()
            if failed := [answer for answer in answers if "error" in answer]:
                raise RuntimeError(f"the chain refused a transaction: {failed[0]}")
            self._market.embedded.mine()

    def _form(self, call: Call) -> dict[str, str]:
        by, contract, function, arguments = call
        if by not in self._nonces:
            self._nonces[by] = self._nonce(by)
        self._nonces[by] += 1
        return {
            "from": by,
            "to": self._market.chain.deployment.addresses[contract],
            "data": "0x" + encode_call(contract, function, arguments).hex(),
            "gas": _GAS,
            "gasPrice": _GAS_PRICE,
            "nonce": hex(self._nonces[by] - 1),
        }

    def _nonce(self, account: str) -> int:
        return int(self._market.embedded.rpc.request("eth_getTransactionCount", account, "latest"), 16)
