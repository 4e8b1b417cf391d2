"""Which nonce is next, where threads and other processes send for the same account.

A transaction of another process, or of one that died, is waited for first: what it does may be what we were about to
do, and the contract is asked again after it. One that gets into no block is stuck, and its nonce is used instead.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from itertools import count

from marketplace.chain.blocks import block_number
from marketplace.chain.rpc import Rpc, quantity
from marketplace.errors import UnavailableError

_BLOCKS = 3
"""Blocks that a transaction must have missed before it is called stuck: a chain may stand still."""

_FIRST_PAUSE, _LAST_PAUSE = 0.02, 1.0


class Nonces:
    """The nonces of all accounts over one endpoint. Safe to share between threads; `take` is one thread's at a time
    for an account."""

    def __init__(self, rpc: Rpc, *, stuck_seconds: float, patience: float) -> None:
        self._rpc = rpc
        self._stuck_seconds = stuck_seconds
        self._patience = patience
        self._ours: defaultdict[str, set[int]] = defaultdict(set)
        self._lock = threading.Lock()

    def count(self, account: str, block: str) -> int:
        """Transactions of the account up to a block, as "latest", "pending" or 0x-hex."""
        return quantity(self._rpc.request("eth_getTransactionCount", account, block), "count of transactions")

    def take(self, account: str) -> tuple[int, bool]:
        """A nonce, ours until it is released; and whether somebody else's transaction has it and must be outbid.

        Raises UnavailableError where the transactions of others are neither mined nor stuck in time.
        """
        started, pause = time.monotonic(), _FIRST_PAUSE
        since, first_block, waited_for = started, 0, -1
        while time.monotonic() < started + self._patience:
            latest, pending = self.count(account, "latest"), self.count(account, "pending")
            with self._lock:
                ours = {nonce for nonce in self._ours[account] if nonce >= latest}
                others = set(range(latest, pending)) - ours
                if not others:
                    # The first that is free: where one of ours was given up, those above it wait for its nonce.
                    return self._keep(account, next(n for n in count(pending) if n not in ours)), False
            if min(others) != waited_for:
                since, first_block, waited_for = time.monotonic(), block_number(self._rpc), min(others)
            elif self._is_stuck(since, first_block):
                with self._lock:
                    return self._keep(account, waited_for), True
            time.sleep(pause)
            pause = min(pause * 1.3, _LAST_PAUSE)
        raise UnavailableError(
            "transactions of another process with this key wait to be mined",
            got=f"nonce {waited_for} of {account}",
            do="Try again when they are through, or use one process per account.",
        )

    def release(self, account: str, nonce: int) -> None:
        """It is mined, or given up."""
        with self._lock:
            self._ours[account].discard(nonce)

    def _keep(self, account: str, nonce: int) -> int:
        self._ours[account].add(nonce)
        return nonce

    def _is_stuck(self, since: float, first_block: int) -> bool:
        enough = time.monotonic() - since >= self._stuck_seconds
        return enough and block_number(self._rpc) >= first_block + _BLOCKS
