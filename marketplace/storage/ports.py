"""What every store of blocks does."""

from __future__ import annotations

from typing import Protocol

from marketplace.core.cid import Cid
from marketplace.errors import InputError

MAX_BLOCK = 1_048_576
"""Bytes of the largest block that a store takes or gives."""


class ContentStore(Protocol):
    """Blocks by the name of their content, at most MAX_BLOCK bytes each. Usable from several threads at once."""

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep `block`; keeping it twice is no error, and a wrong copy that lay there is replaced.

        Raises IntegrityError if `block` does not hash to `cid`, InputError if it is larger than MAX_BLOCK,
        UnavailableError if it could not be kept, in which case no part of it is.
        """
        ...

    def get(self, cid: Cid) -> bytes:
        """The block, checked.

        Raises NotFoundError if it is not there, IntegrityError if other bytes are, UnavailableError without an answer.
        """
        ...

    def has(self, cid: Cid) -> bool:
        """Whether bytes lie under this name, or under its digest with another codec; they are not checked.

        Raises UnavailableError if there is no answer.
        """
        ...


def check_block(cid: Cid, block: bytes) -> None:
    """What every store checks before it keeps a block. Errors as in `ContentStore.put`."""
    if len(block) > MAX_BLOCK:
        raise InputError(
            "a block is too large",
            got=f"{len(block)} bytes",
            expected=f"at most {MAX_BLOCK} bytes",
            do="Split the file.",
        )
    cid.check(block)
