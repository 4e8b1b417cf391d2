"""One heartbeat for everybody who waits: threads beat it, streams wait for the next beat."""

from __future__ import annotations

import asyncio


class Pulse:
    """Counts changes. `beat` and `close` may be called from any thread, `after` only in the loop given to `bind`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self._count = 0
        self.closed = False

    @property
    def count(self) -> int:
        return self._count

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def beat(self) -> None:
        """Something changed."""
        self._count += 1
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """The server stops: everyone who waits goes on at once, and sees `closed`."""
        self.closed = True
        self.beat()

    async def after(self, count: int, *, timeout: float) -> None:
        """Returns once `count` has been left behind, or after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._count == count and not self.closed:
                    await self._next.wait()
        except TimeoutError:
            return

    def _wake(self) -> None:
        waiting, self._next = self._next, asyncio.Event()
        waiting.set()
