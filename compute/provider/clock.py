"""The chain's time, which deadlines are counted in: this machine's clock may be an hour off, and costs nobody money."""

from __future__ import annotations

import time
from dataclasses import dataclass

from marketplace.chain.client import Chain
from marketplace.errors import SteelyardError

_READ_SECONDS = 2.0

BLOCK_SECOND = 1.0
"""How far behind the chain `now` may be: blocks show whole seconds, seen at any moment of theirs."""


@dataclass(frozen=True)
class _Reading:
    """What the chain's clock showed (Unix seconds), and when it first did so (time.monotonic)."""

    shown: int
    at: float


class Clock:
    """Goes on from the chain's last answer by the monotonic clock, so that neither a chain that stands still nor an
    endpoint that is away stops it. A wrong answer counts until the next one."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._reading: _Reading | None = None
        self._asked_at = float("-inf")

    def now(self) -> float:
        """Unix seconds; by this machine's clock as long as the chain has not said anything."""
        if time.monotonic() - self._asked_at >= _READ_SECONDS:
            self._read()
        reading = self._reading
        return time.time() if reading is None else reading.shown + time.monotonic() - reading.at

    def _read(self) -> None:
        try:
            shown = self._chain.block_time()
        except SteelyardError:
            return  # whoever asks for more than the time says so
        finally:
            self._asked_at = time.monotonic()
        if self._reading is None or self._reading.shown != shown:
            self._reading = _Reading(shown, time.monotonic())
