"""A gateway may say anything: what its readers believe is only what hashes, in bounded time and space."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from marketplace.core.cid import Cid
from marketplace.errors import (
    InputError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    UnavailableError,
)
from marketplace.storage import MAX_BLOCK, GatewayStore
from tests.support.lies import (
    Answer,
    answering_server,
    dripping,
    endless,
    endless_chunks,
    endless_error,
    endless_head,
    says,
    silent,
)

BLOCK = b"a block"
CID = Cid.of("raw", BLOCK)
ZIPPED = gzip.compress(BLOCK)


@pytest.fixture
def answering() -> Iterator[Callable[[Answer], GatewayStore]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(
            GatewayStore(stack.enter_context(answering_server(answer)), timeout=0.5)
        )


LIES: dict[str, tuple[Answer, type[SteelyardError]]] = {
    "wrong bytes": (says("200 OK\ncontent-length: LENGTH", b"a blocK"), IntegrityError),
    "nothing": (says("200 OK\ncontent-length: 0"), IntegrityError),
    "an endless body": (endless, IntegrityError),
    "endless chunks": (endless_chunks, IntegrityError),
    "a length of exabytes": (says("200 OK\ncontent-length: 9999999999999999999", bytes(MAX_BLOCK + 1)), IntegrityError),
    "compressed bytes": (says("200 OK\ncontent-encoding: gzip\ncontent-length: LENGTH", ZIPPED), IntegrityError),
    "a cut body": (says("200 OK\ncontent-length: 100", BLOCK), UnavailableError),
    "an endless head": (endless_head, UnavailableError),
    "an endless error": (endless_error, UnavailableError),
    "silence": (silent, UnavailableError),
    "one byte at a time": (dripping, UnavailableError),
    "no HTTP": (lambda connection: connection.sendall(b"\x00\xff" * 100), UnavailableError),
    "a closed connection": (lambda connection: None, UnavailableError),
    "a redirect": (says("302 Found\nlocation: http://127.0.0.1:1/\ncontent-length: 0"), UnavailableError),
    "an error": (says("500 Oh\ncontent-length: LENGTH", b"\xff broken"), UnavailableError),
    "a missing block": (says("404 Not Found\ncontent-length: 0"), NotFoundError),
    "a refusal": (says("403 Forbidden\ncontent-length: 0"), RefusedError),
    "a part": (says("206 Partial Content\ncontent-length: LENGTH", BLOCK), UnavailableError),
}  # fmt: skip


def test_a_gateway_that_tells_the_truth_is_believed(answering: Callable[[Answer], GatewayStore]) -> None:
    assert answering(says("200 OK\ncontent-length: LENGTH", BLOCK)).get(CID) == BLOCK


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.replace(" ", "_"))
def test_reading_from_a_gateway_ends_soon_whatever_it_says(
    answering: Callable[[Answer], GatewayStore], lie: str
) -> None:
    answer, expected = LIES[lie]
    store = answering(answer)
    began = time.monotonic()
    with pytest.raises(expected) as caught:
        store.get(CID)
    assert type(caught.value) is expected
    assert time.monotonic() - began < 3
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("413 Too Large", InputError),
        ("422 No", InputError),
        ("503 Full", UnavailableError),
        ("403 No", RefusedError),
    ],
)
def test_a_refused_block_is_said_with_the_gateways_answer(
    answering: Callable[[Answer], GatewayStore], status: str, expected: type[SteelyardError]
) -> None:
    store = answering(says(f"{status}\ncontent-length: LENGTH", b'{"what": "because"}'))
    with pytest.raises(expected, match="because"):
        store.put(CID, BLOCK)


def test_a_gateway_that_knows_nothing_is_not_taken_for_one_that_has_nothing(
    answering: Callable[[Answer], GatewayStore],
) -> None:
    with pytest.raises(UnavailableError):
        answering(says("500 Oh\ncontent-length: 0")).has(CID)
    assert not answering(says("404 No\ncontent-length: 0")).has(CID)


def test_a_dead_gateway_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with GatewayStore(f"http://127.0.0.1:{port}") as store:
        for call in (store.get, store.has):
            with pytest.raises(UnavailableError):
                call(CID)
        with pytest.raises(UnavailableError):
            store.put(CID, BLOCK)


def test_nothing_is_retried(answering: Callable[[Answer], GatewayStore]) -> None:
    asked: list[int] = []

    def count(connection: socket.socket) -> None:
        asked.append(1)

    with pytest.raises(UnavailableError):
        answering(count).get(CID)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway",
        "ftp://host",
        "http://",
        "file:///etc/passwd",
        "http://host:99999",
        "http://h/?q",
        "http://h/#f",
        "http://[",
        "http://\ud800",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        GatewayStore(url)


def test_an_address_that_is_none_is_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        GatewayStore("ftp://user:s3cr3t@host/s3cr3t")
    assert "s3cr3t" not in str(caught.value)


def with_secrets(url: str) -> str:
    """The address with a password and a key in it."""
    return url.replace("://", "://user:s3cr3t@") + "/s3cr3t-key"


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.replace(" ", "_"))
def test_no_error_shows_the_password_or_the_key_in_a_gateways_address(lie: str) -> None:
    with answering_server(LIES[lie][0]) as url, GatewayStore(with_secrets(url), timeout=0.5) as store:
        with pytest.raises(SteelyardError) as caught:
            store.get(CID)
        assert "s3cr3t" not in f"{caught.value} {store!r}"
        assert url.removeprefix("http://") in repr(store)


def test_no_error_of_a_gateway_that_is_away_shows_its_password() -> None:
    with GatewayStore(with_secrets("http://127.0.0.1:9"), timeout=0.5) as store:
        for ask in (store.get, store.has, lambda cid: store.put(cid, BLOCK)):
            with pytest.raises(UnavailableError, match=r"the gateway at 127\.0\.0\.1:9 ") as caught:
                ask(CID)
            assert "s3cr3t" not in str(caught.value)


def test_an_address_may_end_in_a_slash(tmp_path: Path, serve: Callable[[Path], str]) -> None:
    with GatewayStore(serve(tmp_path) + "/") as store:
        store.put(CID, BLOCK)
        assert store.get(CID) == BLOCK


def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    with GatewayStore(serve(tmp_path)) as store:
        assert not store.has(CID)
