"""An IPFS daemon may hang, lie, die or be none: what its readers believe is only what hashes, and nothing is lost."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest

from marketplace.core.cid import Cid
from marketplace.core.unixfs import LEAF
from marketplace.errors import (
    FullError,
    InputError,
    IntegrityError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    TooManyError,
    UnavailableError,
)
from marketplace.settings import load_settings
from marketplace.storage import MAX_BLOCK, GatewayStore, open_store, put_file, read_file
from marketplace.storage.kubo import KuboStore
from marketplace.storage.kubo_wire import Address
from scripts.ipfs_daemon import IpfsDaemon
from tests.support.ipfs import collect_garbage
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
def answering() -> Iterator[Callable[[Answer], KuboStore]]:
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(
            KuboStore(stack.enter_context(answering_server(answer)), timeout=0.5)
        )


def error(words: object, status: str = "500 Internal Server Error") -> Answer:
    body = json.dumps({"Message": words, "Code": 0, "Type": "error"}).encode()
    return says(f"{status}\ncontent-type: application/json\ncontent-length: LENGTH", body)


LIES: dict[str, tuple[Answer, type[SteelyardError]]] = {
    "wrong bytes": (says("200 OK\ncontent-length: LENGTH", b"a blocK"), IntegrityError),
    "nothing": (says("200 OK\ncontent-length: 0"), IntegrityError),
    "an endless body": (endless, IntegrityError),
    "endless chunks": (endless_chunks, IntegrityError),
    "a length of exabytes": (says("200 OK\ncontent-length: 9999999999999999999", bytes(MAX_BLOCK + 1)), IntegrityError),
    "compressed bytes": (says("200 OK\ncontent-encoding: gzip\ncontent-length: LENGTH", ZIPPED), IntegrityError),
    "changed on its disk": (error("block in storage has different hash than requested"), IntegrityError),
    "a cut body": (says("200 OK\ncontent-length: 100", BLOCK), UnavailableError),
    "a cut chunk": (says("200 OK\ntransfer-encoding: chunked", b"10000\r\na block"), UnavailableError),
    "an endless head": (endless_head, UnavailableError),
    "an endless error": (endless_error, IntegrityError),
    "silence": (silent, UnavailableError),
    "one byte at a time": (dripping, UnavailableError),
    "no HTTP": (lambda connection: connection.sendall(b"\x00\xff" * 100), UnavailableError),
    "a closed connection": (lambda connection: None, UnavailableError),
    "a redirect": (says("302 Found\nlocation: http://127.0.0.1:1/\ncontent-length: 0"), UnavailableError),
    "no JSON": (says("500 Oh\ncontent-length: LENGTH", b"\xff broken"), UnavailableError),
    "a deep error": (says("500 Oh\ncontent-length: LENGTH", b"[" * 60_000), UnavailableError),
    "an error of no words": (error({"deep": [1]}), UnavailableError),
    "an error": (error("merkledag: trouble"), UnavailableError),
    "another service": (says("404 Not Found\ncontent-length: 0"), UnavailableError),
    "a missing block": (error("block was not found locally (offline): ipld: could not find it"), NotFoundError),
    "a search in vain": (error("context deadline exceeded"), NotFoundError),
    "a refusal": (says("403 Forbidden\ncontent-length: LENGTH", b"403 - Forbidden"), RefusedError),
    "a busy proxy": (says("429 Too Many\ncontent-length: 0"), TooManyError),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.replace(" ", "_"))
def test_reading_from_a_daemon_ends_soon_whatever_it_says_and_shows_no_password(lie: str) -> None:
    answer, expected = LIES[lie]
    began = time.monotonic()
    with answering_server(answer) as url, KuboStore(with_secrets(url), timeout=0.5) as store:
        with pytest.raises(SteelyardError) as caught:
            store.get(CID)
        assert type(caught.value) is expected
        assert "s3cr3t" not in f"{caught.value} {store!r} {caught.value.__cause__}"
        assert store.host in url
    assert time.monotonic() - began < 4
    assert len(str(caught.value)) < 2000


def with_secrets(url: str) -> str:
    """The address with a password and a key in it."""
    return url.replace("://", "://user:s3cr3t@") + "/s3cr3t-key"


ANSWERS: dict[str, tuple[bytes, type[SteelyardError]]] = {
    "another name": (json.dumps({"Key": str(Cid.of("raw", b"x")), "Size": 1}).encode(), UnavailableError),
    "no name": (b"{}", UnavailableError),
    "a number": (b"5", UnavailableError),
    "nothing": (b"", UnavailableError),
    "two answers": (b'{"Key": "a"}{"Key": "b"}', UnavailableError),
    "no text": (b"\xff\xfe", UnavailableError),
}


@pytest.mark.parametrize("said", ANSWERS, ids=lambda said: said.replace(" ", "_"))
def test_a_daemon_that_does_not_say_that_it_keeps_a_block_keeps_none(said: str) -> None:
    body, expected = ANSWERS[said]

    def answer(connection: socket.socket) -> None:
        says("200 OK\ncontent-length: LENGTH", body)(connection)

    missing = iter([error("block was not found locally (offline)")])
    with answering_server(lambda connection: next(missing, answer)(connection)) as url:  # noqa: SIM117
        with KuboStore(url, timeout=0.5) as store, pytest.raises(expected):
            store.put(CID, BLOCK)


@pytest.mark.parametrize("words", ["no space left on device", "ENOSPC: no space left on device, write"])
def test_a_full_daemon_is_said_to_be_full(words: str) -> None:
    answers = iter([error("block was not found locally (offline)"), error(words)])
    with answering_server(lambda connection: next(answers)(connection)) as url:  # noqa: SIM117
        with KuboStore(url, timeout=0.5) as store, pytest.raises(FullError, match="no space left"):
            store.put(CID, BLOCK)


def test_a_daemon_that_knows_nothing_is_not_taken_for_one_that_has_nothing(
    answering: Callable[[Answer], KuboStore],
) -> None:
    with pytest.raises(UnavailableError):
        answering(error("trouble")).has(CID)
    assert not answering(error("blockservice: key not found")).has(CID)


def test_nothing_is_retried_and_no_proxy_of_the_environment_is_used(
    answering: Callable[[Answer], KuboStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    asked: list[int] = []
    with pytest.raises(UnavailableError, match="a broken connection"):
        answering(lambda connection: asked.append(1)).get(CID)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("text", "multiaddr", "base", "auth"),
    [
        ("http://127.0.0.1:5001", "/dns/127.0.0.1/tcp/5001/http", "api/v0", None),
        ("http://localhost:5001/api/v0/", "/dns/localhost/tcp/5001/http", "api/v0", None),
        ("https://user:p%40ss@ipfs.example/node", "/dns/ipfs.example/tcp/443/https", "node/api/v0", ("user", "p@ss")),
        ("http://[::1]:5001", "/ip6/::1/tcp/5001/http", "api/v0", None),
        ("/ip4/127.0.0.1/tcp/5001", "/dns/127.0.0.1/tcp/5001/http", "api/v0", None),
        ("/dns4/kubo/tcp/443/https", "/dns/kubo/tcp/443/https", "api/v0", None),
    ],
)  # fmt: skip
def test_an_address_is_a_url_or_a_multiaddr(
    text: str, multiaddr: str, base: str, auth: tuple[str, str] | None
) -> None:
    address = Address.parse(text)
    assert (address.multiaddr, address.base, address.auth) == (multiaddr, base, auth)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kubo",
        "ftp://user:s3cr3t@host",
        "http://",
        "http://host:99999",
        "http://h/?s3cr3t",
        "http://[",
        "http://\ud800",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/tcp/0",
        "/unix/s3cr3t",
        "/ip4/127.0.0.1/tcp/5001/http/s3cr3t",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        KuboStore(text)
    assert "s3cr3t" not in str(caught.value)


def test_settings_choose_the_store_and_the_gateway_is_the_default(ipfs: IpfsDaemon) -> None:
    with open_store(load_settings()) as store:
        assert isinstance(store, GatewayStore)
    with open_store(load_settings(ipfs=ipfs.url)) as store:
        assert isinstance(store, KuboStore)
        assert not store.has(CID)


def test_what_is_put_survives_the_daemons_garbage_collection(ipfs_store: KuboStore) -> None:
    data = os.urandom(2 * LEAF)
    root = put_file(BytesIO(data), ipfs_store)
    loose = b"put by somebody who does not pin"
    ipfs_store._client.block.put(BytesIO(loose), opts={"format": "raw", "version": "1"})
    assert ipfs_store.has(Cid.of("raw", loose))
    collect_garbage(ipfs_store)
    assert not ipfs_store.has(Cid.of("raw", loose))
    assert b"".join(read_file(root.cid, ipfs_store)) == data


def test_a_changed_leaf_is_mended_although_its_file_is_pinned(
    ipfs: IpfsDaemon, ipfs_store: KuboStore
) -> None:
    data = os.urandom(2 * LEAF)
    root = put_file(BytesIO(data), ipfs_store)
    ipfs.path_of(Cid.of("raw", data[LEAF:]).digest).write_bytes(b"rot")
    with pytest.raises(IntegrityError):
        list(read_file(root.cid, ipfs_store))
    put_file(BytesIO(data), ipfs_store)
    collect_garbage(ipfs_store)
    assert b"".join(read_file(root.cid, ipfs_store)) == data


def test_an_upload_goes_on_where_a_killed_daemon_stopped_it(tmp_path: Path) -> None:
    data = os.urandom(64 * LEAF)
    stored: list[Cid] = []
    with IpfsDaemon(tmp_path) as daemon, KuboStore(daemon.url, timeout=2) as store:
        killing = threading.Timer(0.05, daemon.kill)

        class Noting:
            """The store; notes what it said it keeps, and has the daemon killed in the middle."""

            get, has = store.get, store.has

            def put(self, cid: Cid, block: bytes) -> None:
                store.put(cid, block)
                stored.append(cid)
                if len(stored) == 8:
                    killing.start()

        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:\d+ gave no answer"):
            put_file(BytesIO(data), Noting())
        killing.join()
        assert 8 <= len(stored) < 64
        with pytest.raises(UnavailableError, match="no connection"):
            store.get(stored[0])
        daemon.start()
        collect_garbage(store)
        assert all(store.get(cid) for cid in stored)
        root = put_file(BytesIO(data), store)
        assert b"".join(read_file(root.cid, store)) == data
