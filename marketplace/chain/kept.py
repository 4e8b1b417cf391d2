"""The state of a development chain in a folder: replaced as a whole, so that no kill leaves half of it.

Covered: a kill of Anvil, or of the process that embeds it, at any moment; two chains on one folder (the second is
refused). Not covered: balances that Anvil was told to set are kept with the next block; the state of contracts at
blocks before a restart is not kept, their events and receipts are.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import zlib
from pathlib import Path

from marketplace.chain.blocks import read_block
from marketplace.chain.rpc import Rpc, data
from marketplace.errors import IntegrityError, RefusedError, UnavailableError

STATE, LOCK = "chain.state", "chain.lock"


class KeptState:
    """A folder's state, ours until `close`."""

    def __init__(self, folder: Path) -> None:
        """folder: made if missing. Raises RefusedError where another chain keeps its state there."""
        self.path = folder / STATE
        self._newest = b""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise RefusedError(
                "another development chain keeps its state there",
                got=folder,
                do="Stop that one first, or name another home by STEELYARD_HOME.",
            ) from None

    def options(self) -> list[str]:
        """Anvil's, to go on from the state; none where there is none yet. Raises UnavailableError for no state.

        Anvil makes a genesis of its own and keeps it beside the one that it loads. Only the same timestamp makes it the
        same block; another one would stand in the next dump as a second block 0, and win now and then.
        """
        if not self.path.is_file():
            return []
        try:
            blocks = json.loads(self.path.read_bytes())["blocks"]
            times = [
                block["header"]["timestamp"] for block in blocks if int(block["header"]["number"], 16) == 0
            ]
            return ["--load-state", str(self.path.resolve()), "--timestamp", str(int(times[0], 16))]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UnavailableError(
                "the kept state of the chain does not parse",
                got=f"{self.path}: {type(error).__name__}",
                do="Restore it, or remove it to begin anew.",
            ) from error

    def keep(self, rpc: Rpc) -> None:
        """Puts everything up to the newest block on the disk, if it is not there yet. Raises UnavailableError."""
        head = read_block(rpc, "latest")
        if head is None or head.hash == self._newest:
            return
        # Nobody else mines, so the dump is of this block or, where somebody does, of a later one.
        dump = data(rpc.request("anvil_dumpState"), "dump of the state")
        try:
            _replace(self.path, gzip.decompress(dump))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        except (EOFError, zlib.error) as error:
            raise IntegrityError("the dump of the state does not unpack", got=error) from error
        self._newest = head.hash

    def close(self) -> None:
        os.close(self._lock)


def _replace(path: Path, state: bytes) -> None:
    """Anvil's own `--state` is written in place: a kill meanwhile leaves a file that it does not start from."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(state)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)  # a rename is on the disk only once the folder is
    finally:
        os.close(folder)


def _unwritable(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the state of the chain cannot be kept in {path}",
        got=error.strerror,
        do="Free some space, or check the folder's permissions.",
    )
