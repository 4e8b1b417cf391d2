"""Sealing a file, naming its blocks and storing them, against the two primitives one after the other."""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from marketplace.core import envelope
from marketplace.core.unixfs import LEAF, Put
from marketplace.storage import LocalStore
from marketplace.storage.ahead import ahead
from marketplace.storage.kubo import KuboStore
from scripts.ipfs_daemon import IpfsDaemon

_MIB = 1024 * 1024
_PAIRS = 5
_MEMORY = Path("/dev/shm")  # noqa: S108  # a disk in memory, where there is one: a store whose disk costs nothing

Place = Callable[[Path], AbstractContextManager[Put]]
"""Opens a store in an empty folder and gives its `put`."""


def sealing_shares(folder: Path) -> Iterator[tuple[str, float]]:
    """For each store its name and the median over pairs of limit / time.

    limit: AES-256-GCM over all bytes, then SHA-256 over as many, in reused buffers. time: `envelope.seal` of the same
    bytes until every block is where that store keeps it. Each pair is measured side by side.
    """
    yield "nothing stored", _share(folder, lambda _: nullcontext(lambda cid, block: None), 256)
    if _MEMORY.is_dir():
        yield "folder in memory", _share(_MEMORY, lambda at: ahead(LocalStore(at).put), 256)
    yield "folder on disk", _share(folder, lambda at: ahead(LocalStore(at).put), 64)
    with IpfsDaemon(folder / "ipfs") as daemon, KuboStore(daemon.url, timeout=60) as store:
        yield "js-ipfs on disk", _share(folder, lambda _: ahead(store.put), 32)


def _share(parent: Path, place: Place, mebibytes: int) -> float:
    plaintext = os.urandom(mebibytes * _MIB)
    shares = []
    for _ in range(_PAIRS):
        limit = _seconds(lambda: _primitives(plaintext))
        folder = Path(tempfile.mkdtemp(dir=parent, prefix="steelyard-bench-"))
        try:
            sealing = _seconds(lambda: _seal(plaintext, place(folder)))  # noqa: B023  # called at once
        finally:
            shutil.rmtree(folder)
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


def _seal(plaintext: bytes, store: AbstractContextManager[Put]) -> None:
    with store as put:
        envelope.seal(BytesIO(plaintext), id="bench", key=os.urandom(32), prefix=os.urandom(7), put=put)
