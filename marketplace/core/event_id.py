"""The name of one event on chain, which means the same before and after a hub's restart. Pure.

Two chains that both hold an event of one name are equal up to it, for a block's hash fixes everything before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from marketplace.errors import InputError

_FORM = re.compile("(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})-([0-9a-f]{16})")


@dataclass(frozen=True, order=True)
class EventId:
    """block: its number. index: of the log in it. hash: the first 8 bytes of the block's hash."""

    block: int
    index: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.block}-{self.index}-{self.hash.hex()}"

    @classmethod
    def of(cls, block: int, index: int, block_hash: bytes) -> Self:
        """block_hash: 32 bytes."""
        return cls(block, index, block_hash[:8])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for anything that `str` would not write."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise InputError("not an event's id", got=repr(text)[:80], expected="as 4711-0-3f5a5a5a5a5a5a5a")
        return cls(int(found[1]), int(found[2]), bytes.fromhex(found[3]))
