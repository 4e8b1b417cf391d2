"""Trees and nodes that a liar stored: each block hashes to its name, and none is followed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketplace.core import unixfs
from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, decode_node, encode_node, node_total
from marketplace.core.unixfs import LEAF, WIDTH, read
from marketplace.errors import IntegrityError

Blocks = dict[Cid, bytes]


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
