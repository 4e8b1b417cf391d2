"""A salted Merkle commitment to data that stays where it lies: listing and receipts name it instead of an envelope.

Pure. A file's leaves are its chunks of 256 KiB, an empty file's the one empty chunk; the dataset's leaves are its
files, in the order of their names, each with name, size and the root of its own leaves. Every leaf is hashed with a
salt of its own, so that nobody can guess what lies there, however few values it may have; one leaf and its salt can be
shown without showing what salts the others have.

    chunk  = SHA-256(0x00 || salt || file number, u64 || chunk number, u64 || chunk)
    node   = SHA-256(0x01 || left || right)
    file   = SHA-256(0x02 || salt || file number, u64 || size, u64 || root of its chunks || name in UTF-8)
    salt   = HMAC-SHA256(secret, domain byte of the leaf || file number, u64 || chunk number, u64; 0 for files)

Trees are those of RFC 6962, section 2.1: a left side is the largest power of two that leaves something for the right.
Numbers are big-endian. The header, a block of canonical JSON, names the root; its SHA-256 is a receipt's `inputRoot`.

Covered: any other byte, size, name, order or number of files than those that were committed gives another root.
Not covered: that the data is true; that a node computed on it (a receipt is a claim). Sizes stand in the header.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256 as _sha256

from marketplace.core.archive import MAX_FILES, check_name
from marketplace.core.canonical import canonical, exact_fields, hex_bytes, parse_canonical, sha256
from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError

CHUNK = 262_144
"""Bytes of data in a leaf; a file's last one may hold fewer."""

SECRET_BYTES = 32
_CHUNK, _NODE, _FILE = b"\0", b"\1", b"\2"
_VERSION = 1
_FIELDS = {"version": int, "id": str, "files": int, "size": int, "root": str}
_WHAT = "the commitment to a dataset"
_MAX_SIZE = 2**53 - 1


@dataclass(frozen=True)
class Commitment:
    """What chain and listing name of data in place. id: the dataset's DID. size: bytes of all files together."""

    id: str
    files: int
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not (0 < len(self.id) <= 256 and self.id.isascii() and self.id.isprintable()):
            raise InputError(f"{_WHAT} has no id", got=self.id[:80])
        if not 1 <= self.files <= MAX_FILES or not 0 <= self.size <= _MAX_SIZE:
            raise InputError(f"{_WHAT} does not fit", got=f"{self.files} files, {self.size} bytes")
        if len(self.root) != 32:
            raise InputError(f"{_WHAT} has no root", expected="32 bytes")

    def to_bytes(self) -> bytes:
        """The header's block."""
        return canonical(
            {
                "version": _VERSION,
                "id": self.id,
                "files": self.files,
                "size": self.size,
                "root": self.root.hex(),
            }
        )

    @classmethod
    def parse(cls, block: bytes) -> Commitment:
        """Raises InputError for anything that `to_bytes` would not have written."""
        fields = exact_fields(parse_canonical(block, what=_WHAT), _FIELDS, what=_WHAT)
        if fields["version"] != _VERSION:
            raise InputError(f"{_WHAT} has another version", got=fields["version"], expected=_VERSION)
        return cls(
            fields["id"], fields["files"], fields["size"], hex_bytes(fields["root"], 32, what="a root")
        )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the block: `inputRoot` of receipts."""
        return sha256(self.to_bytes())

    @property
    def cid(self) -> Cid:
        """The block's name in the shared store."""
        return Cid.raw(self.digest)

    @property
    def body(self) -> Cid:
        """The root as a name: what the wrap of the secret is bound to, as a key's is to the root of an envelope."""
        return Cid.raw(self.root)


@dataclass(frozen=True)
class CommittedFile:
    """A file as it goes into a commitment. chunks: of CHUNK bytes each, the last of fewer; none for an empty file."""

    name: str
    size: int
    chunks: Iterable[bytes]


def commit(files: Iterable[CommittedFile], *, id: str, secret: bytes) -> Commitment:
    """The commitment to files that come in the order of their names; reads each once, a chunk at a time.

    secret: 32 random bytes, drawn for this commitment. Memory: some hashes. Raises InputError for names that cannot be
    used or do not ascend, chunks of other sizes or contents of other sizes than said; and what reading raises.
    """
    tree, count, size, before = _Tree(), 0, 0, b""
    for number, file in enumerate(files):
        check_name(file.name)
        if file.name.encode() <= before:
            raise InputError("the files are not sorted by name, each once", got=ascii(file.name)[:300])
        before = file.name.encode()
        root = _chunks_root(file, number, secret)
        tree.add(_file_leaf(file.name, file.size, number, root, salt_of(secret, _FILE, number, 0)))
        count, size = count + 1, size + file.size
    return Commitment(id, count, size, tree.root())


def salt_of(secret: bytes, domain: bytes, file: int, chunk: int) -> bytes:
    """One leaf's salt, 32 bytes. Raises InputError unless the secret has 32 bytes."""
    if len(secret) != SECRET_BYTES:
        raise InputError("a commitment's secret has the wrong size", expected=f"{SECRET_BYTES} bytes")
    return hmac.digest(secret, domain + file.to_bytes(8) + chunk.to_bytes(8), "sha256")


