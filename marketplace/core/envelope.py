"""Sealed files: AES-256-GCM in the STREAM construction, one ciphertext chunk to one leaf of an IPFS file.

Pure: key and prefix are passed in, fresh for each sealing. A chunk's nonce is prefix (7 bytes) || chunk number (u32) ||
last flag (1 byte), so chunks cannot be dropped, repeated, swapped or added; its associated data names the
format and what was sealed. The header commits to the key, so that one body never opens in two ways.
Source: Hoang, Reyhanitabar, Rogaway and Vizar 2015, section 7 (STREAM), https://eprint.iacr.org/2015/189
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from marketplace.core import unixfs
from marketplace.core.canonical import canonical, exact_fields, hex_bytes, parse_canonical, sha256
from marketplace.core.cid import Cid
from marketplace.core.unixfs import LEAF, Get, Put
from marketplace.core.wrapping import (
    KEY_BYTES,
    check_size,
    message_recipients,
    open_message,
    public_key,
    recipient_id,
    seal_message,
    unwrap,
    wrap,
    wrap_info,
)
from marketplace.errors import InputError, IntegrityError

__all__ = [
    "CHUNK",
    "Header",
    "message_recipients",
    "open_message",
    "open_sealed",
    "public_key",
    "recipient_id",
    "seal",
    "seal_message",
    "sealed_size",
    "unwrap",
    "wrap",
    "wrap_info",
]

TAG = 16
CHUNK = LEAF - TAG
"""Bytes of plaintext in a chunk; the last one may hold fewer."""

PREFIX_BYTES = 7
MAX_HEADER = 65_536
MAX_ID = 256
MAX_SIZE = 2**32 * CHUNK

_VERSION = 1
_FIELDS = {"version": int, "id": str, "body": str, "size": int, "prefix": str, "commitment": str}


@dataclass(frozen=True, slots=True)
class Header:
    """What the chain and a listing name of a sealed file: one raw block of canonical JSON.

    id: the DID of a dataset, or the job id (0x and hex) of an output. body: root of the ciphertext.
    size: bytes of plaintext. prefix: 7 bytes. commitment: 32 bytes, from the key and `body`.
    """

    version: int
    id: str
    body: Cid
    size: int
    prefix: bytes
    commitment: bytes

    def __post_init__(self) -> None:
        if self.version != _VERSION:
            raise InputError("unknown version of a sealed file", got=self.version, expected=_VERSION)
        if not (0 < len(self.id) <= MAX_ID and self.id.isascii() and self.id.isprintable()):
            raise InputError(
                "not an id of a sealed file", got=self.id[:80], expected=f"1 to {MAX_ID} ASCII characters"
            )
        if not 0 <= self.size <= MAX_SIZE:
            raise InputError("not a size of a sealed file", got=self.size, expected=f"0 to {MAX_SIZE} bytes")
        check_size(self.prefix, PREFIX_BYTES, "a nonce prefix")
        check_size(self.commitment, 32, "a key commitment")

    def to_bytes(self) -> bytes:
        """The header's block."""
        return canonical(
            {
                "version": self.version,
                "id": self.id,
                "body": str(self.body),
                "size": self.size,
                "prefix": self.prefix.hex(),
                "commitment": self.commitment.hex(),
            }
        )

    @classmethod
    def parse(cls, block: bytes) -> Header:
        """Read a header's block. Raises InputError for anything that `to_bytes` would not have written."""
        what = "the header of a sealed file"
        fields = exact_fields(parse_canonical(block, what=what, limit=MAX_HEADER), _FIELDS, what=what)
        return cls(
            version=fields["version"],
            id=fields["id"],
            body=Cid.parse(fields["body"]),
            size=fields["size"],
            prefix=hex_bytes(fields["prefix"], PREFIX_BYTES, what="a nonce prefix"),
            commitment=hex_bytes(fields["commitment"], 32, what="a key commitment"),
        )

    @property
    def digest(self) -> bytes:
        """SHA-256 of the header's block: `inputRoot` and `outputDigest` of receipts."""
        return sha256(self.to_bytes())

    @property
    def cid(self) -> Cid:
        """The name of the header's block."""
        return Cid.raw(self.digest)


