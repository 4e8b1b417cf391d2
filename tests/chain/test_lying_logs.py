"""An endpoint that gives other logs than were asked for, or none: an error, never an event that did not happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from marketplace.chain.client import Chain
from marketplace.core.events import ApprovalAnnounced
from marketplace.errors import IntegrityError, UnavailableError
from tests.chain.conftest import LyingRpc
from tests.support.chain import RunningMarket


def without(key: str) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda logs: [{name: value for name, value in log.items() if name != key} for log in logs]


def changing(**changes: Any) -> Callable[[list[dict[str, Any]]], Any]:
    return lambda logs: [logs[0] | changes, *logs[1:]]


LIES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "no list": lambda logs: {"logs": logs},
    "null": lambda logs: None,
    "a text in the list": lambda logs: [*logs, "log"],
    "no address": without("address"),
    "no topics": without("topics"),
    "no data": without("data"),
    "no block": without("blockNumber"),
    "no index": without("logIndex"),
    "no block hash": without("blockHash"),
    "no transaction": without("transactionHash"),
    "another contract": changing(address="0x" + "12" * 20),
    "short address": changing(address="0x1234"),
    "no topic": changing(topics=[]),
    "another event": changing(topics=["0x" + "12" * 32]),
    "a topic too few": lambda logs: [logs[-1] | {"topics": logs[-1]["topics"][:1]}],
    "topics as text": changing(topics="0x" + "12" * 32),
    "data cut": lambda logs: [log | {"data": log["data"][:-2]} for log in logs],
    "data grown": lambda logs: [log | {"data": log["data"] + "00" * 32} for log in logs],
    "odd hex": changing(data="0x123"),
    "padding": lambda logs: [log | {"data": "0x" + "ff" * ((len(log["data"]) - 2) // 2)} for log in logs],
    "later block": changing(blockNumber="0xffffff"),
    "earlier block": changing(blockNumber="0x0"),
    "reversed": lambda logs: list(reversed(logs)),
    "twice": lambda logs: [log for log in logs for _ in range(2)],
    "two hashes of a block": lambda logs: [
        log | {"blockHash": f"0x{place:064x}", "blockNumber": logs[-1]["blockNumber"], "logIndex": hex(place)}
        for place, log in enumerate(logs)
    ],
    "taken back": changing(removed=True),
}


@pytest.mark.parametrize("lie", LIES)
def test_logs_that_cannot_be_are_an_integrity_error(
    market: RunningMarket, liar: LyingRpc, chain: Chain, lie: str
) -> None:
    while len(chain.logs(types=(ApprovalAnnounced,))) < 3:
        market.chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), market.provider)
    assert "eth_getLogs" in liar.asked
    liar.tampers["eth_getLogs"] = LIES[lie]
    with pytest.raises(IntegrityError):
        chain.logs()


def test_a_search_that_the_endpoint_finds_too_long_is_halved(
    market: RunningMarket, liar: LyingRpc, chain: Chain
) -> None:
    expected = market.chain.logs()
    asked: list[int] = []

    def beyond_three_blocks(question: dict[str, Any]) -> bool:
        if question["method"] != "eth_getLogs":
            return False
        asked.append(
            int(question["params"][0]["toBlock"], 16) - int(question["params"][0]["fromBlock"], 16) + 1
        )
        return asked[-1] > 3

    liar.refuses = beyond_three_blocks
    assert chain.logs() == expected
    assert max(asked) > 3
    assert (
        sum(blocks for blocks in asked if blocks <= 3)
        == chain.confirmed_head() - chain.deployment.first_block + 1
    )


def test_an_endpoint_that_gives_no_logs_at_all_is_unavailable(liar: LyingRpc, chain: Chain) -> None:
    last = chain.confirmed_head()
    liar.refuses = lambda question: True
    with pytest.raises(UnavailableError, match="gives no logs; got -32005: too much"):
        chain.logs(1, last)
