"""The shared store over HTTP: `GET`, `HEAD` and `PUT /ipfs/{cid}`, `GET /health`.

What is stored is served as it lies, unchecked: readers check every block and need not trust this server.
What is put must hash to its name. Anyone who reaches it may put: keep it on loopback or behind something that
limits who writes and how much.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError, NotFoundError, SteelyardError
from marketplace.storage import MAX_BLOCK, LocalStore

_SECONDS_PER_BODY = 60.0
_BLOCK_HEADERS = {
    # A name never means other bytes; and bytes that anyone put are never a page of this origin.
    "cache-control": "public, max-age=29030400, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


class TooLargeError(InputError):
    """A body is longer than a block may be."""

    http_status = 413


def _cid(cid: str) -> Cid:
    return Cid.parse(cid)


Name = Annotated[Cid, Depends(_cid)]


def create_app(folder: Path) -> FastAPI:
    """The gateway of the store in `folder`, as an ASGI application."""
    store = LocalStore(folder)
    app = FastAPI(title="Steelyard gateway", docs_url=None, redoc_url=None)
    app.add_exception_handler(SteelyardError, _steelyard_error)
    app.add_exception_handler(HTTPException, _http_error)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Answers while the server runs."""
        return {"status": "ok"}

    @app.get("/ipfs/{cid}", response_class=Response)
    def get_block(cid: Name) -> Response:
        """The stored bytes, unchecked."""
        return _block(store.stored(cid), cid)

    @app.head("/ipfs/{cid}", response_class=Response)
    def head_block(cid: Name) -> Response:
        """Whether bytes are stored under this name."""
        return _block(store.stored(cid), cid)

    @app.put("/ipfs/{cid}", status_code=201, response_class=Response)
    async def put_block(cid: Name, request: Request) -> Response:
        """Keep the body, which must hash to the name. The answer has no body."""
        block = await _body(request)
        try:
            await run_in_threadpool(store.put, cid, block)
        except IntegrityError as error:
            raise InputError(
                error.what, got=error.got, expected=error.expected, do="Send the block's own bytes."
            ) from error
        return Response(status_code=201)

    return app


def _block(block: bytes, cid: Cid) -> Response:
    return Response(
        block, media_type="application/vnd.ipld.raw", headers={**_BLOCK_HEADERS, "etag": f'"{cid}"'}
    )


async def _body(request: Request) -> bytes:
    """The request's body. Raises TooLargeError past MAX_BLOCK, InputError if it ends too early or takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(_SECONDS_PER_BODY):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BLOCK:
                    raise TooLargeError(
                        "a block is too large", got="more", expected=f"at most {MAX_BLOCK} bytes"
                    )
    except (ClientDisconnect, TimeoutError) as error:
        raise InputError(
            "the body did not arrive", expected=f"all of it in {_SECONDS_PER_BODY:g} s"
        ) from error
    return bytes(body)


async def _steelyard_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, SteelyardError):
        raise error
    # The rest of a body that is too large is not read, so the connection cannot serve another request.
    headers = {"connection": "close"} if isinstance(error, TooLargeError) else None
    return JSONResponse(error.to_json(), status_code=error.http_status, headers=headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """Answers of the framework itself (no such page, no such method), in the form of all others."""
    if not isinstance(error, HTTPException):
        raise error
    kind = NotFoundError if error.status_code == 404 else InputError
    answer = kind(
        str(error.detail), got=f"{request.method} {request.url.path}", expected="GET, HEAD or PUT /ipfs/{cid}"
    )
    return JSONResponse(answer.to_json(), status_code=error.status_code, headers=error.headers)
