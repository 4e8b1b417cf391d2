"""The shared store over HTTP: `GET`, `HEAD` and `PUT /ipfs/{cid}`, `GET /health`.

What is stored is served as it lies, unchecked: readers check every block and need not trust this server.
What is put must hash to its name, so nobody can change or replace what is somebody else's; nothing is deleted.

Covered: a client may ask so often, and write so many bytes a second; all blocks together take at most the quota.
Not covered: who writes. Anyone who reaches it may, until the quota is used up, and many addresses can do so together:
keep it on loopback, or behind something that knows its writers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from marketplace.api.answers import read_body
from marketplace.api.limits import Buckets, PerClient, Rate, asking
from marketplace.api.problems import add_error_answers, problems
from marketplace.core.cid import Cid
from marketplace.errors import InputError, IntegrityError
from marketplace.storage import MAX_BLOCK, LocalStore

QUOTA = 16 * 1024**3
"""Bytes that all blocks together may take."""

REQUESTS = Rate(per_second=300, burst=3_000)
"""Of one client."""

WRITES = Rate(per_second=4 * 1024**2, burst=512 * 1024**2)
"""Bytes that one client may put."""

_LEAST_WRITE = 65_536
"""What the smallest block counts: a disk's work is by block."""

_BLOCK_HEADERS = {
    # A name never means other bytes; and bytes that anyone put are never a page of this origin.
    "cache-control": "public, max-age=29030400, immutable",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


_RAW = "application/vnd.ipld.raw"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BLOCK_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {_RAW: _BYTES}},
    **problems(404, 422, 502, 503),
}


def _cid(cid: str) -> Cid:
    return Cid.parse(cid)


Name = Annotated[Cid, Depends(_cid)]


def create_app(
    folder: Path, *, quota: int = QUOTA, requests: Rate = REQUESTS, writes: Rate = WRITES
) -> FastAPI:
    """The gateway of the store in `folder`, as an ASGI application.

    quota: bytes that all blocks may take, each rounded up to 4 KiB; what lies there already counts.
    requests, writes: what one client may ask, and how many bytes it may put.
    Raises UnavailableError if the folder cannot be read.
    """
    store, written = LocalStore(folder, quota=quota), Buckets(writes)
    app = FastAPI(title="Steelyard gateway", docs_url=None, redoc_url=None, responses=problems(429))
    app.add_middleware(PerClient, rate=requests)
    add_error_answers(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Answers while the server runs."""
        return {"status": "ok"}

    @app.get("/ipfs/{cid}", response_class=Response, responses=_BLOCK_ANSWERS)
    def get_block(cid: Name) -> Response:
        """The stored bytes, unchecked."""
        return _block(store.stored(cid), cid)

    @app.head("/ipfs/{cid}", response_class=Response, responses=_BLOCK_ANSWERS)
    def head_block(cid: Name) -> Response:
        """Whether bytes are stored under this name."""
        return _block(store.stored(cid), cid)

    @app.put(
        "/ipfs/{cid}",
        status_code=201,
        response_class=Response,
        responses=problems(413, 422, 503, 507),
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _BYTES}}},
    )
    async def put_block(cid: Name, request: Request) -> Response:
        """Keep the body, which must hash to the name. The answer has no body."""
        block = await read_body(request, limit=MAX_BLOCK)
        written.take(asking(request.scope), max(len(block), _LEAST_WRITE), "bytes put by one client")
        try:
            await run_in_threadpool(store.put, cid, block)
        except IntegrityError as error:
            raise InputError(
                error.what, got=error.got, expected=error.expected, do="Send the block's own bytes."
            ) from error
        return Response(status_code=201)

    return app


def _block(block: bytes, cid: Cid) -> Response:
    return Response(block, media_type=_RAW, headers={**_BLOCK_HEADERS, "etag": f'"{cid}"'})
