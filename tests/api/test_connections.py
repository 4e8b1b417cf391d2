"""Clients that keep a connection without using it lose it, and nobody else notices."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest

from marketplace.api import connections
from marketplace.api.gateway import create_app
from marketplace.core.cid import Cid
from marketplace.storage import MAX_BLOCK, LocalStore
from tests.support.catalogue import served

BLOCK = bytes(MAX_BLOCK)
CID = Cid.of("raw", BLOCK)


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A gateway whose patience is a second or two."""
    monkeypatch.setattr(connections, "SECONDS_PER_HEAD", 0.8)
    monkeypatch.setattr(connections, "SECONDS_PER_ANSWER", 0.8)
    monkeypatch.setattr(connections, "_TICK", 0.1)
    LocalStore(tmp_path).put(CID, BLOCK)
    with served(create_app(tmp_path)) as url:
        yield url


def connect(url: str, source: str = "127.0.0.1") -> socket.socket:
    port = int(url.rpartition(":")[2])
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))


def seconds_until_closed(connection: socket.socket, drip: bytes = b"") -> float:
    """How long the server bears it; `drip` is sent over and over."""
    started = time.monotonic()
    connection.settimeout(0.05)
    with suppress(ConnectionError):
        while time.monotonic() - started < 15:
            if drip:
                connection.sendall(drip)
            try:
                if not connection.recv(65_536):
                    break
            except TimeoutError:
                continue
    return time.monotonic() - started


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"", b""),
        (b"GET /hea", b""),
        (b"GET /health HTTP/1.1\r\nhost: x\r\n", b"x-more: 1\r\n"),
        (b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n", b"."),
        (b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n", b""),
    ],
    ids=["silence", "half_a_line", "a_header_at_a_time", "a_body_that_nobody_wants", "idle_after_an_answer"],
)
def test_a_request_that_does_not_end_is_cut_off(gateway: str, head: bytes, drip: bytes) -> None:
    with connect(gateway) as connection:
        connection.sendall(head)
        assert seconds_until_closed(connection, drip) < 5
    assert httpx.get(f"{gateway}/health", trust_env=False).status_code == 200


def test_an_answer_that_nobody_reads_is_thrown_away(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_PER_CLIENT", 1)
    with connect(gateway) as connection:
        for _ in range(16):
            connection.sendall(f"GET /ipfs/{CID} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert httpx.get(f"{gateway}/health", trust_env=False).status_code == 429
        time.sleep(2.5)  # its place is free, although it holds on
        assert httpx.get(f"{gateway}/health", trust_env=False).status_code == 200


def test_an_answer_that_is_read_slowly_arrives(gateway: str) -> None:
    with connect(gateway) as connection:
        connection.sendall(f"GET /ipfs/{CID} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        received = 0
        while piece := connection.recv(65_536):
            received += len(piece)
            time.sleep(0.005)
    assert received > MAX_BLOCK


def test_a_body_that_drips_is_not_waited_for(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketplace.api.answers.SECONDS_PER_BODY", 0.5)
    with connect(gateway) as connection:
        connection.sendall(f"PUT /ipfs/{CID} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n".encode())
        started = time.monotonic()
        connection.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() - started < 10:
            connection.sendall(b".")
            with suppress(TimeoutError):
                answer = connection.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 422")
        assert seconds_until_closed(connection, b".") < 5


def test_a_busy_connection_is_kept(gateway: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(gateway.rpartition(":")[2]), timeout=10)
    with closing(connection):
        connection.connect()
        first, started = connection.sock, time.monotonic()
        while time.monotonic() - started < 2:
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            time.sleep(0.05)
        assert connection.sock is first


def test_a_long_head_is_refused(gateway: str) -> None:
    with connect(gateway) as connection:
        with suppress(ConnectionError):
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 1_000_000)
        with suppress(ConnectionError):
            assert connection.recv(4_096).startswith(b"HTTP/1.1 400")
    headers = {f"x-{number}": "a" * 100 for number in range(80)}
    assert httpx.get(f"{gateway}/health", headers=headers, trust_env=False).status_code == 200


def test_connections_of_one_client_are_counted(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_PER_CLIENT", 5)
    monkeypatch.setattr(connections, "SECONDS_PER_HEAD", 20)
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connect(gateway))
        time.sleep(0.2)
        answer = httpx.get(f"{gateway}/health", trust_env=False)
        assert (answer.status_code, answer.json()["what"]) == (429, "too many connections of one client")
        with connect(gateway, "127.0.0.2") as other:
            other.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert other.recv(4_096).startswith(b"HTTP/1.1 200")


def test_connections_of_all_are_counted(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 5)
    monkeypatch.setattr(connections, "SECONDS_PER_HEAD", 20)
    with ExitStack() as stack:
        for number in range(5):
            stack.enter_context(connect(gateway, f"127.0.0.{number + 2}"))
        time.sleep(0.2)
        answer = httpx.get(f"{gateway}/health", trust_env=False)
        assert (answer.status_code, answer.json()["what"]) == (503, "too many connections")


def test_a_websocket_is_not_spoken(gateway: str) -> None:
    with connect(gateway) as connection:
        connection.sendall(
            b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
