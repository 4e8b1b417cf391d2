"""Inner nodes of a file: the dag-pb block that `ipfs add` writes for a list of children.

Pure. One list of links has one encoding, and reading refuses every other: a node that does not encode back to
the very same bytes is not one of ours (padded integers, odd order, sizes that do not add up, extra fields).
Sources: https://ipld.io/specs/codecs/dag-pb/spec/ and https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError

_CID_BYTES = 36
# Protobuf tags: field number << 3 | wire type (0 varint, 2 bytes).
_NODE_LINK, _NODE_DATA = b"\x12", b"\x0a"
_LINK_HASH, _LINK_NO_NAME, _LINK_TOTAL = b"\x0a\x24", b"\x12\x00", b"\x18"
_FILE_TYPE, _FILE_SIZE, _FILE_BLOCK_SIZE = b"\x08\x02", b"\x18", b"\x20"


@dataclass(frozen=True, slots=True)
class Link:
    """A child: `size` is the bytes of file below it, `total` those and the nodes' own bytes (dag-pb's Tsize)."""

    cid: Cid
    size: int
    total: int


def encode_node(links: Sequence[Link]) -> bytes:
    """The dag-pb block whose children are `links`, in the order of the file."""
    sizes = b"".join(_FILE_BLOCK_SIZE + _varint(link.size) for link in links)
    data = _FILE_TYPE + _FILE_SIZE + _varint(sum(link.size for link in links)) + sizes
    return b"".join(map(_encode_link, links)) + _NODE_DATA + _varint(len(data)) + data


def decode_node(block: bytes) -> tuple[Link, ...]:
    """The children of a dag-pb block; at least one.

    Raises IntegrityError if `block` is not exactly what `encode_node` writes.
    """
    try:
        links = _decode(_Reader(block))
    except InputError as error:
        raise _refusal(error.what) from error
    if not links:
        raise _refusal("it has no children")
    if encode_node(links) != block:
        raise _refusal("its sizes or its encoding are not the only right ones")
    return links


def node_total(block: bytes, links: Sequence[Link]) -> int:
    """What a link to the node `block` must carry as its `total`, in bytes."""
    return len(block) + sum(link.total for link in links)


def _encode_link(link: Link) -> bytes:
    body = _LINK_HASH + link.cid.to_bytes() + _LINK_NO_NAME + _LINK_TOTAL + _varint(link.total)
    return _NODE_LINK + _varint(len(body)) + body


def _decode(reader: _Reader) -> tuple[Link, ...]:
    found: list[tuple[Cid, int]] = []
    while reader.skip(_NODE_LINK):
        reader.varint()  # its length, which encoding back checks
        reader.expect(_LINK_HASH)
        cid = Cid.from_bytes(reader.take(_CID_BYTES))
        reader.expect(_LINK_NO_NAME + _LINK_TOTAL)
        found.append((cid, reader.varint()))
    reader.expect(_NODE_DATA)
    reader.varint()
    reader.expect(_FILE_TYPE + _FILE_SIZE)
    reader.varint()
    links = []
    for cid, total in found:
        reader.expect(_FILE_BLOCK_SIZE)
        links.append(Link(cid, reader.varint(), total))
    return tuple(links)


class _Reader:
    """A position in a block; raises InputError where the block ends too early or differs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise InputError("it ends too early")
        self._at += count
        return piece

    def skip(self, mark: bytes) -> bool:
        found = self._data.startswith(mark, self._at)
        self._at += len(mark) if found else 0
        return found

    def expect(self, mark: bytes) -> None:
        if not self.skip(mark):
            raise InputError(f"byte {self._at} is not what stands there in a node of a file")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise InputError("an integer is longer than 63 bits")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _refusal(reason: str) -> IntegrityError:
    return IntegrityError(
        "a dag-pb block is not an inner node of a file",
        got=reason,
        expected="links without names, then UnixFS type file with their sizes, as `ipfs add --raw-leaves` writes",
    )