@dataclass(frozen=True)
class Proof:
    """That one chunk of one file is in a commitment. Paths: hashes beside the way from leaf to root, lowest first."""

    file: int
    name: str
    size: int
    chunk: int
    file_salt: bytes
    chunk_salt: bytes
    chunk_path: tuple[bytes, ...]
    file_path: tuple[bytes, ...]

    def check(self, commitment: Commitment, data: bytes) -> None:
        """Raises IntegrityError unless `data` is that chunk of that file of the committed data."""
        chunks = max(1, -(-self.size // CHUNK))
        placed = (
            0 <= self.file < commitment.files and 0 <= self.chunk < chunks and 0 <= self.size <= _MAX_SIZE
        )
        if not placed:
            raise _unproved(self)
        last = self.size - (chunks - 1) * CHUNK
        if len(data) != (last if self.chunk == chunks - 1 else CHUNK):
            raise _unproved(self)
        leaf = _chunk_leaf(data, self.file, self.chunk, self.chunk_salt)
        root = _climb(leaf, self.chunk, chunks, self.chunk_path, self)
        leaf = _file_leaf(self.name, self.size, self.file, root, self.file_salt)
        if _climb(leaf, self.file, commitment.files, self.file_path, self) != commitment.root:
            raise _unproved(self)


def prove(files: Sequence[CommittedFile], file: int, chunk: int, *, secret: bytes) -> Proof:
    """The proof of one chunk. Reads all files, and holds a hash of each and of each chunk of that one."""
    leaves, chosen = [], files[file]
    path: tuple[bytes, ...] = ()
    for number, one in enumerate(files):
        hashes = list(_chunk_leaves(one, number, secret))
        if number == file:
            path = _path(hashes, chunk)
        salt = salt_of(secret, _FILE, number, 0)
        leaves.append(_file_leaf(one.name, one.size, number, _root(hashes), salt))
    return Proof(
        file, chosen.name, chosen.size, chunk, salt_of(secret, _FILE, file, 0),
        salt_of(secret, _CHUNK, file, chunk), path, _path(leaves, file),
    )  # fmt: skip


class _Tree:
    """A root from leaves as they come: the roots of the whole subtrees so far, one for each bit of their number."""

    def __init__(self) -> None:
        self._whole: list[tuple[int, bytes]] = []  # (height, root), heights descending

    def add(self, leaf: bytes) -> None:
        height = 0
        while self._whole and self._whole[-1][0] == height:
            leaf, height = _node(self._whole.pop()[1], leaf), height + 1
        self._whole.append((height, leaf))

    def root(self) -> bytes:
        """Raises InputError where there was no leaf."""
        if not self._whole:
            raise InputError("there is nothing to commit to", expected="at least one file")
        *left, (_, root) = self._whole
        for _, whole in reversed(left):
            root = _node(whole, root)
        return root


def _chunks_root(file: CommittedFile, number: int, secret: bytes) -> bytes:
    tree = _Tree()
    for leaf in _chunk_leaves(file, number, secret):
        tree.add(leaf)
    return tree.root()


def _chunk_leaves(file: CommittedFile, number: int, secret: bytes) -> Iterator[bytes]:
    given, index = 0, 0
    for index, data in enumerate(file.chunks):
        if given != index * CHUNK or not 0 < len(data) <= CHUNK:
            raise InputError("a chunk has the wrong size", got=len(data), expected=f"{CHUNK} bytes")
        given += len(data)
        yield _chunk_leaf(data, number, index, salt_of(secret, _CHUNK, number, index))
    if given != file.size:
        raise InputError(
            "a file changed its size while it was read", got=given, expected=f"{file.size} bytes"
        )
    if not given:
        yield _chunk_leaf(b"", number, 0, salt_of(secret, _CHUNK, number, 0))


def _chunk_leaf(data: bytes, file: int, chunk: int, salt: bytes) -> bytes:
    found = _sha256(_CHUNK + salt + file.to_bytes(8) + chunk.to_bytes(8))
    found.update(data)
    return found.digest()


def _file_leaf(name: str, size: int, file: int, root: bytes, salt: bytes) -> bytes:
    return sha256(_FILE + salt + file.to_bytes(8) + size.to_bytes(8) + root + name.encode())


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right)


def _root(leaves: Sequence[bytes]) -> bytes:
    tree = _Tree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


def _path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return ()
    split = _left(len(leaves))
    if index < split:
        return (*_path(leaves[:split], index), _root(leaves[split:]))
    return (*_path(leaves[split:], index - split), _root(leaves[:split]))


def _climb(leaf: bytes, index: int, leaves: int, path: tuple[bytes, ...], proof: Proof) -> bytes:
    """The root above a leaf. Raises IntegrityError where the path has another length than that leaf's."""
    sides = []
    while leaves > 1:
        split = _left(leaves)
        sides.append(index >= split)
        index, leaves = (index - split, leaves - split) if index >= split else (index, split)
    if len(sides) != len(path) or any(len(beside) != 32 for beside in path):
        raise _unproved(proof)
    for is_right, beside in zip(reversed(sides), path, strict=True):
        leaf = _node(beside, leaf) if is_right else _node(leaf, beside)
    return leaf


def _left(leaves: int) -> int:
    """Leaves on the left side of a tree of two or more: the largest power of two below their number."""
    return 1 << (leaves - 1).bit_length() - 1


def _unproved(proof: Proof) -> IntegrityError:
    return IntegrityError(
        "the proof does not hold",
        got=f"chunk {proof.chunk} of file {proof.file}",
        expected="what was committed",
    )
