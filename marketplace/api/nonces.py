"""Nonces to sign in with: each is good once and for a while, and issuing one costs no memory.

A nonce carries its time and a MAC, so that only used ones are remembered, until their time is over. A hub that was
restarted has another key, and takes none of the old ones.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

from marketplace.errors import RefusedError

SECONDS = 300
"""In which a nonce must be used."""

_HEAD = 40  # hex digits of time and random
_MAC = 32


class Nonces:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._used: dict[str, int] = {}
        self._lock = threading.Lock()

    def new(self, *, now: float) -> tuple[str, int]:
        """A nonce, and its end. now: Unix seconds."""
        end = int(now) + SECONDS
        head = f"{end:016x}{secrets.token_hex((_HEAD - 16) // 2)}"
        return head + self._mac(head), end

    def use(self, nonce: str, *, now: float) -> None:
        """Raises RefusedError for a nonce that is not this hub's, is too old, or was used."""
        head = nonce[:_HEAD]
        if len(nonce) != _HEAD + _MAC or not hmac.compare_digest(
            self._mac(head).encode(), nonce[_HEAD:].encode()
        ):
            raise _stale("the nonce is not of this hub")
        end = int(head[:16], 16)
        with self._lock:
            if end <= now:
                raise _stale("the nonce is too old")
            if nonce in self._used:
                raise _stale("the nonce was used before")
            self._used = {used: until for used, until in self._used.items() if until > now}
            self._used[nonce] = end

    def _mac(self, head: str) -> str:
        return hmac.digest(self._key, head.encode(), hashlib.sha256).hex()[:_MAC]


def _stale(what: str) -> RefusedError:
    return RefusedError(
        what, expected=f"one of the last {SECONDS} s", do="Ask POST /v1/sign-in/nonce for a new one."
    )
