"""Every event of the contracts, driven on a real chain: our decoding equals web3's own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from eth_utils.abi import event_abi_to_log_topic
from eth_utils.address import to_checksum_address
from web3 import HTTPProvider, Web3

from marketplace.chain.blocks import parse_log
from marketplace.chain.contracts import artifact
from marketplace.chain.events import ALL_EVENTS, EVENTS, decode_log, layout
from marketplace.core.events import Event, JobSettled, ReceiptSubmitted
from marketplace.core.job import Fault, Request
from marketplace.errors import IntegrityError
from tests.support.chain import RunningMarket, running_market

WRAPPED = b"wrapped" * 12


@pytest.fixture(scope="module")
def story() -> Iterator[RunningMarket]:
    """A market in which everything has happened once."""
    with running_market(window=60, job_time=600) as market:
        tell(market)
        yield market


def tell(market: RunningMarket) -> None:
    send, sealed = market.chain.send, b"\x11" * 32
    asset = market.publish(b"\1" * 32)
    offer = market.offer(asset, arbiter=market.deployer.address)
    send("Market", "announceOffer", (asset, offer.digest(market.chain.domain), sealed), market.provider)
    send("Market", "announceApproval", (asset, b"\2" * 32, sealed), market.provider)
    digest = market.buy(offer, uses=9)
    settled, rejected, failed, expired, crashed, judged, silent = (
        market.open(digest, index) for index in range(7)
    )
    receipt = market.receipt(settled.job_id, WRAPPED)
    send("Market", "submit", (receipt.to_tuple(), market.sign(receipt, market.node), WRAPPED), market.node)
    for disputed in (judged, silent):
        receipt = market.receipt(disputed.job_id, WRAPPED)
        send(
            "Market", "submit", (receipt.to_tuple(), market.sign(receipt, market.node), WRAPPED), market.node
        )
        send("TestEuro", "approve", (market.chain.deployment.market, 10_000_000), market.buyer)
        send("Market", "dispute", (disputed.to_tuple(), offer.to_tuple(), 2, sealed), market.buyer)
    send("Market", "resolve", (judged.to_tuple(), offer.to_tuple(), 2, sealed), market.deployer)
    send("Market", "accept", (settled.to_tuple(),), market.buyer)
    send("ContributionCredits", "registerModel", (settled.to_tuple(), sealed), market.buyer)
    send("Market", "reject", (rejected.to_tuple(), sealed), market.node)
    send("Market", "fail", (failed.to_tuple(), offer.to_tuple(), Fault.node, sealed), market.node)
    send("Market", "fail", (crashed.to_tuple(), offer.to_tuple(), Fault.policy, sealed), market.node)
    send("Market", "claimUnused", (digest, market.buyer.address), market.deployer)
    send("Market", "startUnbonding", (1_000_000,), market.provider)
    send("ParticipantRegistry", "setIssuer", (sealed, market.buyer.address, True), market.deployer)
    send("ParticipantRegistry", "accredit", (market.buyer.address, sealed, 1), market.buyer)
    send("AssetRegistry", "announceSuccessor", (market.buyer.address,), market.deployer)
    end(market, expired, crashed, silent)
    send("AssetRegistry", "retire", (asset,), market.provider)
    send("Market", "withdraw", (market.buyer.address,), market.buyer)
    for contract in ("Market", "AssetRegistry"):
        send(contract, "setPaused", (True,), market.deployer)
    send("Market", "raiseEpoch", (asset,), market.provider)
    send(
        "AssetRegistry",
        "transferFrom",
        (market.provider.address, market.buyer.address, asset),
        market.provider,
    )


def end(market: RunningMarket, expired: Request, *matured: Request) -> None:
    market.embedded.rpc.request("evm_increaseTime", 700)
    market.chain.send("Market", "expire", (expired.to_tuple(),), market.deployer)
    market.chain.send("Market", "finalise", ([request.job_id for request in matured],), market.deployer)
    market.embedded.rpc.request("evm_increaseTime", 3_000)
    market.chain.send("Market", "releaseBond", (market.provider.address,), market.deployer)


def raw_logs(market: RunningMarket) -> list[dict[str, Any]]:
    return list(
        market.chain.rpc.request(
            "eth_getLogs",
            {
                "fromBlock": "0x0",
                "toBlock": "latest",
                "address": list(market.chain.deployment.addresses.values()),
            },
        )
    )


def by_web3(market: RunningMarket, raw: dict[str, Any]) -> dict[str, Any] | None:
    """What web3 makes of a log of our contracts: by field, in snake case; None for token and authority."""
    names = {address.lower(): name for name, address in market.chain.deployment.addresses.items()}
    name = names[raw["address"]]
    if name in ("TestEuro", "Authority"):
        return None
    client = Web3(HTTPProvider(market.embedded.url))
    address = to_checksum_address(market.chain.deployment.addresses[name])
    contract = client.eth.contract(address=address, abi=list(artifact(name).abi))
    entries = {
        "0x" + event_abi_to_log_topic(entry).hex(): entry["name"]  # type: ignore[arg-type]
        for entry in artifact(name).abi
        if entry["type"] == "event"
    }
    receipt = client.eth.get_transaction_receipt(raw["transactionHash"])
    log = next(log for log in receipt["logs"] if log["logIndex"] == int(raw["logIndex"], 16))
    found = contract.events[entries[raw["topics"][0]]]().process_log(log)
    return {"event": found["event"], "block": found["blockNumber"], **found["args"]}


def plain(value: Any) -> Any:
    """web3's values and ours as the same plain ones."""
    if hasattr(value, "to_tuple"):
        return value.to_tuple()
    if hasattr(value, "values"):
        return tuple(value.values())
    return bytes(value) if isinstance(value, bytes) else value


