"""Confirmed events as they come, through reorganisations."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from marketplace.chain.blocks import block_number, read_block
from marketplace.chain.client import Chain
from marketplace.core.events import Event

KNOWN_BLOCKS = 256
"""How many ends of batches a follower keeps: a reorganisation behind all of them starts over."""


@dataclass(frozen=True)
class Batch:
    """The confirmed events of blocks `first` to `last`; last_hash, 32 bytes, is that block's."""

    first: int
    last: int
    events: tuple[Event, ...]
    last_hash: bytes


@dataclass(frozen=True)
class Reorganised:
    """Blocks after `to_block` are no more: undo what came of them. Their successors follow as batches."""

    to_block: int


class Follower:
    """Reads a chain's confirmed events step by step.

    known: (number, hash) of the ends of earlier batches, ascending; kept by the caller, they show what changed while
    nobody followed. After an error the same follower may be asked again: it goes on where it was.
    """

    def __init__(
        self, chain: Chain, first_block: int, *, known: Iterable[tuple[int, bytes]] = (), span: int = 2_000
    ) -> None:
        """first_block: where to begin if nothing is known. span: most blocks of one batch, >= 1."""
        self._chain = chain
        self._first = first_block
        self._span = span
        self._known = deque(sorted(known), maxlen=KNOWN_BLOCKS)
        self._nothing_at: bytes | None = None

    @property
    def known(self) -> tuple[tuple[int, bytes], ...]:
        """Ends of the newest batches, ascending; at most KNOWN_BLOCKS."""
        return tuple(self._known)

    def poll(self) -> Batch | Reorganised | None:
        """What is next, or None where nothing is. Raises what `Chain` raises.

        The newest block's hash names the whole chain below it: while it stays, where nothing was next, one question is
        enough.
        """
        head = read_block(self._chain.rpc, "latest")
        if head is None or head.hash == self._nothing_at:
            return None
        self._nothing_at = None
        if self._known and not self._stands(*self._known[-1]):
            return None if self._is_behind() else self._roll_back()
        first = self._known[-1][0] + 1 if self._known else self._first
        confirmed = max(0, head.number - self._chain.confirmations)
        last = min(confirmed, first + self._span - 1)
        if first > last:
            self._nothing_at = head.hash
            return None
        # The end is read before and after the logs: if it stayed, the logs are of its chain.
        end = read_block(self._chain.rpc, last)
        if end is None:
            return None
        events: tuple[Event, ...] = tuple(self._chain.logs(first, last))
        fits = all(event.at.block_hash == end.hash for event in events if event.at.block == last)
        if not fits or not self._stands(last, end.hash):
            return None
        self._known.append((last, end.hash))
        return Batch(first, last, events, end.hash)

    def _stands(self, number: int, block_hash: bytes) -> bool:
        block = read_block(self._chain.rpc, number)
        return block is not None and block.hash == block_hash

    def _is_behind(self) -> bool:
        """Whether the endpoint only lags: it has not got our newest block yet, and what it has is ours."""
        head = block_number(self._chain.rpc)
        there = [end for end in self._known if end[0] <= head]
        return 0 < len(there) < len(self._known) and self._stands(*there[-1])

    def _roll_back(self) -> Reorganised:
        while self._known and not self._stands(*self._known[-1]):
            self._known.pop()
        return Reorganised(self._known[-1][0] if self._known else self._first - 1)
