"""Sealed files: what was sealed opens, in whole or in part; nothing else does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core import unixfs
from marketplace.core.canonical import canonical
from marketplace.core.cid import Cid
from marketplace.core.dagpb import decode_node
from marketplace.core.envelope import CHUNK, MAX_SIZE, Header, _commitment, open_sealed, seal, sealed_size
from marketplace.core.unixfs import LEAF, build, pieces
from marketplace.errors import InputError, IntegrityError, SteelyardError, UnavailableError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/envelopes.json").read_text())
KEY, PREFIX, ID = (
    bytes(range(32)),
    b"prefix7",
    "did:steelyard:31337:0x0000000000000000000000000000000000000001:5",
)

Blocks = dict[Cid, bytes]


def sealed(data: bytes, *, key: bytes = KEY, prefix: bytes = PREFIX, id: str = ID) -> tuple[Header, Blocks]:
    blocks: Blocks = {}
    return seal(BytesIO(data), id=id, key=key, prefix=prefix, put=blocks.__setitem__), blocks


def opened(
    header: Header, blocks: Blocks, start: int = 0, stop: int | None = None, key: bytes = KEY
) -> bytes:
    return b"".join(open_sealed(header, key, blocks.__getitem__, start, stop))


def pattern(size: int) -> bytes:
    return (bytes(index % 251 for index in range(251)) * (size // 251 + 1))[:size]


@pytest.fixture(scope="module")
def five_chunks() -> tuple[Header, Blocks, bytes]:
    data = pattern(4 * CHUNK + 1000)
    return *sealed(data), data


def rebuilt(header: Header, leaves: list[bytes], key: bytes = KEY) -> tuple[Header, Blocks]:
    """A header that commits to other ciphertext, as one who knows the key could make."""
    blocks: Blocks = {}
    body = build(leaves, blocks.__setitem__)
    return replace(header, body=body.cid, commitment=_commitment(key, body.cid)), blocks


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_sealed_file_opens_whole(size: int) -> None:
    header, blocks = sealed(pattern(size))
    assert opened(header, blocks) == pattern(size)
    assert header.size == size
    assert unixfs.size(header.body, blocks.__getitem__) == sealed_size(size)
    assert blocks[header.cid] == header.to_bytes()


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda vector: str(vector["size"]))
def test_the_format_does_not_drift(vector: dict[str, Any]) -> None:
    data = pattern(vector["size"])
    header, _ = sealed(
        data, key=bytes.fromhex(VECTORS["key"]), prefix=bytes.fromhex(VECTORS["prefix"]), id=VECTORS["id"]
    )
    assert str(header.cid) == vector["header"]
    assert str(header.body) == vector["body"]


def test_a_body_is_what_its_description_says() -> None:
    data = pattern(CHUNK + 5)
    header, blocks = sealed(data)
    cipher, associated = AESGCM(KEY), f"steelyard envelope 1\n{ID}".encode()
    first = cipher.encrypt(PREFIX + b"\0\0\0\0" + b"\0", data[:CHUNK], associated)
    last = cipher.encrypt(PREFIX + b"\0\0\0\1" + b"\1", data[CHUNK:], associated)
    assert len(first) == LEAF
    assert b"".join(unixfs.read(header.body, blocks.__getitem__)) == first + last
    assert header.digest == hashlib.sha256(header.to_bytes()).digest()


@settings(deadline=None, max_examples=80)
@given(start=st.integers(0, 4 * CHUNK + 1010), length=st.integers(0, 2 * CHUNK) | st.integers(0, 3))
def test_any_range_opens_as_the_slice(
    five_chunks: tuple[Header, Blocks, bytes], start: int, length: int
) -> None:
    header, blocks, data = five_chunks
    assert opened(header, blocks, start, start + length) == data[start : start + length]


@settings(deadline=None)
@given(data=st.binary(max_size=200), start=st.integers(0, 210), length=st.integers(0, 210))
def test_any_range_of_a_small_file_opens_as_the_slice(data: bytes, start: int, length: int) -> None:
    header, blocks = sealed(data)
    assert opened(header, blocks, start, start + length) == data[start : start + length]


@pytest.mark.parametrize("edge", [CHUNK, 2 * CHUNK, 4 * CHUNK])
def test_ranges_at_the_edges_of_chunks_open_as_the_slice(
    five_chunks: tuple[Header, Blocks, bytes], edge: int
) -> None:
    header, blocks, data = five_chunks
    for start, stop in [(edge - 1, edge), (edge, edge), (edge, edge + 1), (edge - 1, edge + 1), (0, edge)]:
        assert opened(header, blocks, start, stop) == data[start:stop]


@settings(deadline=None, max_examples=80)
@given(start=st.integers(0, 4 * CHUNK + 1010), length=st.integers(0, 2 * CHUNK) | st.sampled_from([1, CHUNK]))
def test_a_range_fetches_the_root_and_the_chunks_that_it_needs_once(
    five_chunks: tuple[Header, Blocks, bytes], start: int, length: int
) -> None:
    header, blocks, data = five_chunks
    fetched: list[Cid] = []

    def get(cid: Cid) -> bytes:
        fetched.append(cid)
        return blocks[cid]

    assert b"".join(open_sealed(header, KEY, get, start, start + length)) == data[start : start + length]
    stop = min(start + length, len(data))
    leaves = range(start // CHUNK, -(-stop // CHUNK)) if start < stop else range(0)
    chunks = [link.cid for link in decode_node(blocks[header.body])]
    assert fetched == [header.body, *(chunks[n] for n in leaves)]


def test_a_file_of_one_chunk_is_fetched_once() -> None:
    header, blocks = sealed(b"a row")
    fetched: list[Cid] = []
    assert b"".join(open_sealed(header, KEY, lambda cid: fetched.append(cid) or blocks[cid], 2, 4)) == b"ro"
    assert fetched == [header.body]


def test_another_key_is_refused_before_anything_is_fetched() -> None:
    header, _ = sealed(b"secret")

    def get(cid: Cid) -> bytes:
        raise AssertionError(f"{cid} was fetched")

    with pytest.raises(IntegrityError, match="commits"):
        open_sealed(header, bytes(32), get)


def test_a_header_with_another_body_is_refused_although_the_key_is_right() -> None:
    header, blocks = sealed(b"secret")
    other, more = sealed(b"other!", prefix=b"another")
    with pytest.raises(IntegrityError, match="commits"):
        opened(replace(header, body=other.body), blocks | more)


def leaves_of(header: Header, blocks: Blocks) -> list[bytes]:
    return list(unixfs.read(header.body, blocks.__getitem__))


BODIES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "truncated by a chunk": lambda leaves: leaves[:-1],
    "truncated to whole chunks, short of one": lambda leaves: leaves[:2],
    "reordered": lambda leaves: [leaves[1], leaves[0], *leaves[2:]],
    "a chunk twice": lambda leaves: [leaves[0], leaves[0], *leaves[2:]],
    "extended": lambda leaves: [*leaves[:-1], leaves[0], leaves[-1]],
    "last chunk first": lambda leaves: [leaves[-1]],
    "last chunk cut": lambda leaves: [*leaves[:-1], leaves[-1][:-1]],
    "one bit": lambda leaves: [*leaves[:2], bytes([leaves[2][0] ^ 1]) + leaves[2][1:], *leaves[3:]],
    "empty": lambda leaves: [],
}


@pytest.mark.parametrize("change", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("right_size", [False, True])
def test_a_changed_body_is_refused(
    five_chunks: tuple[Header, Blocks, bytes], change: Callable[[list[bytes]], list[bytes]], right_size: bool
) -> None:
    header, blocks, _ = five_chunks
    header, blocks = rebuilt(header, change(leaves_of(header, blocks)))
    if right_size:  # the liar changes the size in the header too
        body = unixfs.size(header.body, blocks.__getitem__)
        header = replace(header, size=max(0, body - 16 * max(1, -(-body // LEAF))))
    with pytest.raises(IntegrityError):
        opened(header, blocks)


def test_a_chunk_of_another_file_under_the_same_key_is_refused() -> None:
    header, blocks = sealed(pattern(2 * CHUNK))
    other, more = sealed(pattern(2 * CHUNK), prefix=b"another")
    header, blocks = rebuilt(header, [leaves_of(header, blocks)[0], leaves_of(other, more)[1]])
    with pytest.raises(IntegrityError):
        opened(header, blocks)


def test_a_body_under_another_id_is_refused() -> None:
    header, blocks = sealed(b"secret")
    with pytest.raises(IntegrityError):
        opened(replace(header, id=ID + "1"), blocks)


def test_a_body_under_another_prefix_is_refused() -> None:
    header, blocks = sealed(b"secret")
    with pytest.raises(IntegrityError):
        opened(replace(header, prefix=b"another"), blocks)


def test_an_empty_file_is_checked_like_any_other() -> None:
    header, blocks = sealed(b"")
    assert opened(header, blocks) == opened(header, blocks, 5, 9) == b""
    header, blocks = rebuilt(header, [bytes(16)])
    with pytest.raises(IntegrityError):
        opened(header, blocks)


def test_a_source_that_gives_a_little_at_a_time_is_sealed_the_same() -> None:
    class Dripping(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 100_001))

    data = pattern(2 * CHUNK + 3)
    header = seal(Dripping(data), id=ID, key=KEY, prefix=PREFIX, put=lambda cid, block: None)
    assert header == sealed(data)[0]


def test_a_source_that_cannot_be_read_is_named() -> None:
    class Broken(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UnavailableError, match="Input/output error"):
        seal(Broken(), id=ID, key=KEY, prefix=PREFIX, put=lambda cid, block: None)


@pytest.mark.parametrize(
    "change",
    [{"key": bytes(31)}, {"prefix": bytes(8)}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 300}, {"id": "é"}],
)
def test_sealing_refuses_arguments_that_do_not_fit_before_it_writes(change: dict[str, Any]) -> None:
    blocks: Blocks = {}
    arguments: dict[str, Any] = {"id": ID, "key": KEY, "prefix": PREFIX} | change
    with pytest.raises(InputError):
        seal(BytesIO(b"data"), put=blocks.__setitem__, **arguments)
    assert not blocks


def test_a_key_of_the_wrong_size_is_never_shown() -> None:
    with pytest.raises(InputError) as caught:
        seal(BytesIO(b""), id=ID, key=b"topsecret", prefix=PREFIX, put=lambda cid, block: None)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1), (5, 4)])
def test_opening_refuses_what_is_no_range(start: int, stop: int | None) -> None:
    header, blocks = sealed(b"hello")
    with pytest.raises(InputError):
        opened(header, blocks, start, stop)


HEADER = sealed(b"hello")[0]
FIELDS: dict[str, Any] = json.loads(HEADER.to_bytes())
NO_FIELD: list[Any] = [None, [], {}, True, -1, 2.5, "", "z\n", "é"]


def test_a_header_reads_back_as_itself() -> None:
    assert Header.parse(HEADER.to_bytes()) == HEADER
    assert HEADER.cid == Cid.of("raw", HEADER.to_bytes())


def wrong_headers() -> Iterator[Any]:
    for name in FIELDS:
        yield {key: value for key, value in FIELDS.items() if key != name}
        yield from (FIELDS | {name: value} for value in NO_FIELD)
    yield FIELDS | {"extra": 1}
    yield FIELDS | {"version": 2}
    yield FIELDS | {"size": MAX_SIZE + 1}
    yield FIELDS | {"body": str(HEADER.body).upper()}
    yield FIELDS | {"prefix": FIELDS["prefix"].upper() + "00"}
    yield FIELDS | {"id": "x" * 257}
    yield from ([], None, 5, "text", [FIELDS])


@pytest.mark.parametrize("value", list(wrong_headers()))
def test_a_header_that_is_not_exactly_one_is_refused(value: Any) -> None:
    with pytest.raises(InputError):
        Header.parse(canonical(value))


@pytest.mark.parametrize("data", [HEADER.to_bytes() + b" ", json.dumps(FIELDS).encode(), b" " * 65_537])
def test_a_header_in_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        Header.parse(data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_as_header_raise_nothing_but_our_errors(data: bytes) -> None:
    with pytest.raises(SteelyardError):
        Header.parse(data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_as_body_raise_nothing_but_our_errors(data: bytes) -> None:
    header, _ = sealed(pattern(max(0, len(data) - 16)))
    header, blocks = rebuilt(header, list(pieces(BytesIO(data), LEAF)))
    with pytest.raises(SteelyardError):
        opened(header, blocks)
