"""Around every answer of the hub: which version is spoken, whether anything changed, and HEAD.

Every answer says its version in a header, and a request may ask for one. Answers to GET carry an ETag made from their
bytes, so that a client which has them is told so in a few (304).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marketplace.api.problems import error_answer
from marketplace.errors import VersionError
from marketplace.wire.base import VERSION, VERSION_HEADER

_MAX_HELD = 4 * 1024 * 1024
"""Bytes of an answer that are held back to be hashed; longer ones go out without an ETag."""

_OTHER = re.compile("/v([0-9]+)(?:/.*)?", re.DOTALL)
_BEFORE_V1 = ("/deployment", "/assets", "/offers", "/grants", "/jobs")


class Versioned:
    """The middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        error = _misfit(scope)
        if error is not None:
            await error_answer(error, scope["path"])(scope, receive, answer.send)
        elif scope["method"] == "HEAD":
            try:
                await self._app({**scope, "method": "GET"}, receive, answer.send)
            except ClientDisconnect:
                return  # the body of a stream, which nobody asked for
        else:
            await self._app(scope, receive, answer.send)


def _misfit(scope: Scope) -> VersionError | None:
    path, asked = scope["path"], Headers(scope=scope).get(VERSION_HEADER)
    named = _OTHER.fullmatch(path)
    if named and named[1] != str(VERSION):
        asked = named[1]
    if asked is not None and asked != str(VERSION):
        return VersionError(
            "this hub does not speak that version",
            got=asked[:40],
            expected=f"version {VERSION}",
            do=f"Ask under /v{VERSION}/, or use a client and a hub of one release.",
        )
    if any(path == old or path.startswith(f"{old}/") for old in _BEFORE_V1):
        return VersionError(
            "the client is older than this hub",
            got=path[:200],
            expected=f"/v{VERSION}{path}"[:200],
            do="Update the client.",
        )
    return None


class _Answer:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send: Callable[[Message], Awaitable[None]] = send
        self._head = scope["method"] == "HEAD"
        self._known = Headers(scope=scope).get("if-none-match", "")
        self._start: Message | None = None
        self._body = bytearray()
        self._sent = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif self._start is not None:
            await self._hold(self._start, message)
        elif not self._head:
            await self._send(message)
        elif self._sent:
            raise ClientDisconnect

    async def _begin(self, message: Message) -> None:
        headers = MutableHeaders(raw=message["headers"])
        message["headers"] = headers.raw
        headers[VERSION_HEADER] = str(VERSION)
        kind = headers.get("content-type", "")
        if message["status"] == 200 and kind.startswith("application/json"):
            headers.setdefault("cache-control", "no-cache")  # keep it, and ask whether it changed
            self._start = message
            return
        await self._send(message)
        if self._head:
            await self._send({"type": "http.response.body", "body": b""})
            self._sent = True

    async def _hold(self, start: Message, message: Message) -> None:
        self._body += message.get("body", b"")
        more = message.get("more_body", False)
        if more and len(self._body) <= _MAX_HELD:
            return
        self._start = None
        if not more:
            self._tag(start)
        body = b"" if self._head or start["status"] == 304 else bytes(self._body)
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more and not self._head})
        self._sent = True

    def _tag(self, start: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        tag = f'"{hashlib.blake2b(self._body, digest_size=16).hexdigest()}"'
        headers["etag"] = tag
        known = [part.strip().removeprefix("W/") for part in self._known.split(",")]
        if tag in known or "*" in known:
            start["status"] = 304
            del headers["content-length"], headers["content-type"]
        start["headers"] = headers.raw
