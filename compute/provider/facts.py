"""What a running node knows of itself, for its operator: kept in memory, gone with the process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Facts:
    """Written by the node's threads, read by whoever asks.

    block: the last one that was followed. looked_at, block_at: when the chain was last read, and a new block seen, of
    time.monotonic. running_since: of the job in the sandbox, None without one. ends: of this provider's jobs, by the
    chain's events. gas: units that this process's answers took.
    """

    block: int = 0
    looked_at: float = field(default_factory=time.monotonic)
    block_at: float = field(default_factory=time.monotonic)
    running_since: float | None = None
    ends: Counter[str] = field(default_factory=Counter)
    gas: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def looked(self, block: int | None = None) -> None:
        """The chain answered; with a new block, or without."""
        self.looked_at = time.monotonic()
        if block is not None:
            self.block, self.block_at = block, self.looked_at

    def spent(self, gas: int) -> None:
        with self._lock:
            self.gas += gas

    def running_seconds(self) -> float:
        """How long the present job has been in the sandbox; 0 without one."""
        since = self.running_since
        return 0.0 if since is None else time.monotonic() - since