def test_every_event_of_the_contracts_happened(story: RunningMarket) -> None:
    assert {type(event) for event in story.chain.logs()} == set(ALL_EVENTS)


def test_our_decoding_equals_that_of_web3(story: RunningMarket) -> None:
    ours = story.chain.logs(last=story.chain.head())
    theirs = [
        found for raw in raw_logs(story) if (found := by_web3(story, raw)) and found["event"] != "Approval"
    ]
    assert len(ours) == len(theirs) > len(ALL_EVENTS)
    for event, other in zip(ours, theirs, strict=True):
        assert (type(event).__name__, event.at.block) == (other.pop("event"), other.pop("block"))
        mine = [plain(getattr(event, field.name)) for field in fields(event)[2:]]
        assert mine == [plain(value) for value in other.values()]


def test_events_of_a_receipt_equal_those_of_a_search(story: RunningMarket) -> None:
    sent = story.chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), story.buyer)
    assert list(sent.events) == story.chain.logs(sent.block, sent.block)


@pytest.mark.parametrize("kind", ALL_EVENTS)
def test_every_event_stands_in_an_abi_with_the_same_fields(kind: type[Event]) -> None:
    for contract, kinds in EVENTS.items():
        if kind in kinds:
            shape = layout(contract, kind)
            names = [name for _, name, _ in sorted(shape.indexed + shape.plain)]
            assert names == [field.name for field in fields(kind)[2:]]


def test_no_event_of_ours_is_forgotten() -> None:
    for contract, kinds in EVENTS.items():
        emitted = {entry["name"] for entry in artifact(contract).abi if entry["type"] == "event"}
        assert emitted - {kind.__name__ for kind in kinds} <= {
            "Approval",
            "ApprovalForAll",
            "EIP712DomainChanged",
        }


def damaged(raw: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield raw | {"data": raw["data"][:-64]}
    yield raw | {"data": "0x"}
    yield raw | {"topics": raw["topics"][:-1]}
    yield raw | {"topics": [*raw["topics"], raw["topics"][0]]}
    yield raw | {"data": "0x" + "ff" * ((len(raw["data"]) - 2) // 2)}


@pytest.mark.parametrize("kind", [ReceiptSubmitted, JobSettled])
def test_a_damaged_log_is_an_integrity_error(story: RunningMarket, kind: type[Event]) -> None:
    shape = layout("Market", kind)
    raw = next(raw for raw in raw_logs(story) if raw["topics"][0] == "0x" + shape.topic.hex())
    assert isinstance(decode_log(shape, parse_log(raw)), kind)
    for other in damaged(raw):
        with pytest.raises(IntegrityError, match=re.escape(f"a log of {kind.__name__} does not parse")):
            decode_log(shape, parse_log(other))


def test_ten_thousand_logs_are_decoded_in_seconds(story: RunningMarket) -> None:
    shape = layout("Market", ReceiptSubmitted)
    raw = next(raw for raw in raw_logs(story) if raw["topics"][0] == "0x" + shape.topic.hex())
    started = time.process_time()
    for _ in range(10_000):
        decode_log(shape, parse_log(raw))
    assert time.process_time() - started < 20
