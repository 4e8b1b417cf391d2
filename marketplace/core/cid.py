"""Content identifiers: CIDv1, SHA-256, as text in base32.

Pure. Only the two codecs that files are made of, `raw` and `dag-pb`, and only the one spelling of each:
two texts never name one block. Source: https://github.com/multiformats/cid
"""

from __future__ import annotations

import base64
import binascii
import threading
from dataclasses import dataclass
from typing import Final, Literal

from marketplace.core.canonical import sha256
from marketplace.errors import InputError, IntegrityError

Codec = Literal["raw", "dag-pb"]

_CODES: Final[dict[Codec, int]] = {"raw": 0x55, "dag-pb": 0x70}
_CODECS: Final[dict[int, Codec]] = {code: codec for codec, code in _CODES.items()}
_SHA256_32 = b"\x12\x20"
_BYTES = 36


@dataclass(frozen=True, slots=True)
class Cid:
    """The name of one block: how to read it (`codec`) and its SHA-256 (`digest`, 32 bytes)."""

    codec: Codec
    digest: bytes

    def __post_init__(self) -> None:
        if self.codec not in _CODES:
            raise InputError(
                "unknown codec of a content identifier", got=self.codec, expected="raw or dag-pb"
            )
        if not isinstance(self.digest, bytes) or len(self.digest) != 32:
            raise InputError("a digest has the wrong size", got=self.digest, expected="32 bytes")

    @classmethod
    def raw(cls, digest: bytes) -> Cid:
        """The identifier of a document, given its SHA-256 (as the chain stores it)."""
        return cls("raw", digest)

    @classmethod
    def of(cls, codec: Codec, block: bytes | bytearray | memoryview) -> Cid:
        """The identifier of `block`."""
        return cls(codec, _hashed.note(block))

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read `bafkrei...` or `bafybei...`.

        Raises InputError for anything but CIDv1, raw or dag-pb, SHA-256, in lower-case base32.
        """
        try:
            data = base64.b32decode(text[1:].upper() + "======", casefold=False) if len(text) == 59 else b""
            cid = cls.from_bytes(data)
        except (InputError, binascii.Error, ValueError, TypeError, AttributeError) as error:
            raise _refusal(text) from error
        if str(cid) != text:
            raise _refusal(text)
        return cid

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """Read the 36 bytes of a binary CIDv1. Raises InputError for any other kind."""
        codec = _CODECS.get(data[1]) if len(data) == _BYTES else None
        if codec is None or data[0] != 1 or data[2:4] != _SHA256_32:
            raise _refusal(data.hex())
        return cls(codec, bytes(data[4:]))

    def to_bytes(self) -> bytes:
        """The binary form, 36 bytes, as links carry it."""
        return bytes((1, _CODES[self.codec])) + _SHA256_32 + self.digest

    def check(self, block: bytes) -> bytes:
        """`block` itself if its digest fits. Raises IntegrityError if not."""
        digest = _hashed.known(block) or sha256(block)
        if digest != self.digest:
            raise IntegrityError(
                f"block {self} does not hold the bytes that its name promises",
                got=f"sha256 {digest.hex()}",
                expected=f"sha256 {self.digest.hex()}",
                do="It was changed after it was stored: fetch it from another place or tell its owner.",
            )
        return block

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.to_bytes()).decode("ascii").rstrip("=").lower()


class _Hashed:
    """The digests of the blocks that were named last: on its way into a store a block is hashed once, not twice.

    A block is known by being the same object, which is held, so that no other takes its place; bytes never change.
    """

    _MOST = 24  # about 6 MiB of leaves

    def __init__(self) -> None:
        self._kept: dict[int, tuple[bytes, bytes]] = {}
        self._lock = threading.Lock()

    def note(self, block: bytes | bytearray | memoryview) -> bytes:
        digest = sha256(block)
        if type(block) is bytes and len(block) >= _WORTH_IT:
            with self._lock:
                self._kept[id(block)] = (block, digest)
                if len(self._kept) > self._MOST:
                    del self._kept[next(iter(self._kept))]
        return digest

    def known(self, block: bytes) -> bytes | None:
        block_, digest = self._kept.get(id(block), (None, None))
        return digest if block_ is block else None


_WORTH_IT = 65_536
_hashed = _Hashed()


def _refusal(got: object) -> InputError:
    return InputError(
        "this is not a content identifier that is used here",
        got=repr(got)[:200],
        expected="CIDv1 in base32: bafkrei... or bafybei..., 59 letters and digits",
    )
