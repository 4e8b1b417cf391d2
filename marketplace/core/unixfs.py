"""Files as blocks: the tree of `ipfs add --cid-version=1 --raw-leaves --chunker=size-262144`.

Pure: blocks go out through `put` and come in through `get`. A file has exactly one tree (leaves of LEAF bytes, only
the last one shorter, nodes filled to WIDTH children from the left), so reading knows from a file's size what
every node must look like, and refuses any other. That bounds the depth and the work that a hostile root can ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from marketplace.core.cid import Cid
from marketplace.core.dagpb import Link, decode_node, encode_node, node_total
from marketplace.errors import InputError, IntegrityError, UnavailableError

LEAF = 262_144
"""Bytes of a leaf."""

WIDTH = 174
"""Children of a node."""

Get = Callable[[Cid], bytes]
Put = Callable[[Cid, bytes], None]


@dataclass(frozen=True, slots=True)
class Root:
    """The name of a file and its size in bytes."""

    cid: Cid
    size: int


def build(leaves: Iterable[bytes | bytearray | memoryview], put: Put) -> Root:
    """Store a file that comes as its leaves, and name it.

    leaves: each of LEAF bytes, the last of 1 to LEAF; none at all is the empty file. A leaf is copied before the next
    one is asked for, so one buffer may serve them all. put: called for each block, children first.
    Holds at most WIDTH links per level. Raises InputError for leaves of other sizes.
    """
    tree = _Builder(put)
    for leaf in leaves:
        tree.add_leaf(leaf)
    return tree.finish()


def pieces(source: BinaryIO, length: int) -> Iterator[bytes]:
    """`source` to its end in pieces of `length` bytes, fewer only in the last, whatever amounts it gives at a time.

    Raises UnavailableError if it cannot be read.
    """
    try:
        while piece := source.read(length):
            while len(piece) < length and (rest := source.read(length - len(piece))):
                piece += rest
            yield piece
    except OSError as error:
        raise UnavailableError("a file cannot be read", got=error.strerror or error) from error


@dataclass(frozen=True, slots=True)
class File:
    """A file whose root block was fetched and checked: its size is known, and that block is not fetched again.

    links, height: the root's children and its height above the leaves; of a file of one leaf none and 0.
    leaf: the bytes of that one leaf.
    """

    size: int
    links: tuple[Link, ...]
    height: int
    leaf: bytes

    @classmethod
    def open(cls, root: Cid, get: Get) -> File:
        """Fetch the root block. Errors as in `read`."""
        if root.codec == "raw":
            leaf = _single_leaf(root, get)
            return cls(len(leaf), (), 0, leaf)
        links, height = _open_root(root, get)
        return cls(sum(link.size for link in links), links, height, b"")

    def read(self, get: Get, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """As `read`, each block that the range needs fetched once."""
        stop = self.size if stop is None else min(stop, self.size)
        if not self.height:
            piece = self.leaf[start:stop]
            if piece:
                yield piece
            return
        if start >= stop:
            return
        for leaf, offset in _leaves(self.links, self.height, 0, get, start, stop):
            block = leaf.cid.check(get(leaf.cid))
            if len(block) != leaf.size:
                raise _refusal(
                    leaf.cid, f"a leaf of {len(block)} bytes", f"{leaf.size} bytes, as its parent says"
                )
            low, high = max(start - offset, 0), min(stop - offset, len(block))
            yield block if high - low == len(block) else block[low:high]


def read(root: Cid, get: Get, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes [start, stop) of a file, a leaf or a part of one at a time; both ends are cut to the file's size.

    get: fetches a block; what it returns is checked here. Fetches only what the range needs, each block once.
    Raises InputError if start < 0 or stop < start, IntegrityError at the first block that does not hash to its name
    or does not fit the file's tree, and what `get` raises.
    """
    if start < 0 or (stop is not None and stop < start):
        raise InputError("not a range of bytes", got=f"{start} to {stop}", expected="0 <= start <= stop")
    return _read(root, get, start, stop)


def size(root: Cid, get: Get) -> int:
    """Bytes of the file that `root` names, as its root block states. Errors as in `read`."""
    return File.open(root, get).size


def blocks(root: Cid, get: Get) -> Iterator[Cid]:
    """The name of every block of a file, the root first; repeated parts once. Fetches and checks nodes, not leaves.

    Errors as in `read`.
    """
    yield root
    if root.codec == "raw":
        return
    links, height = _open_root(root, get)
    # A few nodes that repeat each other can claim a file of exabytes: each is opened once.
    seen: set[Link] = set()
    stack = [(link, height - 1) for link in reversed(links)]
    while stack:
        link, height = stack.pop()
        if link in seen:
            continue
        seen.add(link)
        yield link.cid
        if height:
            stack.extend((child, height - 1) for child in reversed(_open(link, height, get)))


