"""What every store does, run on each: a folder, the same folder behind a gateway, an IPFS daemon."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, encode_node
from marketplace.core.envelope import open_sealed, seal
from marketplace.core.unixfs import LEAF
from marketplace.errors import InputError, IntegrityError, NotFoundError
from marketplace.storage import (
    MAX_BLOCK,
    ContentStore,
    GatewayStore,
    LocalStore,
    get_document,
    put_block,
    put_file,
    read_file,
)


@dataclass
class Place:
    """A store, and the file in which a block of it ends up, to tamper with it."""

    store: ContentStore
    path_of: Callable[[Cid], Path]


@pytest.fixture(params=["folder", "gateway", "ipfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path, serve: Callable[[Path], str]) -> Iterator[Place]:
    if request.param == "ipfs":
        daemon = request.getfixturevalue("ipfs")
        yield Place(request.getfixturevalue("ipfs_store"), lambda cid: daemon.path_of(cid.digest))
        return
    disk = LocalStore(tmp_path / "store")
    if request.param == "folder":
        yield Place(disk, disk.path_of)
        return
    with GatewayStore(serve(tmp_path / "store")) as store:
        yield Place(store, disk.path_of)


BLOCK = b"a block"
CID = Cid.of("raw", BLOCK)


@pytest.mark.parametrize("size", [0, 1, LEAF, MAX_BLOCK])
def test_a_block_that_was_put_is_there(place: Place, size: int) -> None:
    block = bytes(size)
    cid = Cid.of("raw", block)
    assert not place.store.has(cid)
    place.store.put(cid, block)
    assert place.store.has(cid)
    assert place.store.get(cid) == block


def test_a_node_may_come_before_its_children(place: Place) -> None:
    node = encode_node([Link(CID, len(BLOCK), len(BLOCK))])
    place.store.put(Cid.of("dag-pb", node), node)
    assert place.store.get(Cid.of("dag-pb", node)) == node


def test_putting_twice_is_no_error(place: Place) -> None:
    place.store.put(CID, BLOCK)
    place.store.put(CID, BLOCK)
    assert place.store.get(CID) == BLOCK


def test_a_missing_block_is_not_found(place: Place) -> None:
    with pytest.raises(NotFoundError, match=str(CID)):
        place.store.get(CID)


def test_putting_refuses_a_block_whose_bytes_do_not_match(place: Place) -> None:
    with pytest.raises(IntegrityError):
        place.store.put(CID, b"other bytes")
    assert not place.path_of(CID).exists()


def test_putting_refuses_a_block_that_is_too_large(place: Place) -> None:
    block = bytes(MAX_BLOCK + 1)
    with pytest.raises(InputError, match="too large"):
        place.store.put(Cid.of("raw", block), block)


@pytest.mark.parametrize("stored", [b"", b"a blocK", b"a block.", bytes(MAX_BLOCK), bytes(3 * MAX_BLOCK)])
def test_reading_refuses_a_block_whose_bytes_do_not_match(place: Place, stored: bytes) -> None:
    place.store.put(CID, BLOCK)
    place.path_of(CID).write_bytes(stored)
    with pytest.raises(IntegrityError):
        place.store.get(CID)


def test_putting_again_mends_a_block_that_was_changed(place: Place) -> None:
    place.store.put(CID, BLOCK)
    place.path_of(CID).write_bytes(b"rot")
    place.store.put(CID, BLOCK)
    assert place.store.get(CID) == BLOCK


def test_many_threads_may_use_one_store(place: Place) -> None:
    def work(number: int) -> bytes:
        block = str(number % 20).encode() * 1000
        cid = Cid.of("raw", block)
        place.store.put(cid, block)
        return place.store.get(cid)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(100)))
    assert answers == [str(number % 20).encode() * 1000 for number in range(100)]


@pytest.mark.parametrize("size", [0, 1, LEAF, LEAF + 1, 3 * LEAF])
def test_a_file_reads_back_whole(place: Place, size: int) -> None:
    data = bytes(index % 253 for index in range(1000)) * (size // 1000 + 1)
    root = put_file(BytesIO(data[:size]), place.store)
    assert root.size == size
    assert b"".join(read_file(root.cid, place.store)) == data[:size]


def test_a_file_longer_than_the_limit_is_refused_before_its_first_byte(place: Place) -> None:
    root = put_file(BytesIO(bytes(LEAF + 1)), place.store)
    with pytest.raises(InputError, match="too long"):
        next(read_file(root.cid, place.store, limit=LEAF))
    assert len(b"".join(read_file(root.cid, place.store, limit=LEAF + 1))) == LEAF + 1


def test_a_file_with_a_missing_block_is_not_found(place: Place) -> None:
    data = b"1" * LEAF + b"2" * LEAF
    root = put_file(BytesIO(data), place.store)
    place.path_of(Cid.of("raw", b"2" * LEAF)).unlink()
    with pytest.raises(NotFoundError):
        list(read_file(root.cid, place.store))


def test_a_sealed_file_opens_from_the_store(place: Place) -> None:
    data = bytes(2 * LEAF)
    header = seal(BytesIO(data), id="did:x", key=bytes(32), prefix=bytes(7), put=place.store.put)
    assert b"".join(open_sealed(header, bytes(32), place.store.get)) == data
    assert get_document(place.store, header.digest) == header.to_bytes()


def test_a_document_is_found_by_its_digest(place: Place) -> None:
    document = bytes(LEAF)
    assert put_block(place.store, document) == Cid.raw(hashlib.sha256(document).digest())
    assert get_document(place.store, hashlib.sha256(document).digest()) == document


def test_a_document_longer_than_a_block_of_a_file_is_refused(place: Place) -> None:
    document = bytes(LEAF + 1)
    with pytest.raises(InputError, match="too long"):
        put_block(place.store, document)
    place.store.put(Cid.of("raw", document), document)
    with pytest.raises(IntegrityError, match="too long"):
        get_document(place.store, hashlib.sha256(document).digest())
