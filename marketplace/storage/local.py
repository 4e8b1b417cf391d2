"""Blocks as files of a folder: `<folder>/<two letters>/<cid>`, as Kubo's flatfs shards them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from marketplace.core.cid import Cid
from marketplace.errors import IntegrityError, NotFoundError
from marketplace.storage.disk import disk_error, write_atomically
from marketplace.storage.ports import MAX_BLOCK, check_block
from marketplace.storage.room import Room


class LocalStore:
    """A `ContentStore` in a folder, which several processes may share."""

    def __init__(self, folder: Path, *, quota: int | None = None) -> None:
        """folder: made at the first `put` if it is not there. quota: bytes that all blocks may take; None: the disk's.

        With a quota, what lies there is counted, which raises UnavailableError if it cannot be read.
        """
        self._folder = Path(folder)
        self._room = None if quota is None else Room(self._folder, quota)

    def __repr__(self) -> str:
        return f"LocalStore({str(self._folder)!r})"

    @property
    def used(self) -> int:
        """Bytes that all blocks take; 0 without a quota, for nobody has counted."""
        return self._room.used if self._room else 0

    def put(self, cid: Cid, block: bytes) -> None:
        """As `ContentStore.put`; the block is on the disk when this returns. Raises FullError beyond the quota."""
        check_block(cid, block)
        path = self.path_of(cid)
        try:
            if _same(path, block):
                return
        except OSError as error:
            raise disk_error(f"block {cid} could not be stored", error) from error
        with self._room.taking(len(block)) if self._room else nullcontext():
            write_atomically(path, block)

    def get(self, cid: Cid) -> bytes:
        """As `ContentStore.get`."""
        return cid.check(self.stored(cid))

    def has(self, cid: Cid) -> bool:
        """As `ContentStore.has`."""
        try:
            return self.path_of(cid).is_file()
        except OSError as error:
            raise disk_error(f"it is not known whether block {cid} is there", error) from error

    def stored(self, cid: Cid) -> bytes:
        """The bytes that lie under a name, unchecked, for a gateway whose readers check. Errors else as `get`."""
        try:
            with self.path_of(cid).open("rb") as file:
                block = file.read(MAX_BLOCK + 1)
        except FileNotFoundError:
            raise NotFoundError(
                f"block {cid} is not in this store",
                do="Fetch it from another gateway, or ask its owner to store it.",
            ) from None
        except OSError as error:
            raise disk_error(f"block {cid} could not be read", error) from error
        if len(block) > MAX_BLOCK:
            raise IntegrityError(
                f"block {cid} does not hold the bytes that its name promises",
                got=f"more than {MAX_BLOCK} bytes",
            )
        return block

    def path_of(self, cid: Cid) -> Path:
        """The file that holds a block, whether it is there or not."""
        name = str(cid)
        # The last letter carries only three bits of the digest, the two before it ten.
        return self._folder / name[-3:-1] / name


def _same(path: Path, block: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(block) + 1) == block
    except FileNotFoundError:
        return False
