"""Connections with an end: too many of them, and those that keep a place without using it, are closed.

Covered: a request whose head never ends, an idle connection, an answer that nobody reads, one client with hundreds
of connections. uvicorn alone waits for the first and the third without end.
Not covered: bodies, whose time `read_body` bounds, and streams, which `stream` counts.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from marketplace.api.limits import client_of
from marketplace.api.problems import raw_answer
from marketplace.errors import TooManyError, UnavailableError

MAX_CONNECTIONS = 800
"""At one time; below the usual limit of 1,024 open files."""

MAX_PER_CLIENT = 200

MAX_HEAD = 16 * 1024
"""Bytes of a request's line and headers."""

SECONDS_PER_HEAD = 10.0
"""From the connection's start, or the answer before, to the end of a request's head."""

SECONDS_PER_ANSWER = 60.0
"""In which the client must have taken what was sent to it."""

_TICK = 1.0


class Connection(H11Protocol):
    """A connection that is looked at once a second."""

    peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self.peer = client_of(self.client[0] if self.client else None)
        self._quiet_since = self._taken_at = self.loop.time()
        self._watcher = self.loop.call_later(_TICK, self._look)
        if refusal := self._refusal():
            transport.write(raw_answer(refusal))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watcher.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._quiet_since = self.loop.time()
        super().on_response_complete()

    def _refusal(self) -> UnavailableError | TooManyError | None:
        if len(self.connections) > MAX_CONNECTIONS:
            return UnavailableError("too many connections", expected=f"at most {MAX_CONNECTIONS}")
        own = sum(getattr(other, "peer", "") == self.peer for other in self.connections)
        if own > MAX_PER_CLIENT:
            return TooManyError(
                "too many connections of one client", expected=f"at most {MAX_PER_CLIENT}", do="Close some."
            )
        return None

    def _look(self) -> None:
        now = self.loop.time()
        if self.cycle is not None and not self.cycle.response_complete:
            self._quiet_since = now
        if not self.transport.get_write_buffer_size():
            self._taken_at = now
        if now - self._quiet_since > SECONDS_PER_HEAD or now - self._taken_at > SECONDS_PER_ANSWER:
            self.transport.abort()
            return
        self._watcher = self.loop.call_later(_TICK, self._look)
