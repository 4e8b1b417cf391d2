"""An endpoint that is silent, broken or lies: a clear error in time, never a traceback of somebody else's."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from marketplace.chain.client import Chain
from marketplace.chain.deploy import deploy
from marketplace.chain.rpc import MAX_ANSWER, Rpc
from marketplace.errors import InputError, IntegrityError, UnavailableError
from tests.chain.conftest import LyingRpc
from tests.support.chain import RunningMarket, limits_of, powers_of

Raw = Callable[[BaseHTTPRequestHandler], None]


def answering(body: bytes, status: int = 200) -> Raw:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_a_closed_port_is_unavailable(market: RunningMarket) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(UnavailableError, match="does not answer; got ConnectError"):
        Chain(url, market.chain.deployment, confirmations=1, timeout=2)


def test_a_silent_endpoint_is_unavailable_within_the_timeout(market: RunningMarket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            Chain(
                f"http://127.0.0.1:{server.getsockname()[1]}",
                market.chain.deployment,
                confirmations=1,
                timeout=0.5,
            )
        assert time.monotonic() - started < 3


def test_a_deployment_over_a_dead_endpoint_is_unavailable(market: RunningMarket) -> None:
    with pytest.raises(UnavailableError):
        deploy("http://127.0.0.1:1", market.deployer, limits=limits_of(), powers=powers_of(market.deployer))


def test_an_endpoint_that_stops_while_a_transaction_waits_is_unavailable(
    market: RunningMarket, liar: LyingRpc, chain: Chain
) -> None:
    def stop(_: object) -> None:
        liar.raw = lambda handler: time.sleep(4)

    liar.tampers["eth_getTransactionReceipt"] = stop
    with pytest.raises(UnavailableError):
        chain.send("ParticipantRegistry", "setNode", (market.node.address, b"\7" * 32, 0), market.provider)


def test_a_body_that_drips_is_given_up(liar: LyingRpc, chain: Chain) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.2)

    liar.raw, started = drip, time.monotonic()
    with pytest.raises(UnavailableError, match=r"does not answer; got .* bytes in 2 s"):
        chain.head()
    assert time.monotonic() - started < 5


def test_a_body_without_end_is_cut_off(liar: LyingRpc, chain: Chain) -> None:
    sent: list[int] = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            while sum(sent) < 8 * MAX_ANSWER:
                handler.wfile.write(b"[" * 1_000_000)
                sent.append(1_000_000)

    liar.raw = flood
    with pytest.raises(UnavailableError, match=f"an answer of more than {MAX_ANSWER} bytes"):
        chain.head()
    assert sum(sent) < 3 * MAX_ANSWER


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"<html>502</html>",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'"0x1"',
        b"{}",
        b'{"jsonrpc": "2.0", "id": 1}',
        b'{"jsonrpc": "2.0", "id": -7, "result": "0x1"}',
        b'{"jsonrpc": "2.0", "id": -7, "error": "no"}',
        b"[" * 200_000,
        b'{"result":' * 200_000,
        b"1" * 10_000,
    ],
)
def test_what_is_not_json_rpc_is_an_integrity_error(liar: LyingRpc, chain: Chain, body: bytes) -> None:
    liar.raw = answering(body)
    with pytest.raises(IntegrityError, match="is not JSON-RPC"):
        chain.head()


@pytest.mark.parametrize("status", [301, 400, 401, 404, 429, 500, 503])
def test_an_http_error_is_unavailable_and_named(liar: LyingRpc, chain: Chain, status: int) -> None:
    liar.raw = answering(b"<html>", status)
    with pytest.raises(UnavailableError, match=f"refused eth_blockNumber; got {status}: HTTP status"):
        chain.head()


def test_a_connection_that_breaks_is_unavailable(liar: LyingRpc, chain: Chain) -> None:
    liar.raw = lambda handler: handler.connection.close()
    with pytest.raises(UnavailableError):
        chain.head()


def test_the_message_of_an_endpoint_is_told(liar: LyingRpc, chain: Chain) -> None:
    error = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "daily limit " + "x" * 10_000}}
    liar.raw = answering(json.dumps(error).encode())
    with pytest.raises(UnavailableError, match="-32005: daily limit") as caught:
        chain.head()
    assert len(str(caught.value)) < 800


NUMBERS: list[Any] = [None, 1, 1.5, True, "", "0x", "12", "0xzz", "0x_1", "0x-1", "0x" + "1" * 65, [], {}]


@pytest.mark.parametrize("value", NUMBERS)
def test_a_number_that_is_none_is_an_integrity_error(liar: LyingRpc, chain: Chain, value: Any) -> None:
    liar.tampers["eth_blockNumber"] = lambda _: value
    with pytest.raises(IntegrityError, match=r"block number does not parse|without its id or result"):
        chain.head()


@pytest.mark.parametrize(
    "value", [1, "0x", "0xabc", "0x" + "zz" * 32, "0x " + "00" * 31, [], {}, True, "latest"]
)
def test_the_result_of_a_call_that_does_not_parse_is_an_integrity_error(
    market: RunningMarket, liar: LyingRpc, chain: Chain, value: Any
) -> None:
    liar.tampers["eth_call"] = lambda _: value
    with pytest.raises(IntegrityError, match=r"Market\.balanceOf does not parse"):
        chain.balance(market.buyer.address)


def test_a_state_that_does_not_exist_is_an_integrity_error(liar: LyingRpc, chain: Chain) -> None:
    liar.tampers["eth_call"] = lambda _: "0x" + "00" * 64 + f"{200:064x}" + "00" * 64
    with pytest.raises(IntegrityError):
        chain.job(b"\1" * 32)


@pytest.mark.parametrize(
    "change",
    [
        {"hash": None},
        {"hash": "0x12"},
        {"number": "0x7fffffff"},
        {"timestamp": "soon"},
        {"parentHash": 5},
        {"baseFeePerGas": "cheap"},
    ],
)
def test_a_block_that_does_not_parse_is_an_integrity_error(
    liar: LyingRpc, chain: Chain, change: dict[str, Any]
) -> None:
    liar.tampers["eth_getBlockByNumber"] = lambda block: block | change
    with pytest.raises(IntegrityError):
        chain.block(1)


@pytest.mark.parametrize("block", ["0x1", [], 7, {}])
def test_a_block_that_is_no_object_is_an_integrity_error(liar: LyingRpc, chain: Chain, block: Any) -> None:
    liar.tampers["eth_getBlockByNumber"] = lambda _: block
    with pytest.raises(IntegrityError, match="block"):
        chain.block(1)


RECEIPT_LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another transaction": lambda receipt: receipt | {"transactionHash": "0x" + "12" * 32},
    "no status": lambda receipt: receipt | {"status": None},
    "no gas": lambda receipt: receipt | {"gasUsed": "much"},
    "no logs": lambda receipt: receipt | {"logs": None},
    "logs of another": lambda receipt: (
        receipt | {"logs": [log | {"transactionHash": "0x" + "12" * 32} for log in receipt["logs"]]}
    ),
    "a list": lambda receipt: [receipt],
}


@pytest.mark.parametrize("lie", RECEIPT_LIES)
def test_a_receipt_that_cannot_be_is_an_integrity_error(
    market: RunningMarket, liar: LyingRpc, chain: Chain, lie: str
) -> None:
    liar.tampers["eth_getTransactionReceipt"] = lambda found: found and RECEIPT_LIES[lie](found)
    with pytest.raises(IntegrityError):
        chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), market.provider)


def test_an_endpoint_that_names_another_transaction_is_an_integrity_error(
    market: RunningMarket, liar: LyingRpc, chain: Chain
) -> None:
    liar.tampers["eth_sendRawTransaction"] = lambda _: "0x" + "12" * 32
    with pytest.raises(IntegrityError, match="another transaction than ours"):
        chain.send("Market", "announceApproval", (1, b"\1" * 32, b"\2" * 32), market.provider)


def test_a_token_that_lies_about_its_domain_is_an_integrity_error(
    market: RunningMarket, liar: LyingRpc, chain: Chain
) -> None:
    liar.tampers["eth_call"] = lambda _: "0x" + "ff" * 320
    with pytest.raises(IntegrityError):
        chain.permit(market.buyer, 1, 1)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8545", "ftp://a", "http://", "file:///etc/passwd", "ws://a"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InputError, match="RPC URL does not parse") as caught:
        Rpc(url, timeout=1)
    assert caught.value.got is None


def test_no_error_shows_the_key_in_an_endpoints_url(market: RunningMarket, liar: LyingRpc) -> None:
    key = "s3cr3t-api-key"
    liar.raw = answering(b"no", 503)
    for url in (f"{liar.url}/v3/{key}", f"http://user:{key}@127.0.0.1:1/{key}?{key}"):
        with pytest.raises(UnavailableError) as caught:
            Chain(url, market.chain.deployment, confirmations=1, timeout=2)
        assert key not in str(caught.value)
        assert "127.0.0.1:" in str(caught.value)


def test_an_endpoint_may_be_shared_by_threads(market: RunningMarket) -> None:
    heads: list[int] = []
    threads = [
        threading.Thread(target=lambda: heads.extend(market.chain.head() for _ in range(50)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(heads) == 400
