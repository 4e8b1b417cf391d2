"""Run alone, in a process of its own: seals a file of N MiB into a store and opens it again; prints what that took.

Arguments: MiB, `local`, `gateway` or `ipfs`, a folder or an address. Prints the additional memory at its peak, in MiB.
"""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

from marketplace.core.envelope import open_sealed, seal
from marketplace.storage import ContentStore, GatewayStore, LocalStore
from marketplace.storage.ahead import ahead
from marketplace.storage.kubo import KuboStore

MIB = 1024 * 1024


class Endless(io.RawIOBase):
    """`size` bytes that no memory holds; every mebibyte differs."""

    def __init__(self, size: int) -> None:
        self._left, self._made, self.seen = size, b"", hashlib.sha256()
        self._number = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._made:
            self._number += 1
            self._made = self._number.to_bytes(8) * (MIB // 8)
        piece = self._made[: min(len(buffer), self._left)]
        self._made = self._made[len(piece) :]
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        self.seen.update(piece)
        return len(piece)


def peak() -> int:
    """Most memory that this process ever had, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def store_of(kind: str, where: str) -> ContentStore:
    if kind == "local":
        return LocalStore(Path(where))
    return GatewayStore(where, timeout=60) if kind == "gateway" else KuboStore(where, timeout=60)


def main() -> None:
    size, store = int(sys.argv[1]) * MIB, store_of(*sys.argv[2:4])
    before, source, opened = peak(), Endless(size), hashlib.sha256()
    with ahead(store.put) as put:
        header = seal(io.BufferedReader(source), id="memory", key=bytes(32), prefix=bytes(7), put=put)
    for piece in open_sealed(header, bytes(32), store.get):
        opened.update(piece)
    if header.size != size or opened.digest() != source.seen.digest():
        sys.exit("another file came back")
    print((peak() - before) / 1024)


if __name__ == "__main__":
    main()
