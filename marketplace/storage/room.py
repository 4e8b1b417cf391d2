"""How much of a disk a store may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marketplace.errors import FullError
from marketplace.storage.disk import disk_error

_CLUSTER = 4_096
"""Bytes that the smallest file takes."""


class Room:
    """What is left of a quota, counted once and kept up to date. Safe to use from several threads.

    Other processes that write into the same folder are noticed when it is counted anew: at the next start.
    """

    def __init__(self, folder: Path, quota: int) -> None:
        """quota: bytes, each file rounded up to 4 KiB. Raises UnavailableError if the folder cannot be read."""
        self._quota = quota
        self._lock = threading.Lock()
        try:
            files = (path.stat().st_size for path in folder.rglob("*") if path.is_file())
            self._used = sum(_taken(size) for size in files)
        except OSError as error:
            raise disk_error(f"the store in {folder} cannot be counted", error) from error

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    @contextmanager
    def taking(self, size: int) -> Iterator[None]:
        """Room for a file of `size` bytes while it is written; it stays taken unless that fails. Raises FullError."""
        size = _taken(size)
        with self._lock:
            if self._used + size > self._quota:
                raise FullError(
                    "the store's quota is used up",
                    got=f"{self._used} bytes",
                    expected=f"at most {self._quota} bytes",
                    do="Use another gateway, or ask its operator for more room.",
                )
            self._used += size
        try:
            yield
        except BaseException:
            with self._lock:
                self._used -= size
            raise


def _taken(size: int) -> int:
    return max(1, -(-size // _CLUSTER)) * _CLUSTER