class _Builder:
    """The unfinished right edge of a tree: for each level, the links that have no parent yet."""

    def __init__(self, put: Put) -> None:
        self._put = put
        self._levels: list[list[Link]] = [[]]
        self._size = 0

    def add_leaf(self, leaf: bytes | bytearray | memoryview) -> None:
        if not 0 < len(leaf) <= LEAF or self._size % LEAF:
            raise InputError(
                "a leaf has the wrong size",
                got=f"{len(leaf)} bytes after {self._size}",
                expected=f"{LEAF} bytes, fewer only in the last",
            )
        self._keep(leaf)

    def finish(self) -> Root:
        if not self._size:
            self._keep(b"")  # the empty file is one empty leaf
        level = 0
        while level < len(self._levels) - 1 or len(self._levels[level]) > 1:
            if self._levels[level]:
                self._close(level)
            level += 1
        return Root(self._levels[level][0].cid, self._size)

    def _keep(self, leaf: bytes | bytearray | memoryview) -> None:
        block = bytes(leaf)
        cid = Cid.of("raw", block)
        self._put(cid, block)
        self._size += len(leaf)
        self._add(0, Link(cid, len(leaf), len(leaf)))

    def _add(self, level: int, link: Link) -> None:
        if level == len(self._levels):
            self._levels.append([])
        self._levels[level].append(link)
        if len(self._levels[level]) == WIDTH:
            self._close(level)

    def _close(self, level: int) -> None:
        links, self._levels[level] = self._levels[level], []
        block = encode_node(links)
        cid = Cid.of("dag-pb", block)
        self._put(cid, block)
        self._add(level + 1, Link(cid, sum(link.size for link in links), node_total(block, links)))


def _read(root: Cid, get: Get, start: int, stop: int | None) -> Iterator[bytes]:
    yield from File.open(root, get).read(get, start, stop)


def _leaves(
    links: tuple[Link, ...], height: int, offset: int, get: Get, start: int, stop: int
) -> Iterator[tuple[Link, int]]:
    for link in links:
        if offset >= stop:
            return
        if offset + link.size > start:
            if height == 1:
                yield link, offset
            else:
                yield from _leaves(_open(link, height - 1, get), height - 1, offset, get, start, stop)
        offset += link.size


def _single_leaf(root: Cid, get: Get) -> bytes:
    block = root.check(get(root))
    if len(block) > LEAF:
        raise _refusal(root, f"one leaf of {len(block)} bytes", f"at most {LEAF} bytes")
    return block


def _open_root(root: Cid, get: Get) -> tuple[tuple[Link, ...], int]:
    """The root's children and its height above the leaves, at least 1."""
    links = decode_node(root.check(get(root)))
    height = _height(sum(link.size for link in links))
    _check_shape(root, links, height)
    return links, height


def _open(parent_link: Link, height: int, get: Get) -> tuple[Link, ...]:
    cid = parent_link.cid
    block = cid.check(get(cid))
    links = decode_node(block)
    if sum(link.size for link in links) != parent_link.size or node_total(block, links) != parent_link.total:
        raise _refusal(cid, "a node of another size", f"{parent_link.size} bytes, as its parent says")
    _check_shape(cid, links, height)
    return links


def _height(file_size: int) -> int:
    height, capacity = 0, LEAF
    while capacity < file_size:
        height, capacity = height + 1, capacity * WIDTH
    return height


def _check_shape(cid: Cid, links: tuple[Link, ...], height: int) -> None:
    """Check: full children, only the last one shorter, all of the kind that stands at this height.

    More than WIDTH full children would make the file higher than this.
    """
    full = LEAF * WIDTH ** (height - 1) if height else 0
    codec = "raw" if height == 1 else "dag-pb"
    fits = (
        height > 0
        and all(link.size == full for link in links[:-1])
        and 0 < links[-1].size <= full
        and all(link.cid.codec == codec for link in links)
        and (height > 1 or all(link.total == link.size for link in links))
    )
    if not fits:
        expected = (
            f"1 to {WIDTH} {codec} children of {full} bytes, the last one at most" if height else "a raw leaf"
        )
        raise _refusal(
            cid, f"{len(links)} children that hold {[link.size for link in links[:4]]}... bytes", expected
        )


def _refusal(cid: Cid, got: str, expected: str) -> IntegrityError:
    return IntegrityError(
        f"block {cid} does not fit the tree of its file",
        got=got,
        expected=expected,
        do="Files are read only in the form that `ipfs add --cid-version=1 --raw-leaves` gives them.",
    )