def sealed_size(size: int) -> int:
    """Bytes of the body that seals `size` bytes of plaintext."""
    return size + TAG * max(1, -(-size // CHUNK))


def seal(source: BinaryIO, *, id: str, key: bytes, prefix: bytes, put: Put) -> Header:
    """Encrypt `source` to its end and store body and header through `put`, in one pass.

    key, prefix: 32 and 7 random bytes, drawn for this call and never used again.
    Raises InputError if an argument does not fit, UnavailableError if `source` cannot be read, and what `put` raises.
    """
    check_size(key, KEY_BYTES, "a key")
    Header(_VERSION, id, Cid.raw(bytes(32)), 0, prefix, bytes(32))  # refuse before anything is written
    body = unixfs.build(_encrypted(source, AESGCM(key), prefix, _associated_data(id)), put)
    chunks = max(1, -(-body.size // LEAF))
    header = Header(_VERSION, id, body.cid, body.size - TAG * chunks, prefix, _commitment(key, body.cid))
    put(header.cid, header.to_bytes())
    return header


def open_sealed(
    header: Header, key: bytes, get: Get, start: int = 0, stop: int | None = None
) -> Iterator[bytes]:
    """The plaintext bytes [start, stop), a chunk or a part of one at a time; both ends are cut to the file's size.

    Fetches and decrypts only the leaves that the range needs, and fetches the nodes above them, each once.
    The whole file is authentic only once all was read.
    Raises IntegrityError if `key` is not the one that the header commits to, or a block, a size or a chunk
    does not fit; InputError if start < 0 or stop < start; and what `get` raises.
    """
    check_size(key, KEY_BYTES, "a key")
    if start < 0 or (stop is not None and stop < start):
        raise InputError("not a range of bytes", got=f"{start} to {stop}", expected="0 <= start <= stop")
    if not hmac.compare_digest(_commitment(key, header.body), header.commitment):
        raise IntegrityError(
            f"this key does not open {header.id}", expected="the key that its header commits to"
        )
    return _opened(header, AESGCM(key), get, start, header.size if stop is None else min(stop, header.size))


def _encrypted(source: BinaryIO, cipher: AESGCM, prefix: bytes, data: bytes) -> Iterator[bytes]:
    for number, (chunk, last) in enumerate(_chunks(source)):
        yield cipher.encrypt(_nonce(prefix, number, last), chunk, data)  # the very bytes that are stored


def _chunks(source: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Chunks of `source`, each with whether it is the last one; at least one, which may be empty."""
    pieces = unixfs.pieces(source, CHUNK)
    chunk = next(pieces, b"")
    for following in pieces:
        yield chunk, False
        chunk = following
    yield chunk, True


def _opened(header: Header, cipher: AESGCM, get: Get, start: int, stop: int) -> Iterator[bytes]:
    body = unixfs.File.open(header.body, get)
    if body.size != sealed_size(header.size):
        raise _refusal(header, f"a body of {body.size} bytes", f"{sealed_size(header.size)} bytes")
    if start >= stop and header.size:
        return
    data, last_number = _associated_data(header.id), max(0, header.size - 1) // CHUNK
    number, end = start // CHUNK, max(0, stop - 1) // CHUNK + 1
    if not header.size:
        number = 0  # the empty file has one chunk, which is checked like any other
    for leaf in body.read(get, number * LEAF, end * LEAF):
        try:
            chunk = cipher.decrypt(_nonce(header.prefix, number, number == last_number), leaf, data)
        except InvalidTag:
            raise _refusal(header, f"another chunk {number}", "the bytes that were sealed") from None
        low, high = max(0, start - number * CHUNK), min(stop - number * CHUNK, CHUNK)
        if low < high and chunk:
            yield chunk[low:high]
        number += 1


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    if number >= 2**32:
        raise InputError("the file is too large to seal", expected=f"at most {MAX_SIZE} bytes")
    return prefix + number.to_bytes(4, "big") + bytes((last,))


def _associated_data(id: str) -> bytes:
    return f"steelyard envelope {_VERSION}\n{id}".encode("ascii")


def _commitment(key: bytes, body: Cid) -> bytes:
    """HKDF-SHA256 of the key; info is "commit" and the body's CID as text."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"commit" + str(body).encode("ascii")).derive(
        key
    )


def _refusal(header: Header, got: str, expected: str) -> IntegrityError:
    return IntegrityError(f"the sealed body of {header.id} was changed", got=got, expected=expected)
