"""Sealing a file and naming its blocks, against the two primitives one after the other."""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from io import BytesIO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from marketplace.core import envelope
from marketplace.core.unixfs import LEAF

_BYTES = 256 * 1024 * 1024
_PAIRS = 5


def sealing_share() -> float:
    """Median over pairs of (AES-256-GCM, then SHA-256, over reused buffers) / (seal + CID, blocks thrown away)."""
    plaintext = os.urandom(_BYTES)
    shares = []
    for _ in range(_PAIRS):
        limit = _seconds(lambda: _primitives(plaintext))
        sealing = _seconds(lambda: _seal(plaintext))
        shares.append(limit / sealing)
    return statistics.median(shares)


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _primitives(plaintext: bytes) -> None:
    cipher, out, view = AESGCM(os.urandom(32)), bytearray(LEAF), memoryview(plaintext)
    chunk = LEAF - 16
    for number, start in enumerate(range(0, len(view) - chunk, chunk)):
        cipher.encrypt_into(number.to_bytes(12), view[start : start + chunk], None, out)
        hashlib.sha256(out).digest()


def _seal(plaintext: bytes) -> None:
    envelope.seal(
        BytesIO(plaintext), id="bench", key=os.urandom(32), prefix=os.urandom(7), put=lambda cid, block: None
    )
