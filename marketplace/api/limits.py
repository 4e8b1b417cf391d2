"""How much one client may ask for: token buckets by address, and a middleware that refuses what is beyond them.

Covered: one address that asks too much is told when it may ask again; memory is bounded however many addresses come.
Not covered: many addresses together, for an address is no person. Behind a proxy every client has the proxy's
address, since what it says of others is not believed: let the proxy limit then.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from marketplace.api.problems import error_answer
from marketplace.errors import TooManyError

MAX_CLIENTS = 10_000
"""Buckets remembered; the one that was quiet longest is forgotten first."""


@dataclass(frozen=True)
class Rate:
    """per_second: in the long run; burst: at once. Of requests, messages or bytes."""

    per_second: float
    burst: float


class Buckets:
    """A token bucket for each client, full at first. Safe to use from several threads."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._left)

    def take(self, client: Hashable, cost: float, what: str) -> None:
        """Takes `cost` tokens, at most the burst. what: names what there is too much of.

        Raises TooManyError where they are not there, saying when they will be; nothing is taken then.
        """
        with self._lock:
            now = self._clock()
            left, at = self._left.get(client, (self._rate.burst, now))
            left = min(self._rate.burst, left + (now - at) * self._rate.per_second)
            if left < cost:
                raise TooManyError(
                    f"too many {what}",
                    expected=f"at most {self._rate.per_second:g} a second",
                    do="Ask again later.",
                    retry_after=(cost - left) / self._rate.per_second,
                )
            self._left[client] = (left - cost, now)
            self._left.move_to_end(client)
            if len(self._left) > MAX_CLIENTS:
                self._left.popitem(last=False)


def client_of(address: str | None) -> str:
    """Who counts as one client: an IPv4 address, or the /64 network of an IPv6 one, which has one owner."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def asking(scope: Scope) -> str:
    """The client of a request."""
    return client_of(scope["client"][0] if scope.get("client") else None)


class PerClient:
    """Answers requests beyond a client's rate with 429 and Retry-After, before the application sees them."""

    def __init__(self, app: ASGIApp, rate: Rate) -> None:
        self._app = app
        self._buckets = Buckets(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._buckets.take(asking(scope), 1, "requests")
            except TooManyError as error:
                await error_answer(error, scope["path"])(scope, receive, send)
                return
        await self._app(scope, receive, send)
